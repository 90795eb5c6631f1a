//! How the refreshes in the background went, as far as it shows without a key.

use std::collections::BTreeMap;
use std::time::Duration;

use strongroom_secrets::Scope;

use crate::environment::Host;
use crate::paths::Home;
use crate::providers::failures;

/// How long ago something was last fetched: the file is written anew each time.
pub fn last(host: &Host, home: &Home) -> Option<Duration> {
    let file = Scope::user().directory(&home.cache).join("secrets.enc");
    let written = file.metadata().ok()?.modified().ok()?;
    Some(host.clock.now().duration_since(written).unwrap_or_default())
}

/// The providers whose last background refreshes failed, and how often in a row, at the most.
pub fn failing(host: &Host, home: &Home) -> Vec<(String, u32)> {
    let mut failing: BTreeMap<String, u32> = BTreeMap::new();
    for entry in failures(host, home).status(&[]).entries {
        if entry.failures > 0 {
            let most = failing.entry(entry.reference.scheme().to_owned()).or_default();
            *most = entry.failures.max(*most);
        }
    }
    failing.into_iter().collect()
}
