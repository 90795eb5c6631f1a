//! How credentials are written into requests: one scheme, one file, one line in [`SCHEMES`].
//!
//! A scheme says which slots it fills ([`Scheme::slots`], asked when the configuration is loaded)
//! and fills them ([`Scheme::inject`], the last thing that happens to a request). Each slot has
//! exactly one value afterwards, ours.
//!
//! Secrets are copied into buffers that are wiped when the last holder lets go of them. What the
//! HTTP library and TLS copy from there into their own buffers is theirs and is not wiped.

mod basic;
mod bearer;
mod cookie;
mod exchange;
mod github;
mod google;
mod headers;
mod hmac;
mod mtls;
mod oauth1a;
pub(crate) mod oauth2;
mod query;
mod sigv4;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Bound;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Auth, Slots};
use strongroom_seal::sign::escape::encode_into;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::payload::Payload;

pub use mtls::Identity;
pub(crate) use mtls::unusable;

/// Which [`Identity`] a connection was made with, if any.
pub(crate) type Mark = Option<[u8; 32]>;
pub use exchange::{Endpoint, Exchange, Minted};
pub(crate) use headers::slot as header_slot;
pub use hmac::SETTINGS as HMAC_SETTINGS;
pub use oauth2::{Code as AuthorizationCode, issuer_of};
pub(crate) use oauth2::{REFRESH_TOKEN, code_request, read as read_tokens};

/// Every scheme that exists.
pub static SCHEMES: &[&dyn Scheme] = &[
    &bearer::Bearer,
    &basic::Basic,
    &headers::Headers,
    &query::Query,
    &cookie::Cookie,
    &hmac::Hmac,
    &oauth1a::OAuth1a,
    &sigv4::SigV4,
    &mtls::Mtls,
    &exchange::Token(&oauth2::OAuth2),
    &exchange::Token(&google::Google),
    &exchange::Token(&github::GithubApp),
];

/// One way to authenticate.
pub trait Scheme: Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &'static str;

    /// The slots that `auth` fills. This is where `auth` is checked.
    ///
    /// # Errors
    ///
    /// A field that is missing, unknown or unfit. The error names the field and never a value.
    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError>;

    /// Whether [`inject`](Self::inject) looks at the body of a request, which must be in memory then.
    fn reads_body(&self, _auth: &Auth) -> bool {
        true
    }

    /// What is shown in the TLS handshake, where the scheme has something to show.
    ///
    /// # Errors
    ///
    /// `secret_unavailable` where a value is missing.
    fn identity(&self, _bound: &Bound) -> Result<Option<Identity>, Refusal> {
        Ok(None)
    }

    /// Writes the credential into `outgoing`.
    ///
    /// # Errors
    ///
    /// `secret_unavailable` where a value cannot stand in its slot. Nothing is sent then.
    fn inject(
        &self,
        auth: &Auth,
        bound: &Bound,
        outgoing: &mut Outgoing,
        moment: &Moment<'_>,
    ) -> Result<(), Refusal>;

    /// Where the token comes from that a request needs, for schemes that need one.
    fn exchange(&self) -> Option<&dyn Exchange> {
        None
    }
}

/// The scheme of this name.
pub fn scheme(name: &str) -> Option<&'static dyn Scheme> {
    SCHEMES.iter().copied().find(|scheme| scheme.name() == name)
}

/// What is shown in the TLS handshake with `auth`.
pub(crate) fn identity(auth: &Auth, bound: &Bound) -> Result<Option<Identity>, Refusal> {
    scheme(&auth.scheme).map_or(Ok(None), |scheme| scheme.identity(bound))
}

fn names() -> String {
    SCHEMES.iter().map(|scheme| scheme.name()).collect::<Vec<_>>().join(", ")
}

/// The slots of `auth`, by the scheme that it names.
///
/// # Errors
///
/// As [`Scheme::slots`], or that there is no such scheme.
pub fn slots(auth: &Auth) -> Result<Slots, AuthError> {
    scheme(&auth.scheme).ok_or(AuthError::Scheme)?.slots(auth)
}

/// What is wrong with the `auth` of a service. Fields are named, values never.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no such scheme.
    #[error("the auth type is not one of {}", names())]
    Scheme,
    /// A field is missing.
    #[error("auth type `{scheme}` needs {field}")]
    Missing {
        /// The scheme.
        scheme: &'static str,
        /// The field or fields, quoted.
        field: &'static str,
    },
    /// The scheme has no such field, or takes it as the other kind (secret or plain).
    #[error("auth type `{scheme}` has no field `{field}`")]
    Unknown {
        /// The scheme.
        scheme: &'static str,
        /// The field.
        field: String,
    },
    /// The field cannot be used so.
    #[error("`{field}` of auth type `{scheme}` {problem}")]
    Unfit {
        /// The scheme.
        scheme: &'static str,
        /// The field.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What is different for each request that is signed.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: SystemTime,
    /// Random bits that are used once.
    pub nonce: [u8; 16],
    /// The token that was had for this request, where the scheme needs one.
    pub token: Option<&'a Secret>,
}

impl Moment<'_> {
    /// The time since 1970-01-01T00:00:00Z.
    fn unix(&self) -> Duration {
        self.now.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The time as date and time of day.
    fn utc(&self) -> OffsetDateTime {
        OffsetDateTime::from(self.now)
    }
}

/// A request on its way out, before it is handed to the HTTP library: what is signed is what is sent.
#[derive(Debug)]
pub struct Outgoing {
    method: Method,
    target: Zeroizing<Vec<u8>>,
    headers: HeaderMap,
    body: Bytes,
    streamed: bool,
}

impl Outgoing {
    /// The request `method target` (origin form) with `headers`, `host` among them, and `body`.
    pub fn new(method: Method, target: impl AsRef<[u8]>, headers: HeaderMap, body: Bytes) -> Self {
        let target = Zeroizing::new(target.as_ref().to_vec());
        Self { method, target, headers, body, streamed: false }
    }

    /// The same with a body that is not in memory, and comes later.
    #[must_use]
    pub fn streamed(self) -> Self {
        Self { streamed: true, ..self }
    }

    /// Makes `slot` the only value of the header `name`.
    fn set_header(&mut self, name: HeaderName, slot: Slot) -> Result<(), Refusal> {
        // A header with CR, LF or another control character would be more than one header.
        let is_control = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
        if slot.0.iter().any(is_control) {
            return Err(unfit("a header"));
        }
        let mut value =
            HeaderValue::from_maybe_shared(slot.into_bytes()).map_err(|_| unfit("a header"))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Makes `value` the only value of the header `name`.
    pub(crate) fn header(&mut self, name: HeaderName, value: &Secret) -> Result<(), Refusal> {
        self.set_header(name, Slot::with_room(value.len()).secret(value))
    }

    /// Makes `token` what the request is authenticated with (RFC 6750 §2.1).
    pub(crate) fn bearer(&mut self, token: &Secret) -> Result<(), Refusal> {
        self.set_header(AUTHORIZATION, Slot::bearer(token))
    }

    /// Appends `name` and `slot`, percent-encoded, to the query.
    fn add_query(&mut self, name: &str, slot: &Slot) {
        let separator = if self.target.contains(&b'?') { b'&' } else { b'?' };
        // Room for the worst case, so that no copy is left behind by a growing buffer.
        let room = self.target.len() + 2 + 3 * (name.len() + slot.0.len());
        let mut target = Zeroizing::new(Vec::with_capacity(room));
        target.extend_from_slice(&self.target);
        target.push(separator);
        encode_into(name.as_bytes(), &mut target);
        target.push(b'=');
        encode_into(&slot.0, &mut target);
        self.target = target;
    }

    /// The path and the query of the target, byte for byte.
    fn path_and_query(&self) -> (&[u8], &[u8]) {
        match self.target.iter().position(|&byte| byte == b'?') {
            Some(at) => (&self.target[..at], &self.target[at + 1..]),
            None => (&self.target, &[]),
        }
    }

    /// The body, where it is a form (`application/x-www-form-urlencoded`).
    fn form(&self) -> Option<&[u8]> {
        let kind = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded").then_some(&*self.body)
    }

    /// The whole request.
    pub(crate) fn into_request(self) -> Result<Request<Payload>, Refusal> {
        let target =
            PathAndQuery::from_maybe_shared(Bytes::from_owner(self.target)).map_err(|_| {
                Refusal::new(Code::InvalidRequest, "the path cannot stand in a request line")
            })?;
        let mut request = Request::new(Payload::Whole(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// What goes into one slot: plain text and secrets, wiped on drop.
///
/// Invariant: this is the one place of the crate that sees plaintext.
struct Slot(Zeroizing<Vec<u8>>);

impl Slot {
    /// An empty slot with room for `room` bytes, so that it does not grow and leave copies behind.
    fn with_room(room: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(room)))
    }

    /// `Bearer TOKEN`.
    fn bearer(token: &Secret) -> Self {
        Self::with_room("Bearer ".len() + token.len()).text("Bearer ").secret(token)
    }

    /// Appends plain text.
    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a secret.
    fn secret(mut self, secret: &Secret) -> Self {
        self.0.extend_from_slice(secret.expose());
        self
    }

    /// Appends `name=value` to a form.
    fn pair(self, name: &str, value: &str) -> Self {
        self.form(name, value.as_bytes())
    }

    /// Appends `name=SECRET` to a form.
    fn secret_pair(self, name: &str, secret: &Secret) -> Self {
        self.form(name, secret.expose())
    }

    fn form(self, name: &str, value: &[u8]) -> Self {
        let slot = if self.0.is_empty() { self } else { self.grown(1).text("&") };
        slot.grown(name.len() + 1).text(name).text("=").encoded(value)
    }

    /// Appends a secret, percent-encoded.
    fn encoded_secret(self, secret: &Secret) -> Self {
        self.encoded(secret.expose())
    }

    fn encoded(self, bytes: &[u8]) -> Self {
        let mut slot = self.grown(3 * bytes.len());
        encode_into(bytes, &mut slot.0);
        slot
    }

    /// The same with room for `more` bytes: no copy is left behind, as a buffer that grows would.
    fn grown(self, more: usize) -> Self {
        let mut grown = Self::with_room(self.0.len() + more);
        grown.0.extend_from_slice(&self.0);
        grown
    }

    /// `Basic` and the base64 of what is in it.
    fn basic(&self) -> Result<Self, Refusal> {
        let mut encoded = Zeroizing::new(vec![0; self.0.len().div_ceil(3) * 4]);
        let written =
            STANDARD.encode_slice(&self.0, &mut encoded).map_err(|_| unfit("a header"))?;
        let mut slot = Self::with_room("Basic ".len() + written).text("Basic ");
        slot.0.extend_from_slice(&encoded[..written]);
        Ok(slot)
    }

    /// Takes the bytes; they are wiped with the last of their holders.
    fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

/// The secret of `field`; empty is not one.
fn field<'a>(bound: &'a Bound, field: &str) -> Result<&'a Secret, Refusal> {
    bound.credential().get(field).filter(|secret| !secret.is_empty()).ok_or_else(|| {
        Refusal::new(Code::SecretUnavailable, "the credential of this service is incomplete")
    })
}

/// The secret is of the wrong kind for its slot (a PEM in a header, ...).
fn unfit(place: &str) -> Refusal {
    Refusal::new(
        Code::SecretUnavailable,
        format!("the credential of this service cannot stand in {place}"),
    )
}

/// Refuses settings and secrets beyond those that a scheme knows.
fn only(
    scheme: &'static str,
    auth: &Auth,
    secrets: &[&str],
    settings: &[&str],
) -> Result<(), AuthError> {
    let unknown = |field: &String| AuthError::Unknown { scheme, field: field.clone() };
    for (given, known) in [
        (auth.secrets.keys().collect::<Vec<_>>(), secrets),
        (auth.settings.keys().collect::<Vec<_>>(), settings),
    ] {
        if let Some(field) = given.into_iter().find(|field| !known.contains(&field.as_str())) {
            return Err(unknown(field));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
