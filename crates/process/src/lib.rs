//! Starts child processes, and ends them with everything that they started.
//!
//! A child gets an environment that was written down for it and nothing of ours, the descriptors 0
//! to 2 that were chosen for it, and a process group of its own, which dies with it. All other
//! descriptors of ours are close-on-exec: that is how the standard library and this workspace open
//! them. This is the only place that starts processes.
//!
//! Later issues add the guard that outlives us (so that grandchildren that left the group end too)
//! and the pinned start of a file that was checked.
//!
//! On Windows there are no process groups: [`Child::end`] ends the child itself.

mod child;
mod run;
mod shield;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

pub use child::Child;
pub use run::{Output, RunError, run};
pub use shield::shield;

/// What to start, and with what.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The program: a path. A bare name is looked for in the `PATH` of [`env`](Self::env).
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts; ours where it is `None`.
    pub dir: Option<PathBuf>,
    /// Descriptor 0.
    pub stdin: Stream,
    /// Descriptor 1.
    pub stdout: Stream,
    /// Descriptor 2.
    pub stderr: Stream,
    /// Whether it starts a session of its own, without a terminal: there is then no `/dev/tty` at
    /// which it could ask. Where there are no sessions (Windows) it has no console.
    pub session: bool,
}

/// What a descriptor of a child leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Nothing.
    #[default]
    Null,
    /// What ours leads to.
    Inherit,
    /// Us.
    Pipe,
}

/// A child cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be started", .program.display())]
pub struct StartError {
    /// The program.
    pub program: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Start {
    /// `program` with no arguments, an empty environment, and nothing on its descriptors.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// Starts it.
    pub fn start(&self) -> Result<Child, StartError> {
        child::start(self).map_err(|source| StartError { program: self.program.clone(), source })
    }
}
