//! Who may use a stored secret (decision 10).

use std::fmt;
use std::str::FromStr;

use strongroom_model::ports::Purpose;
use strongroom_model::principal::Name;

/// Who may use a stored secret. It is part of the seal: a row cannot be relabelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretUse {
    /// One HTTP service, through the broker. It is never released to a command.
    Service(Name),
    /// One MCP server, at its launch.
    Launch(Name),
    /// The token that a provider is asked with, by the provider's scheme.
    Provider(Name),
    /// The key that a team server is asked with, by the name that the server has here. It is released
    /// for no purpose: only who asks that server reads it.
    Remote(Name),
    /// Whoever refers to it.
    Any,
}

/// Not a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a use is `service:NAME`, `launch:NAME`, `provider:NAME`, `remote:NAME` or `any`")]
pub struct UseError;

impl SecretUse {
    /// Whether it may be used for `purpose`.
    pub fn permits(&self, purpose: Purpose<'_>) -> bool {
        match (self, purpose) {
            (Self::Any, _) => true,
            (Self::Service(own), Purpose::Service(asking))
            | (Self::Launch(own), Purpose::Launch(asking)) => own == asking,
            (Self::Provider(own), Purpose::Provider(asking)) => own.as_str() == asking,
            _ => false,
        }
    }
}

impl fmt::Display for SecretUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service:{name}"),
            Self::Launch(name) => write!(f, "launch:{name}"),
            Self::Provider(name) => write!(f, "provider:{name}"),
            Self::Remote(name) => write!(f, "remote:{name}"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl FromStr for SecretUse {
    type Err = UseError;

    fn from_str(text: &str) -> Result<Self, UseError> {
        match text.split_once(':') {
            Some(("service", name)) => Ok(Self::Service(name.parse().map_err(|_| UseError)?)),
            Some(("launch", name)) => Ok(Self::Launch(name.parse().map_err(|_| UseError)?)),
            Some(("provider", name)) => Ok(Self::Provider(name.parse().map_err(|_| UseError)?)),
            Some(("remote", name)) => Ok(Self::Remote(name.parse().map_err(|_| UseError)?)),
            None if text == "any" => Ok(Self::Any),
            _ => Err(UseError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_prints_as_it_is_written() {
        for text in ["service:github", "launch:files", "provider:op", "remote:work", "any"] {
            assert_eq!(text.parse::<SecretUse>().unwrap().to_string(), text);
        }
        for bad in ["", "all", "service", "service:", "service:A", "any:x", "server:x"] {
            assert_eq!(bad.parse::<SecretUse>(), Err(UseError), "{bad}");
        }
    }

    #[test]
    fn each_purpose_has_its_own_secrets_and_what_is_for_any() {
        let github: Name = "github".parse().unwrap();
        let may = |text: &str, purpose| text.parse::<SecretUse>().unwrap().permits(purpose);
        for (kind, purpose) in [
            ("service", Purpose::Service(&github)),
            ("launch", Purpose::Launch(&github)),
            ("provider", Purpose::Provider("github")),
        ] {
            assert!(may("any", purpose));
            for other in ["service", "launch", "provider", "remote"] {
                assert_eq!(may(&format!("{other}:github"), purpose), other == kind);
                assert!(!may(&format!("{other}:stripe"), purpose));
            }
        }
    }
}
