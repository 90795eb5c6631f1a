//! The MCP servers that are on, the secrets that are kept for them, and what fetches these in time.

use strongroom_gateway::launcher::unpinned;
use strongroom_gateway::registry::Entry;
use strongroom_model::reference::SecretRef;
use strongroom_model::server::Transport;
use strongroom_secrets::CacheProblem;
use strongroom_secrets::supply::{EntryStatus, State, Status};

use super::{Finding, chain, count, unsafe_file};
use crate::commands::shown;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::paths::Home;
use crate::release::{of_problem, span};
use crate::servers::{self, Places, Servers, quoted};
use crate::{pins, refreshes, schedule, supply};

/// So many failures in a row are more than a bad moment.
const MANY: u32 = 3;

pub(super) fn examine(config: &Config, host: &Host, home: &Home) -> Vec<Finding> {
    let places = Places { directory: &host.directory, registry: None };
    let servers = match servers::load(host, home, config, places) {
        Ok(servers) => servers,
        Err(failure) => return vec![of_failure("servers", failure)],
    };
    let mut findings = of_servers(&servers, host, home);
    let needed = servers.references();
    let status = supply::of_all(host, home, config, &servers).status(&needed);
    findings.extend(cache(&status, &needed, host));
    let is_kept =
        |entry: &EntryStatus| entry.state != State::Here && needed.contains(&entry.reference);
    if status.entries.iter().any(is_kept) {
        findings.push(scheduled(schedule::interval(config, &servers), host, home));
    }
    findings.extend(failing(host, home));
    findings
}

fn of_failure(about: &str, failure: Failure) -> Finding {
    let found = failure.error.map(|error| chain(&*error)).unwrap_or_default();
    Finding::problem(about, found, failure.hint)
}

fn of_servers(servers: &Servers, host: &Host, home: &Home) -> Vec<Finding> {
    let catalogue = &servers.catalogue;
    let problems = catalogue.problems.iter();
    let mut findings: Vec<Finding> = problems
        .map(|problem| Finding::problem("servers", problem.to_string(), problem.hint.clone()))
        .collect();
    let before = findings.len();
    findings.extend(catalogue.enabled().filter_map(|entry| of_server(entry, host, home)));
    let on = catalogue.enabled().count();
    if findings.len() == before && on > 0 {
        let found = format!("on here: {on}; nothing stands in their way");
        findings.push(Finding::fine("servers", found));
    }
    findings
}

/// What stands in the way of a server that is on, or is to be known about it.
fn of_server(entry: &Entry, host: &Host, home: &Home) -> Option<Finding> {
    let about = format!("server {}", entry.name);
    if !entry.source.trusted {
        let file = shown(&entry.source.path, &host.environment);
        let found = format!("is on, and from `{file}`, whose text you have not trusted");
        let path = quoted(&entry.source.path.display().to_string());
        return Some(Finding::problem(&about, found, Some(format!("strongroom trust {path}"))));
    }
    let server = match entry.server() {
        Ok(server) => server,
        Err(problem) => {
            return Some(Finding::problem(&about, problem.to_string(), problem.hint.clone()));
        }
    };
    match (pins::apply(home, server), &server.transport) {
        (Err(error), _) => Some(of_failure(&about, error.into())),
        (Ok(None), Transport::Stdio(stdio)) => unpinned(stdio).map(|unpinned| {
            let found = format!("`{}` may start another version at any time", unpinned.runner);
            Finding::warning(&about, found, format!("strongroom mcp pin {}", entry.name))
        }),
        _ => None,
    }
}

fn cache(status: &Status, needed: &[SecretRef], host: &Host) -> Option<Finding> {
    const REFRESH: &str = "strongroom secrets refresh";
    match &status.problem {
        None => {}
        Some(CacheProblem::Unsafe(error)) => return Some(unsafe_file("cache", error)),
        Some(problem @ CacheProblem::Damaged { .. }) => {
            return Some(Finding::warning("cache", of_problem(problem), REFRESH));
        }
        Some(problem) => return Some(Finding::problem("cache", of_problem(problem), None)),
    }
    let kept = status.entries.iter().filter_map(|entry| entry.fetched_at).collect::<Vec<_>>();
    let oldest = kept.iter().min()?;
    let age = span(host.clock.now().duration_since(*oldest).unwrap_or_default());
    let found = format!("opens: {}, the oldest fetched {age} ago", count(kept.len(), "secret"));
    let past = |entry: &&EntryStatus| {
        matches!(entry.state, State::Stale | State::Expired) && needed.contains(&entry.reference)
    };
    match status.entries.iter().filter(past).count() {
        0 => Some(Finding::fine("cache", found)),
        expired => Some(Finding::warning("cache", format!("{found}; expired: {expired}"), REFRESH)),
    }
}

fn scheduled(wanted: schedule::Every, host: &Host, home: &Home) -> Finding {
    const INSTALL: &str = "strongroom schedule install";
    let about = "schedule";
    let found = match schedule::install::found(host) {
        Err(error) => return of_failure(about, error.into()),
        Ok(None) => {
            let found = "none: secrets are refreshed as they are used";
            return Finding::warning(about, found, INSTALL);
        }
        Ok(Some(found)) => found,
    };
    let every = found.every.map_or_else(|| "now and then".to_owned(), schedule::Every::text);
    let by = found.by.name();
    if !found.is_this {
        let text = format!("{by} starts another program than this one");
        return Finding::warning(about, text, INSTALL);
    }
    if !found.has_manager {
        let text = format!("{by}, which does not run for you here");
        return Finding::warning(about, text, INSTALL);
    }
    if found.every.is_some_and(|every| every > wanted) {
        let text = format!("runs every {every}; some secrets need it every {}", wanted.text());
        return Finding::warning(about, text, INSTALL);
    }
    let last = refreshes::last(host, home);
    let last = last.map_or_else(
        || "nothing fetched yet".to_owned(),
        |age| format!("last fetched {} ago", span(age)),
    );
    Finding::fine(about, format!("every {every} by {by}; {last}"))
}

fn failing(host: &Host, home: &Home) -> Vec<Finding> {
    let row = |(provider, failures): (String, u32)| {
        let times = if failures == 1 { "time" } else { "times" };
        let found = format!("`{provider}` has failed {failures} {times} in a row");
        let fix = "strongroom secrets status".to_owned();
        if failures < MANY {
            Finding::warning("refresh", found, fix)
        } else {
            Finding::problem("refresh", found, Some(fix))
        }
    };
    refreshes::failing(host, home).into_iter().map(row).collect()
}
