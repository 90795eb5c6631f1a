//! A KEK of 32 bytes that a file, a keychain or a variable keeps.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use super::{Kek, KekError, fingerprint, place, unwrap, wrap};
use crate::file::{FileError, SecureDir};
use crate::key::{KEY_LEN, Key, RandomError};
use crate::line::{self, Line};

/// The variable that may hold a KEK.
pub const VARIABLE: &str = "CREDENTIAL_ENCRYPTION_KEY";

/// A KEK that is at hand. Its id follows from the key, not from where it is kept: moving it from a
/// variable to a file makes no other key of it.
pub struct LocalKek {
    id: String,
    key: Key,
}

/// There is no KEK to work with. The text is never quoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KekSourceError {
    /// Nothing is there.
    #[error("there is no key-encryption key at `{place}`")]
    Missing {
        /// The file, the item or the variable.
        place: String,
    },
    /// Something is there already.
    #[error("there is a key-encryption key at `{place}` already")]
    Exists {
        /// The file or the item.
        place: String,
    },
    /// What is there is not a key of ours.
    #[error(
        "`{place}` is not a key-encryption key: it is one line, `bk1_`, 43 characters, `_` and a checksum"
    )]
    Malformed {
        /// The file or the item.
        place: String,
    },
    /// What the variable holds is not a key.
    #[error("`{VARIABLE}` is not a key: it is 64 hexadecimal digits or the base64 of 32 bytes")]
    Variable,
    /// It is in a keychain that does not give or take it now.
    #[error("the key-encryption key is at `{place}`, and cannot be had: {why}")]
    Unavailable {
        /// The item.
        place: String,
        /// Why, in our words.
        why: String,
    },
    /// The file may not be used or cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A new one cannot be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What stands before a KEK in its file.
const LINE: Line = Line::new("bk1_");

/// Taken while a file is made, so that of two who make one only one does.
const LOCK: &str = "kek.lock";

impl LocalKek {
    /// The KEK of this key.
    pub fn new(key: Key) -> Self {
        Self { id: format!("kek:{}", fingerprint(&key)), key }
    }

    /// Makes the file `name` in `dir` with a new KEK, 0600, at once and whole. One that is there is
    /// never overwritten.
    pub fn create_file(dir: &SecureDir, name: &str) -> Result<Self, KekSourceError> {
        let _turn = dir.lock(LOCK)?;
        if dir.has(name)? {
            return Err(KekSourceError::Exists { place: at(dir, name) });
        }
        let line = Self::new_line()?;
        dir.write_atomic(name, line.expose())?;
        Self::of_file(dir, name)
    }

    /// The KEK of the file `name` in `dir`, which must be closed to everybody else.
    pub fn of_file(dir: &SecureDir, name: &str) -> Result<Self, KekSourceError> {
        let line = match dir.read(name, line::LENGTH) {
            Ok(line) => Secret::new(line),
            Err(FileError::Missing { .. }) => {
                return Err(KekSourceError::Missing { place: at(dir, name) });
            }
            Err(FileError::Large { .. }) => {
                return Err(KekSourceError::Malformed { place: at(dir, name) });
            }
            Err(error) => return Err(error.into()),
        };
        Self::of_line(&line, &at(dir, name))
    }

    /// A new KEK in the one form that is accepted, to be kept at some other place.
    pub fn new_line() -> Result<Secret, RandomError> {
        LINE.generate()
    }

    /// The KEK of such a line, which was found at `place`.
    pub fn of_line(line: &Secret, place: &str) -> Result<Self, KekSourceError> {
        let secret = LINE.decode(line.expose());
        let secret = secret.ok_or_else(|| KekSourceError::Malformed { place: place.to_owned() })?;
        Self::of_secret(&secret)
            .ok_or_else(|| KekSourceError::Malformed { place: place.to_owned() })
    }

    /// The KEK that the variable [`VARIABLE`] holds: 64 hexadecimal digits, or base64 of 32 bytes
    /// with its padding, and nothing before or after.
    pub fn of_variable(text: &Secret) -> Result<Self, KekSourceError> {
        let bytes = from_hex(text.expose()).or_else(|| from_base64(text.expose()));
        let mut bytes = bytes.ok_or(KekSourceError::Variable)?;
        let secret = Secret::new(std::mem::take(&mut *bytes));
        Self::of_secret(&secret).ok_or(KekSourceError::Variable)
    }

    /// The key itself: what was sealed under it directly by another program is read with it, to be
    /// imported.
    pub fn key(&self) -> &Key {
        &self.key
    }

    fn of_secret(secret: &Secret) -> Option<Self> {
        Key::from_secret(secret).ok().map(Self::new)
    }
}

impl Kek for LocalKek {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, tenant: &str, key_id: &str, key: &Key) -> Result<Vec<u8>, KekError> {
        wrap(&self.key, &place(&self.id, tenant, key_id), key)
    }

    fn unwrap(&self, tenant: &str, key_id: &str, wrapped: &[u8]) -> Result<Key, KekError> {
        unwrap(&self.key, &place(&self.id, tenant, key_id), wrapped)
    }
}

impl fmt::Debug for LocalKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKek").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KekSourceError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::Malformed { .. } => Some(
                "restore it: what it wrapped cannot be opened without it; where there is no database yet, `strongroom kek create` makes one"
                    .to_owned(),
            ),
            Self::Variable => Some(format!(
                "set `{VARIABLE}` to what `openssl rand -hex 32` prints, without a line feed"
            )),
            Self::File(error) => error.hint(),
            Self::Exists { .. } | Self::Unavailable { .. } | Self::Random(_) => None,
        }
    }
}

fn from_hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() != 2 * KEY_LEN {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_LEN));
    for pair in text.chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}

fn from_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const ENCODED: usize = 44;
    if text.len() != ENCODED {
        return None;
    }
    // The decoder may ask for room for a byte that the padding stands for.
    let mut bytes = Zeroizing::new(vec![0; KEY_LEN + 1]);
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(length);
    (length == KEY_LEN).then_some(bytes)
}

fn at(dir: &SecureDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}
