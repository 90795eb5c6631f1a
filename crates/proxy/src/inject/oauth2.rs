//! `Authorization: Bearer TOKEN`, with a token of an OAuth 2.0 server (RFC 6749): for client
//! credentials (§4.4), or for a refresh token (§6), which `strongroom login` gets.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use serde::Deserialize;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Credential;
use strongroom_model::secret::Secret;
use strongroom_model::service::Auth;

use super::exchange::{Endpoint, Exchange, Minted, unusable};
use super::{AuthError, Outgoing, Slot, only};

/// Needs the settings `token_url` and `client_id`, and the secret `client_secret`, `refresh_token`, or
/// both. `client_auth` says how the client's secret is sent: `basic` (the default) or `post`; `resource` what
/// the token is for (RFC 8707).
pub(super) struct OAuth2;

/// The secret that a server may replace with every use.
pub(crate) const REFRESH_TOKEN: &str = "refresh_token";

const NAME: &str = "oauth2";
const SECRETS: [&str; 2] = ["client_secret", "refresh_token"];
const SETTINGS: [&str; 7] =
    ["token_url", "client_id", "scope", "audience", "resource", "client_auth", "authorize_url"];

/// Where the server does not say how long a token is good (RFC 6749 §5.1 recommends that it does).
const UNSTATED: Duration = Duration::from_mins(5);

impl Exchange for OAuth2 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, auth: &Auth) -> Result<(), AuthError> {
        only(NAME, auth, &SECRETS, &SETTINGS)?;
        let endpoint = self.endpoint(auth)?;
        if !auth.settings.contains_key("client_id") {
            return Err(AuthError::Missing { scheme: NAME, field: "`client_id`" });
        }
        if auth.secrets.is_empty() {
            let field = "`client_secret` or `refresh_token`";
            return Err(AuthError::Missing { scheme: NAME, field });
        }
        let unfit = |field: &str, problem| {
            Err(AuthError::Unfit { scheme: NAME, field: field.to_owned(), problem })
        };
        if !matches!(
            auth.settings.get("client_auth").map(String::as_str),
            None | Some("basic" | "post")
        ) {
            return unfit("client_auth", "is neither `basic` nor `post`");
        }
        if let Some(url) = auth.settings.get("authorize_url") {
            Endpoint::read(NAME, "authorize_url", url)?;
        }
        // What one server gave is never sent to another: `login` keeps it under the server's name.
        let other = auth.secrets.get("refresh_token").is_some_and(|reference| {
            reference.scheme() == "local"
                && reference
                    .path()
                    .rsplit_once("/oauth/")
                    .is_some_and(|(_, issuer)| issuer != issuer_of(&endpoint))
        });
        if other {
            return unfit("refresh_token", "is of another server than `token_url`");
        }
        Ok(())
    }

    fn endpoint(&self, auth: &Auth) -> Result<Endpoint, AuthError> {
        match auth.settings.get("token_url") {
            Some(url) => Endpoint::read(NAME, "token_url", url),
            None => Err(AuthError::Missing { scheme: NAME, field: "`token_url`" }),
        }
    }

    fn ask(
        &self,
        auth: &Auth,
        credential: &Credential,
        endpoint: &Endpoint,
        _: SystemTime,
    ) -> Result<Outgoing, Refusal> {
        let form = Slot::with_room(0);
        let mut form = match credential.get("refresh_token") {
            Some(token) if !token.is_empty() => {
                form.pair("grant_type", "refresh_token").secret_pair("refresh_token", token)
            }
            Some(_) => return Err(unusable("log in first: there is no refresh token")),
            None => form.pair("grant_type", "client_credentials"),
        };
        for name in ["scope", "audience", "resource"] {
            if let Some(value) = auth.settings.get(name) {
                form = form.pair(name, value);
            }
        }
        request(auth, credential, endpoint, form)
    }

    fn read(&self, answer: &[u8], _: SystemTime) -> Option<Minted> {
        read(answer)
    }
}

/// What a person's consent is turned into a token with (RFC 6749 §4.1.3, RFC 7636 §4.5).
#[derive(Debug)]
pub struct Code<'a> {
    /// What came back with the person's browser.
    pub code: &'a str,
    /// What proves that it was us who asked.
    pub verifier: &'a str,
    /// Where the browser was sent.
    pub redirect_uri: &'a str,
}

/// The request that turns `code` into tokens.
pub(crate) fn code_request(
    auth: &Auth,
    credential: &Credential,
    endpoint: &Endpoint,
    code: &Code<'_>,
) -> Result<Outgoing, Refusal> {
    let mut form = Slot::with_room(0).pair("grant_type", "authorization_code");
    for (name, value) in
        [("code", code.code), ("redirect_uri", code.redirect_uri), ("code_verifier", code.verifier)]
    {
        form = form.pair(name, value);
    }
    if let Some(resource) = auth.settings.get("resource") {
        form = form.pair("resource", resource);
    }
    request(auth, credential, endpoint, form)
}

/// The form with the client's own name and secret (RFC 6749 §2.3.1).
fn request(
    auth: &Auth,
    credential: &Credential,
    endpoint: &Endpoint,
    mut form: Slot,
) -> Result<Outgoing, Refusal> {
    let id = auth.settings.get("client_id").map_or("", String::as_str);
    let secret = credential.get("client_secret").filter(|secret| !secret.is_empty());
    let in_form = auth.settings.get("client_auth").is_some_and(|how| how == "post");
    if in_form || secret.is_none() {
        form = form.pair("client_id", id);
    }
    if let Some(secret) = secret.filter(|_| in_form) {
        form = form.secret_pair("client_secret", secret);
    }
    let mut outgoing = endpoint.post("application/x-www-form-urlencoded", form.0)?;
    if let Some(secret) = secret.filter(|_| !in_form) {
        // Both parts are form-encoded before they are joined.
        let pair =
            Slot::with_room(0).encoded(id.as_bytes()).grown(1).text(":").encoded_secret(secret);
        outgoing.set_header(AUTHORIZATION, pair.basic()?)?;
    }
    Ok(outgoing)
}

/// Reads a token answer (RFC 6749 §5.1).
pub(crate) fn read(answer: &[u8]) -> Option<Minted> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        token_type: Option<String>,
        expires_in: Option<u64>,
        refresh_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let token = Secret::new(answer.access_token.into_bytes());
    let refresh = answer.refresh_token.map(|token| Secret::new(token.into_bytes()));
    let is_bearer = answer.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    (is_bearer && !token.is_empty()).then(|| Minted {
        token,
        lifetime: answer.expires_in.map_or(UNSTATED, Duration::from_secs),
        refresh: refresh.filter(|token| !token.is_empty()),
    })
}

/// The name that a server's tokens are kept under: its host and port.
pub fn issuer_of(endpoint: &Endpoint) -> String {
    endpoint.origin.authority().replace([':', '[', ']'], "-")
}
