//! `[cache]`: how long secrets are kept, and what happens when their provider cannot be reached.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use strongroom_model::freshness::{Freshness, StalePolicy};
use strongroom_model::reference::SecretRef;

use super::ConfigError;
use super::reader::{Section, Value};

/// The keys of `[cache]`.
const KEYS: &[&str] = &["ttl", "max_stale", "stale", "scope", "on_failure", "references"];

const DAY: Duration = Duration::from_hours(24);
/// Nothing is good for longer.
const LONGEST_TTL: Duration = Duration::from_hours(30 * 24);
const LONGEST_STALE: Duration = Duration::from_hours(365 * 24);

/// What `[cache]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// How long a secret is good where nothing else says so.
    pub freshness: Freshness,
    /// How long the secrets at these references are good.
    pub references: BTreeMap<SecretRef, Duration>,
    /// Who shares the cache.
    pub scope: Scope,
    /// The program that is started when the refresh has failed three times in a row, with its
    /// arguments.
    pub on_failure: Vec<String>,
}

/// Who shares a cache (decision 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All projects of the user.
    #[default]
    User,
    /// Each project has a file and a key of its own.
    Project,
}

/// Reads `[cache]`.
pub(super) fn read(root: &Section<'_>) -> Result<Cache, ConfigError> {
    let Some(section) = root.table("cache")? else { return Ok(Cache::default()) };
    section.only(KEYS)?;
    let mut references = BTreeMap::new();
    if let Some(table) = section.table("references")? {
        for (key, value) in table.pairs()? {
            let reference: SecretRef =
                key.text().parse().map_err(|error: strongroom_model::reference::RefError| {
                    key.problem(error).maybe_hint(error.hint())
                })?;
            let ttl = span(value.text()).filter(|ttl| *ttl <= LONGEST_TTL);
            let ttl = ttl.ok_or_else(|| {
                value.problem("the value is not a duration of at most 30 days").hint(EXAMPLE)
            })?;
            references.insert(reference, ttl);
        }
    }
    Ok(Cache {
        freshness: freshness(&section, Freshness::default())?,
        references,
        scope: scope(&section)?,
        on_failure: on_failure(&section)?,
    })
}

/// Reads `ttl`, `max_stale` and `stale` of `section`; what it does not say is as in `default`. The
/// keys are those of every provider, too.
pub(super) fn freshness(
    section: &Section<'_>,
    default: Freshness,
) -> Result<Freshness, ConfigError> {
    let policy = match section.text("stale")? {
        None => default.policy,
        Some(text) => match text.text() {
            "warn" => StalePolicy::Warn,
            "fail" => StalePolicy::Fail,
            "silent" => StalePolicy::Silent,
            _ => {
                return Err(text
                    .problem("`stale` is not one of the policies for what has expired")
                    .hint("write `\"warn\"`, `\"fail\"` or `\"silent\"`"));
            }
        },
    };
    Ok(Freshness {
        ttl: duration(section, "ttl", LONGEST_TTL)?.unwrap_or(default.ttl),
        max_stale: duration(section, "max_stale", LONGEST_STALE)?.unwrap_or(default.max_stale),
        policy,
    })
}

/// Reads a duration of at most `longest`.
pub(super) fn duration(
    section: &Section<'_>,
    key: &'static str,
    longest: Duration,
) -> Result<Option<Duration>, ConfigError> {
    let Some(value) = section.value(key) else { return Ok(None) };
    let read = |value: Value<'_>| match value.number_or_text() {
        Ok(Err(text)) => span(text).filter(|span| *span <= longest),
        _ => None,
    };
    let found = read(value).ok_or_else(|| {
        let most = if longest >= DAY {
            format!("{} days", longest.as_secs() / DAY.as_secs())
        } else {
            format!("{} seconds", longest.as_secs())
        };
        value.problem(format!("`{key}` is not a duration of at most {most}")).hint(EXAMPLE)
    })?;
    Ok(Some(found))
}

const EXAMPLE: &str = "write a number and a unit: `30s`, `15m`, `4h`, `7d`";

/// `30s`, `15m`, `4h`, `7d`.
pub fn span(text: &str) -> Option<Duration> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let (number, scale) =
        units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))?;
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = plain.then(|| number.parse().ok()).flatten()?;
    number.checked_mul(scale).map(Duration::from_millis)
}

fn scope(section: &Section<'_>) -> Result<Scope, ConfigError> {
    match section.text("scope")? {
        None => Ok(Scope::User),
        Some(text) => match text.text() {
            "user" => Ok(Scope::User),
            "project" => Ok(Scope::Project),
            _ => Err(text
                .problem("`scope` is not one of the scopes of a cache")
                .hint("write `\"user\"` or `\"project\"`")),
        },
    }
}

fn on_failure(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let words = section.texts("on_failure")?;
    if let Some(program) = words.first()
        && !Path::new(program.text()).is_absolute()
    {
        return Err(program
            .problem("`on_failure` does not begin with the absolute path of a program")
            .hint("write `on_failure = [\"/usr/bin/logger\", \"refresh failed\"]`"));
    }
    Ok(words.iter().map(|word| word.text().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::parse("t", text)
    }

    #[test]
    fn what_is_not_said_is_four_hours_a_week_and_a_warning() {
        let config = config("").unwrap();
        assert_eq!(config.cache, Cache::default());
        assert_eq!(config.cache.freshness.ttl, Duration::from_hours(4));
    }

    #[test]
    fn every_key_is_read() {
        let text = "[cache]\nttl = \"30m\"\nmax_stale = \"1d\"\nstale = \"silent\"\n\
                    scope = \"project\"\non_failure = [\"/bin/x\", \"y\"]\n\
                    references = { \"op://V/I/f\" = \"90s\" }\n";
        let config = config(text).unwrap();
        let freshness =
            Freshness { ttl: Duration::from_mins(30), max_stale: DAY, policy: StalePolicy::Silent };
        let reference: SecretRef = "op://V/I/f".parse().unwrap();
        let expected = Cache {
            freshness,
            references: [(reference, Duration::from_secs(90))].into(),
            scope: Scope::Project,
            on_failure: vec!["/bin/x".to_owned(), "y".to_owned()],
        };
        assert_eq!(config.cache, expected);
    }

    #[test]
    fn a_mistake_names_its_place_and_never_its_value() {
        for (text, problem) in [
            ("ttl = \"canary\"", "t:2:7: `ttl` is not a duration of at most 30 days"),
            ("ttl = 14400", "t:2:7: `ttl` is not a duration of at most 30 days"),
            ("ttl = \"31d\"", "t:2:7: `ttl` is not a duration of at most 30 days"),
            ("ttl = \"+1h\"", "t:2:7: `ttl` is not a duration of at most 30 days"),
            ("max_stale = \"366d\"", "t:2:13: `max_stale` is not a duration of at most 365 days"),
            (
                "stale = \"canary\"",
                "t:2:9: `stale` is not one of the policies for what has expired",
            ),
            ("scope = \"canary\"", "t:2:9: `scope` is not one of the scopes of a cache"),
            ("max_stal = \"1h\"", "t:2:1: unknown key `max_stal`"),
            (
                "on_failure = [\"canary\"]",
                "t:2:15: `on_failure` does not begin with the absolute path of a program",
            ),
            (
                "references = { canary = \"1h\" }",
                "t:2:16: a reference has the form `scheme://path`",
            ),
            (
                "references = { \"op://V/I/f\" = \"canary\" }",
                "t:2:31: the value is not a duration of at most 30 days",
            ),
        ] {
            let error = config(&format!("[cache]\n{text}\n")).unwrap_err();
            assert_eq!(error.to_string(), problem);
            assert!(error.hint.is_some(), "{text}");
        }
    }
}
