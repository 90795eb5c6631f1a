//! Files by path, where there are no modes: the profile directory's access list is what protects.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{FileError, How};

#[derive(Debug)]
pub(super) struct Dir(PathBuf);

pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

impl Dir {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let metadata = fs::symlink_metadata(path).map_err(|source| FileError::io(path, source))?;
        if metadata.is_dir() {
            Ok(Self(path.to_owned()))
        } else {
            Err(unsafe_file(path, "it is not a directory, or a link to one"))
        }
    }

    pub(super) fn file(&self, path: &Path, name: &str, how: How) -> Result<File, FileError> {
        match self.look(path, name) {
            Ok(()) | Err(FileError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        match how {
            How::Read | How::Given => options.read(true),
            How::New => options.write(true).create_new(true),
            How::Append => options.read(true).append(true).create(true),
        };
        options.open(self.0.join(name)).map_err(|source| FileError::io(path, source))
    }

    pub(super) fn look(&self, path: &Path, name: &str) -> Result<(), FileError> {
        let metadata = fs::symlink_metadata(self.0.join(name))
            .map_err(|source| FileError::io(path, source))?;
        if metadata.is_file() { Ok(()) } else { Err(unsafe_file(path, "it is not a regular file")) }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Directories cannot be synced here; the file system orders renames itself.
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the other platforms need it"
    )]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Whoever else may read it is a matter of the access list that it has inherited.
pub(super) fn open_private(path: &Path) -> Result<File, FileError> {
    open_regular(path)
}

pub(super) fn open_regular(path: &Path) -> Result<File, FileError> {
    let file = File::open(path).map_err(|source| FileError::io(path, source))?;
    let metadata = file.metadata().map_err(|source| FileError::io(path, source))?;
    if metadata.is_file() { Ok(file) } else { Err(unsafe_file(path, "it is not a regular file")) }
}

fn unsafe_file(path: &Path, problem: &str) -> FileError {
    FileError::Unsafe {
        path: path.to_owned(),
        problem: problem.to_owned(),
        fix: format!("move `{}` away", path.display()),
    }
}
