//! Puts the files of a job in their places, tells the system, and takes both back.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_process::{RunError, Start};

use super::{Job, RenderError};
use crate::environment::Host;
use crate::paths::{Home, Os, PathsError};

/// The most that is read of what a program prints.
pub(crate) const LARGEST: usize = 1 << 20;

/// The file was not put in place or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Where it belongs is not known.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// Its format cannot say what it should.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A path of ours is not text.
    #[error("a service file cannot name a path that is not UTF-8")]
    NotText,
    /// Somebody else wrote the one that is there.
    #[error("{} was not written by Strongroom", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A program of the system could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A program of the system did not do what it was told to.
    #[error("`{command}` failed{}", said(.stderr))]
    Command {
        /// The program and its arguments.
        command: String,
        /// What it wrote to descriptor 2.
        stderr: String,
    },
}

fn said(stderr: &str) -> String {
    stderr.lines().next().map_or_else(String::new, |line| format!(": {line}"))
}

/// What a [`Job`] of this program is made of, as text.
pub(crate) struct Parts {
    program: String,
    variables: Vec<(&'static str, String)>,
    log: String,
}

impl Parts {
    /// The parts of a job of `host`, with the name of its log.
    pub(crate) fn new(host: &Host, log: &str) -> Result<Self, InstallError> {
        let home = Home::locate(&host.environment)?;
        let text = |text: &OsStr| text.to_str().map(str::to_owned).ok_or(InstallError::NotText);
        let variable = |(name, value): (&'static str, &OsStr)| Ok((name, text(value)?));
        Ok(Self {
            program: text(host.program.as_os_str())?,
            variables: Home::variables(&host.environment)
                .into_iter()
                .map(variable)
                .collect::<Result<_, InstallError>>()?,
            log: text(home.state.join(log).as_os_str())?,
        })
    }

    /// What `make` makes of the job with these arguments.
    pub(crate) fn with<T>(&self, arguments: &[&str], make: impl FnOnce(&Job<'_>) -> T) -> T {
        let variables: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        make(&Job { program: &self.program, arguments, variables: &variables, log: &self.log })
    }
}

/// The file's text, if it is there and has our `mark` in it. Somebody else's is not ours to touch.
pub(crate) fn ours(path: &Path, mark: &str) -> Result<Option<String>, InstallError> {
    match read(path)? {
        Some(text) if !text.contains(mark) => Err(InstallError::NotOurs { path: path.to_owned() }),
        text => Ok(text),
    }
}

/// Removes the file.
pub(crate) fn remove_file(path: &Path) -> Result<(), InstallError> {
    std::fs::remove_file(path).map_err(|source| InstallError::Io { path: path.to_owned(), source })
}

/// Runs `commands` where the user's own service manager is; says whether it is. One that `may_fail`
/// by its place in the list is for what is not there yet, or not there any more.
pub(crate) fn tell(
    host: &Host,
    commands: &[Vec<String>],
    may_fail: impl Fn(usize) -> bool,
) -> Result<bool, InstallError> {
    if !has_manager(host) {
        return Ok(false);
    }
    for (at, command) in commands.iter().enumerate() {
        match run_with(host, command, &[]) {
            Err(InstallError::Command { .. }) if may_fail(at) => {}
            other => drop(other?),
        }
    }
    Ok(true)
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), InstallError> {
    let io = |source| InstallError::Io { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(io)?;
    }
    std::fs::write(path, text).map_err(io)
}

pub(crate) fn read(path: &Path) -> Result<Option<String>, InstallError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InstallError::Io { path: path.to_owned(), source }),
    }
}

/// Whether the user's own service manager is running. A container has none.
pub(crate) fn has_manager(host: &Host) -> bool {
    match host.environment.os {
        Os::Linux => host
            .environment
            .get("XDG_RUNTIME_DIR")
            .is_some_and(|directory| Path::new(directory).join("systemd/private").exists()),
        Os::Macos | Os::Windows => true,
    }
}

/// Runs a program of the system with `input`; gives what it printed.
pub(crate) fn run_with(
    host: &Host,
    command: &[String],
    input: &[u8],
) -> Result<Vec<u8>, InstallError> {
    let Some((program, arguments)) = command.split_first() else { return Ok(Vec::new()) };
    let mut start = Start::new(program);
    start.args = arguments.iter().map(Into::into).collect();
    for name in ["PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SystemRoot"] {
        if let Some(value) = host.environment.get(name) {
            start.env.push((name.into(), value.to_owned()));
        }
    }
    let output = strongroom_process::run(&start, input, Duration::from_mins(1), LARGEST)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(InstallError::Command { command: command.join(" "), stderr })
}

#[cfg(unix)]
pub(crate) fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
pub(crate) fn user() -> u32 {
    0
}
