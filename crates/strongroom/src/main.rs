//! The program: captures what it was started with, and hands over.

use std::process::ExitCode;

use strongroom::environment::Host;

fn main() -> ExitCode {
    // Where the system refuses this, all else still holds: it only raises the cost.
    drop(strongroom_process::shield());
    strongroom::run(&Host::capture())
}
