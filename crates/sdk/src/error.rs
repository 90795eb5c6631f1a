//! What can go wrong, each with a code that stays.

use strongroom_seal::FileError;
use strongroom_secrets::keychain::KeychainError;

/// What went wrong. No variant holds a value, or what a person typed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `initialize` has not been called.
    #[error("no server has been named")]
    NotInitialized,
    /// Not the name of a server.
    #[error("the server's name is not one: {0}")]
    ServerName(&'static str),
    /// Not the name of a secret.
    #[error("the secret's name is not one: {0}")]
    Name(&'static str),
    /// A name that has a meaning of its own.
    #[error("the secret's name is reserved")]
    Reserved,
    /// A value without a character in it.
    #[error("the value of `{0}` is empty")]
    EmptyValue(String),
    /// A value that is larger than what is kept.
    #[error("the value of `{0}` has more than 64 KiB")]
    LargeValue(String),
    /// A value that is not text, as it is or as it was found.
    #[error("the value of `{0}` is not text")]
    NotText(String),
    /// A person must unlock the keychain first.
    #[error("the keychain is locked")]
    Locked,
    /// There is no keychain, and nothing in its place.
    #[error("there is no keychain here: {0}")]
    Absent(&'static str),
    /// There is no folder for files of ours.
    #[error("nobody knows where files of yours belong: neither HOME nor XDG_DATA_HOME is set")]
    NoHome,
    /// The keychain refused.
    #[error("the keychain refused")]
    Refused,
    /// The keychain did not answer in time.
    #[error("the keychain did not answer in time")]
    Slow,
    /// The keychain failed.
    #[error("the keychain failed: {0}")]
    Failed(&'static str),
    /// Another process has been changing this server's secrets for too long.
    #[error("another process is changing the secrets of this server, and does not end")]
    Busy,
    /// A file of ours cannot be used.
    #[error("{0}")]
    File(FileError),
    /// The sealed file, or a value in several parts, is not as it was written.
    #[error("what is stored cannot be used: {0}")]
    Damaged(&'static str),
    /// The system's random source does not work.
    #[error("the system's random source does not work")]
    Random,
    /// A person said no, or nobody could be asked.
    #[error("the use of `{name}` was not allowed: {why}")]
    Denied {
        /// The secret.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// What is to be asked for is not described as it should be.
    #[error("the secrets to ask for are not described as they should be: {0}")]
    Infos(String),
    /// The window cannot be shown, or ended without an answer.
    #[error("the window cannot be used: {0}")]
    Window(String),
    /// Nobody answered in time.
    #[error("nobody answered within {} s", .0.as_secs())]
    Unanswered(std::time::Duration),
    /// A person closed the window.
    #[error("the window was closed")]
    Closed,
    /// The person declined in the client.
    #[error("the request was declined")]
    Declined,
    /// The person cancelled in the client.
    #[error("the request was cancelled")]
    Cancelled,
    /// The client cannot be asked.
    #[error("the client cannot ask its user: it does not support elicitation")]
    NoElicitation,
    /// The client went away, or its answer is not understood.
    #[error("the client is gone, or its answer is not understood")]
    Gone,
}

impl Error {
    /// The stable name of what went wrong, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotInitialized => "not_initialized",
            Self::ServerName(_) => "invalid_server_name",
            Self::Name(_) => "invalid_name",
            Self::Reserved => "reserved_name",
            Self::EmptyValue(_) => "empty_value",
            Self::LargeValue(_) => "value_too_large",
            Self::NotText(_) => "not_text",
            Self::Locked => "keychain_locked",
            Self::Absent(_) => "keychain_absent",
            Self::NoHome => "no_home",
            Self::Refused => "keychain_refused",
            Self::Slow => "keychain_timeout",
            Self::Failed(_) => "keychain_failed",
            Self::Busy => "storage_busy",
            Self::File(_) => "storage_file",
            Self::Damaged(_) => "storage_damaged",
            Self::Random => "no_randomness",
            Self::Denied { .. } => "permission_denied",
            Self::Infos(_) => "invalid_secrets_info",
            Self::Window(_) => "window_unavailable",
            Self::Unanswered(_) => "unanswered",
            Self::Closed => "window_closed",
            Self::Declined => "request_declined",
            Self::Cancelled => "request_cancelled",
            Self::NoElicitation => "elicitation_unsupported",
            Self::Gone => "client_gone",
        }
    }

    /// What to do next, in the imperative.
    pub fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::NotInitialized => "call `initialize` with the name of the server first",
                Self::Reserved => "take a name that does not begin with two underscores",
                Self::Locked => "unlock the keychain: log in to the desktop, or open its settings",
                Self::Absent(_) => {
                    "start the server in a desktop session, or set HOME so that a sealed file can be kept"
                }
                Self::Refused => "allow the access when the keychain asks",
                Self::NoHome => "set HOME (on Windows LOCALAPPDATA) for the server",
                Self::NoElicitation => {
                    "use a client that supports elicitation, or store the secrets in the keychain beforehand"
                }
                Self::Busy => "try again, or end the other process",
                Self::File(error) => return error.hint(),
                _ => return None,
            }
            .to_owned(),
        )
    }

    /// The message with what to do next, for an exception's text.
    pub fn text(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}: {hint}"),
            None => self.to_string(),
        }
    }
}

impl From<KeychainError> for Error {
    fn from(error: KeychainError) -> Self {
        match error {
            KeychainError::Absent { why, .. } => Self::Absent(why),
            KeychainError::Locked => Self::Locked,
            KeychainError::Denied => Self::Refused,
            KeychainError::Slow => Self::Slow,
            KeychainError::Failed(why) => Self::Failed(why),
            KeychainError::NotFound => Self::Failed("it has lost the item"),
            KeychainError::Ambiguous => Self::Failed("it has several items of one name"),
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<strongroom_seal::RandomError> for Error {
    fn from(_: strongroom_seal::RandomError) -> Self {
        Self::Random
    }
}
