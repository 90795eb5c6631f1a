//! `strongroom init`: the home, made once; and a look around.

use std::path::PathBuf;

use serde::Serialize;
use strongroom_model::display::DisplaySafe;

use crate::admin;
use crate::clients::survey::{Found, survey};
use crate::commands::connect::{place, state};
use crate::commands::shown;
use crate::environment::Host;
use crate::failure::Failure;
use crate::home::{self, DEFAULT_PRINCIPAL};
use crate::output::{Output, Report, Style, table};

/// Make a home for keys, and look for MCP clients
///
/// Makes the configuration, the vault and the machine key that opens it, for you alone to read.
/// What is there already stays as it is. Then shows the MCP clients on this machine, and where
/// their configurations hold secrets in plain text.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom init")]
pub struct Args {
    /// Where the machine key is kept
    #[arg(long, value_name = "SOURCE", value_enum, default_value_t = Source::File)]
    machine_key: Source,
    /// For machines without a person: changes that widen access need no confirmation
    #[arg(long)]
    headless: bool,
}

/// Where the machine key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    /// In a file that only you can read
    File,
    /// In the system's keychain (not in this version)
    Keychain,
}

/// Makes the home.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    if args.machine_key == Source::Keychain {
        return Err(Failure::usage("this version keeps the machine key in a file only")
            .hint("`--machine-key keychain` comes with the keychain provider; use `file`"));
    }
    let home = host.home()?;
    let config = home::first_config(args.headless);
    let (vault, made) = home::create(&home, &config, host.clock.clone())?;
    if made.anything() {
        admin::record(host, &home, "home.create", if args.headless { "headless" } else { "home" })?;
    }
    let stored = vault.list().map_err(home::HomeError::from)?.len();
    let parts = [
        Part { what: "configuration", path: home.config_file(), new: made.config },
        Part { what: "vault", path: home.vault_file(), new: made.vault },
        Part { what: "machine key", path: home.machine_key_file(), new: made.key },
        Part { what: "audit", path: home.audit_dir(), new: made.vault },
    ];
    if args.headless && !made.config {
        let file = shown(&home.config_file(), &host.environment);
        output.warn(&format!(
            "{file} is there already and was not changed: write `headless = true` at its top"
        ));
    }
    let clients = survey(&host.environment);
    let next = next(stored, &clients);
    output.report(&Made {
        new: made.anything(),
        principal: DEFAULT_PRINCIPAL,
        parts,
        clients,
        next,
        host,
    })
}

/// The next command for somebody who has `stored` secrets and these clients.
fn next(stored: usize, clients: &[Found]) -> String {
    if stored == 0 {
        return "strongroom add github".to_owned();
    }
    let free = clients.iter().find(|found| found.installed && found.connection.is_none());
    free.map_or("strongroom doctor".to_owned(), |found| {
        format!("strongroom connect {}", found.name)
    })
}

#[derive(Serialize)]
struct Made<'a> {
    new: bool,
    principal: &'static str,
    parts: [Part; 4],
    clients: Vec<Found>,
    next: String,
    #[serde(skip)]
    host: &'a Host,
}

#[derive(Serialize)]
struct Part {
    what: &'static str,
    path: PathBuf,
    new: bool,
}

impl Report for Made<'_> {
    fn text(&self, style: Style) -> String {
        let title = if self.new {
            "Strongroom has a home on this machine."
        } else {
            "Strongroom has a home already; nothing was changed."
        };
        let mut text = format!("{}\n\n", style.bold(title));
        let part = |part: &Part| {
            let path = shown(&part.path, &self.host.environment);
            let new = if part.new { "new" } else { "there" };
            vec![format!("  {}", part.what), new.to_owned(), path]
        };
        text.push_str(&table(&self.parts.iter().map(part).collect::<Vec<_>>()));

        let here = self.clients.iter().filter(|f| f.installed || f.connection.is_some());
        let row = |found: &Found| {
            let path = place(found, self.host);
            vec![format!("  {}", found.name), state(found).to_owned(), path]
        };
        let rows: Vec<_> = here.map(row).collect();
        if rows.is_empty() {
            text.push_str("\nNo MCP client that Strongroom knows is on this machine.\n");
        } else {
            text.push_str("\nMCP clients on this machine:\n\n");
            text.push_str(&table(&rows));
        }
        text.push_str(&self.secrets(style));
        format!("{text}\n{} {}\n", style.bold("Next:"), self.next)
    }
}

impl Made<'_> {
    fn secrets(&self, style: Style) -> String {
        let findings = |found: &Found| {
            let row = |finding: &crate::scan::Finding| {
                // The file's names come from others (AL-09).
                let safe = |text: &str| DisplaySafe(text).to_string();
                let at = safe(&format!("{} {}", finding.place, finding.name));
                let server = safe(&finding.server);
                vec![format!("  {}", found.name), server, at, finding.kind.into()]
            };
            found.secrets.iter().map(row).collect::<Vec<_>>()
        };
        let rows: Vec<_> = self.clients.iter().flat_map(findings).collect();
        let heading = match rows.len() {
            0 => return String::new(),
            1 => "1 secret stands in plain text in their configuration".to_owned(),
            n => format!("{n} secrets stand in plain text in their configuration"),
        };
        format!(
            "\n{},\nwhere every program of yours, and every agent with a shell, can read it:\n\n{}\n\
             `strongroom import --dry-run` shows how they move into the vault.\n",
            style.yellow(&heading),
            table(&rows),
        )
    }
}
