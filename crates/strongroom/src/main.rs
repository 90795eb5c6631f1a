//! The program: captures what it was started with, and hands over.

use std::process::ExitCode;

use strongroom::environment::Host;

fn main() -> ExitCode {
    strongroom::run(&Host::capture())
}
