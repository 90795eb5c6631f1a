//! Schemes that need a token first: where it is asked for, and what the answer says.
//!
//! Invariant: the endpoint comes from the configuration and from nothing else: not from a response,
//! not from what is stored as a secret (RD-06). Its answers never reach an agent, a log or the audit.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use strongroom_model::base_url::BaseUrl;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::{Bound, Credential};
use strongroom_model::secret::Secret;
use strongroom_model::service::{Auth, Origin, Slots};
use zeroize::Zeroizing;

use super::{AuthError, Moment, Outgoing, Scheme, Slot};

/// Asks an authorization server for tokens.
pub trait Exchange: Send + Sync {
    /// The name of the scheme in the configuration.
    fn name(&self) -> &'static str;

    /// Checks `auth`.
    ///
    /// # Errors
    ///
    /// A field that is missing, unknown or unfit. The error names the field and never a value.
    fn check(&self, auth: &Auth) -> Result<(), AuthError>;

    /// Where tokens are asked for.
    ///
    /// # Errors
    ///
    /// What stands in `auth` is not such a place; the configuration does not load then.
    fn endpoint(&self, auth: &Auth) -> Result<Endpoint, AuthError>;

    /// The request for a token.
    ///
    /// # Errors
    ///
    /// `secret_unavailable` where the credential is not of the kind that is needed.
    fn ask(
        &self,
        auth: &Auth,
        credential: &Credential,
        endpoint: &Endpoint,
        now: SystemTime,
    ) -> Result<Outgoing, Refusal>;

    /// What the answer to [`ask`](Self::ask) says; `None` where it is not one.
    fn read(&self, answer: &[u8], now: SystemTime) -> Option<Minted>;
}

/// The scheme that sends the token of an [`Exchange`]: `Authorization: Bearer TOKEN` (RFC 6750 §2.1).
pub(super) struct Token(pub(super) &'static dyn Exchange);

impl Scheme for Token {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        self.0.check(auth)?;
        Ok(Slots { headers: vec![AUTHORIZATION.as_str().to_owned()], query: Vec::new() })
    }

    fn reads_body(&self, _: &Auth) -> bool {
        false
    }

    fn inject(
        &self,
        _: &Auth,
        _: &Bound,
        outgoing: &mut Outgoing,
        moment: &Moment<'_>,
    ) -> Result<(), Refusal> {
        let token = moment.token.ok_or_else(|| unusable("there is no token for this request"))?;
        outgoing.set_header(AUTHORIZATION, Slot::bearer(token))
    }

    fn exchange(&self) -> Option<&dyn Exchange> {
        Some(self.0)
    }
}

/// An address that tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub origin: Origin,
    /// The path.
    pub target: String,
}

/// What an authorization server handed out.
#[derive(Debug)]
pub struct Minted {
    /// The access token.
    pub token: Secret,
    /// How long it is good.
    pub lifetime: Duration,
    /// The refresh token that takes the place of the one that was used.
    pub refresh: Option<Secret>,
}

impl Endpoint {
    /// Reads the setting `field`, an address. Plain http is for this machine only (RFC 8252 §8.3).
    pub(crate) fn read(scheme: &'static str, field: &str, text: &str) -> Result<Self, AuthError> {
        let unfit = |problem| AuthError::Unfit { scheme, field: field.to_owned(), problem };
        let url = BaseUrl::parse(text, true)
            .map_err(|_| unfit("is not an address of the form `https://HOST/PATH`"))?;
        let host: Result<std::net::IpAddr, _> = url.origin.host.parse();
        let is_here =
            &*url.origin.host == "localhost" || host.is_ok_and(|address| address.is_loopback());
        if url.origin.scheme == strongroom_model::service::Scheme::Http && !is_here {
            return Err(unfit("is plain http, which shows the key to the network"));
        }
        let target = if url.base_path.is_empty() { "/".to_owned() } else { url.base_path };
        Ok(Self { origin: url.origin, target })
    }

    /// A POST to it.
    pub(crate) fn post(
        &self,
        kind: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Outgoing, Refusal> {
        let mut headers = HeaderMap::with_capacity(6);
        let host = HeaderValue::from_str(&self.origin.authority())
            .map_err(|_| unusable("the token endpoint cannot be named in a request"))?;
        headers.insert(HOST, host);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(Outgoing::new(Method::POST, &self.target, headers, Bytes::from_owner(body)))
    }
}

/// No token can be had, for a reason that a person has to look at.
pub(super) fn unusable(text: &'static str) -> Refusal {
    Refusal::new(Code::SecretUnavailable, text)
}
