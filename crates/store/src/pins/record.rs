//! What a row says of one tool, the same in the vault and in a team.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use strongroom_model::pin::{DefinitionHash, Look, News, Offered, Pin, Version, Why};
use strongroom_seal::MacKey;
use subtle::ConstantTimeEq as _;

/// What is kept of a tool, as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    approved: Option<Written>,
    by_person: bool,
    waiting: Option<Written>,
    why: Option<String>,
}

/// A definition as it is written. `at` is in microseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    hash: String,
    text: String,
    at: u64,
}

/// The tool of a row. One that does not verify says nothing, so that it waits for a person.
pub(crate) fn read(key: &MacKey, owner: &[&str; 3], tool: String, text: &str, found: &[u8]) -> Pin {
    let genuine: bool = found.ct_eq(&tag(key, owner, &tool, text)).into();
    let record = serde_json::from_str::<Record>(text).ok().filter(|_| genuine);
    let Some(record) = record else {
        return Pin { tool, approved: None, by_person: false, waiting: None };
    };
    let why = record.why.as_deref().and_then(Why::parse).unwrap_or(Why::Changed);
    Pin {
        tool,
        approved: record.approved.and_then(Written::version),
        by_person: record.by_person,
        waiting: record.waiting.and_then(Written::version).map(|version| (version, why)),
    }
}

/// The tag of a row: whose it is, of which tool, and what it says.
pub(crate) fn tag(key: &MacKey, owner: &[&str; 3], tool: &str, text: &str) -> [u8; 32] {
    let [tenant, scope, server] = owner.map(str::as_bytes);
    key.tag(&[b"tool pin", tenant, scope, server, tool.as_bytes(), text.as_bytes()])
}

/// What is to be kept after a look, in the place of what was.
pub(crate) fn changed(kept: &HashMap<Box<str>, Pin>, look: &Look<'_>, now: SystemTime) -> Vec<Pin> {
    let version = |one: &Offered| Version { hash: one.hash, text: one.text.to_string(), at: now };
    let new = |one: &Offered| Pin {
        tool: one.tool.to_string(),
        approved: None,
        by_person: false,
        waiting: None,
    };
    let first = look.first.iter().map(|one| Pin { approved: Some(version(one)), ..new(one) });
    let waiting = look.waiting.iter().map(|(one, why)| {
        let old = kept.get(&one.tool).cloned().unwrap_or_else(|| new(one));
        Pin { waiting: Some((version(one), *why)), ..old }
    });
    first.chain(waiting).collect()
}

/// What a look has found out.
pub(crate) fn news(look: &Look<'_>) -> Vec<News> {
    let news =
        |(one, why): &(&Offered, Why)| News { tool: one.tool.clone(), hash: one.hash, why: *why };
    look.waiting.iter().map(news).collect()
}

impl Record {
    /// What is written of `pin`.
    pub(crate) fn of(pin: &Pin) -> Self {
        Self {
            approved: pin.approved.as_ref().map(Written::of),
            by_person: pin.by_person,
            waiting: pin.waiting.as_ref().map(|(version, _)| Written::of(version)),
            why: pin.waiting.as_ref().map(|(_, why)| why.as_str().to_owned()),
        }
    }

    /// As it is written.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

impl Written {
    fn of(version: &Version) -> Self {
        let since = version.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Self { hash: version.hash.to_string(), text: version.text.clone(), at }
    }

    fn version(self) -> Option<Version> {
        let hash = DefinitionHash::parse(&self.hash)?;
        let at = UNIX_EPOCH + Duration::from_micros(self.at);
        Some(Version { hash, text: self.text, at })
    }
}
