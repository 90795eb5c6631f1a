//! What people may read about the cache. No secret and no reference is in it, and nothing reads it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_lc_rs::digest;
use serde_json::json;
use strongroom_seal::hex;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::body::{New, time as instant};
use super::scope::Scope;

/// The text of the file for a cache of `entries`, which became the file `bytes`.
pub(super) fn text(
    scope: &Scope,
    generation: u64,
    now: SystemTime,
    entries: &[New<'_>],
    bytes: &[u8],
) -> String {
    let mut schemes: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        *schemes.entry(entry.reference.split("://").next().unwrap_or_default()).or_default() += 1;
    }
    let fetched = |entry: &New<'_>| rfc3339(instant(entry.fetched_at));
    let oldest = entries.iter().min_by_key(|entry| entry.fetched_at).map(fetched);
    let newest = entries.iter().max_by_key(|entry| entry.fetched_at).map(fetched);
    let meta = json!({
        "about": "for people; nothing reads or trusts this file",
        "scope": scope.id(),
        "written_at": rfc3339(now),
        "generation": generation,
        "entries": entries.len(),
        "schemes": schemes,
        "oldest": oldest,
        "newest": newest,
        "sha256": hex(digest::digest(&digest::SHA256, bytes).as_ref()),
    });
    format!("{meta:#}\n")
}

fn rfc3339(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default()
}
