//! `strongroom secrets status`: in what state everything is that servers need.

use std::time::SystemTime;

use serde::Serialize;
use strongroom_model::reference::SecretRef;
use strongroom_secrets::CacheProblem;
use strongroom_secrets::supply::{EntryStatus, SchemeStatus, State};

use super::Room;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::release::{of_problem, span};

/// Show the age of every secret that is kept, and what went wrong with it
///
/// Nobody is asked. Ends with 0 where all is fresh, with 3 where something has expired and can only
/// stand in for its provider, and with 4 where a server would not get what it needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom secrets status
  strongroom secrets status --json")]
pub(super) struct Args;

/// Shows it.
pub(super) fn run(_: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let room = Room::open(host, None)?;
    let needed = room.servers.references();
    let status = room.supply.status(&needed);
    let now = host.clock.now();
    let exit = exit(&status.entries, &needed, status.problem.as_ref());
    output.report(&Everything {
        secrets: status.entries.iter().map(|entry| Row::of(entry, &needed, now)).collect(),
        providers: status.schemes.iter().map(|scheme| Shut::of(scheme, now)).collect(),
        problem: status.problem.as_ref().map(of_problem),
    })?;
    if exit == Exit::Done { Ok(()) } else { Err(Failure::silent(exit)) }
}

/// What counts is what servers need; what is kept beside it may be in any state.
fn exit(entries: &[EntryStatus], needed: &[SecretRef], problem: Option<&CacheProblem>) -> Exit {
    if matches!(problem, Some(CacheProblem::NoKey(_))) {
        return Exit::Unavailable;
    }
    let needed = || entries.iter().filter(|entry| needed.contains(&entry.reference));
    // What was never asked for is no trouble: the first start asks.
    let is_lost = |entry: &EntryStatus| match entry.state {
        State::Expired => true,
        State::Missing | State::Here => entry.last_error.is_some(),
        State::Fresh | State::Due | State::Stale => false,
    };
    if needed().any(is_lost) {
        Exit::Unavailable
    } else if needed().any(|entry| entry.state == State::Stale) {
        Exit::Denied
    } else {
        Exit::Done
    }
}

#[derive(Serialize)]
struct Everything {
    secrets: Vec<Row>,
    /// Providers that are left alone at the moment.
    providers: Vec<Shut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct Row {
    reference: String,
    provider: String,
    state: &'static str,
    /// Whether a server that is enabled here needs it.
    needed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable_until: Option<String>,
    /// In a row, by the background refresh.
    failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<Said>,
    #[serde(skip)]
    times: String,
}

#[derive(Serialize)]
struct Said {
    kind: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    at: String,
}

#[derive(Serialize)]
struct Shut {
    provider: String,
    token_rejected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_alone_until: Option<String>,
    #[serde(skip)]
    left: Option<String>,
}

impl Row {
    fn of(entry: &EntryStatus, needed: &[SecretRef], now: SystemTime) -> Self {
        let age = entry.fetched_at.and_then(|at| now.duration_since(at).ok());
        let left = entry.expires_at.and_then(|at| at.duration_since(now).ok());
        let times = match (age, left) {
            (Some(age), Some(left)) => format!("{} old, expires in {}", span(age), span(left)),
            (Some(age), None) => format!("{} old, expired", span(age)),
            _ => String::new(),
        };
        Self {
            reference: entry.reference.to_string(),
            provider: entry.reference.scheme().to_owned(),
            state: entry.state.as_str(),
            needed: needed.contains(&entry.reference),
            age_s: age.map(|age| age.as_secs()),
            fetched_at: entry.fetched_at.map(rfc3339),
            expires_at: entry.expires_at.map(rfc3339),
            usable_until: entry.usable_until.map(rfc3339),
            failures: entry.failures,
            last_error: entry.last_error.as_ref().map(|error| Said {
                kind: error.kind.clone(),
                text: error.text.clone(),
                hint: error.hint.clone(),
                at: rfc3339(error.at),
            }),
            times,
        }
    }

    fn cells(&self, style: Style) -> Vec<String> {
        let state = match self.state {
            "fresh" | "due" | "here" => style.green(self.state),
            "stale" | "missing" => style.yellow(self.state),
            state => style.red(state),
        };
        vec![self.reference.clone(), state, self.times.clone()]
    }
}

impl Shut {
    fn of(scheme: &SchemeStatus, now: SystemTime) -> Self {
        let left = scheme.left_alone_until.and_then(|at| at.duration_since(now).ok());
        Self {
            provider: scheme.scheme.clone(),
            token_rejected: scheme.token_rejected,
            left_alone_until: scheme.left_alone_until.map(rfc3339),
            left: left.map(span),
        }
    }
}

impl Report for Everything {
    fn text(&self, style: Style) -> String {
        let mut lines: Vec<String> = Vec::new();
        if self.secrets.is_empty() {
            lines.push("no server that is enabled here needs a secret, and none is kept\n".into());
        }
        lines.push(table(&self.secrets.iter().map(|row| row.cells(style)).collect::<Vec<_>>()));
        for row in &self.secrets {
            let Some(error) = &row.last_error else { continue };
            let times = match row.failures {
                0 | 1 => String::new(),
                times => format!(" ({times} times in a row)"),
            };
            lines.push(format!("{}: {}{times}\n", style.red(&row.reference), error.text));
            lines.extend(error.hint.iter().map(|hint| format!("  {hint}\n")));
        }
        for shut in &self.providers {
            let left = shut.left.as_ref().map(|left| format!(" for {left}")).unwrap_or_default();
            let why = if shut.token_rejected { ": it does not accept its token" } else { "" };
            lines.push(format!("`{}` is not asked{left}{why}\n", shut.provider));
        }
        if let Some(problem) = &self.problem {
            lines.push(format!("{} {problem}\n", style.yellow("warning:")));
        }
        lines.concat()
    }
}
