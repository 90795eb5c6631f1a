//! What was imported, so that it can be taken back. It holds names, places and hashes of files, and
//! no secret.
//!
//! An import is written down before it is carried out. One that was killed stays open: the next one
//! goes on with it, and `--undo` takes back what there is of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use strongroom_model::audit::chain::Hash;
use strongroom_seal::{FileError, SecureDir};

const FILE: &str = "import.json";
const LARGEST: usize = 4 << 20;
const VERSION: u32 = 1;

/// Every import that was not taken back, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    /// The imports.
    pub imports: Vec<Import>,
}

/// One import.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Import {
    /// Whether it was carried out to its end.
    pub done: bool,
    /// The secrets that it stored.
    pub secrets: Vec<StoredSecret>,
    /// The servers that it added.
    pub servers: Vec<String>,
    /// The files that it changed.
    pub files: Vec<ChangedFile>,
}

/// A secret that an import stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    /// The scheme of its reference.
    pub scheme: String,
    /// Its name there.
    pub name: String,
    /// The server that may use it.
    pub server: String,
    /// Its version, once it is stored. Another one is not ours to remove.
    pub version: Option<u64>,
}

/// A file that an import changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// The file, behind every link.
    pub path: PathBuf,
    /// The hash of its text before.
    pub before: String,
    /// The hash of its text after.
    pub after: String,
    /// The servers that it starts through us from then on.
    pub servers: Vec<String>,
}

/// Why the journal was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is none, or one of another version.
    #[error("{} is not a journal of imports", .file.display())]
    Not {
        /// The file.
        file: PathBuf,
    },
    /// It cannot be written down.
    #[error("the journal of imports cannot be written down")]
    Json(#[from] serde_json::Error),
}

/// The hash of a text, as it stands in the journal.
pub fn hash(text: &str) -> String {
    Hash::of(text.as_bytes()).to_string()
}

impl Journal {
    /// Reads the journal in `state`.
    pub fn read(state: &SecureDir) -> Result<Self, JournalError> {
        if !state.has(FILE)? {
            return Ok(Self { version: VERSION, imports: Vec::new() });
        }
        let bytes = state.read(FILE, LARGEST)?;
        let journal = serde_json::from_slice::<Self>(&bytes).ok();
        journal
            .filter(|journal| journal.version == VERSION)
            .ok_or_else(|| JournalError::Not { file: state.path().join(FILE) })
    }

    /// Writes the journal, or removes it where there is nothing in it.
    pub fn write(&self, state: &SecureDir) -> Result<(), JournalError> {
        if self.imports.is_empty() {
            state.remove(FILE)?;
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(self)?;
        Ok(state.write_atomic(FILE, &text)?)
    }

    /// The import that is under way: one that was killed, or a new one.
    pub fn open(&mut self) -> &mut Import {
        if self.imports.last().is_none_or(|import| import.done) {
            self.imports.push(Import::default());
        }
        let last = self.imports.len() - 1;
        &mut self.imports[last]
    }
}

impl Import {
    /// Whether it came to nothing.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.servers.is_empty() && self.files.is_empty()
    }

    /// Notes a secret, once.
    pub fn note_secret(&mut self, scheme: &str, name: &str, server: &str, version: Option<u64>) {
        let mut known = self.secrets.iter_mut();
        match known.find(|secret| secret.scheme == scheme && secret.name == name) {
            Some(secret) => secret.version = version.or(secret.version),
            None => self.secrets.push(StoredSecret {
                scheme: scheme.to_owned(),
                name: name.to_owned(),
                server: server.to_owned(),
                version,
            }),
        }
    }

    /// Notes a server, once.
    pub fn note_server(&mut self, name: &str) {
        if !self.servers.iter().any(|server| server == name) {
            self.servers.push(name.to_owned());
        }
    }

    /// Notes a file. One that was changed before keeps the text that it had at first, as long as
    /// nobody else changed it in between.
    pub fn note_file(&mut self, file: ChangedFile) {
        let known = self.files.iter_mut().find(|known| known.path == file.path);
        match known {
            Some(known) if known.after == file.before || known.before == file.before => {
                known.after = file.after;
                for server in file.servers {
                    if !known.servers.contains(&server) {
                        known.servers.push(server);
                    }
                }
            }
            Some(known) => *known = file,
            None => self.files.push(file),
        }
    }
}
