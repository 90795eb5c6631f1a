//! `strongroom mcp`: the MCP servers that there are, and which of them are on.

mod add;
mod at;
mod import;
mod list;
mod pin;
mod remove;
mod show;
mod switch;

use clap::Subcommand;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::paths::Home;
use crate::servers::{self, Places, Servers};

pub use add::widens;
pub use at::at;

/// List, add, remove and switch MCP servers
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Add(Box<add::Args>),
    Import(Box<import::Args>),
    Remove(remove::Args),
    Enable(switch::EnableArgs),
    Disable(switch::DisableArgs),
    Pin(pin::Args),
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list::run(args, host, *output),
        Command::Show(args) => show::run(args, host, *output),
        Command::Add(args) => add::run(args, host, *output),
        Command::Import(args) => import::run(args, host, *output),
        Command::Remove(args) => remove::run(args, host, *output),
        Command::Enable(args) => switch::enable(args, host, *output),
        Command::Disable(args) => switch::disable(args, host, *output),
        Command::Pin(args) => pin::run(args, host, *output),
    }
}

/// The servers as they are seen from the current directory.
fn load(
    host: &Host,
    home: &Home,
    registry: Option<&std::path::Path>,
) -> Result<(Config, Servers), Failure> {
    let config = Config::load_without_services(home)?;
    let places = Places { directory: &host.directory, registry };
    let servers = servers::load(host, home, &config, places)?;
    Ok((config, servers))
}
