//! `strongroom mcp list`.

use std::path::PathBuf;

use serde::Serialize;
use strongroom_model::display::DisplaySafe;

use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, table};
use crate::servers::view::ServerView;

/// List the MCP servers, and which of them are on here
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom mcp list
  strongroom mcp list --on --json")]
pub(super) struct Args {
    /// Only those that are on
    #[arg(long, conflicts_with = "all")]
    pub(super) on: bool,
    /// Also those that another one of the same name stands before
    #[arg(long)]
    all: bool,
    /// A registry file to look at too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

impl Args {
    /// What a team server knows nothing of.
    pub(super) fn refuse_registry(&self) -> Result<(), Failure> {
        if self.registry.is_none() && !self.all {
            return Ok(());
        }
        Err(Failure::usage("`--registry` and `--all` are about files of this machine")
            .hint("leave them out, or add `--local`"))
    }
}

#[derive(Serialize)]
struct List {
    servers: Vec<ServerView>,
    problems: Vec<String>,
    #[serde(skip)]
    empty: bool,
}

/// Lists the servers.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let (_, servers) = super::load(host, &home, args.registry.as_deref())?;
    let catalogue = &servers.catalogue;
    let listed = catalogue.entries.values().filter(|entry| entry.on || !args.on);
    let shadowed = catalogue.shadowed.iter().filter(|_| args.all);
    let views: Vec<ServerView> =
        listed.chain(shadowed).map(|entry| ServerView::new(host, entry)).collect();
    let problems: Vec<String> = catalogue.problems.iter().map(ToString::to_string).collect();
    for problem in &problems {
        output.warn(&DisplaySafe(problem).to_string());
    }
    let untrusted = views.iter().any(|view| !view.trusted);
    output.report(&List { empty: catalogue.entries.is_empty(), servers: views, problems })?;
    if untrusted {
        output.hint("look at the files that are not trusted, then run `strongroom trust FILE`");
    }
    Ok(())
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.servers.is_empty() {
            return if self.empty {
                "There are no MCP servers yet.\n\nNext: strongroom import, or strongroom mcp add\n"
                    .to_owned()
            } else {
                "No MCP server is on here.\n\nNext: strongroom mcp list\n".to_owned()
            };
        }
        let head = ["NAME", "HERE", "STARTS", "SECRETS", "TOOLS", "FROM", ""];
        let head = head.map(|word| style.dim(word)).to_vec();
        let rows = self.servers.iter().map(|server| server.row(style));
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
