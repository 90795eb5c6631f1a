//! `strongroom scan`: where secrets stand in plain text, by name and place.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use strongroom_clients::scan::Finding;
use strongroom_clients::scan::files::{Found, Scan, Unread};
use strongroom_model::display::DisplaySafe;

use crate::commands::shown;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style, table};

/// Find plaintext secrets in the configuration of MCP clients
///
/// Looks at the files of every client on this machine, and at those of the project in the current
/// directory: its clients' files, registries and `.env` files. Shows names and places, never values.
/// Ends with 0 where there is none, 1 where there is one, and 4 where there is none but a file could
/// not be looked at.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom scan
  strongroom scan --project ~/code/shop --json
  strongroom scan .env docker/")]
pub struct Args {
    /// Look at these files, and at everything below these directories, and at nothing else
    paths: Vec<PathBuf>,
    /// The project to look at in the place of the current directory
    #[arg(long, value_name = "DIR", conflicts_with = "paths")]
    project: Option<PathBuf>,
}

/// Scans.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let mut scan = Scan::default();
    if args.paths.is_empty() {
        scan.clients(&host.environment);
        let project = args.project.as_ref().map(|directory| host.directory.join(directory));
        if let Some(missing) = project.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(Failure::usage(format!("{} is not a directory", missing.display()))
                .hint("`--project` names the directory of a project"));
        }
        scan.project(host.environment.os, project.as_ref().unwrap_or(&host.directory));
        for registry in registries(host) {
            if registry.exists() {
                scan.path(&registry);
            }
        }
    }
    for path in &args.paths {
        scan.path(&host.directory.join(path));
    }
    for unread in &scan.unread {
        let file = shown(&unread.file, &host.environment);
        output.warn(&format!("{} was not looked at: {}", DisplaySafe(&file), unread.why));
    }
    let answer = Answer { scan: &scan, host };
    output.report(&answer)?;
    if answer.scan.found.iter().any(|found| !found.backup && found.client.is_some()) {
        output.hint("run `strongroom import --dry-run` to see how they would move into the vault");
    }
    match (scan.found.is_empty(), scan.unread.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(Failure::silent(Exit::Failed)),
        (true, false) => Err(Failure::silent(Exit::Unavailable)),
    }
}

/// Registry files that the environment and `strongroom.toml` name.
fn registries(host: &Host) -> Vec<PathBuf> {
    let named = host.environment.get("STRONGROOM_REGISTRY").map(PathBuf::from);
    let infra = host.environment.get("DEV_INFRA");
    let infra = infra.map(|directory| host.environment.os.join(directory, "mcp-registry.json"));
    let config = host.home().ok().and_then(|home| Config::load(&home).ok());
    let user = host.environment.user_home().ok().map(Path::new);
    let at_home = |path: PathBuf| match (path.strip_prefix("~"), user) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path,
    };
    let files = config.map(|config| config.catalog_files).unwrap_or_default();
    named.into_iter().chain(infra).chain(files.into_iter().map(at_home)).collect()
}

struct Answer<'a> {
    scan: &'a Scan,
    host: &'a Host,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            secrets: usize,
            files: &'a [Found],
            unread: &'a [Unread],
            looked_at: usize,
        }
        let Scan { found, unread, looked_at, .. } = self.scan;
        Shape { secrets: count(found), files: found, unread, looked_at: *looked_at }
            .serialize(serializer)
    }
}

fn count(found: &[Found]) -> usize {
    found.iter().map(|found| found.secrets.len()).sum()
}

impl Report for Answer<'_> {
    fn text(&self, style: Style) -> String {
        let files = match self.scan.looked_at {
            1 => "1 file was".to_owned(),
            n => format!("{n} files were"),
        };
        let heading = match count(&self.scan.found) {
            0 => return format!("No secret stands in plain text. {files} looked at.\n"),
            1 => "1 secret stands in plain text".to_owned(),
            n => format!("{n} secrets stand in plain text"),
        };
        let mut text = format!("{}. {files} looked at.\n", style.yellow(&heading));
        for found in &self.scan.found {
            let file = shown(&found.file, &self.host.environment);
            let whose = match (found.client, found.backup) {
                (Some(client), true) => format!(" ({client}, a backup)"),
                (Some(client), false) => format!(" ({client})"),
                (None, _) => String::new(),
            };
            let file = style.bold(&DisplaySafe(&file).to_string());
            text = format!("{text}\n{file}{whose}\n");
            text.push_str(&table(&found.secrets.iter().map(row).collect::<Vec<_>>()));
        }
        text
    }
}

/// A finding as a row. Its names come from the file: they are made safe for a terminal (AL-09).
pub fn row(finding: &Finding) -> Vec<String> {
    let line = finding.line.map_or_else(|| "-".to_owned(), |line| format!("line {line}"));
    let server = if finding.server.is_empty() { "-" } else { &finding.server };
    let place = format!("{} {}", finding.place, finding.name);
    vec![
        format!("  {line}"),
        DisplaySafe(server).to_string(),
        DisplaySafe(&place).to_string(),
        finding.kind.to_owned(),
    ]
}
