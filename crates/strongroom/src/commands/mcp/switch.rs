//! `strongroom mcp enable` and `disable`: for the project that we are in, or for the user.

use std::path::{Path, PathBuf};

use serde::Serialize;
use strongroom_model::principal::Name;

use crate::admin;
use crate::commands::shown;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};
use crate::servers::{edit, project};

/// Switch an MCP server on, in this project or everywhere
///
/// It is written into the `strongroom.toml` of the project that you are in; no secret ever is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom mcp enable stitch
  strongroom mcp enable stitch --user")]
pub(super) struct EnableArgs {
    #[command(flatten)]
    pub(super) switch: Switch,
}

/// Switch an MCP server off, in this project or everywhere
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom mcp disable stitch
  strongroom mcp disable stitch --project ~/src/site")]
pub(super) struct DisableArgs {
    #[command(flatten)]
    pub(super) switch: Switch,
}

#[derive(Debug, clap::Args)]
pub(super) struct Switch {
    /// The server
    pub(super) name: String,
    /// The project in this directory, instead of the one that you are in
    #[arg(long, value_name = "DIR", conflicts_with = "user")]
    project: Option<PathBuf>,
    /// In your own configuration: everywhere
    #[arg(long)]
    user: bool,
    /// A registry file to look at too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

impl Switch {
    /// What a team server knows nothing of.
    pub(super) fn refuse_places(&self) -> Result<(), Failure> {
        if self.project.is_none() && !self.user && self.registry.is_none() {
            return Ok(());
        }
        Err(Failure::usage(
            "`--project`, `--user` and `--registry` are about files of this machine",
        )
        .hint("leave them out, or add `--local`"))
    }
}

#[derive(Serialize)]
struct Switched {
    server: String,
    on: bool,
    changed: bool,
    file: PathBuf,
    #[serde(skip)]
    shown: String,
}

/// Switches a server on.
pub(super) fn enable(args: &EnableArgs, host: &Host, output: Output) -> Result<(), Failure> {
    let (name, trusted) = known(&args.switch, host)?;
    let switched = switch(&args.switch, host, &name, true)?;
    output.report(&switched)?;
    if let Err(failure) = trusted {
        output.warn(&failure.error.map(|error| error.to_string()).unwrap_or_default());
        if let Some(hint) = failure.hint {
            output.hint(&hint);
        }
    } else {
        output.hint(
            "clients that are connected have its tools from now on; `strongroom connect CLIENT` connects one",
        );
    }
    Ok(())
}

/// Switches a server off.
pub(super) fn disable(args: &DisableArgs, host: &Host, output: Output) -> Result<(), Failure> {
    let (name, _) = known(&args.switch, host)?;
    output.report(&switch(&args.switch, host, &name, false)?)
}

/// The server, which must be there, and why it would not start all the same.
fn known(args: &Switch, host: &Host) -> Result<(Name, Result<(), Failure>), Failure> {
    let home = host.home()?;
    let (_, servers) = super::load(host, &home, args.registry.as_deref())?;
    let entry = servers.entry(&args.name)?;
    let usable = servers.server(host, entry, false).map(|_| ());
    Ok((entry.name.clone(), usable))
}

fn switch(args: &Switch, host: &Host, name: &Name, on: bool) -> Result<Switched, Failure> {
    let home = host.home()?;
    let act = if on { "server.enable" } else { "server.disable" };
    let (file, changed) = if args.user {
        let mut editor = Editor::open(&home)?;
        let changed = edit::switch(editor.document(), name, on);
        editor.check()?;
        admin::record(host, &home, act, name.as_str())?;
        editor.save()?;
        (home.config_file(), changed)
    } else {
        let root = match &args.project {
            Some(directory) => host.directory.join(directory),
            None => root(host),
        };
        if !root.is_dir() {
            let problem = format!("there is no directory `{}`", root.display());
            return Err(Failure::failed(problem));
        }
        admin::record(host, &home, act, name.as_str())?;
        let changed = edit::switch_in_project(&root, name, on)?;
        (root.join(project::FILE), changed)
    };
    let shown = shown(&file, &host.environment);
    Ok(Switched { server: name.to_string(), on, changed, file, shown })
}

fn root(host: &Host) -> PathBuf {
    project::root(&host.directory, host.environment.user_home().ok().map(Path::new))
}

impl Report for Switched {
    fn text(&self, _: Style) -> String {
        let state = if self.on { "on" } else { "off" };
        let was = if self.changed { "is" } else { "was already" };
        format!("`{}` {was} {state}, by {}\n", self.server, self.shown)
    }
}
