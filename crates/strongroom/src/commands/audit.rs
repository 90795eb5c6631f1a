//! `strongroom audit`: whether the records are what was written, and copies of them for other
//! programs.

mod cef;
mod export;
mod otlp;
mod team;

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::audit::chain::Hash;
use strongroom_model::audit::checkpoint::Octets;
use strongroom_model::audit::verify::Found;
use strongroom_seal::SecureDir;
use strongroom_store::audit::{self, Trust};

use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::home;
use crate::output::{Output, Report, Style};

/// Check the audit, or copy it for other programs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every record against its hash, its predecessor and the signed checkpoints
    ///
    /// What is whole is signed up to its end, so that a later cut shows.
    #[command(after_help = "Examples:
  strongroom audit verify
  strongroom audit verify --head 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  DATABASE_URL=postgres://owner@db.internal/strongroom strongroom audit verify --team")]
    Verify(Verify),
    /// Write the records for another program: JSON Lines, CEF or OpenTelemetry
    #[command(after_help = "Examples:
  strongroom audit export --format jsonl --since 24h --output audit.jsonl
  strongroom audit export --format cef --service stripe | logger
  strongroom audit export --format otlp --output audit.otlp.json")]
    Export(export::Args),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The hash of a record that was kept elsewhere: it must be there still
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Option<Hash>,
    /// Whose checkpoints count, as `audit verify --json` says it [default: this machine's]
    #[arg(long, value_name = "KEY", value_parser = key)]
    key: Option<Octets<32>>,
    /// Check a copy of the audit that is there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["team", "tenant", "database"])]
    dir: Option<PathBuf>,
    /// Check the audit of the team: of `$DATABASE_URL`, of `[team]`, or of this home
    #[arg(long)]
    team: bool,
    /// Check what the records of this tenant of the team stand in, by its name or id
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Check the audit of the team in this database; a password belongs in `$DATABASE_URL`
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

#[derive(Serialize)]
struct Verified {
    intact: bool,
    segments: u64,
    records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Octets<32>>,
    problems: Vec<Finding>,
    notes: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    segment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    what: String,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Verify(args) => verify(args, host, *output),
        Command::Export(args) => export::run(args, host, *output),
    }
}

fn verify(args: &Verify, host: &Host, output: Output) -> Result<(), Failure> {
    if args.team || args.tenant.is_some() || args.database.is_some() {
        return team::verify(args, host, output);
    }
    let own = host.home().ok().and_then(|home| home::audit_key(&home).ok());
    let key = args.key.or_else(|| own.as_ref().map(|key| Octets(key.public())));
    let dir = match &args.dir {
        Some(dir) => SecureDir::open(host.directory.join(dir))?,
        None => own_dir(host)?,
    };
    let audit::Verified { segments, report } =
        audit::verify(&dir, &Trust { key, head: args.head })?;
    let intact = report.problems.is_empty();
    let mut signed = report.signed;
    if let (true, None, None, Some(own)) = (intact, &args.dir, args.key, &own) {
        // A directory that cannot be written to is no reason to say less of what is in it.
        signed = signed.max(audit::vouch(&dir, own).unwrap_or_default());
    }
    output.report(&Verified {
        intact,
        segments,
        records: report.records,
        head: report.head.map(|hash| hash.to_string()),
        signed,
        key,
        problems: findings(&report.problems),
        notes: findings(&report.notes),
    })?;
    if intact { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

/// The directory of the audit of this home.
pub(super) fn own_dir(host: &Host) -> Result<SecureDir, Failure> {
    SecureDir::open(host.home()?.audit_dir())
        .map_err(|error| Failure::from(error).maybe_hint(Some("run `strongroom init`")))
}

fn findings(found: &[Found]) -> Vec<Finding> {
    let finding = |found: &Found| Finding {
        segment: found.segment.to_string(),
        line: (found.line > 0).then_some(found.line),
        what: found.finding.to_string(),
    };
    found.iter().map(finding).collect()
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it is written with 64 digits, 0 to 9 and a to f")]
struct NotHex;

fn hash(text: &str) -> Result<Hash, NotHex> {
    Hash::from_hex(text).ok_or(NotHex)
}

fn key(text: &str) -> Result<Octets<32>, NotHex> {
    Octets::from_hex(text).ok_or(NotHex)
}

impl Report for Verified {
    fn text(&self, style: Style) -> String {
        let mut lines = found(style, &self.problems, &self.notes);
        let verdict = verdict(style, self.intact);
        let counts =
            format!("{} in {}", counted(self.records, "record"), counted(self.segments, "segment"));
        let signed = match self.signed {
            Some(last) => format!("signed up to record {last}"),
            None => "nothing of it is signed".to_owned(),
        };
        lines.push(format!("{verdict}: {counts}, {signed}"));
        if let Some(head) = &self.head {
            lines.push(format!("head {head}"));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A line for each finding.
fn found(style: Style, problems: &[Finding], notes: &[Finding]) -> Vec<String> {
    let line = |kind: &str, Finding { segment, line, what }: &Finding| {
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        format!("{kind}: {segment}{line}: {what}")
    };
    let problem = style.red("problem");
    let problems = problems.iter().map(|one| line(&problem, one));
    problems.chain(notes.iter().map(|one| line("note", one))).collect()
}

fn verdict(style: Style, intact: bool) -> String {
    if intact { style.green("intact") } else { style.red("NOT INTACT") }
}

fn counted(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}
