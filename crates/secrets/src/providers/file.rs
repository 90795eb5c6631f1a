//! `file:///PATH`: one secret in one file.
//!
//! The file must be a regular one, ours or root's, and closed to everybody else; links are followed,
//! because orchestrators mount secrets behind them. One newline at the end is not part of the
//! secret: editors put it there.

use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::path::Path;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError, Stamp};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::file::{FileError, open_private, read};

use super::{LARGEST, TOO_LARGE, usable};

/// Resolves references to files.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileProvider;

impl Provider for FileProvider {
    fn scheme(&self) -> &'static str {
        "file"
    }

    fn stamp(&self, reference: &SecretRef) -> Stamp {
        let mut hasher = DefaultHasher::new();
        hash(&fs::metadata(path(reference)).ok()?, &mut hasher);
        Some(hasher.finish())
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move { refs.iter().map(value).collect() })
    }
}

fn value(reference: &SecretRef) -> Result<Secret, ResolveError> {
    let path = path(reference);
    // The newline does not count.
    let mut bytes = open_private(path)
        .and_then(|file| read(&file, path, LARGEST + 2))
        .map_err(|error| of_file(error, reference))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    usable(Secret::new(bytes), reference)
}

fn of_file(error: FileError, reference: &SecretRef) -> ResolveError {
    let reference = reference.clone();
    match error {
        FileError::Missing { .. } => ResolveError::NotFound { reference },
        FileError::Large { .. } => ResolveError::Unusable { reference, why: TOO_LARGE },
        FileError::Unsafe { problem, fix, .. } => {
            ResolveError::Denied { reference, why: format!("{problem}; {fix}") }
        }
        FileError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            ResolveError::Denied { reference, why: "we have no permission to read it".to_owned() }
        }
        FileError::Io { .. } | FileError::Exists { .. } => {
            ResolveError::unreachable("file", "the file cannot be read")
        }
    }
}

fn path(reference: &SecretRef) -> &Path {
    let path = reference.path();
    // `file:///C:/x` names `C:/x`.
    Path::new(if cfg!(windows) { path.trim_start_matches('/') } else { path })
}

/// Whatever changes when a file is written, replaced, or closed to others.
#[cfg(unix)]
fn hash(metadata: &Metadata, hasher: &mut DefaultHasher) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino(), metadata.size(), metadata.mode()).hash(hasher);
    (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()).hash(hasher);
}

#[cfg(not(unix))]
fn hash(metadata: &Metadata, hasher: &mut DefaultHasher) {
    (metadata.len(), metadata.modified().ok(), metadata.created().ok()).hash(hasher);
}
