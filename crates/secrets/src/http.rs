//! The HTTP client of the providers that are APIs: small, and deaf to everything around it.
//!
//! No proxy, no redirect, no variable of the environment, no cookie, and roots that are built in:
//! whoever can set variables or files of this process can neither send a token elsewhere nor read
//! along. What the other side says is never quoted; buffers that may hold secrets are wiped where
//! they are ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Method, Url};
use strongroom_model::secret::Secret;
use zeroize::{Zeroize as _, Zeroizing};

use crate::settings::{Context, Field, Kind, SettingError, Settings};

mod api;
pub(crate) mod failure;
pub(crate) mod json;
pub(crate) mod login;
mod poster;
pub(crate) mod several;
mod tls;

pub(crate) use api::{Api, Pass, Remote};
pub(crate) use failure::Failure;
pub(crate) use json::{Body, Fields};
pub(crate) use login::{Logins, Token};
pub use poster::{Poster, PosterError, Target};

/// The setting that names an authority beside those that are built in.
pub(crate) const CA_FILE: Field = Field {
    name: "ca_file",
    kind: Kind::Path,
    about: "PEM file with the certificate of an authority of your own",
};

/// How one provider is spoken to. Making one costs nothing; TLS is set up with the first question.
pub(crate) struct Http {
    trust: Trust,
    limits: Limits,
    tls: OnceLock<Result<rustls::ClientConfig, Failure>>,
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The authorities that are built in, and those in this file.
    BuiltIn(Option<PathBuf>),
    /// The same, by TLS 1.3 alone; or these authorities in their place, as PEM.
    Modern(Option<String>),
}

/// How an exchange ended before there was an answer, in our words: the library's would hold addresses
/// and queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Something cannot stand in a request.
    Unwritable,
    /// The other side's certificate is not believed.
    Untrusted,
    /// TLS cannot be agreed upon.
    Insecure,
    /// There was no answer in time.
    Late,
    /// No connection could be made.
    Unconnected,
    /// The connection broke before the answer was complete.
    Cut,
    /// The answer is larger than any that is expected.
    TooLarge,
}

/// What an answer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Time until there is a connection.
    pub connect: Duration,
    /// Time until the answer is here, whole.
    pub total: Duration,
    /// Bytes of the answer.
    pub body: usize,
}

/// The connections of one batch.
///
/// They are not kept for the next one: it may come hours later, in another runtime, after a
/// machine's sleep. TLS sessions are resumed, which costs little.
pub(crate) struct Session {
    client: Client,
    limits: Limits,
}

/// A request that is being written.
pub(crate) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    writable: bool,
}

/// An answer, whole.
pub(crate) struct Answer {
    /// The status.
    pub status: u16,
    /// What came with it.
    pub body: Body,
    /// Whether the other side says when to come again.
    retry: bool,
}

/// Where a provider is: an `https://` address, or `http://` of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Base(Url);

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(15), body: 16 << 20 }
    }
}

impl Http {
    /// Reads `ca_file` and `timeout`, which may be missing.
    pub(crate) fn new(settings: &Settings) -> Self {
        let ca_file = settings.text(CA_FILE.name).map(PathBuf::from);
        let usual = Limits::default();
        let limits = Limits { total: settings.timeout.unwrap_or(usual.total), ..usual };
        Self::with(Trust::BuiltIn(ca_file), limits)
    }

    /// One that believes nobody else.
    pub(crate) fn with(trust: Trust, limits: Limits) -> Self {
        Self { trust, limits, tls: OnceLock::new() }
    }

    /// The connections for one batch.
    pub(crate) fn session(&self) -> Result<Session, Failure> {
        let tls = self.tls.get_or_init(|| tls::config(&self.trust)).clone()?;
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // Nobody's name service decides where this is.
            .resolve_to_addrs("localhost", &here.map(|address| SocketAddr::new(address, 0)))
            .connect_timeout(self.limits.connect)
            .timeout(self.limits.total)
            .build()
            .map_err(|_| Failure::unreachable("our side of HTTP cannot be set up"))?;
        Ok(Session { client, limits: self.limits })
    }
}

impl Session {
    /// Sends `request` and reads the answer to its end.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        Ok(self.exchange(request).await?)
    }

    /// The same, for who has words of its own for what breaks.
    pub(crate) async fn exchange(&self, request: Request) -> Result<Answer, Broken> {
        if !request.writable {
            return Err(Broken::Unwritable);
        }
        let mut sent = self.client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            sent = sent.body(body);
        }
        let mut response = sent.send().await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let retry = response.headers().contains_key(RETRY_AFTER);
        let mut body = self.room(response.content_length())?;
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            if chunk.len() > self.limits.body - body.len() {
                return Err(Broken::TooLarge);
            }
            append(&mut body, &chunk);
            // Wiped where nobody else holds a part of it.
            if let Ok(mut chunk) = chunk.try_into_mut() {
                chunk.as_mut().zeroize();
            }
        }
        Ok(Answer { status, body: Body::new(body), retry })
    }

    fn room(&self, announced: Option<u64>) -> Result<Zeroizing<Vec<u8>>, Broken> {
        const USUAL: u64 = 4096;
        let length = usize::try_from(announced.unwrap_or(USUAL)).map_err(|_| Broken::TooLarge)?;
        if length > self.limits.body {
            return Err(Broken::TooLarge);
        }
        // What is announced is not yet there: no more than a little is set aside for it.
        Ok(Zeroizing::new(Vec::with_capacity(length.min(1 << 20))))
    }
}

/// Appends to `body`. Where it has to move, the old place is wiped.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if body.capacity() - body.len() < chunk.len() {
        let mut larger = Vec::with_capacity((body.len() + chunk.len()) * 2);
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
    body.extend_from_slice(chunk);
}

/// What went wrong on the way.
fn broken(error: &reqwest::Error) -> Broken {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        match of_tls(error) {
            Some(rustls::Error::InvalidCertificate(_)) => return Broken::Untrusted,
            Some(_) => return Broken::Insecure,
            None => {}
        }
        cause = error.source();
    }
    if error.is_timeout() {
        Broken::Late
    } else if error.is_connect() {
        Broken::Unconnected
    } else {
        Broken::Cut
    }
}

/// What TLS says. An error of I/O is not the source of the one that it wraps, and may be wrapped more
/// than once.
fn of_tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match inner {
        Some(inner) => of_tls(inner),
        None => error.downcast_ref(),
    }
}

impl Broken {
    /// What is said of it.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Unwritable => "a part of it cannot stand in a request",
            Self::Untrusted => "its certificate is not trusted",
            Self::Insecure => "it does not speak the TLS that we do",
            Self::Late => "it did not answer in time",
            Self::Unconnected => "no connection to it can be made",
            Self::Cut => "the connection broke before its answer was complete",
            Self::TooLarge => "its answer is larger than any that is expected",
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unwritable => Self::Unusable(broken.why()),
            Broken::Untrusted => Self::Unreachable(format!(
                "{} (`ca_file` names an authority of your own)",
                broken.why()
            )),
            _ => Self::unreachable(broken.why()),
        }
    }
}

impl Request {
    /// A question.
    pub(crate) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A question with a body, whose type is `kind`.
    ///
    /// The bytes are wiped when the library has let go of them.
    pub(crate) fn post(url: Url, kind: &'static str, body: Zeroizing<Vec<u8>>) -> Self {
        let mut request = Self::new(Method::POST, url);
        request.headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        request.body = Some(Bytes::from_owner(body));
        request
    }

    /// Any other question; a body is JSON.
    pub(crate) fn json(method: Method, url: Url, body: Option<Zeroizing<Vec<u8>>>) -> Self {
        let mut request = Self::new(method, url);
        if let Some(body) = body {
            let kind = HeaderValue::from_static("application/json");
            request.headers.insert(reqwest::header::CONTENT_TYPE, kind);
            request.body = Some(Bytes::from_owner(body));
        }
        request
    }

    fn new(method: Method, url: Url) -> Self {
        const US: &str = concat!("strongroom/", env!("CARGO_PKG_VERSION"));
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(US));
        headers.insert(reqwest::header::ACCEPT, HeaderValue::from_static("application/json"));
        Self { method, url, headers, body: None, writable: true }
    }

    /// With a header that is not secret.
    #[must_use]
    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        self.with(name, HeaderValue::from_str(value).ok())
    }

    /// With a header that is.
    #[must_use]
    pub(crate) fn token(self, name: &'static str, token: &Secret) -> Self {
        let value = HeaderValue::from_bytes(token.expose()).ok();
        self.with(name, value.map(sensitive))
    }

    /// With `Authorization: Bearer TOKEN`.
    #[must_use]
    pub(crate) fn bearer(self, token: &Secret) -> Self {
        let line = Zeroizing::new([b"Bearer ", token.expose()].concat());
        self.with(AUTHORIZATION.as_str(), HeaderValue::from_bytes(&line).ok().map(sensitive))
    }

    fn with(mut self, name: &'static str, value: Option<HeaderValue>) -> Self {
        match value {
            Some(value) => drop(self.headers.insert(HeaderName::from_static(name), value)),
            None => self.writable = false,
        }
        self
    }
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

impl Answer {
    /// The body, where the answer is what was asked for.
    pub(crate) fn ok(self) -> Result<Body, Failure> {
        match self.status {
            200 => Ok(self.body),
            _ => Err(self.failure()),
        }
    }

    /// What a status says where the API gives it no meaning of its own.
    pub(crate) fn failure(&self) -> Failure {
        match self.status {
            401 => Failure::TokenRejected,
            403 => Failure::Denied("the token that we have does not reach it"),
            404 => Failure::NotFound,
            429 => Failure::Limited,
            503 if self.retry => Failure::Limited,
            300..=399 => Failure::unreachable("it answers with a redirect, which is not followed"),
            500..=599 => Failure::Unreachable(format!(
                "it answers with an error of its own (HTTP {})",
                self.status
            )),
            status => Failure::Unreachable(format!(
                "it answers in a way that we do not know (HTTP {status})"
            )),
        }
    }
}

impl Base {
    /// Reads an address. The text is never repeated: it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "it is not an address")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a name or password may not stand in an address");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it ends with its path");
        }
        let host = url.host_str().ok_or("it names no host")?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if here => Ok(Self(url)),
            "http" => {
                Err("only `https://` is safe on a network; `http://` only reaches this machine")
            }
            _ => Err("it begins with `https://`"),
        }
    }

    /// The address at `key` of the settings.
    pub(crate) fn setting(
        settings: &Settings,
        key: &'static str,
    ) -> Result<Option<Self>, SettingError> {
        let Some(text) = settings.text(key) else { return Ok(None) };
        Self::parse(text).map(Some).map_err(|problem| SettingError {
            key,
            problem: problem.to_owned(),
            hint: Some("write `https://HOST` or `https://HOST:PORT`".to_owned()),
        })
    }

    /// The address in the first of these variables that is set.
    pub(crate) fn variable(context: &Context, names: &[&str]) -> Result<Option<Self>, Failure> {
        let found = names.iter().find_map(|name| Some((name, context.text(name)?)));
        let Some((name, text)) = found else { return Ok(None) };
        Self::parse(&text).map(Some).map_err(|problem| Failure::Absent {
            why: format!("what `{name}` holds is not the address of one: {problem}"),
            fix: format!("correct `{name}`, or unset it"),
        })
    }

    /// An address that is known to be one.
    pub(crate) fn known(text: &str) -> Result<Self, Failure> {
        Self::parse(text).map_err(|_| Failure::Unusable("its name does not make an address"))
    }

    /// This address with more segments, each of which is one segment whatever is in it.
    pub(crate) fn join<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The host, with the port where it is not the usual one.
    pub(crate) fn authority(&self) -> &str {
        self.0.authority()
    }

    /// The address as it is.
    pub(crate) fn url(&self) -> Url {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_the_machine() {
        for (text, fits) in [
            ("https://vault.example.com", true),
            ("https://vault.example.com:8200/prefix/", true),
            ("http://127.0.0.1:8200", true),
            ("http://127.9.9.9:8200", true),
            ("http://[::1]:8200", true),
            ("http://localhost:8200", true),
            ("http://vault.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1:8200", false),
            ("http://0.0.0.0:8200", false),
            ("http://127.0.0.1.example.com", false),
            ("ftp://vault.example.com", false),
            ("file:///etc/passwd", false),
            ("https://me:canary@vault.example.com", false),
            ("https://canary@vault.example.com", false),
            ("https://vault.example.com?x=y", false),
            ("https://vault.example.com#x", false),
            ("vault.example.com", false),
            ("", false),
        ] {
            let base = Base::parse(text);
            assert_eq!(base.is_ok(), fits, "{text}");
            assert!(base.is_ok() || !base.unwrap_err().contains("canary"));
        }
    }

    #[test]
    fn a_segment_stays_one_segment_and_never_leaves_the_path() {
        let base = Base::parse("https://v.example.com/a/").unwrap();
        for (segments, path) in [
            (&["b", "c"][..], "/a/b/c"),
            (&["b/c"], "/a/b%2Fc"),
            (&["b?c#d"], "/a/b%3Fc%23d"),
            (&["%2e%2e", "x"], "/a/%252e%252e/x"),
            (&["é"], "/a/%C3%A9"),
            (&["@evil.example"], "/a/@evil.example"),
        ] {
            let url = base.join(segments.iter().copied());
            assert_eq!(url.path(), path);
            assert_eq!((url.host_str(), url.query()), (Some("v.example.com"), None));
        }
    }
}
