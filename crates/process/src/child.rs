//! A child and its process group.

use std::io;
use std::path::PathBuf;
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Start, Stream};

/// A child process.
///
/// Dropping it neither ends nor awaits it: its owner calls [`end`](Self::end) or
/// [`wait`](Self::wait).
#[derive(Debug)]
pub struct Child {
    inner: process::Child,
    status: Option<ExitStatus>,
}

/// The longest pause between two looks at a child that we wait for.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn start(start: &Start) -> io::Result<Child> {
    let mut command = command(start);
    detach(&mut command, start);
    Ok(Child { inner: command.spawn()?, status: None })
}

/// What the standard library starts.
#[expect(clippy::disallowed_methods, reason = "this is the place that starts processes")]
pub(crate) fn command(start: &Start) -> Command {
    let mut command = Command::new(file(start));
    #[cfg(unix)]
    if let Some(name) = &start.name {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    command
        .args(&start.args)
        .env_clear()
        .envs(start.env.iter().map(|(name, value)| (name, value)))
        .stdin(stdio(start.stdin))
        .stdout(stdio(start.stdout))
        .stderr(stdio(start.stderr));
    if let Some(dir) = &start.dir {
        command.current_dir(dir);
    }
    command
}

/// What is started: the program's file as it was opened, where it was, else its path.
pub(crate) fn file(start: &Start) -> PathBuf {
    match &start.image {
        #[cfg(target_os = "linux")]
        Some(image) => opened(image),
        _ => start.program.clone(),
    }
}

/// A path that leads to what is open, whatever stands now where it was found.
#[cfg(unix)]
pub(crate) fn opened(file: &impl std::os::fd::AsRawFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// A group of its own; with it, if asked for, a session without a terminal, and descriptors of ours.
#[cfg(unix)]
#[expect(unsafe_code, reason = "what runs between fork and exec is system calls")]
fn detach(command: &mut Command, start: &Start) {
    use std::os::unix::process::CommandExt as _;

    use rustix::io::{FdFlags, fcntl_setfd};

    if start.session {
        let new_session = || {
            close_the_rest();
            Ok(rustix::process::setsid().map(drop)?)
        };
        // SAFETY: `setsid` is async-signal-safe; nothing is allocated and no lock is taken. A new
        // session is a new group too, with the same id, so that the group can be ended as always.
        unsafe { command.pre_exec(new_session) };
    } else {
        command.process_group(0);
    }
    if !start.inherit.is_empty() {
        let inherit = start.inherit.clone();
        let keep = move || inherit.iter().try_for_each(|fd| Ok(fcntl_setfd(fd, FdFlags::empty())?));
        // SAFETY: `fcntl` is async-signal-safe; nothing is allocated and no lock is taken.
        unsafe { command.pre_exec(keep) };
    }
}

/// Ours are close-on-exec; what our caller left open for us beyond 2 is no business of a child that is
/// cut off from our session. Before Linux 5.11 the system cannot do that at once: there it stays open.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no safe wrapper")]
fn close_the_rest() {
    // SAFETY: it changes a flag of descriptors and nothing in memory; a system call is
    // async-signal-safe.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

#[cfg(all(unix, not(target_os = "linux")))]
fn close_the_rest() {}

#[cfg(windows)]
fn detach(command: &mut Command, start: &Start) {
    use std::os::windows::process::CommandExt as _;

    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    if start.session {
        command.creation_flags(CREATE_NO_WINDOW);
    }
}

impl Child {
    /// The process id, which is the id of its group too.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Our end of its descriptor 0, once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin.take()
    }

    /// Our end of its descriptor 1, once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// Our end of its descriptor 2, once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.inner.stderr.take()
    }

    /// Waits until the child has ended by itself.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.inner.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    /// Waits until the child has ended by itself, `timeout` at the longest; `None`: it runs on.
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        if self.wait_until_ended(timeout)? { self.wait().map(Some) } else { Ok(None) }
    }

    /// Says whether the child ended within `timeout`, and leaves its status where it is.
    pub(crate) fn wait_until_ended(&mut self, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_micros(200);
        loop {
            if self.has_ended()? {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Asks the whole group to end, and after `grace` ends what is left of it. Also when the child
    /// itself has ended already, as long as nobody has waited for it: until then its id is taken
    /// and the group is ours.
    pub fn end(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        if !grace.is_zero() {
            self.signal(Signal::Terminate)?;
        }
        self.end_after(grace)
    }

    /// Gives the child `grace` to end by itself, and ends what is left of its group.
    pub(crate) fn end_after(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        if !grace.is_zero() {
            self.wait_until_ended(grace)?;
        }
        self.signal(Signal::Kill)?;
        self.wait()
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Terminate,
    Kill,
}

#[cfg(unix)]
impl Child {
    /// Waits until it has ended, without taking its status: its id stays taken.
    pub(crate) fn wait_until_gone(&self) -> io::Result<()> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid()), options))?;
        Ok(())
    }

    /// Whether it has ended, without taking its status: its id stays taken.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        if self.status.is_some() {
            return Ok(true);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid()), options))?;
        Ok(status.is_some())
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        use rustix::io::Errno;
        use rustix::process::{Signal as Posix, kill_process_group};
        let signal = match signal {
            Signal::Terminate => Posix::TERM,
            Signal::Kill => Posix::KILL,
        };
        match kill_process_group(self.pid(), signal) {
            // macOS says EPERM of a group in which all have ended.
            Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.inner)
    }
}

#[cfg(not(unix))]
impl Child {
    /// Whether it has ended.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.inner.try_wait()?.is_some())
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        match signal {
            Signal::Terminate => Ok(()),
            Signal::Kill => self.inner.kill(),
        }
    }
}

fn stdio(stream: Stream) -> Stdio {
    match stream {
        Stream::Null => Stdio::null(),
        Stream::Inherit => Stdio::inherit(),
        Stream::Pipe => Stdio::piped(),
    }
}
