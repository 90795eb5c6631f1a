//! The exchange folder: where answers are saved and bodies come from, a folder for each principal.
//!
//! An agent that works on the same machine reads what was saved there and puts there what it wants to
//! send. The folders are closed to other users; a file is named by a plain name and opened without
//! following links, so that nothing else of ours can be sent. What is old goes.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use strongroom_model::principal::Name;
use strongroom_model::redact::Clean;
use strongroom_seal::{FileError, SecureDir, hex, random};

/// How the folders are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// A file goes when it has not been changed for so long.
    pub keep: Duration,
    /// Bytes that the folder of one principal may hold.
    pub bytes: u64,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { keep: Duration::from_hours(24), bytes: 10 << 30 }
    }
}

/// The exchange folders of one home.
#[derive(Clone, Debug)]
pub struct Exchange {
    root: PathBuf,
    keeping: Keeping,
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was changed.
    pub changed: SystemTime,
}

/// What an unfinished file is called until it is whole. No call takes so long that one of these is
/// still being written.
const UNFINISHED: &str = ".part";
const ABANDONED: Duration = Duration::from_hours(2);

impl Exchange {
    /// The folders below `root`, which is made when it is needed.
    pub fn new(root: impl Into<PathBuf>, keeping: Keeping) -> Self {
        Self { root: root.into(), keeping }
    }

    /// The folder of `principal`.
    pub fn path(&self, principal: &Name) -> PathBuf {
        self.root.join(principal.as_str())
    }

    /// Whether `name` can be that of a file here: one component, not hidden, the same on every
    /// platform.
    pub fn is_name(name: &str) -> bool {
        !name.starts_with('.')
            && (1..=200).contains(&name.len())
            && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ':'))
    }

    /// What `principal` has there, by name.
    pub fn list(&self, principal: &Name) -> Result<Vec<Entry>, FileError> {
        let Some(dir) = self.existing(principal)? else { return Ok(Vec::new()) };
        let mut entries = entries(&dir)?;
        entries.retain(|entry| Self::is_name(&entry.name));
        Ok(entries)
    }

    /// The principals that have a folder.
    pub fn principals(&self) -> Vec<Name> {
        let Ok(folders) = fs::read_dir(&self.root) else { return Vec::new() };
        let names = folders.filter_map(|folder| folder.ok()?.file_name().to_str()?.parse().ok());
        let mut names: Vec<Name> = names.collect();
        names.sort();
        names
    }

    /// Removes a file; says whether it was there.
    pub fn remove(&self, principal: &Name, name: &str) -> Result<bool, FileError> {
        match self.existing(principal)? {
            Some(dir) if Self::is_name(name) => dir.remove(name),
            _ => Ok(false),
        }
    }

    /// Copies `from` into the folder of `principal` as `name`, which must not be taken; says how many
    /// bytes it has.
    pub fn put(&self, principal: &Name, name: &str, from: &mut File) -> Result<u64, FileError> {
        let dir = self.folder(principal)?;
        let path = dir.path().join(name);
        if dir.has(name)? {
            return Err(FileError::Exists { path });
        }
        let mut unfinished = Unfinished::new(dir, name.to_owned())?;
        let copied = io::copy(from, unfinished.file());
        let bytes = copied.map_err(|source| FileError::Io { path, source })?;
        unfinished.finish()?;
        Ok(bytes)
    }

    /// A file that `principal` put there, to be sent, and its size.
    pub(crate) fn open(&self, principal: &Name, name: &str) -> Result<(File, u64), FileError> {
        let dir = self.folder(principal)?;
        let file = dir.open_given(name)?;
        let facts = file.metadata();
        let path = dir.path().join(name);
        let bytes = facts.map_err(|source| FileError::Io { path, source })?.len();
        Ok((file, bytes))
    }

    /// A new file for `principal` whose name ends with `ending`, and how many bytes it may have.
    pub(crate) fn begin(
        &self,
        principal: &Name,
        ending: &str,
        now: SystemTime,
    ) -> Result<(Unfinished, u64), FileError> {
        let dir = self.folder(principal)?;
        let held = self.tidy(&dir, now)?;
        let mut bits = [0; 16];
        random(&mut bits).map_err(|error| FileError::Io {
            path: dir.path().to_owned(),
            source: io::Error::other(error),
        })?;
        let unfinished = Unfinished::new(dir, format!("{}.{ending}", hex(&bits)))?;
        Ok((unfinished, self.keeping.bytes.saturating_sub(held)))
    }

    /// Removes what is old from every folder.
    pub fn sweep(&self, now: SystemTime) {
        for principal in self.principals() {
            // What cannot be removed now is old the next time, too.
            if let Ok(Some(dir)) = self.existing(&principal) {
                drop(self.tidy(&dir, now));
            }
        }
    }

    fn folder(&self, principal: &Name) -> Result<SecureDir, FileError> {
        SecureDir::create(self.path(principal))
    }

    fn existing(&self, principal: &Name) -> Result<Option<SecureDir>, FileError> {
        match SecureDir::open(self.path(principal)) {
            Ok(dir) => Ok(Some(dir)),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what is old, and says how many bytes are left.
    fn tidy(&self, dir: &SecureDir, now: SystemTime) -> Result<u64, FileError> {
        let mut held = 0_u64;
        for Entry { name, bytes, changed } in entries(dir)? {
            let unfinished = name.starts_with('.') && name.ends_with(UNFINISHED);
            let keep =
                if unfinished { self.keeping.keep.min(ABANDONED) } else { self.keeping.keep };
            let age = now.duration_since(changed).unwrap_or_default();
            if age < keep || dir.remove(&name).is_err() {
                held = held.saturating_add(bytes);
            }
        }
        Ok(held)
    }
}

/// The regular files of `dir`, by name.
fn entries(dir: &SecureDir) -> Result<Vec<Entry>, FileError> {
    let mut entries = Vec::new();
    for name in dir.names()? {
        // One that is gone meanwhile is none.
        let Ok(facts) = fs::symlink_metadata(dir.path().join(&name)) else { continue };
        if facts.is_file() {
            let changed = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push(Entry { name, bytes: facts.len(), changed });
        }
    }
    Ok(entries)
}

/// A file that is being written under another name. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Unfinished {
    dir: SecureDir,
    /// What it is called now; `None` once it is whole.
    temporary: Option<String>,
    name: String,
    file: File,
}

impl Unfinished {
    fn new(dir: SecureDir, name: String) -> Result<Self, FileError> {
        let temporary = format!(".{name}{UNFINISHED}");
        let file = dir.new_file(&temporary)?;
        Ok(Self { dir, temporary: Some(temporary), name, file })
    }

    /// Appends what is redacted.
    pub(crate) fn write(&mut self, bytes: &Clean<Vec<u8>>) -> io::Result<()> {
        self.file.write_all(bytes.get())
    }

    /// Gives it its name; says where it is.
    pub(crate) fn finish(mut self) -> Result<PathBuf, FileError> {
        if let Some(temporary) = &self.temporary {
            self.dir.rename(temporary, &self.name)?;
        }
        self.temporary = None;
        Ok(self.dir.path().join(&self.name))
    }

    fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            // That it may remain is put right by the next tidying.
            drop(self.dir.remove(&temporary));
        }
    }
}

/// The whole of `file`, which has `bytes`; an error where it has others by now.
pub(crate) fn read_whole(file: &mut File, bytes: usize) -> io::Result<Vec<u8>> {
    let mut whole = Vec::with_capacity(bytes);
    file.take(bytes as u64 + 1).read_to_end(&mut whole)?;
    if whole.len() == bytes { Ok(whole) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// How a name ends that says what `content_type` says.
pub(crate) fn ending(content_type: Option<&str>) -> &'static str {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" => "json",
        "application/x-ndjson" | "application/jsonl" => "jsonl",
        "application/pdf" => "pdf",
        "application/zip" => "zip",
        "application/gzip" | "application/x-gzip" => "gz",
        "application/x-tar" => "tar",
        "application/xml" | "text/xml" => "xml",
        "text/html" => "html",
        "text/csv" => "csv",
        "text/markdown" => "md",
        "text/event-stream" => "events",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/svg+xml" => "svg",
        "audio/mpeg" => "mp3",
        "audio/wav" | "audio/x-wav" => "wav",
        "video/mp4" => "mp4",
        essence if essence.ends_with("+json") => "json",
        essence if essence.ends_with("+xml") => "xml",
        essence if essence.starts_with("text/") => "txt",
        _ => "bin",
    }
}

/// A path as it is shown to an agent.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
