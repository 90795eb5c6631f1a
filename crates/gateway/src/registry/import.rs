//! Catalogues and configurations of others, into servers that a person looks at before they are kept.
//!
//! What is read: the official registry's `server.json` and the lists of its API, Docker's catalogue,
//! `ToolHive`'s, and the `mcpServers`, `servers` and `context_servers` of clients. Each server becomes a
//! [`Draft`]: a command that is exactly pinned where the source says a version, a slot in the vault for
//! each secret, and a list of what is still to be filled in.
//!
//! Invariant: a text of a catalogue never becomes a reference. The references of a draft are its slots
//! and, where a client's own file has them, those that the user wrote there; anything else that would
//! read as one is refused, so that a foreign file cannot ask for a secret that is there already.
//!
//! Nothing here touches the file system, and no source decides what program is started beyond what its
//! format stands for: `runtimeHint` and its like are never run.

mod clients;
mod compose;
mod docker;
mod fields;
mod names;
mod official;
mod package;
mod toolhive;

use std::collections::{BTreeMap, BTreeSet};

use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::server::Server;

use super::node::{Member, Node, Value};
use super::{Problem, Text, json, near, yaml};
use compose::Making;

/// How a file is to be read.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// The name that the one server gets.
    pub name: Option<&'a Name>,
    /// The servers to take, by their own names or by those that they get; all, if there is none.
    pub only: &'a [String],
    /// Values for what the source leaves open, by name. Several for one that may be repeated.
    pub values: &'a [(String, String)],
    /// The way to take, where a server has several: `npm`, `pypi`, `oci`, `nuget` or `remote`.
    pub way: Option<&'a str>,
    /// Whether secrets may stand in arguments and addresses.
    pub allow_visible_secrets: bool,
}

/// What a file has.
#[derive(Debug)]
pub struct Import {
    /// What kind of file it is, for people.
    pub kind: &'static str,
    /// Each server, or why it cannot be taken.
    pub servers: Vec<Result<Draft, Refused>>,
}

/// A server as it would be kept.
#[derive(Debug)]
pub struct Draft {
    /// The name that it gets.
    pub name: Name,
    /// The name that it has in the source.
    pub from: String,
    /// The server, checked by the rules of every source.
    pub server: Server,
    /// Whether a secret stands where others see it.
    pub visible: bool,
    /// The secrets that it asks for.
    pub slots: Vec<Slot>,
    /// What is still to be filled in.
    pub missing: Vec<Missing>,
    /// What else a person should know.
    pub notices: Vec<String>,
    /// The names of the values that were used.
    pub used: BTreeSet<String>,
}

/// A secret that a server asks for, and the place in the vault that is kept for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `local://NAME/SLOT`.
    pub reference: SecretRef,
    /// What needs it: a variable, a header, an argument.
    pub needed_by: String,
    /// What the source says of it.
    pub about: Option<String>,
    /// Whether the source says that the server does not start without it.
    pub required: bool,
}

/// A setting without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where it stands: `env`, `args`, `url` or `headers`.
    pub place: &'static str,
    /// Its name.
    pub name: String,
    /// What the source says of it.
    pub about: Option<String>,
    /// What it may be, where that is a list.
    pub choices: Vec<String>,
}

/// A server that cannot be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Refused {
    /// Its name in the source.
    pub from: String,
    /// Why.
    #[source]
    pub problem: Problem,
}

/// A server of a file that is not read yet.
struct Found<'n> {
    from: String,
    at: usize,
    node: &'n Node,
    shape: Shape,
    notices: Vec<String>,
}

/// Whose format a server has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Official,
    Docker,
    Image,
    Remote,
    Client,
}

/// No text is longer that is put together here: variables may repeat each other.
const LONGEST: usize = 64 << 10;

/// Reads `text`, which is JSON (comments are allowed) or YAML.
///
/// # Errors
///
/// The file is none of the known kinds, or none of its servers is the one that is asked for.
pub fn read(text: &Text, options: &Options<'_>) -> Result<Import, Problem> {
    let root = tree(text)?;
    let (kind, found) = survey(text, &root)?;
    let found = select(text, found, options)?;
    if options.name.is_some() && found.len() != 1 {
        return Err(text
            .problem(0, format!("the file has {} servers, and `--name` names one", found.len()))
            .hint("choose one of them with `--only`"));
    }
    let mut taken = BTreeSet::new();
    let mut servers = Vec::with_capacity(found.len());
    for found in found {
        let draft = draft(text, &root, &found, options).and_then(|draft| {
            if taken.insert(draft.name.clone()) {
                Ok(draft)
            } else {
                let problem = format!("two servers of the file would be called `{}`", draft.name);
                Err(text
                    .problem(found.at, problem)
                    .hint("take one with `--only`, and give it a `--name`"))
            }
        });
        servers.push(draft.map_err(|problem| Refused { from: found.from, problem }));
    }
    Ok(Import { kind, servers })
}

/// JSON, where the first character says so.
fn tree(text: &Text) -> Result<Node, Problem> {
    let start = text.text.trim_start();
    if start.starts_with(['{', '[', '/']) { json::read(text) } else { yaml::read(text) }
}

/// What kind of file it is, and the servers in it.
fn survey<'n>(text: &Text, root: &'n Node) -> Result<(&'static str, Vec<Found<'n>>), Problem> {
    let is_table = |key| matches!(root.get(key), Some(Node { value: Value::Table(_), .. }));
    if let Some(found) = clients::find(root) {
        return Ok(("a client's configuration", found));
    }
    if toolhive::is_catalogue(root) {
        return Ok(("a catalogue of ToolHive", toolhive::find(root)));
    }
    if is_table("registry") {
        return Ok(("a catalogue of Docker", docker::find(root)));
    }
    if docker::is_entry(root) {
        return Ok(("an entry of Docker's catalogue", vec![named(root, root.at, Shape::Docker)]));
    }
    let list = matches!(&root.value, Value::List(_)).then_some(root);
    let list =
        list.or_else(|| root.get("servers").filter(|node| matches!(node.value, Value::List(_))));
    if let Some(list) = list {
        return Ok(("a list of a registry", official::find(list.items())));
    }
    if official::is_server(root) {
        return Ok(("a `server.json`", official::find(std::slice::from_ref(root))));
    }
    Err(text.problem(root.at, "this is none of the files that servers are imported from").hint(
        "those are a `server.json`, a catalogue of Docker or ToolHive, and a client's `mcpServers`",
    ))
}

/// A server that says its own name.
fn named(node: &Node, at: usize, shape: Shape) -> Found<'_> {
    let from = node.get("name").and_then(Node::as_text).unwrap_or_default();
    Found { from: from.to_owned(), at, node, shape, notices: Vec::new() }
}

/// The servers of a table, by their keys.
fn keyed(table: &Node, shape: Shape) -> impl Iterator<Item = Found<'_>> {
    table.members().iter().map(move |member| Found {
        from: member.key.clone(),
        at: member.at,
        node: &member.value,
        shape,
        notices: Vec::new(),
    })
}

/// The servers that are asked for.
fn select<'n>(
    text: &Text,
    found: Vec<Found<'n>>,
    options: &Options<'_>,
) -> Result<Vec<Found<'n>>, Problem> {
    if found.is_empty() {
        return Err(text.problem(0, "there is no server in the file"));
    }
    let is = |found: &Found<'_>, wanted: &str| {
        found.from == wanted || names::fit(&found.from).is_some_and(|name| name.as_str() == wanted)
    };
    for wanted in options.only {
        if !found.iter().any(|found| is(found, wanted)) {
            let near = near::nearest(wanted, found.iter().map(|found| found.from.as_str()));
            return Err(text
                .problem(0, "there is no server of this name in the file")
                .maybe_hint(near.map(|near| format!("did you mean `{near}`?"))));
        }
    }
    let is_wanted = |found: &Found<'_>| {
        options.only.is_empty() || options.only.iter().any(|only| is(found, only))
    };
    Ok(found.into_iter().filter(is_wanted).collect())
}

fn draft(
    text: &Text,
    root: &Node,
    found: &Found<'_>,
    options: &Options<'_>,
) -> Result<Draft, Problem> {
    let fitted = names::fit(&found.from);
    let name = options.name.cloned().or(fitted).ok_or_else(|| {
        text.problem(found.at, "the server has no name that could be made into one of ours")
            .hint("give it one with `--name`")
    })?;
    if !matches!(found.node.value, Value::Table(_)) {
        return Err(text.problem(found.at, format!("`{name}` is not a table of a server's keys")));
    }
    let mut making = Making::new(text, options, name, found);
    match found.shape {
        Shape::Official => official::make(&mut making, found.node)?,
        Shape::Docker => docker::make(&mut making, found.node)?,
        Shape::Image => toolhive::image(&mut making, found.node)?,
        Shape::Remote => toolhive::remote(&mut making, found.node)?,
        Shape::Client => clients::make(&mut making, found.node, root)?,
    }
    making.finish()
}

/// The values for `name`, in order.
fn values<'a>(options: &Options<'a>, name: &str) -> Vec<&'a str> {
    let values = options.values.iter().filter(|(key, _)| key == name);
    values.map(|(_, value)| value.as_str()).collect()
}

impl Draft {
    /// The server's table as a tree, by the keys of a registry: what is kept of it.
    pub fn table(&self) -> Node {
        compose::table(&self.server, self.visible)
    }
}

/// A member of a tree that was not read from a text.
fn member(key: &str, value: Value) -> Member {
    Member { key: key.to_owned(), at: 0, value: Node { at: 0, value } }
}

/// The fields of `node`, as texts, by their keys.
fn texts(node: &Node) -> BTreeMap<&str, &Node> {
    node.members().iter().map(|member| (member.key.as_str(), &member.value)).collect()
}

#[cfg(test)]
mod tests;
