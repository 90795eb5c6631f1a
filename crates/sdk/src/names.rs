//! Names of servers and of secrets: what is refused, because somebody else means something by it.

use std::fmt;

use strongroom_model::display::escape_line;

use crate::error::Error;

/// The name of a server: of which its namespace in the keychain is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(String);

/// The name of a secret: the account of its item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

/// The most bytes of a server's name.
const LONGEST_SERVER: usize = 128;
/// The most bytes of a secret's name.
const LONGEST_SECRET: usize = 255;
/// Between a server's name and the mark of a second one of that name.
pub(crate) const APART: char = '#';

const EMPTY: &str = "it is empty";
const SPACED: &str = "it begins or ends with a space";
const HIDDEN: &str = "it has a character that cannot be seen";
const LONG_SERVER: &str = "it has more than 128 bytes";
const LONG_SECRET: &str = "it has more than 255 bytes";
const MARKED: &str = "it ends as the mark of a second server of one name does";

impl ServerName {
    /// The name of this text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::ServerName(EMPTY));
        }
        if text.len() > LONGEST_SERVER {
            return Err(Error::ServerName(LONG_SERVER));
        }
        if hides(text) {
            return Err(Error::ServerName(HIDDEN));
        }
        if text.trim() != text {
            return Err(Error::ServerName(SPACED));
        }
        let is_mark = |mark: &str| mark.len() == 16 && mark.bytes().all(|b| b.is_ascii_hexdigit());
        if text.rsplit_once(APART).is_some_and(|(_, mark)| is_mark(mark)) {
            return Err(Error::ServerName(MARKED));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace of its secrets: the service of their items.
    pub fn service(&self) -> String {
        format!("com.mcp.{}", self.0)
    }
}

impl SecretName {
    /// The name of this text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::Name(EMPTY));
        }
        if text.len() > LONGEST_SECRET {
            return Err(Error::Name(LONG_SECRET));
        }
        if hides(text) {
            return Err(Error::Name(HIDDEN));
        }
        if text.trim() != text {
            return Err(Error::Name(SPACED));
        }
        // Items of ours, and what a JavaScript object has without being given it.
        let small = text.to_lowercase();
        if small.starts_with("__") || matches!(small.as_str(), "constructor" | "prototype") {
            return Err(Error::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether something in it is not seen, or changes how the rest is.
fn hides(text: &str) -> bool {
    // Selectors and the empty Braille cell may stand in a text; a name has no use for them.
    let unseen = |c: char| matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{2800}');
    escape_line(text, usize::MAX).0 != text || text.contains(unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_person_can_read_and_nobody_else_means_something_by() {
        for name in ["api_key", "API Key", "token-2", "ключ", "a", "_private", "key__x"] {
            assert_eq!(SecretName::parse(name).unwrap().as_str(), name);
        }
        let long = "x".repeat(256);
        for (name, code) in [
            ("", "invalid_name"),
            ("  ", "invalid_name"),
            ("a\nb", "invalid_name"),
            ("a\0b", "invalid_name"),
            ("a\u{202e}b", "invalid_name"),
            ("a\u{200b}b", "invalid_name"),
            (&long, "invalid_name"),
            ("__secret_index__", "reserved_name"),
            ("__server_identity__", "reserved_name"),
            ("__proto__", "reserved_name"),
            ("__part__1", "reserved_name"),
            (" a", "invalid_name"),
            ("__PROTO__", "reserved_name"),
            ("Constructor", "reserved_name"),
            ("prototype", "reserved_name"),
        ] {
            assert_eq!(SecretName::parse(name).unwrap_err().code(), code, "{name:?}");
        }
        assert!(SecretName::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn a_server_has_a_namespace_of_its_own() {
        let service = |name: &str| ServerName::parse(name).map(|name| name.service());
        assert_eq!(service("My Server").unwrap(), "com.mcp.My Server");
        assert_eq!(service("C#").unwrap(), "com.mcp.C#");
        let long = "x".repeat(129);
        for name in ["", " ", "a\tb", "a\u{2066}", &long, "a#0123456789abcdef"] {
            assert_eq!(service(name).unwrap_err().code(), "invalid_server_name", "{name:?}");
        }
    }

    #[test]
    fn a_refusal_never_repeats_the_name() {
        for error in [
            SecretName::parse("canary\n").unwrap_err(),
            SecretName::parse("__canary").unwrap_err(),
            ServerName::parse("canary\n").unwrap_err(),
        ] {
            assert!(!format!("{error} {error:?} {}", error.text()).contains("canary"));
        }
    }
}
