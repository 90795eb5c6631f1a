//! From what an agent sent to the one form that is judged and sent.
//!
//! [`RawRequest`] goes in, [`CanonicalRequest`] or a refusal comes out. Nothing after this module
//! parses a path: the policy matches the bytes that stand here and the executor writes the same
//! bytes to the wire. What is ambiguous is refused, never repaired. Canonicalising a canonical
//! target gives the same target.

mod headers;
pub(crate) mod path;
mod query;
mod redirect;

use crate::code::{Code, Refusal};
use crate::service::Service;

pub use headers::may_be_allowed;

/// How the paths of a service are read, where it needs something other than the strict default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct Grammar {
    /// `encoded_slash = "segment"`: `%2F` is part of its segment and separates nothing.
    pub encoded_slash: bool,
    /// `path_params = "allow"`: `;` may stand in a segment.
    pub path_params: bool,
    /// `case_insensitive = true`: rules match without regard to ASCII case.
    pub case_insensitive: bool,
    /// `method_override = true`: the API honours `_method`, so it is refused in query and form.
    pub method_override: bool,
    /// `range = true`: the agent may send `Range` (range reads can get around redaction: RR-09).
    pub range: bool,
}

/// The closed set of methods (RFC 9110 §9, RFC 5789). Exact case; TRACE and CONNECT never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
}

/// What the agent asked for, unchecked.
#[derive(Clone, Debug, Default)]
pub struct RawRequest {
    /// Any bytes.
    pub method: String,
    /// Relative to the service's base path; may carry a query.
    pub path: String,
    /// Further query parameters, added behind those of `path`; a name in both is refused.
    pub query: Vec<(String, String)>,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// The body, as it will be sent.
    pub body: Vec<u8>,
    /// Bytes of a body that is too large to be looked at, in the place of `body`.
    pub unseen: Option<u64>,
}

/// A request in its one form.
///
/// Invariant: only [`canonicalize`] makes one, and every field is private to this module and its
/// children: what was judged is byte for byte what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalRequest {
    method: Method,
    /// Behind the base path: starts with `/`.
    path: String,
    /// Base path, path and query, as it goes into the request line, without the credential.
    target: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    /// What the body will be sent as: the service's word, where it has one, else the agent's.
    content_type: Option<String>,
    body: Vec<u8>,
    unseen: Option<u64>,
    dropped_headers: Vec<String>,
}

/// Bytes of `path` with its query, before anything looks at it (RX-07).
const LONGEST_PATH: usize = 8 << 10;
/// Bytes of a whole target, the `query` argument included.
const LONGEST_TARGET: usize = 16 << 10;

/// Reads `raw` as a request to `service`.
///
/// # Errors
///
/// `invalid_request`, with a message that says what is wrong and never quotes it.
pub fn canonicalize(service: &Service, raw: RawRequest) -> Result<CanonicalRequest, Refusal> {
    read(service, raw).map_err(|problem| Refusal::new(Code::InvalidRequest, problem))
}

/// What is wrong with a request, in our words.
type Problem = &'static str;

fn read(service: &Service, raw: RawRequest) -> Result<CanonicalRequest, Problem> {
    if raw.path.len() > LONGEST_PATH {
        return Err("the path is longer than 8 KiB");
    }
    let method = Method::from_token(&raw.method).ok_or(
        "the method is not one of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in upper case",
    )?;
    let target = read_target(service, &raw.path, &raw.query)?;
    let (headers, dropped_headers) = headers::read(service, raw.headers)?;
    if raw.body.len() > service.limits.request_bytes {
        return Err("the body is larger than this service allows");
    }
    let has_body = !raw.body.is_empty() || raw.unseen.is_some();
    if matches!(method, Method::Get | Method::Head) && has_body {
        return Err("a GET or HEAD request has no body");
    }
    if service.grammar.method_override {
        if raw.unseen.is_some() {
            return Err("the body is too large to be looked at, which this service needs");
        }
        query::refuse_override_in_form(&headers, &raw.body)?;
    }
    Ok(CanonicalRequest {
        method,
        path: target.path,
        target: target.whole,
        query: target.query,
        content_type: content_type(service, &headers),
        headers,
        body: raw.body,
        unseen: raw.unseen,
        dropped_headers,
    })
}

/// The type that goes out with the body. A service that says how bodies are encoded leaves nobody to
/// know what they are.
fn content_type(service: &Service, headers: &[(String, String)]) -> Option<String> {
    let fixed = |name: &str| service.fixed_headers.iter().find(|(there, _)| there == name);
    if fixed("content-encoding").is_some() {
        return None;
    }
    let agents = || headers.iter().find(|(name, _)| name == "content-type");
    fixed("content-type").or_else(agents).map(|(_, value)| value.clone())
}

/// A target in its parts and as a whole.
struct Target {
    path: String,
    query: Vec<(String, String)>,
    whole: String,
}

fn read_target(
    service: &Service,
    text: &str,
    added: &[(String, String)],
) -> Result<Target, Problem> {
    let (path, given) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let path = path::read(path, service.grammar)?;
    let query = query::read(service, given, added)?;
    let mut whole = format!("{}{path}", service.base_path);
    if let Some(text) = &query.text {
        whole.push('?');
        whole.push_str(text);
    }
    if whole.len() > LONGEST_TARGET {
        return Err("path and query together are longer than 16 KiB");
    }
    Ok(Target { path, query: query.pairs, whole })
}

impl CanonicalRequest {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path behind the base path, as it is matched: starts with `/`, has no query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Origin-form target (RFC 9112 §3.2.1): base path, path, `?` and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The decoded query pairs, in order.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The headers of the agent's that may be sent: lower-case names, in order.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The `content-type` that the body is sent with.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The body; nothing of it where it is [`unseen`](Self::unseen).
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of a body that is sent without being looked at. What depends on a body cannot be
    /// decided then, and is refused.
    pub fn unseen(&self) -> Option<u64> {
        self.unseen
    }

    /// Bytes of the body, looked at or not.
    pub fn body_bytes(&self) -> u64 {
        self.unseen.unwrap_or(self.body.len() as u64)
    }

    /// Takes the body out, to be sent without a copy. What is left is what a redirect needs.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Names of the headers that were left out because no list allows them, lower case.
    pub fn dropped_headers(&self) -> &[String] {
        &self.dropped_headers
    }

    /// The request that follows a redirect: `method` (GET or HEAD), no body, no headers but
    /// `accept*`, and `location` read as a target of the same `service`.
    ///
    /// # Errors
    ///
    /// `redirect_denied` where `location` is another origin, another spelling of this one, a
    /// relative reference without a leading `/`, outside the base path, or would be refused as a
    /// request (RD-02, RD-03).
    pub fn redirected(
        &self,
        service: &Service,
        method: Method,
        location: &[u8],
    ) -> Result<Self, Refusal> {
        redirect::follow(self, service, method, location)
            .map_err(|problem| Refusal::new(Code::RedirectDenied, problem))
    }
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// The method of exactly this token.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == token)
    }
}

#[cfg(test)]
mod tests;
