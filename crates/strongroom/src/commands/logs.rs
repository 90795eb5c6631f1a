//! `strongroom logs`: what agents did, a line for each call.

mod at;
mod join;
pub(super) mod search;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strongroom_seal::SecureDir;
use strongroom_store::audit::{self, Filter};

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::home;
use crate::near;
use crate::output::Output;
use join::Joiner;
use search::{What, Which};

pub use at::at;

/// How often `-f` looks for more.
const PAUSE: Duration = Duration::from_millis(200);

/// Show what agents did
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom logs -f
  strongroom logs --service stripe --denied --since 1h
  strongroom logs --server files
  strongroom logs --path '/v1/charges/**' --code upstream_error
  strongroom logs --principal claude --until 2026-03-16T00:00:00Z refund
  strongroom logs --json --since 2026-03-15T00:00:00Z")]
pub struct Args {
    /// Go on, and show what comes
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    what: What,
}

/// Shows the records.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let dir = SecureDir::open(host.home()?.audit_dir())
        .map_err(|error| Failure::from(error).maybe_hint(Some("run `strongroom init`")))?;
    let filter = args.which.filter(&*host.clock);
    let mut reader = audit::read(dir, filter);
    let mut joiner = Joiner::default();
    let mut is_silent = true;
    loop {
        for record in reader.by_ref() {
            is_silent = false;
            let entry = joiner.take(&record.map_err(Failure::from)?);
            if let Some(entry) = entry.filter(|entry| args.what.wants(entry)) {
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
    for entry in joiner.rest().into_iter().filter(|entry| args.what.wants(entry)) {
        output.report(&entry)?;
    }
    Ok(())
}

/// Nothing may be shown because nothing happened, or because a name was mistyped.
fn warn_of_unknown_names(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    if let Some(name) = &args.which.service {
        // The audit is shown whether or not the configuration can be read.
        let known = Config::load(&home)
            .map(|config| config.services.keys().map(ToString::to_string).collect::<Vec<_>>());
        let filter = Filter { service: Some(name.clone()), ..Filter::default() };
        warn_of_unknown("service", name, known.ok(), filter, host, output)?;
    }
    if let Some(name) = &args.which.principal {
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
