//! `strongroom secrets refresh`: fetches what servers need, for a person or in the background.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
use strongroom_model::audit::{Draft, Kind, Lookup};
use strongroom_model::ports::ResolveError;
use strongroom_model::reference::{RefError, SecretRef};
use strongroom_model::server::Delivery;
use strongroom_secrets::supply::{Done, How};

use super::Room;
use crate::alarm::{Bell, raise};
use crate::config::audit::{Audit, OnFailure};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style, table};
use crate::refreshes;
use crate::release::{self, Journal};

/// Fetch what servers need, now
///
/// Without names everything is fetched that the servers need which are enabled here. At a terminal
/// it says what it does; otherwise only what went wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom secrets refresh
  strongroom secrets refresh files
  strongroom secrets refresh op://Dev/GitHub/token")]
pub(super) struct Args {
    /// Servers or references
    #[arg(value_name = "SERVER|REFERENCE")]
    what: Vec<What>,
    /// Only what is missing, has expired or nears its end
    #[arg(long)]
    due: bool,
    /// Say only what went wrong
    #[arg(long)]
    quiet: bool,
    /// Look for servers in this registry file, too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

/// What a person names.
#[derive(Clone, Debug)]
enum What {
    Server(String),
    Reference(SecretRef),
}

impl FromStr for What {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        if text.contains("://") {
            text.parse().map(Self::Reference)
        } else {
            Ok(Self::Server(text.to_owned()))
        }
    }
}

/// Fetches.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let room = Room::open(host, args.registry.as_ref())?;
    let talks = host.terminals.stderr && !args.quiet;
    let output = output.quieted(!talks);
    let references = references(&args.what, &room, host)?;
    if talks && !references.is_empty() {
        output.say(&format!("asking for {}", counted(references.len())));
    }
    let how = if args.due { How::Due } else { How::All };
    let refreshed = room.supply.refresh(&references, how);
    if let Some(problem) = &refreshed.problem {
        output.quieted(args.quiet).warn(&release::of_problem(problem));
    }
    if !refreshed.done.is_empty() {
        // What was fetched is kept already: it is used whether or not it is recorded.
        let audit = Audit { on_failure: OnFailure::Warn, ..room.audit };
        Journal { host, home: &room.home, output: &output, audit }
            .append(record(&refreshed.done))?;
    }
    if args.due {
        ring(&refreshed.done, &room, host, output);
    }
    let failed: Vec<&Done> = refreshed.done.iter().filter(|done| done.outcome.is_err()).collect();
    if output.is_json() || talks {
        output.report(&Rows {
            secrets: refreshed.done.iter().map(Row::of).collect(),
            fresh: refreshed.fresh,
        })?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let hint = failed.iter().find_map(|done| done.outcome.as_ref().err()?.hint());
    let error = NotRefreshed::of(&failed, references.len());
    Err(Failure::new(Exit::Unavailable, error).maybe_hint(hint))
}

/// Tells a person of what keeps failing.
fn ring(done: &[Done], room: &Room, host: &Host, output: Output) {
    let failing = refreshes::failing(host, &room.home);
    let bell = Bell::of(host, &room.home, &room.on_failure);
    if let Some(raised) = raise(done, &failing, &bell) {
        // Also where only failures are said: this is the line that the journal keeps.
        let output = output.quieted(false);
        output.warn(&raised.line);
        raised.problems.iter().for_each(|problem| output.warn(problem));
    }
}

/// Which references are meant.
fn references(what: &[What], room: &Room, host: &Host) -> Result<Vec<SecretRef>, Failure> {
    if what.is_empty() {
        return Ok(room.servers.references());
    }
    let mut all = Vec::new();
    for what in what {
        match what {
            What::Reference(reference) => all.push(reference.clone()),
            What::Server(name) => {
                let entry = room.servers.entry(name)?;
                let server = room.servers.server(host, entry, true)?;
                // Nothing is kept for one that asks at each start.
                if server.delivery != Delivery::Runtime {
                    all.extend(server.references().into_iter().cloned());
                }
            }
        }
    }
    Ok(all)
}

fn record(done: &[Done]) -> Draft {
    let lookup = |done: &Done| Lookup {
        reference: done.reference.to_string(),
        from: done.outcome.as_ref().map_or_else(ResolveError::kind, |()| "provider"),
        age_s: None,
    };
    Draft {
        kind: Kind::Refresh,
        count: Some(done.len() as u64),
        references: done.iter().map(lookup).collect(),
        ..Draft::default()
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 secret".to_owned() } else { format!("{count} secrets") }
}

/// Something could not be fetched.
#[derive(Debug)]
struct NotRefreshed {
    lines: Vec<String>,
    all: usize,
}

impl NotRefreshed {
    fn of(failed: &[&Done], all: usize) -> Self {
        let line = |done: &&Done| match &done.outcome {
            Ok(()) => None,
            Err(error) if done.failures > 1 => {
                let times = done.failures;
                Some(format!("`{}`: {error} ({times} times in a row)", done.reference))
            }
            Err(error) => Some(format!("`{}`: {error}", done.reference)),
        };
        Self { lines: failed.iter().filter_map(line).collect(), all }
    }
}

impl fmt::Display for NotRefreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} could not be fetched", self.lines.len(), counted(self.all))?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for NotRefreshed {}

#[derive(Serialize)]
struct Rows {
    secrets: Vec<Row>,
    /// How many needed nothing.
    fresh: usize,
}

#[derive(Serialize)]
struct Row {
    reference: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    failures: u32,
}

impl Row {
    fn of(done: &Done) -> Self {
        Self {
            reference: done.reference.to_string(),
            ok: done.outcome.is_ok(),
            error: done.outcome.as_ref().err().map(ResolveError::kind),
            failures: done.failures,
        }
    }
}

impl Report for Rows {
    fn text(&self, style: Style) -> String {
        let row = |row: &Row| {
            let state = match row.error {
                None => style.green("fetched"),
                Some(error) => style.red(&error.replace('_', " ")),
            };
            vec![row.reference.clone(), state]
        };
        let fresh = match self.fresh {
            0 => String::new(),
            fresh => format!("{} needed nothing\n", counted(fresh)),
        };
        format!("{}{fresh}", table(&self.secrets.iter().map(row).collect::<Vec<_>>()))
    }
}
