//! Puts the schedule in its place, looks at it, and removes it again.

use std::path::{Path, PathBuf};

use super::{ARGUMENTS, By, Every, InstallTextError, cron, files, places, possible, start, stop};
use crate::environment::Host;
use crate::jobs::install::{
    InstallError, LARGEST, Parts, has_manager, ours, read, remove_file, run_with, tell, user, write,
};
use crate::jobs::xml;
use crate::paths::{Home, Os};

/// Every file of ours says so; one that does not is not ours to touch.
const MARK: &str = "`strongroom schedule install`";

/// Where `logger` is. cron has no other way to the system's log.
const LOGGERS: [&str; 2] = ["/usr/bin/logger", "/bin/logger"];

impl From<InstallTextError> for InstallError {
    fn from(error: InstallTextError) -> Self {
        match error {
            InstallTextError::Render(error) => Self::Render(error),
            InstallTextError::Paths(error) => Self::Paths(error),
        }
    }
}

/// What was done, or would be.
#[derive(Debug)]
pub struct Installed {
    /// What runs the refresh.
    pub by: By,
    /// The files with their texts, or the crontab's block.
    pub texts: Vec<(PathBuf, String)>,
    /// Whether anything is another than before.
    pub changed: bool,
    /// Whether the system was told.
    pub told: bool,
    /// What tells it, for a person to type.
    pub commands: Vec<Vec<String>>,
}

/// A schedule that is there.
#[derive(Debug)]
pub struct Found {
    /// What runs the refresh.
    pub by: By,
    /// Where it stands.
    pub place: PathBuf,
    /// How often, where that can be read.
    pub every: Option<Every>,
    /// Whether it starts this program.
    pub is_this: bool,
    /// Whether the system is here that reads it.
    pub has_manager: bool,
}

/// What this system is told by: systemd where the user has an instance of it, cron where there is one.
pub fn choose(host: &Host) -> By {
    match possible(host.environment.os) {
        [only] => *only,
        _ if !has_manager(host) && has_crontab(host) => By::Cron,
        _ => By::Systemd,
    }
}

/// What would be written.
pub fn plan(host: &Host, by: By, every: Every) -> Result<Installed, InstallError> {
    let home = Home::locate(&host.environment)?;
    let texts = Parts::new(host, "refresh.log")?.with(&ARGUMENTS, |job| {
        if by == By::Cron {
            let logger = LOGGERS.into_iter().find(|path| Path::new(path).exists());
            return Ok(vec![(PathBuf::from("crontab"), cron::block(job, every, logger)?)]);
        }
        Ok::<_, InstallError>(files(by, job, every, &host.environment, &home)?)
    })?;
    let last = texts.last().map(|(path, _)| path.to_string_lossy().into_owned());
    let commands = start(by, user(), &last.unwrap_or_default());
    Ok(Installed { by, texts, changed: false, told: false, commands })
}

/// Writes it and tells the system, where there is a system to tell. A schedule of another kind goes.
pub fn install(host: &Host, by: By, every: Every) -> Result<Installed, InstallError> {
    let mut plan = plan(host, by, every)?;
    for other in possible(host.environment.os).iter().filter(|other| **other != by) {
        remove_by(host, *other)?;
    }
    if by == By::Cron {
        let before = crontab(host)?;
        let after = cron::with(&before, plan.texts.first().map(|(_, block)| block.as_str()));
        plan.changed = before != after;
        if plan.changed {
            set_crontab(host, &after)?;
        }
        plan.told = true;
        return Ok(plan);
    }
    let mut before = Vec::new();
    for (path, _) in &plan.texts {
        before.push(ours(path, MARK)?);
    }
    for ((path, text), before) in plan.texts.iter().zip(before) {
        if before.as_deref() != Some(text.as_str()) {
            write(path, text)?;
            plan.changed = true;
        }
    }
    // There is nothing to boot out the first time.
    plan.told = tell(host, &plan.commands, |at| by == By::Launchd && at == 0)?;
    Ok(plan)
}

/// Removes every schedule of ours; gives what was removed.
pub fn remove(host: &Host) -> Result<Vec<(By, PathBuf)>, InstallError> {
    let mut removed = Vec::new();
    for by in possible(host.environment.os) {
        removed.extend(remove_by(host, *by)?.into_iter().map(|path| (*by, path)));
    }
    Ok(removed)
}

fn remove_by(host: &Host, by: By) -> Result<Vec<PathBuf>, InstallError> {
    if by == By::Cron {
        if !has_crontab(host) {
            return Ok(Vec::new());
        }
        let before = crontab(host)?;
        let after = cron::with(&before, None);
        if before == after {
            return Ok(Vec::new());
        }
        set_crontab(host, &after)?;
        return Ok(vec![PathBuf::from("crontab")]);
    }
    let home = Home::locate(&host.environment)?;
    let mut there = Vec::new();
    for path in places(by, &host.environment, &home)? {
        if ours(&path, MARK)?.is_some() {
            there.push(path);
        }
    }
    if !there.is_empty() {
        // It may not be running, or the system may have forgotten it already.
        tell(host, &stop(by, user()), |_| true)?;
    }
    for path in &there {
        remove_file(path)?;
    }
    Ok(there)
}

/// The schedule that is there.
pub fn found(host: &Host) -> Result<Option<Found>, InstallError> {
    let home = Home::locate(&host.environment)?;
    let program = host.program.to_string_lossy().into_owned();
    for by in possible(host.environment.os) {
        let (place, text, has_manager) = if *by == By::Cron {
            if !has_crontab(host) {
                continue;
            }
            let table = crontab(host)?;
            let Some(block) = cron::find(&table) else { continue };
            (PathBuf::from("crontab"), block.to_owned(), true)
        } else {
            let places = places(*by, &host.environment, &home)?;
            let mut texts = Vec::new();
            for path in &places {
                texts.extend(read(path)?.filter(|text| text.contains(MARK)));
            }
            let (Some(place), true) = (places.last(), texts.len() == places.len()) else {
                continue;
            };
            (place.clone(), texts.concat(), has_manager(host))
        };
        let every = Every::of_file(&text);
        let is_this =
            [program.as_str(), &xml(&program)].into_iter().any(|program| text.contains(program));
        return Ok(Some(Found { by: *by, place, every, is_this, has_manager }));
    }
    Ok(None)
}

fn has_crontab(host: &Host) -> bool {
    let path = host.environment.get("PATH").filter(|_| host.environment.os == Os::Linux);
    path.is_some_and(|path| std::env::split_paths(path).any(|dir| dir.join("crontab").is_file()))
}

/// The user's crontab. One that cannot be read is never replaced.
fn crontab(host: &Host) -> Result<String, InstallError> {
    let command = ["crontab".to_owned(), "-l".to_owned()];
    let failed = |stderr: &str| InstallError::Command {
        command: command.join(" "),
        stderr: stderr.to_owned(),
    };
    match run_with(host, &command, &[]) {
        Ok(bytes) if bytes.len() >= LARGEST => Err(failed("it is too large")),
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8")),
        Err(InstallError::Command { stderr, .. }) if stderr.contains("no crontab for") => {
            Ok(String::new())
        }
        Err(error) => Err(error),
    }
}

/// Replaces it, and looks whether that was done.
fn set_crontab(host: &Host, table: &str) -> Result<(), InstallError> {
    let command: Vec<String> = if table.is_empty() {
        vec!["crontab".to_owned(), "-r".to_owned()]
    } else {
        vec!["crontab".to_owned(), "-".to_owned()]
    };
    run_with(host, &command, table.as_bytes())?;
    if crontab(host)? == table {
        return Ok(());
    }
    let stderr = "the table is not what was written".to_owned();
    Err(InstallError::Command { command: command.join(" "), stderr })
}
