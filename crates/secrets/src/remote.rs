//! A team server, asked with an API key of one of its tenants.
//!
//! The key goes to the origin that it was given for and nowhere else: no redirect is followed, no proxy
//! is asked, no variable is looked at. The origin, the authority whose certificates are believed and the
//! key are one [`Login`], which is sealed as a whole, so that no file says where a key is sent.
//!
//! What the server answers is judged as a stranger's words: bounded, read as JSON of a known shape, and
//! shown only after [`escape_line`].

pub mod answers;
mod login;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strongroom_model::display::escape_line;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use crate::http::json::{Part, object};
use crate::http::{Answer, Base, Broken, Failure, Http, Limits, Request, Session, Trust};

pub use login::{Login, LoginError};

/// Characters of the server's words that are shown.
const WORDS: usize = 300;

/// How long an answer may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Where a team server is: `https://HOST` or `https://HOST:PORT`, or `http://` of this machine.
#[derive(Clone, Debug)]
pub struct Address(Base);

/// Why something was not done at the server, or whether it was is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// There is no answer.
    #[error("`{at}` cannot be reached: {why}")]
    Unreachable {
        /// The server.
        at: String,
        /// Our words.
        why: &'static str,
        /// Whether its certificate is what is wrong.
        untrusted: bool,
    },
    /// There is one, which is not a team server's.
    #[error("`{at}` does not answer like a team server: {why}")]
    Strange {
        /// The server.
        at: String,
        /// Our words.
        why: &'static str,
    },
    /// What the authority's file holds is not certificates.
    #[error("the file with the certificate of the authority {0}")]
    Authority(&'static str),
    /// The server says no.
    #[error("{message} (`{code}`)")]
    Refused {
        /// The stable reason: letters and `_`.
        code: String,
        /// The server's words, as one safe line.
        message: String,
        /// Seconds after which trying again may help.
        retry_after_s: Option<u64>,
    },
    /// Nothing random can be had.
    #[error("nothing random can be had")]
    Random(#[from] strongroom_seal::RandomError),
}

/// One logged-in client.
pub struct Client {
    login: Login,
    session: Session,
}

/// A field of a credential.
pub struct NewField<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a Secret,
}

impl Address {
    /// Reads an address. The text is never repeated: it may hold a password.
    ///
    /// # Errors
    ///
    /// Our words on what it has to be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let base = Base::parse(text)?;
        if base.url().path() != "/" {
            return Err("it ends with the host or the port: a team server's paths are known");
        }
        Ok(Self(base))
    }

    /// `https://team.example.com`, without a slash at its end.
    pub fn origin(&self) -> String {
        self.0.url().as_str().trim_end_matches('/').to_owned()
    }
}

impl Client {
    /// A client for `login`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// `Authority`, where its certificates are none.
    pub fn new(login: Login) -> Result<Self, RemoteError> {
        let limits = Limits { total: PATIENCE, ..Limits::default() };
        let http = Http::with(Trust::Modern(login.authority.clone()), limits);
        let session = http.session().map_err(|failure| match failure {
            Failure::Absent { .. } => RemoteError::Authority("holds none that can be used"),
            _ => login.address.unreachable("our side of TLS cannot be set up"),
        })?;
        Ok(Self { login, session })
    }

    /// Whose key is sent where.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Gives the login back, to be kept.
    pub fn into_login(self) -> Login {
        self.login
    }

    /// Asks for what is at `path`.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, RemoteError> {
        // Reading again changes nothing.
        match self.ask(Method::GET, path, query, None, None).await {
            Err(Stopped::Cut(_)) => self.ask(Method::GET, path, query, None, None).await,
            other => other,
        }
        .map_err(Stopped::into)
    }

    /// Sends `body` to `path`. Whether it was done is not known where the connection breaks.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        self.write(Method::POST, path, body).await
    }

    /// Puts `body` to `path`.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        self.write(Method::PUT, path, body).await
    }

    /// Deletes what is at `path`.
    pub async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, RemoteError> {
        Ok(self.ask(Method::DELETE, path, query, None, None).await?)
    }

    /// Sends `body` to `path`, which heeds an `Idempotency-Key`: it is sent again where the connection
    /// breaks, and done once.
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        self.once(path, &Zeroizing::new(json(body))).await
    }

    /// Stores a credential in the place of the one of the same service and type.
    pub async fn store(
        &self,
        service: &str,
        kind: &str,
        fields: &[NewField<'_>],
    ) -> Result<answers::Stored, RemoteError> {
        let fields: Vec<_> =
            fields.iter().map(|field| (field.name, Part::Secret(field.value))).collect();
        let values = object(&fields);
        let head = json(&[service, kind]);
        // `["a","b"]`, written as the two values of an object.
        let (service, kind) = parts(&head);
        let all = [
            &b"{\"service\":"[..],
            service,
            b",\"credential_type\":",
            kind,
            b",\"credentials\":",
            &values,
            b"}",
        ];
        let mut body = Zeroizing::new(Vec::with_capacity(all.iter().map(|part| part.len()).sum()));
        for part in all {
            body.extend_from_slice(part);
        }
        self.once("/functions/v1/credentials/store", &body).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        let body = Some(Zeroizing::new(json(body)));
        Ok(self.ask(method, path, &[], body, Some(&drawn()?)).await?)
    }

    async fn once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Zeroizing<Vec<u8>>,
    ) -> Result<T, RemoteError> {
        let key = drawn()?;
        let send = || self.ask(Method::POST, path, &[], Some(body.clone()), Some(&key));
        match send().await {
            Err(Stopped::Cut(_)) => send().await,
            other => other,
        }
        .map_err(Stopped::into)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Zeroizing<Vec<u8>>>,
        once: Option<&str>,
    ) -> Result<T, Stopped> {
        let mut url = self.login.address.0.join(path.split('/').filter(|part| !part.is_empty()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = Request::json(method, url, body).token("x-api-key", &self.login.key);
        let request = match once {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let answer = self.session.exchange(request).await.map_err(|broken| {
            let error = RemoteError::Unreachable {
                at: self.login.address.origin(),
                why: broken.why(),
                untrusted: broken == Broken::Untrusted,
            };
            if broken == Broken::Cut { Stopped::Cut(error) } else { Stopped::Over(error) }
        })?;
        self.read(&answer).map_err(Stopped::Over)
    }

    /// The `data` of an answer, or why there is none.
    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, RemoteError> {
        let strange = |why| RemoteError::Strange { at: self.login.address.origin(), why };
        if (300..400).contains(&answer.status) {
            return Err(strange(
                "it redirects, which is not followed: give the address it leads to",
            ));
        }
        let envelope: Envelope<'_> =
            answer.body.read().map_err(|_| strange("its answer has not the known form"))?;
        match envelope {
            Envelope { ok: true, data: Some(data), .. } if answer.status == 200 => {
                serde_json::from_str(data.get())
                    .map_err(|_| strange("its answer has not the known fields"))
            }
            Envelope { ok: false, error: Some(Said { code, message, details }), .. }
                if is_code(&code) =>
            {
                let (message, cut) = escape_line(&message, WORDS);
                let message = if cut { format!("{message}...") } else { message };
                let retry_after_s = details.and_then(|details| details.retry_after_s);
                Err(RemoteError::Refused { code, message, retry_after_s })
            }
            _ => Err(strange("its answer has not the known form")),
        }
    }
}

impl Address {
    fn unreachable(&self, why: &'static str) -> RemoteError {
        RemoteError::Unreachable { at: self.origin(), why, untrusted: false }
    }
}

/// How a request ended that was not answered well.
enum Stopped {
    /// The connection broke: it may have been done.
    Cut(RemoteError),
    Over(RemoteError),
}

impl From<Stopped> for RemoteError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Cut(error) | Stopped::Over(error) => error,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    ok: bool,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error: Option<Said>,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    retry_after_s: Option<u64>,
}

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("our own shapes are JSON")
}

/// The two texts of a list of two, as they are written.
fn parts(list: &[u8]) -> (&[u8], &[u8]) {
    let texts: [&RawValue; 2] = serde_json::from_slice(list).expect("it was just written");
    (texts[0].get().as_bytes(), texts[1].get().as_bytes())
}

/// 128 random bits, as text.
fn drawn() -> Result<String, strongroom_seal::RandomError> {
    let mut bits = [0; 16];
    strongroom_seal::random(&mut bits)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_origin_and_plain_http_stays_on_the_machine() {
        for (text, origin) in [
            ("https://team.example.com", Some("https://team.example.com")),
            ("https://team.example.com/", Some("https://team.example.com")),
            ("HTTPS://Team.Example.com:443", Some("https://team.example.com")),
            ("https://team.example.com:8443", Some("https://team.example.com:8443")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("http://localhost:8080", Some("http://localhost:8080")),
            ("http://team.example.com", None),
            ("http://10.0.0.1", None),
            ("https://me:canary@team.example.com", None),
            ("https://canary@team.example.com", None),
            ("https://team.example.com/mcp", None),
            ("https://team.example.com//", None),
            ("https://team.example.com/?x", None),
            ("https://team.example.com/#x", None),
            ("team.example.com", None),
            ("file:///etc/passwd", None),
            ("", None),
        ] {
            let address = Address::parse(text);
            if let Err(why) = &address {
                assert!(!why.contains("canary"));
            }
            assert_eq!(address.ok().map(|address| address.origin()).as_deref(), origin, "{text}");
        }
    }

    #[test]
    fn a_code_is_a_word() {
        for (text, fits) in
            [("not_found", true), ("", false), ("a b", false), ("A", false), ("a\u{1b}", false)]
        {
            assert_eq!(is_code(text), fits, "{text}");
        }
    }

    #[test]
    fn texts_of_a_body_are_written_whatever_they_are() {
        let list = json(&["a\"b\\", "c,]"]);
        assert_eq!(parts(&list), (&br#""a\"b\\""#[..], &br#""c,]""#[..]));
    }
}
