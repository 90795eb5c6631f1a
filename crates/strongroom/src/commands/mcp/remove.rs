//! `strongroom mcp remove`.

use std::sync::Arc;

use serde::Serialize;
use strongroom_gateway::registry::Origin;
use strongroom_store::SecretUse;

use crate::commands::shown;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};
use crate::servers::{self, edit};
use crate::{admin, home, pins};

/// Remove an MCP server from your configuration, and the secrets that were stored for it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom mcp remove files")]
pub(super) struct Args {
    /// The server
    pub(super) name: String,
    /// Keep the secrets that were stored for it
    #[arg(long)]
    keep_secrets: bool,
}

#[derive(Serialize)]
struct Removed {
    removed: String,
    secrets: usize,
}

/// Removes the server.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let (_, servers) = super::load(host, &home, None)?;
    let entry = servers.entry(&args.name)?;
    if entry.source.origin != Origin::User {
        let file = shown(&entry.source.path, &host.environment);
        return Err(Failure::failed(format!(
            "`{}` stands in {file}, not in your own file",
            entry.name
        ))
        .hint(format!("run `strongroom mcp disable {}`", entry.name)));
    }
    let name = entry.name.clone();
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let mut editor = Editor::open(&home)?;
    edit::remove(editor.document(), &name);
    editor.check()?;
    admin::record(host, &home, "server.remove", name.as_str())?;
    // The server first: a secret without a server harms nobody.
    editor.save()?;
    pins::remove(&home, &name)?;
    // A server of this name that comes later is another one.
    vault.pins()?.forget(&servers::scope(&entry.source), &name)?;
    let mut secrets = 0;
    if !args.keep_secrets {
        for stored in vault.list()? {
            if stored.used_by == SecretUse::Launch(name.clone()) {
                vault.remove(&stored.name)?;
                secrets += 1;
            }
        }
    }
    output.report(&Removed { removed: name.to_string(), secrets })
}

impl Report for Removed {
    fn text(&self, _: Style) -> String {
        let secrets = match self.secrets {
            0 => String::new(),
            1 => " and 1 secret".to_owned(),
            many => format!(" and {many} secrets"),
        };
        format!("removed `{}`{secrets}\n", self.removed)
    }
}
