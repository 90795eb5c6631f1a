//! `strongroom trust`: files of others whose text you have looked at (decision 10).

use std::path::{Path, PathBuf};

use serde::Serialize;
use strongroom_gateway::registry::{Entry, Origin, Source, Text, file};
use strongroom_model::display::DisplaySafe;

use crate::commands::mcp::widens;
use crate::commands::shown;
use crate::config::Config;
use crate::config::project::Project;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style, table};
use crate::servers::trust::{self, Record, Trust};
use crate::servers::{LARGEST, of_problem, project};
use crate::{admin, confirm};

/// Trust the servers of a file that others may have written
///
/// A project's `strongroom.toml`, and a registry that the command line or the environment names, is used
/// once you trust its text. It shows what would start with which secrets, and a code to be typed back. A
/// file that changes is not trusted any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom trust ./strongroom.toml
  strongroom trust ~/infra/mcp-registry.json
  strongroom trust --list")]
pub struct Args {
    /// The file; the project's where there is none
    file: Option<PathBuf>,
    /// List what is trusted
    #[arg(long, conflicts_with_all = ["file", "remove", "reset"])]
    list: bool,
    /// Trust the file no longer
    #[arg(long, requires = "file")]
    remove: bool,
    /// Trust nothing any more
    #[arg(long, conflicts_with = "file")]
    reset: bool,
}

#[derive(Serialize)]
struct Trusted {
    file: String,
    #[serde(rename = "trusted")]
    holds: bool,
    changed: bool,
    servers: Vec<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

#[derive(Serialize)]
struct Row {
    file: String,
    /// `trusted`, `changed` (since it was trusted) or `missing`.
    state: &'static str,
}

/// Trusts, lists, or stops trusting.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    if args.list {
        return output.report(&List(rows(&Record::read(&home)?)));
    }
    if args.reset {
        admin::record_if_possible(host, output, "trust.reset", "all");
        Record::reset(&home)?;
        return output.report(&List(Vec::new()));
    }
    let path = match &args.file {
        Some(path) => host.directory.join(path),
        None => project::file(&host.directory, &home.config_file()).ok_or_else(|| {
            Failure::usage("there is no `strongroom.toml` of a project here")
                .hint("name the file: `strongroom trust FILE`")
        })?,
    };
    let shown = shown(&path, &host.environment);
    if args.remove {
        let key = trust::key(&path).unwrap_or_else(|| path.display().to_string());
        admin::record_if_possible(host, output, "trust.remove", &shown);
        let mut changed = false;
        Record::change(&home, |record| changed = record.files.remove(&key).is_some())?;
        return output.report(&Trusted { file: shown, holds: false, changed, servers: Vec::new() });
    }

    let text = read(&path, &shown)?;
    let user_home = host.environment.user_home().ok().map(Path::new);
    let entries = entries(&path, &shown, &text, user_home)?;
    let servers = entries.iter().map(|entry| entry.name.to_string()).collect();
    if Trust::new(&home).holds(&path, &text)? {
        return output.report(&Trusted { file: shown, holds: true, changed: false, servers });
    }
    let changes = changes(&entries)?;
    if !config.headless {
        confirm::by_a_person(&changes, host).inspect_err(|_| {
            admin::record_if_possible(host, output, "trust.refused", &shown);
        })?;
    }
    let key = trust::key(&path)
        .ok_or_else(|| Failure::failed("the path of the file is not text").hint("rename it"))?;
    admin::record(host, &home, "trust.add", &shown)?;
    // What was shown is what is trusted: the hash is that of the text that was read.
    Record::change(&home, |record| drop(record.files.insert(key, trust::hash(&text))))?;
    output.report(&Trusted { file: shown, holds: true, changed: true, servers })
}

/// The servers of the file, whatever kind of file it is.
fn entries(
    path: &Path,
    shown: &str,
    text: &str,
    user_home: Option<&Path>,
) -> Result<Vec<Entry>, Failure> {
    let source = Source { origin: Origin::Named, path: path.to_owned(), trusted: true };
    if path.extension().is_some_and(|extension| extension == "toml") {
        let project = Project::parse(shown, text)?;
        return Ok(project.servers.entries(&source, user_home));
    }
    let (entries, problems) = file::read(&Text::new(shown, text).at_home(user_home), &source)
        .map_err(|problem| of_problem(&problem))?;
    match problems.first() {
        Some(problem) => Err(of_problem(problem)),
        None => Ok(entries),
    }
}

/// What trusting it lets happen. A server with a mistake is said: nobody trusts what cannot be read.
fn changes(entries: &[Entry]) -> Result<Vec<String>, Failure> {
    let mut changes = Vec::new();
    for entry in entries {
        let server = entry.server_with_visible_secrets().map_err(of_problem)?;
        for change in widens(server) {
            changes.push(DisplaySafe(&format!("`{}` {change}", entry.name)).to_string());
        }
    }
    if changes.is_empty() {
        changes.push("uses the servers of this file, of which there are none now".to_owned());
    }
    Ok(changes)
}

fn read(path: &Path, shown: &str) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("`{shown}` cannot be read: {error}"))
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST as u64 {
        return Err(Failure::failed(format!("`{shown}` is larger than 10 MiB")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn rows(record: &Record) -> Vec<Row> {
    let state = |file: &str, hash: &String| match std::fs::read_to_string(file) {
        Ok(text) if trust::hash(&text) == *hash => "trusted",
        Ok(_) => "changed",
        Err(_) => "missing",
    };
    record
        .files
        .iter()
        .map(|(file, hash)| Row { file: file.clone(), state: state(file, hash) })
        .collect()
}

impl Report for Trusted {
    fn text(&self, _: Style) -> String {
        let file = DisplaySafe(&self.file);
        match (self.holds, self.changed) {
            (true, true) => format!("{file} is trusted, as long as its text stays as it is\n"),
            (true, false) => format!("{file} is trusted already\n"),
            (false, true) => format!("{file} is not trusted any more\n"),
            (false, false) => format!("{file} was not trusted\n"),
        }
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "No file of others is trusted.\n".to_owned();
        }
        let row = |row: &Row| {
            let state = match row.state {
                "trusted" => style.green(row.state),
                other => style.yellow(other),
            };
            vec![state, DisplaySafe(&row.file).to_string()]
        };
        table(&self.0.iter().map(row).collect::<Vec<_>>())
    }
}
