//! A short-lived program and what it printed.

use std::hint::black_box;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
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

/// How long what the program left behind may hold its pipes after it and its group have ended.
///
/// Long, because a busy machine may take its time to let the readers read what is there.
const LINGER: Duration = Duration::from_secs(3);

/// Starts a program, writes `input` to it, and collects what it prints, at most `most` bytes of each
/// stream, until it ends. What it leaves behind in its group is ended; what left the group and keeps
/// the pipes is not waited for.
pub fn run(
    start: &Start,
    input: &[u8],
    timeout: Duration,
    most: usize,
) -> Result<Output, RunError> {
    let stdin = if input.is_empty() { Stream::Null } else { Stream::Pipe };
    let start = Start { stdin, stdout: Stream::Pipe, stderr: Stream::Pipe, ..start.clone() };
    let mut child = start.start()?;
    let io = |source| RunError::Io { program: start.program.clone(), source };
    let too_slow = || RunError::Timeout { program: start.program.clone(), timeout };

    if let Some(stdin) = child.stdin() {
        feed(stdin, input.to_vec());
    }
    let (stdout, stderr) = (collect(child.stdout(), most), collect(child.stderr(), most));
    // Whatever happens the group is ended, which closes the pipes and lets the readers go.
    let ended = child.wait_until_ended(timeout);
    let status = child.end(Duration::ZERO).map_err(io)?;
    if !ended.map_err(io)? {
        return Err(too_slow());
    }
    let collected = |stream: Receiver<io::Result<Vec<u8>>>| match stream.recv_timeout(LINGER) {
        Ok(read) => read.map_err(io),
        Err(_) => Err(too_slow()),
    };
    Ok(Output { status, stdout: collected(stdout)?, stderr: collected(stderr)? })
}

/// Writes `input` while the child runs. A child that does not read it is not our error: it says so
/// by its status.
fn feed(mut stdin: ChildStdin, mut input: Vec<u8>) {
    thread::spawn(move || {
        drop(stdin.write_all(&input));
        drop(stdin);
        // It may be a password.
        input.fill(0);
        black_box(&input);
    });
}

fn collect(
    stream: Option<impl Read + Send + 'static>,
    most: usize,
) -> Receiver<io::Result<Vec<u8>>> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let read = stream.map_or_else(|| Ok(Vec::new()), |stream| first(stream, most));
        // Nobody waits any longer.
        drop(send.send(read));
    });
    receive
}

/// The first `most` bytes; the rest is read and dropped, so that the child is not held up.
fn first(mut stream: impl Read, most: usize) -> io::Result<Vec<u8>> {
    // What is printed may be secret: no growing buffer leaves copies of the usual answer behind.
    let mut bytes = Vec::with_capacity(most.min(64 << 10));
    stream.by_ref().take(most as u64).read_to_end(&mut bytes)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(bytes)
}
