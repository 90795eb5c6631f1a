//! `[servers.NAME]`, `[catalog]`, `enable` and `disable`: the MCP servers that a file has, names and
//! switches.
//!
//! Servers are left as trees here. The registry builds the one that is used, by the same rules as
//! those of every other source, and a mistake in one is none of the others'.

use std::collections::BTreeSet;
use std::path::PathBuf;

use strongroom_gateway::registry::{Entry, Node, Source, Text};
use strongroom_model::principal::Name;

use super::ConfigError;
use super::reader::Section;

/// The keys of `[catalog]`.
pub(super) const CATALOG_KEYS: &[&str] = &["files"];

/// The servers of one file.
#[derive(Debug, Default)]
pub struct Declared {
    text: Option<Text>,
    servers: Vec<(Name, Node)>,
}

/// Which servers a file switches on and off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// The servers that it switches on.
    pub enable: BTreeSet<Name>,
    /// The servers that it switches off, whatever else switches them on.
    pub disable: BTreeSet<Name>,
}

impl Declared {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether there is a server of this name.
    pub fn has(&self, name: &Name) -> bool {
        self.servers.iter().any(|(other, _)| other == name)
    }

    /// The servers as entries of a catalogue. `~` stands for `home` in them.
    pub fn entries(&self, source: &Source, home: Option<&std::path::Path>) -> Vec<Entry> {
        let Some(text) = &self.text else { return Vec::new() };
        let text = text.clone().at_home(home);
        let entry = |(name, node): &(Name, Node)| {
            Entry::of_node(name.clone(), source.clone(), text.clone(), node.clone())
        };
        self.servers.iter().map(entry).collect()
    }
}

/// Reads `[servers]`. `text` is that of the whole file.
pub(super) fn declared(
    root: &Section<'_>,
    file: &str,
    text: &str,
) -> Result<Declared, ConfigError> {
    let Some(table) = root.table("servers")? else { return Ok(Declared::default()) };
    let mut servers = Vec::new();
    for (key, value) in table.entries() {
        let name: Name = key.text().parse().map_err(|error| key.problem(error))?;
        servers.push((name, value.tree()));
    }
    Ok(Declared { text: Some(Text::new(file, text)), servers })
}

/// Reads `[catalog]`.
pub(super) fn catalog_files(root: &Section<'_>) -> Result<Vec<PathBuf>, ConfigError> {
    let Some(table) = root.table("catalog")? else { return Ok(Vec::new()) };
    table.only(CATALOG_KEYS)?;
    table
        .texts("files")?
        .into_iter()
        .map(|text| {
            let path = PathBuf::from(text.text());
            if path.is_absolute() || text.text().starts_with("~/") {
                Ok(path)
            } else {
                Err(text
                    .problem("`files` has a path that is not absolute")
                    .hint("write it from `/` or `~/` on"))
            }
        })
        .collect()
}

/// Reads `enable` and `disable`.
pub(super) fn switches(root: &Section<'_>) -> Result<Switches, ConfigError> {
    let names = |key: &'static str| -> Result<BTreeSet<Name>, ConfigError> {
        root.texts(key)?
            .into_iter()
            .map(|text| {
                text.text().parse().map_err(|error| text.problem(format!("`{key}`: {error}")))
            })
            .collect()
    };
    Ok(Switches { enable: names("enable")?, disable: names("disable")? })
}
