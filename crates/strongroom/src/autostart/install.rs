//! Puts the file that keeps `serve --http` running in its place, and removes it again.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_process::{RunError, Start};

use super::{Job, RenderError, place, render, start, stop};
use crate::environment::Host;
use crate::paths::{Os, PathsError};

/// Every file of ours says so; one that does not is not ours to touch.
const MARK: &str = "`strongroom service install`";

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

/// The file and what was done with it.
#[derive(Debug)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// Whether it is another one now.
    pub changed: bool,
    /// Whether the system was told.
    pub told: bool,
    /// What tells it, for a person to type.
    pub commands: Vec<Vec<String>>,
}

/// The text that `install` writes.
pub fn text(host: &Host, arguments: &[&str]) -> Result<String, InstallError> {
    let home = crate::paths::Home::locate(&host.environment)?;
    let utf8 = |path: &'_ Path| path.to_str().map(ToOwned::to_owned).ok_or(InstallError::NotText);
    let program = utf8(&host.program)?;
    let log = utf8(&home.state.join("serve.log"))?;
    let own_home = host.environment.get("STRONGROOM_HOME").map(Path::new).map(utf8).transpose()?;
    let job = Job { program: &program, arguments, home: own_home.as_deref(), log: &log };
    Ok(render(host.environment.os, &job)?)
}

/// Writes the file and tells the system, where there is a system to tell.
pub fn install(host: &Host, arguments: &[&str]) -> Result<Installed, InstallError> {
    let home = crate::paths::Home::locate(&host.environment)?;
    let path = place(&host.environment, &home)?;
    let text = text(host, arguments)?;
    let before = read(&path)?;
    if before.as_deref().is_some_and(|before| !before.contains(MARK)) {
        return Err(InstallError::NotOurs { path });
    }
    let changed = before.as_deref() != Some(text.as_str());
    if changed {
        write(&path, &text)?;
    }
    let os = host.environment.os;
    let mut commands = start(os, user(), &path);
    if os == Os::Linux && before.is_some() && changed {
        commands
            .push(["systemctl", "--user", "restart", "strongroom.service"].map(Into::into).into());
    }
    let told = has_manager(host);
    if told {
        for (at, command) in commands.iter().enumerate() {
            let optional = os == Os::Macos && at == 0;
            match run(host, command) {
                Err(InstallError::Command { .. }) if optional => {}
                other => drop(other?),
            }
        }
    }
    Ok(Installed { path, changed, told, commands })
}

/// Stops the job, removes the file, and makes the system forget it.
pub fn remove(host: &Host) -> Result<Installed, InstallError> {
    let home = crate::paths::Home::locate(&host.environment)?;
    let path = place(&host.environment, &home)?;
    let commands = stop(host.environment.os, user());
    let Some(before) = read(&path)? else {
        return Ok(Installed { path, changed: false, told: false, commands });
    };
    if !before.contains(MARK) {
        return Err(InstallError::NotOurs { path });
    }
    let told = has_manager(host);
    if told {
        for command in &commands {
            match run(host, command) {
                // It is not running, or the system has forgotten it already.
                Err(InstallError::Command { .. }) => {}
                other => drop(other?),
            }
        }
    }
    let io = |source| InstallError::Io { path: path.clone(), source };
    std::fs::remove_file(&path).map_err(io)?;
    Ok(Installed { path, changed: true, told, commands })
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

/// Runs a program of the system; gives what it printed.
fn run(host: &Host, command: &[String]) -> Result<Vec<u8>, InstallError> {
    run_with(host, command, &[])
}

/// The same, with `input` to read.
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
