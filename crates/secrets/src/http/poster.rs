//! Posts what is exported to where it is collected, by the same client and the same rules: roots that are
//! built in, no proxy, no redirect.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Url};

use super::{Trust, sensitive, tls};

/// Where something is posted, as it is configured.
#[derive(Clone)]
pub struct Target {
    /// The address, `https://` or `http://`.
    pub url: String,
    /// Headers of every request. Their values may be secret.
    pub headers: Vec<(String, String)>,
    /// A PEM file with the certificate of an authority beside those that are built in.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Why nothing can be posted there. What is configured is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PosterError {
    /// The address is not one, or has a name and password in it.
    #[error("the address is not `http://HOST:PORT/PATH` or `https://HOST/PATH`")]
    Address,
    /// Headers with their secrets would cross a network in the clear.
    #[error("headers go out over `https://` only, or to this machine")]
    Plaintext,
    /// A header cannot stand in a request.
    #[error("a header cannot stand in a request")]
    Header,
    /// The file of the authority cannot be used.
    #[error("the file of the certificate cannot be used")]
    Certificate,
}

const US: &str = concat!("strongroom/", env!("CARGO_PKG_VERSION"));

/// A client for one place.
pub struct Poster {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl Poster {
    /// A client for `target`. Nothing is connected before it is used.
    ///
    /// # Errors
    ///
    /// It cannot be spoken to, or not safely.
    pub fn new(target: &Target) -> Result<Self, PosterError> {
        let url = Url::parse(&target.url).map_err(|_| PosterError::Address)?;
        let host = url.host_str().ok_or(PosterError::Address)?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let plain = !url.username().is_empty() || url.password().is_some();
        match url.scheme() {
            _ if plain => return Err(PosterError::Address),
            "https" => {}
            "http" if here || target.headers.is_empty() => {}
            "http" => return Err(PosterError::Plaintext),
            _ => return Err(PosterError::Address),
        }
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(US));
        for (name, value) in &target.headers {
            let name: HeaderName = name.parse().map_err(|_| PosterError::Header)?;
            let value = HeaderValue::from_str(value).map_err(|_| PosterError::Header)?;
            headers.insert(name, sensitive(value));
        }
        let tls = tls::config(&Trust::BuiltIn(target.ca_file.clone()))
            .map_err(|_| PosterError::Certificate)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .timeout(target.timeout)
            .build()
            .map_err(|_| PosterError::Certificate)?;
        Ok(Self { client, url, headers })
    }

    /// Posts `body`, whose type is `kind`; whether it was taken. What is answered is not read.
    pub async fn post(&self, kind: &'static str, body: Vec<u8>) -> bool {
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static(kind))
            .body(body);
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, headers: &[(&str, &str)]) -> Target {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let timeout = Duration::from_secs(1);
        Target { url: url.to_owned(), headers: headers.collect(), ca_file: None, timeout }
    }

    fn error(url: &str, headers: &[(&str, &str)]) -> Option<PosterError> {
        Poster::new(&target(url, headers)).err()
    }

    #[test]
    fn a_token_does_not_cross_a_network_in_the_clear() {
        let token = [("api-key", "canary")];
        assert_eq!(
            error("http://collector.test:4318/v1/traces", &token),
            Some(PosterError::Plaintext)
        );
        for fine in ["https://collector.test/x", "http://127.0.0.1:4318/x", "http://localhost/x"] {
            assert_eq!(error(fine, &token), None, "{fine}");
        }
        assert_eq!(error("http://collector.test:4318/v1/traces", &[]), None);
    }

    #[test]
    fn what_cannot_be_spoken_to_is_said_and_not_repeated() {
        for bad in ["canary", "ftp://h/x", "http://canary@h/x", "https://u:canary@h/x", ""] {
            assert_eq!(error(bad, &[]), Some(PosterError::Address), "{bad}");
        }
        for bad in [("a b", "x"), ("a", "x\ny")] {
            assert_eq!(error("https://h/", &[bad]), Some(PosterError::Header));
        }
        let ca_file = Some(PathBuf::from("/nonexistent"));
        let found = Poster::new(&Target { ca_file, ..target("https://h/", &[]) }).err();
        assert_eq!(found, Some(PosterError::Certificate));
    }
}
