//! The machine secret: 32 random bytes that only this user on this machine has.
//!
//! `init` makes it, once. No start looks for another place, falls back, or makes a new one: where
//! the secret is gone, what it sealed is gone, and the command says so (decision 4).

mod id;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use crate::file::{FileError, SecureDir};
use crate::key::{KEY_LEN, RandomError, hex, random};

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

const PREFIX: &str = "sr1_";
/// Characters of 32 bytes in base64url.
const ENCODED: usize = 43;
const CHECKSUM: usize = 8;
const LINE: usize = PREFIX.len() + ENCODED + 1 + CHECKSUM + 1;

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
        let text = match self.dir.read(&self.name, LINE) {
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
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    random(&mut *bytes)?;
    Ok(Secret::new(std::mem::take(&mut *encode(&bytes)).into_bytes()))
}

fn encode(bytes: &[u8; KEY_LEN]) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(LINE));
    line.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut line);
    let checksum = checksum(line.as_bytes());
    line.push('_');
    line.push_str(&checksum);
    line.push('\n');
    line
}

/// The secret of such a line; `None` for anything else.
pub fn decode(line: &[u8]) -> Option<Secret> {
    let line = line.strip_suffix(b"\n").filter(|_| line.len() == LINE)?;
    let (body, rest) = line.split_at(PREFIX.len() + ENCODED);
    let rest = rest.strip_prefix(b"_")?;
    if checksum(body).as_bytes() != rest {
        return None;
    }
    let mut bytes = Zeroizing::new(vec![0; KEY_LEN]);
    let length = URL_SAFE_NO_PAD
        .decode_slice(body.strip_prefix(PREFIX.as_bytes())?, &mut bytes)
        .ok()
        .filter(|length| *length == KEY_LEN && bytes.iter().any(|byte| *byte != 0))?;
    debug_assert_eq!(length, KEY_LEN);
    Some(Secret::new(std::mem::take(&mut *bytes)))
}

/// Tells a slip from a key. It is no secret: 32 bits of a hash over 256 random ones.
fn checksum(body: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, body);
    hex(&hash.as_ref()[..CHECKSUM / 2])
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

    /// CR-07.
    #[test]
    fn exactly_one_encoding_is_accepted() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i + 1).unwrap());
        let good = encode(&bytes).to_string();
        let base64 = URL_SAFE_NO_PAD.encode(bytes);
        let with_checksum = |body: String| format!("{body}_{}\n", checksum(body.as_bytes()));
        let trailing_bits = format!("{}9", &base64[..42]);
        let bad = [
            String::new(),
            "\n".into(),
            good.trim_end().into(),
            format!("{good}\n"),
            good.replace('\n', "\r\n"),
            format!(" {good}"),
            good.to_uppercase(),
            good.replace("sr1_", "sr2_"),
            good.replace("sr1_", ""),
            format!("{base64}\n"),
            format!("{base64}=\n"),
            hex(&bytes),
            String::from_utf8(bytes.to_vec()).unwrap(),
            with_checksum(format!("sr1_{trailing_bits}")),
            with_checksum(format!("sr1_{}", URL_SAFE_NO_PAD.encode([0; 32]))),
            with_checksum(format!("sr1_{}", URL_SAFE_NO_PAD.encode(&bytes[..31]))),
            with_checksum(format!("sr1_{}", URL_SAFE_NO_PAD.encode([7; 33]))),
            with_checksum(format!("sr2_{base64}")),
        ];
        for text in bad {
            assert!(decode(text.as_bytes()).is_none(), "{text:?}");
        }
        for position in 0..good.len() {
            let mut flipped = good.clone().into_bytes();
            flipped[position] ^= 1;
            assert!(decode(&flipped).is_none(), "{position}");
        }
        assert_eq!(decode(good.as_bytes()).unwrap().expose(), bytes);
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
