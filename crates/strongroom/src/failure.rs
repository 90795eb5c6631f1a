//! How a command ends when it does not end well: an exit code, an error with its causes, a hint.

use std::error::Error;
use std::process::ExitCode;

use strongroom_config::edit::EditError;
use strongroom_config::{ConfigError, LoadError, NoService};
use strongroom_seal::FileError;
use strongroom_store::VaultError;

use crate::home::HomeError;
use crate::paths::PathsError;

/// The exit codes of every command (decision 26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// What was asked for failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Denied by policy, grant or lock, or by the person.
    Denied = 3,
    /// Locked, unreachable or expired, so that nothing could be done.
    Unavailable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, with its causes. `None`: the answer was printed already, or nobody listens.
    pub error: Option<Box<dyn Error + Send + Sync>>,
    /// What to do next, in the imperative.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with an error, which may be plain text.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: Some(error.into()), hint: None }
    }

    /// What was asked for failed.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Failed, error)
    }

    /// Wrong usage.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// An exit code without a message: the answer itself was printed.
    pub fn silent(exit: Exit) -> Self {
        Self { exit, error: None, hint: None }
    }

    /// The same, with the next step for a person.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with the next step where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into).or(self.hint);
        self
    }
}

impl From<PathsError> for Failure {
    fn from(error: PathsError) -> Self {
        Self::new(Exit::Unavailable, error).hint("set `STRONGROOM_HOME` to an absolute path")
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = error.hint.clone();
        Self::failed(error).maybe_hint(hint)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Config(error) => error.into(),
            LoadError::File(error) => error.into(),
            LoadError::Missing { .. } => {
                Self::new(Exit::Unavailable, error).hint("run `strongroom init`")
            }
        }
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Load(error) => error.into(),
            EditError::File(error) => error.into(),
            EditError::Change { ref hint, .. } => {
                let hint = hint.clone();
                Self::failed(error).maybe_hint(hint)
            }
            EditError::NotToml | EditError::Backups => Self::failed(error),
        }
    }
}

impl From<NoService> for Failure {
    fn from(error: NoService) -> Self {
        let hint = match &error.near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "run `strongroom list` to see the services".into(),
        };
        Self::failed(error).hint(hint)
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Unavailable, error).maybe_hint(hint)
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let hint = error.hint();
        let exit = match error {
            VaultError::PrincipalExists { .. }
            | VaultError::NoPrincipal { .. }
            | VaultError::Name
            | VaultError::Value => Exit::Failed,
            _ => Exit::Unavailable,
        };
        Self::new(exit, error).maybe_hint(hint)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Unavailable, error).maybe_hint(hint)
    }
}
