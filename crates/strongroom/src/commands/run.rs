//! `strongroom run`: starts an MCP server with exactly its own secrets.
//!
//! This is what a client starts, each time that it starts: the way to a server whose secrets are in
//! the cache builds no provider, no runtime and no grammar of the command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use strongroom_gateway::launcher::{self, Place, Plan, System};
use strongroom_gateway::registry::Entry;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Delivery, Server, Stdio, Transport};
use strongroom_process::Start;

use crate::commands::lock;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::release::{self, Journal, Released};
use crate::servers::{self, Places};
use crate::{envfile, pins, supply};

/// Start an MCP server with exactly its own secrets
///
/// The server gets the few variables that every program needs, its own, and its own secrets; nothing
/// of what opens the places that secrets are in. It takes the place of this process. Where a secret
/// cannot be had it is not started.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[command(after_help = "Examples:
  strongroom run files
  strongroom run files -- --root /srv
  strongroom run files --once")]
pub struct Args {
    /// The server
    server: String,
    /// Start it though it is not enabled here
    #[arg(long)]
    once: bool,
    /// Look for the server in this registry file, too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Let secrets stand in its arguments, where every process of this machine sees them
    #[arg(long)]
    allow_visible_secrets: bool,
    /// Say only why it is not started
    #[arg(long)]
    quiet: bool,
    /// What is added to its own arguments
    #[arg(last = true, value_name = "ARGS")]
    more: Vec<OsString>,
}

/// Starts the server, in our place where the system can do that. Otherwise says how it ended.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<ExitCode, Failure> {
    let output = output.quieted(args.quiet);
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let places = Places { directory: &host.directory, registry: args.registry.as_deref() };
    let servers = servers::load(host, &home, &config, places)?;
    let entry = servers.entry(&args.server)?;
    let server = servers.server(host, entry, args.allow_visible_secrets)?;
    if !entry.on && !args.once {
        return Err(off(&server.name));
    }
    lock::refuse_start(&home, &server.name)?;
    let stdio = program(server)?;
    // Before any secret is asked for.
    let pinned = pins::apply(&home, server)?;
    if pinned.is_none() {
        warn_if_unpinned(entry, stdio, output);
    }
    let stdio = pinned.as_ref().unwrap_or(stdio);

    let journal = Journal { host, home: &home, output: &output, audit: config.audit };
    let (released, stdio) = match server.delivery {
        Delivery::EnvFile => {
            let supply = supply::open(host, &home, &config, &servers.project);
            let read = envfile::read(host, &servers.project, server, stdio, &supply)?;
            if let Some(warning) = &read.warning {
                output.warn(warning);
            }
            (read.released, read.stdio)
        }
        Delivery::Cached | Delivery::Runtime => {
            let supply = supply::open(host, &home, &config, &servers.project);
            let also = || servers.references();
            (release::take(&supply, server, &also, &journal)?, stdio.clone())
        }
    };
    let plan = plan(&stdio, &released, &args.more, host)?;
    journal.append(released.record(&server.name))?;
    if released.refresh_due {
        refresh_detached(args, entry, host, output);
    }
    start(plan)
}

impl Args {
    /// The arguments of a command line that says `run` in the plainest way, as clients do. It is read
    /// without building the whole grammar; every other line goes through that.
    pub fn plain(arguments: &[OsString]) -> Option<Self> {
        let [_, run, words @ ..] = arguments else { return None };
        if run != "run" {
            return None;
        }
        let mut args = Self::default();
        let mut words = words.iter();
        let mut named = false;
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--" => {
                    args.more = words.by_ref().cloned().collect();
                    break;
                }
                "--once" if !args.once => args.once = true,
                "--quiet" if !args.quiet => args.quiet = true,
                "--allow-visible-secrets" if !args.allow_visible_secrets => {
                    args.allow_visible_secrets = true;
                }
                name if !name.starts_with('-') && !name.is_empty() && !named => {
                    name.clone_into(&mut args.server);
                    named = true;
                }
                _ => return None,
            }
        }
        named.then_some(args)
    }
}

/// Why a server that nobody switched on is not used.
pub(crate) fn off(name: &strongroom_model::principal::Name) -> Failure {
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
fn refresh_detached(args: &Args, entry: &Entry, host: &Host, output: Output) {
    let mut words: Vec<OsString> =
        ["secrets", "refresh", "--due", "--quiet"].map(Into::into).into();
    if !entry.on {
        words.push(entry.name.to_string().into());
    }
    if let Some(registry) = &args.registry {
        words.extend(["--registry".into(), registry.clone().into_os_string()]);
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

#[cfg(unix)]
fn start(plan: Plan) -> Result<ExitCode, Failure> {
    Err(Failure::failed(as_start(plan).replace()))
}

#[cfg(not(unix))]
fn start(plan: Plan) -> Result<ExitCode, Failure> {
    let code = as_start(plan).supervise().map_err(Failure::failed)?;
    // A code that does not fit must not look like success.
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[derive(clap::Parser)]
    struct Whole {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_plain_line_is_read_as_the_grammar_reads_it() {
        use clap::Parser as _;

        for words in [
            &["strongroom", "run", "files"][..],
            &["strongroom", "run", "files", "--once", "--quiet", "--", "--root", "/x", "--"],
            &["strongroom", "run", "--allow-visible-secrets", "files", "--"],
        ] {
            let words = line(words);
            let whole = Whole::parse_from(words.iter().skip(1)).args;
            assert_eq!(Args::plain(&words), Some(whole), "{words:?}");
        }
    }

    #[test]
    fn every_other_line_is_left_to_the_grammar() {
        for words in [
            &["strongroom"][..],
            &["strongroom", "run"],
            &["strongroom", "list"],
            &["strongroom", "--json", "run", "files"],
            &["strongroom", "run", "--help"],
            &["strongroom", "run", "files", "more"],
            &["strongroom", "run", "files", "--once", "--once"],
            &["strongroom", "run", "-rf"],
            &["strongroom", "run", ""],
            &["strongroom", "run", "files", "--registry", "f"],
        ] {
            assert_eq!(Args::plain(&line(words)), None, "{words:?}");
        }
    }
}
