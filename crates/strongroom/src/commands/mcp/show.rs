//! `strongroom mcp show`.

use std::path::PathBuf;

use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::servers::view::ServerView;

/// Show one MCP server: how it starts, which secrets it gets, where it stands
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom mcp show files")]
pub(super) struct Args {
    /// The server
    pub(super) name: String,
    /// A registry file to look at too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

/// Shows the server.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let (_, servers) = super::load(host, &home, args.registry.as_deref())?;
    let entry = servers.entry(&args.name)?;
    output.report(&ServerView::new(host, entry))
}
