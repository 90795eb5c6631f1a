//! What a backup holds: JSON inside an age file, described in `docs/reference/backup.md`.
//!
//! It holds the vault's secrets with their uses, the text of `strongroom.toml`, and which project
//! files are trusted. It does not hold what belongs to one machine: the machine key, principals
//! (their tokens are kept as hashes only), the audit and the cache.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strongroom_model::secret::Secret;
use strongroom_store::{SecretUse, Stored, Vault};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// The largest backup, sealed or not.
pub const LARGEST: usize = 64 << 20;

const FORMAT: &str = "strongroom-backup";
const VERSION: u64 = 1;

/// What is left out, for people.
pub const NOT_IN_IT: &str = "the machine key, principals and their tokens, the audit, the cache";

/// What a backup held.
pub struct Content {
    /// When it was made, as it says.
    pub created: String,
    /// The secrets, in its order.
    pub secrets: Vec<Restored>,
    /// The text of `strongroom.toml`.
    pub config: String,
    /// The hashes of trusted files, by path.
    pub trust: BTreeMap<String, String>,
}

/// A secret of a backup.
pub struct Restored {
    /// What stands behind `local://`.
    pub name: String,
    /// Who may use it.
    pub used_by: SecretUse,
    /// The secret.
    pub secret: Secret,
}

/// Not a backup that can be restored. Nothing of it is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It is something else.
    #[error("what it holds is not a backup of Strongroom")]
    Other,
    /// A later Strongroom made it.
    #[error("the backup has the version {0}, which this Strongroom does not know")]
    Version(u64),
    /// It is damaged.
    #[error("the backup's secret number {0} has no name, use or value that can be restored")]
    Secret(usize),
    /// Nobody can say which is meant.
    #[error("the backup has two secrets of one name")]
    Twice,
}

/// The first look: what it is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    version: u64,
    created: String,
    secrets: Vec<Entry<'a>>,
    config: String,
    #[serde(default)]
    trust: BTreeMap<String, String>,
}

/// A secret: as text where it is one, otherwise in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    used_by: String,
    created: String,
    updated: String,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
}

/// The document of everything in `vault`, and of `config`.
pub fn document(
    vault: &Vault,
    config: String,
    trust: BTreeMap<String, String>,
    now: std::time::SystemTime,
) -> Result<(Secret, Vec<Stored>), Failure> {
    let stored = vault.list()?;
    let names: Vec<&str> = stored.iter().map(|stored| stored.name.as_str()).collect();
    let mut secrets = Vec::with_capacity(stored.len());
    for (secret, stored) in vault.get_many(&names)?.into_iter().zip(&stored) {
        secrets.push(secret.map_err(|error| {
            Failure::new(Exit::Unavailable, format!("`{}` cannot be read: {error}", stored.name))
                .hint("run `strongroom doctor`")
        })?);
    }
    let size: usize = secrets.iter().map(|secret| 2 * secret.len() + 512).sum();
    let entries = stored.iter().zip(&secrets).map(|(stored, secret)| entry(stored, secret));
    let document = Document {
        format: FORMAT.into(),
        version: VERSION,
        created: timestamp(now),
        secrets: entries.collect(),
        config,
        trust,
    };
    // Sized once, so that no copy of a secret is left behind by growing.
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(size + 2 * document.config.len() + (64 << 10)));
    serde_json::to_writer_pretty(&mut *bytes, &document).map_err(Failure::failed)?;
    bytes.push(b'\n');
    if bytes.len() > LARGEST {
        return Err(Failure::failed("the vault is larger than a backup may be (64 MiB)"));
    }
    drop(document);
    Ok((Secret::new(std::mem::take(&mut *bytes)), stored))
}

fn entry<'a>(stored: &'a Stored, secret: &'a Secret) -> Entry<'a> {
    let bytes = secret.expose();
    let text = std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    let base64 = text.is_none().then(|| Cow::Owned(base64::encode(bytes)));
    Entry {
        name: Cow::Borrowed(&stored.name),
        used_by: stored.used_by.to_string(),
        created: timestamp(stored.created),
        updated: timestamp(stored.updated),
        text,
        base64,
    }
}

/// What the opened `document` holds.
pub fn read(document: &Secret) -> Result<Content, BackupError> {
    let bytes = document.expose();
    let head: Head<'_> = serde_json::from_slice(bytes).map_err(|_| BackupError::Other)?;
    if head.format != FORMAT {
        return Err(BackupError::Other);
    }
    if head.version != VERSION {
        return Err(BackupError::Version(head.version));
    }
    let mut document: Document<'_> =
        serde_json::from_slice(bytes).map_err(|_| BackupError::Other)?;
    let mut names = BTreeSet::new();
    let mut secrets = Vec::with_capacity(document.secrets.len());
    for (number, entry) in std::mem::take(&mut document.secrets).into_iter().enumerate() {
        if !names.insert(entry.name.to_string()) {
            return Err(BackupError::Twice);
        }
        secrets.push(restored(entry).ok_or(BackupError::Secret(number + 1))?);
    }
    let Document { created, config, trust, .. } = document;
    Ok(Content { created, secrets, config, trust })
}

fn restored(entry: Entry<'_>) -> Option<Restored> {
    let value = match (entry.text, entry.base64) {
        (Some(text), None) => text.into_owned().into_bytes(),
        (None, Some(text)) => base64::decode(&text)?,
        _ => return None,
    };
    let secret = Secret::new(value);
    // The reader of references says what a name is.
    format!("local://{}", entry.name)
        .parse::<strongroom_model::reference::SecretRef>()
        .ok()
        .filter(|reference| reference.path() == entry.name)?;
    let fits = !secret.is_empty() && secret.len() <= strongroom_store::vault::LARGEST;
    let used_by = entry.used_by.parse().ok()?;
    fits.then(|| Restored { name: entry.name.into_owned(), used_by, secret })
}

/// Puts `bytes` into the file at `path`, for its owner alone to read: whole, or not at all.
pub fn write(path: &Path, bytes: &[u8], overwrite: bool) -> Result<(), Failure> {
    if !overwrite && fs::symlink_metadata(path).is_ok() {
        return Err(Failure::failed(format!("`{}` is there already", path.display()))
            .hint("give another name, or `--overwrite`"));
    }
    let name = path.file_name().ok_or_else(|| Failure::usage("the file has no name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|error| {
        // The first error counts.
        drop(fs::remove_file(&temporary));
        Failure::failed(format!("`{}` cannot be written: {error}", path.display()))
    })
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The name of a backup that was given none.
pub fn default_name(now: std::time::SystemTime) -> PathBuf {
    let day = OffsetDateTime::from(now).date();
    format!("strongroom-backup-{}-{:02}-{:02}.age", day.year(), u8::from(day.month()), day.day())
        .into()
}

fn timestamp(time: std::time::SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default()
}

/// Standard base64 with padding, for the few secrets that are no text.
mod base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    pub(super) fn encode(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        STANDARD.decode(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Content, BackupError> {
        read(&Secret::new(text.as_bytes().to_vec()))
    }

    fn with(secrets: &str) -> String {
        format!(
            "{{\"format\":\"strongroom-backup\",\"version\":1,\"created\":\"x\",\
             \"secrets\":[{secrets}],\"config\":\"\"}}"
        )
    }

    fn secret(name: &str, used_by: &str, value: &str) -> String {
        format!(
            "{{\"name\":\"{name}\",\"used_by\":\"{used_by}\",\"created\":\"\",\"updated\":\"\",{value}}}"
        )
    }

    #[test]
    fn text_and_bytes_are_read() {
        let both = [
            secret("a/b", "service:github", "\"text\":\"canary\\n\""),
            secret("c", "any", "\"base64\":\"/wA=\""),
        ];
        let content = of(&with(&both.join(","))).unwrap();
        assert_eq!(content.secrets[0].secret.expose(), b"canary\n");
        assert_eq!(content.secrets[1].secret.expose(), [255, 0]);
        assert_eq!(content.secrets[0].used_by.to_string(), "service:github");
    }

    #[test]
    fn what_is_not_a_backup_or_not_of_this_version_is_refused_and_not_quoted() {
        let fine = secret("a", "any", "\"text\":\"canary\"");
        let table = [
            ("canary".to_owned(), BackupError::Other),
            ("{}".to_owned(), BackupError::Other),
            (with("").replace("strongroom-backup", "canary"), BackupError::Other),
            (with("").replace(":1,", ":2,"), BackupError::Version(2)),
            (with("").replace("\"config\"", "\"canary\":1,\"config\""), BackupError::Other),
            (with(&[fine.clone(), fine.clone()].join(",")), BackupError::Twice),
            (with(&[fine, secret("b", "any", "\"text\":\"\"")].join(",")), BackupError::Secret(2)),
            (with(&secret("../b", "any", "\"text\":\"x\"")), BackupError::Secret(1)),
            (with(&secret("b", "canary", "\"text\":\"x\"")), BackupError::Secret(1)),
            (with(&secret("b", "any", "\"base64\":\"canary!\"")), BackupError::Secret(1)),
            (
                with(&secret("b", "any", "\"base64\":\"eA==\",\"text\":\"x\"")),
                BackupError::Secret(1),
            ),
        ];
        for (text, expected) in table {
            let error = of(&text).err().unwrap();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn a_backup_is_written_whole_for_us_alone_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.age");
        write(&path, b"one", false).unwrap();
        assert!(write(&path, b"two", false).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
