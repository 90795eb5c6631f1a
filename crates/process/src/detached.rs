//! Work of our own that goes on when we are gone.
//!
//! Whoever starts it may become another program a moment later, which knows nothing of a child and
//! would never wait for it. So there is a process in between on Unix: it makes a session of its own,
//! starts the work and ends, and is waited for; the work is the system's child from then on, has no
//! terminal and gets none.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{Start, StartError, Stream};

/// The first argument of the process in between, which is this program too.
pub const DETACHED: &str = "__detached";

impl Start {
    /// Starts the program, which is ours, without a terminal and in a session of its own, and leaves
    /// it alone. It must hand its arguments to [`intermediate`] before anything else.
    pub fn detached(&self) -> Result<(), StartError> {
        let failed = |source| StartError { program: self.program.clone(), source };
        let null = Stream::Null;
        let mut start = Start { stdin: null, stdout: null, stderr: null, ..self.clone() };
        if cfg!(unix) {
            start.args.insert(0, DETACHED.into());
            // Not the leader of a group, which could not make a session.
            let status = crate::child::command(&start).status().map_err(failed)?;
            let refused = || std::io::Error::other("the process in between failed");
            return if status.success() { Ok(()) } else { Err(failed(refused())) };
        }
        Start { session: true, ..start }.start().map(drop)
    }
}

/// What the process in between does, where `arguments` say that this is it: starts `again` with the
/// rest of them, and ends.
pub fn intermediate(
    arguments: &[OsString],
    again: impl FnOnce(Vec<OsString>) -> Start,
) -> Option<ExitCode> {
    let [_, first, rest @ ..] = arguments else { return None };
    if first != DETACHED {
        return None;
    }
    // What it starts is no leader of the session, so that it can never get a terminal.
    #[cfg(unix)]
    if rustix::process::setsid().is_err() {
        return Some(ExitCode::FAILURE);
    }
    let started = again(rest.to_vec()).start();
    Some(if started.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
