//! `strongroom uninstall`: takes Strongroom out of the clients and the system again.

use std::io::{self, BufRead as _};
use std::path::PathBuf;

use serde::Serialize;
use strongroom_clients::survey::{Connection, survey};
use strongroom_clients::{Client, file, find};

use crate::clients::Target;
use crate::commands::connect::{record, revoke};
use crate::commands::shown;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};
use crate::{admin, autostart, home, schedule};

/// What a person types to lose everything.
const WORD: &str = "purge";

/// Take Strongroom out of the clients and the system
///
/// Removes its entries from the clients' configurations, that of the project in the current directory
/// included, and the service. Keys, policies and the
/// audit stay, unless you say `--purge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom uninstall --dry-run
  strongroom uninstall --purge")]
pub struct Args {
    /// Remove the configuration, the vault with every key in it, and the audit, too
    #[arg(long)]
    purge: bool,
    /// Do not ask before the purge
    #[arg(long, requires = "purge")]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Uninstalls.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    if args.purge && !args.yes && !args.dry_run {
        confirm(host, *output)?;
    }
    let mut done = Done { dry_run: args.dry_run, ..Done::default() };
    let problems = disconnect(host, *output, &mut done)?;
    let service = autostart::place(&host.environment, &home)?;
    if service.exists() {
        if !args.dry_run {
            admin::record_if_possible(host, output, "autostart.remove", "serve --http");
            autostart::install::remove(host)?;
        }
        done.service = Some(service);
    }
    unschedule(host, *output, &mut done)?;
    let there = home.directories().into_iter().filter(|directory| directory.exists());
    let there: Vec<PathBuf> = there.map(ToOwned::to_owned).collect();
    let own = host.environment.get("STRONGROOM_HOME");
    if args.purge {
        if !args.dry_run
            && let Ok(home) = host.home()
            && home::forget_key(&home).is_err()
        {
            output.warn("the machine key cannot be taken out of the keychain: remove the items of `strongroom` there");
        }
        for directory in &there {
            if !args.dry_run {
                std::fs::remove_dir_all(directory).map_err(Failure::failed)?;
                if let (Some(_), Some(parent)) = (&own, directory.parent()) {
                    // Ours as well, unless somebody put something there.
                    let _ = std::fs::remove_dir(parent);
                }
            }
        }
        done.purged = there;
    } else {
        done.left = there;
    }
    done.left.push(host.program.clone());
    for problem in problems {
        output.warn(&format!("{problem}: an entry of Strongroom in it would be left"));
    }
    output.report(&Shown { done: &done, host })?;
    output.hint(
        "project files in other directories were not looked at: run `strongroom uninstall` there as \
         well",
    );
    Ok(())
}

/// Removes the schedule.
fn unschedule(host: &Host, output: Output, done: &mut Done) -> Result<(), Failure> {
    if done.dry_run {
        done.schedule.extend(schedule::install::found(host)?.map(|found| found.place));
        return Ok(());
    }
    if schedule::install::found(host)?.is_some() {
        admin::record_if_possible(host, &output, "schedule.remove", "secrets refresh");
    }
    done.schedule = schedule::install::remove(host)?.into_iter().map(|(_, place)| place).collect();
    Ok(())
}

/// Takes our entry out of every client's file, and out of those of the project in the current
/// directory. Gives what is wrong with the files that cannot be read.
fn disconnect(host: &Host, output: Output, done: &mut Done) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for found in survey(&host.environment) {
        let Some(client) = find(found.name) else { continue };
        if let Some(path) = &found.file {
            done.backups.extend(file::backups(path));
        }
        problems.extend(found.problem);
        if found.connection.is_some() || !found.runs.is_empty() {
            let target = Target::locate(client, host, false)?;
            remove(client, &target, found.connection.as_ref(), host, output, done)?;
            done.disconnected.push(found.name);
        }
        let Some(target) = Target::in_project(client, host) else { continue };
        done.backups.extend(file::backups(target.path()));
        match target.is_ours().and_then(|ours| Ok((ours, target.connection()?))) {
            Ok((false, _)) => {}
            Ok((true, (connection, _))) => {
                remove(client, &target, connection.as_ref(), host, output, done)?;
                done.projects.push(target.path().to_owned());
            }
            Err(failure) => problems.extend(failure.error.map(|error| error.to_string())),
        }
    }
    Ok(problems)
}

fn remove(
    client: &Client,
    target: &Target,
    connection: Option<&Connection>,
    host: &Host,
    output: Output,
    done: &mut Done,
) -> Result<(), Failure> {
    if done.dry_run {
        target.remove(host, true)?;
        return Ok(());
    }
    record(connection, client, host, &output);
    done.backups.extend(target.remove(host, false)?.backup);
    if matches!(connection, Some(Connection::Http { .. })) {
        revoke(client, host, &output);
    }
    Ok(())
}

/// Asks a person at the terminal; without one the answer is no.
fn confirm(host: &Host, output: Output) -> Result<(), Failure> {
    let denied = |why: &str| Failure::new(Exit::Denied, why.to_owned());
    if !host.terminals.stdin || output.is_json() {
        return Err(denied("`--purge` needs a person at a terminal")
            .hint("`--purge --yes` removes everything without asking"));
    }
    output.say(&format!(
        "This removes every key in the vault, the policies and the audit. Nobody can bring them \
         back.\nType `{WORD}` to go on:"
    ));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Failure::failed)?;
    if line.trim() == WORD { Ok(()) } else { Err(denied("nothing was removed")) }
}

#[derive(Debug, Default, Serialize)]
struct Done {
    dry_run: bool,
    /// Clients whose entry is gone.
    disconnected: Vec<&'static str>,
    /// Files of the project in the current directory whose entry is gone.
    projects: Vec<PathBuf>,
    /// The service's file, which is gone.
    service: Option<PathBuf>,
    /// The files of the schedule, which are gone, or `crontab` where it was a line of that.
    schedule: Vec<PathBuf>,
    /// What `--purge` removed.
    purged: Vec<PathBuf>,
    /// The clients' files as they were before Strongroom changed them.
    backups: Vec<PathBuf>,
    /// What is still there.
    left: Vec<PathBuf>,
}

struct Shown<'a> {
    done: &'a Done,
    host: &'a Host,
}

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.done.serialize(serializer)
    }
}

impl Report for Shown<'_> {
    fn text(&self, style: Style) -> String {
        let Done { dry_run, disconnected, projects, service, schedule, purged, backups, left } =
            self.done;
        let list = |paths: &[PathBuf]| {
            let line = |path: &PathBuf| format!("  {}\n", shown(path, &self.host.environment));
            paths.iter().map(line).collect::<Vec<_>>().concat()
        };
        let part = |heading: &str, body: String| {
            if body.is_empty() {
                String::new()
            } else {
                format!("{}\n{body}\n", style.bold(heading))
            }
        };
        let clients: Vec<String> = disconnected.iter().map(|name| format!("  {name}\n")).collect();
        let service: Vec<PathBuf> = service.iter().cloned().collect();
        let would = if *dry_run { "Would be " } else { "" };
        let headed = |words: &str| {
            let text = format!("{would}{words}");
            let mut letters = text.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().collect::<String>() + letters.as_str()
            })
        };
        let mut text = part(&headed("disconnected:"), clients.concat() + &list(projects));
        text.push_str(&part(&headed("removed:"), list(&service) + &list(schedule) + &list(purged)));
        if text.is_empty() {
            text.push_str("No client and no service uses Strongroom.\n\n");
        }
        let backups = list(backups);
        text.push_str(&part("The clients' files as they were are still there:", backups));
        text.push_str(&part("Left, for you to remove:", list(left)));
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}
