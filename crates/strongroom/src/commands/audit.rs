//! `strongroom audit verify`: whether the records are what was written.

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::audit::verify::Found;
use strongroom_seal::SecureDir;
use strongroom_store::audit;

use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};

/// Check the audit
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every record against its hash and its predecessor
    #[command(after_help = "Example:
  strongroom audit verify")]
    Verify,
}

#[derive(Serialize)]
struct Verified {
    intact: bool,
    segments: u64,
    records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    problems: Vec<Finding>,
    notes: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    segment: String,
    line: u64,
    what: String,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let Command::Verify = args.command;
    let dir = SecureDir::open(host.home()?.audit_dir())
        .map_err(|error| Failure::from(error).maybe_hint(Some("run `strongroom init`")))?;
    let audit::Verified { segments, report } = audit::verify(&dir)?;
    let intact = report.problems.is_empty();
    output.report(&Verified {
        intact,
        segments,
        records: report.records,
        head: report.head.map(|hash| hash.to_string()),
        problems: findings(&report.problems),
        notes: findings(&report.notes),
    })?;
    if intact { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

fn findings(found: &[Found]) -> Vec<Finding> {
    let finding = |found: &Found| Finding {
        segment: found.segment.to_string(),
        line: found.line,
        what: found.finding.to_string(),
    };
    found.iter().map(finding).collect()
}

impl Report for Verified {
    fn text(&self, style: Style) -> String {
        let counted = |n: u64, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let mut lines = Vec::new();
        for (kind, findings) in [("problem", &self.problems), ("note", &self.notes)] {
            for Finding { segment, line, what } in findings {
                let kind = if kind == "note" { kind.to_owned() } else { style.red(kind) };
                lines.push(format!("{kind}: {segment}:{line}: {what}"));
            }
        }
        let verdict = if self.intact { style.green("intact") } else { style.red("NOT INTACT") };
        let counts =
            format!("{} in {}", counted(self.records, "record"), counted(self.segments, "segment"));
        lines.push(format!("{verdict}: {counts}"));
        if let Some(head) = &self.head {
            lines.push(format!("head {head}"));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}
