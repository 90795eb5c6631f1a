//! `strongroom logs`: what agents did, a line for each call.

mod join;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use strongroom_model::ports::Clock;
use strongroom_seal::SecureDir;
use strongroom_store::audit::{self, Filter};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{Config, near};
use crate::environment::Host;
use crate::failure::Failure;
use crate::home;
use crate::output::Output;
use join::Joiner;

/// How often `-f` looks for more.
const PAUSE: Duration = Duration::from_millis(200);

/// Show what agents did
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom logs -f
  strongroom logs --service stripe --denied --since 1h
  strongroom logs --server files
  strongroom logs --json --since 2026-03-15T00:00:00Z")]
pub struct Args {
    /// Go on, and show what comes
    #[arg(short, long)]
    follow: bool,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only this MCP server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only this principal
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only what was refused
    #[arg(long)]
    denied: bool,
    /// Only from then on: a time, or `30m`, `2h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
}

#[derive(Clone, Copy, Debug)]
enum Since {
    At(SystemTime),
    Ago(Duration),
}

/// Shows the records.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let dir = SecureDir::open(host.home()?.audit_dir())
        .map_err(|error| Failure::from(error).maybe_hint(Some("run `strongroom init`")))?;
    let filter = Filter {
        service: args.service.clone(),
        server: args.server.clone(),
        principal: args.principal.clone(),
        denied: args.denied,
        since: args.since.map(|since| since.time(&*host.clock)),
    };
    let mut reader = audit::read(dir, filter);
    let mut joiner = Joiner::default();
    let mut is_silent = true;
    loop {
        for record in reader.by_ref() {
            is_silent = false;
            if let Some(entry) = joiner.take(&record.map_err(Failure::from)?) {
                output.report(&entry)?;
            }
        }
        if std::mem::take(&mut is_silent) {
            warn_of_unknown_names(args, host, *output)?;
        }
        if !args.follow {
            break;
        }
        thread::sleep(PAUSE);
        // `strongroom logs -f | head`: the next record may be days away.
        if !output.is_read() {
            return Ok(());
        }
    }
    for entry in joiner.rest() {
        output.report(&entry)?;
    }
    Ok(())
}

/// Nothing may be shown because nothing happened, or because a name was mistyped.
fn warn_of_unknown_names(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    if let Some(name) = &args.service {
        // The audit is shown whether or not the configuration can be read.
        let known = Config::load(&home)
            .map(|config| config.services.keys().map(ToString::to_string).collect::<Vec<_>>());
        let filter = Filter { service: Some(name.clone()), ..Filter::default() };
        warn_of_unknown("service", name, known.ok(), filter, host, output)?;
    }
    if let Some(name) = &args.principal {
        let vault = home::open(&home, Arc::clone(&host.clock)).ok();
        let known = vault.and_then(|vault| {
            let infos = vault.principals().list().ok()?;
            Some(infos.into_iter().map(|info| info.name.to_string()).collect())
        });
        let filter = Filter { principal: Some(name.clone()), ..Filter::default() };
        warn_of_unknown("principal", name, known, filter, host, output)?;
    }
    Ok(())
}

/// What is gone has its history still, and what has a history is no mistake.
fn warn_of_unknown(
    what: &str,
    name: &str,
    known: Option<Vec<String>>,
    filter: Filter,
    host: &Host,
    output: Output,
) -> Result<(), Failure> {
    let Some(known) = known.filter(|known| !known.iter().any(|there| there == name)) else {
        return Ok(());
    };
    let dir = SecureDir::open(host.home()?.audit_dir())?;
    if audit::read(dir, filter).next().is_some() {
        return Ok(());
    }
    let near = near::nearest(name, known.iter().map(String::as_str));
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    output.warn(&format!("{}, and no record of one{near}", near::there_is_no(what, name)));
    Ok(())
}

impl Since {
    fn time(self, clock: &dyn Clock) -> SystemTime {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => clock.now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a time is written `2026-03-15T10:00:00Z`, or as an age: `30m`, `2h`, `7d`")]
struct NotATime;

fn since(text: &str) -> Result<Since, NotATime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Since::At(time.into()));
    }
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let (number, seconds) =
        units.iter().find_map(|(unit, s)| Some((text.strip_suffix(*unit)?, s))).ok_or(NotATime)?;
    let number: u64 = number.parse().map_err(|_| NotATime)?;
    number.checked_mul(*seconds).map(|s| Since::Ago(Duration::from_secs(s))).ok_or(NotATime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_an_age() {
        assert!(matches!(since("2026-03-15T10:00:00Z"), Ok(Since::At(_))));
        assert!(matches!(since("2h"), Ok(Since::Ago(ago)) if ago == Duration::from_hours(2)));
        for bad in ["", "h", "-1h", "yesterday", "1w", "99999999999999999999d"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
