//! `strongroom completions SHELL`: what a shell needs to complete commands and options.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args;
use crate::failure::Failure;
use crate::output::Output;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom completions bash > ~/.local/share/bash-completion/completions/strongroom
  strongroom completions zsh > \"${fpath[1]}/_strongroom\"
  strongroom completions fish > ~/.config/fish/completions/strongroom.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script. `--json` changes nothing: a script is what it is.
pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "strongroom", &mut script);
    output.print(&String::from_utf8_lossy(&script))
}
