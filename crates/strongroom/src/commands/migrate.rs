//! `strongroom migrate`: the schema of a team's database.

use serde::Serialize;
use strongroom_store::team::{Migrated, migrate};

use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};
use crate::team;

/// Bring the database of a team up to date, as its owner
///
/// `DATABASE_URL` is that of the owner here, who makes the role `strongroom_app`; servers connect as
/// that role, which owns nothing and sees the rows of one tenant at a time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  DATABASE_URL=postgres://owner@db.internal/strongroom strongroom migrate")]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let url = team::database(host, &home, &team::configured(&home)?)?;
    let Migrated { from, to } = team::runtime()?.block_on(migrate(&url))?;
    output.report(&Done { from, to })
}

#[derive(Serialize)]
struct Done {
    from: i64,
    to: i64,
}

impl Report for Done {
    fn text(&self, _: Style) -> String {
        if self.from == self.to {
            format!("the schema is up to date: {}\n", self.to)
        } else {
            format!("the schema went from {} to {}\n", self.from, self.to)
        }
    }
}
