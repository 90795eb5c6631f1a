//! The load generator as a program: one command, one line of JSON.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to `cargo xtask bench`")]

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let (options, command) = match words.iter().position(|word| word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (&words[..], &[][..]),
    };
    if let Some(("echo", rest)) = options.split_first().map(|(word, rest)| (word.as_str(), rest)) {
        return match strongroom_testkit::echo::main(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    match strongroom_bench::run(&options, command) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
