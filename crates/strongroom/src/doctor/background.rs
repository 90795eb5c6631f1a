//! The MCP servers that are on, the secrets that are kept for them, and what fetches these in time.

use strongroom_gateway::launcher::unpinned;
use strongroom_gateway::registry::Entry;
use strongroom_model::reference::SecretRef;
use strongroom_model::server::Transport;
use strongroom_secrets::supply::{EntryStatus, State, Status};
use strongroom_secrets::{CacheProblem, Supply};

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
    findings.extend(others(&supply::of_others(host, home, config, &servers.project)));
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
    let on = || catalogue.entries.values().filter(|entry| entry.on);
    findings.extend(on().filter_map(|entry| of_server(entry, servers, host, home)));
    let on = on().count();
    if findings.len() == before && on > 0 {
        let found = format!("on here: {on}; nothing stands in their way");
        findings.push(Finding::fine("servers", found));
    }
    findings
}

/// What stands in the way of a server that is on, or is to be known about it.
fn of_server(entry: &Entry, servers: &Servers, host: &Host, home: &Home) -> Option<Finding> {
    let about = format!("server {}", entry.name);
    if !entry.source.trusted {
        let file = shown(&entry.source.path, &host.environment);
        let mut found = format!("is on, and from `{file}`, whose text you have not trusted");
        if let Some(hidden) = servers.hidden_by(entry) {
            let hidden = shown(&hidden.source.path, &host.environment);
            found = format!("{found}; it hides the one from `{hidden}`");
        }
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

/// The caches that other projects have of their own: each must open.
fn others(caches: &[Supply]) -> Vec<Finding> {
    const ABOUT: &str = "caches of projects";
    let problems: Vec<_> = caches.iter().filter_map(|cache| cache.status(&[]).problem).collect();
    if problems.is_empty() && !caches.is_empty() {
        return vec![Finding::fine(ABOUT, format!("open: {}", caches.len()))];
    }
    let finding = |problem: &CacheProblem| match problem {
        CacheProblem::Unsafe(error) => unsafe_file(ABOUT, error),
        CacheProblem::Damaged { .. } => {
            let fix = "run `strongroom secrets refresh` in that project".to_owned();
            let place = problem.path().map(|path| format!(" ({})", path.display()));
            let found = format!("{}{}", of_problem(problem), place.unwrap_or_default());
            Finding::warning(ABOUT, found, fix)
        }
        other => Finding::problem(ABOUT, of_problem(other), None),
    };
    problems.iter().map(finding).collect()
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
