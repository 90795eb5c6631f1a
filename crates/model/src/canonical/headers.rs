//! Request headers: an allow-list, and what can never be on it.

use super::Problem;
use crate::service::Service;

const MOST: usize = 100;
const LONGEST: usize = 64 << 10;

/// Headers with lower-case names that may be sent, and the names of those that were dropped.
type Sorted = (Vec<(String, String)>, Vec<String>);

/// Sorts `raw` into what may be sent and what is dropped.
///
/// Every header is held to the grammar of RFC 9110 §5, whether it is going to be sent or not.
pub(super) fn read(service: &Service, raw: Vec<(String, String)>) -> Result<Sorted, Problem> {
    if raw.len() > MOST {
        return Err("there are more than 100 headers");
    }
    if raw.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > LONGEST {
        return Err("the headers are larger than 64 KiB");
    }
    let mut headers = Vec::with_capacity(raw.len());
    for (mut name, value) in raw {
        check_name(&name)?;
        check_value(&value)?;
        name.make_ascii_lowercase();
        headers.push((name, value));
    }
    // What `Connection` names belongs to one hop and goes no further (RFC 9110 §7.6.1, HI-05).
    let hop: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name == "connection" || name == "proxy-connection")
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();

    let (mut sent, mut dropped) = (Vec::<(String, String)>::new(), Vec::new());
    for (name, value) in headers {
        if hop.contains(&name) || !is_allowed(service, &name) {
            if !dropped.contains(&name) {
                dropped.push(name);
            }
            continue;
        }
        if sent.iter().any(|(there, _)| *there == name) {
            return Err("a header is given twice");
        }
        if name == "content-type" && !is_media_type(&value) {
            return Err("the content-type is not a media type");
        }
        sent.push((name, value));
    }
    Ok((sent, dropped))
}

/// Whether `name`, in lower case, may be in a service's `request_headers`.
///
/// Never: what frames the message or belongs to one hop, what routes it, what authenticates, what
/// speaks for somebody else or for another method, and what is ours to say. The slots and the fixed
/// headers of a service are refused to the agent besides.
pub fn may_be_allowed(name: &str) -> bool {
    const NEVER: [&str; 39] = [
        // Framing and hop-by-hop.
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        // Routing.
        "host",
        "x-host",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
        "x-rewrite-uri",
        "x-rewrite-url",
        "x-accel-redirect",
        "alt-used",
        // Authentication.
        "authorization",
        "cookie",
        "cookie2",
        "set-cookie",
        "set-cookie2",
        "www-authenticate",
        // Who is asking, and how.
        "forwarded",
        "referer",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-method-override",
        // Ours, or a matter of `range`.
        "accept-encoding",
        "early-data",
        "if-range",
        "range",
    ];
    const FAMILIES: [&str; 4] = ["proxy-", "x-forwarded", "x-http-method", "x-broker-"];
    check_name(name).is_ok()
        && !name.bytes().any(|byte| byte.is_ascii_uppercase())
        && !NEVER.contains(&name)
        && !FAMILIES.iter().any(|family| name.starts_with(family))
}

fn is_allowed(service: &Service, name: &str) -> bool {
    if service.slots.headers.iter().any(|slot| slot.eq_ignore_ascii_case(name))
        || service.fixed_headers.iter().any(|(fixed, _)| fixed.eq_ignore_ascii_case(name))
    {
        return false;
    }
    if matches!(name, "range" | "if-range") {
        return service.grammar.range;
    }
    let usual = matches!(name, "accept" | "content-type" | "idempotency-key")
        || name.starts_with("accept-")
        || name.starts_with("if-");
    may_be_allowed(name) && (usual || service.request_headers.iter().any(|there| there == name))
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.contains('_') {
        // Servers of the CGI family read `_` and `-` as the same (HI-07).
        return Err("a header's name has an underscore");
    }
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("a header's name is empty or has a character that may not stand in one");
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), Problem> {
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("a header's value has a control character");
    }
    if !value.is_ascii() {
        return Err("a header's value has a character beyond ASCII");
    }
    if value.trim_ascii() != value {
        return Err("a header's value has white space at an end");
    }
    Ok(())
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 §8.3.1: `type/subtype` and parameters.
fn is_media_type(value: &str) -> bool {
    let token = |text: &str| !text.is_empty() && text.bytes().all(is_token);
    let (essence, mut rest) = match value.split_once(';') {
        Some((essence, rest)) => (essence, Some(rest)),
        None => (value, None),
    };
    let Some((kind, subtype)) = essence.trim_end().split_once('/') else { return false };
    if !token(kind) || !token(subtype) {
        return false;
    }
    while let Some(parameters) = rest {
        let parameters = parameters.trim_start();
        let Some((name, value)) = parameters.split_once('=') else {
            // A `;` with nothing behind it is allowed.
            return parameters.is_empty();
        };
        let Some(after) = skip_value(value) else { return false };
        if !token(name) {
            return false;
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(more) => Some(more),
            None if after.is_empty() => None,
            None => return false,
        };
    }
    true
}

/// What stands behind the token or quoted string that `text` begins with.
fn skip_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
        return if end == 0 { None } else { text.get(end..) };
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return quoted.get(at + 1..),
            _ => {}
        }
    }
    None
}
