//! `strongroom init`: the home, made once; and a look around.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use strongroom_clients::scan::Finding;
use strongroom_clients::survey::{Found, survey};
use strongroom_model::display::DisplaySafe;
use strongroom_secrets::providers::About;
use strongroom_secrets::settings::{Settings, Tokens};

use crate::admin;
use crate::commands::connect::{place, state};
use crate::commands::shown;
use crate::config::KeySource;
use crate::environment::Host;
use crate::failure::Failure;
use crate::home::{self, DEFAULT_PRINCIPAL};
use crate::output::{Output, Report, Style, table};
use crate::paths::Home;
use crate::providers;

/// Make a home for keys, and look for MCP clients
///
/// Makes the configuration, the vault and the machine key that opens it, for you alone to read.
/// What is there already stays as it is. Then shows the MCP clients on this machine, and where
/// their configurations hold secrets in plain text.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom init")]
pub struct Args {
    /// Where the machine key is kept: chosen once [default: file]
    #[arg(long, value_name = "SOURCE", value_enum)]
    machine_key: Option<Source>,
    /// For machines without a person: changes that widen access need no confirmation
    #[arg(long)]
    headless: bool,
}

/// Where the machine key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    /// In a file that only you can read
    File,
    /// In the system's keychain, so that a copy of your files does not open the vault
    Keychain,
}

/// Makes the home.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let pinned = pins(host);
    let source = source(args.machine_key, &home)?;
    let config = home::first_config_with(args.headless, &source) + &sections(&pinned);
    let (vault, made) = home::create(&home, &config, host.clock.clone())?;
    if made.anything() {
        admin::record(host, &home, "home.create", if args.headless { "headless" } else { "home" })?;
    }
    let stored = vault.list().map_err(home::HomeError::from)?.len();
    let parts = [
        Part { what: "configuration", path: home.config_file(), new: made.config },
        Part { what: "vault", path: home.vault_file(), new: made.vault },
        Part { what: "machine key", path: home::key_place(&home, &source), new: made.key },
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
        programs: if made.config { pinned } else { BTreeMap::new() },
        host,
    })
}

/// The programs of providers that are in no directory of the system, but in the `PATH` of the person
/// who runs this. They are pinned once, with the first configuration: later a token is there, which
/// another `PATH` must not lead to another program.
fn pins(host: &Host) -> BTreeMap<&'static str, PathBuf> {
    let context = providers::context(host, Tokens::default());
    let pin = |about: About| {
        let none = Settings::default();
        strongroom_secrets::providers::program(&about, &none, &context)?.err()?;
        let path = strongroom_secrets::providers::program_in_path(&about, &context)?;
        let mut pinned = none;
        pinned.texts.insert("program".to_owned(), path.to_str()?.to_owned());
        // One that others could change is no better for being in `PATH`.
        strongroom_secrets::providers::program(&about, &pinned, &context)?.ok()?;
        Some((about.scheme, path))
    };
    strongroom_secrets::providers::every().filter_map(pin).collect()
}

fn sections(pins: &BTreeMap<&'static str, PathBuf>) -> String {
    let section = |(scheme, path): (&&str, &PathBuf)| {
        let path = toml_edit::Value::from(path.display().to_string());
        format!("\n# Found in PATH by `strongroom init`.\n[providers.{scheme}]\nprogram = {path}\n")
    };
    pins.iter().map(section).collect()
}

/// Where the key of this home is, or is to be. It is chosen once.
fn source(asked: Option<Source>, home: &Home) -> Result<KeySource, Failure> {
    if home.config_file().exists() {
        let there = KeySource::of(home)?;
        let same = match asked {
            None => true,
            Some(Source::File) => there == KeySource::File,
            Some(Source::Keychain) => there != KeySource::File,
        };
        let moved = "to move it: `strongroom backup`, `strongroom uninstall --purge`, \
                     `strongroom init --machine-key SOURCE`, `strongroom restore FILE`";
        return if same {
            Ok(there)
        } else {
            let place = home::key_place(home, &there).display().to_string();
            Err(Failure::failed(format!("the machine key of this home is at `{place}` already"))
                .hint(moved))
        };
    }
    Ok(match asked {
        None | Some(Source::File) => KeySource::File,
        Some(Source::Keychain) if home.is_own() => {
            let mut id = [0; 8];
            strongroom_seal::random(&mut id).map_err(Failure::failed)?;
            KeySource::keychain_of(&strongroom_seal::hex(&id))
        }
        Some(Source::Keychain) => KeySource::keychain(),
    })
}

/// The next command for somebody who has `stored` secrets and these clients.
fn next(stored: usize, clients: &[Found]) -> String {
    if clients.iter().any(|found| !found.secrets.is_empty()) {
        return "strongroom import".to_owned();
    }
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
    /// The programs of providers that were pinned.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    programs: BTreeMap<&'static str, PathBuf>,
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
        text.push_str(
            "\nFor the day that this disk is lost: `strongroom backup` keeps a sealed copy.\n",
        );

        if !self.programs.is_empty() {
            let row = |(scheme, path): (&&str, &PathBuf)| {
                vec![format!("  {scheme}"), shown(path, &self.host.environment)]
            };
            let rows: Vec<_> = self.programs.iter().map(row).collect();
            text.push_str(
                "\nPrograms that secrets are asked of, from your PATH; no other will be run:\n\n",
            );
            text.push_str(&table(&rows));
        }

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
            let row = |finding: &Finding| {
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
