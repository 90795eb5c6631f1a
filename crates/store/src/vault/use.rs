//! Who may use a stored secret (decision 10).

use std::fmt;
use std::str::FromStr;

use strongroom_model::principal::Name;

/// Who may use a stored secret. It is part of the seal: a row cannot be relabelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretUse {
    /// One HTTP service, through the broker. It is never released to a command.
    Service(Name),
    /// One MCP server, at its launch.
    Launch(Name),
    /// Whoever refers to it.
    Any,
}

/// Not a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a use is `service:NAME`, `launch:NAME` or `any`")]
pub struct UseError;

impl SecretUse {
    /// Whether the broker may use it in calls to `service`.
    pub fn is_for_service(&self, service: &Name) -> bool {
        match self {
            Self::Service(name) => name == service,
            Self::Launch(_) => false,
            Self::Any => true,
        }
    }
}

impl fmt::Display for SecretUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service:{name}"),
            Self::Launch(name) => write!(f, "launch:{name}"),
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
        for text in ["service:github", "launch:files", "any"] {
            assert_eq!(text.parse::<SecretUse>().unwrap().to_string(), text);
        }
        for bad in ["", "all", "service", "service:", "service:A", "any:x", "server:x"] {
            assert_eq!(bad.parse::<SecretUse>(), Err(UseError), "{bad}");
        }
    }

    #[test]
    fn a_service_may_use_its_own_and_what_is_for_any() {
        let github: Name = "github".parse().unwrap();
        let may = |text: &str| text.parse::<SecretUse>().unwrap().is_for_service(&github);
        assert!(may("service:github") && may("any"));
        assert!(!may("service:stripe") && !may("launch:github"));
    }
}
