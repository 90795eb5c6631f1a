//! `strongroom kek`: the key-encryption keys of a team.

use clap::Subcommand;
use serde::Serialize;
use strongroom_store::team::{KekUse, Progress};

use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, table};
use crate::team::{self, Operator};

/// Make, list, rotate and retire the key-encryption keys of a team
///
/// Where they are is said in `[team]` of strongroom.toml: `kek` wraps, `earlier_keks` only open what
/// they have wrapped.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the key that `team.kek` tells of; one that is there is never overwritten
    #[command(after_help = "Example:
  strongroom kek create")]
    Create,
    /// List the keys, and what is wrapped under each
    #[command(after_help = "Example:
  strongroom kek list")]
    List,
    /// Wrap everything under the current key, while everybody works; run again, it goes on
    #[command(after_help = "Example:
  strongroom kek rotate")]
    Rotate,
    /// Let nothing be wrapped under an earlier key again; refused while anything is left under it
    #[command(after_help = "Example:
  strongroom kek retire kek:0123456789abcdef")]
    Retire {
        /// Its id
        kek: String,
    },
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Create => {
            let home = host.home()?;
            let id = team::create_kek(host, &home, &team::configured(&home)?)?;
            output.report(&Created { id })
        }
        Command::List => list(&Operator::open(host)?, *output),
        Command::Rotate => {
            let operator = Operator::open(host)?;
            let shown = host.terminals.stderr && !output.is_json();
            let report = |Progress { done, total }: Progress| {
                if shown && (done % 100 == 0 || done == total) {
                    output.tell(&format!("{done} of {total} keys"));
                }
            };
            operator.record(None, "kek.rotate", &operator.team.keks().current())?;
            let rotated = operator.wait(operator.team.rotate_kek(report))?;
            output.say(&format!("{rotated} keys were wrapped anew."));
            list(&operator, *output)
        }
        Command::Retire { kek } => {
            let operator = Operator::open(host)?;
            operator.record(None, "kek.retire", kek)?;
            operator.wait(operator.team.retire_kek(kek))?;
            output.say(&format!("`{kek}` is retired: take it out of `team.earlier_keks`."));
            list(&operator, *output)
        }
    }
}

fn list(operator: &Operator, output: Output) -> Result<(), Failure> {
    let uses = operator.wait(operator.team.kek_uses())?;
    output.report(&List(uses.iter().map(Row::of).collect()))
}

#[derive(Serialize)]
struct Created {
    id: String,
}

#[derive(Serialize)]
struct Row {
    id: String,
    keys: u64,
    state: &'static str,
}

impl Row {
    fn of(it: &KekUse) -> Self {
        let state = match it {
            KekUse { current: true, .. } => "current",
            KekUse { retired: true, .. } => "retired",
            KekUse { available: true, .. } => "earlier",
            _ => "missing",
        };
        Self { id: it.id.clone(), keys: it.keys, state }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

impl Report for Created {
    fn text(&self, _: Style) -> String {
        format!("{}\n", self.id)
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        let head = ["KEK", "KEYS UNDER IT", "STATE"].map(|word| style.dim(word)).to_vec();
        let rows = self
            .0
            .iter()
            .map(|row| vec![row.id.clone(), row.keys.to_string(), row.state.to_owned()]);
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
