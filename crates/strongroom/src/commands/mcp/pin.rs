//! `strongroom mcp pin`: installs what a server runs, once, and starts that from then on.

use std::path::PathBuf;

use serde::Serialize;
use strongroom_gateway::pin;
use strongroom_model::principal::Name;
use strongroom_model::server::{Server, Transport};

use crate::commands::shown;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};
use crate::paths::Home;
use crate::pins::{self, Pin};
use crate::{admin, confirm};

/// Keep an MCP server as it is: install its package once, and start that
///
/// For servers that are started by `npx`, `uvx`, `pipx run`, `docker run` and their like, which run
/// whatever their registry has today. The exact version is installed with its lock file and without
/// running any script of the package; `run` starts it, and refuses to when it has changed. Run this
/// again to take a new version, or to accept a change. It needs a person: it shows a code at the
/// terminal, to be typed back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom mcp pin files
  strongroom mcp pin files --version 2026.8.31
  strongroom mcp pin files --check
  strongroom mcp pin files --remove")]
pub(super) struct Args {
    /// The server
    name: String,
    /// This version, instead of the one that the registry has today
    #[arg(long, value_name = "V", conflicts_with_all = ["remove", "check"])]
    version: Option<String>,
    /// Read all that was installed, and say whether it is as it was
    #[arg(long, conflicts_with = "remove")]
    check: bool,
    /// Start what the registry has again, and remove what was installed
    #[arg(long)]
    remove: bool,
    /// A registry file to look at too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

/// Pins, checks or removes.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let (config, servers) = super::load(host, &home, args.registry.as_deref())?;
    if args.remove {
        return remove(args, host, &home, &config, output);
    }
    let entry = servers.entry(&args.name)?;
    // Where a secret shows is a matter of starting it.
    let server = servers.server(host, entry, true)?;
    if args.check {
        return check(server, &home, output);
    }
    let Transport::Stdio(stdio) = &server.transport else {
        return Err(nothing(&server.name, "is reached at an address: there is nothing to install"));
    };
    let package = pin::package(stdio).ok_or_else(|| {
        nothing(&server.name, "does not run a package of a registry: there is nothing to install")
    })?;
    let old = pins::read(&home, &server.name);
    output.say(&format!("Installing `{}` ..", package.name));
    let ready =
        pins::install::install(host, &home, &server.name, &package, args.version.as_deref())?;
    // Also the first one: whoever types the command says by `PATH` and by settings of the package
    // manager what is installed, and each later start runs that.
    let change = match &old {
        Ok(Some(old)) => change(&server.name, old, &ready.pin),
        Ok(None) | Err(_) => format!("starts {} as `{}`", shown_as(&ready.pin), server.name),
    };
    let accepted = confirmed(change, host, &home, &config, &server.name).and_then(|()| {
        admin::record(host, &home, "server.pin", server.name.as_str())?;
        Ok(ready.use_it(&home, old.ok().flatten().as_ref())?)
    });
    if accepted.is_err() {
        ready.discard(&home);
    }
    accepted?;
    let folder = pins::folder_of(&home, &server.name);
    output.report(&Pinned::new(&server.name, &ready.pin, shown(&folder, &host.environment)))
}

fn nothing(name: &Name, why: &str) -> Failure {
    Failure::failed(format!("`{name}` {why}"))
        .hint("pin a server that is started by `npx`, `uvx`, `pipx run` or `docker run`")
}

/// `@scope/name 1.2.3`, and what runs it.
fn shown_as(pin: &Pin) -> String {
    let by = pin.program().map(|program| format!(" by `{}`", program.display()));
    format!("{} {}{}", pin.package.name, pin.exact, by.unwrap_or_default())
}

/// What is other code now, for a person.
fn change(name: &Name, old: &Pin, new: &Pin) -> String {
    if (&old.package.name, &old.exact) == (&new.package.name, &new.exact) {
        format!("starts {} as `{name}` as it was installed now", shown_as(new))
    } else {
        format!("starts {} as `{name}` and no longer {}", shown_as(new), shown_as(old))
    }
}

/// Asks a person.
fn confirmed(
    change: String,
    host: &Host,
    home: &Home,
    config: &Config,
    name: &Name,
) -> Result<(), Failure> {
    if config.headless {
        return Ok(());
    }
    confirm::by_a_person(&[change], host).or_else(|error| {
        admin::record(host, home, "server.pin.refused", name.as_str())?;
        Err(error.into())
    })
}

fn check(server: &Server, home: &Home, output: Output) -> Result<(), Failure> {
    let Some(pin) = pins::read(home, &server.name)? else {
        return Err(Failure::failed(format!("`{}` is not pinned", server.name))
            .hint(format!("run `strongroom mcp pin {}`", server.name)));
    };
    pins::apply(home, server)?;
    let same = pin.check_all(home, &server.name)?;
    output.report(&Checked { server: server.name.to_string(), same })?;
    if same {
        return Ok(());
    }
    output.hint(&format!("look at what changed, then run `strongroom mcp pin {}`", server.name));
    Err(Failure::silent(Exit::Denied))
}

/// Also of a server that is in no catalogue any more.
fn remove(
    args: &Args,
    host: &Host,
    home: &Home,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let name: Name = args.name.parse().map_err(Failure::usage)?;
    let there = !matches!(pins::read(home, &name), Ok(None));
    if there {
        let change = format!("starts whatever the registry has as `{name}`");
        confirmed(change, host, home, config, &name)?;
        admin::record(host, home, "server.unpin", name.as_str())?;
    }
    pins::remove(home, &name)?;
    output.report(&Removed { server: name.to_string(), removed: there })
}

#[derive(Serialize)]
struct Pinned {
    server: String,
    package: String,
    version: String,
    /// Files and folders that are looked at before each start.
    watched: usize,
    folder: String,
}

impl Pinned {
    fn new(name: &Name, pin: &Pin, folder: String) -> Self {
        Self {
            server: name.to_string(),
            package: pin.package.name.clone(),
            version: pin.exact.clone(),
            watched: pin.watched(),
            folder,
        }
    }
}

impl Report for Pinned {
    fn text(&self, style: Style) -> String {
        let Self { server, package, version, watched, folder } = self;
        let looked = match watched {
            0 => String::new(),
            count => format!(
                "{count} files and folders under {folder} are looked at before each start.\n"
            ),
        };
        let next = style.bold("Next:");
        format!(
            "`{server}` is pinned: {package} {version}\n{looked}\n{next} strongroom run {server}\n"
        )
    }
}

#[derive(Serialize)]
struct Checked {
    server: String,
    same: bool,
}

impl Report for Checked {
    fn text(&self, _: Style) -> String {
        let what =
            if self.same { "is as it was installed" } else { "has changed since it was pinned" };
        format!("`{}` {what}.\n", self.server)
    }
}

#[derive(Serialize)]
struct Removed {
    server: String,
    removed: bool,
}

impl Report for Removed {
    fn text(&self, _: Style) -> String {
        if self.removed {
            format!("`{}` is pinned no longer.\n", self.server)
        } else {
            format!("`{}` was not pinned; nothing was changed.\n", self.server)
        }
    }
}
