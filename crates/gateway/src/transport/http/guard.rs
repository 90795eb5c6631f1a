//! What a request must show before its body is read.

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use strongroom_model::secret::Secret;

/// The names that the endpoint answers to.
pub(super) struct Guard {
    hosts: Vec<String>,
    /// How many of them are loopback's own.
    loopback: usize,
}

/// Why a request goes no further, as an HTTP status and words of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The status.
    pub(super) status: u16,
    /// The code in the body.
    pub(super) code: &'static str,
    /// The message in the body.
    pub(super) message: &'static str,
}

/// A bearer token of more bytes is none of ours.
const TOKEN: usize = 512;

impl Guard {
    /// The endpoint on `port`, which `more` names lead to as well.
    pub(super) fn new(port: u16, more: &[String]) -> Self {
        let mut hosts: Vec<_> =
            ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")).into();
        if port == 80 {
            hosts.extend(["127.0.0.1", "localhost", "[::1]"].map(str::to_owned));
        }
        let loopback = hosts.len();
        hosts.extend_from_slice(more);
        Self { hosts, loopback }
    }

    /// Whether the request was meant for us and does not come from a web page of others (MC-15).
    ///
    /// A page that an attacker's name server points at loopback still sends the attacker's name in
    /// `Host`, and a page of any other site sends its own name in `Origin`.
    pub(super) fn origin(&self, parts: &Parts) -> Result<(), Refused> {
        let refused = |message| Err(Refused { status: 403, code: "invalid_request", message });
        if parts.uri.authority().is_some() {
            return refused("the request names another server");
        }
        let Ok(Some(host)) = single(&parts.headers, &HOST) else {
            return refused("this is not a host name of this server");
        };
        let Some(at) = self.hosts.iter().position(|known| known == host) else {
            return refused("this is not a host name of this server");
        };
        let same = |origin: &str| {
            at < self.loopback && origin.strip_prefix("http://").is_some_and(|rest| rest == host)
        };
        match single(&parts.headers, &ORIGIN) {
            Ok(None) => Ok(()),
            Ok(Some(origin)) if same(origin) => Ok(()),
            _ => refused("requests from web pages are not accepted"),
        }
    }
}

/// Whether the head is within its cap, which the buffer that it was read into only approximates.
pub(super) fn head(parts: &Parts, cap: usize) -> Result<(), Refused> {
    let path = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    if path + parts.headers.iter().map(line).sum::<usize>() > cap {
        return Err(Refused {
            status: 431,
            code: "invalid_request",
            message: "the head is too large",
        });
    }
    Ok(())
}

/// The bearer token: exactly one, in exactly one form, and only in its header (AU-04, MC-16).
pub(super) fn token(headers: &HeaderMap) -> Result<Secret, Refused> {
    let odd = Err(Refused {
        status: 400,
        code: "invalid_request",
        message: "send exactly one `Authorization: Bearer <token>`",
    });
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(UNAUTHENTICATED) };
    if values.next().is_some() {
        return odd;
    }
    match value.as_bytes().strip_prefix(b"Bearer ") {
        Some(token)
            if (1..=TOKEN).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic) =>
        {
            Ok(Secret::new(token.to_vec()))
        }
        _ => odd,
    }
}

/// Nobody is known by the token, or there is none. The same bytes in every case.
pub(super) const UNAUTHENTICATED: Refused = Refused {
    status: 401,
    code: "unauthenticated",
    message: "send the token of a principal as `Authorization: Bearer <token>`",
};

/// What a POST must say of its body, before any of it is read.
pub(super) fn body(headers: &HeaderMap, cap: usize) -> Result<(), Refused> {
    let refused = |status, message| Err(Refused { status, code: "invalid_request", message });
    let json = |value: &str| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    };
    let typed = matches!(single(headers, &CONTENT_TYPE), Ok(Some(value)) if json(value));
    if !typed || headers.contains_key(CONTENT_ENCODING) {
        return refused(415, "send the body as application/json");
    }
    let any = |range: &str| {
        let essence = range.split(';').next().unwrap_or_default().trim();
        ["application/json", "application/*", "*/*"]
            .iter()
            .any(|known| essence.eq_ignore_ascii_case(known))
    };
    let mut accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if !accepts.any(|value| value.split(',').any(any)) {
        return refused(406, "accept application/json");
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|n| n > cap as u64) {
        return Err(TOO_LARGE);
    }
    Ok(())
}

/// The body is over the cap.
pub(super) const TOO_LARGE: Refused =
    Refused { status: 413, code: "invalid_request", message: "the message is too large" };

/// The one page there is, and what can be done with it.
pub(super) fn route(parts: &Parts) -> Result<&Method, Refused> {
    if parts.uri.path() != "/mcp" {
        return Err(Refused { status: 404, code: "not_found", message: "there is only /mcp" });
    }
    method(&parts.method).map(|()| &parts.method)
}

/// What can be done with it.
pub(super) fn method(method: &Method) -> Result<(), Refused> {
    let known = matches!(*method, Method::GET | Method::POST | Method::DELETE);
    if known { Ok(()) } else { Err(NOT_ALLOWED) }
}

/// The method is none of ours.
pub(super) const NOT_ALLOWED: Refused =
    Refused { status: 405, code: "invalid_request", message: "send messages with POST" };

/// The one value of a header. Two, or bytes that are not plain text, are no value.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(());
    }
    first.map(|value| value.to_str().map_err(drop)).transpose()
}
