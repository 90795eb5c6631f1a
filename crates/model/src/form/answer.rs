//! What a person may answer.

use super::{ANSWER, Field, FieldType};
use crate::json::{self, Members};

/// Why an answer is not taken yet. The texts are shown to the person; none repeats the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A required field is empty.
    #[error("This is required.")]
    Missing,
    /// It has no scheme or no host, or something stands in it that no address has.
    #[error("This is not a complete address, such as https://api.example.com")]
    Url,
    /// It is not `name@host`.
    #[error("This is not an email address, such as name@example.com")]
    Email,
    /// More than [`ANSWER`] bytes.
    #[error("This is too long: at most 64 KiB can be given.")]
    TooLong,
}

impl Field {
    /// Whether `answer` can be taken for this field. It is never changed: what is refused is typed anew.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, answer: &str) -> Result<(), Wrong> {
        if answer.len() > ANSWER {
            return Err(Wrong::TooLong);
        }
        if answer.trim().is_empty() && self.required {
            return Err(Wrong::Missing);
        }
        if answer.is_empty() {
            return Ok(());
        }
        match self.field_type {
            FieldType::Text | FieldType::Password => Ok(()),
            FieldType::Url if is_url(answer) => Ok(()),
            FieldType::Url => Err(Wrong::Url),
            FieldType::Email if is_email(answer) => Ok(()),
            FieldType::Email => Err(Wrong::Email),
        }
    }
}

/// What a person answers to a question of consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Exactly this, once.
    Allow,
    /// The same for as long as the session lasts.
    AllowSession,
    /// No.
    Deny,
}

impl Choice {
    /// The one word that means it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::AllowSession => "allow_session",
            Self::Deny => "deny",
        }
    }

    /// What `word` means; every other word is a no.
    pub fn of(word: &str) -> Self {
        match word {
            "allow" => Self::Allow,
            "allow_session" => Self::AllowSession,
            _ => Self::Deny,
        }
    }

    /// What the window program wrote: `{"answer":"allow"}`. Everything else is a no.
    pub fn read(bytes: &[u8]) -> Self {
        let Ok(text) = json::check(bytes, 1) else { return Self::Deny };
        let Some(members) = Members::read(text) else { return Self::Deny };
        let mut all = members.iter();
        match (all.next(), all.next()) {
            (Some(("answer", raw)), None) => {
                json::string(raw).map_or(Self::Deny, |word| Self::of(&word))
            }
            _ => Self::Deny,
        }
    }

    /// What the window program writes.
    pub fn to_json(self) -> String {
        format!("{{\"answer\":\"{}\"}}", self.as_str())
    }
}

/// `scheme://host...`, in which nothing stands that no address has (RFC 3986 §3; letters beyond ASCII are
/// let through, spaces and what hides are not).
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let mut letters = scheme.bytes();
    if !letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        || !letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    is_place(place) && !has_gaps(text)
}

/// A host and, behind a colon, a port.
fn is_place(place: &str) -> bool {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    is_host(host) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_host(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// `name@host` (RFC 5321 §4.5.3.1 for the lengths), without quoted names and comments.
fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let fits = (1..=64).contains(&name.len()) && text.len() <= 254;
    let plain = !name.contains(['@', '"', '(', ')', '<', '>', ',', ';', ':', '\\', '[', ']']);
    let dots = name.split('.').all(|part| !part.is_empty());
    fits && plain && dots && is_host(host) && !has_gaps(text)
}

/// Whether spaces or characters that are not seen stand in it.
fn has_gaps(text: &str) -> bool {
    text.contains(char::is_whitespace) || super::visible_line(text) != text
}
