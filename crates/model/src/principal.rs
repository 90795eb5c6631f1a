//! Who is calling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::approval::Channel;

/// A name in the set `[a-z0-9-]{1,64}` that neither starts nor ends with `-`.
///
/// Principals, services and servers have such names: they stand in file names, rules, logs and
/// tables, and none of those needs to quote them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Box<str>);

/// A name that is not one. The text is not repeated: it may be a pasted secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 64 of the characters a-z, 0-9 and `-`, and starts and ends with a letter or digit"
)]
pub struct NameError;

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if inner && edges && (1..=64).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(NameError)
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How the principal was established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `--as NAME` of a stdio session: it selects, it does not authenticate (decision 29).
    Stdio,
    /// A bearer token over HTTP.
    Token,
}

/// Who is calling: taken only from the authenticated transport, never from arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name, as `strongroom principal list` shows it.
    pub name: Name,
    /// How we know.
    pub source: Source,
}

/// A principal, and what its client calls itself.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who is calling.
    pub principal: Principal,
    /// The connection it came over.
    pub channel: Channel,
    /// `clientInfo.name` of the MCP client: unverified, a label in the audit and nothing else.
    pub claimed_client: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_in_a_path_a_rule_and_a_log() {
        for good in ["a", "github", "github-2", "0", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a b", "../x", "x; id", "a\0", "é", "a/b", &"x".repeat(65)]
        {
            assert_eq!(bad.parse::<Name>(), Err(NameError), "{bad:?}");
        }
    }
}
