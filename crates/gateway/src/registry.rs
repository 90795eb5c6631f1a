//! The registry: MCP servers from every source, merged into one [`Catalogue`].
//!
//! A source is text that somebody else may have written: a registry file, the `[servers]` of a
//! configuration, another tool's catalogue. Each becomes a tree of [`Node`]s that know where they
//! stand, and one builder turns the tree of one server into a checked
//! [`Server`](strongroom_model::server::Server), so that the rules stand once. A server with a mistake
//! in it does not take the others with it.
//!
//! - [`words`]: a command line into words, without a shell.
//! - [`node`]: the tree; [`json`] and [`yaml`] read it.
//! - [`file`] reads `mcp-registry.json`.
//! - [`import`]: catalogues and configurations of others into servers that a person looks at.
//! - [`catalogue`]: what the sources give together.
//!
//! Nothing here touches the file system.

mod build;
pub mod catalogue;
pub mod file;
pub mod import;
pub mod json;
mod near;
pub mod node;
pub mod words;
pub mod yaml;

use std::path::Path;
use std::sync::Arc;

pub use build::{KEYS, RULE_KEYS, duration, is_hijack};
pub use catalogue::{Catalogue, Entry, Origin, Source};
pub use node::{Member, Node, Value};

/// The text of a source, for turning offsets into places.
#[derive(Clone)]
pub struct Text {
    /// How messages name the file.
    pub file: Arc<str>,
    /// What stands in it.
    pub text: Arc<str>,
    /// What `~` stands for in it.
    pub home: Option<Arc<Path>>,
}

/// A mistake in a source, and its place. It names keys and never values: a secret that was pasted
/// into the file must not go on to a terminal or a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// No text of it: it may have a pasted secret in it.
impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Text {
    /// The text of `file`.
    pub fn new(file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), text: text.into(), home: None }
    }

    /// The same, where `~` stands for `home`.
    #[must_use]
    pub fn at_home(mut self, home: Option<&Path>) -> Self {
        self.home = home.map(Arc::from);
        self
    }

    /// The line and the column of `offset`, counted from 1.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before.chars().rev().take_while(|&c| c != '\n').count() + 1)
    }

    /// A problem at `offset`.
    pub fn problem(&self, offset: usize, problem: impl Into<String>) -> Problem {
        let (line, column) = self.place(offset);
        Problem { file: self.file.to_string(), line, column, problem: problem.into(), hint: None }
    }
}

impl Problem {
    /// The same, with what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with what to write instead where that is known.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into).or(self.hint);
        self
    }
}
