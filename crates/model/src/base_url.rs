//! The address of a service as a person writes it, read into its one form (PB-24, SS-07).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::canonical::{Grammar, path};
use crate::service::{Origin, Scheme};

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Scheme, host and port.
    pub origin: Origin,
    /// Empty, or a canonical path without a slash at the end.
    pub base_path: String,
}

/// Why a base URL cannot be one. The text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Neither `https://` nor `http://`.
    #[error("it does not have the form `https://HOST[:PORT][/PATH]`")]
    Form,
    /// `http://`, and the service does not say `insecure_transport`.
    #[error("it is plain http, which shows the key to the network")]
    Insecure,
    /// A user name or a password.
    #[error("it has a user name or a password in it")]
    Userinfo,
    /// Empty, or with characters or labels that host names do not have.
    #[error("its host is not a host name and not an address")]
    Host,
    /// Beyond ASCII.
    #[error("its host has characters beyond ASCII")]
    Unicode,
    /// An address in an unusual spelling.
    #[error("its host is an address in an unusual spelling")]
    Address,
    /// Not a number from 1 to 65535 without leading zeros.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A query or a fragment.
    #[error("it has a query or a fragment")]
    Query,
    /// A path that a request could not have either.
    #[error("its path cannot be used: {0}")]
    Path(&'static str),
}

impl BaseUrlError {
    /// What to write instead.
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Insecure => {
                "write `https://`, or say `insecure_transport = true` (`--insecure-transport`)"
            }
            Self::Userinfo => "use `auth` with the type `basic`",
            Self::Unicode => {
                "write the name in its ASCII form, `xn--...`, and check that it is the host you mean"
            }
            Self::Address => "write `127.0.0.1` or `[::1]`, in decimal and in full",
            Self::Query => "fixed query parameters are not part of a base URL",
            Self::Form | Self::Host | Self::Port | Self::Path(_) => return None,
        })
    }
}

impl BaseUrl {
    /// Reads `text`. `insecure_transport`: plain `http:` is what the person wants.
    ///
    /// # Errors
    ///
    /// Everything that is not `scheme://host[:port][/path]`, and every host, port or path that
    /// two programs could read in two ways.
    pub fn parse(text: &str, insecure_transport: bool) -> Result<Self, BaseUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(BaseUrlError::Form)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" if insecure_transport => Scheme::Http,
            "http" => return Err(BaseUrlError::Insecure),
            _ => return Err(BaseUrlError::Form),
        };
        if rest.contains(['?', '#']) {
            return Err(BaseUrlError::Query);
        }
        let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BaseUrlError::Userinfo);
        }
        let (host, port) = split_port(authority)?;
        let origin = Origin {
            scheme,
            host: read_host(host)?.into(),
            port: port.map_or(Ok(scheme.default_port()), read_port)?,
        };
        Ok(Self { origin, base_path: read_path(base)? })
    }
}

/// Splits at the colon behind the host, or behind the bracket of an IPv6 address.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), BaseUrlError> {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (literal, rest) = authority.split_at(bracket);
    match rest.find(':') {
        Some(_) if rest.matches(':').count() > 1 => Err(BaseUrlError::Port),
        Some(at) => Ok((&authority[..literal.len() + at], rest.get(at + 1..))),
        None => Ok((authority, None)),
    }
}

fn read_port(text: &str) -> Result<u16, BaseUrlError> {
    let port: u16 = text.parse().map_err(|_| BaseUrlError::Port)?;
    if port == 0 || port.to_string() != text { Err(BaseUrlError::Port) } else { Ok(port) }
}

fn read_host(text: &str) -> Result<String, BaseUrlError> {
    if !text.is_ascii() {
        return Err(BaseUrlError::Unicode);
    }
    let host = text.to_ascii_lowercase();
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let parsed: Ipv6Addr = address.parse().map_err(|_| BaseUrlError::Address)?;
        let canonical = parsed.to_string() == address && parsed.to_ipv4_mapped().is_none();
        return if canonical { Ok(address.to_owned()) } else { Err(BaseUrlError::Address) };
    }
    let host = host.strip_suffix('.').unwrap_or(&host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            // No host name has an underscore; names that are used within a network do.
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err(BaseUrlError::Host);
    }
    // What ends in a number is an address to every resolver (WHATWG URL §3.5), and to each in its
    // own way unless it is written in the usual form: `127.1`, `0x7f.1`, `017700000001`.
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if number && host.parse::<Ipv4Addr>().is_err() {
        return Err(BaseUrlError::Address);
    }
    Ok(host.to_owned())
}

fn read_path(text: &str) -> Result<String, BaseUrlError> {
    if matches!(text, "" | "/") {
        return Ok(String::new());
    }
    let path = path::read(text, Grammar::default()).map_err(BaseUrlError::Path)?;
    Ok(path.strip_suffix('/').map_or_else(|| path.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, BaseUrlError> {
        BaseUrl::parse(text, true).map(|url| format!("{}{}", url.origin, url.base_path))
    }

    // PB-24
    #[test]
    fn a_base_url_has_one_form() {
        for (written, kept) in [
            ("https://api.test", "https://api.test"),
            ("https://API.test/", "https://api.test"),
            ("HTTPS://api.test./v1/", "https://api.test/v1"),
            ("https://api.test:443/v1", "https://api.test/v1"),
            ("https://api.test:8443/%61pi", "https://api.test:8443/api"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("https://xn--80ak6aa92e.com", "https://xn--80ak6aa92e.com"),
            ("https://1.2.3.example", "https://1.2.3.example"),
            ("https://my_api.test", "https://my_api.test"),
        ] {
            assert_eq!(shown(written).as_deref(), Ok(kept), "{written}");
            assert_eq!(shown(kept).as_deref(), Ok(kept), "{kept} is a fixed point");
        }
        assert_eq!(BaseUrl::parse("https://api.test", false).unwrap().origin.port, 443);
    }

    // PB-24, SS-03, SS-07
    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use BaseUrlError::{Address, Form, Host, Path, Port, Query, Unicode, Userinfo};
        for (written, error) in [
            ("api.test", Form),
            ("ftp://api.test", Form),
            ("https:/api.test", Form),
            ("https://user:pw@api.test", Userinfo),
            ("https://api.test@evil.test", Userinfo),
            ("https://api.test:0443", Port),
            ("https://api.test:0", Port),
            ("https://api.test:65536", Port),
            ("https://api.test:", Port),
            ("https://api.test:+443", Port),
            ("https://api.test: 8443", Port),
            ("https://api.test:8443:80", Port),
            ("https://apі.test", Unicode), // a Cyrillic letter
            ("https://api.te\u{ad}st", Unicode),
            ("https://①②⑦.0.0.1", Unicode),
            ("https://127。0。0。1", Unicode),
            ("https://", Host),
            ("https:///x", Host),
            ("https://a..b", Host),
            ("https://.", Host),
            ("https://-a.test", Host),
            ("https://a b.test", Host),
            ("https://a%2e.test", Host),
            ("https://api.test\\@evil.test", Userinfo),
            ("https://api.test\\x", Host),
            ("https://0x7f.1", Address),
            ("https://2130706433", Address),
            ("https://017700000001", Address),
            ("https://127.1", Address),
            ("https://127.0.0.01", Address),
            ("https://0x7f000001", Address),
            ("https://1.2.3.4.5", Address),
            ("https://[::ffff:127.0.0.1]", Address),
            ("https://[0:0:0:0:0:0:0:1]", Address),
            ("https://[fe80::1%25eth0]", Address),
            ("https://api.test?x=1", Query),
            ("https://api.test/#x", Query),
        ] {
            assert_eq!(shown(written), Err(error), "{written}");
        }
        for written in ["https://a.test/../x", "https://a.test/%2e%2E/x", "https://a.test//x"] {
            assert!(matches!(shown(written), Err(Path(_))), "{written}");
        }
        for written in ["https://a.test/a%2fb", "https://a.test/a;b", "https://a.test/é"] {
            assert!(matches!(shown(written), Err(Path(_))), "{written}");
        }
    }

    // PB-24
    #[test]
    fn plain_http_has_to_be_asked_for() {
        assert_eq!(BaseUrl::parse("http://api.test", false), Err(BaseUrlError::Insecure));
        assert!(BaseUrl::parse("http://api.test", true).is_ok());
    }

    #[test]
    fn no_error_repeats_what_was_written() {
        for written in
            ["https://canary:canary@x", "canary", "https://x/canary\\", "https://x:canary"]
        {
            let error = BaseUrl::parse(written, true).unwrap_err();
            assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("canary"));
        }
    }
}
