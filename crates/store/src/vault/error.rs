//! What can go wrong with the vault.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use strongroom_model::principal::Name;
use strongroom_seal::{FileError, KekError, RandomError, SealError};

/// The vault cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is none.
    #[error("there is no vault at `{}`", .path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("there is a vault at `{}` already", .path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// A newer version of Strongroom made or migrated it.
    #[error("the vault at `{}` has schema {found}, and this version of Strongroom knows {known}", .path.display())]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest one that we know.
        known: i64,
    },
    /// It was sealed under another key.
    #[error("the vault at `{}` was sealed under the key `{sealed_under}`, and this is `{offered}`", .path.display())]
    WrongKey {
        /// Where it is.
        path: PathBuf,
        /// The key that it needs.
        sealed_under: String,
        /// The key that we have.
        offered: String,
    },
    /// It does not verify.
    #[error("the vault at `{}` does not verify: {what}", .path.display())]
    Integrity {
        /// Where it is.
        path: PathBuf,
        /// What was found.
        what: &'static str,
    },
    /// Another process kept it busy for too long.
    #[error("the vault at `{}` is busy", .path.display())]
    Busy {
        /// Where it is.
        path: PathBuf,
    },
    /// The database cannot be read or written: the disk is full, the file system is read-only, ...
    #[error("the vault at `{}` cannot be used", .path.display())]
    Database {
        /// Where it is.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file or its directory may not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tenant's key cannot be wrapped or unwrapped.
    #[error("the vault's key cannot be used")]
    Kek(#[from] KekError),
    /// Nothing can be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No token can be made.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The key has sealed as many values as is safe.
    #[error("the vault's key has sealed 2^32 values and must not seal another")]
    Exhausted,
    /// Not a name that can stand behind `local://`.
    #[error("a stored secret has a name of letters, digits, `-`, `_`, `.` and `/`")]
    Name,
    /// Not a secret: empty, or larger than [`LARGEST`](super::LARGEST).
    #[error("a secret has between 1 byte and 1 MiB")]
    Value,
    /// The principal has a token already.
    #[error("the principal `{name}` exists already")]
    PrincipalExists {
        /// Its name.
        name: Name,
    },
    /// There is no such principal.
    #[error("there is no principal `{name}`")]
    NoPrincipal {
        /// The name.
        name: Name,
    },
}

/// One secret cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Nothing is stored under the name.
    #[error("nothing is stored under this name")]
    NotFound,
    /// What is stored does not verify.
    #[error("what is stored under this name does not verify")]
    Integrity,
}

impl VaultError {
    /// Whether what is stored does not verify, or verifies under another key only.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Integrity { .. } | Self::WrongKey { .. } | Self::Kek(_))
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Database { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("run `strongroom init`".to_owned()),
            Self::Newer { .. } => Some("install the newer version of Strongroom".to_owned()),
            Self::WrongKey { .. } => {
                Some("restore the machine key that the vault was made with".to_owned())
            }
            Self::Integrity { path, .. } => {
                Some(format!("restore `{}` from a backup", path.display()))
            }
            Self::PrincipalExists { .. } => Some("choose another name".to_owned()),
            Self::File(error) => error.hint(),
            _ => None,
        }
    }

    /// Damage, at a place that [`at`](Self::at) will fill in.
    pub(crate) fn damaged(what: &'static str) -> Self {
        Self::Integrity { path: PathBuf::new(), what }
    }

    /// The same error, about the vault at `place`.
    pub(crate) fn at(mut self, place: &Path) -> Self {
        if let Self::Missing { path }
        | Self::Exists { path }
        | Self::Newer { path, .. }
        | Self::WrongKey { path, .. }
        | Self::Integrity { path, .. }
        | Self::Busy { path }
        | Self::Database { path, .. } = &mut self
            && path.as_os_str().is_empty()
        {
            place.clone_into(path);
        }
        self
    }
}

/// What SQLite cannot make sense of is damage; what it was kept from doing is not.
impl From<rusqlite::Error> for VaultError {
    fn from(source: rusqlite::Error) -> Self {
        let path = PathBuf::new();
        match source.sqlite_error().map(|error| (error.code, error.extended_code)) {
            Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => Self::Busy { path },
            // A short read: the file ends before its last page.
            Some((ErrorCode::SystemIoFailure, rusqlite::ffi::SQLITE_IOERR_SHORT_READ)) => {
                Self::damaged("the file is cut off")
            }
            Some((
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
                _,
            )) => Self::Database { path, source },
            _ => Self::damaged("the database is damaged"),
        }
    }
}
