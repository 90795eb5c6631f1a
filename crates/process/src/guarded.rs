//! A child that is talked to for as long as it is wanted, under a guard.

use std::io;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use super::group::Group;
use super::guard::Line;
use super::{Child, Guard, Start, StartError, Stream};

/// A child under a [`Guard`], with pipes on its three descriptors.
///
/// Dropped, or when we are gone however that came, it is ended with everything that it started: asked
/// first, and made to half a second later.
#[derive(Debug)]
pub struct Guarded {
    /// There until this is dropped.
    child: Option<Child>,
    line: Line,
    /// It is removed when the guard, which is in it, has ended.
    group: Option<Arc<Group>>,
}

impl Guarded {
    /// Starts `start` under `guard`.
    pub fn start(start: &Start, guard: &Guard) -> Result<Self, StartError> {
        let pipe = Stream::Pipe;
        let start = Start { stdin: pipe, stdout: pipe, stderr: pipe, ..start.clone() };
        let (child, line) = guard.start(&start)?;
        Ok(Self { child: Some(child), line, group: guard.group.clone() })
    }

    /// The id of the guard, and of the session of everything that it starts.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Our end of its descriptor 0, once. Closed, the child is to end by itself.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.as_mut()?.stdin()
    }

    /// Our end of its descriptor 1, once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.as_mut()?.stdout()
    }

    /// Our end of its descriptor 2, once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.as_mut()?.stderr()
    }

    /// How it ended, if it has; then nothing of it is left.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        if child.has_ended()? { child.wait().map(Some) } else { Ok(None) }
    }

    /// Has the guard end everything. [`Self::ended`] says when that is done.
    pub fn end(&mut self) {
        self.line = None;
        #[cfg(not(unix))]
        if let Some(child) = &mut self.child {
            drop(child.end(Duration::ZERO));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
        // The guard ends by itself; it must not stay behind as a zombie.
        if let (Ok(None), Some(mut child)) = (self.ended(), self.child.take()) {
            let group = self.group.take();
            let wait = move || {
                drop(child.wait_timeout(Duration::from_mins(1)));
                drop(group);
            };
            drop(std::thread::Builder::new().name("ending".into()).spawn(wait));
        }
    }
}
