//! Queries: what the path brought and what the `query` argument adds, in one canonical text.

use super::path::{
    check_text, decode, hex, is_pchar, is_unreserved, normalize, push_encoded, refused,
};
use super::{LONGEST_TARGET, Problem};
use crate::service::Service;

/// A query as it is sent, and as pairs.
pub(super) struct Query {
    /// Without the `?`; `None` where there is none.
    pub(super) text: Option<String>,
    /// Decoded, in order.
    pub(super) pairs: Vec<(String, String)>,
}

/// Reads the query of the path, `given`, and appends the pairs of `added`.
pub(super) fn read(
    service: &Service,
    given: Option<&str>,
    added: &[(String, String)],
) -> Result<Query, Problem> {
    let added_bytes = added.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    if added_bytes > LONGEST_TARGET {
        return Err("the query is longer than 16 KiB");
    }
    let mut text = given.map(read_given).transpose()?;
    let mut pairs = decode_pairs(text.as_deref().unwrap_or_default())?;
    let reserved = Reserved::of(service);
    reserved.check_text(text.as_deref().unwrap_or_default())?;

    for (name, _) in added {
        if pairs.iter().any(|(there, _)| there == name) {
            return Err("a query parameter stands both in the path and in `query`");
        }
    }
    for (name, value) in added {
        if name.is_empty() {
            return Err("a query parameter has no name");
        }
        check_text(name.as_bytes())?;
        check_text(value.as_bytes())?;
        reserved.check_name(name)?;
        let text = text.get_or_insert_default();
        if !text.is_empty() {
            text.push('&');
        }
        push_component(text, name);
        text.push('=');
        push_component(text, value);
        pairs.push((name.clone(), value.clone()));
    }
    Ok(Query { text, pairs })
}

/// Refuses `_method` in the form that `body` may be, for a service that honours it (PB-17).
///
/// A body that says it is JSON is not looked at. Any other may be taken for a form by a lenient
/// framework, whatever it says of itself.
pub(super) fn refuse_override_in_form(
    headers: &[(String, String)],
    body: &[u8],
) -> Result<(), Problem> {
    let json = headers.iter().any(|(name, value)| {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        name == "content-type" && (essence == "application/json" || essence.ends_with("+json"))
    });
    if json || body.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(body);
    let field = text.split(['&', ';', '\n']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        fold(name) == OVERRIDE
    });
    let part = memchr::memmem::find(body.to_ascii_lowercase().as_slice(), OVERRIDE.as_bytes());
    let multipart = headers.iter().any(|(name, value)| {
        name == "content-type" && value.to_ascii_lowercase().starts_with("multipart/")
    });
    if field || multipart && part.is_some() { Err(OVERRIDDEN) } else { Ok(()) }
}

/// The names that the agent may not send.
struct Reserved {
    /// Folded.
    slots: Vec<String>,
    method_override: bool,
}

const OVERRIDE: &str = "_method";
const OVERRIDDEN: Problem = "there is a `_method`, which would change what was asked for";

impl Reserved {
    fn of(service: &Service) -> Self {
        Self {
            slots: service.slots.query.iter().map(|name| fold(name)).collect(),
            method_override: service.grammar.method_override,
        }
    }

    /// Looks at every name in `text`, reading it with and without `;` as a separator.
    fn check_text(&self, text: &str) -> Result<(), Problem> {
        text.split(['&', ';'])
            .map(|pair| pair.split('=').next().unwrap_or_default())
            .try_for_each(|name| self.check_name(name))
    }

    fn check_name(&self, name: &str) -> Result<(), Problem> {
        if self.slots.is_empty() && !self.method_override {
            return Ok(());
        }
        let name = fold(name);
        if self.slots.contains(&name) {
            return Err("a query parameter has the name of one that carries the credential");
        }
        if self.method_override && name == OVERRIDE {
            return Err(OVERRIDDEN);
        }
        Ok(())
    }
}

/// A parameter's name as the most lenient upstream reads it: decoded as often as possible, without
/// white space around it, without the `[..]` of arrays, in lower case, and with `.`, `-` and space
/// as `_` (PB-19).
fn fold(name: &str) -> String {
    let text = decode_fully(name);
    let text = String::from_utf8_lossy(&text);
    let blank = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    let text = text.trim_start_matches(|c| blank(c) || c == '[');
    let text = text.split(['[', ']', '=']).next().unwrap_or_default().trim_end_matches(blank);
    text.chars()
        .map(|c| if blank(c) || matches!(c, '.' | '-') { '_' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

/// The octets behind `text`, triplets decoded until there are none. What a triplet turns into may be
/// the end of another one and never lies within another, so that one pass finds them all.
fn decode_fully(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        out.push(byte);
        while let [.., b'%', high, low] = out[..] {
            let Some((high, low)) = hex(high).zip(hex(low)) else { break };
            out.truncate(out.len() - 3);
            out.push(high << 4 | low);
        }
    }
    out
}

/// The canonical form of a query that came with the path. Brackets are encoded, which changes
/// nothing for anyone: `expand[]=x` is what many APIs document.
fn read_given(raw: &str) -> Result<String, Problem> {
    let text = normalize(raw, |byte| match byte {
        b'/' | b'?' | b'[' | b']' => Ok(()),
        _ if is_pchar(byte) => Ok(()),
        _ => Err(refused(byte)),
    })?;
    check_text(&decode(&text))?;
    Ok(if text.contains(['[', ']']) { text.replace('[', "%5B").replace(']', "%5D") } else { text })
}

fn decode_pairs(text: &str) -> Result<Vec<(String, String)>, Problem> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode_form(name)?, decode_form(value)?))
        })
        .collect()
}

fn decode_form(text: &str) -> Result<String, Problem> {
    Ok(check_text(&decode(&text.replace('+', " ")))?.to_owned())
}

fn push_component(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            push_encoded(out, byte);
        }
    }
}
