//! `strongroom mcp import`: servers of a catalogue, or of another tool's configuration.

mod answer;

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, json};
use strongroom_clients::scan;
use strongroom_gateway::registry::import::{self, Draft, Options, Refused};
use strongroom_gateway::registry::{Node, Text, Value};
use strongroom_model::display::DisplaySafe;
use strongroom_model::principal::Name;
use toml_edit::{Array, InlineTable, Item, Table};

use super::widens;
use crate::commands::shown;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::Output;
use crate::servers::{LARGEST, edit, of_problem};
use crate::{admin, confirm};
use answer::{Answer, ServerAnswer};

/// Import MCP servers from a catalogue, or from another tool's configuration
///
/// Reads a `server.json` of the official registry or a list of it, a catalogue of Docker or `ToolHive`,
/// and a client's `mcpServers`. Packages become commands with exactly the version that the file names;
/// each secret gets a place in the vault, and the answer names the command that stores it. Servers are
/// added switched off, and need a person: it shows a code at the terminal, to be typed back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom mcp import server.json --dry-run
  strongroom mcp import server.json --name weather --set directory=/srv/data --enable
  strongroom mcp import catalog.yaml --only postgres --only github")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Args {
    /// The file; `-` reads stdin
    file: PathBuf,
    /// What the server is called here, where it is the only one
    #[arg(long)]
    name: Option<Name>,
    /// Take this server of several (repeatable)
    #[arg(long, value_name = "SERVER")]
    only: Vec<String>,
    /// A value for a setting that the file leaves open (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Which of the ways that a server is offered in
    #[arg(long, value_parser = ["npm", "pypi", "oci", "nuget", "remote"])]
    way: Option<String>,
    /// Let secrets stand where other programs see them: in arguments and addresses
    #[arg(long)]
    allow_visible_secrets: bool,
    /// Put them in the place of those that are there
    #[arg(long)]
    replace: bool,
    /// Switch them on
    #[arg(long)]
    enable: bool,
    /// Show what would be added, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Nobody reads a longer list at a terminal before typing a code.
const MOST: usize = 20;

/// Imports.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let text = args.text(host)?;
    let import = import::read(&text, &args.options()).map_err(|problem| of_problem(&problem))?;
    let (drafts, refused) = args.sort(import.servers, &text)?;
    let warnings: Vec<_> = drafts.iter().map(ServerAnswer::warnings).collect();
    let mut answer = Answer {
        file: text.file.to_string(),
        kind: import.kind,
        dry_run: args.dry_run,
        servers: Vec::with_capacity(drafts.len()),
        refused: refused.iter().map(Into::into).collect(),
    };
    // Checked before the person is asked, and while nobody waits for the lock.
    let mut preview = Editor::open(&home)?;
    let replaced = apply(args, &mut preview, &drafts)?;
    let headless = preview.check()?.headless;
    drop(preview);
    for (draft, warnings) in drafts.iter().zip(warnings) {
        let block = block(draft);
        let is_replaced = replaced.contains(&draft.name);
        answer.servers.push(ServerAnswer::new(draft, warnings, block, args.enable, is_replaced));
    }
    for warning in answer.warnings() {
        output.warn(&warning);
    }
    if args.dry_run {
        return output.report(&answer);
    }
    if !headless {
        confirm::by_a_person(&changes(&drafts), host).inspect_err(|_| {
            for draft in &drafts {
                admin::record_if_possible(host, &output, "server.add.refused", draft.name.as_str());
            }
        })?;
    }
    let mut editor = Editor::open(&home)?;
    apply(args, &mut editor, &drafts)?;
    editor.check()?;
    for draft in &drafts {
        admin::record(host, &home, "server.add", draft.name.as_str())?;
    }
    editor.save()?;
    output.report(&answer)
}

/// Writes the servers into the document; gives the names of those that were there.
fn apply(args: &Args, editor: &mut Editor, drafts: &[Draft]) -> Result<BTreeSet<Name>, Failure> {
    let mut replaced = BTreeSet::new();
    for draft in drafts {
        let name = &draft.name;
        if editor.config().servers.has(name) {
            if !args.replace {
                return Err(Failure::failed(format!("there is a server `{name}` already")).hint(
                    "choose another name with `--name`, or put it in its place with `--replace`",
                ));
            }
            replaced.insert(name.clone());
        }
        edit::put(editor.document(), name, toml(draft));
        if args.enable {
            edit::switch(editor.document(), name, true);
        }
    }
    Ok(replaced)
}

/// What importing lets happen, for the person who is asked.
fn changes(drafts: &[Draft]) -> Vec<String> {
    let of = |draft: &Draft| {
        let name = draft.name.clone();
        widens(&draft.server)
            .into_iter()
            .map(move |change| DisplaySafe(&format!("`{name}` {change}")).to_string())
    };
    drafts.iter().flat_map(of).collect()
}

impl Args {
    fn options(&self) -> Options<'_> {
        Options {
            name: self.name.as_ref(),
            only: &self.only,
            values: &self.set,
            way: self.way.as_deref(),
            allow_visible_secrets: self.allow_visible_secrets,
        }
    }

    /// The text of the file.
    fn text(&self, host: &Host) -> Result<Text, Failure> {
        let is_stdin = self.file == Path::new("-");
        let path = host.directory.join(&self.file);
        let name = if is_stdin { "stdin".to_owned() } else { shown(&path, &host.environment) };
        let read = |from: &mut dyn io::Read| {
            let mut bytes = Vec::new();
            from.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
        };
        let bytes = if is_stdin {
            read(&mut io::stdin().lock())
        } else {
            std::fs::File::open(&path).and_then(|mut file| read(&mut file))
        };
        let bytes =
            bytes.map_err(|error| Failure::failed(format!("`{name}` cannot be read: {error}")))?;
        if bytes.len() > LARGEST {
            return Err(Failure::failed(format!("`{name}` is larger than 10 MiB")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::failed(format!("`{name}` is not UTF-8 text")))?;
        let user_home = host.environment.user_home().ok().map(Path::new);
        Ok(Text::new(name, text).at_home(user_home))
    }

    /// What can be taken, and what cannot. Where one server was asked for, or none is left, that is a
    /// failure.
    fn sort(
        &self,
        servers: Vec<Result<Draft, Refused>>,
        text: &Text,
    ) -> Result<(Vec<Draft>, Vec<Refused>), Failure> {
        if servers.len() > MOST && !self.dry_run {
            return Err(Failure::usage(format!(
                "`{}` has {} servers, which nobody would look through",
                text.file,
                servers.len()
            ))
            .hint("choose with `--only`; `--dry-run` lists them"));
        }
        let (mut drafts, mut refused) = (Vec::new(), Vec::new());
        for server in servers {
            match server {
                Ok(draft) => drafts.push(draft),
                Err(error) => refused.push(error),
            }
        }
        if let Some(first) = refused.first().filter(|_| drafts.is_empty() || !self.only.is_empty())
        {
            return Err(of_problem(&first.problem));
        }
        self.check_values(&drafts)?;
        for draft in &drafts {
            plain_secret(draft)?;
            if let Some(missing) = draft.missing.first().filter(|_| self.enable) {
                return Err(Failure::failed(format!(
                    "`{}` cannot be switched on: `{}` has no value",
                    draft.name,
                    DisplaySafe(&missing.name)
                ))
                .hint(format!("give it with `--set {}=VALUE`", DisplaySafe(&missing.name))));
            }
        }
        Ok((drafts, refused))
    }

    /// A value that nothing asks for is a mistake in its name.
    fn check_values(&self, drafts: &[Draft]) -> Result<(), Failure> {
        let is_used = |name: &str| drafts.iter().any(|draft| draft.used.contains(name));
        let Some((name, _)) = self.set.iter().find(|(name, _)| !is_used(name)) else {
            return Ok(());
        };
        let open =
            drafts.iter().flat_map(|draft| &draft.missing).map(|missing| missing.name.as_str());
        let near = near::nearest(name, open).map(|near| format!("did you mean `{near}`?"));
        Err(Failure::usage("`--set` names a setting that no server has")
            .hint(near.unwrap_or_else(|| "`--dry-run` lists what is open".to_owned())))
    }
}

/// Refuses a secret that stands in the file itself: it would stand in ours as well.
fn plain_secret(draft: &Draft) -> Result<(), Failure> {
    let mut found = None;
    scan::visit(&plain(&draft.table()), &mut |place, name, kind, _| {
        found.get_or_insert((place.to_owned(), name, kind));
    });
    let Some((place, name, kind)) = found else { return Ok(()) };
    Err(Failure::failed(format!(
        "`{}` has what looks like a secret in the file: {kind}, `{place}`, `{}`",
        draft.name,
        DisplaySafe(&name)
    ))
    .hint("`strongroom import` moves the secrets of a client's configuration into the vault"))
}

/// The table of a draft as JSON.
fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Text(text) => json!(text),
        Value::Flag(flag) => json!(flag),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Table(members) => {
            let members = members.iter().filter(|member| member.key != "description");
            let pairs = members.map(|member| (member.key.clone(), plain(&member.value)));
            serde_json::Value::Object(pairs.collect::<Map<_, _>>())
        }
        Value::Null | Value::Number(_) | Value::Other => serde_json::Value::Null,
    }
}

/// The table of a draft as it stands in the file.
fn toml(draft: &Draft) -> Table {
    let mut table = Table::new();
    for member in draft.table().members() {
        if let Some(value) = value(&member.value) {
            table.insert(&member.key, Item::Value(value));
        }
    }
    table
}

fn value(node: &Node) -> Option<toml_edit::Value> {
    Some(match &node.value {
        Value::Text(text) => text.as_str().into(),
        Value::Flag(flag) => (*flag).into(),
        Value::List(items) => items.iter().filter_map(value).collect::<Array>().into(),
        Value::Table(members) => {
            let pairs = members.iter().filter_map(|m| Some((m.key.as_str(), value(&m.value)?)));
            pairs.collect::<InlineTable>().into()
        }
        Value::Null | Value::Number(_) | Value::Other => return None,
    })
}

/// The lines of a draft as they stand in the file.
fn block(draft: &Draft) -> String {
    let mut document = toml_edit::DocumentMut::new();
    edit::put(&mut document, &draft.name, toml(draft));
    document.to_string()
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write `NAME=VALUE`".to_owned()),
    }
}
