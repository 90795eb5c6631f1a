//! A person's consent, turned into tokens: authorization code with PKCE (RFC 6749 §4.1, RFC 7636, and
//! RFC 8252 for programs on a person's machine).

pub mod discovery;

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Credential;
use strongroom_model::ports::Dns;
use strongroom_model::service::{Auth, Service};
use strongroom_seal::sign::escape::encode;

use crate::connect::Dialler;
use crate::inject::{AuthorizationCode, Minted, code_request, read_tokens, scheme};
use crate::tokens::send;
use crate::watch::Watch;

/// How the person's browser is sent to the server.
#[derive(Debug)]
pub struct Consent<'a> {
    /// Where it comes back to.
    pub redirect_uri: &'a str,
    /// What it comes back with, so that it is known to be ours.
    pub state: &'a str,
    /// The SHA-256 of the verifier, in base64url.
    pub challenge: &'a str,
}

/// The address that the person opens; `None` where the service has no `authorize_url`.
pub fn consent_url(auth: &Auth, consent: &Consent<'_>) -> Option<String> {
    let base = auth.settings.get("authorize_url")?;
    let id = auth.settings.get("client_id")?;
    let settings = ["scope", "audience", "resource"]
        .into_iter()
        .filter_map(|name| Some((name, auth.settings.get(name)?.as_str())));
    let query = [
        ("client_id", id.as_str()),
        ("redirect_uri", consent.redirect_uri),
        ("state", consent.state),
        ("code_challenge", consent.challenge),
        ("code_challenge_method", "S256"),
    ];
    let query = query.into_iter().chain(settings);
    let query: Vec<String> =
        query.map(|(name, value)| format!("&{name}={}", encode(value.as_bytes()))).collect();
    let url = format!("{base}?response_type=code{}", query.concat());
    Some(url)
}

/// Turns `code` into tokens, at the token endpoint of `service`.
///
/// # Errors
///
/// The endpoint cannot be reached, may not be, or does not take the code.
pub async fn redeem(
    dns: Arc<dyn Dns>,
    service: &Service,
    credential: &Credential,
    code: &AuthorizationCode<'_>,
) -> Result<Minted, Refusal> {
    let unfit = || Refusal::new(Code::InvalidRequest, "the service has no token endpoint");
    let exchange = scheme(&service.auth.scheme).and_then(|scheme| scheme.exchange());
    let endpoint = exchange.and_then(|exchange| exchange.endpoint(&service.auth).ok());
    let endpoint = endpoint.ok_or_else(unfit)?;
    let outgoing = code_request(&service.auth, credential, &endpoint, code)?;
    let total = Duration::from_millis(service.limits.total_ms);
    let mut watch = Watch::new(total, Box::pin(std::future::pending()));
    let dialler = Dialler::new(dns);
    let answer = send(&dialler, service, &endpoint.origin, outgoing, &mut watch).await?;
    read_tokens(&answer).ok_or_else(|| {
        Refusal::new(Code::UpstreamError, "the token endpoint answered with something else")
    })
}
