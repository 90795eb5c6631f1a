//! `strongroom connect CLIENT`: entries in the client's configuration, and the principal that they
//! stand for. Without a client: which there are.

use std::cell::RefCell;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use serde::Serialize;
use strongroom_clients::edit::Entry;
use strongroom_clients::entries::{self, Servers, Wanted};
use strongroom_clients::survey::{Connection, Found, survey};
use strongroom_clients::{Client, ENTRY, Link, all, find};
use strongroom_gateway::registry::{self, Origin};
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_model::server::Transport;
use strongroom_seal::SecureDir;
use strongroom_store::Vault;

use crate::clients::{Action, Target};
use crate::commands::serve::LISTEN;
use crate::commands::shown;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, table};
use crate::servers::Places;
use crate::{admin, home, servers};

/// Lets one run at a time edit clients' files.
const LOCK: &str = "clients.lock";

/// Let an MCP client use Strongroom
///
/// Writes one entry into the client's configuration and keeps everything else in the file, comments
/// included. Behind it are the broker's tools and those of every server that is enabled, now or later. An
/// entry of ours that starts a server by `strongroom run` is removed: its tools are there already. The
/// file as it was stays beside it as a backup. Without CLIENT: shows the clients.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom connect
  strongroom connect claude-code --dry-run
  strongroom connect cursor --project
  strongroom connect cursor --each")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// The client
    #[arg(value_parser = PossibleValuesParser::new(all().iter().map(|c| c.name.as_str())))]
    client: Option<String>,
    /// Show the change as a diff and write nothing
    #[arg(long, requires = "client")]
    dry_run: bool,
    /// Write this project's configuration (in the current directory) and not the user's
    #[arg(long, requires = "client")]
    project: bool,
    /// Reach a running `strongroom serve --http` with a token of its own
    #[arg(long, requires = "client")]
    http: bool,
    /// The address of `serve --http`
    #[arg(long, requires = "http", default_value_t = format!("http://{LISTEN}/mcp"))]
    url: String,
    /// Write an entry for each enabled server too, which the client starts by `strongroom run`; that of
    /// Strongroom has the broker's tools alone
    #[arg(long, requires = "client")]
    each: bool,
    /// Offer the broker's tools alone, and leave entries of servers as they are
    #[arg(long, requires = "client", conflicts_with = "each")]
    broker_only: bool,
    /// With `--each`: replace entries that have the name of an enabled server
    #[arg(long, requires = "each")]
    replace: bool,
    /// Write the file also where the client does not seem to be installed
    #[arg(long, requires = "client")]
    force: bool,
}

/// Connects a client, or lists them.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let Some(client) = args.client.as_deref().and_then(find) else {
        return output.report(&List { clients: survey(&host.environment), host });
    };
    let target = Target::locate(client, host, args.project)?;
    if !args.force && !args.project {
        target.check_installed(host)?;
    }
    let program = text(&host.program)?;
    let own_home = host.environment.get("STRONGROOM_HOME").map(Path::new).map(text).transpose()?;
    let mut words = vec!["serve", "--as", &client.name];
    if args.each || args.broker_only {
        words.push("--broker-only");
    }
    let plain = if args.http {
        Link::Http { url: &args.url, token: None }
    } else {
        Link::Stdio { command: program, args: &words, home: own_home }
    };
    // First of all: a client that takes no such entry must not get a token.
    let entry = client.entry(ENTRY, &plain)?;
    let servers = if args.each {
        Some(enabled(args, host)?)
    } else if args.broker_only || (args.http && args.project) {
        // A `serve --http` that runs elsewhere knows nothing of this project's servers.
        None
    } else {
        Some(Vec::new())
    };
    let write = |entry: &Entry, dry_run| {
        let wanted = Wanted {
            broker: entry,
            servers: servers.as_deref(),
            program,
            home: own_home,
            replace: args.replace,
        };
        let outcome = RefCell::new(Servers::default());
        let mut done = target.change(Action::Connect, host, dry_run, args.http, |text| {
            let (text, servers) = entries::set(client, text, &wanted)?;
            outcome.replace(servers);
            Ok(text)
        })?;
        done.servers = outcome.into_inner();
        Ok::<_, Failure>(done)
    };
    if args.dry_run {
        let planned = write(&entry, true)?;
        warn_of_foreign(&planned.servers, client, *output);
        return output.report(&planned);
    }

    let home = host.home()?;
    let vault = home::open(&home, host.clock.clone())?;
    let principal: Name = client.name.parse().map_err(Failure::failed)?;
    let _turn = SecureDir::open(&home.state)?.lock(LOCK)?;
    // A file that cannot be edited is refused before anything else is made.
    let planned = write(&entry, true)?;
    let present = if args.http { present(&target, &vault, &principal, &args.url)? } else { None };
    if planned.changed && present.is_none() {
        admin::record(host, &home, "client.connect", &client.name)?;
    }
    vault.principals().ensure(&principal)?;
    let done = if args.http {
        let token = present.map_or_else(|| vault.principals().renew(&principal), Ok)?;
        write(&client.entry(ENTRY, &Link::Http { url: &args.url, token: Some(&token) })?, false)?
    } else {
        write(&entry, false)?
    };
    if args.http {
        output.warn(&format!(
            "{} holds a token that lets whoever reads it call as `{principal}`; it is readable by \
             you alone{}",
            done.shown(),
            if args.project { ", and must not be committed" } else { "" },
        ));
    }
    warn_of_foreign(&done.servers, client, *output);
    output.report(&done)?;
    if args.http {
        output.hint(
            "it needs `strongroom serve --http`: `strongroom service install` keeps it running",
        );
    }
    Ok(())
}

/// The programs that the client is to start: in a project those that are enabled there, else those
/// that the user has enabled everywhere.
fn enabled(args: &Args, host: &Host) -> Result<Vec<Name>, Failure> {
    let home = host.home()?;
    if !home.config_file().exists() {
        return Ok(Vec::new());
    }
    let config = Config::load(&home)?;
    let places = Places { directory: &host.directory, registry: None };
    let catalogue = servers::load(host, &home, &config, places)?.catalogue;
    let is_everywhere = |entry: &registry::Entry| {
        matches!(entry.source.origin, Origin::User | Origin::Catalog)
            && config.switches.enable.contains(&entry.name)
            && !config.switches.disable.contains(&entry.name)
    };
    let is_program = |entry: &registry::Entry| {
        entry.server().is_ok_and(|server| matches!(server.transport, Transport::Stdio(_)))
    };
    let wanted = catalogue.entries.values().filter(|entry| {
        let is_on =
            if args.project { entry.on && entry.source.trusted } else { is_everywhere(entry) };
        is_on && is_program(entry)
    });
    Ok(wanted.map(|entry| entry.name.clone()).collect())
}

/// An entry of the same name that somebody else wrote stays.
fn warn_of_foreign(servers: &Servers, client: &Client, output: Output) {
    for name in &servers.foreign {
        output.warn(&format!(
            "{} has an entry `{name}` of its own, which stays: `--replace` makes it start the \
             server `{name}` of Strongroom",
            client.title()
        ));
    }
}

/// The token in the file, if it is good for `principal` at `url`.
fn present(
    target: &Target,
    vault: &Vault,
    principal: &Name,
    url: &str,
) -> Result<Option<Secret>, Failure> {
    let (Some(Connection::Http { url: present }), Some(token)) = target.connection()? else {
        return Ok(None);
    };
    let token = Secret::new(token.into_bytes());
    let owner = vault.principals().find_by_token(&token)?;
    Ok((present == url && owner.as_ref() == Some(principal)).then_some(token))
}

/// A path as the text that a configuration needs.
pub fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::failed("a configuration in JSON cannot name a path that is not UTF-8")
            .hint("install the program under another path")
    })
}

/// Stop an MCP client from using Strongroom
///
/// Removes the entries that `connect` wrote, those of servers included: from the user's configuration, and from that of the
/// project in the current directory. The principal and its history stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom disconnect claude-code --dry-run")]
pub struct DisconnectArgs {
    /// The client
    #[arg(value_parser = PossibleValuesParser::new(all().iter().map(|c| c.name.as_str())))]
    client: String,
    /// Show the change as a diff and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Change this project's configuration (in the current directory) and never the user's
    #[arg(long)]
    project: bool,
}

/// Disconnects a client.
pub fn disconnect(args: &DisconnectArgs, host: &Host, output: &Output) -> Result<(), Failure> {
    let client = find(&args.client).ok_or_else(|| Failure::usage("there is no such client"))?;
    for target in connected(client, args.project, host, *output)? {
        if args.dry_run {
            output.report(&target.remove(host, true)?)?;
            continue;
        }
        let connection = target.connection()?.0;
        record(connection.as_ref(), client, host, output);
        let done = target.remove(host, false)?;
        if matches!(connection, Some(Connection::Http { .. })) {
            revoke(client, host, output);
        }
        output.report(&done)?;
    }
    Ok(())
}

/// The files of `client` that have our entry: the user's, and the project's where there is one. If
/// none has it, the one that would.
fn connected(
    client: &'static Client,
    project: bool,
    host: &Host,
    output: Output,
) -> Result<Vec<Target>, Failure> {
    let first = Target::locate(client, host, project)?;
    let second = if project { None } else { Target::in_project(client, host) };
    let Some(second) = second else { return Ok(vec![first]) };
    match second.is_ours() {
        Ok(true) if first.is_ours()? => Ok(vec![first, second]),
        Ok(true) => Ok(vec![second]),
        Ok(false) => Ok(vec![first]),
        Err(failure) => {
            let why = failure.error.map_or_else(String::new, |error| error.to_string());
            output.warn(&format!("{why}: an entry of Strongroom in it would be left"));
            Ok(vec![first])
        }
    }
}

/// Records that `client` is disconnected.
pub fn record(connection: Option<&Connection>, client: &Client, host: &Host, output: &Output) {
    if connection.is_some() {
        admin::record_if_possible(host, output, "client.disconnect", &client.name);
    }
}

/// A token that stood in a file, and stands in its backup, is worthless from now on.
pub fn revoke(client: &Client, host: &Host, output: &Output) {
    let renew = || -> Result<(), Failure> {
        let vault = home::open(&host.home()?, host.clock.clone())?;
        let name: Name = client.name.parse().map_err(Failure::failed)?;
        drop(vault.principals().renew(&name)?);
        Ok(())
    };
    if renew().is_err() {
        let name = &client.name;
        output.warn(&format!("the token of `{name}` in the removed entry could not be revoked"));
    }
}

/// The clients, as `connect` without one shows them.
struct List<'a> {
    clients: Vec<Found>,
    host: &'a Host,
}

impl Serialize for List<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.clients.serialize(serializer)
    }
}

impl Report for List<'_> {
    fn text(&self, style: Style) -> String {
        let mut rows = vec![["CLIENT", "STATE", "FILE"].map(ToOwned::to_owned).to_vec()];
        let is_here = |found: &&Found| found.installed || state(found) != "not installed";
        let here: Vec<&Found> = self.clients.iter().filter(is_here).collect();
        for found in &here {
            rows.push(vec![found.name.to_owned(), state(found).into(), place(found, self.host)]);
        }
        let free = self.clients.iter().find(|found| found.installed && found.connection.is_none());
        let next = free.map_or(String::new(), |found| {
            format!("\n{} strongroom connect {}\n", style.bold("Next:"), found.name)
        });
        let others = self.clients.iter().filter(|found| !is_here(found)).map(|found| found.name);
        let others = others.collect::<Vec<_>>().join(", ");
        let here = if here.is_empty() { String::new() } else { format!("{}\n", table(&rows)) };
        format!("{here}Not on this machine: {others}.\n{next}")
    }
}

/// A client's state in a word or two.
pub fn state(found: &Found) -> &'static str {
    match found {
        Found { problem: Some(_), .. } => "unreadable",
        Found { connection: Some(Connection::Stdio { .. }), .. } => "connected",
        Found { connection: Some(Connection::Http { .. }), .. } => "connected by HTTP",
        Found { installed: true, .. } => "not connected",
        Found { installed: false, .. } => "not installed",
    }
}

/// Where a client's file is, for a person.
pub fn place(found: &Found, host: &Host) -> String {
    found.file.as_deref().map_or("-".to_owned(), |file| shown(file, &host.environment))
}
