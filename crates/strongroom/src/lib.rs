//! The command line of Strongroom and the wiring of its parts.
//!
//! [`environment`] captures what the process was started with; [`args`] is the grammar of the
//! command line; each command is one file under [`commands`]; [`output`] prints, and nothing else
//! does.

pub mod admin;
pub mod alarm;
pub mod announce;
pub mod app;
pub mod args;
pub mod askpass;
pub mod autostart;
pub mod backup;
pub mod browser;
pub mod clients;
pub mod clock;
pub mod commands;
pub mod confirm;
pub mod demo;
pub mod desktop;
pub mod doctor;
pub mod envfile;
pub mod environment;
pub mod failure;
pub mod flags;
pub mod gateway;
pub mod hidden;
pub mod home;
pub mod import;
pub mod jobs;
pub mod keys;
pub mod lacking;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod math;
pub mod near;
pub mod output;
pub mod pins;
pub mod programs;
pub mod providers;
pub mod recording;
pub mod refreshes;
pub mod release;
pub mod remote;
pub mod schedule;
pub mod servers;
pub mod stored;
pub mod supply;
pub mod team;
pub mod templates;
pub mod view;
pub mod widening;

pub use strongroom_config::{self as config, paths};

use std::process::ExitCode;

use environment::Host;
use failure::Failure;
use output::Output;
use strongroom_process::Start;

/// Runs the command that `host` was started with; says how it ended.
pub fn run(host: &Host) -> ExitCode {
    let again = |args| Start {
        args,
        env: host.environment.to_vec(),
        dir: Some(host.directory.clone()),
        ..Start::new(&host.program)
    };
    if let Some(code) = strongroom_process::intermediate(&host.arguments, again) {
        return code;
    }
    if let Some(code) = strongroom_process::guard(&host.arguments, host.environment.to_vec()) {
        return code;
    }
    if let Some(code) = strongroom_process::confine(&host.arguments, host.environment.to_vec()) {
        return code;
    }
    if let Some(code) = askpass::run(host) {
        return code;
    }
    // What starts servers starts often: the whole grammar takes longer to build than a start.
    if let Some(args) = commands::run::Args::plain(&host.arguments) {
        let output = Output::new(host, false);
        return ended(commands::run::run(&args, host, &output), output);
    }
    match args::parse(&host.arguments) {
        Ok(args) => {
            let output = Output::new(host, args.json);
            ended(args.run(host, &output), output)
        }
        Err(stopped) => {
            let output = Output::new(host, args::wants_json(&host.arguments));
            ended(stopped.finish(&output).map(|()| ExitCode::SUCCESS), output)
        }
    }
}

fn ended(done: Result<ExitCode, Failure>, output: Output) -> ExitCode {
    done.unwrap_or_else(|failure| output.fail(&failure).into())
}
