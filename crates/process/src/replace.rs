//! A program in our place: what `strongroom run` ends with.

use super::{Start, StartError};

#[cfg(windows)]
#[path = "replace/windows.rs"]
mod job;

impl Start {
    /// Puts the program in the place of this process: same id, same parent, same descriptors 0 to 2,
    /// nothing of us left. Comes back only where that fails.
    ///
    /// The signal mask and the disposition of `SIGPIPE` are the default ones again, and every
    /// descriptor that we opened is closed; what our caller left open for us beyond 2 is the
    /// caller's and stays. The soft limit of core files that [`shield`](crate::shield) set stays at
    /// zero: the program holds secrets, and its memory must not come to lie on a disk. The hard limit
    /// is untouched, so that whoever debugs a server can raise it there. That we were not dumpable
    /// ends by itself.
    ///
    /// Invariant: no thread of ours runs, and nothing that must be written is still in a buffer.
    #[cfg(unix)]
    #[must_use]
    pub fn replace(&self) -> StartError {
        let start = Start {
            stdin: crate::Stream::Inherit,
            stdout: crate::Stream::Inherit,
            stderr: crate::Stream::Inherit,
            ..self.clone()
        };
        let source = std::os::unix::process::CommandExt::exec(&mut crate::child::command(&start));
        StartError { program: start.program, source }
    }

    /// Starts the program, waits for it, and says with which code it ended. It ends when we do,
    /// however we end, and so does all that it started.
    ///
    /// For systems on which a process cannot be replaced. Where there are no job objects either,
    /// what the program leaves behind stays.
    pub fn supervise(&self) -> Result<i32, StartError> {
        let failed = |source| StartError { program: self.program.clone(), source };
        #[cfg(windows)]
        let _job = job::enter().map_err(failed)?;
        let start = Start {
            stdin: crate::Stream::Inherit,
            stdout: crate::Stream::Inherit,
            stderr: crate::Stream::Inherit,
            ..self.clone()
        };
        let status = crate::child::command(&start).status().map_err(failed)?;
        Ok(code(status))
    }
}

/// What a shell would say: 128 and the signal where it was one.
fn code(status: std::process::ExitStatus) -> i32 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128 + signal;
    }
    status.code().unwrap_or(1)
}
