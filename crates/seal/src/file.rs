//! Directories and files that nobody else can read, write or swap.
//!
//! A [`SecureDir`] is opened once and held; every file is opened relative to it, without following
//! links. A file is used only if it is a regular one, belongs to us, is closed to everybody else and
//! has no second name; what is wrong, and how to put it right, stands in the error (LM-05). Modes are
//! given at creation, 0700 and 0600, so the umask and the moment between do not matter (LM-04).
//!
//! On Windows there are no modes: files inherit the access list of the profile directory, which
//! already keeps other users out, and this module checks kinds of files and nothing more.

#[cfg(unix)]
#[path = "file/unix.rs"]
mod platform;
#[cfg(not(unix))]
#[path = "file/other.rs"]
mod platform;

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::key::random;

/// A directory of ours, 0700, held open.
#[derive(Debug)]
pub struct SecureDir {
    handle: platform::Dir,
    path: PathBuf,
}

/// A lock on a file, held until it is dropped or the process ends, however it ends. Programs that we start do not
/// get it. A child that was only forked has a copy, which holds the lock if the process ends without dropping it.
#[derive(Debug)]
pub struct Guard {
    file: File,
}

/// Closing it would leave the lock with a child that was forked meanwhile.
impl Drop for Guard {
    fn drop(&mut self) {
        // Where that does not work, closing it must do.
        let _ = self.file.unlock();
    }
}

/// A directory or file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("`{}` does not exist", .path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// It is there, and should not be.
    #[error("`{}` exists already", .path.display())]
    Exists {
        /// What was asked for.
        path: PathBuf,
    },
    /// It is larger than what is read.
    #[error("`{}` is larger than {max} bytes", .path.display())]
    Large {
        /// What was asked for.
        path: PathBuf,
        /// The cap.
        max: usize,
    },
    /// Somebody else could read, change or have made it.
    #[error("`{}` is not safe to use: {problem}; {fix}", .path.display())]
    Unsafe {
        /// What was asked for.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// How to put it right, in the imperative.
        fix: String,
    },
    /// The operating system refused.
    #[error("`{}` cannot be used", .path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// How a file in a directory is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// To be read.
    Read,
    /// To be read, whatever its mode.
    Given,
    /// To be written; it must not exist.
    New,
    /// To be read, and written at its end; made where it is missing.
    Append,
}

impl SecureDir {
    /// Opens the directory at `path`, and makes it, and those above it, where they are missing.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = tidy(&path.into());
        platform::make_dir(&path).map_err(|source| FileError::io(&path, source))?;
        Self::open(path)
    }

    /// Opens the directory at `path`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = tidy(&path.into());
        Ok(Self { handle: platform::Dir::open(&path)?, path })
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the file `name`, at most `max`.
    pub fn read(&self, name: &str, max: usize) -> Result<Vec<u8>, FileError> {
        read(&self.open_file(name)?, &self.path.join(name), max)
    }

    /// The file `name`, to be read.
    pub fn open_file(&self, name: &str) -> Result<File, FileError> {
        self.handle.file(&self.named(name)?, name, How::Read)
    }

    /// Whether the file `name` is there. One that is there and not safe is an error. It is not
    /// opened, so locks on it are left alone.
    pub fn has(&self, name: &str) -> Result<bool, FileError> {
        match self.handle.look(&self.named(name)?, name) {
            Ok(()) => Ok(true),
            Err(FileError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the file `name`, which must not exist, with `bytes` in it.
    pub fn create_new(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.named(name)?;
        let mut file = self.handle.file(&path, name, How::New)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(source) = written {
            // Half a file is worse than none; that it may remain does not change the error.
            drop(self.handle.remove(name));
            return Err(FileError::io(&path, source));
        }
        self.sync()
    }

    /// Makes the file `name`, which must not exist, to be written bit by bit.
    pub fn new_file(&self, name: &str) -> Result<File, FileError> {
        self.handle.file(&self.named(name)?, name, How::New)
    }

    /// The file `name`, to be read, whatever its mode: for what others put into the directory, which
    /// is closed to everybody else by itself. It must be a regular file of ours with one name.
    pub fn open_given(&self, name: &str) -> Result<File, FileError> {
        self.handle.file(&self.named(name)?, name, How::Given)
    }

    /// Puts `bytes` in the place of the file `name`: whoever reads sees the old ones or the new
    /// ones, also after a power failure. Where it fails the old ones stay.
    pub fn write_atomic(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.named(name)?;
        // What stands there must be ours to replace.
        self.has(name)?;
        let mut salt = [0; 8];
        random(&mut salt).map_err(|error| FileError::io(&path, io::Error::other(error)))?;
        let temporary = format!(".{name}.{:016x}.tmp", u64::from_ne_bytes(salt));
        self.create_new(&temporary, bytes)?;
        if let Err(source) = self.handle.rename(&temporary, name) {
            drop(self.handle.remove(&temporary));
            return Err(FileError::io(&path, source));
        }
        self.sync()
    }

    /// The file `name`, to be read, and written at its end; made where it is missing.
    pub fn append(&self, name: &str) -> Result<File, FileError> {
        self.handle.file(&self.named(name)?, name, How::Append)
    }

    /// Waits for the lock on the file `name`, which is made where it is missing and stays.
    pub fn lock(&self, name: &str) -> Result<Guard, FileError> {
        let file = self.append(name)?;
        lock(&file).map_err(|source| FileError::io(&self.path.join(name), source))?;
        Ok(Guard { file })
    }

    /// The lock on the file `name`, as [`lock`](Self::lock), or `None` where somebody has it.
    pub fn try_lock(&self, name: &str) -> Result<Option<Guard>, FileError> {
        let file = self.append(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Guard { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(FileError::io(&self.path.join(name), source)),
        }
    }

    /// Renames the file `from` to `to`, replacing it.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        let path = self.named(from)?;
        self.named(to)?;
        self.handle.rename(from, to).map_err(|source| FileError::io(&path, source))?;
        self.sync()
    }

    /// Removes the file `name`; says whether it was there.
    pub fn remove(&self, name: &str) -> Result<bool, FileError> {
        let path = self.named(name)?;
        match self.handle.remove(name) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(FileError::io(&path, source)),
        }
    }

    /// The names of everything in it, in order. Names that are not UTF-8 are none of ours.
    pub fn names(&self) -> Result<Vec<String>, FileError> {
        let mut names = self.handle.names().map_err(|source| FileError::io(&self.path, source))?;
        names.sort_unstable();
        Ok(names)
    }

    fn sync(&self) -> Result<(), FileError> {
        self.handle.sync().map_err(|source| FileError::io(&self.path, source))
    }

    /// The path of `name`, which must be one component.
    fn named(&self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.path.join(name);
        if name.is_empty() || name.contains(['/', '\\', '\0']) || matches!(name, "." | "..") {
            let source = io::Error::new(ErrorKind::InvalidInput, "not the name of a file");
            return Err(FileError::io(&path, source));
        }
        Ok(path)
    }
}

/// Waits for an exclusive lock on `file`, through signals.
pub fn lock(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Opens a file that the user named, wherever it is: links are followed, but what they lead to must
/// be a regular file that is ours (or root's) and closed to everybody else.
pub fn open_private(path: &Path) -> Result<File, FileError> {
    platform::open_private(path)
}

/// Opens a file whose content is no secret, or sealed: links are followed, and whoever may read or
/// write it may, but it must be a regular file: a pipe would keep us waiting.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    platform::open_regular(path)
}

/// The rest of `file`, at most `max` bytes. The buffer is sized once, so that no copy of a secret is
/// left behind by growing, and wiped where it is not returned.
pub fn read(file: &File, path: &Path, max: usize) -> Result<Vec<u8>, FileError> {
    let io = |source| FileError::io(path, source);
    let size = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
    let large = || FileError::Large { path: path.to_owned(), max };
    if size > max {
        return Err(large());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    let mut rest = file.take(size as u64 + 1);
    rest.read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > max {
        return Err(large());
    }
    Ok(std::mem::take(&mut *bytes))
}

impl FileError {
    /// What it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Exists { path }
            | Self::Large { path, .. }
            | Self::Unsafe { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsafe { fix, .. } => Some(fix.clone()),
            Self::Missing { .. } | Self::Exists { .. } | Self::Large { .. } | Self::Io { .. } => {
                None
            }
        }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => Self::Missing { path },
            ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io { path, source },
        }
    }
}

/// Without a slash at the end, which would make the system follow a link.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_dropped_is_free_also_where_a_forked_child_has_a_copy_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = SecureDir::create(folder.path().join("d")).unwrap();
        let guard = dir.try_lock("lock").unwrap().unwrap();
        let copy = guard.file.try_clone().unwrap();
        assert!(dir.try_lock("lock").unwrap().is_none());
        drop(guard);
        assert!(dir.try_lock("lock").unwrap().is_some());
        drop(copy);
    }
}
