//! What git calls when it wants a user or a password: hands the question to the broker that runs git,
//! and its answer to git. It holds nothing itself, and away from a run of the broker it gets nothing.

use std::process::ExitCode;

use strongroom_proxy::exec::environment::ASKPASS;

use crate::environment::Host;

/// Asks, where this process was started as git's `askpass`; says how that ended.
pub fn run(host: &Host) -> Option<ExitCode> {
    let door = host.environment.get(ASKPASS)?;
    let [_, question] = host.arguments.as_slice() else { return Some(ExitCode::FAILURE) };
    let answered = question.to_str().is_some_and(|question| ask(door.as_ref(), question).is_ok());
    Some(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(unix)]
fn ask(door: &std::path::Path, question: &str) -> std::io::Result<()> {
    use std::io::{self, Read as _, Write as _};
    use std::net::Shutdown;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use zeroize::Zeroizing;

    /// The longest answer.
    const LONGEST: u64 = 1 << 20;

    let mut stream = UnixStream::connect(door)?;
    stream.write_all(question.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Zeroizing::new(Vec::with_capacity(4 << 10));
    stream.take(LONGEST).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    answer.push(b'\n');
    // Straight to the descriptor: no buffer of ours keeps it.
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    std::fs::File::from(stdout).write_all(&answer)
}

#[cfg(not(unix))]
fn ask(_: &std::path::Path, _: &str) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
