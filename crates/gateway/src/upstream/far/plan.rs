//! From a configured server to a place that can be reached, with its secrets.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_model::base_url::{BaseUrl, BaseUrlError};
use strongroom_model::far::Site;
use strongroom_model::network::Cidr;
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Piece, Template};
use strongroom_model::service::{Auth, Origin, Scheme, Service};

/// Bytes of an address and of a header's value at the most.
const LONGEST: usize = 8 << 10;

/// Headers of one server at the most.
const MOST_HEADERS: usize = 32;

/// A server as it is configured.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its address.
    pub url: &'a Template,
    /// Headers of every request, in lower case.
    pub headers: &'a BTreeMap<String, Template>,
}

/// What a server may be reached by beside its own words.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Whether an address of this machine that stands in the configuration may be reached, without TLS too:
    /// where a person wrote it for themselves, never for a tenant.
    pub here: bool,
    /// Addresses that would be refused but for this server.
    pub allow_ips: Vec<Cidr>,
    /// PEM of the certificate authorities to trust instead of the built-in ones.
    pub ca_pem: Option<Vec<u8>>,
    /// What `login` left, where somebody has logged in there.
    pub auth: Auth,
    /// Changes whenever the configuration of the server does, or what `login` left.
    pub revision: u64,
}

/// A server cannot be reached as it is configured. No value is repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Its address cannot be one.
    #[error("`url`: {0}")]
    Url(#[from] BaseUrlError),
    /// Its address has a blank or another character that an address does not have, or is too long.
    #[error("`url` has characters that an address does not have, or is too long")]
    Characters,
    /// A secret is missing.
    #[error("the secret of `{0}` was not released")]
    Missing(String),
    /// A header is one of the protocol's own, or its value cannot stand in one.
    #[error("the header `{name}` {problem}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The place of `server`, with the `secrets` that were released to it.
///
/// # Errors
///
/// It is not configured so that it could be reached. That it may not be is found out when it is dialled.
pub fn site<'s>(
    server: Address<'_>,
    secrets: &dyn Fn(&SecretRef) -> Option<&'s Secret>,
    reach: Reach,
) -> Result<Site, PlanError> {
    let Address { name, url, headers } = server;
    let url = text(url, secrets).ok_or_else(|| PlanError::Missing("url".to_owned()))?;
    let url = String::from_utf8(url).map_err(|_| PlanError::Characters)?;
    if url.len() > LONGEST || !url.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return Err(PlanError::Characters);
    }
    let (origin, target) = address(&url, reach.here)?;
    let mut service = Service::at(name.clone(), origin);
    service.allow_ips = reach.allow_ips;
    if reach.here && is_here(&service.origin) {
        let ranges: [Cidr; 2] =
            ["127.0.0.0/8", "::1/128"].map(|range| range.parse().expect("it is a range"));
        service.allow_ips.extend(ranges);
    }
    service.ca_pem = reach.ca_pem;
    service.auth = reach.auth;
    let mut hasher = DefaultHasher::new();
    (reach.revision, format!("{:?}", service.allow_ips), &service.ca_pem).hash(&mut hasher);
    service.revision = hasher.finish();
    if headers.len() > MOST_HEADERS {
        let (name, problem) = ("...".to_owned(), "is one of too many");
        return Err(PlanError::Header { name, problem });
    }
    let headers = headers.iter().map(|(name, value)| header(name, value, secrets));
    Ok(Site { service: Arc::new(service), target, headers: headers.collect::<Result<_, _>>()? })
}

/// The origin of `url`, and the target there, as it was written.
fn address(url: &str, here: bool) -> Result<(Origin, String), PlanError> {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (url, None),
    };
    if query.is_some_and(|query| query.contains('#')) {
        return Err(BaseUrlError::Query.into());
    }
    let origin = BaseUrl::parse(base, true)?.origin;
    if origin.scheme == Scheme::Http && !(here && is_here(&origin)) {
        return Err(BaseUrlError::Insecure.into());
    }
    let path = base.split_once("://").and_then(|(_, rest)| Some(&rest[rest.find('/')?..]));
    let mut target = path.unwrap_or("/").to_owned();
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    Ok((origin, target))
}

fn is_here(origin: &Origin) -> bool {
    let address: Option<IpAddr> = origin.host.parse().ok();
    &*origin.host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

fn header<'s>(
    name: &str,
    value: &Template,
    secrets: &dyn Fn(&SecretRef) -> Option<&'s Secret>,
) -> Result<(String, Secret), PlanError> {
    let unfit = |problem| PlanError::Header { name: name.to_owned(), problem };
    if name.starts_with("mcp-") || matches!(name, "accept" | "last-event-id" | "origin") {
        return Err(unfit("is one of the protocol's own"));
    }
    let value = text(value, secrets).ok_or_else(|| PlanError::Missing(name.to_owned()))?;
    let plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if value.len() > LONGEST || !value.iter().all(plain) {
        return Err(unfit("has a value that cannot stand in one"));
    }
    Ok((name.to_owned(), Secret::new(value)))
}

/// What `template` stands for; `None` where a secret is missing.
fn text<'s>(
    template: &Template,
    secrets: &dyn Fn(&SecretRef) -> Option<&'s Secret>,
) -> Option<Vec<u8>> {
    let mut length = 0;
    for piece in template.pieces() {
        length += match piece {
            Piece::Text(text) => text.len(),
            Piece::Reference(reference) => secrets(reference)?.len(),
        };
    }
    // All the room at once, so that no copy is left behind by a growing buffer.
    let mut whole = Vec::with_capacity(length);
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => whole.extend_from_slice(text.as_bytes()),
            Piece::Reference(reference) => whole.extend_from_slice(secrets(reference)?.expose()),
        }
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Server {
        name: Name,
        url: Template,
        headers: BTreeMap<String, Template>,
    }

    impl Server {
        fn is(&self) -> Address<'_> {
            Address { name: &self.name, url: &self.url, headers: &self.headers }
        }
    }

    fn server(url: &str, headers: &[(&str, &str)]) -> Server {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), value.parse().unwrap()));
        Server {
            name: "far".parse().unwrap(),
            url: url.parse().unwrap(),
            headers: headers.collect(),
        }
    }

    fn reach(here: bool) -> Reach {
        Reach { here, ..Reach::default() }
    }

    fn shown(url: &str, here: bool) -> Result<String, String> {
        let site = site(server(url, &[]).is(), &|_| None, reach(here));
        site.map(|site| format!("{} {}", site.service.origin, site.target))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn an_address_is_kept_as_it_was_written() {
        for (url, expected) in [
            ("https://h.test/mcp", "https://h.test /mcp"),
            ("https://h.test/mcp/", "https://h.test /mcp/"),
            ("https://H.test", "https://h.test /"),
            ("https://h.test:8443/a/b?tenant=1&x=%20", "https://h.test:8443 /a/b?tenant=1&x=%20"),
            ("https://h.test?x=1", "https://h.test /?x=1"),
        ] {
            assert_eq!(shown(url, false).as_deref(), Ok(expected), "{url}");
        }
    }

    // SS-11
    #[test]
    fn this_machine_is_reached_only_where_a_person_wrote_it_for_themselves() {
        for url in ["http://127.0.0.1:3000/mcp", "http://localhost:3000/mcp", "http://[::1]:1/mcp"]
        {
            let plan = |here| site(server(url, &[]).is(), &|_| None, reach(here));
            assert!(!plan(true).unwrap().service.allow_ips.is_empty(), "{url}");
            assert_eq!(plan(false).unwrap_err(), BaseUrlError::Insecure.into(), "{url}");
        }
        let tls = site(server("https://127.0.0.1:1/x", &[]).is(), &|_| None, reach(false)).unwrap();
        assert!(tls.service.allow_ips.is_empty(), "it is refused when it is dialled");
        for url in ["http://192.168.1.1/mcp", "http://h.test/mcp", "http://localhost.evil.test/"] {
            assert!(shown(url, true).unwrap_err().contains("plain http"), "{url}");
        }
        for url in [
            "https://u:p@h.test/",
            "https://h.test/#x",
            "https://h.test/?a#x",
            "https://h.test/a b",
            "ftp://h.test/",
        ] {
            assert!(shown(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn secrets_stand_in_headers_and_the_protocols_own_headers_are_not_theirs() {
        let key = Secret::new(b"canary-1".to_vec());
        let released = |_: &SecretRef| Some(&key);
        let plan = server("https://h.test", &[("authorization", "Bearer {{op://V/I/f}}")]);
        let made = site(plan.is(), &released, Reach::default()).unwrap();
        let (name, value) = &made.headers[0];
        assert_eq!((name.as_str(), value.expose()), ("authorization", &b"Bearer canary-1"[..]));
        assert!(!format!("{made:?}").contains("canary"));
        let error = site(plan.is(), &|_| None, Reach::default()).unwrap_err();
        assert_eq!(error, PlanError::Missing("authorization".to_owned()));
        for name in ["mcp-session-id", "mcp-method", "accept", "last-event-id"] {
            let plan = server("https://h.test", &[(name, "x")]);
            let error = site(plan.is(), &released, Reach::default()).unwrap_err().to_string();
            assert!(error.contains("the protocol's own"), "{error}");
        }
        let bad = Secret::new(b"canary\r\nx-evil: 1".to_vec());
        let plan = server("https://h.test", &[("x-key", "op://V/I/f")]);
        let error = site(plan.is(), &|_| Some(&bad), Reach::default()).unwrap_err().to_string();
        assert!(error.contains("`x-key`") && !error.contains("canary"), "{error}");
    }
}
