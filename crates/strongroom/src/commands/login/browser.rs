//! The person's browser: sent away with a question, and back with a code.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_model::service::Auth;
use strongroom_proxy::inject::AuthorizationCode;
use strongroom_proxy::login::{Consent, consent_url};
use strongroom_seal::sign::escape::pairs;
use strongroom_seal::{random, sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Args;
use crate::browser;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How long the person may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// What a browser sends of itself is not longer.
const HEAD: usize = 16 << 10;
/// Who sends a byte now and then does not keep the others out.
const SLOW: Duration = Duration::from_secs(5);

/// Where the browser comes back to, and what it has to know.
pub(super) struct Desk {
    listener: TcpListener,
    state: String,
    verifier: String,
    /// The address of the place.
    pub(super) redirect_uri: String,
}

impl Desk {
    /// Opens it at `port`, or at one that is free.
    pub(super) async fn open(port: u16) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|error| Failure::failed(error).hint("give another `--port`, or none"))?;
        let port = listener.local_addr().map_err(Failure::failed)?.port();
        let redirect_uri = format!("http://127.0.0.1:{port}/callback");
        Ok(Self { listener, state: drawn()?, verifier: drawn()?, redirect_uri })
    }

    /// Sends the browser to where `auth` says, and waits until it is back with a code of one of whom
    /// `is_from` says yes.
    pub(super) async fn code(
        &self,
        (args, host, output): (&Args, &Host, &Output),
        name: &Name,
        auth: &Auth,
        is_from: &(dyn Fn(Option<&str>) -> bool + Sync),
    ) -> Result<String, Failure> {
        let challenge = URL_SAFE_NO_PAD.encode(sha256(self.verifier.as_bytes()));
        let (redirect_uri, state) = (self.redirect_uri.as_str(), self.state.as_str());
        let consent = Consent { redirect_uri, state, challenge: &challenge };
        let url = consent_url(auth, &consent)
            .ok_or_else(|| Failure::failed("it is not said where one says yes"))?;
        output.tell(&format!("Open this address and say yes:\n\n  {url}\n"));
        // Where nobody looks, no window opens.
        if args.opens_browser(host.terminals) {
            match browser::open(host, &url) {
                Ok(true) => output.say("It was handed to your browser."),
                Ok(false) => {}
                Err(error) => output.warn(&format!("no browser was opened: {error}")),
            }
        }
        let late = |_| {
            Failure::new(Exit::Unavailable, "nobody said yes within five minutes")
                .hint(format!("run `strongroom login {name}` again"))
        };
        tokio::time::timeout(PATIENCE, self.answer(is_from)).await.map_err(late)?
    }

    /// What turns `code` into tokens.
    pub(super) fn proof<'a>(&'a self, code: &'a str) -> AuthorizationCode<'a> {
        AuthorizationCode { code, verifier: &self.verifier, redirect_uri: &self.redirect_uri }
    }

    /// The code that the browser brings back. What does not know our state is turned away.
    async fn answer(
        &self,
        is_from: &(dyn Fn(Option<&str>) -> bool + Sync),
    ) -> Result<String, Failure> {
        let ours = Secret::new(self.state.as_bytes().to_vec());
        loop {
            let (mut stream, _) = self.listener.accept().await.map_err(Failure::failed)?;
            let Ok(Ok(target)) = tokio::time::timeout(SLOW, target(&mut stream)).await else {
                continue;
            };
            let back = target.strip_prefix("/callback?").map(Back::read);
            let back = back.filter(|back| back.state.ct_eq(&ours));
            let Some(back) = back else {
                drop(say(&mut stream, "404 Not Found", "There is nothing here.").await);
                continue;
            };
            if !is_from(back.issuer.as_deref()) {
                drop(
                    say(&mut stream, "200 OK", "Nothing was changed. You can close this window.")
                        .await,
                );
                return Err(Failure::new(Exit::Denied, "another server answered than was asked"));
            }
            if let Some(code) = back.code {
                drop(
                    say(&mut stream, "200 OK", "Strongroom has it. You can close this window.")
                        .await,
                );
                return Ok(code);
            }
            drop(
                say(&mut stream, "200 OK", "Nothing was changed. You can close this window.").await,
            );
            return Err(Failure::new(Exit::Denied, "the server says that consent was not given"));
        }
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
