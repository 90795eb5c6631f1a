//! A client's configuration file on disk: read once, replaced whole, backed up first.
//!
//! The client may write the same file at any time. What was read is therefore compared with what
//! is there just before it is replaced, and a difference sends the caller back to read again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use time::OffsetDateTime;

/// Larger than any configuration; a file beyond it is not one.
const LARGEST: u64 = 64 << 20;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is a directory, a pipe or a device.
    #[error("{} is not a regular file", .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// It is a symbolic link without a target.
    #[error("{} is a symbolic link that leads nowhere", .path.display())]
    Dangling {
        /// The link.
        path: PathBuf,
    },
    /// It is far larger than a configuration is.
    #[error("{} is larger than {} MiB", .path.display(), .most >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most, in bytes.
        most: u64,
    },
    /// It is not text.
    #[error("{} is not UTF-8 text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Replacing it would hand it to us.
    #[error("{} belongs to another user", .path.display())]
    OtherOwner {
        /// The file.
        path: PathBuf,
    },
    /// Somebody wrote it while we did.
    #[error("{} keeps changing while it is edited", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file as it was read.
#[derive(Debug)]
pub struct ConfigFile {
    /// The file itself, behind every symbolic link.
    pub path: PathBuf,
    /// Its text; `None` where there is no file yet.
    pub text: Option<String>,
}

impl ConfigFile {
    /// Reads the file at `path`, or notes that there is none.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::read_at_most(path, LARGEST)
    }

    /// The same, for a file of at most `most` bytes.
    pub fn read_at_most(path: &Path, most: u64) -> Result<Self, FileError> {
        let io = |source| FileError::Io { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), text: None });
            }
            Err(error) => return Err(io(error)),
            Ok(_) => {}
        }
        let target = fs::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileError::Dangling { path: path.to_owned() },
            _ => io(error),
        })?;
        // Asked before it is opened: opening a pipe would wait for its other end.
        let metadata = fs::metadata(&target).map_err(io)?;
        if !metadata.is_file() {
            return Err(FileError::NotRegular { path: path.to_owned() });
        }
        let mut bytes = Vec::new();
        let file = File::open(&target).map_err(io)?;
        file.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > most {
            return Err(FileError::TooLarge { path: path.to_owned(), most });
        }
        let not_text = |_| FileError::NotText { path: path.to_owned() };
        let text = String::from_utf8(bytes).map_err(not_text)?;
        Ok(Self { path: target, text: Some(text) })
    }

    /// Puts `text` in the place of what was read, and keeps that beside it as a backup.
    ///
    /// The file keeps its mode, or becomes readable by its owner alone where `private`. A new file
    /// and the backup are never readable by others. Returns the backup's path.
    pub fn replace(
        &self,
        text: &str,
        private: bool,
        now: SystemTime,
    ) -> Result<Option<PathBuf>, FileError> {
        let io = |source| FileError::Io { path: self.path.clone(), source };
        let mode = match fs::metadata(&self.path) {
            Ok(metadata) => {
                if !platform::is_ours(&metadata) {
                    return Err(FileError::OtherOwner { path: self.path.clone() });
                }
                if private { platform::PRIVATE } else { platform::mode(&metadata) }
            }
            Err(_) => platform::PRIVATE,
        };
        let backup = match &self.text {
            Some(before) => Some(self.back_up(before, now).map_err(io)?),
            None => None,
        };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let temporary = self.beside(&format!(".strongroom-new-{}", std::process::id()));
        let written = (|| {
            let mut file = create(&temporary)?;
            file.write_all(text.as_bytes())?;
            platform::set_mode(&file, mode)?;
            file.sync_all()
        })();
        let replaced = written.map_err(io).and_then(|()| {
            if Self::read(&self.path)?.text != self.text {
                return Err(FileError::Changed { path: self.path.clone() });
            }
            fs::rename(&temporary, &self.path).map_err(io)
        });
        if let Err(error) = replaced {
            // Nothing may be left behind: the new text may hold a token. The first error counts.
            let _ = fs::remove_file(&temporary);
            if let Some(backup) = &backup {
                let _ = fs::remove_file(backup);
            }
            return Err(error);
        }
        platform::sync_directory(directory).map_err(io)?;
        Ok(backup)
    }

    fn back_up(&self, text: &str, now: SystemTime) -> io::Result<PathBuf> {
        let now = OffsetDateTime::from(now);
        let (year, month, day) = now.to_calendar_date();
        let (hour, minute, second) = now.to_hms();
        let month = u8::from(month);
        let stamp = format!("{year}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
        for attempt in 1..1000 {
            let again = if attempt == 1 { String::new() } else { format!("-{attempt}") };
            let path = self.beside(&format!(".strongroom-backup-{stamp}{again}"));
            match create(&path) {
                Ok(mut file) => {
                    file.write_all(text.as_bytes())?;
                    file.sync_all()?;
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    }
}

/// The backups of `path` that we have made, oldest first.
pub fn backups(path: &Path) -> Vec<PathBuf> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}.strongroom-backup-", name.to_string_lossy());
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    let mut found: Vec<PathBuf> = ours.map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    platform::private(&mut options);
    options.open(path)
}

#[cfg(unix)]
mod platform {
    use std::fs::{File, Metadata, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
    use std::path::Path;

    pub(super) const PRIVATE: u32 = 0o600;

    pub(super) fn private(options: &mut OpenOptions) {
        options.mode(PRIVATE);
    }

    pub(super) fn mode(metadata: &Metadata) -> u32 {
        metadata.mode() & 0o777
    }

    pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(mode))
    }

    pub(super) fn is_ours(metadata: &Metadata) -> bool {
        metadata.uid() == rustix::process::geteuid().as_raw()
    }

    pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::{File, Metadata, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) const PRIVATE: u32 = 0;

    // A file in the user's profile inherits an access list that keeps other users out.
    pub(super) fn private(_: &mut OpenOptions) {}

    pub(super) fn mode(_: &Metadata) -> u32 {
        PRIVATE
    }

    pub(super) fn set_mode(_: &File, _: u32) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn is_ours(_: &Metadata) -> bool {
        true
    }

    pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn file_with(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mcp.json");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_a_private_backup() {
        let (directory, path) = file_with("before", 0o644);
        let later = NOW + Duration::from_secs(86_399);
        let backup =
            ConfigFile::read(&path).unwrap().replace("after", false, later).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::read_to_string(&backup).unwrap(), "before");
        assert_eq!((mode(&path), mode(&backup)), (0o644, 0o600));
        assert!(backup.to_string_lossy().ends_with("mcp.json.strongroom-backup-19700101T235959Z"));

        // A second edit in the same second does not overwrite the first backup.
        let second =
            ConfigFile::read(&path).unwrap().replace("third", true, later).unwrap().unwrap();
        assert_eq!(backups(&path), [backup, second]);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_new_file_is_private_and_needs_no_backup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mcp.json");
        let file = ConfigFile::read(&path).unwrap();
        assert!(file.text.is_none());
        assert_eq!(file.replace("{}", false, NOW).unwrap(), None);
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_edited() {
        let (directory, path) = file_with("before", 0o600);
        let link = directory.path().join("link.json");
        symlink(&path, &link).unwrap();
        ConfigFile::read(&link).unwrap().replace("after", false, NOW).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left_as_it_is() {
        let (directory, path) = file_with("before", 0o600);
        let file = ConfigFile::read(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(file.replace("ours", false, NOW), Err(FileError::Changed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_is_not_a_regular_text_file_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        assert!(matches!(ConfigFile::read(&fifo), Err(FileError::NotRegular { .. })));
        assert!(matches!(ConfigFile::read(directory.path()), Err(FileError::NotRegular { .. })));
        let dangling = directory.path().join("dangling");
        symlink("nowhere", &dangling).unwrap();
        assert!(matches!(ConfigFile::read(&dangling), Err(FileError::Dangling { .. })));
        let binary = directory.path().join("binary");
        fs::write(&binary, [0xff, 0xfe]).unwrap();
        assert!(matches!(ConfigFile::read(&binary), Err(FileError::NotText { .. })));
    }
}
