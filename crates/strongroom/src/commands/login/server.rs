//! Logging in to an MCP server at an address: where one does that is found out (RFC 9728, RFC 8414), and
//! who we are is said there (RFC 7591).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use strongroom_gateway::upstream::far::{Address, site};
use strongroom_model::injection::Credential;
use strongroom_model::server::{Server, Transport};
use strongroom_model::service::{Auth, Service};
use strongroom_proxy::SystemDns;
use strongroom_proxy::inject::Minted;
use strongroom_proxy::login::discovery::{Client, Found, discover, register};
use strongroom_proxy::login::redeem;

use super::Args;
use super::browser::Desk;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};
use crate::paths::Home;
use crate::servers::login::{self, Login};
use crate::servers::{self, Places, reach};
use crate::{admin, home};

#[derive(Serialize)]
struct LoggedIn {
    server: String,
    issuer: String,
    renews: bool,
}

/// The server `name` that is seen from here, if there is one.
pub(super) fn find(
    host: &Host,
    home: &Home,
    config: &Config,
    name: &str,
) -> Result<Option<Server>, Failure> {
    let places = Places { directory: &host.directory, registry: None };
    let servers = servers::load(host, home, config, places)?;
    match servers.catalogue.find(name) {
        Some(entry) => servers.server(host, entry, false).cloned().map(Some),
        None => Ok(None),
    }
}

/// Logs in.
pub(super) fn run(
    args: &Args,
    host: &Host,
    output: Output,
    home: &Home,
    server: &Server,
) -> Result<(), Failure> {
    let name = &server.name;
    let Transport::Http { url, beyond, .. } = &server.transport else {
        return Err(Failure::failed(format!("`{name}` is a program of this machine"))
            .hint("one logs in to servers that have a `url`"));
    };
    // A stranger asks: none of its secrets goes along.
    let stranger = Address { name, url, headers: &BTreeMap::new() };
    let place = site(stranger, &|_| None, reach::beyond(name, beyond)?)
        .map_err(|error| Failure::failed(format!("`{name}` cannot be reached: {error}")))?;
    let place = Arc::new(place);
    let vault = home::open(home, Arc::clone(&host.clock))?;
    admin::record(host, home, "server.login", name.as_str())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(Failure::failed)?.block_on(async {
        let dns = || Arc::new(SystemDns);
        let found = discover(dns(), &place).await.map_err(of_refusal)?;
        let desk = Desk::open(args.port).await?;
        let client = match &args.client_id {
            Some(id) => Client { id: id.clone(), secret: None, auth: "basic" },
            None => {
                register(dns(), &place, &found, &desk.redirect_uri).await.map_err(of_refusal)?
            }
        };
        let auth = auth(&found, &client);
        let is_from = |issuer: Option<&str>| is_from(&found, issuer);
        let code = desk.code((args, host, &output), name, &auth, &is_from).await?;
        let service = Service { auth, ..(*place.service).clone() };
        let (secret, credential) = credential(client.secret);
        let minted = redeem(dns(), &service, &credential, &desk.proof(&code)).await;
        let minted: Minted = minted.map_err(of_refusal)?;
        Ok::<_, Failure>((found, service.auth, secret, minted))
    });
    let (found, auth, secret, minted) = asked.inspect_err(|_| {
        admin::record_if_possible(host, &output, "server.login.refused", name.as_str());
    })?;
    let renews = minted.refresh.is_some();
    let login = Login { url: url.to_string(), issuer: found.issuer.clone(), auth };
    login::keep(&vault, name, &login, secret.as_deref(), &minted, host.clock.now())?;
    if !renews {
        output.warn("the server gave no refresh token: you will have to log in again");
    }
    output.report(&LoggedIn { server: name.to_string(), issuer: found.issuer, renews })
}

/// How we are known there, and what for.
fn auth(found: &Found, client: &Client) -> Auth {
    let mut auth = Auth { scheme: "oauth2".to_owned(), ..Auth::default() };
    let settings = [
        ("authorize_url", Some(&found.authorize_url)),
        ("token_url", Some(&found.token_url)),
        ("client_id", Some(&client.id)),
        ("resource", Some(&found.resource)),
        ("scope", found.scope.as_ref()),
    ];
    for (name, value) in settings {
        auth.settings.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    auth.settings.insert("client_auth".to_owned(), client.auth.to_owned());
    auth
}

/// The client's own secret, where it has one.
fn credential(
    secret: Option<strongroom_model::secret::Secret>,
) -> (Option<Arc<strongroom_model::secret::Secret>>, Credential) {
    let secret = secret.map(Arc::new);
    let field = secret.clone().map(|secret| ("client_secret".to_owned(), secret));
    (secret, Credential::new(field.into_iter().collect()))
}

/// Whether it is our issuer who answers (RFC 9207, AU-11): one that says who it is with each answer must
/// say so with this one.
fn is_from(found: &Found, issuer: Option<&str>) -> bool {
    match issuer {
        Some(issuer) => issuer == found.issuer,
        None => !found.says_issuer,
    }
}

fn of_refusal(refusal: strongroom_model::code::Refusal) -> Failure {
    use strongroom_model::code::Code;

    let exit = match refusal.code {
        Code::DestinationDenied | Code::RedirectDenied => Exit::Denied,
        _ => Exit::Failed,
    };
    Failure::new(exit, refusal.message.into_owned())
}

impl Report for LoggedIn {
    fn text(&self, _: Style) -> String {
        format!("logged in to `{}` by {}\n", self.server, self.issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // AU-11
    #[test]
    fn an_issuer_that_says_who_it_is_must_say_so_and_be_ours() {
        let found = |says_issuer| Found {
            issuer: "https://login.test".into(),
            resource: "https://h.test/mcp".into(),
            authorize_url: "https://login.test/authorize".into(),
            token_url: "https://login.test/token".into(),
            registration_url: None,
            scope: None,
            says_issuer,
        };
        for (says, issuer, expected) in [
            (true, Some("https://login.test"), true),
            (true, Some("https://evil.test"), false),
            (true, Some("https://login.test/"), false),
            (true, None, false),
            (false, None, true),
            (false, Some("https://evil.test"), false),
        ] {
            assert_eq!(is_from(&found(says), issuer), expected, "{says} {issuer:?}");
        }
    }
}
