//! The request as it leaves: what the agent may say, then what is fixed, then the credential.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    REFERER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{Method, Request};
use strongroom_model::canonical::{self, CanonicalRequest};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Bound;
use strongroom_model::service::Service;

use crate::handles::Swaps;
use crate::inject::{self, Moment, Outgoing};
use crate::payload::Payload;

/// What we can decode, so that redaction sees plaintext.
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");

pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("strongroom/", env!("CARGO_PKG_VERSION")));

/// Hyper's to write, or nobody's.
pub(crate) const FRAMING: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    REFERER,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// What an agent asked for, and what goes out in the place of its handles.
#[derive(Clone, Copy)]
pub(crate) struct Wording<'a> {
    pub(crate) request: &'a CanonicalRequest,
    pub(crate) swaps: &'a Swaps,
}

/// Writes the request with its credential; a body that is `streamed` is not in it yet. Its target goes
/// out byte for byte, but for its handles.
///
/// Later lines win over earlier ones; the credential has the last word (HI-01).
pub(crate) fn message(
    service: &Service,
    wording: Wording<'_>,
    body: Bytes,
    bound: &Bound,
    moment: &Moment<'_>,
    streamed: bool,
) -> Result<Request<Payload>, Refusal> {
    let Wording { request, swaps } = wording;
    let mut headers = HeaderMap::with_capacity(8 + request.headers().len());
    headers.insert(USER_AGENT, AGENT);
    for (at, (name, value)) in request.headers().iter().enumerate() {
        let (name, value) = header(name, value)?;
        let value = swaps.header(at).cloned().unwrap_or(value);
        if name == USER_AGENT {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    for (name, value) in &service.fixed_headers {
        let (name, value) = header(name, value)?;
        headers.insert(name, value);
    }
    for name in FRAMING {
        headers.remove(name);
    }
    let method = method(request.method());
    if body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
        // Hyper leaves it out, and some servers insist on it (RFC 9110 §8.6).
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers.insert(ACCEPT_ENCODING, ENCODINGS);
    let (_, host) = header("host", &bound.origin().authority())?;
    headers.insert(HOST, host);

    let mut outgoing = Outgoing::new(method, swaps.target(request.target()), headers, body);
    if streamed {
        outgoing = outgoing.streamed();
    }
    let scheme = inject::scheme(&service.auth.scheme).ok_or_else(|| {
        Refusal::new(Code::SecretUnavailable, "the auth type of this service does not exist")
    })?;
    scheme.inject(&service.auth, bound, &mut outgoing, moment)?;
    outgoing.into_request()
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Refusal> {
    let name = HeaderName::from_bytes(name.as_bytes());
    let value = HeaderValue::from_bytes(value.as_bytes());
    match (name, value) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(Refusal::new(Code::InvalidRequest, "a header is malformed")),
    }
}

fn method(method: canonical::Method) -> Method {
    match method {
        canonical::Method::Get => Method::GET,
        canonical::Method::Head => Method::HEAD,
        canonical::Method::Post => Method::POST,
        canonical::Method::Put => Method::PUT,
        canonical::Method::Patch => Method::PATCH,
        canonical::Method::Delete => Method::DELETE,
        canonical::Method::Options => Method::OPTIONS,
    }
}
