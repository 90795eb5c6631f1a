//! The team servers that this machine is logged in to. None is asked: that is `remote show`.

use strongroom_model::display::DisplaySafe;

use super::{Finding, count};
use crate::environment::Host;
use crate::paths::Home;
use crate::remote::kept;

const ABOUT: &str = "team servers";

pub(super) fn examine(home: &Home, host: &Host) -> Option<Finding> {
    // A vault that does not open is a finding of its own.
    let all = kept::vault(host).ok().map(|vault| kept::all(&vault));
    let in_use = match kept::in_use(home) {
        Ok(in_use) => in_use,
        Err(failure) => {
            let found = failure.error.map(|error| error.to_string()).unwrap_or_default();
            return Some(Finding::problem(
                ABOUT,
                found,
                Some("strongroom remote use --none".into()),
            ));
        }
    };
    let all = match all {
        Some(Ok(all)) => all,
        Some(Err(failure)) => {
            let found = failure.error.map(|error| error.to_string()).unwrap_or_default();
            return Some(Finding::problem(ABOUT, found, failure.hint));
        }
        None => return None,
    };
    let Some(name) = in_use else {
        let found = format!("logged in to {}; commands act on this machine", all.len());
        return (!all.is_empty()).then(|| Finding::fine(ABOUT, found));
    };
    let Some(kept) = all.iter().find(|kept| kept.name == name) else {
        let found = format!("`{name}` is in use, and is none of {}", count(all.len(), "login"));
        return Some(Finding::problem(ABOUT, found, Some("strongroom remote use --none".into())));
    };
    let (origin, tenant) = (kept.login.address.origin(), DisplaySafe(&kept.login.tenant));
    let found = format!("commands act on `{name}`: {origin}, tenant {tenant}");
    Some(Finding::warning(ABOUT, found, "strongroom remote use --none"))
}
