//! `strongroom lock` and `unlock`: the kill switch.
//!
//! Anybody may lock; a part can be locked although nothing else works any more: without a key, with
//! a broken configuration. Only a person unlocks (decision 28).

mod at;

use std::sync::Arc;

use serde::Serialize;
use strongroom_model::lock::{Locks, Part};
use strongroom_model::principal::Name;
use strongroom_store::LockFile;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::paths::Home;
use crate::{admin, confirm, home, servers};

pub use at::{at, unlock_at};

/// Stop every call and every start, in all running processes, at once
///
/// With a name, only that service, principal or MCP server. It holds until `strongroom unlock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom lock
  strongroom lock stripe
  strongroom lock --principal claude-code
  strongroom lock --show")]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// Change nothing: print what is locked
    #[arg(long, conflicts_with_all = ["name", "service", "principal", "server"])]
    show: bool,
}

/// Undo `strongroom lock`; a person confirms it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom unlock
  strongroom unlock stripe")]
pub struct UnlockArgs {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct What {
    /// A service, a principal or an MCP server; without one: everything
    name: Option<Name>,
    /// The service of this name
    #[arg(long, value_name = "NAME")]
    service: Option<Name>,
    /// The principal of this name
    #[arg(long, value_name = "NAME")]
    principal: Option<Name>,
    /// The MCP server of this name
    #[arg(long, value_name = "NAME")]
    server: Option<Name>,
}

#[derive(Serialize)]
struct State {
    changed: bool,
    locked: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    part: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    since: String,
}

/// Locks.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let switch = switch(&home);
    if args.show {
        return output.report(&State { changed: false, locked: rows(&switch.current()) });
    }
    let part = match args.what.given() {
        Some(part) => part,
        None => {
            args.what.name.as_ref().map_or(Ok(Part::Everything), |name| known(name, host, &home))?
        }
    };
    let changed = switch.lock(part.clone(), &*host.clock)?;
    admin::record_if_possible(host, output, "lock", &part.to_string());
    output.report(&State { changed, locked: rows(&switch.current()) })?;
    output.hint("run `strongroom unlock` to undo it");
    Ok(())
}

/// Unlocks.
pub fn unlock(args: &UnlockArgs, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let switch = switch(&home);
    let locks = switch.current();
    let part = match (args.what.given(), &args.what.name) {
        (Some(part), _) => Some(part),
        (None, Some(name)) => Some(locked(name, &locks)?),
        (None, None) => None,
    };
    let open: Vec<&Part> = locks
        .iter()
        .map(|locked| &locked.part)
        .filter(|there| part.as_ref().is_none_or(|part| part == *there))
        .collect();
    if open.is_empty() {
        return output.report(&State { changed: false, locked: rows(&locks) });
    }
    if !Config::load_without_services(&home).is_ok_and(|config| config.headless) {
        let changes: Vec<String> = open.iter().map(|part| format!("unlocks {part}")).collect();
        confirm::by_a_person(&changes, host)?;
    }
    for part in open {
        admin::record(host, &home, "unlock", &part.to_string())?;
    }
    let changed = switch.change(|locks| locks.remove(part.as_ref()))?;
    output.report(&State { changed, locked: rows(&switch.current()) })
}

/// Refuses the start of `server` while that is locked.
pub(crate) fn refuse_start(home: &Home, server: &Name) -> Result<(), Failure> {
    let locks = switch(home).current();
    let Some(part) = locks.stops_start(server) else { return Ok(()) };
    let problem = format!("{part} is locked, so `{server}` is not started");
    Err(Failure::new(Exit::Denied, problem).hint("run `strongroom unlock`"))
}

/// The kill switch of `home`.
pub(crate) fn switch(home: &Home) -> LockFile {
    LockFile::new(&home.state)
}

impl What {
    fn given(&self) -> Option<Part> {
        let service = self.service.clone().map(Part::Service);
        let principal = self.principal.clone().map(Part::Principal);
        service.or(principal).or_else(|| self.server.clone().map(Part::Server))
    }
}

/// Names, and what a name among them stands for.
type Kind<'a> = (&'a [Name], fn(Name) -> Part);

/// What `name` is the name of, as far as that can be found out.
fn known(name: &Name, host: &Host, home: &Home) -> Result<Part, Failure> {
    let config = Config::load(home).ok();
    let services: Vec<Name> = config.iter().flat_map(Config::names).cloned().collect();
    let principals: Vec<Name> = home::open(home, Arc::clone(&host.clock))
        .and_then(|vault| Ok(vault.principals().list()?))
        .map(|list| list.into_iter().map(|info| info.name).collect())
        .unwrap_or_default();
    let places = servers::Places { directory: &host.directory, registry: None };
    let servers = config
        .as_ref()
        .and_then(|config| servers::load(host, home, config, places).ok())
        .map(|servers| servers.catalogue.entries.keys().cloned().collect::<Vec<_>>())
        .unwrap_or_default();
    let kinds: [Kind<'_>; 3] =
        [(&services, Part::Service), (&principals, Part::Principal), (&servers, Part::Server)];
    let mut found = kinds.iter().filter(|(names, _)| names.contains(name));
    match (found.next(), found.next()) {
        (Some((_, part)), None) => Ok(part(name.clone())),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("`{name}` is the name of several things"))
                .hint("give `--service`, `--principal` or `--server`"))
        }
        (None, _) => {
            let all = kinds.iter().flat_map(|(names, _)| names.iter().map(Name::as_str));
            let hint = match near::nearest(name.as_str(), all) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`strongroom lock` without a name locks everything".to_owned(),
            };
            Err(Failure::failed(format!("nothing is called `{name}`")).hint(hint))
        }
    }
}

/// The locked part of this name.
fn locked(name: &Name, locks: &Locks) -> Result<Part, Failure> {
    let is_it = |part: &&Part| name_of(part) == Some(name);
    let mut parts = locks.iter().map(|locked| &locked.part).filter(is_it);
    match (parts.next(), parts.next()) {
        (Some(part), None) => Ok(part.clone()),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several things called `{name}` are locked"))
                .hint("give `--service`, `--principal` or `--server`"))
        }
        (None, _) => Err(Failure::failed(format!("nothing called `{name}` is locked"))
            .hint("run `strongroom lock --show`")),
    }
}

fn name_of(part: &Part) -> Option<&Name> {
    match part {
        Part::Everything => None,
        Part::Service(name) | Part::Principal(name) | Part::Server(name) => Some(name),
    }
}

fn rows(locks: &Locks) -> Vec<Row> {
    let row = |locked: &strongroom_model::lock::Locked| Row {
        part: match locked.part {
            Part::Everything => "everything",
            Part::Service(_) => "service",
            Part::Principal(_) => "principal",
            Part::Server(_) => "server",
        },
        name: name_of(&locked.part).map(ToString::to_string),
        since: i64::try_from(locked.since)
            .ok()
            .and_then(|since| OffsetDateTime::from_unix_timestamp(since).ok())
            .and_then(|since| since.format(&Rfc3339).ok())
            .unwrap_or_default(),
    };
    locks.iter().map(row).collect()
}

impl Report for State {
    fn text(&self, style: Style) -> String {
        if self.locked.is_empty() {
            return "nothing is locked\n".to_owned();
        }
        let head = ["LOCKED", "NAME", "SINCE"].map(|word| style.dim(word)).to_vec();
        let rows = self.locked.iter().map(|row| {
            vec![row.part.to_owned(), row.name.clone().unwrap_or_default(), row.since.clone()]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
