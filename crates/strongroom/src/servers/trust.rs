//! Which files of others the user has looked at and trusts: by path and text (decision 10).
//!
//! A changed file is untrusted again. The record is a file of ours in the directory of the vault, so
//! that a project cannot carry its own trust along.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use strongroom_model::audit::chain::Hash;
use strongroom_seal::{FileError, SecureDir};

use crate::failure::Failure;
use crate::paths::Home;

const FILE: &str = "trust.json";
const LOCK: &str = "trust.lock";
const LARGEST: usize = 1 << 20;

/// What is trusted. The record is read when it is first asked for.
#[derive(Debug)]
pub struct Trust {
    home: Home,
    record: OnceCell<Record>,
}

/// The file: a hash of the text, by the real path of each file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// SHA-256 in hex, by path.
    pub files: BTreeMap<String, String>,
}

/// Where the record of `home` is.
pub fn file(home: &Home) -> std::path::PathBuf {
    home.share.join(FILE)
}

impl Trust {
    /// The record of `home`.
    pub fn new(home: &Home) -> Self {
        Self { home: home.clone(), record: OnceCell::new() }
    }

    /// Whether the file at `path` is trusted with this text.
    pub fn holds(&self, path: &Path, text: &str) -> Result<bool, Failure> {
        let record = if let Some(record) = self.record.get() {
            record
        } else {
            let read = Record::read(&self.home)?;
            self.record.get_or_init(|| read)
        };
        let known = key(path).and_then(|key| record.files.get(&key));
        Ok(known.is_some_and(|known| *known == hash(text)))
    }
}

impl Record {
    /// The record of `home`; empty where nothing was ever trusted.
    pub fn read(home: &Home) -> Result<Self, Failure> {
        let bytes = match SecureDir::open(&home.share).and_then(|dir| dir.read(FILE, LARGEST)) {
            Err(FileError::Missing { .. }) => return Ok(Self::default()),
            other => other?,
        };
        serde_json::from_slice(&bytes).map_err(|_| {
            Failure::failed("the record of what you trust is damaged")
                .hint("run `strongroom trust --reset`, then trust again what you use")
        })
    }

    /// Changes the record of `home` under a lock.
    pub fn change(home: &Home, change: impl FnOnce(&mut Self)) -> Result<(), Failure> {
        let dir = SecureDir::create(&home.share)?;
        let _turn = dir.lock(LOCK)?;
        let mut record = Self::read(home)?;
        change(&mut record);
        Ok(write(&dir, &record)?)
    }

    /// Trusts nothing from here on, whatever the record was.
    pub fn reset(home: &Home) -> Result<(), Failure> {
        let dir = SecureDir::create(&home.share)?;
        let _turn = dir.lock(LOCK)?;
        Ok(write(&dir, &Self::default())?)
    }
}

fn write(dir: &SecureDir, record: &Record) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(record).unwrap_or_default();
    dir.write_atomic(FILE, format!("{text}\n").as_bytes())
}

/// How a file stands in the record: by its real path. A path that is not text is never trusted.
pub fn key(path: &Path) -> Option<String> {
    std::fs::canonicalize(path).ok()?.to_str().map(str::to_owned)
}

/// How a text stands in the record.
pub fn hash(text: &str) -> String {
    Hash::of(text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Os;

    fn home() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::under(Os::CURRENT, directory.path().as_os_str());
        (directory, home)
    }

    #[test]
    fn a_file_is_trusted_with_its_text_and_at_its_place() {
        let (directory, home) = home();
        let file = directory.path().join("r.json");
        let copy = directory.path().join("copy.json");
        std::fs::write(&file, "{}").unwrap();
        std::fs::write(&copy, "{}").unwrap();
        assert!(!Trust::new(&home).holds(&file, "{}").unwrap());
        Record::change(&home, |record| {
            record.files.insert(key(&file).unwrap(), hash("{}"));
        })
        .unwrap();
        assert!(Trust::new(&home).holds(&file, "{}").unwrap());
        assert!(!Trust::new(&home).holds(&file, "{ }").unwrap(), "another text");
        assert!(!Trust::new(&home).holds(&copy, "{}").unwrap(), "another place");
    }

    #[test]
    fn a_damaged_record_trusts_nothing_and_says_so() {
        let (directory, home) = home();
        let file = directory.path().join("r.json");
        std::fs::write(&file, "{}").unwrap();
        SecureDir::create(&home.share).unwrap().create_new(FILE, b"{\"files\":").unwrap();
        let failure = Trust::new(&home).holds(&file, "{}").unwrap_err();
        assert!(failure.hint.unwrap().contains("--reset"));
        Record::reset(&home).unwrap();
        assert!(!Trust::new(&home).holds(&file, "{}").unwrap());
    }
}
