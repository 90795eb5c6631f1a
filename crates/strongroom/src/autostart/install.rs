//! Puts the file that keeps `serve --http` running in its place, and removes it again.

use std::path::PathBuf;

use super::{MARK, place, render, start, stop};
use crate::environment::Host;
use crate::jobs::install::{InstallError, Parts, ours, remove_file, tell, user, write};
use crate::paths::{Home, Os};

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
    let parts = Parts::new(host, "serve.log")?;
    Ok(parts.with(arguments, |job| render(host.environment.os, job))?)
}

/// Writes the file and tells the system, where there is a system to tell.
pub fn install(host: &Host, arguments: &[&str]) -> Result<Installed, InstallError> {
    let home = Home::locate(&host.environment)?;
    let path = place(&host.environment, &home)?;
    let text = text(host, arguments)?;
    let before = ours(&path, MARK)?;
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
    // There is nothing to boot out the first time.
    let told = tell(host, &commands, |at| os == Os::Macos && at == 0)?;
    Ok(Installed { path, changed, told, commands })
}

/// Stops the job, removes the file, and makes the system forget it.
pub fn remove(host: &Host) -> Result<Installed, InstallError> {
    let home = Home::locate(&host.environment)?;
    let path = place(&host.environment, &home)?;
    let commands = stop(host.environment.os, user());
    if ours(&path, MARK)?.is_none() {
        return Ok(Installed { path, changed: false, told: false, commands });
    }
    // It may not be running, or the system may have forgotten it already.
    let told = tell(host, &commands, |_| true)?;
    remove_file(&path)?;
    Ok(Installed { path, changed: true, told, commands })
}
