//! Programs that are started and end, and servers that are started and answer.

use std::{
    error::Error,
    process::{Command, Stdio},
    sync::Barrier,
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    numbers::Times,
    one::{Server, program},
};

/// What stands between two commands.
const AND: &str = "+";

/// From start to end of each command, in turn: what else happens on the machine happens to all. The
/// standard library starts them by `posix_spawn`.
pub(crate) fn alternate(times: usize, words: &[String]) -> Result<Value, Box<dyn Error>> {
    let mut commands = commands(words)?;
    let mut all: Vec<Times> = commands.iter().map(|_| Times::default()).collect();
    for _ in 0..times {
        for (command, times) in commands.iter_mut().zip(&mut all) {
            let start = Instant::now();
            let status = command.status()?;
            times.add(start.elapsed());
            if !status.success() {
                return Err(format!("{command:?}: {status}").into());
            }
        }
    }
    Ok(all.iter_mut().map(Times::summary).collect())
}

/// From the start of all commands at once to the end of the last.
pub(crate) fn together(words: &[String]) -> Result<Value, Box<dyn Error>> {
    let mut commands = commands(words)?;
    let start = Instant::now();
    let running: Vec<_> = commands.iter_mut().map(Command::spawn).collect::<Result<_, _>>()?;
    for mut child in running {
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("one of {}: {status}", commands.len()).into());
        }
    }
    Ok(json!({ "us": start.elapsed().as_secs_f64() * 1e6 }))
}

/// From the start of all servers at once to the last one's answer to `initialize`.
pub(crate) fn ready(words: &[String]) -> Result<Value, Box<dyn Error>> {
    let commands: Vec<&[String]> = words.split(|word| word == AND).collect();
    let (line, answered) = (Barrier::new(commands.len() + 1), Barrier::new(commands.len() + 1));
    let session = |command: &[String]| -> Result<(), String> {
        line.wait();
        let server = Server::start(command).and_then(|mut server| {
            server.initialize()?;
            Ok(server)
        });
        answered.wait();
        server.and_then(Server::end).map_err(|error| format!("{command:?}: {error}"))
    };
    thread::scope(|scope| {
        let sessions: Vec<_> =
            commands.iter().map(|command| scope.spawn(|| session(command))).collect();
        line.wait();
        let start = Instant::now();
        answered.wait();
        let time = start.elapsed();
        for session in sessions {
            session.join().map_err(|_| "a session has panicked")??;
        }
        Ok(json!({ "us": time.as_secs_f64() * 1e6 }))
    })
}

fn commands(words: &[String]) -> Result<Vec<Command>, Box<dyn Error>> {
    words
        .split(|word| word == AND)
        .map(|words| {
            let mut command = program(words)?;
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(command)
        })
        .collect()
}
