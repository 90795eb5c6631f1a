//! How the refreshes in the background went, as far as it shows without a key: those of the user's own
//! cache, and those of projects that have one of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use strongroom_secrets::Scope;
use strongroom_secrets::supply::EntryStatus;

use crate::environment::Host;
use crate::paths::Home;
use crate::providers::failures;

/// A project that was left alone for longer says nothing of how it is today.
const RECENT: Duration = Duration::from_hours(7 * 24);

/// How long ago something was last fetched: the file is written anew each time.
pub fn last(host: &Host, home: &Home) -> Option<Duration> {
    let scopes = std::iter::once(Scope::user()).chain(Scope::projects(&home.cache));
    let files = scopes.map(|scope| scope.directory(&home.cache).join("secrets.enc"));
    let written = files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()?;
    Some(host.clock.now().duration_since(written).unwrap_or_default())
}

/// The providers whose last background refreshes failed, and how often in a row, at the most.
pub fn failing(host: &Host, home: &Home) -> Vec<(String, u32)> {
    let is_recent = |entry: &EntryStatus| {
        let at = entry.last_error.as_ref().map(|error| error.at);
        at.is_some_and(|at| host.clock.now().duration_since(at).unwrap_or_default() < RECENT)
    };
    let mut failing: BTreeMap<String, u32> = BTreeMap::new();
    let caches = failures(host, home);
    for entry in caches.iter().flat_map(|cache| cache.status(&[]).entries) {
        if entry.failures > 0 && is_recent(&entry) {
            let most = failing.entry(entry.reference.scheme().to_owned()).or_default();
            *most = entry.failures.max(*most);
        }
    }
    failing.into_iter().collect()
}
