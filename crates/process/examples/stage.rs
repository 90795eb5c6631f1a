//! A process for the tests to lose: it becomes another program, or starts work that outlives it.
//!
//! `stage replace SCRIPT`, `stage detached SCRIPT`

use std::ffi::OsString;
use std::process::ExitCode;

use strongroom_process::{Start, intermediate, shield};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = intermediate(&arguments, |rest| shell(&rest[0])) {
        return code;
    }
    drop(shield());
    if arguments[1] == "replace" {
        let natural = Start { name: Some("natural".into()), ..shell(&arguments[2]) };
        let error = natural.replace();
        drop(error);
        ExitCode::FAILURE
    } else {
        let mut start = Start::new(std::env::current_exe().unwrap_or_default());
        start.args = vec![arguments[2].clone()];
        start.detached().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
    }
}

fn shell(script: &OsString) -> Start {
    Start {
        args: vec!["-c".into(), script.clone()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..Start::new("/bin/sh")
    }
}
