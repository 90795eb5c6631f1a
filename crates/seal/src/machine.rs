//! The machine secret: 32 random bytes that only this user on this machine has.
//!
//! `init` makes it, once. No start looks for another place, falls back, or makes a new one: where
//! the secret is gone, what it sealed is gone, and the command says so (decision 4).

mod id;

use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use crate::file::{FileError, SecureDir};
use crate::key::RandomError;
use crate::line::{self, Line};

pub use id::{MachineId, MachineIdError, machine_id};

/// Where the machine secret lives.
pub trait MachineSecret: Send + Sync {
    /// The source's name in the configuration: `file`, ...
    fn source(&self) -> &'static str;

    /// The secret.
    fn load(&self) -> Result<Secret, MachineKeyError>;

    /// Makes the secret. One that exists is never overwritten.
    fn create(&self) -> Result<(), MachineKeyError>;
}

/// There is no machine secret to work with.
#[derive(Debug, thiserror::Error)]
pub enum MachineKeyError {
    /// Nothing is there.
    #[error("there is no machine key at `{place}`")]
    Missing {
        /// The file, or the item.
        place: String,
    },
    /// Something is there already.
    #[error("there is a machine key at `{place}` already")]
    Exists {
        /// The file, or the item.
        place: String,
    },
    /// What is there is not a machine key.
    #[error(
        "`{place}` is not a machine key: it is one line, `sr1_`, 43 characters, `_` and a checksum"
    )]
    Malformed {
        /// The file, or the item.
        place: String,
    },
    /// It is in a keychain that a person must unlock first.
    #[error("the machine key is at `{place}`, and the keychain is locked")]
    Locked {
        /// The item.
        place: String,
    },
    /// It is in a keychain that does not give it now.
    #[error("the machine key is at `{place}`, and cannot be had: {why}")]
    Unavailable {
        /// The item.
        place: String,
        /// Why, in our words.
        why: String,
        /// What to do about it, in the imperative.
        fix: String,
    },
    /// The file may not be used or cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A new one cannot be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl MachineKeyError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "restore it: what it sealed cannot be opened without it; to begin anew without those keys, `strongroom uninstall --purge` and `strongroom init`"
                    .to_owned(),
            ),
            Self::Malformed { .. } => {
                Some("restore it: what it sealed cannot be opened without it".to_owned())
            }
            Self::Locked { .. } => Some(
                "unlock the keychain (log in to the desktop, or open its settings), and try again"
                    .to_owned(),
            ),
            Self::Unavailable { fix, .. } => Some(fix.clone()),
            Self::File(error) => error.hint(),
            Self::Exists { .. } | Self::Random(_) => None,
        }
    }
}

/// The machine secret in a file of its own, 0600.
///
/// The file has one line, `sr1_<base64url of 32 bytes>_<checksum>`, and exactly this form is
/// accepted: a key that went through an editor, a terminal or another encoding is noticed.
#[derive(Debug)]
pub struct FileSecret {
    dir: SecureDir,
    name: String,
}

const LINE: Line = Line::new("sr1_");

impl FileSecret {
    /// The file `name` in `dir`.
    pub fn new(dir: SecureDir, name: &str) -> Self {
        Self { dir, name: name.to_owned() }
    }

    fn place(&self) -> String {
        self.dir.path().join(&self.name).display().to_string()
    }
}

impl MachineSecret for FileSecret {
    fn source(&self) -> &'static str {
        "file"
    }

    fn load(&self) -> Result<Secret, MachineKeyError> {
        let text = match self.dir.read(&self.name, line::LENGTH) {
            Ok(text) => Zeroizing::new(text),
            Err(FileError::Missing { .. }) => {
                return Err(MachineKeyError::Missing { place: self.place() });
            }
            Err(FileError::Large { .. }) => {
                return Err(MachineKeyError::Malformed { place: self.place() });
            }
            Err(error) => return Err(error.into()),
        };
        decode(&text).ok_or_else(|| MachineKeyError::Malformed { place: self.place() })
    }

    fn create(&self) -> Result<(), MachineKeyError> {
        match self.dir.create_new(&self.name, new_line()?.expose()) {
            Err(FileError::Exists { .. }) => Err(MachineKeyError::Exists { place: self.place() }),
            other => Ok(other?),
        }
    }
}

/// A new secret in the one form that is accepted, wherever it is kept.
pub fn new_line() -> Result<Secret, RandomError> {
    LINE.generate()
}

/// The secret of such a line; `None` for anything else.
pub fn decode(line: &[u8]) -> Option<Secret> {
    LINE.decode(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let (_home, key) = file();
        assert!(matches!(key.load(), Err(MachineKeyError::Missing { .. })));
        key.create().unwrap();
        let first = key.load().unwrap();
        assert_eq!(first.len(), 32);
        assert!(matches!(key.create(), Err(MachineKeyError::Exists { .. })));
        assert!(key.load().unwrap().ct_eq(&first));
    }

    #[test]
    fn a_file_that_is_not_a_key_is_named_and_not_quoted() {
        let (home, key) = file();
        let dir = SecureDir::open(home.path().join("share")).unwrap();
        dir.create_new("machine.key", b"canary\n").unwrap();
        let error = key.load().unwrap_err();
        assert!(matches!(error, MachineKeyError::Malformed { .. }));
        assert!(error.to_string().contains("machine.key") && !error.to_string().contains("canary"));
    }

    fn file() -> (tempfile::TempDir, FileSecret) {
        let home = tempfile::tempdir().unwrap();
        let dir = SecureDir::create(home.path().join("share")).unwrap();
        (home, FileSecret::new(dir, "machine.key"))
    }
}
