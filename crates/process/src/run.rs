//! A short-lived program and what it printed.

use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use super::{Start, StartError, Stream};

/// What a program printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed, the first `most` bytes of it.
    pub stdout: Vec<u8>,
    /// What it printed to descriptor 2, the first `most` bytes of it.
    pub stderr: Vec<u8>,
}

/// A program did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It did not end in time; it and its group have been ended.
    #[error("`{}` did not end within {timeout:?}", .program.display())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// How long it was given.
        timeout: Duration,
    },
    /// It could not be talked to or waited for.
    #[error("`{}` cannot be waited for", .program.display())]
    Io {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts a program, writes `input` to it, and collects what it prints, at most `most` bytes of each
/// stream, until it ends. What it leaves behind in its group is ended; what left the group and keeps
/// the pipes keeps us waiting, so this is for programs that we know.
pub fn run(
    start: &Start,
    input: &[u8],
    timeout: Duration,
    most: usize,
) -> Result<Output, RunError> {
    let stdin = if input.is_empty() { Stream::Null } else { Stream::Pipe };
    let start = Start { stdin, stdout: Stream::Pipe, stderr: Stream::Pipe, ..start.clone() };
    let mut child = start.start()?;
    let program = || start.program.clone();
    let io = |source| RunError::Io { program: program(), source };

    let (stdin, stdout, stderr) = (child.stdin(), child.stdout(), child.stderr());
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child that does not read its input is not our error: it says so by its status.
            stdin.map(|mut stdin| stdin.write_all(input))
        });
        let stdout = scope.spawn(move || stdout.map(|stream| first(stream, most)));
        let stderr = scope.spawn(move || stderr.map(|stream| first(stream, most)));
        // Whatever happens the group is ended, which closes the pipes and lets the readers go.
        let ended = child.wait_until_ended(timeout);
        let status = child.end(Duration::ZERO).map_err(io)?;
        if !ended.map_err(io)? {
            return Err(RunError::Timeout { program: program(), timeout });
        }
        let collected = |reader: thread::ScopedJoinHandle<'_, Option<io::Result<Vec<u8>>>>| {
            reader.join().ok().flatten().transpose().map(Option::unwrap_or_default).map_err(io)
        };
        Ok(Output { status, stdout: collected(stdout)?, stderr: collected(stderr)? })
    })
}

/// The first `most` bytes; the rest is read and dropped, so that the child is not held up.
fn first(mut stream: impl Read, most: usize) -> io::Result<Vec<u8>> {
    // What is printed may be secret: no growing buffer leaves copies of the usual answer behind.
    let mut bytes = Vec::with_capacity(most.min(64 << 10));
    stream.by_ref().take(most as u64).read_to_end(&mut bytes)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(bytes)
}
