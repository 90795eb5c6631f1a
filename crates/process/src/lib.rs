//! Starts child processes, and ends them with everything that they started.
//!
//! A child gets an environment that was written down for it and nothing of ours, the descriptors 0
//! to 2 that were chosen for it, and a process group of its own, which dies with it. All other
//! descriptors of ours are close-on-exec: that is how the standard library and this workspace open
//! them. This is the only place that starts processes.
//!
//! A launched server is no child: [`Start::replace`] puts it in our place. Where the system cannot do
//! that, [`Start::supervise`] waits for it and ends with it. [`Start::detached`] starts work of our
//! own that goes on when we are gone.
//!
//! What a program may use is bounded by [`capture`], and with all that it starts by a [`Group`], where there are any. A [`Guard`] outlives us, so that
//! what left the group ends too. A file that was opened and checked is started as
//! [`image`](Start::image), whatever its path leads to by then.
//!
//! On Windows there are no process groups: [`Child::end`] ends the child itself.

mod capture;
mod child;
mod detached;
mod group;
mod guard;
mod guarded;
mod replace;
mod run;
mod runtime;
mod sandbox;
#[cfg(unix)]
mod session;
mod shield;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use capture::{Bounds, Captured, Ending, Stop, capture};
pub use child::Child;
pub use detached::{DETACHED, intermediate};
pub use group::{Group, Groups, NoGroups};
pub use guard::{GUARD, Guard, guard};
pub use guarded::Guarded;
pub use run::{Output, RunError, run};
pub use runtime::runtime_directory;
pub use sandbox::{CONFINE, Layers, Limits, Missing, Room, Sandbox, confine};
#[cfg(unix)]
pub use session::session_of;
pub use shield::shield;

/// What to start, and with what.
#[derive(Clone, Default)]
pub struct Start {
    /// The program: a path. A bare name is looked for in the `PATH` of [`env`](Self::env).
    pub program: PathBuf,
    /// What it is told its own name is, where that is not the path. Only Unix has this.
    pub name: Option<OsString>,
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
    /// which it could ask. Where there are no sessions (Windows) it has no console. On Linux it has none
    /// of the descriptors beyond 2 that our own caller left open for us, either.
    pub session: bool,
    /// The program's file, opened and checked: it is started from there. Only Linux can do that, and
    /// only with what is no script; elsewhere the path is what counts.
    pub image: Option<Arc<File>>,
    /// Descriptors of ours that it has too, under the same numbers.
    #[cfg(unix)]
    pub inherit: Vec<Arc<std::os::fd::OwnedFd>>,
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

/// Values of the environment may be secret, and arguments may: only names and counts are shown.
impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Start")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &names)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
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
