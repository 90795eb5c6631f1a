//! The command line of Strongroom and the wiring of its parts.
//!
//! [`environment`] captures what the process was started with; [`args`] is the grammar of the
//! command line; each command is one file under [`commands`]; [`output`] prints, and nothing else
//! does.

pub mod admin;
pub mod app;
pub mod args;
pub mod autostart;
pub mod backup;
pub mod clients;
pub mod clock;
pub mod commands;
pub mod config;
pub mod confirm;
pub mod demo;
pub mod doctor;
pub mod environment;
pub mod failure;
pub mod flags;
pub mod home;
pub mod import;
pub mod keys;
pub mod output;
pub mod paths;
pub mod providers;
pub mod release;
pub mod scan;
pub mod servers;
pub mod stored;
pub mod supply;
pub mod templates;
pub mod view;
pub mod widening;

use std::process::ExitCode;

use environment::Host;
use output::Output;

/// Runs the command that `host` was started with; says how it ended.
pub fn run(host: &Host) -> ExitCode {
    let (output, done) = match args::parse(&host.arguments) {
        Ok(args) => {
            let output = Output::new(host, args.json);
            let done = args.run(host, &output);
            (output, done)
        }
        Err(stopped) => {
            let output = Output::new(host, args::wants_json(&host.arguments));
            let done = stopped.finish(&output);
            (output, done)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure).into(),
    }
}
