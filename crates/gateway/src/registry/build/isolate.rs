//! `isolate`: the room of its own that a server is to have.

use std::path::{Component, Path, PathBuf};

use strongroom_model::server::Isolation;

use super::super::Problem;
use super::super::node::{Node, Value};
use super::Reader;

/// The keys of the table; the published schema has the same.
const KEYS: &[&str] = &["read", "write", "network"];

impl Reader<'_> {
    /// `true`, or a table of what it has beside its program.
    pub(super) fn isolate(&self) -> Result<Option<Isolation>, Problem> {
        let Some(node) = self.node.get("isolate") else { return Ok(None) };
        match &node.value {
            Value::Flag(on) => Ok(on.then(Isolation::default)),
            Value::Table(_) => Reader { text: self.text, node }.room().map(Some),
            _ => Err(self.is_not("isolate", node, "`true`, `false` or a table")),
        }
    }

    fn room(&self) -> Result<Isolation, Problem> {
        self.only(KEYS)?;
        let network = match self.node.get("network") {
            None => false,
            Some(Node { value: Value::Flag(flag), .. }) => *flag,
            Some(other) => return Err(self.is_not("network", other, "`true` or `false`")),
        };
        Ok(Isolation { read: self.folders("read")?, write: self.folders("write")?, network })
    }

    fn folders(&self, key: &str) -> Result<Vec<PathBuf>, Problem> {
        let folder = |node: &Node| {
            let path = self.absolute(key, node)?;
            if is_one(&path) {
                return Ok(path);
            }
            let problem = format!("`{key}`: a path has a `.` or `..` in it, or is everything");
            Err(self.text.problem(node.at, problem).hint("name the folders that the server needs"))
        };
        self.list(key)?.iter().map(folder).collect()
    }
}

/// Whether a path leads to one place, and not to all of them.
fn is_one(path: &Path) -> bool {
    let steps = path.components().filter(|step| !matches!(step, Component::Prefix(_)));
    let mut steps = steps.skip_while(|step| *step == Component::RootDir).peekable();
    steps.peek().is_some() && steps.all(|step| matches!(step, Component::Normal(_)))
}
