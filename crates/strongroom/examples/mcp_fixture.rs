//! The MCP server that the conformance suite meets behind the gateway; see
//! `strongroom_testkit::fixture`.

#![expect(clippy::print_stderr, reason = "what is wrong is told to whoever started it")]

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match strongroom_testkit::fixture::main(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
