//! The start of a server: from its entry to what the system is handed.
//!
//! `strongroom run` and the gateway start servers in this one way: it is on, trusted and not locked, it
//! is what was pinned, it gets all of its secrets or none, and that is on record.

use std::ffi::OsString;
use std::path::Path;

use strongroom_gateway::launcher::{self, Place, Plan, System};
use strongroom_gateway::registry::Entry;
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Delivery, Server, Stdio, Transport};
use strongroom_process::Start;

use super::{Servers, room};
use crate::commands::lock;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::paths::Home;
use crate::release::{self, Journal, Released};
use crate::{envfile, pins, supply};

/// What a start stands on.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// What we were started with.
    pub host: &'a Host,
    /// Whose servers they are.
    pub home: &'a Home,
    /// Its configuration.
    pub config: &'a Config,
    /// The servers.
    pub servers: &'a Servers,
    /// Where it is said what is wrong and holds nothing up.
    pub output: &'a Output,
}

/// What the person wants beside what is written down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes<'a> {
    /// Start it though it is not enabled here.
    pub once: bool,
    /// Let secrets stand in its arguments.
    pub visible: bool,
    /// What is added to its own arguments.
    pub more: &'a [OsString],
    /// The registry that the command line names.
    pub registry: Option<&'a Path>,
}

/// A server that may be started, with all that it needs. That is on record.
pub struct Prepared {
    /// What is started.
    pub start: Start,
    /// The secrets that it gets.
    pub released: Released,
}

impl Ground<'_> {
    /// Takes the secrets of `entry` and writes down what is started.
    ///
    /// # Errors
    ///
    /// It is off, untrusted, locked, not what was pinned, or a secret cannot be had.
    pub fn prepare(&self, entry: &Entry, wishes: &Wishes<'_>) -> Result<Prepared, Failure> {
        let Self { host, home, config, servers, output } = *self;
        let server = servers.server(host, entry, wishes.visible)?;
        if !entry.on && !wishes.once {
            return Err(off(&server.name));
        }
        lock::refuse_start(home, &server.name)?;
        let stdio = program(server)?;
        // Before any secret is asked for.
        let pinned = pins::apply(home, server)?;
        if pinned.is_none() {
            warn_if_unpinned(entry, stdio, *output);
        }
        let stdio = pinned.as_ref().unwrap_or(stdio);

        let journal = Journal { host, home, output, audit: config.audit };
        let supply = supply::open(host, home, config, &servers.project);
        let (released, stdio) = match server.delivery {
            Delivery::EnvFile => {
                let read = envfile::read(host, &servers.project, server, stdio, &supply)?;
                if let Some(warning) = &read.warning {
                    output.warn(warning);
                }
                (read.released, read.stdio)
            }
            Delivery::Cached | Delivery::Runtime => {
                let also = || servers.references();
                (release::take(&supply, server, &also, &journal)?, stdio.clone())
            }
        };
        let plan = plan(&stdio, &released, wishes.more, host)?;
        journal.append(released.record(&server.name))?;
        if released.refresh_due {
            refresh_detached(entry, wishes.registry, host, *output);
        }
        let start = as_start(plan);
        let start = match &stdio.isolate {
            Some(isolation) => room::isolated(start, &server.name, isolation, host, home)?,
            None => start,
        };
        Ok(Prepared { start, released })
    }
}

/// Why a server that nobody switched on is not used.
pub(crate) fn off(name: &Name) -> Failure {
    Failure::new(Exit::Denied, format!("the server `{name}` is off here"))
        .hint(format!("run `strongroom mcp enable {name}`, or start it with `--once`"))
}

/// The program of `server`, which must have one.
pub(crate) fn program(server: &Server) -> Result<&Stdio, Failure> {
    match &server.transport {
        Transport::Stdio(stdio) => Ok(stdio),
        Transport::Http { .. } => Err(Failure::failed(format!(
            "`{}` is reached at an address: there is no program to start",
            server.name
        ))
        .hint("`strongroom run` starts servers that have a `command`")),
    }
}

fn warn_if_unpinned(entry: &Entry, stdio: &Stdio, output: Output) {
    let Some(unpinned) = launcher::unpinned(stdio) else { return };
    let what = match &unpinned.package {
        Some(package) => format!("`{package}`"),
        None => "a package".to_owned(),
    };
    output.warn(&format!(
        "`{}` starts {what} in whatever version `{}` fetches; `strongroom mcp pin {}` keeps it as \
         it is today",
        entry.name, unpinned.runner, entry.name
    ));
}

/// What is started, and with what.
fn plan(
    stdio: &Stdio,
    released: &Released,
    extra: &[OsString],
    host: &Host,
) -> Result<Plan, Failure> {
    let place =
        Place { system: System::CURRENT, directory: &host.directory, is_program: &is_program };
    let secrets = |reference: &SecretRef| -> Option<&Secret> { released.get(reference) };
    launcher::plan(stdio, &secrets, host.environment.to_vec(), extra, &place).map_err(|error| {
        let hint = error.hint();
        Failure::failed(error).maybe_hint(hint)
    })
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Fetches what nears its end, in a process that nobody waits for.
fn refresh_detached(entry: &Entry, registry: Option<&Path>, host: &Host, output: Output) {
    let mut words: Vec<OsString> =
        ["secrets", "refresh", "--due", "--quiet"].map(Into::into).into();
    if !entry.on {
        words.push(entry.name.to_string().into());
    }
    if let Some(registry) = registry {
        words.extend(["--registry".into(), registry.as_os_str().to_owned()]);
    }
    let start = Start {
        args: words,
        env: host.environment.to_vec(),
        dir: Some(host.directory.clone()),
        ..Start::new(&host.program)
    };
    // The server starts all the same.
    if start.detached().is_err() {
        output.warn("the secrets could not be refreshed: run `strongroom secrets refresh`");
    }
}

fn as_start(plan: Plan) -> Start {
    Start {
        name: Some(plan.name),
        args: plan.args,
        env: plan.env,
        dir: plan.cwd,
        ..Start::new(plan.program)
    }
}
