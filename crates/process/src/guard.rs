//! A process between us and a program, which outlives us for as long as it takes to end everything
//! that the program started.
//!
//! It is this program too, told by its first argument. On Unix it leads a session of its own and
//! holds the end of a pipe whose other end is ours: when that closes, because we want the program to
//! end or because we are gone, it ends the program's group. On Linux what leaves the group becomes
//! the guard's own child and is ended with the rest. On Windows the guard is in a job that ends with
//! it.
//!
//! The guard ends as the program did, so that whoever waits for it learns what became of the
//! program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::group::{self, Group};
use super::{Child, Start, StartError, Stream};

/// The first argument of a guard.
pub const GUARD: &str = "__guard";

/// How a guard is started.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// This program, which hands its arguments to [`guard`] before anything else.
    pub program: PathBuf,
    /// A folder that is removed with all that is in it when the program has ended.
    pub scratch: Option<PathBuf>,
    /// The control group that it and the program are in.
    pub group: Option<Arc<Group>>,
}

/// What says that a program was not started, because what was to bound it could not be had.
const UNBOUNDED: u8 = 125;

/// Our end of the line that a guard lives by.
pub(crate) type Line = Option<platform::Line>;

impl Guard {
    /// Starts `start` under a guard.
    pub(crate) fn start(&self, start: &Start) -> Result<(Child, Line), StartError> {
        let name = start.name.clone().unwrap_or_else(|| start.program.clone().into_os_string());
        let group = self.group.as_ref().map(|group| group.path().to_owned());
        let folders = [self.scratch.clone(), group].map(Option::unwrap_or_default);
        let [scratch, group] = folders.map(PathBuf::into_os_string);
        let words = [scratch, group, name];
        let mut args: Vec<OsString> = words.into();
        args.push(crate::child::file(start).into_os_string());
        args.extend(start.args.iter().cloned());
        let guard = Start { program: self.program.clone(), name: None, args, ..start.clone() };
        platform::start(guard)
            .map_err(|source| StartError { program: self.program.clone(), source })
    }
}

/// What a guard does, where `arguments` say that this is one: starts the program with the variables
/// `env`, waits for it, and leaves nothing of it behind.
pub fn guard(arguments: &[OsString], env: Vec<(OsString, OsString)>) -> Option<ExitCode> {
    let [_, first, inherited, scratch, group, name, program, args @ ..] = arguments else {
        return None;
    };
    if first != GUARD {
        return None;
    }
    let inherit = Stream::Inherit;
    let start = Start {
        name: Some(name.clone()),
        args: args.to_vec(),
        env,
        stdin: inherit,
        stdout: inherit,
        stderr: inherit,
        ..Start::new(program)
    };
    let clean_up = || {
        if !scratch.is_empty() {
            // Whoever started us tries as well.
            drop(std::fs::remove_dir_all(scratch));
        }
    };
    let enter = || if group.is_empty() { Ok(()) } else { group::enter(Path::new(group)) };
    Some(platform::stand(&start, inherited, &enter, &clean_up))
}

#[cfg(unix)]
mod platform {
    use std::ffi::OsStr;
    use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{ExitCode, ExitStatus};
    use std::sync::Arc;
    use std::thread;

    use rustix::io::{FdFlags, fcntl_setfd};
    use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group};

    use crate::capture::GRACE;
    use crate::{Child, Start};

    pub(crate) type Line = PipeWriter;

    pub(super) fn start(mut guard: Start) -> io::Result<(Child, Option<Line>)> {
        let (theirs, ours) = io::pipe()?;
        let theirs = Arc::new(OwnedFd::from(theirs));
        let mut numbers = theirs.as_raw_fd().to_string();
        guard.inherit = vec![theirs];
        if let Some(image) = guard.image.take() {
            let image: OwnedFd = image.try_clone()?.into();
            numbers = format!("{numbers},{}", image.as_raw_fd());
            // The number that it is started from is that of the copy.
            let program = guard.args.get_mut(3).ok_or(io::ErrorKind::InvalidInput)?;
            *program = crate::child::opened(&image).into_os_string();
            guard.inherit.push(Arc::new(image));
        }
        guard.args.splice(0..0, [super::GUARD.into(), numbers.into()]);
        guard.session = true;
        Ok((crate::child::start(&guard)?, Some(ours)))
    }

    pub(super) fn stand(
        start: &Start,
        inherited: &OsStr,
        enter: &dyn Fn() -> io::Result<()>,
        clean_up: &dyn Fn(),
    ) -> ExitCode {
        let Ok((line, _image)) = take(inherited) else { return ExitCode::FAILURE };
        if let Err(error) = enter() {
            // Where nobody reads it, the exit code says it.
            let why = "the server was not started, because its control group cannot be entered";
            drop(writeln!(io::stderr(), "{why}: {error}"));
            clean_up();
            return ExitCode::from(super::UNBOUNDED);
        }
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Some(getpid()));
        let status = start.start().map_err(|error| error.source).and_then(|mut child| {
            let group = child.pid();
            let_go();
            watch(line, group);
            child.wait_until_gone()?;
            let _ = kill_process_group(group, Signal::KILL);
            child.wait()
        });
        end_the_rest();
        clean_up();
        match status {
            Ok(status) => end_as(status),
            Err(error) if error.kind() == io::ErrorKind::NotFound => ExitCode::from(127),
            Err(_) => ExitCode::from(126),
        }
    }

    /// From now on only the program and what it starts hold its pipes: their end is its own.
    fn let_go() {
        let Ok(nothing) = std::fs::File::options().read(true).write(true).open("/dev/null") else {
            return;
        };
        let _ = rustix::stdio::dup2_stdin(&nothing);
        let _ = rustix::stdio::dup2_stdout(&nothing);
        let _ = rustix::stdio::dup2_stderr(&nothing);
    }

    /// The line, and the program's file where that was handed over. From now on they are no business
    /// of the program.
    fn take(numbers: &OsStr) -> io::Result<(PipeReader, Option<OwnedFd>)> {
        let numbers = numbers.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let mut fds = numbers.split(',').map(|number| own(number.parse().ok()));
        let line = fds.next().ok_or(io::ErrorKind::InvalidInput)??;
        Ok((line.into(), fds.next().transpose()?))
    }

    #[expect(unsafe_code, reason = "whoever started us says which descriptors it left open")]
    fn own(number: Option<RawFd>) -> io::Result<OwnedFd> {
        let number = number.filter(|number| *number > 2).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: nothing of ours has opened or closed anything yet, so that nobody else owns it; one
        // that is not open is an error in the next line, and never used.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        Ok(fd)
    }

    /// Ends the group when the other end of the line is closed.
    ///
    /// Invariant: the group's leader is not waited for before the group was ended, so that its id is
    /// the group's for as long as this may run.
    fn watch(mut line: PipeReader, group: Pid) {
        thread::spawn(move || {
            // Nothing is ever written to it.
            drop(line.read(&mut [0]));
            let _ = kill_process_group(group, Signal::TERM);
            thread::sleep(GRACE);
            let _ = kill_process_group(group, Signal::KILL);
        });
    }

    /// Ends what left the group and became ours, and what becomes ours by that.
    fn end_the_rest() {
        while let Ok(ended) = rustix::process::wait(WaitOptions::NOHANG) {
            if ended.is_none() {
                let children = children();
                if children.is_empty() {
                    return;
                }
                for child in children {
                    let _ = kill_process(child, Signal::KILL);
                }
                let _ = rustix::process::wait(WaitOptions::empty());
            }
        }
    }

    fn children() -> Vec<Pid> {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let texts =
            tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let texts: Vec<String> = texts.collect();
        let words = texts.iter().flat_map(|text| text.split_ascii_whitespace());
        words.filter_map(|word| Pid::from_raw(word.parse().ok()?)).collect()
    }

    /// Ends this process as the program ended.
    fn end_as(status: ExitStatus) -> ExitCode {
        if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
            let _ = kill_process(getpid(), signal);
        }
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }
}

#[cfg(windows)]
mod platform {
    use std::ffi::OsStr;
    use std::io;
    use std::process::ExitCode;

    use crate::{Child, Start};

    /// There is none: the guard is ended, and its job with it.
    #[derive(Debug)]
    pub(crate) struct Line;

    pub(super) fn start(mut guard: Start) -> io::Result<(Child, Option<Line>)> {
        guard.args.splice(0..0, [super::GUARD.into(), "-".into()]);
        Ok((crate::child::start(&guard)?, None))
    }

    pub(super) fn stand(
        start: &Start,
        _: &OsStr,
        enter: &dyn Fn() -> io::Result<()>,
        clean_up: &dyn Fn(),
    ) -> ExitCode {
        if enter().is_err() {
            clean_up();
            return ExitCode::from(super::UNBOUNDED);
        }
        let code = start.supervise().ok().and_then(|code| u8::try_from(code & 0xff).ok());
        clean_up();
        ExitCode::from(code.unwrap_or(126))
    }
}
