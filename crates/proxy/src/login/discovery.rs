//! How one logs in to a server at an address: what it says of itself (RFC 9728), what its authorization
//! server says of itself (RFC 8414, `OpenID` Connect Discovery), and how a client introduces itself there
//! (RFC 7591).
//!
//! Nothing that is found here is believed beyond its own origin: the server's metadata are about the server
//! that was asked, those of an issuer name that issuer, and every address is vetted as a service's is.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use strongroom_model::base_url::BaseUrl;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::far::{Ask, Site, Verb};
use strongroom_model::ports::Dns;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use crate::connect::Dialler;
use crate::far::outgoing;
use crate::inject::{Endpoint, Outgoing};
use crate::tokens::fetch;
use crate::watch::Watch;

/// How long it all may take.
const TOTAL: Duration = Duration::from_mins(1);

/// What is said of how one logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who hands out tokens, by the name that they have for themselves.
    pub issuer: String,
    /// What the tokens are for (RFC 8707).
    pub resource: String,
    /// Where a person says yes.
    pub authorize_url: String,
    /// Where tokens are handed out.
    pub token_url: String,
    /// Where a client introduces itself, if strangers may.
    pub registration_url: Option<String>,
    /// What to ask for.
    pub scope: Option<String>,
    /// Whether the issuer says with each answer who it is (RFC 9207).
    pub says_issuer: bool,
}

/// How we are known to an authorization server.
#[derive(Debug)]
pub struct Client {
    /// Our name there.
    pub id: String,
    /// What proves that it is us, where there is something.
    pub secret: Option<Secret>,
    /// How that is sent: `basic` or `post`.
    pub auth: &'static str,
}

/// Asks the server at `site` and its authorization server.
///
/// # Errors
///
/// The server wants no log-in, or what is said of it cannot be believed or used. Nothing of what was said
/// is in the error.
pub async fn discover(dns: Arc<dyn Dns>, site: &Arc<Site>) -> Result<Found, Refusal> {
    let mut desk = Desk::new(dns, site);
    let challenge = desk.challenge().await?;
    let resource = desk.resource(challenge.as_deref()).await?;
    let own = site.service.origin.to_string();
    // Before 2025-06-18 a server said who hands out its tokens by standing next to it.
    let issuer = match &resource {
        Some(resource) => resource.authorization_servers.first().cloned(),
        None => Some(own.clone()),
    };
    let issuer =
        issuer.ok_or_else(|| strange("the server does not say who hands out its tokens"))?;
    let said = desk.issuer(&issuer).await?;
    if !said.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(strange(
            "the authorization server does not take PKCE with S256, which is needed",
        ));
    }
    let scope = challenge.as_deref().and_then(|challenge| parameter(challenge, "scope"));
    let scopes = resource.as_ref().and_then(|resource| resource.scopes_supported.clone());
    let mut scope = scope.or_else(|| scopes.map(|scopes| scopes.join(" ")));
    if said.scopes_supported.iter().any(|scope| scope == "offline_access") {
        let asked = scope.get_or_insert_default();
        if !asked.split(' ').any(|scope| scope == "offline_access") {
            if !asked.is_empty() {
                asked.push(' ');
            }
            asked.push_str("offline_access");
        }
    }
    for (field, url) in [
        ("authorization_endpoint", Some(&said.authorization_endpoint)),
        ("token_endpoint", Some(&said.token_endpoint)),
        ("registration_endpoint", said.registration_endpoint.as_ref()),
    ] {
        if let Some(url) = url {
            endpoint(field, url)?;
        }
    }
    Ok(Found {
        issuer,
        resource: resource.map_or_else(|| own + &desk.path(), |resource| resource.resource),
        authorize_url: said.authorization_endpoint,
        token_url: said.token_endpoint,
        registration_url: said.registration_endpoint,
        scope: scope.filter(|scope| !scope.is_empty()),
        says_issuer: said.authorization_response_iss_parameter_supported,
    })
}

/// Introduces us to the authorization server of `found`, as a program on a person's machine to which the
/// browser comes back at `redirect_uri`.
///
/// # Errors
///
/// It takes no strangers, or not us.
pub async fn register(
    dns: Arc<dyn Dns>,
    site: &Arc<Site>,
    found: &Found,
    redirect_uri: &str,
) -> Result<Client, Refusal> {
    #[derive(Deserialize)]
    struct Registered {
        client_id: String,
        client_secret: Option<String>,
        token_endpoint_auth_method: Option<String>,
    }
    let none =
        || strange("the authorization server takes only clients that it knows: give `--client-id`");
    let endpoint =
        endpoint("registration_endpoint", found.registration_url.as_ref().ok_or_else(none)?)?;
    let about = json!({
        "client_name": "Strongroom",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "scope": found.scope,
    });
    let body = Zeroizing::new(about.to_string().into_bytes());
    let outgoing = endpoint.post("application/json", body)?;
    let (status, answer) = Desk::new(dns, site).send(&endpoint, outgoing).await?;
    let read: Option<Registered> = serde_json::from_slice(&answer).ok();
    let registered = read.filter(|_| matches!(status.as_u16(), 200 | 201)).ok_or_else(|| {
        strange("the authorization server does not take us as a client: give `--client-id`")
    })?;
    let auth = match registered.token_endpoint_auth_method.as_deref() {
        Some("client_secret_post") => "post",
        _ => "basic",
    };
    let secret = registered.client_secret.filter(|secret| !secret.is_empty());
    let secret = secret.map(|secret| Secret::new(secret.into_bytes()));
    Ok(Client { id: registered.client_id, secret, auth })
}

/// What a server says of itself (RFC 9728 §2).
#[derive(Deserialize)]
struct OfServer {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    scopes_supported: Option<Vec<String>>,
}

/// What an authorization server says of itself (RFC 8414 §2).
#[derive(Deserialize)]
struct OfIssuer {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Asks, under one deadline.
struct Desk<'a> {
    dialler: Dialler,
    site: &'a Arc<Site>,
    watch: Watch<'a>,
}

impl<'a> Desk<'a> {
    fn new(dns: Arc<dyn Dns>, site: &'a Arc<Site>) -> Self {
        let watch = Watch::new(TOTAL, Box::pin(pending()));
        Self { dialler: Dialler::new(dns), site, watch }
    }

    /// The path of the server's endpoint.
    fn path(&self) -> String {
        self.site.target.split('?').next().unwrap_or_default().to_owned()
    }

    /// What the server says to a stranger.
    async fn challenge(&mut self) -> Result<Option<String>, Refusal> {
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let ask = Ask {
            site: Arc::clone(self.site),
            verb: Verb::Post,
            target: None,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        };
        let outgoing = outgoing(&ask, &self.site.target, None)?;
        let service = &self.site.service;
        let origin = &service.origin;
        let answer = fetch(&self.dialler, service, origin, outgoing, &mut self.watch).await?;
        let mut challenges = answer.0.headers.get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges.find_map(|value| {
            let value = value.to_str().ok()?;
            value.get(..6)?.eq_ignore_ascii_case("bearer").then(|| value.to_owned())
        });
        let asks = matches!(answer.0.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if !asks && challenge.is_none() {
            return Err(strange(
                "the server asks nobody who they are: there is nothing to log in to",
            ));
        }
        Ok(challenge)
    }

    /// What the server says of itself, where it says something.
    async fn resource(&mut self, challenge: Option<&str>) -> Result<Option<OfServer>, Refusal> {
        let origin = self.site.service.origin.clone();
        let path = self.path();
        let named = challenge.and_then(|challenge| parameter(challenge, "resource_metadata"));
        let mut places = Vec::new();
        if let Some(named) = named {
            let target = origin.within(&named);
            let elsewhere =
                || strange("the server's metadata are at another origin than the server");
            places.push(target.ok_or_else(elsewhere)?.to_owned());
        } else {
            let known = "/.well-known/oauth-protected-resource";
            places.extend((path != "/").then(|| format!("{known}{path}")));
            places.push(known.to_owned());
        }
        for target in places {
            let place = Endpoint { origin: origin.clone(), target };
            let Some(said) = self.get::<OfServer>(&place).await? else { continue };
            let about = BaseUrl::parse(&said.resource, true).ok();
            let is_ours = about.is_some_and(|about| {
                let rest = path.strip_prefix(&about.base_path);
                about.origin == origin
                    && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            // RFC 9728 §3.3
            return if is_ours {
                Ok(Some(said))
            } else {
                Err(strange("the server's metadata are about another server"))
            };
        }
        Ok(None)
    }

    /// What `issuer` says of itself.
    async fn issuer(&mut self, issuer: &str) -> Result<OfIssuer, Refusal> {
        let at = endpoint("issuer", issuer)?;
        let path = if at.target == "/" { "" } else { at.target.as_str() };
        let (oauth, openid) =
            ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration");
        let mut targets = vec![format!("{oauth}{path}"), format!("{openid}{path}")];
        if !path.is_empty() {
            targets.push(format!("{path}{openid}"));
        }
        for target in targets {
            let place = Endpoint { origin: at.origin.clone(), target };
            let Some(said) = self.get::<OfIssuer>(&place).await? else { continue };
            // RFC 8414 §3.3: a mix-up begins with metadata that are another's.
            return if said.issuer.trim_end_matches('/') == issuer.trim_end_matches('/') {
                Ok(said)
            } else {
                Err(strange("the authorization server's metadata are about another one"))
            };
        }
        Err(strange("the authorization server says nothing of itself"))
    }

    /// The document at `place`; `None` where there is none.
    async fn get<T: for<'de> Deserialize<'de>>(
        &mut self,
        place: &Endpoint,
    ) -> Result<Option<T>, Refusal> {
        let mut headers = HeaderMap::with_capacity(4);
        let host = HeaderValue::from_str(&place.origin.authority());
        headers.insert(HOST, host.map_err(|_| strange("an address of the log-in is malformed"))?);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let outgoing = Outgoing::new(Method::GET, &place.target, headers, Bytes::new());
        let (status, body) = self.send(place, outgoing).await?;
        if status != StatusCode::OK {
            return Ok(None);
        }
        Ok(serde_json::from_slice(&body).ok())
    }

    async fn send(
        &mut self,
        place: &Endpoint,
        outgoing: Outgoing,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Refusal> {
        let service = &self.site.service;
        let fetched =
            fetch(&self.dialler, service, &place.origin, outgoing, &mut self.watch).await?;
        Ok((fetched.0.status, fetched.1))
    }
}

fn endpoint(field: &str, url: &str) -> Result<Endpoint, Refusal> {
    Endpoint::read("oauth2", field, url)
        .map_err(|_| strange("an address of the authorization server is none, or is plain http"))
}

/// The parameter `name` of a challenge (RFC 9110 §11.2).
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let lower = challenge.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let at = from + lower.get(from..)?.find(name)?;
        let before = lower[..at].chars().next_back();
        let rest = &challenge[at + name.len()..];
        if let (Some(' ' | ',' | '\t'), Some(value)) = (before, rest.strip_prefix('=')) {
            return match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').map(|(value, _)| value.to_owned()),
                None => value.split([',', ' ']).next().map(str::to_owned),
            };
        }
        from = at + name.len();
    }
}

fn strange(text: &'static str) -> Refusal {
    Refusal::new(Code::UpstreamError, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_challenge_are_found() {
        let challenge = r#"Bearer realm="x", Resource_Metadata="https://h/.well-known/x?scope=1",scope="a b", error=invalid"#;
        for (name, value) in [
            ("resource_metadata", Some("https://h/.well-known/x?scope=1")),
            ("scope", Some("a b")),
            ("error", Some("invalid")),
            ("metadata", None),
            ("nothing", None),
        ] {
            assert_eq!(parameter(challenge, name).as_deref(), value, "{name}");
        }
        for broken in ["Bearer scope=\"a", "Bearer scope", "scope=", ""] {
            assert_eq!(parameter(broken, "scope"), None, "{broken}");
        }
    }
}
