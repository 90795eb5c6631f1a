//! The names of segments.

use std::time::SystemTime;

use strongroom_seal::{FileError, SecureDir};
use time::{Date, OffsetDateTime};

const SUFFIX: &str = ".jsonl";

/// The segment of a day: its name orders as its date does.
pub(super) fn name(date: Date) -> String {
    format!("{:04}-{:02}-{:02}{SUFFIX}", date.year(), u8::from(date.month()), date.day())
}

/// The day, in UTC.
pub(super) fn day(now: SystemTime) -> Date {
    OffsetDateTime::from(now).date()
}

/// Whether `name` is that of a segment. Anything else in the directory is none of ours.
pub(super) fn is_one(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|date| {
        date.len() == 10
            && date.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    })
}

/// Every segment in `dir`, oldest first.
pub(super) fn all(dir: &SecureDir) -> Result<Vec<String>, FileError> {
    let mut names = dir.names()?;
    names.retain(|name| is_one(name));
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
}
