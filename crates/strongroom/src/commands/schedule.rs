//! `strongroom schedule install|remove|status`: fetches secrets before they expire.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use crate::commands::shown;
use crate::config::{Config, cache};
use crate::environment::Host;
use crate::failure::Failure;
use crate::home::HomeError;
use crate::jobs::install::InstallError;
use crate::output::{Output, Report, Style};
use crate::schedule::install::{Found, Installed, found, install, plan, remove};
use crate::schedule::{By, Every, install::choose, interval};
use crate::servers::{self, Places};
use crate::{admin, refreshes, release};

/// Fetch secrets in the background, before they expire
///
/// By a systemd user timer on Linux, or cron where you have no instance of systemd; a launch agent on
/// macOS; a scheduled task on Windows. It runs `strongroom secrets refresh --due --quiet`; no token
/// stands in it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the schedule and start it
    #[command(after_help = "Examples:
  strongroom schedule install
  strongroom schedule install --every 30m --dry-run")]
    Install {
        /// How often, if not after three quarters of the shortest lifetime of a secret: 15m, 3h
        #[arg(long, value_name = "DUR", value_parser = every)]
        every: Option<Every>,
        /// What runs it on Linux, if not the one that is here
        #[arg(long, value_name = "WHAT")]
        by: Option<Choice>,
        /// Print what would be written, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Stop the schedule and remove it
    #[command(after_help = "Example:
  strongroom schedule remove")]
    Remove {
        /// Say what would be removed, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Say whether there is a schedule, and how the refreshes went
    #[command(after_help = "Example:
  strongroom schedule status")]
    Status,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    Systemd,
    Cron,
}

fn every(text: &str) -> Result<Every, String> {
    let span = cache::span(text).filter(|span| *span >= Duration::from_mins(1));
    span.map(Every::within).ok_or_else(|| "write a number and a unit: `15m`, `3h`".to_owned())
}

/// Installs, removes, or says how it is.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.action {
        Action::Install { every, by, dry_run } => {
            let by = match by {
                None => choose(host),
                Some(_) if cfg!(not(target_os = "linux")) => {
                    return Err(Failure::usage(
                        "`--by` is for Linux; this system has one way only",
                    ));
                }
                Some(Choice::Systemd) => By::Systemd,
                Some(Choice::Cron) => By::Cron,
            };
            let every = match every {
                Some(every) => *every,
                None => wanted(host)?,
            };
            if *dry_run {
                return output.report(&Planned::new(plan(host, by, every)?, every, host));
            }
            let home = host.home()?;
            if !home.config_file().exists() {
                return Err(HomeError::NotMade.into());
            }
            admin::record(host, &home, "schedule.install", "secrets refresh")?;
            output.report(&Done::new(install(host, by, every)?, every, host))
        }
        Action::Remove { dry_run: true } => {
            let there = found(host)?.map(|found| (found.by, found.place));
            output.report(&Removed::new(true, there.into_iter().collect(), host))
        }
        Action::Remove { dry_run: false } => {
            if found(host)?.is_some() {
                admin::record_if_possible(host, output, "schedule.remove", "secrets refresh");
            }
            output.report(&Removed::new(false, remove(host)?, host))
        }
        Action::Status => output.report(&State::new(host)?),
    }
}

/// How often the configuration says that it must run.
fn wanted(host: &Host) -> Result<Every, Failure> {
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let places = Places { directory: &host.directory, registry: None };
    let servers = servers::load(host, &home, &config, places)?;
    Ok(interval(&config, &servers))
}

#[derive(Serialize)]
struct Text {
    file: PathBuf,
    text: String,
}

#[derive(Serialize)]
struct Planned {
    by: By,
    every: String,
    files: Vec<Text>,
    #[serde(skip)]
    shown: Vec<String>,
}

impl Planned {
    fn new(planned: Installed, every: Every, host: &Host) -> Self {
        let name = |(path, _): &(PathBuf, String)| shown(path, &host.environment);
        Self {
            by: planned.by,
            every: every.text(),
            shown: planned.texts.iter().map(name).collect(),
            files: planned.texts.into_iter().map(|(file, text)| Text { file, text }).collect(),
        }
    }
}

impl Report for Planned {
    fn text(&self, style: Style) -> String {
        let parts = self.files.iter().zip(&self.shown);
        let part =
            |(file, shown): (&Text, &String)| format!("{}\n\n{}", style.bold(shown), file.text);
        parts.map(part).collect::<Vec<_>>().join("\n")
    }
}

#[derive(Serialize)]
struct Done {
    by: By,
    every: String,
    files: Vec<PathBuf>,
    changed: bool,
    /// Whether the system was told.
    told: bool,
    commands: Vec<String>,
    #[serde(skip)]
    shown: Vec<String>,
}

impl Done {
    fn new(installed: Installed, every: Every, host: &Host) -> Self {
        let files: Vec<PathBuf> = installed.texts.into_iter().map(|(path, _)| path).collect();
        Self {
            by: installed.by,
            every: every.text(),
            shown: files.iter().map(|path| shown(path, &host.environment)).collect(),
            files,
            changed: installed.changed,
            told: installed.told,
            commands: installed.commands.iter().map(|words| words.join(" ")).collect(),
        }
    }
}

impl Report for Done {
    fn text(&self, style: Style) -> String {
        let written = match (self.by, self.changed) {
            (By::Cron, true) => "has a line for it",
            (_, true) => "is written",
            (_, false) => "is there already, and as it should be",
        };
        let lines: Vec<String> =
            self.shown.iter().map(|shown| format!("{shown} {written}.\n")).collect();
        let mut text = lines.concat();
        let every = &self.every;
        if self.told {
            let by = self.by.name();
            return format!("{text}Secrets are refreshed every {every}, by {by}.\n");
        }
        text.push_str("There is no service manager of yours here. Where there is one:\n\n");
        for command in &self.commands {
            text = format!("{text}  {}\n", style.bold(command));
        }
        text
    }
}

#[derive(Serialize)]
struct Removed {
    dry_run: bool,
    #[serde(rename = "removed")]
    files: Vec<PathBuf>,
    #[serde(skip)]
    shown: Vec<(By, String)>,
}

impl Removed {
    fn new(dry_run: bool, removed: Vec<(By, PathBuf)>, host: &Host) -> Self {
        Self {
            dry_run,
            shown: removed.iter().map(|(by, path)| (*by, shown(path, &host.environment))).collect(),
            files: removed.into_iter().map(|(_, path)| path).collect(),
        }
    }
}

impl Report for Removed {
    fn text(&self, _: Style) -> String {
        if self.shown.is_empty() {
            return "There is no schedule; nothing was changed.\n".to_owned();
        }
        let would = if self.dry_run { "would be" } else { "is" };
        let line = |(by, path): &(By, String)| match by {
            By::Cron => format!("The line in your crontab {would} removed.\n"),
            _ => format!("{path} {would} removed.\n"),
        };
        self.shown.iter().map(line).collect()
    }
}

#[derive(Serialize)]
struct State {
    scheduled: bool,
    by: Option<By>,
    file: Option<PathBuf>,
    every: Option<String>,
    /// How often it must run for no secret to expire.
    every_wanted: Option<String>,
    /// Seconds since a refresh has last changed the cache.
    last_refresh_s: Option<u64>,
    /// Providers that fail, and how often in a row.
    failures: Vec<Failing>,
    #[serde(skip)]
    found: Option<(Found, String)>,
    #[serde(skip)]
    is_slow: bool,
}

#[derive(Serialize)]
struct Failing {
    provider: String,
    in_a_row: u32,
}

impl State {
    fn new(host: &Host) -> Result<Self, Failure> {
        let home = host.home()?;
        let found = found(host)?;
        let wanted = wanted(host).ok();
        let is_slow = |found: &Found| found.every.zip(wanted).is_some_and(|(is, must)| is > must);
        let failing = |(provider, in_a_row)| Failing { provider, in_a_row };
        Ok(Self {
            scheduled: found.is_some(),
            by: found.as_ref().map(|found| found.by),
            file: found.as_ref().map(|found| found.place.clone()),
            every: found.as_ref().and_then(|found| found.every).map(Every::text),
            every_wanted: wanted.map(Every::text),
            last_refresh_s: refreshes::last(host, &home).map(|age| age.as_secs()),
            failures: refreshes::failing(host, &home).into_iter().map(failing).collect(),
            is_slow: found.as_ref().is_some_and(is_slow),
            found: found.map(|found| {
                let place = shown(&found.place, &host.environment);
                (found, place)
            }),
        })
    }
}

impl Report for State {
    fn text(&self, style: Style) -> String {
        let next = style.bold("Next:");
        let mut text = match &self.found {
            None => "There is no schedule: secrets are refreshed as they are used.\n".to_owned(),
            Some((found, place)) => {
                let every = self.every.as_deref().unwrap_or("now and then");
                let by = found.by.name();
                format!("Secrets are refreshed every {every}, by {by}: {place}.\n")
            }
        };
        let last = match self.last_refresh_s {
            None => "Nothing has been fetched yet.\n".to_owned(),
            Some(age) => format!("Last fetched {} ago.\n", release::span(Duration::from_secs(age))),
        };
        text.push_str(&last);
        for Failing { provider, in_a_row } in &self.failures {
            let times = if *in_a_row == 1 { "time" } else { "times" };
            let line = format!("`{provider}` has failed {in_a_row} {times} in a row.\n");
            text.push_str(&style.yellow(&line));
        }
        let note = match &self.found {
            None => format!("\n{next} strongroom schedule install\n"),
            Some((found, _)) if !found.is_this => format!(
                "It starts another program than this one.\n\n{next} strongroom schedule install\n"
            ),
            Some((found, _)) if !found.has_manager => {
                "Nothing here reads it: there is no service manager of yours.\n".to_owned()
            }
            Some(_) if self.is_slow => {
                let wanted = self.every_wanted.as_deref().unwrap_or_default();
                format!(
                    "Some secrets expire sooner: it must run every {wanted}.\n\n\
                     {next} strongroom schedule install\n"
                )
            }
            Some(_) => String::new(),
        };
        text.push_str(&note);
        text
    }
}

/// What hides behind an error of the installation, as `service` says it.
impl From<crate::schedule::InstallTextError> for Failure {
    fn from(error: crate::schedule::InstallTextError) -> Self {
        InstallError::from(error).into()
    }
}
