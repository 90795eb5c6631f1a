//! `[audit]`: what is promised of a record, how long records are kept, and what happens when the
//! release of secrets cannot be recorded.

use std::time::Duration;

use strongroom_store::audit::{Durability, Keep};

use super::ConfigError;
use super::cache::span;
use super::reader::{Section, Value};

/// The keys of `[audit]`.
const KEYS: &[&str] = &["on_failure", "durability", "keep"];

const DAY: u64 = 86_400;
/// Nothing is kept for longer, or in more segments, but for ever.
const MOST: u64 = 36_500;

/// What `[audit]` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// What happens to a start that cannot be recorded.
    pub on_failure: OnFailure,
    /// What is promised of a record.
    pub durability: Durability,
    /// Which segments stay.
    pub keep: Keep,
}

/// What happens to a start whose release cannot be recorded (decision 16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is warned of, and goes on.
    #[default]
    Warn,
    /// The server is not started.
    Refuse,
}

/// Reads `[audit]`.
pub(super) fn read(root: &Section<'_>) -> Result<Audit, ConfigError> {
    let Some(section) = root.table("audit")? else { return Ok(Audit::default()) };
    section.only(KEYS)?;
    Ok(Audit {
        on_failure: on_failure(&section)?,
        durability: durability(&section)?,
        keep: section.value("keep").map(keep).transpose()?.unwrap_or_default(),
    })
}

fn on_failure(section: &Section<'_>) -> Result<OnFailure, ConfigError> {
    let Some(text) = section.text("on_failure")? else { return Ok(OnFailure::default()) };
    match text.text() {
        "warn" => Ok(OnFailure::Warn),
        "refuse" => Ok(OnFailure::Refuse),
        _ => Err(text
            .problem("`on_failure` is not one of the ways to go on without a record")
            .hint("write `\"warn\"` or `\"refuse\"`")),
    }
}

fn durability(section: &Section<'_>) -> Result<Durability, ConfigError> {
    let Some(text) = section.text("durability")? else { return Ok(Durability::default()) };
    match text.text() {
        "written" => Ok(Durability::Written),
        "synced" => Ok(Durability::Synced),
        _ => Err(text
            .problem("`durability` is not one of the promises for a record")
            .hint("write `\"written\"` or `\"synced\"`")),
    }
}

/// `"90d"`, or a number of segments.
fn keep(value: Value<'_>) -> Result<Keep, ConfigError> {
    let most = |n: u64| u32::try_from(n).ok().filter(|n| (1..=MOST).contains(&u64::from(*n)));
    let days = |text| {
        let span: Duration = span(text)?;
        let seconds = span.as_secs();
        (span.subsec_millis() == 0 && seconds.is_multiple_of(DAY)).then_some(seconds / DAY)
    };
    let found = match value.number_or_text() {
        Ok(Ok(segments)) => most(segments).map(Keep::Segments),
        Ok(Err(text)) => days(text).and_then(most).map(Keep::Days),
        Err(_) => None,
    };
    found.ok_or_else(|| {
        value
            .problem("`keep` is neither a number of days nor a number of segments")
            .hint("write `\"90d\"`, or `90` for so many segments; without it all are kept")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn audit(text: &str) -> Result<Audit, ConfigError> {
        Config::parse("t", text).map(|config| config.audit)
    }

    #[test]
    fn what_is_not_said_is_written_kept_and_warned_of() {
        assert_eq!(audit("").unwrap(), Audit::default());
        assert_eq!(audit("[audit]\n").unwrap().keep, Keep::All);
        assert_eq!(Audit::default().durability, Durability::Written);
    }

    #[test]
    fn every_key_is_read() {
        let text = "[audit]\non_failure = \"refuse\"\ndurability = \"synced\"\nkeep = \"90d\"\n";
        let expected = Audit {
            on_failure: OnFailure::Refuse,
            durability: Durability::Synced,
            keep: Keep::Days(90),
        };
        assert_eq!(audit(text).unwrap(), expected);
        assert_eq!(audit("[audit]\nkeep = 30\n").unwrap().keep, Keep::Segments(30));
        assert_eq!(audit("[audit]\nkeep = \"48h\"\n").unwrap().keep, Keep::Days(2));
    }

    #[test]
    fn a_mistake_names_its_place_and_never_its_value() {
        let keep = "t:2:8: `keep` is neither a number of days nor a number of segments";
        for (text, problem) in [
            ("keep = \"canary\"", keep),
            ("keep = \"0d\"", keep),
            ("keep = \"36h\"", keep),
            ("keep = 0", keep),
            ("keep = -1", keep),
            ("keep = true", keep),
            ("keep = 36501", keep),
            (
                "durability = \"canary\"",
                "t:2:14: `durability` is not one of the promises for a record",
            ),
            (
                "on_failure = \"canary\"",
                "t:2:14: `on_failure` is not one of the ways to go on without a record",
            ),
            ("keeep = 1", "t:2:1: unknown key `keeep`"),
        ] {
            let error = audit(&format!("[audit]\n{text}\n")).unwrap_err();
            assert_eq!(error.to_string(), problem, "{text}");
            assert!(error.hint.is_some(), "{text}");
        }
    }
}
