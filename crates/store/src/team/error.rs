//! Why something could not be done on the store of a team.

use std::error::Error;
use std::sync::Arc;

use strongroom_model::team::FieldError;
use strongroom_seal::{FileError, KekError, RandomError, SealError};

/// Why something could not be done. No variant holds what a row says.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TeamError {
    /// The database, or whoever keeps the KEK, does not answer. Nothing is allowed meanwhile; whether a
    /// write that was under way is done is not known.
    #[error("the database cannot be reached")]
    Unreachable {
        /// What was met.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Something else of the same tenant has this already.
    #[error("`{field}` is taken")]
    Conflict {
        /// What.
        field: &'static str,
    },
    /// Not there, or not the tenant's: nobody is told which.
    #[error("there is no such thing")]
    NotFound,
    /// The tenant has as many as it may have.
    #[error("there are {most} {what} already, and no more are allowed")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many there may be.
        most: u32,
    },
    /// A field may not stand as it is.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// Not a cursor that was given out to this tenant.
    #[error("this cursor was not given out here")]
    Cursor,
    /// What is stored does not verify.
    #[error("what is stored does not verify: {what}")]
    Integrity {
        /// What it is.
        what: &'static str,
    },
    /// The KEK cannot be used, or is another than that of the database.
    #[error("the database's key cannot be opened")]
    Kek(#[source] KekError),
    /// Something was to be wrapped under a KEK that has been retired.
    #[error("the key-encryption key `{kek}` has been retired")]
    Retired {
        /// The KEK.
        kek: String,
    },
    /// The KEK cannot be retired.
    #[error("the key-encryption key `{kek}` is in use")]
    InUse {
        /// The KEK.
        kek: String,
        /// How many keys are wrapped under it; `None` where it is the one that wraps.
        keys: Option<u64>,
    },
    /// The tenant's key has sealed as many values as is safe.
    #[error("the tenant's key has sealed 2^32 values and must not seal another")]
    Exhausted,
    /// The schema is not that of this version.
    #[error("the database has schema {found}, and this version of Strongroom needs {known}")]
    Schema {
        /// The schema of the database; 0 where there is none.
        found: i64,
        /// The schema of this version.
        known: i64,
    },
    /// The database was never migrated, or its user may not act as the server's role.
    #[error("the user of the database cannot act as `strongroom_app`")]
    Role,
    /// The user of the database may not read the records of all tenants.
    #[error(
        "the user of the database cannot act as `strongroom_auditor`, who reads the whole audit"
    )]
    Auditor,
    /// The text names no database.
    #[error("a database is `sqlite:PATH` or `postgres://USER@HOST/NAME`: {why}")]
    Url {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file may not be used.
    #[error("the database's file cannot be used")]
    File(#[source] Arc<FileError>),
    /// There is no randomness, or nothing can be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The database does not let the user in whom the URL names.
    #[error("the database does not let this user in")]
    Login {
        /// What it said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The server has no database of the name in the URL.
    #[error("the server has no such database")]
    NoDatabase {
        /// What it said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The database refused a statement.
    #[error("the database refused a statement")]
    Database {
        /// What it said.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl TeamError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Schema { found, known } if found < known => {
                Some("run `strongroom migrate` as the owner of the database".to_owned())
            }
            Self::Role => Some(
                "run `strongroom migrate` as the owner of the database, and connect as \
                 `strongroom_app` or as a user that was granted it"
                    .to_owned(),
            ),
            Self::Auditor => Some(
                "give the URL of the owner of the database, or of a user that was granted \
                 `strongroom_app` and `strongroom_auditor`"
                    .to_owned(),
            ),
            Self::Schema { .. } => Some("install the newer version of Strongroom".to_owned()),
            Self::Kek(error) => error.hint(),
            Self::Retired { .. } => {
                Some("give this server the newer key: its configuration is out of date".to_owned())
            }
            Self::InUse { keys: Some(keys), .. } => {
                Some(format!("run `strongroom kek rotate`: {keys} keys are still wrapped under it"))
            }
            Self::InUse { keys: None, .. } => {
                Some("configure another key, and run `strongroom kek rotate`".to_owned())
            }
            Self::TooMany { what, .. } => Some(format!(
                "delete some that are not needed, or raise `{what}` in `[team.limits]`"
            )),
            Self::Exhausted => Some("rotate the tenant's key".to_owned()),
            Self::File(error) => error.hint(),
            Self::Login { .. } => Some(
                "put the password into `DATABASE_URL` (`postgres://USER:PASSWORD@HOST/NAME`) or \
                 into `.pgpass`; the owner of the database gives `strongroom_app` one in psql, by \
                 `\\password strongroom_app`"
                    .to_owned(),
            ),
            Self::NoDatabase { .. } => Some(
                "make it with `createdb NAME`, then run `strongroom migrate` as its owner"
                    .to_owned(),
            ),
            Self::Unreachable { .. } => {
                Some("see that the database runs and can be reached from here".to_owned())
            }
            _ => None,
        }
    }

    pub(crate) fn unreachable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable { source: Arc::from(source.into()) }
    }

    pub(crate) fn database(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Database { source: Arc::from(source.into()) }
    }

    pub(crate) fn damaged(what: &'static str) -> Self {
        Self::Integrity { what }
    }

    /// What a broken UNIQUE means, by the names of the columns that the database gives.
    pub(super) fn conflict(columns: &str) -> Self {
        const FIELDS: [(&str, &str); 5] = [
            ("advertised_prefix", "tool_prefix"),
            ("server_id", "server_id"),
            ("credential_type", "credential_type"),
            ("part", "part"),
            ("name", "name"),
        ];
        let known = FIELDS.iter().find(|(column, _)| columns.contains(column));
        Self::Conflict { field: known.map_or("id", |(_, field)| field) }
    }
}

/// A KEK that does not answer is like a database that does not.
impl From<KekError> for TeamError {
    fn from(error: KekError) -> Self {
        if error.is_transient() { Self::unreachable(error) } else { Self::Kek(error) }
    }
}

impl From<RandomError> for TeamError {
    fn from(error: RandomError) -> Self {
        Self::Seal(error.into())
    }
}

impl From<FileError> for TeamError {
    fn from(error: FileError) -> Self {
        Self::File(Arc::new(error))
    }
}
