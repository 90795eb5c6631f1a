//! `strongroom tools`: what servers say of their tools, and a person's yes to a change (decision 31).

mod at;
mod text;
mod view;

use std::sync::Arc;

use clap::Subcommand;
use strongroom_model::pin::{Pin, Version, Why};
use strongroom_model::principal::Name;
use strongroom_store::PinStore;
use strongroom_store::pins::Kept;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::Output;
use crate::paths::Home;
use crate::{admin, confirm, home, servers};
pub use at::at;
use view::{Approved, Diff, List, Row};

/// See how the tools of MCP servers have changed, and approve it
///
/// The first definition of a tool that is seen counts as approved. A tool with another one, or with one
/// that hides something from its reader, is neither listed nor called until you approve it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom tools
  strongroom tools diff shop
  strongroom tools approve shop/order
  strongroom tools list --waiting --remote work")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List every tool that was seen, and how it stands (the default)
    #[command(after_help = "Examples:
  strongroom tools list
  strongroom tools list shop --waiting")]
    List {
        /// A server, or one tool of it
        #[arg(value_name = "SERVER[/TOOL]")]
        which: Option<String>,
        /// Only those that wait for a person
        #[arg(long)]
        waiting: bool,
    },
    /// Show what was approved and what the server says now
    #[command(after_help = "Examples:
  strongroom tools diff
  strongroom tools diff shop/order")]
    Diff {
        /// A server, or one tool of it
        #[arg(value_name = "SERVER[/TOOL]")]
        which: Option<String>,
    },
    /// Let agents see and call what has changed
    ///
    /// It shows the change and needs a person: a code is shown at the terminal, to be typed back.
    #[command(after_help = "Examples:
  strongroom tools approve shop
  strongroom tools approve shop/order")]
    Approve {
        /// A server, or one tool of it
        #[arg(value_name = "SERVER[/TOOL]")]
        which: String,
    },
}

/// A definition that waits, and what is kept of its tool.
struct Waiting {
    kept: Kept,
    version: Version,
    why: Why,
}

/// Lines of a change that are shown with the code.
const MOST_LINES: usize = 400;

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let store = home::open(&home, Arc::clone(&host.clock))?.pins()?;
    let all = seen(host, &home, store.list()?);
    match &args.command {
        None => list(&all, None, false, *output),
        Some(Command::List { which, waiting }) => list(&all, which.as_deref(), *waiting, *output),
        Some(Command::Diff { which }) => diff(&all, which.as_deref(), *output),
        Some(Command::Approve { which }) => approve(&store, &all, which, host, &home, *output),
    }
}

fn list(all: &[Kept], which: Option<&str>, only: bool, output: Output) -> Result<(), Failure> {
    let mut kept = chosen(all, which)?;
    kept.retain(|kept| !only || kept.pin.waiting.is_some());
    let waits = kept.iter().any(|kept| kept.pin.waiting.is_some());
    output.report(&List { tools: kept.into_iter().map(Row::of).collect() })?;
    if waits {
        output.hint("run `strongroom tools diff`, then `strongroom tools approve SERVER/TOOL`");
    }
    Ok(())
}

fn diff(all: &[Kept], which: Option<&str>, output: Output) -> Result<(), Failure> {
    let waiting = waiting(chosen(all, which)?);
    output.report(&Diff::of(&waiting))?;
    if !waiting.is_empty() {
        output.hint("to let agents call it, run `strongroom tools approve SERVER/TOOL`");
    }
    Ok(())
}

fn approve(
    store: &PinStore,
    all: &[Kept],
    which: &str,
    host: &Host,
    home: &Home,
    output: Output,
) -> Result<(), Failure> {
    let waiting = waiting(chosen(all, Some(which))?);
    if waiting.is_empty() {
        return output.report(&Approved { approved: Vec::new() });
    }
    let config = Config::load_without_services(home)?;
    if !config.headless {
        let changes: Vec<String> = waiting.iter().flat_map(Waiting::lines).collect();
        let heading = "Agents will see and call what servers say now";
        confirm::in_person(heading, &changes, host).inspect_err(|_| {
            admin::record_if_possible(host, &output, "tool.approve.refused", which);
        })?;
    }
    let mut approved = Vec::new();
    for one in &waiting {
        let Kept { scope, server, pin } = &one.kept;
        let subject = format!("{server}/{} sha256:{}", pin.tool, one.version.hash);
        admin::record(host, home, "tool.approve", &subject)?;
        if !store.approve((scope, server, &pin.tool), one.version.hash)? {
            let problem = format!("`{}` has changed again, and was not approved", one.name());
            return Err(Failure::failed(problem).hint("run `strongroom tools diff` again"));
        }
        approved.push(one.name());
    }
    output.report(&Approved { approved })
}

/// What is seen from here: of servers that several files have, the one that is meant here.
fn seen(host: &Host, home: &Home, mut all: Vec<Kept>) -> Vec<Kept> {
    let places = servers::Places { directory: &host.directory, registry: None };
    let config = Config::load_without_services(home).ok();
    let found = config.and_then(|config| servers::load(host, home, &config, places).ok());
    let Some(found) = found else { return all };
    all.retain(|kept| {
        let entry = found.catalogue.entries.get(&kept.server);
        entry.is_none_or(|entry| servers::scope(&entry.source) == kept.scope)
    });
    all
}

/// Those of `which`: a server, or one tool of it. All, where nothing is said.
fn chosen<'a>(all: &'a [Kept], which: Option<&str>) -> Result<Vec<&'a Kept>, Failure> {
    let Some(which) = which else { return Ok(all.iter().collect()) };
    let (server, tool) = match which.split_once('/') {
        Some((server, tool)) => (server, Some(tool)),
        None => (which, None),
    };
    let name: Name = server.parse().map_err(Failure::usage)?;
    let of_server: Vec<&Kept> = all.iter().filter(|kept| kept.server == name).collect();
    if of_server.is_empty() {
        let failure = Failure::failed(format!("no tools of `{name}` have been seen"));
        return Err(match near::nearest(server, all.iter().map(|kept| kept.server.as_str())) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("they are seen when a client lists them: `strongroom mcp list`"),
        });
    }
    let Some(tool) = tool else { return Ok(of_server) };
    let found: Vec<&Kept> =
        of_server.iter().copied().filter(|kept| kept.pin.tool == tool).collect();
    if found.is_empty() {
        let failure = Failure::failed(format!("no such tool of `{name}` has been seen"));
        let near = near::nearest(tool, of_server.iter().map(|kept| kept.pin.tool.as_str()));
        return Err(match near {
            Some(near) => failure.hint(format!("did you mean `{name}/{near}`?")),
            None => failure.hint(format!("run `strongroom tools list {name}`")),
        });
    }
    Ok(found)
}

fn waiting(kept: Vec<&Kept>) -> Vec<Waiting> {
    let one = |kept: &Kept| {
        let (version, why) = kept.pin.waiting.clone()?;
        Some(Waiting { kept: kept.clone(), version, why })
    };
    kept.into_iter().filter_map(one).collect()
}

impl Waiting {
    fn name(&self) -> String {
        format!("{}/{}", self.kept.server, self.kept.pin.tool)
    }

    fn pin(&self) -> &Pin {
        &self.kept.pin
    }

    /// What was approved and what is said now, as lines that begin with `-`, `+` or a blank.
    fn diff(&self, context: usize) -> Vec<String> {
        let old = self.pin().approved.as_ref().map(|version| version.text.as_str());
        text::diff(old, &self.version.text, context)
    }

    /// The change, line by line, for whoever is asked about it.
    fn lines(&self) -> Vec<String> {
        let old = self.pin().approved.as_ref().map(|version| version.text.as_str());
        lines_of(&self.name(), self.why, old, &self.version.text)
    }
}

/// What `name` is about to be: from `old` to `new`, which waits because of `why`.
fn lines_of(name: &str, why: Why, old: Option<&str>, new: &str) -> Vec<String> {
    let mut lines = vec![format!("`{name}`: {}", why.in_words())];
    let diff = text::diff(old, new, 0);
    let more = diff.len().saturating_sub(MOST_LINES);
    lines.extend(diff.into_iter().take(MOST_LINES).map(|line| format!("  {line}")));
    if more > 0 {
        let rest = format!("  .. and {more} lines more: `strongroom tools diff`");
        lines.push(rest);
    }
    lines
}
