//! MCP servers at an address: what is sent to one and what comes back, between who speaks the protocol
//! (the gateway) and who makes connections.
//!
//! These are messages: an [`Ask`] goes out, a [`Reply`] comes back, and its [`Body`] comes in pieces. Which
//! address is dialled, what of TLS is acceptable and whether a redirect is followed is decided where
//! [`Far`](crate::ports::Far) is implemented, and nowhere else.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::code::Refusal;
use crate::ports::BoxFuture;
use crate::redact::Redactor;
use crate::secret::Secret;
use crate::service::Service;

/// A server at an address, as one start of it reaches it. Invariant: what is in it goes to
/// [`Service::origin`] and nowhere else.
#[derive(Debug)]
pub struct Site {
    /// Its name, its origin, the exceptions and limits that it has there. With an `auth` its access token
    /// is had by that, from what `login` left; without one (an empty scheme) there is none.
    pub service: Arc<Service>,
    /// The path and the query of its endpoint, as they are sent.
    pub target: String,
    /// Headers of every request, lower case, each once.
    pub headers: Vec<(String, Secret)>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// To whom.
    pub site: Arc<Site>,
    /// What is done.
    pub verb: Verb,
    /// A path and a query at the same origin; `None`: the endpoint's.
    pub target: Option<String>,
    /// Headers beside those of the site, lower case. Those of the site win.
    pub headers: Vec<(String, String)>,
    /// The body; empty where there is none.
    pub body: Bytes,
}

/// The methods of HTTP that MCP uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Opens a stream of events.
    Get,
    /// Brings a message.
    Post,
    /// Ends a session.
    Delete,
}

/// The head of an answer, and its body to be read. Dropped before its end, the connection or the stream
/// that it comes by is closed: that is how a call is taken back.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers of [`Reply::HEADERS`] that it has, in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Box<dyn Body>,
    /// Knows the access token that the request was made with, where there was one.
    pub redactor: Option<Arc<Redactor>>,
}

/// The body of a [`Reply`].
pub trait Body: Send {
    /// The next piece; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `upstream_error`: it broke off.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Refusal>>;
}

/// There is no answer.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Why, in our words.
    pub refusal: Refusal,
    /// Whether the server may have had the request.
    pub sent: bool,
}

impl Reply {
    /// The headers that whoever speaks the protocol needs.
    pub const HEADERS: [&str; 4] =
        ["content-type", "mcp-session-id", "retry-after", "www-authenticate"];

    /// The value of `name`, where it stands once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Its media type, in lower case and without parameters; empty where it has none.
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A header may be a session's, which is as good as a key.
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Verb {
    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Empty;

    impl Body for Empty {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Refusal>> {
            Box::pin(std::future::ready(Ok(None)))
        }
    }

    #[test]
    fn a_header_that_stands_twice_says_nothing_and_a_media_type_has_one_form() {
        let reply = |headers: &[(&str, &str)]| Reply {
            status: 200,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            body: Box::new(Empty),
            redactor: None,
        };
        for (value, kind) in [
            ("Application/JSON; charset=utf-8", "application/json"),
            (" text/event-stream ", "text/event-stream"),
            ("", ""),
        ] {
            assert_eq!(reply(&[("content-type", value)]).media_type(), kind);
        }
        let one = reply(&[("mcp-session-id", "a")]);
        assert_eq!(one.header("mcp-session-id"), Some("a"));
        assert_eq!(format!("{one:?}"), "Reply { status: 200, .. }");
        assert_eq!(reply(&[("content-type", "a"), ("content-type", "b")]).media_type(), "");
    }
}
