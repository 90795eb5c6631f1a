//! What a pin remembers of files: what is in them, and by what a change is noticed.
//!
//! A file is read again only when its device, inode, size or times are others than they were: a
//! program that keeps the clock of the machine in its hand can get around that, as can a swap between
//! this look and the start. The native program that is started is one of the files, the scripts that
//! it reads are others; what those load besides is covered as far as it is among the files.

use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use strongroom_seal::hex;

/// A file or a folder as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Where it is.
    path: PathBuf,
    /// Of a file's bytes, a folder's names or a link's target, in hexadecimal.
    sha256: String,
    /// What tells one state of it from another.
    stamp: [u64; 7],
}

/// A file is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub path: PathBuf,
}

/// A file cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be read", .path.display())]
pub struct HeldError {
    /// Which.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Held {
    /// The file or folder at `path` as it is now. A link is looked at itself, and not followed.
    pub fn of(path: &Path) -> Result<Self, HeldError> {
        let error = |source| HeldError { path: path.to_owned(), source };
        let metadata = fs::symlink_metadata(path).map_err(error)?;
        let sha256 = digest(path, &metadata).map_err(error)?;
        Ok(Self { path: path.to_owned(), sha256, stamp: stamp(&metadata) })
    }

    /// The same of everything in the folder at `root`, and of itself.
    pub fn tree(root: &Path) -> Result<Vec<Self>, HeldError> {
        let mut found = vec![Self::of(root)?];
        if fs::symlink_metadata(root).is_ok_and(|metadata| metadata.is_dir()) {
            let error = |source| HeldError { path: root.to_owned(), source };
            for name in names(root).map_err(error)? {
                found.extend(Self::tree(&root.join(name))?);
            }
        }
        Ok(found)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is as it was: `Ok(None)` where nothing was touched, `Ok(Some)` with what to
    /// remember from now on where it was touched and holds the same.
    pub fn check(&self) -> Result<Option<Self>, Broken> {
        let broken = || Broken { path: self.path.clone() };
        let metadata = fs::symlink_metadata(&self.path).map_err(|_| broken())?;
        if stamp(&metadata) == self.stamp {
            return Ok(None);
        }
        match Self::of(&self.path) {
            Ok(now) if now.sha256 == self.sha256 => Ok(Some(now)),
            _ => Err(broken()),
        }
    }

    /// One digest of all of them, wherever they lie below `root`.
    pub fn digest(all: &[Self], root: &Path) -> String {
        let mut context = Context::new(&SHA256);
        for held in all {
            let path = held.path.strip_prefix(root).unwrap_or(&held.path).as_os_str();
            let bytes = path.as_encoded_bytes();
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
            context.update(held.sha256.as_bytes());
        }
        hex(context.finish().as_ref())
    }
}

fn digest(path: &Path, metadata: &Metadata) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    // A file that holds what a folder lists is not that folder.
    if metadata.is_dir() {
        context.update(b"folder\0");
        for name in names(path)? {
            context.update(name.as_encoded_bytes());
            context.update(b"\0");
        }
    } else if metadata.is_symlink() {
        context.update(b"link\0");
        context.update(fs::read_link(path)?.as_os_str().as_encoded_bytes());
    } else if metadata.is_file() {
        context.update(b"file\0");
        let mut file = fs::File::open(path)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => context.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    } else {
        return Err(io::Error::other("neither a file nor a folder"));
    }
    Ok(hex(context.finish().as_ref()))
}

/// In an order that stays.
fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Device, inode, size, and when its content and itself were changed.
#[cfg(unix)]
fn stamp(metadata: &Metadata) -> [u64; 7] {
    use std::os::unix::fs::MetadataExt as _;

    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    let [mtime, mtime_nsec, ctime, ctime_nsec] = times.map(i64::cast_unsigned);
    [metadata.dev(), metadata.ino(), metadata.size(), mtime, mtime_nsec, ctime, ctime_nsec]
}

/// Size, and when it was made and written.
#[cfg(not(unix))]
fn stamp(metadata: &Metadata) -> [u64; 7] {
    let nanos = |time: io::Result<std::time::SystemTime>| {
        let since = time.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or((0, 0), |since| (since.as_secs(), u64::from(since.subsec_nanos())))
    };
    let (modified, created) = (nanos(metadata.modified()), nanos(metadata.created()));
    [0, 0, metadata.len(), modified.0, modified.1, created.0, created.1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/a.js"), "one").unwrap();
        fs::write(folder.path().join("main.js"), "main").unwrap();
        folder
    }

    fn broken(all: &[Held]) -> Vec<PathBuf> {
        all.iter().filter_map(|held| held.check().err()).map(|broken| broken.path).collect()
    }

    // SC-02
    #[test]
    fn one_changed_byte_a_new_file_a_missing_one_and_a_link_are_all_noticed() {
        type Change = fn(&Path);
        let table: [(&str, Change); 4] = [
            ("lib/a.js", |root| fs::write(root.join("lib/a.js"), "onf").unwrap()),
            ("lib", |root| fs::write(root.join("lib/b.js"), "").unwrap()),
            ("main.js", |root| fs::remove_file(root.join("main.js")).unwrap()),
            #[cfg(unix)]
            ("main.js", |root| {
                fs::rename(root.join("main.js"), root.join("lib/../m")).unwrap();
                std::os::unix::fs::symlink("m", root.join("main.js")).unwrap();
            }),
        ];
        for (expected, change) in table {
            let folder = folder();
            let all = Held::tree(folder.path()).unwrap();
            assert_eq!(all.len(), 4);
            assert!(broken(&all).is_empty());
            change(folder.path());
            assert!(broken(&all).contains(&folder.path().join(expected)), "{:?}", broken(&all));
        }
    }

    #[test]
    fn a_file_that_was_touched_and_holds_the_same_is_the_same() {
        let folder = folder();
        let file = folder.path().join("main.js");
        let held = Held::of(&file).unwrap();
        assert_eq!(held.check(), Ok(None));
        fs::remove_file(&file).unwrap();
        fs::write(&file, "main").unwrap();
        let now = held.check().unwrap().unwrap();
        assert_eq!(now.check(), Ok(None));
        assert_eq!(now.sha256, held.sha256);
    }

    #[test]
    fn the_digest_of_a_tree_is_that_of_its_names_and_contents_wherever_it_lies() {
        let (one, other) = (folder(), folder());
        let of = |root: &Path| {
            let all = Held::tree(root).unwrap();
            Held::digest(&all, root)
        };
        assert_eq!(of(one.path()), of(other.path()));
        fs::rename(other.path().join("main.js"), other.path().join("main.mjs")).unwrap();
        assert_ne!(of(one.path()), of(other.path()));
    }
}
