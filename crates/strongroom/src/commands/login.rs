//! `strongroom login`: a person's consent to what agents may do, as a refresh token in the vault.
//!
//! The browser comes back to a port of this machine that is open for as long as the command waits
//! (RFC 8252 §7.3), with a code that only we can use (PKCE, RFC 7636).

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use strongroom_model::injection::{Credential, Target as _};
use strongroom_model::ports::Credentials as _;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Catalog, Service};
use strongroom_proxy::SystemDns;
use strongroom_proxy::inject::{self, AuthorizationCode};
use strongroom_proxy::login::{Consent, consent_url, redeem};
use strongroom_seal::sign::escape::pairs;
use strongroom_seal::{random, sha256};
use strongroom_secrets::Loaded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Config;
use crate::environment::{Host, Terminals};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};
use crate::{admin, app, browser, home, stored};

/// How long the person may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// What a browser sends of itself is not longer.
const HEAD: usize = 16 << 10;
/// Who sends a byte now and then does not keep the others out.
const SLOW: Duration = Duration::from_secs(5);

/// Log in to a service of the type `oauth2`, in your browser
///
/// Your consent is kept as a refresh token in the vault: agents call in your name, and never see it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom login calendar
  strongroom login calendar --port 8976
  strongroom login calendar --no-browser")]
pub struct Args {
    /// The service
    service: String,
    /// The port that the browser comes back to, where the server wants to know it beforehand
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Print the address, and open nothing
    #[arg(long)]
    no_browser: bool,
}

impl Args {
    fn opens_browser(&self, terminals: Terminals) -> bool {
        !self.no_browser && terminals.stderr
    }
}

#[derive(Serialize)]
struct LoggedIn {
    service: String,
    refresh_token: String,
}

/// Logs in.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = Config::load(&home)?;
    let service = Arc::clone(config.service(&args.service)?);
    let place = place(&service)?;
    let vault = Arc::new(home::open(&home, Arc::clone(&host.clock))?);
    admin::record(host, &home, "service.login", service.name.as_str())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let minted = runtime.map_err(Failure::failed)?.block_on(async {
        let credential = client(host, &vault, &service).await?;
        consent(args, host, output, &service, &credential).await
    });
    let minted = minted.inspect_err(|_| {
        admin::record_if_possible(host, output, "service.login.refused", service.name.as_str());
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
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(|error| Failure::failed(error).hint("give another `--port`, or none"))?;
    let port = listener.local_addr().map_err(Failure::failed)?.port();
    let redirect_uri = format!("http://127.0.0.1:{port}/callback");
    let (state, verifier) = (drawn()?, drawn()?);
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let consent = Consent { redirect_uri: &redirect_uri, state: &state, challenge: &challenge };
    let url = consent_url(&service.auth, &consent)
        .ok_or_else(|| Failure::failed("the service has no `authorize_url`"))?;
    output.tell(&format!("Open this address and say yes:\n\n  {url}\n"));
    // Where nobody looks, no window opens.
    if args.opens_browser(host.terminals) {
        match browser::open(host, &url) {
            Ok(true) => output.say("It was handed to your browser."),
            Ok(false) => {}
            Err(error) => output.warn(&format!("no browser was opened: {error}")),
        }
    }
    let code = tokio::time::timeout(PATIENCE, answer(&listener, service, &state)).await.map_err(
        |_| {
            Failure::new(Exit::Unavailable, "nobody said yes within five minutes")
                .hint(format!("run `strongroom login {}` again", service.name))
        },
    )??;
    let code = AuthorizationCode { code: &code, verifier: &verifier, redirect_uri: &redirect_uri };
    redeem(Arc::new(SystemDns), service, credential, &code).await.map_err(|refusal| {
        Failure::failed(refusal.message.into_owned()).hint(format!(
            "check `client_id` and `token_url`, and run `strongroom login {}` again",
            service.name
        ))
    })
}

/// The code that the browser brings back. What does not know our state is turned away.
async fn answer(listener: &TcpListener, service: &Service, state: &str) -> Result<String, Failure> {
    let ours = Secret::new(state.as_bytes().to_vec());
    loop {
        let (mut stream, _) = listener.accept().await.map_err(Failure::failed)?;
        let Ok(Ok(target)) = tokio::time::timeout(SLOW, target(&mut stream)).await else {
            continue;
        };
        let back = target.strip_prefix("/callback?").map(Back::read);
        let back = back.filter(|back| back.state.ct_eq(&ours));
        let Some(back) = back else {
            drop(say(&mut stream, "404 Not Found", "There is nothing here.").await);
            continue;
        };
        if !back.is_from(service) {
            drop(
                say(&mut stream, "200 OK", "Nothing was changed. You can close this window.").await,
            );
            return Err(Failure::new(Exit::Denied, "another server answered than was asked"));
        }
        if let Some(code) = back.code {
            drop(say(&mut stream, "200 OK", "Strongroom has it. You can close this window.").await);
            return Ok(code);
        }
        drop(say(&mut stream, "200 OK", "Nothing was changed. You can close this window.").await);
        return Err(Failure::new(Exit::Denied, "the server says that consent was not given"));
    }
}

/// What the browser came back with.
struct Back {
    state: Secret,
    code: Option<String>,
    /// Who says that they answer (RFC 9207).
    issuer: Option<String>,
}

impl Back {
    fn read(query: &str) -> Self {
        let mut back = Self { state: Secret::new(Vec::new()), code: None, issuer: None };
        for (name, value) in pairs(query.as_bytes()) {
            match name.as_slice() {
                b"state" => back.state = Secret::new(value),
                b"code" => {
                    back.code = String::from_utf8(value).ok().filter(|code| !code.is_empty());
                }
                b"iss" => back.issuer = Some(String::from_utf8_lossy(&value).into_owned()),
                _ => {}
            }
        }
        back
    }

    /// Whether who answers, where that is said, is a server that the configuration names: what another
    /// one gave is not shown to it (RFC 9700 §4.4).
    fn is_from(&self, service: &Service) -> bool {
        let ours = ["authorize_url", "token_url"]
            .into_iter()
            .filter_map(|name| origin_of(service.auth.settings.get(name)?));
        let Some(issuer) = &self.issuer else { return true };
        let theirs = origin_of(issuer);
        ours.into_iter().any(|ours| theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(ours)))
    }
}

/// `https://login.example` of an address there.
fn origin_of(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    Some(&url[..end])
}

/// The target of the GET that `stream` begins with.
async fn target(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= HEAD || stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    match (words.next(), words.next(), words.next()) {
        (Some(b"GET"), Some(target), Some(_)) => Ok(String::from_utf8_lossy(target).into_owned()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn say(stream: &mut TcpStream, status: &str, words: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\nreferrer-policy: no-referrer\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n{words}",
        words.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// 256 random bits, as text.
fn drawn() -> Result<String, Failure> {
    let mut bits = [0; 32];
    random(&mut bits).map_err(Failure::failed)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

impl Report for LoggedIn {
    fn text(&self, _: Style) -> String {
        format!("logged in to `{}`; its refresh token is at {}\n", self.service, self.refresh_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_opened_at_a_terminal_where_it_is_wanted() {
        let looked_at = Terminals { stderr: true, ..Terminals::default() };
        for (no_browser, terminals, opens) in [
            (false, looked_at, true),
            (true, looked_at, false),
            (false, Terminals { stderr: false, stdin: true, stdout: true }, false),
        ] {
            let args = Args { service: "calendar".into(), port: 0, no_browser };
            assert_eq!(args.opens_browser(terminals), opens);
        }
    }
}
