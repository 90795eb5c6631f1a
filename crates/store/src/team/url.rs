//! Which database: `sqlite:PATH` or `postgres://...`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx_postgres::PgConnectOptions;

use super::TeamError;

/// Where a team's data is kept. Debugging and printing it never shows a password.
#[derive(Clone)]
pub struct DatabaseUrl(pub(super) Place);

#[derive(Clone)]
pub(super) enum Place {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl DatabaseUrl {
    /// The file `path`, in a directory that is closed to everybody else.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Place::Sqlite(path) => Some(path),
            Place::Postgres(_) => None,
        }
    }

    /// Whether several machines can share it.
    pub fn is_postgres(&self) -> bool {
        self.file().is_none()
    }
}

impl FromStr for DatabaseUrl {
    type Err = TeamError;

    fn from_str(text: &str) -> Result<Self, TeamError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains('\0') {
                return Err(TeamError::Url { why: "the path of the file is missing" });
            }
            return Ok(Self::sqlite(path));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(TeamError::Url { why: "it starts with neither" });
        }
        // The message of the parser may repeat a part of the text, and that may be the password.
        let options: PgConnectOptions =
            text.parse().map_err(|_| TeamError::Url { why: "the address cannot be read" })?;
        if options.get_database().is_none() {
            return Err(TeamError::Url { why: "the name of the database is missing" });
        }
        Ok(Self(Place::Postgres(Box::new(options))))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(options) => {
                let database = options.get_database().unwrap_or_default();
                let (user, port) = (options.get_username(), options.get_port());
                match options.get_socket() {
                    Some(socket) => write!(f, "postgres://{user}@{}/{database}", socket.display()),
                    None => write!(f, "postgres://{user}@{}:{port}/{database}", options.get_host()),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: DatabaseUrl = "postgres://app:canary@db.example:5433/team".parse().unwrap();
        assert_eq!(format!("{url} {url:?}").matches("app@db.example:5433/team").count(), 2);
        assert!(!format!("{url} {url:?}").contains("canary"));
        let url: DatabaseUrl = "sqlite:/var/lib/team.db".parse().unwrap();
        assert_eq!(url.file().unwrap(), Path::new("/var/lib/team.db"));
    }

    #[test]
    fn what_names_no_database_is_refused_without_repeating_it() {
        for bad in ["", "sqlite:", "canary.db", "mysql://canary@h/d", "postgres://u:canary@h:x/d"] {
            let error = bad.parse::<DatabaseUrl>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }
}
