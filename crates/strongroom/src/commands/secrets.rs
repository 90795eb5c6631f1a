//! `strongroom secrets`: what is stored, what is kept of other stores, and in what state it is.

mod at;
mod refresh;
mod remove;
mod set;
mod status;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::reference::SecretRef;
use strongroom_secrets::{CacheProblem, Supply};

use crate::config::Config;
use crate::config::audit::Audit;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::paths::Home;
use crate::servers::{self, Places, Servers};
use crate::{admin, app, home, release, supply};

pub use at::at;

/// Store secrets, and see to those that are kept of other stores
///
/// What a server needs from a password manager is kept sealed on this machine, so that it starts at
/// once, and also while the password manager cannot be reached. No command here shows a secret.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Set(set::Args),
    /// List what is stored here, with who may use it
    #[command(after_help = "Examples:
  strongroom secrets list
  strongroom secrets list --json")]
    List,
    Remove(remove::Args),
    Status(status::Args),
    Refresh(refresh::Args),
    /// Take secrets of other stores out of the cache
    #[command(after_help = "Examples:
  strongroom secrets forget op://Dev/GitHub/token
  strongroom secrets forget --all")]
    Forget {
        /// Which
        #[arg(value_name = "REFERENCE", required_unless_present = "all")]
        references: Vec<SecretRef>,
        /// Everything
        #[arg(long, conflicts_with = "references")]
        all: bool,
    },
    /// Ask for a secret now, and say whether it can be had
    #[command(after_help = "Example:
  strongroom secrets test op://Dev/GitHub/token")]
    Test {
        /// Which
        reference: SecretRef,
    },
}

/// Does it.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.action {
        Action::Set(args) => set::run(args, host, *output),
        Action::List => list(host, *output),
        Action::Remove(args) => remove::run(args, host, *output),
        Action::Status(args) => status::run(args, host, *output),
        Action::Refresh(args) => refresh::run(args, host, *output),
        Action::Forget { references, all } => forget(references, *all, host, *output),
        Action::Test { reference } => test(reference, host, *output),
    }
}

/// What most of these commands work on.
struct Room {
    home: Home,
    /// The program that is told when refreshes keep failing.
    on_failure: Vec<String>,
    audit: Audit,
    servers: Servers,
    supply: Supply,
}

impl Room {
    fn open(host: &Host, registry: Option<&PathBuf>) -> Result<Self, Failure> {
        let home = host.home()?;
        let config = Config::load_without_services(&home)?;
        let places =
            Places { directory: &host.directory, registry: registry.map(PathBuf::as_path) };
        let servers = servers::load(host, &home, &config, places)?;
        let supply = supply::of_all(host, &home, &config, &servers);
        let (audit, on_failure) = (config.audit, config.cache.on_failure);
        Ok(Self { home, on_failure, audit, servers, supply })
    }
}

fn list(host: &Host, output: Output) -> Result<(), Failure> {
    let vault = home::open(&host.home()?, Arc::clone(&host.clock))?;
    let rows = vault.list()?.into_iter().map(|stored| Stored {
        reference: format!("local://{}", stored.name),
        used_by: stored.used_by.to_string(),
        version: stored.version,
        updated: rfc3339(stored.updated),
    });
    output.report(&List(rows.collect()))
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Stored>);

#[derive(Serialize)]
struct Stored {
    reference: String,
    #[serde(rename = "for")]
    used_by: String,
    version: u64,
    updated: String,
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "nothing is stored yet: run `strongroom secrets set NAME`\n".to_owned();
        }
        let row = |stored: &Stored| {
            let version = format!("version {}", stored.version);
            vec![style.bold(&stored.reference), format!("for {}", stored.used_by), version]
        };
        table(&self.0.iter().map(row).collect::<Vec<_>>())
    }
}

fn forget(references: &[SecretRef], all: bool, host: &Host, output: Output) -> Result<(), Failure> {
    let room = Room::open(host, None)?;
    let forgotten = if all {
        room.supply.clear().map_err(of_problem)?;
        None
    } else {
        Some(room.supply.forget(references).map_err(of_problem)?)
    };
    let subject = if all { "all".to_owned() } else { joined(references) };
    admin::record_if_possible(host, &output, "cache.forget", &subject);
    output.report(&Forgotten { forgotten, all })
}

fn joined(references: &[SecretRef]) -> String {
    references.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[derive(Serialize)]
struct Forgotten {
    /// How many were in the cache, where they were named.
    forgotten: Option<usize>,
    all: bool,
}

impl Report for Forgotten {
    fn text(&self, _: Style) -> String {
        match self.forgotten {
            None => "the cache is empty now\n".to_owned(),
            Some(0) => "none of them was in the cache\n".to_owned(),
            Some(1) => "1 secret is not in the cache any more\n".to_owned(),
            Some(count) => format!("{count} secrets are not in the cache any more\n"),
        }
    }
}

fn test(reference: &SecretRef, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let resolver = supply::resolver(host, &home, &config.providers.settings);
    let answer = app::resolve(&resolver, std::slice::from_ref(reference)).pop();
    match answer {
        Some(Ok(_)) => output.report(&Tested { reference: reference.to_string(), ok: true }),
        Some(Err(error)) => {
            let (exit, hint) = (release::exit_of(&error), error.hint());
            // The test itself is not what is to be done next.
            let hint = hint.filter(|hint| !hint.contains("secrets test"));
            Err(Failure::new(exit, error).maybe_hint(hint))
        }
        None => Err(Failure::failed("this process can do nothing more at the same time")),
    }
}

#[derive(Serialize)]
struct Tested {
    reference: String,
    ok: bool,
}

impl Report for Tested {
    fn text(&self, style: Style) -> String {
        format!("{}  {}\n", self.reference, style.green("ok"))
    }
}

fn of_problem(problem: CacheProblem) -> Failure {
    let hint = match &problem {
        CacheProblem::NoKey(why) => why.fix.clone(),
        CacheProblem::Busy => Some("run the command again".to_owned()),
        _ => None,
    };
    Failure::new(Exit::Unavailable, problem).maybe_hint(hint)
}
