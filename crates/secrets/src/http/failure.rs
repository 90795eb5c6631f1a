//! Why a question brought nothing.

use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;

/// Why a question brought nothing: said of the question, which may concern several references.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// There is no such thing.
    NotFound,
    /// We may not have it.
    Denied(&'static str),
    /// It is there, and no secret can be made of it.
    Unusable(&'static str),
    /// A person has to unlock the other side.
    Locked,
    /// We ask too often.
    Limited,
    /// The other side does not know our token.
    TokenRejected,
    /// There is no answer, or none that we know.
    Unreachable(String),
    /// The provider is not set up.
    Absent {
        /// What is missing.
        why: String,
        /// What to do about it.
        fix: String,
    },
}

impl Failure {
    /// There is no answer, or none that we know.
    pub(crate) fn unreachable(why: &str) -> Self {
        Self::Unreachable(why.to_owned())
    }

    /// Something has to be written into the provider's settings first.
    pub(crate) fn unset(scheme: &str, what: &str, key: &str) -> Self {
        Self::Absent {
            why: format!("{what} is not set"),
            fix: format!("set `{key}` in `[providers.{scheme}]` of strongroom.toml"),
        }
    }

    /// The token of this provider could not be had from the provider that keeps it.
    pub(crate) fn of_token(error: ResolveError) -> Self {
        match error {
            ResolveError::Absent { why, fix, .. } => Self::Absent { why, fix },
            error => Self::Unreachable(error.to_string()),
        }
    }

    /// What it means for `reference`.
    pub(crate) fn of(&self, reference: &SecretRef) -> ResolveError {
        let scheme = reference.scheme().to_owned();
        let reference = reference.clone();
        match self.clone() {
            Self::NotFound => ResolveError::NotFound { reference },
            Self::Denied(why) => ResolveError::Denied { reference, why: why.to_owned() },
            Self::Unusable(why) => ResolveError::Unusable { reference, why },
            Self::Locked => ResolveError::Locked { scheme },
            Self::Limited => ResolveError::Limited { scheme },
            Self::TokenRejected => ResolveError::TokenRejected { scheme },
            Self::Unreachable(why) => ResolveError::Unreachable { scheme, why },
            Self::Absent { why, fix } => ResolveError::Absent { scheme, why, fix },
        }
    }
}
