//! What the holder of an API key may do.

use std::fmt;
use std::str::FromStr;

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `use`: list servers, ask for a decision, call tools.
    Use,
    /// `register`: register, change and delete servers.
    Register,
    /// `credentials:write`: store, list and delete credentials; never read one.
    CredentialsWrite,
    /// `executor`: be given credentials in plaintext. Not for an agent.
    Executor,
    /// `approve`: answer the tenant's questions.
    Approve,
    /// `admin`: everything else.
    Admin,
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

/// A text that is no set of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "scopes are some of `use`, `register`, `credentials:write`, `executor`, `approve` and `admin`, \
     separated by commas"
)]
pub struct ScopeError;

impl Scope {
    /// Every right, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Use,
        Self::Register,
        Self::CredentialsWrite,
        Self::Executor,
        Self::Approve,
        Self::Admin,
    ];

    /// Its one spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Register => "register",
            Self::CredentialsWrite => "credentials:write",
            Self::Executor => "executor",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl Scopes {
    /// No right at all.
    pub const NONE: Self = Self(0);

    /// Whether `scope` is one of them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// These, and `scope`.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order in which they are shown.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(ScopeError)
    }
}

/// Scopes separated by commas, at least one.
impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.split(',').map(|part| part.trim().parse::<Scope>()).collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        let all: Scopes = Scope::ALL.into_iter().collect();
        assert_eq!(all.to_string(), "use,register,credentials:write,executor,approve,admin");
        assert_eq!(all.to_string().parse::<Scopes>().unwrap(), all);
        assert_eq!("admin, use,use".parse::<Scopes>().unwrap().to_string(), "use,admin");
        for bad in ["", ",", "use,", "USE", "use register", "write", "use,root"] {
            assert_eq!(bad.parse::<Scopes>(), Err(ScopeError), "{bad:?}");
        }
    }

    #[test]
    fn a_scope_is_had_only_where_it_was_given() {
        for scope in Scope::ALL {
            let only = Scopes::NONE.with(scope);
            for other in Scope::ALL {
                assert_eq!(only.contains(other), scope == other);
            }
        }
    }
}
