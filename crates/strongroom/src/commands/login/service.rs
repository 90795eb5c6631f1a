//! Logging in to a service of the type `oauth2`.

use std::sync::Arc;

use strongroom_model::injection::{Credential, Target as _};
use strongroom_model::ports::Credentials as _;
use strongroom_model::service::{Catalog, Service};
use strongroom_proxy::SystemDns;
use strongroom_proxy::inject;
use strongroom_proxy::login::redeem;
use strongroom_secrets::Loaded;

use super::browser::Desk;
use super::{Args, LoggedIn};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::paths::Home;
use crate::{admin, app, home, stored};

/// Logs in.
pub(super) fn run(
    args: &Args,
    host: &Host,
    output: Output,
    home: &Home,
    service: &Arc<Service>,
) -> Result<(), Failure> {
    if args.client_id.is_some() {
        return Err(Failure::usage(
            "`--client-id` goes with a server: a service has it in its `auth`",
        ));
    }
    let place = place(service)?;
    let vault = Arc::new(home::open(home, Arc::clone(&host.clock))?);
    admin::record(host, home, "service.login", service.name.as_str())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let minted = runtime.map_err(Failure::failed)?.block_on(async {
        let credential = client(host, &vault, service).await?;
        consent(args, host, &output, service, &credential).await
    });
    let minted = minted.inspect_err(|_| {
        admin::record_if_possible(host, &output, "service.login.refused", service.name.as_str());
    })?;
    let Some(refresh) = minted.refresh else {
        return Err(Failure::failed("the server gave no refresh token, so nothing is kept")
            .hint("ask for offline access in `scope`, as the service's documentation says"));
    };
    stored::put(&vault, &place, &service.name, &refresh)?;
    let service = service.name.to_string();
    output.report(&LoggedIn { service, refresh_token: place.to_string() })
}

/// Where the refresh token is kept: under the name of the server that gives it.
fn place(service: &Service) -> Result<strongroom_model::reference::SecretRef, Failure> {
    let name = &service.name;
    let scheme = inject::scheme(&service.auth.scheme).filter(|scheme| scheme.name() == "oauth2");
    let endpoint = scheme
        .and_then(|scheme| scheme.exchange())
        .and_then(|exchange| exchange.endpoint(&service.auth).ok());
    let Some(endpoint) = endpoint else {
        return Err(Failure::failed(format!("`{name}` is not a service that one logs in to"))
            .hint("its `auth` has another type than `oauth2`"));
    };
    let own = format!("local://{name}/oauth/{}", inject::issuer_of(&endpoint));
    let problem = match service.auth.secrets.get("refresh_token") {
        Some(reference) if reference.as_str() == own => None,
        _ => Some(format!("`{name}` does not say where its refresh token is kept")),
    };
    let problem = problem.or_else(|| {
        let missing = !service.auth.settings.contains_key("authorize_url");
        missing.then(|| format!("`{name}` has no `authorize_url`"))
    });
    match problem {
        None => own.parse().map_err(Failure::failed),
        Some(problem) => Err(Failure::failed(problem).hint(format!(
            "write `authorize_url` and `refresh_token = \"{own}\"` into its `auth`"
        ))),
    }
}

/// The client's own secret, where it has one. There is no refresh token yet.
async fn client(
    host: &Host,
    vault: &Arc<strongroom_store::Vault>,
    service: &Service,
) -> Result<Arc<Credential>, Failure> {
    let mut client = service.clone();
    client.auth.secrets.remove("refresh_token");
    let services = [(client.name.clone(), Arc::new(client.clone()))].into();
    let catalog = Catalog { services, revision: 1, ..Catalog::default() };
    let loaded = Loaded::new(app::resolver(host, Some(Arc::clone(vault))));
    loaded.resolve(&catalog, client.keys()).await.map_err(|error| {
        let hint = error.hint();
        Failure::new(Exit::Unavailable, error).maybe_hint(hint)
    })
}

/// Sends the browser away and waits until it is back.
async fn consent(
    args: &Args,
    host: &Host,
    output: &Output,
    service: &Service,
    credential: &Credential,
) -> Result<inject::Minted, Failure> {
    let desk = Desk::open(args.port).await?;
    let is_from = |issuer: Option<&str>| is_from(service, issuer);
    let around = (args, host, output);
    let code = desk.code(around, &service.name, &service.auth, &is_from).await?;
    redeem(Arc::new(SystemDns), service, credential, &desk.proof(&code)).await.map_err(|refusal| {
        Failure::failed(refusal.message.into_owned()).hint(format!(
            "check `client_id` and `token_url`, and run `strongroom login {}` again",
            service.name
        ))
    })
}

/// Whether who answers, where that is said, is a server that the configuration names: what another one
/// gave is not shown to it (RFC 9700 §4.4).
fn is_from(service: &Service, issuer: Option<&str>) -> bool {
    let ours = ["authorize_url", "token_url"]
        .into_iter()
        .filter_map(|name| origin_of(service.auth.settings.get(name)?));
    let Some(issuer) = issuer else { return true };
    let theirs = origin_of(issuer);
    ours.into_iter().any(|ours| theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(ours)))
}

/// `https://login.example` of an address there.
fn origin_of(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    Some(&url[..end])
}
