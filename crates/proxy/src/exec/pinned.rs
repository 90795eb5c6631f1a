//! A program's file, held to what was approved.
//!
//! The file is opened and looked at, and on Linux the program is started from what was opened: what
//! its path leads to a moment later does not matter. Its content is read again only where device,
//! inode, size or times are others than they were. A script is started by its path, because its
//! interpreter has to find it; elsewhere every program is.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::command::Program;
use strongroom_seal::hex;

/// What a file was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Where it really is.
    pub path: PathBuf,
    /// SHA-256 of its content in hexadecimal.
    pub sha256: String,
}

/// A file is no program that can be run.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// It cannot be read.
    #[error("`{}` cannot be read", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, or may not be executed.
    #[error("`{}` is not a program", .path.display())]
    NoProgram {
        /// Which.
        path: PathBuf,
    },
}

/// What is at `path`, behind every link.
pub fn fingerprint(path: &Path) -> Result<Fingerprint, FingerprintError> {
    let unreadable = |source| FingerprintError::Unreadable { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(unreadable)?;
    let (mut file, metadata) = open(&real).map_err(unreadable)?;
    if !is_program(&metadata) {
        return Err(FingerprintError::NoProgram { path: real });
    }
    Ok(Fingerprint { path: real, sha256: digest(&mut file).map_err(unreadable)? })
}

/// What was seen of programs, so that nothing is read twice.
#[derive(Default)]
pub(super) struct Pins {
    seen: Mutex<HashMap<PathBuf, ([u64; 6], String)>>,
}

impl Pins {
    /// The file of `program`, opened, if it is what was approved; `None` where it has to be started by
    /// its path.
    pub(super) fn check(&self, program: &Program) -> Result<Option<Arc<File>>, Refusal> {
        let changed = || {
            let text = "the program is not the one that was approved; a person has to look at it: \
                        `strongroom edit SERVICE --command PROGRAM`";
            Refusal::new(Code::IntegrityError, text)
        };
        let (mut file, metadata) = open(&program.path).map_err(|_| changed())?;
        if !is_program(&metadata) {
            return Err(changed());
        }
        let stamp = stamp(&metadata);
        let known = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get(&program.path)
                .filter(|(then, _)| *then == stamp)
                .map(|(_, sha256)| sha256.clone())
        };
        let sha256 = if let Some(sha256) = known {
            sha256
        } else {
            let sha256 = digest(&mut file).map_err(|_| changed())?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(program.path.clone(), (stamp, sha256.clone()));
            sha256
        };
        if sha256 != program.sha256 {
            return Err(changed());
        }
        let is_script = is_script(&mut file).map_err(|_| changed())?;
        Ok((!is_script).then(|| Arc::new(file)))
    }
}

fn is_script(file: &mut File) -> io::Result<bool> {
    let mut first = [0; 2];
    file.rewind()?;
    match file.read_exact(&mut first) {
        Ok(()) => Ok(first == *b"#!"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
        Err(error) => Err(error),
    }
}

fn digest(file: &mut File) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    file.rewind()?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(context.finish().as_ref())),
            Ok(count) => context.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The last part of the path is no link. Parts before it may be: what counts is what is found.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

#[cfg(unix)]
fn is_program(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_program(metadata: &Metadata) -> bool {
    metadata.is_file()
}

/// Device, inode, size, and when its content and itself were changed.
#[cfg(unix)]
fn stamp(metadata: &Metadata) -> [u64; 6] {
    use std::os::unix::fs::MetadataExt as _;
    let changed = metadata.ctime().cast_unsigned();
    let nanos =
        (metadata.ctime_nsec().cast_unsigned() << 32) | metadata.mtime_nsec().cast_unsigned();
    let modified = metadata.mtime().cast_unsigned();
    [metadata.dev(), metadata.ino(), metadata.size(), modified, changed, nanos]
}

/// Size, and when it was written.
#[cfg(not(unix))]
fn stamp(metadata: &Metadata) -> [u64; 6] {
    let since = metadata.modified().ok();
    let since = since.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let (seconds, nanos) = since.map_or((0, 0), |since| (since.as_secs(), since.subsec_nanos()));
    [0, 0, metadata.len(), seconds, nanos.into(), 0]
}
