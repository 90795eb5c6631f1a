//! References: URIs that say where a secret lives.
//!
//! `scheme://path[#fragment]`. The grammar is strict and the same for every scheme: a reference that
//! parses prints back as the same text, has no empty and no dot segments, no control, bidirectional
//! or wildcard characters, and nothing in it is ever expanded (SC-05).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Where a secret lives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    text: Box<str>,
    /// Length of the scheme.
    scheme: usize,
    /// Start of the fragment behind `#`, or the text's length.
    fragment: usize,
}

/// Not a reference. The input is never repeated: it may be a pasted secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// There is no `://`.
    #[error("a reference has the form `scheme://path`")]
    Form,
    /// The scheme is not one that Strongroom knows.
    #[error("the reference has an unknown scheme")]
    Scheme,
    /// There is nothing behind `://`, or an empty segment.
    #[error("the reference has an empty part")]
    Empty,
    /// `.` or `..` as a segment.
    #[error("the reference has a dot segment")]
    Dots,
    /// A control, bidirectional, wildcard or template character, or white space at an end.
    #[error("the reference has a character that may not stand in one")]
    Character,
    /// Longer than 1,024 bytes.
    #[error("the reference is too long")]
    Long,
    /// The parts do not fit the scheme.
    #[error("{0}")]
    Shape(&'static str),
}

/// The schemes that exist, with the shape that a message shows.
pub const SCHEMES: [(&str, &str); 3] =
    [("local", "local://NAME"), ("env", "env://NAME"), ("file", "file:///PATH")];

const LONGEST: usize = 1024;

impl SecretRef {
    /// The scheme, without `://`.
    pub fn scheme(&self) -> &str {
        &self.text[..self.scheme]
    }

    /// What stands between `://` and the fragment.
    pub fn path(&self) -> &str {
        let end = if self.fragment == self.text.len() { self.fragment } else { self.fragment - 1 };
        &self.text[self.scheme + 3..end]
    }

    /// What stands behind `#`.
    pub fn fragment(&self) -> Option<&str> {
        (self.fragment < self.text.len()).then(|| &self.text[self.fragment..])
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for SecretRef {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        if text.len() > LONGEST {
            return Err(RefError::Long);
        }
        let (scheme, rest) = text.split_once("://").ok_or(RefError::Form)?;
        if !SCHEMES.iter().any(|(known, _)| *known == scheme) {
            return Err(RefError::Scheme);
        }
        if rest.chars().any(is_refused) || rest.trim() != rest {
            return Err(RefError::Character);
        }
        let (path, fragment) = match rest.split_once('#') {
            Some((_, "")) => return Err(RefError::Empty),
            Some((_, fragment)) if fragment.contains('#') => return Err(RefError::Character),
            Some((path, fragment)) => (path, Some(fragment)),
            None => (rest, None),
        };
        check_segments(scheme, path)?;
        check_shape(scheme, path, fragment)?;
        let fragment = fragment.map_or(text.len(), |fragment| text.len() - fragment.len());
        Ok(Self { text: text.into(), scheme: scheme.len(), fragment })
    }
}

fn check_segments(scheme: &str, path: &str) -> Result<(), RefError> {
    let path = if scheme == "file" {
        path.strip_prefix('/')
            .ok_or(RefError::Shape("a file is named by its absolute path: `file:///PATH`"))?
    } else {
        path
    };
    for segment in path.split('/') {
        match segment {
            "" => return Err(RefError::Empty),
            "." | ".." => return Err(RefError::Dots),
            _ => {}
        }
    }
    Ok(())
}

fn check_shape(scheme: &str, path: &str, fragment: Option<&str>) -> Result<(), RefError> {
    let shape = |fits: bool, text| if fits { Ok(()) } else { Err(RefError::Shape(text)) };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match scheme {
        "env" => shape(
            fragment.is_none()
                && path.chars().all(word)
                && !path.starts_with(|c: char| c.is_ascii_digit()),
            "an environment variable is named `env://NAME`, with letters, digits and `_`",
        ),
        "local" => shape(
            fragment.is_none() && path.chars().all(|c| word(c) || matches!(c, '-' | '.' | '/')),
            "a stored secret is named `local://NAME`, with letters, digits, `-`, `_`, `.` and `/`",
        ),
        _ => shape(fragment.is_none(), "a file has no fragment"),
    }
}

/// Control characters, what reorders or hides text, and what other tools expand.
fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(c, '*' | '?' | '\\' | '`' | '$' | '{' | '}' | '<' | '>' | '|' | '"')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
