//! Files by descriptor, as POSIX has them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{FileError, How};

#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

const DIR_MODE: u32 = 0o700;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const OTHERS: u32 = 0o077;

pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)
}

impl Dir {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))
            .map_err(|errno| match errno {
                Errno::NOTDIR | Errno::LOOP => {
                    unsafe_file(path, "it is not a directory, or a link to one", &moved(path))
                }
                other => FileError::io(path, other.into()),
            })?;
        let file = File::from(handle);
        let facts = Facts::of(path, &file)?;
        check_owner(path, &facts, false)?;
        check_mode(path, &facts, "700")?;
        Ok(Self(file.into()))
    }

    pub(super) fn file(&self, path: &Path, name: &str, how: How) -> Result<File, FileError> {
        // Without O_NONBLOCK a FIFO in the place of a file would hang us.
        let common = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = common
            | match how {
                How::Read | How::Given => OFlags::RDONLY,
                How::New => OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
                How::Append => OFlags::RDWR | OFlags::APPEND | OFlags::CREATE,
            };
        let file = retry_on_intr(|| rustix::fs::openat(&self.0, name, flags, FILE_MODE))
            .map(File::from)
            .map_err(|errno| match errno {
                Errno::LOOP | Errno::MLINK => link(path),
                Errno::ISDIR | Errno::NXIO => not_regular(path),
                other => FileError::io(path, other.into()),
            })?;
        check(path, &Facts::of(path, &file)?, how)?;
        Ok(file)
    }

    /// Looks at a file without opening it: to close a file of SQLite's would drop the locks that
    /// other connections of this process have on it (POSIX locks belong to the process).
    pub(super) fn look(&self, path: &Path, name: &str) -> Result<(), FileError> {
        let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| FileError::io(path, errno.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Symlink {
            return Err(link(path));
        }
        let facts = Facts {
            mode: wide(Mode::from_raw_mode(stat.st_mode).bits()),
            owner: stat.st_uid,
            names: wide(stat.st_nlink),
            regular: kind == FileType::RegularFile,
        };
        check(path, &facts, How::Read)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.0))?)
    }
}

pub(super) fn open_private(path: &Path) -> Result<File, FileError> {
    let file = open_regular(path)?;
    let facts = Facts::of(path, &file)?;
    check_owner(path, &facts, true)?;
    check_mode(path, &facts, "600")?;
    Ok(file)
}

pub(super) fn open_regular(path: &Path) -> Result<File, FileError> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|source| FileError::io(path, source))?;
    if Facts::of(path, &file)?.regular { Ok(file) } else { Err(not_regular(path)) }
}

/// What must be right about a file or directory.
struct Facts {
    mode: u32,
    owner: u32,
    names: u64,
    regular: bool,
}

impl Facts {
    fn of(path: &Path, file: &File) -> Result<Self, FileError> {
        let metadata = file.metadata().map_err(|source| FileError::io(path, source))?;
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            owner: metadata.uid(),
            names: metadata.nlink(),
            regular: metadata.is_file(),
        })
    }
}

/// The same number: its type is not the same on every platform.
fn wide<T>(number: impl Into<T>) -> T {
    number.into()
}

fn check(path: &Path, facts: &Facts, how: How) -> Result<(), FileError> {
    if !facts.regular {
        return Err(not_regular(path));
    }
    check_owner(path, facts, false)?;
    if how != How::Given {
        check_mode(path, facts, "600")?;
    }
    // No name: a file that was replaced since it was opened, with its old content, whole.
    if facts.names > 1 {
        let problem = "it has a second name (a hard link)";
        let fix = format!("put a copy in the place of `{}`", path.display());
        return Err(unsafe_file(path, problem, &fix));
    }
    Ok(())
}

fn check_owner(path: &Path, facts: &Facts, or_root: bool) -> Result<(), FileError> {
    let (owner, us) = (facts.owner, rustix::process::geteuid().as_raw());
    if owner == us || (or_root && owner == 0) {
        return Ok(());
    }
    let problem = format!("it belongs to user {owner} and not to us, user {us}");
    Err(unsafe_file(
        path,
        &problem,
        &format!("run `chown {us} {}` as root, or move it away", word(path)),
    ))
}

fn check_mode(path: &Path, facts: &Facts, expected: &str) -> Result<(), FileError> {
    let mode = facts.mode;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let problem = format!("others may use it (mode {mode:04o})");
    Err(unsafe_file(path, &problem, &format!("run `chmod {expected} {}`", word(path))))
}

/// `path` as one word of a shell, so that the command can be pasted.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_alphanumeric() || "/._-+@%:,=".contains(c)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn link(path: &Path) -> FileError {
    unsafe_file(path, "it is a symbolic link", &moved(path))
}

fn not_regular(path: &Path) -> FileError {
    unsafe_file(path, "it is not a regular file", &moved(path))
}

fn moved(path: &Path) -> String {
    format!("move `{}` away", path.display())
}

fn unsafe_file(path: &Path, problem: &str, fix: &str) -> FileError {
    FileError::Unsafe { path: path.to_owned(), problem: problem.to_owned(), fix: fix.to_owned() }
}
