//! `age:///PATH[#KEY]`: a secret in an age file, which may be committed to git.
//!
//! Without a key the whole file is the secret, without the newline at its end. With one the file is
//! a JSON object, or lines of `KEY=VALUE`. A file is opened once, however many values are taken from
//! it. Its mode does not matter: it is sealed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::file::{FileError, open_private, open_regular, read};

use super::usable;
use crate::agefile::{self, AgeError, Keys, Opener};
use crate::settings::{Context, Field, Kind, SettingError, Settings, Tokens};

const SCHEME: &str = "age";

/// What `[providers.age]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "identity",
        kind: Kind::Secret,
        about: "the secret key that opens the files, `AGE-SECRET-KEY-1...`",
    },
    Field {
        name: "identity_file",
        kind: Kind::Path,
        about: "a file with secret keys that only you can read, as `age-keygen` writes it",
    },
    Field {
        name: "passphrase",
        kind: Kind::Secret,
        about: "the passphrase of files that were encrypted with one",
    },
];

/// The largest file: a secret of 1 MiB, armoured, or a number of them.
const LARGEST: usize = 4 << 20;

/// The largest file of secret keys.
const LARGEST_KEYS: usize = 64 << 10;

/// Opens age files.
pub(super) struct AgeProvider {
    identity: Option<SecretRef>,
    identity_file: Option<PathBuf>,
    passphrase: Option<SecretRef>,
    tokens: Tokens,
}

/// The provider of `[providers.age]`.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<AgeProvider, SettingError> {
    let identity = settings.secret("identity").cloned();
    let identity_file = settings.text("identity_file").map(PathBuf::from);
    if identity.is_some() && identity_file.is_some() {
        return Err(SettingError {
            key: "identity_file",
            problem: "there is an `identity` already".to_owned(),
            hint: Some("keep one of the two".to_owned()),
        });
    }
    let passphrase = settings.secret("passphrase").cloned();
    Ok(AgeProvider { identity, identity_file, passphrase, tokens: context.tokens.clone() })
}

impl Provider for AgeProvider {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            let openers = if refs.is_empty() { Ok(Vec::new()) } else { self.openers().await };
            let openers = match openers {
                Ok(openers) => Arc::new(openers),
                Err(error) => return refs.iter().map(|_| Err(error.clone())).collect(),
            };
            let mut opened: BTreeMap<&str, Result<Secret, Trouble>> = BTreeMap::new();
            for reference in refs {
                if !opened.contains_key(reference.path()) {
                    let content = content(reference.path(), Arc::clone(&openers)).await;
                    opened.insert(reference.path(), content);
                }
            }
            let answer = |reference: &SecretRef| match &opened[reference.path()] {
                Ok(content) => usable(value(content, reference)?, reference),
                Err(trouble) => Err(trouble.of(reference)),
            };
            refs.iter().map(answer).collect()
        })
    }
}

impl AgeProvider {
    /// What the settings give to open files with.
    async fn openers(&self) -> Result<Vec<Opener>, ResolveError> {
        let mut openers = Vec::new();
        if let Some(keys) = self.keys().await? {
            let keys = Keys::parse(&keys).map_err(|error| {
                let why = format!("what is given as its identity is no key: {error}");
                ResolveError::absent(SCHEME, why, SET_IDENTITY)
            })?;
            openers.push(Opener::Keys(keys));
        }
        if let Some(reference) = &self.passphrase {
            let text = self.tokens.get(SCHEME, reference).await?;
            openers.extend(agefile::passphrase(&text).map(Opener::Passphrase));
        }
        if openers.is_empty() {
            let why = "it has no key to open files with";
            return Err(ResolveError::absent(SCHEME, why, SET_IDENTITY));
        }
        Ok(openers)
    }

    async fn keys(&self) -> Result<Option<Secret>, ResolveError> {
        if let Some(reference) = &self.identity {
            return Ok(Some(self.tokens.get(SCHEME, reference).await?));
        }
        let Some(path) = &self.identity_file else { return Ok(None) };
        let keys = open_private(path).and_then(|file| read(&file, path, LARGEST_KEYS));
        keys.map(Secret::new).map(Some).map_err(|error| {
            let fix = error.hint().unwrap_or_else(|| SET_IDENTITY.to_owned());
            let why = match error {
                FileError::Missing { .. } => "its `identity_file` does not exist".to_owned(),
                FileError::Unsafe { problem, .. } => {
                    format!("its `identity_file` is not safe to use: {problem}")
                }
                _ => "its `identity_file` cannot be read".to_owned(),
            };
            ResolveError::absent(SCHEME, why, fix)
        })
    }
}

const SET_IDENTITY: &str = "write `identity_file` with the path of a file of `age-keygen`, or `identity` with a reference, below `[providers.age]` in strongroom.toml";

/// Why a file gives nothing.
enum Trouble {
    File(FileError),
    Age(AgeError),
    Stopped,
}

impl Trouble {
    fn of(&self, reference: &SecretRef) -> ResolveError {
        let reference = reference.clone();
        let unusable = |why| ResolveError::Unusable { reference: reference.clone(), why };
        match self {
            Self::File(FileError::Missing { .. }) => ResolveError::NotFound { reference },
            Self::File(FileError::Large { .. }) => unusable("the file is larger than 4 MiB"),
            Self::File(FileError::Unsafe { problem, .. }) => {
                ResolveError::Denied { reference, why: problem.clone() }
            }
            Self::File(_) => ResolveError::unreachable(SCHEME, "the file cannot be read"),
            Self::Age(AgeError::NoKey | AgeError::NeedsKey | AgeError::NeedsPassphrase) => {
                let why = "none of the keys and passphrases of `[providers.age]` opens the file";
                ResolveError::Denied { reference, why: why.to_owned() }
            }
            Self::Age(AgeError::WrongPassphrase) => {
                let why = "the passphrase of `[providers.age]` does not open the file";
                ResolveError::Denied { reference, why: why.to_owned() }
            }
            Self::Age(AgeError::Work) => unusable("the file asks for too much work (scrypt)"),
            Self::Age(AgeError::Large) => unusable("what the file holds is too large"),
            Self::Age(AgeError::NotAge | AgeError::Encrypt) => unusable("it is not an age file"),
            Self::Age(AgeError::Damaged) => ResolveError::Integrity { scheme: SCHEME.to_owned() },
            Self::Stopped => ResolveError::unreachable(SCHEME, "the decryption was stopped"),
        }
    }
}

/// What the file at `path` holds. A passphrase takes a second of work: it is not done on a thread
/// that others wait for.
async fn content(path: &str, openers: Arc<Vec<Opener>>) -> Result<Secret, Trouble> {
    // `age:///C:/x` names `C:/x`.
    let path = PathBuf::from(if cfg!(windows) { path.trim_start_matches('/') } else { path });
    let opened = tokio::task::spawn_blocking(move || open(&path, &openers)).await;
    opened.unwrap_or(Err(Trouble::Stopped))
}

fn open(path: &Path, openers: &[Opener]) -> Result<Secret, Trouble> {
    let file =
        open_regular(path).and_then(|file| read(&file, path, LARGEST)).map_err(Trouble::File)?;
    let mut last = AgeError::NoKey;
    for opener in openers {
        match agefile::open(&file, opener, LARGEST) {
            Ok(content) => return Ok(content),
            Err(AgeError::NeedsKey | AgeError::NeedsPassphrase) => {}
            Err(error) => last = error,
        }
    }
    Err(Trouble::Age(last))
}

/// What `reference` names in what its file holds.
fn value(content: &Secret, reference: &SecretRef) -> Result<Secret, ResolveError> {
    let content = content.expose();
    let Some(key) = reference.fragment() else {
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        return Ok(Secret::new(content.strip_suffix(b"\r").unwrap_or(content).to_vec()));
    };
    let unusable = |why| ResolveError::Unusable { reference: reference.clone(), why };
    let text = std::str::from_utf8(content).map_err(|_| unusable("the file holds no text"))?;
    let found =
        if text.trim_start().starts_with('{') { member(text, key) } else { variable(text, key) };
    let found = found.map_err(unusable)?;
    found.map(Secret::new).ok_or_else(|| ResolveError::NotFound { reference: reference.clone() })
}

/// The text at `key` of a JSON object.
fn member(text: &str, key: &str) -> Result<Option<Vec<u8>>, &'static str> {
    let mut object: BTreeMap<String, Value> =
        serde_json::from_str(text).map_err(|_| "the file holds no JSON object")?;
    match object.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.into_bytes())),
        Some(_) => Err("the value is not a text"),
    }
}

/// The value of `KEY=VALUE`. A value may stand between quotes; nothing in it is ever expanded. One
/// name twice is an error: nobody can say which is meant.
fn variable(text: &str, key: &str) -> Result<Option<Vec<u8>>, &'static str> {
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) =
            line.split_once('=').ok_or("the file has a line that is not `KEY=VALUE`")?;
        if name.trim() != key {
            continue;
        }
        let value = value.trim();
        let quoted =
            ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        if found.replace(quoted.unwrap_or(value).as_bytes().to_vec()).is_some() {
            return Err("the file has this key more than once");
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, reference: &str) -> Result<Vec<u8>, &'static str> {
        let content = Secret::new(text.as_bytes().to_vec());
        match value(&content, &reference.parse().unwrap()) {
            Ok(secret) => Ok(secret.expose().to_vec()),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn a_key_is_looked_for_in_json_and_in_lines() {
        let json = "{\"A\": \"canary\", \"N\": 7, \"E\": \"x\\ny\"}";
        assert_eq!(of(json, "age:///f#A"), Ok(b"canary".to_vec()));
        assert_eq!(of(json, "age:///f#E"), Ok(b"x\ny".to_vec()));
        assert_eq!(of(json, "age:///f#N"), Err("unusable"));
        assert_eq!(of(json, "age:///f#B"), Err("not_found"));
        assert_eq!(of("{\"A\": ", "age:///f#A"), Err("unusable"));
        let lines = "# a comment\nexport A=canary\n\nB = 'a b'\nC=\"x=$HOME\"\nD=\nE=1\nE=2\n";
        assert_eq!(of(lines, "age:///f#A"), Ok(b"canary".to_vec()));
        assert_eq!(of(lines, "age:///f#B"), Ok(b"a b".to_vec()));
        assert_eq!(of(lines, "age:///f#C"), Ok(b"x=$HOME".to_vec()));
        assert_eq!(of(lines, "age:///f#D"), Ok(Vec::new()));
        assert_eq!(of(lines, "age:///f#E"), Err("unusable"));
        assert_eq!(of(lines, "age:///f#F"), Err("not_found"));
        assert_eq!(of("canary\n", "age:///f#F"), Err("unusable"));
    }

    #[test]
    fn the_whole_file_is_a_secret_without_one_newline() {
        assert_eq!(of("canary\n\n", "age:///f"), Ok(b"canary\n".to_vec()));
        assert_eq!(of("{\"A\": 1}", "age:///f"), Ok(b"{\"A\": 1}".to_vec()));
    }
}
