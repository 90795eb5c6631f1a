//! What all sources give together.
//!
//! Reading is cheap and building is late: a start builds the one server that it starts, and
//! `mcp list` builds all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use strongroom_model::principal::Name;
use strongroom_model::server::Server;

use super::build::{Built, build};
use super::node::Node;
use super::{Problem, Text, json};

/// Every server that there is, by name.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The servers.
    pub entries: BTreeMap<Name, Entry>,
    /// What is wrong with a source as a whole, or with a name in it.
    pub problems: Vec<Problem>,
    /// Servers that are not used because a source before theirs has the name.
    pub shadowed: Vec<Entry>,
}

/// One server of one source.
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// Where it stands.
    pub source: Source,
    /// Whether it is enabled here.
    pub on: bool,
    raw: Raw,
    built: OnceLock<Result<Built, Problem>>,
}

/// Where a server stands.
#[derive(Clone, Debug)]
pub struct Source {
    /// What kind of file that is.
    pub origin: Origin,
    /// The file.
    pub path: PathBuf,
    /// Whether what stands there may be used: the user's own files, and those whose present text the
    /// user has trusted.
    pub trusted: bool,
}

/// What kind of file a server stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The user's own `strongroom.toml`.
    User,
    /// The project's `strongroom.toml`.
    Project,
    /// A registry file that the command line or the environment names.
    Named,
    /// A registry file that the user's own `strongroom.toml` names.
    Catalog,
}

/// A server as it was read.
enum Raw {
    /// A tree.
    Node(Text, Node),
    /// A part of a JSON text, parsed before and left unread.
    Part(Text, std::ops::Range<usize>),
}

impl Catalogue {
    /// The server `name`.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.get(&name.parse::<Name>().ok()?)
    }

    /// The servers that are enabled here and may be used.
    pub fn enabled(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.on && entry.source.trusted)
    }

    /// Adds what a source has. What is there already wins.
    pub fn add(&mut self, entries: Vec<Entry>, problems: Vec<Problem>) {
        self.problems.extend(problems);
        for entry in entries {
            if self.entries.contains_key(&entry.name) {
                self.shadowed.push(entry);
            } else {
                self.entries.insert(entry.name.clone(), entry);
            }
        }
    }
}

impl Entry {
    /// A server that was read into a tree.
    pub fn of_node(name: Name, source: Source, text: Text, node: Node) -> Self {
        Self::new(name, source, Raw::Node(text, node))
    }

    /// A server that is a part of a JSON text.
    pub(super) fn of_part(
        name: Name,
        source: Source,
        text: Text,
        at: std::ops::Range<usize>,
    ) -> Self {
        Self::new(name, source, Raw::Part(text, at))
    }

    fn new(name: Name, source: Source, raw: Raw) -> Self {
        Self { name, source, on: false, raw, built: OnceLock::new() }
    }

    /// The server.
    ///
    /// # Errors
    ///
    /// There is a mistake in it, or it would show a secret to others and its source does not say that
    /// this is meant.
    pub fn server(&self) -> Result<&Server, &Problem> {
        let built = self.built()?;
        built.shows.as_ref().map_or(Ok(&built.server), Err)
    }

    /// The server, also where it would show a secret to others: the person said so.
    ///
    /// # Errors
    ///
    /// There is a mistake in it.
    pub fn server_with_visible_secrets(&self) -> Result<&Server, &Problem> {
        Ok(&self.built()?.server)
    }

    /// The line and the column where it stands, counted from 1.
    pub fn place(&self) -> (usize, usize) {
        match &self.raw {
            Raw::Node(text, node) => text.place(node.at),
            Raw::Part(text, at) => text.place(at.start),
        }
    }

    fn built(&self) -> Result<&Built, &Problem> {
        let built = self.built.get_or_init(|| match &self.raw {
            Raw::Node(text, node) => build(text, &self.name, node),
            Raw::Part(text, at) => {
                build(text, &self.name, &json::read_part(text, at.start, at.end)?)
            }
        });
        built.as_ref()
    }
}

/// No text of it: it may have a pasted secret in it.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}
