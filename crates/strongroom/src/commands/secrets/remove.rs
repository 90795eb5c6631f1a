//! `strongroom secrets remove`: takes a stored secret away.

use std::sync::Arc;

use serde::Serialize;
use strongroom_store::SecretUse;

use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style};
use crate::{admin, home};

/// Remove a stored secret for good
///
/// On a team server the name is that of a credential's service: `amazon`, or `amazon/TYPE`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom secrets remove files/token --yes
  strongroom secrets remove amazon --remote work --yes")]
pub(super) struct Args {
    /// Its name, without `local://`
    pub(super) name: String,
    /// Yes, remove it
    #[arg(long)]
    yes: bool,
}

impl Args {
    /// What is not taken back is said twice.
    pub(super) fn refuse_unmeant(&self) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        Err(Failure::usage("removing a secret cannot be taken back")
            .hint("add `--yes`; whatever uses it fails from then on"))
    }
}

/// Removes it.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let name = args.name.trim_start_matches("local://");
    let home = host.home()?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let all = vault.list()?;
    let Some(stored) = all.iter().find(|stored| stored.name == name) else {
        let failure = Failure::failed("no secret of this name is stored");
        return Err(match near::nearest(name, all.iter().map(|stored| stored.name.as_str())) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("run `strongroom secrets list`"),
        });
    };
    if let SecretUse::Remote(server) = &stored.used_by {
        return Err(Failure::usage("this is the key of a team server")
            .hint(format!("run `strongroom remote logout {server}`")));
    }
    args.refuse_unmeant()?;
    admin::record(host, &home, "secrets.remove", name)?;
    vault.remove(name)?;
    output.report(&Removed { removed: format!("local://{name}") })
}

/// What was removed.
#[derive(Serialize)]
pub(super) struct Removed {
    pub(super) removed: String,
}

impl Report for Removed {
    fn text(&self, _: Style) -> String {
        format!("removed {}\n", self.removed)
    }
}
