//! `[providers.SCHEME]`: where secrets come from, and what the providers are told.
//!
//! Each provider says what settings it takes; this reads them by that table. A token is a reference
//! to another provider's secret and never stands here. A project's file has no such section: it could
//! name a program to be run, or a server that is sent the token.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::time::Duration;

use strongroom_model::freshness::Freshness;
use strongroom_model::near::nearest;
use strongroom_model::reference::{RefError, SCHEMES, SecretRef, is_scheme};
use strongroom_secrets::providers::{self, About};
use strongroom_secrets::settings::{Field, Kind, Settings};

use super::ConfigError;
use super::cache::{duration, freshness};
use super::reader::{Section, Text, Value};
use crate::paths::Os;

/// The keys that every provider takes.
const COMMON: [&str; 4] = ["ttl", "max_stale", "stale", "timeout"];

/// No provider is waited for longer.
const LONGEST: Duration = Duration::from_mins(2);

/// What `[providers]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    /// The settings, by scheme.
    pub settings: BTreeMap<String, Settings>,
    /// How long secrets of a scheme are good, where its section says so.
    pub freshness: BTreeMap<String, Freshness>,
}

/// Reads `[providers]`. What a provider does not say about its secrets' age is as in `default`.
pub(super) fn read(root: &Section<'_>, default: Freshness) -> Result<Providers, ConfigError> {
    let mut all = Providers::default();
    let Some(section) = root.table("providers")? else { return Ok(all) };
    let mut asks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, section) in section.tables()? {
        let about = known(&key)?;
        let settings = if about.is_named {
            named(&about, &section)?
        } else {
            section.only(&keys(about.fields))?;
            settings(about.fields, &section)?
        };
        let schemes = settings.secrets.values().map(|reference| reference.scheme().to_owned());
        let schemes: BTreeSet<String> = schemes.collect();
        asks.insert(about.scheme.to_owned(), schemes);
        if is_circle(about.scheme, &asks) {
            return Err(section
                .problem("the tokens of these providers are kept in one another, in a circle")
                .hint("keep one of them in `local://`, `keychain://`, `file://` or `env://`"));
        }
        if COMMON[..3].iter().any(|key| section.has(key)) {
            let fresh = freshness(&section, default)?;
            all.freshness.insert(about.scheme.to_owned(), fresh);
        }
        all.settings.insert(about.scheme.to_owned(), settings);
    }
    Ok(all)
}

/// The provider of this name.
fn known(key: &Text<'_>) -> Result<About, ConfigError> {
    if let Some(about) = providers::every().find(|about| about.scheme == key.text()) {
        return Ok(about);
    }
    if is_scheme(key.text()) {
        return Err(key.problem(format!("`{}` takes no settings", key.text())));
    }
    let schemes = SCHEMES.map(|(scheme, _)| scheme);
    let near = nearest(key.text(), schemes).map(|near| format!("did you mean `{near}`?"));
    let all: Vec<_> = providers::every().map(|about| format!("`{}`", about.scheme)).collect();
    let near = near.unwrap_or_else(|| format!("the providers are {}", all.join(", ")));
    Err(key.problem("there is no provider of this name").hint(near))
}

/// `[providers.cmd.NAME]`.
fn named(about: &About, section: &Section<'_>) -> Result<Settings, ConfigError> {
    let mut all = common(section)?;
    for (key, value) in section.entries() {
        if COMMON.contains(&key.text()) {
            continue;
        }
        let reference = format!("{}://{}", about.scheme, key.text()).parse::<SecretRef>();
        if reference.is_err() {
            return Err(key
                .problem("the name of a command has letters, digits, `-` and `_`")
                .hint("write `[providers.cmd.NAME]` with its `command`"));
        }
        let table = value.section()?;
        let mut keys = keys(about.fields);
        keys.retain(|key| !COMMON[..3].contains(key));
        table.only(&keys)?;
        all.tables.insert(key.text().to_owned(), settings(about.fields, &table)?);
    }
    Ok(all)
}

fn keys(fields: &'static [Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name).chain(COMMON).collect()
}

fn common(section: &Section<'_>) -> Result<Settings, ConfigError> {
    Ok(Settings { timeout: duration(section, "timeout", LONGEST)?, ..Settings::default() })
}

/// The settings that `fields` tell of.
pub(super) fn settings<'a>(
    fields: impl IntoIterator<Item = &'a Field>,
    section: &Section<'_>,
) -> Result<Settings, ConfigError> {
    let mut settings = common(section)?;
    for Field { name, kind, .. } in fields {
        let Some(value) = section.value(name) else { continue };
        let key = (*name).to_owned();
        match kind {
            Kind::Secret => {
                settings.secrets.insert(key, secret(name, value)?);
            }
            Kind::Words => {
                let words =
                    value.list()?.into_iter().map(|word| Ok(word.text()?.text().to_owned()));
                settings.words.insert(key, words.collect::<Result<_, ConfigError>>()?);
            }
            Kind::Text | Kind::Path | Kind::Url => {
                let text = value.text()?;
                fits(*kind, text.text()).map_err(|(problem, hint)| {
                    text.problem(format!("`{name}` is not {problem}")).hint(hint)
                })?;
                settings.texts.insert(key, text.text().to_owned());
            }
        }
    }
    Ok(settings)
}

/// Whether `text` can be a setting of this kind; else what it is not, and what to write.
pub fn fits(kind: Kind, text: &str) -> Result<(), (&'static str, &'static str)> {
    let here = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let is_here = |text: &str| {
        here.iter()
            .filter_map(|start| text.strip_prefix(start))
            .any(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    };
    let fits = match kind {
        Kind::Path => Os::CURRENT.is_absolute(OsStr::new(text)),
        Kind::Url => (text.starts_with("https://") || is_here(text)) && !text.contains('@'),
        Kind::Text | Kind::Secret | Kind::Words => !text.is_empty(),
    };
    if fits && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(match kind {
        Kind::Path => ("an absolute path", "write the whole path, without `~`"),
        Kind::Url => (
            "an address that a token may be sent to",
            "write `https://HOST`, or `http://127.0.0.1:PORT` for a server on this machine",
        ),
        Kind::Text | Kind::Secret | Kind::Words => ("a text", "write it between quotes"),
    })
}

fn secret(name: &str, value: Value<'_>) -> Result<SecretRef, ConfigError> {
    let text = value.text()?;
    text.text().parse().map_err(|error: RefError| {
        if error == RefError::Form {
            text.problem(format!("`{name}` is not a reference: a secret never stands in this file"))
                .hint("store it with `strongroom provider set NAME --token-stdin`, which writes the reference")
        } else {
            text.problem(format!("`{name}`: {error}")).maybe_hint(error.hint())
        }
    })
}

/// Whether `start` is asked for, by way of others, while it is asked itself.
fn is_circle(start: &str, asks: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![start];
    while let Some(scheme) = next.pop() {
        for asked in asks.get(scheme).into_iter().flatten() {
            if asked == start {
                return true;
            }
            if seen.insert(asked.as_str()) {
                next.push(asked);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use strongroom_model::freshness::StalePolicy;

    use super::*;
    use crate::Config;

    fn providers(text: &str) -> Result<Providers, ConfigError> {
        Config::parse("t", text).map(|config| config.providers)
    }

    #[test]
    fn settings_are_read_by_the_tables_of_their_providers() {
        let text = r#"
            [cache]
            ttl = "1h"
            [providers.op]
            program = "/opt/op/bin/op"
            token = "file:///home/me/token"
            account = "my.1password.com"
            pass_env = ["HTTPS_PROXY"]
            timeout = "30s"
            stale = "fail"
            [providers.cmd]
            timeout = "1s"
            [providers.cmd.mine]
            command = ["/usr/local/bin/mine", "print"]
            timeout = "2s"
        "#;
        let read = providers(text).unwrap();
        let op = &read.settings["op"];
        assert_eq!(op.text("program"), Some("/opt/op/bin/op"));
        assert_eq!(op.secret("token").unwrap().as_str(), "file:///home/me/token");
        assert_eq!(op.words["pass_env"], ["HTTPS_PROXY"]);
        assert_eq!(op.timeout, Some(Duration::from_secs(30)));
        let fresh = read.freshness["op"];
        assert_eq!((fresh.ttl, fresh.policy), (Duration::from_hours(1), StalePolicy::Fail));
        let cmd = &read.settings["cmd"];
        assert_eq!(cmd.timeout, Some(Duration::from_secs(1)));
        assert_eq!(cmd.tables["mine"].words["command"].len(), 2);
        assert_eq!(cmd.tables["mine"].timeout, Some(Duration::from_secs(2)));
        assert!(!read.freshness.contains_key("cmd"));
        assert_eq!(providers("").unwrap(), Providers::default());
    }

    #[test]
    fn mistakes_name_the_place_and_the_key_and_never_the_value() {
        for (text, problem) in [
            ("[providers.opp]", "there is no provider of this name"),
            ("[providers.sk-canary]", "there is no provider of this name"),
            ("[providers.local]", "`local` takes no settings"),
            ("[providers.op]\ntokn = \"canary\"", "unknown key `tokn`"),
            ("[providers.op]\nsk-canary = 1", "unknown key"),
            (
                "[providers.op]\ntoken = \"ops_canary\"",
                "`token` is not a reference: a secret never stands in this file",
            ),
            (
                "[providers.op]\ntoken = \"opp://canary\"",
                "`token`: the reference has an unknown scheme",
            ),
            ("[providers.op]\nprogram = \"canary\"", "`program` is not an absolute path"),
            ("[providers.op]\naccount = \"\"", "`account` is not a text"),
            ("[providers.op]\naccount = 1", "`account` is not a string"),
            (
                "[providers.op]\ntimeout = \"1h\"",
                "`timeout` is not a duration of at most 120 seconds",
            ),
            (
                "[providers.bw]\nserver = \"http://canary.example\"",
                "`server` is not an address that a token may be sent to",
            ),
            (
                "[providers.bw]\nserver = \"http://localhost.canary.example\"",
                "`server` is not an address that a token may be sent to",
            ),
            ("[providers.cmd]\nx = 1", "the value is not a table"),
            ("[providers.cmd.\"a b\"]", "the name of a command has letters, digits, `-` and `_`"),
            ("[providers.cmd.a]\ncommand = \"canary\"", "`command` is not a list"),
            ("[providers.cmd.a]\nttl = \"1h\"", "unknown key"),
        ] {
            let error = providers(text).unwrap_err();
            assert!(error.problem.starts_with(problem), "{text}: {}", error.problem);
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
        let near = |text: &str| providers(text).unwrap_err().hint.unwrap();
        assert_eq!(near("[providers.opp]"), "did you mean `op`?");
        assert_eq!(near("[providers.op]\ntokn = 1"), "did you mean `token`?");
        for fine in ["https://x.example", "http://127.0.0.1:8200", "http://localhost/x"] {
            assert!(providers(&format!("[providers.bw]\nserver = \"{fine}\"")).is_ok(), "{fine}");
        }
    }

    #[test]
    fn the_schema_knows_every_setting_of_every_provider() {
        let schema = include_str!("../../../docs/reference/strongroom.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let mut unknown = Vec::new();
        for about in providers::every() {
            let section = &schema["properties"]["providers"]["properties"][about.scheme];
            let section = if about.is_named { &section["additionalProperties"] } else { section };
            for field in about.fields {
                let written = &section["properties"][field.name];
                let fits = match field.kind {
                    Kind::Secret => written["$ref"] == "#/$defs/reference",
                    Kind::Words => written["type"] == "array",
                    Kind::Text | Kind::Path | Kind::Url => written["type"] == "string",
                };
                if !fits {
                    unknown.push(format!("{}.{}: {:?}", about.scheme, field.name, field.kind));
                }
            }
        }
        assert_eq!(unknown, Vec::<String>::new());
    }

    #[test]
    fn a_token_is_never_looked_for_in_a_circle() {
        for text in [
            "[providers.op]\ntoken = \"op://v/i/f\"",
            "[providers.op]\ntoken = \"bw://x\"\n[providers.bw]\ntoken = \"op://v/i/f\"",
            "[providers.bw]\ntoken = \"keepass://x\"\n[providers.keepass]\npassword = \"op://v/i/f\"\n\
             [providers.op]\ntoken = \"bw://x\"",
        ] {
            let error = providers(text).unwrap_err();
            assert!(error.problem.contains("in a circle"), "{error}");
        }
        let chain = "[providers.op]\ntoken = \"bw://x\"\n[providers.bw]\ntoken = \"local://x\"\n\
                     [providers.keepass]\npassword = \"bw://y\"";
        assert!(providers(chain).is_ok());
    }
}
