//! What `strongroom login` left of a server at an address: tokens, and how they are renewed.
//!
//! It is good for the address that the person logged in at: a server of the same name at another one gets
//! nothing of it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Server, Template, Transport};
use strongroom_model::service::Auth;
use strongroom_proxy::inject::{self, Minted};
use strongroom_store::{SecretUse, Vault};

use crate::failure::{Exit, Failure};
use crate::stored;

/// A log-in that was made.
#[derive(Debug)]
pub struct Login {
    /// The address of the server.
    pub url: String,
    /// Who hands out its tokens.
    pub issuer: String,
    /// How they are had, without the secrets for it.
    pub auth: Auth,
}

/// What is left of one.
#[derive(Debug, Default)]
pub struct Left {
    /// How access tokens are had; empty where they are not.
    pub auth: Auth,
    /// What stands in `authorization` where tokens are not renewed.
    pub header: Option<Template>,
    /// Changes with every log-in.
    pub revision: u64,
}

/// What is stored.
#[derive(Serialize, Deserialize)]
struct Record {
    url: String,
    issuer: String,
    settings: std::collections::BTreeMap<String, String>,
    refresh_token: Option<String>,
    client_secret: Option<String>,
    /// When the access token ends that is not renewed, in seconds since 1970.
    ends: Option<u64>,
}

/// Keeps what a server gave: for that server, and for nothing else.
pub fn keep(
    vault: &Vault,
    name: &Name,
    login: &Login,
    client_secret: Option<&Secret>,
    minted: &Minted,
    now: SystemTime,
) -> Result<(), Failure> {
    let mut record = Record {
        url: login.url.clone(),
        issuer: login.issuer.clone(),
        settings: login.auth.settings.clone(),
        refresh_token: None,
        client_secret: None,
        ends: None,
    };
    if let Some(secret) = client_secret {
        let place = place(name, "mcp-client")?;
        stored::put(vault, &place, name, secret)?;
        record.client_secret = Some(place.to_string());
    }
    if let Some(refresh) = &minted.refresh {
        let exchange = inject::scheme("oauth2").and_then(|scheme| scheme.exchange());
        let endpoint = exchange.and_then(|exchange| exchange.endpoint(&login.auth).ok());
        let endpoint = endpoint.ok_or_else(|| Failure::failed("there is no token endpoint"))?;
        let place = place(name, &format!("oauth/{}", inject::issuer_of(&endpoint)))?;
        stored::put(vault, &place, name, refresh)?;
        record.refresh_token = Some(place.to_string());
    } else {
        vault.put(
            &format!("{name}/mcp-access"),
            &SecretUse::Launch(name.clone()),
            &minted.token,
        )?;
        let ends = now + minted.lifetime;
        record.ends = Some(seconds(ends));
    }
    let record = serde_json::to_vec(&record).map_err(Failure::failed)?;
    stored::put(vault, &place(name, "mcp-login")?, name, &Secret::new(record))
}

/// What is left of the log-in to `server`; nothing where nobody has logged in at its address, or where the
/// server is given its key otherwise.
///
/// # Errors
///
/// The vault cannot be read, or what is left has ended.
pub fn of(vault: &Vault, server: &Server, now: SystemTime) -> Result<Left, Failure> {
    let Transport::Http { url, headers, .. } = &server.transport else {
        return Ok(Left::default());
    };
    let name = &server.name;
    let stored = format!("{name}/mcp-login");
    if headers.contains_key("authorization") || vault.used_by(&stored)?.is_none() {
        return Ok(Left::default());
    }
    let read = vault.get_many(&[&stored])?.into_iter().next();
    let Some(Ok(text)) = read else {
        return Err(again(name, "what is left of it does not verify"));
    };
    let record: Record = serde_json::from_slice(text.expose())
        .map_err(|_| again(name, "what is left of it cannot be read"))?;
    if record.url != url.to_string() {
        return Ok(Left::default());
    }
    let mut hasher = DefaultHasher::new();
    text.expose().hash(&mut hasher);
    let mut left = Left { revision: hasher.finish(), ..Left::default() };
    if record.refresh_token.is_none() {
        if record.ends.is_none_or(|ends| ends <= seconds(now)) {
            return Err(again(name, "its token has ended"));
        }
        let header = format!("Bearer {{{{local://{name}/mcp-access}}}}");
        left.header = Some(header.parse().map_err(Failure::failed)?);
        return Ok(left);
    }
    left.auth = Auth { scheme: "oauth2".to_owned(), settings: record.settings, ..Auth::default() };
    for (field, reference) in
        [("refresh_token", record.refresh_token), ("client_secret", record.client_secret)]
    {
        if let Some(reference) = reference {
            left.auth.secrets.insert(field.to_owned(), reference.parse().map_err(Failure::failed)?);
        }
    }
    Ok(left)
}

fn again(name: &Name, why: &str) -> Failure {
    Failure::new(Exit::Unavailable, format!("the log-in to `{name}` is of no use any more: {why}"))
        .hint(format!("run `strongroom login {name}`"))
}

fn place(name: &Name, field: &str) -> Result<SecretRef, Failure> {
    format!("local://{name}/{field}").parse().map_err(Failure::failed)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
