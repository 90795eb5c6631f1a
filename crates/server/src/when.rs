//! Times on the wire: RFC 3339 in UTC, to the millisecond.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as it stands in an answer.
pub(crate) fn write(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.millisecond()
    )
}

/// Reads a time in UTC, written with a `Z`.
pub(crate) fn read(text: &str) -> Option<SystemTime> {
    if !text.ends_with('Z') || !text.is_char_boundary(11) || text.as_bytes().get(10) != Some(&b'T')
    {
        return None;
    }
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_771_845_045_067);
        assert_eq!(write(time), "2026-02-23T11:10:45.067Z");
        assert_eq!(read(&write(time)), Some(time));
        assert!(read("2026-02-23T11:10:45Z").is_some());
        for bad in [
            "",
            "2026-02-23",
            "2026-02-23 11:10:45Z",
            "2026-02-23T11:10:45+00:00",
            "2026-13-23T11:10:45Z",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
