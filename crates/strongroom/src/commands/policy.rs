//! `strongroom policy`: what the policy of a service says to a request, without making it.

mod request;
mod simulate;

use clap::Subcommand;

use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;

/// Say what the policy says to a request, without making it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print allow, ask or deny; exit with 0 for allow and 3 for the others
    #[command(after_help = "Examples:
  strongroom policy test stripe POST /v1/charges
  strongroom policy test stripe POST /v1/charges --body '{\"amount\": 4999}'
  strongroom policy test git -- git push origin main")]
    Test(request::Request),
    /// Say which rule decides, which others match, and which conditions are not met
    #[command(after_help = "Examples:
  strongroom policy explain stripe POST /v1/charges
  strongroom policy explain linear POST /graphql --body @query.json")]
    Explain(request::Request),
    /// Say which calls of the audit a changed configuration would decide in another way
    ///
    /// The audit keeps neither queries nor bodies: a call that a condition on one decides cannot be
    /// judged again, and is counted. Exits with 3 where a call would be decided in another way.
    #[command(after_help = "Examples:
  strongroom policy simulate --config changed.toml
  strongroom policy simulate --since 30d --service stripe --json")]
    Simulate(simulate::Simulate),
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Test(request) => request::run(request, true, host, *output),
        Command::Explain(request) => request::run(request, false, host, *output),
        Command::Simulate(args) => simulate::run(args, host, *output),
    }
}
