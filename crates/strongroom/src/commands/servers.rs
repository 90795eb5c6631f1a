//! `strongroom servers`: how the MCP servers of a running `strongroom serve` are.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::display::DisplaySafe;

use crate::commands::shown;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::gateway::board::{self, Process, Row};
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::release::span;

/// See how the MCP servers are that `strongroom serve` has mounted
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Status(StatusArgs),
}

/// Show what each mounted server is doing, in every `strongroom serve` that runs
///
/// Ends with 4 where a server cannot be used before somebody does something about it: it is locked, not
/// trusted, has a mistake in it, or has failed too often.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom servers status
  strongroom servers status github
  strongroom servers status --json")]
struct StatusArgs {
    /// This one alone, with what it wrote on stderr
    name: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let Action::Status(args) = &args.action;
    status(args, host, *output)
}

fn status(args: &StatusArgs, host: &Host, output: Output) -> Result<(), Failure> {
    let mut serving = board::read(&host.home()?)?;
    if let Some(name) = &args.name {
        let all = serving.iter().flat_map(|process| &process.servers);
        let names: Vec<String> = all.map(|row| row.name.clone()).collect();
        if !names.contains(name) {
            return Err(unknown(name, &names));
        }
        for process in &mut serving {
            process.servers.retain(|row| row.name == *name);
        }
        serving.retain(|process| !process.servers.is_empty());
    }
    let now = host.clock.now();
    let waits = serving.iter().flat_map(|it| &it.servers).any(|row| row.waiting > Some(0));
    let unusable = serving.iter().flat_map(|it| &it.servers).any(Row::is_unusable);
    let home = host.environment.clone();
    let serving =
        serving.into_iter().map(|process| View::of(process, now, &|path| shown(path, &home)));
    output.report(&List { serving: serving.collect(), one: args.name.is_some() })?;
    if waits {
        output.hint("some tools wait for you: run `strongroom tools diff`");
    }
    if unusable { Err(Failure::silent(Exit::Unavailable)) } else { Ok(()) }
}

fn unknown(name: &str, names: &[String]) -> Failure {
    let near = near::nearest(name, names.iter().map(String::as_str));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "run `strongroom servers status`, or `strongroom mcp list`".to_owned(),
    };
    let what = DisplaySafe(name);
    Failure::failed(format!("no running `strongroom serve` has a server `{what}`")).hint(hint)
}

#[derive(Serialize)]
struct List {
    serving: Vec<View>,
    #[serde(skip)]
    one: bool,
}

/// One `serve`.
#[derive(Serialize)]
struct View {
    pid: u32,
    uptime_s: u64,
    serves: String,
    directory: PathBuf,
    #[serde(skip)]
    shown: String,
    servers: Vec<ServerView>,
}

#[derive(Serialize)]
struct ServerView {
    name: String,
    state: String,
    pid: Option<u32>,
    uptime_s: Option<u64>,
    restarts: u64,
    tools: Option<usize>,
    tools_waiting: Option<usize>,
    last_error: Option<String>,
    stderr: Vec<String>,
}

impl View {
    fn of(process: Process, now: SystemTime, shown: &dyn Fn(&Path) -> String) -> Self {
        let since = |since: u64| {
            let began = UNIX_EPOCH + Duration::from_secs(since);
            now.duration_since(began).unwrap_or_default().as_secs()
        };
        let server = |row: Row| ServerView {
            name: row.name,
            state: row.state,
            pid: row.pid,
            uptime_s: row.since.map(since),
            restarts: row.restarts,
            tools: row.tools,
            tools_waiting: row.waiting,
            last_error: row.why,
            stderr: row.said,
        };
        Self {
            pid: process.pid,
            uptime_s: since(process.since),
            serves: process.serves,
            shown: shown(&process.directory),
            directory: process.directory,
            servers: process.servers.into_iter().map(server).collect(),
        }
    }
}

impl View {
    fn text(&self, style: Style, with_words: bool) -> String {
        let uptime = span(Duration::from_secs(self.uptime_s));
        let Self { serves, pid, shown, .. } = self;
        let first = format!("{}, process {pid}, for {uptime}, in {shown}", style.bold(serves));
        if self.servers.is_empty() {
            return format!("{first}\n  no server is on here\n");
        }
        let head =
            ["SERVER", "STATE", "PID", "UPTIME", "RESTARTS", "TOOLS", "WAITING", "LAST ERROR"];
        let head = head.map(|word| style.dim(word)).to_vec();
        let rows = self.servers.iter().map(|server| server.row(style));
        let rows = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
        let said = self.servers.iter().filter(|_| with_words).flat_map(|it| &it.stderr);
        let said: Vec<_> = said.map(|line| format!("  | {}\n", DisplaySafe(line))).collect();
        format!("{first}\n{rows}{}", said.concat())
    }
}

impl ServerView {
    fn row(&self, style: Style) -> Vec<String> {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        let state = match self.state.as_str() {
            "ready" => style.green(&self.state),
            "idle" | "off" => style.dim(&self.state),
            "starting" | "restarting" => style.yellow(&self.state),
            _ => style.red(&self.state),
        };
        let first = self.last_error.as_deref().and_then(|text| text.lines().next());
        vec![
            self.name.clone(),
            state,
            number(self.pid.map(u64::from)),
            self.uptime_s.map_or("-".to_owned(), |s| span(Duration::from_secs(s))),
            self.restarts.to_string(),
            number(self.tools.map(|tools| tools as u64)),
            match self.tools_waiting {
                Some(waiting @ 1..) => style.yellow(&waiting.to_string()),
                other => number(other.map(|none| none as u64)),
            },
            DisplaySafe(first.unwrap_or_default()).to_string(),
        ]
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.serving.is_empty() {
            return "No `strongroom serve` is running.\n\nNext: strongroom connect\n".to_owned();
        }
        let all = self.serving.iter().map(|serving| serving.text(style, self.one));
        all.collect::<Vec<_>>().join("\n")
    }
}
