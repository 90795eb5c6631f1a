//! The names of segments, and of what stands beside them.

use std::time::SystemTime;

use strongroom_seal::{FileError, SecureDir};
use time::{Date, Month, OffsetDateTime};

const SUFFIX: &str = ".jsonl";
const BESIDE: &str = ".checkpoints";

/// The segment of a day: its name orders as its date does.
pub(super) fn name(date: Date) -> String {
    format!("{:04}-{:02}-{:02}{SUFFIX}", date.year(), u8::from(date.month()), date.day())
}

/// The day, in UTC.
pub(super) fn day(now: SystemTime) -> Date {
    OffsetDateTime::from(now).date()
}

/// The day that a segment is named by, where there is such a day.
pub(super) fn day_of(name: &str) -> Option<Date> {
    let date = name.strip_suffix(SUFFIX).filter(|_| is_one(name))?;
    let month = Month::try_from(date[5..7].parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(date[..4].parse().ok()?, month, date[8..].parse().ok()?).ok()
}

/// The file of the checkpoints that were made while the segment `name` was written.
pub(super) fn beside(name: &str) -> String {
    format!("{}{BESIDE}", name.strip_suffix(SUFFIX).unwrap_or(name))
}

/// Whether `name` is that of a segment. Anything else in the directory is none of ours.
pub(super) fn is_one(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(is_date)
}

fn is_date(date: &str) -> bool {
    date.len() == 10
        && date.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Every segment in `dir`, oldest first.
pub(super) fn all(dir: &SecureDir) -> Result<Vec<String>, FileError> {
    let mut names = dir.names()?;
    names.retain(|name| is_one(name));
    Ok(names)
}

/// Every file of checkpoints in `dir`, oldest first.
pub(super) fn all_beside(dir: &SecureDir) -> Result<Vec<String>, FileError> {
    let mut names = dir.names()?;
    names.retain(|name| name.strip_suffix(BESIDE).is_some_and(is_date));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_segment_is_named_by_its_day_in_utc() {
        let at = |seconds| name(day(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
        assert_eq!(at(1_773_570_225), "2026-03-15.jsonl");
        assert_eq!(at(1_773_619_199), "2026-03-15.jsonl");
        assert_eq!(at(1_773_619_200), "2026-03-16.jsonl");
        assert!(is_one(&at(0)));
        for other in ["audit.lock", "2026-03-15.jsonl.bad", "2026-3-15.jsonl", "x.jsonl", ".jsonl"]
        {
            assert!(!is_one(other), "{other}");
        }
    }

    #[test]
    fn a_name_gives_its_day_back() {
        for name in ["2026-03-15.jsonl", "1970-01-01.jsonl", "2024-02-29.jsonl"] {
            assert_eq!(super::name(day_of(name).unwrap()), name);
        }
        for other in ["2026-13-01.jsonl", "2025-02-29.jsonl", "2026-03-15.checkpoints", "x"] {
            assert_eq!(day_of(other), None, "{other}");
        }
        assert_eq!(beside("2026-03-15.jsonl"), "2026-03-15.checkpoints");
    }
}
