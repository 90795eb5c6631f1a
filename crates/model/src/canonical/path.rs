//! Paths: one spelling for each, and none for what two programs could read in two ways.

use super::{Grammar, Problem};

/// The canonical form of `raw`, a path without query.
///
/// Unreserved octets are decoded and the hex digits of all others are upper case (RFC 3986
/// §6.2.2); everything else stays as it was. A path that comes out starts with exactly one `/`, has
/// no empty segment but perhaps the last, and no dot segment in any encoding.
pub(crate) fn read(raw: &str, grammar: Grammar) -> Result<String, Problem> {
    if !raw.starts_with('/') || raw.starts_with("//") {
        return Err("the path does not start with exactly one `/`");
    }
    let path = normalize(raw, |byte| literal(byte, grammar))?;
    check_encoded(&path, grammar)?;
    check_twice_encoded(&path)?;
    check_segments(&path)?;
    Ok(path)
}

/// Decodes unreserved octets, upper-cases the hex digits of the others, and lets `literal` judge
/// every byte that stands unencoded.
pub(super) fn normalize(
    raw: &str,
    literal: impl Fn(u8) -> Result<(), Problem>,
) -> Result<String, Problem> {
    let mut out = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            literal(byte)?;
            out.push(char::from(byte));
            continue;
        }
        let octet = match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => return Err("a `%` is not followed by two hex digits"),
        };
        if is_unreserved(octet) {
            out.push(char::from(octet));
        } else {
            push_encoded(&mut out, octet);
        }
    }
    Ok(out)
}

/// Appends `%XX`.
pub(super) fn push_encoded(out: &mut String, octet: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(octet >> 4)]));
    out.push(char::from(DIGITS[usize::from(octet & 15)]));
}

/// The octets behind `text`, every triplet decoded once. Anything that is no triplet stays.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let triplet = (byte == b'%').then(|| {
            let high = bytes.get(at + 1).copied().and_then(hex)?;
            let low = bytes.get(at + 2).copied().and_then(hex)?;
            Some(high << 4 | low)
        });
        if let Some(Some(octet)) = triplet {
            out.push(octet);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

/// What both paths and queries refuse of an unencoded byte, by its kind.
pub(super) fn refused(byte: u8) -> Problem {
    match byte {
        0..=0x1f | 0x7f => "there is a control character",
        b'\\' => "there is a backslash",
        b'#' => "there is a fragment",
        0x80.. => "there is a character beyond ASCII that is not percent-encoded",
        _ => "there is a character that has to be percent-encoded",
    }
}

/// RFC 3986 §2.3.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3: what may stand unencoded in a segment.
pub(super) fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';')
        || matches!(byte, b'=' | b':' | b'@')
}

/// Refuses control characters, C0 or C1, and what is not UTF-8.
pub(super) fn check_text(octets: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(octets).map_err(|_| "the encoded octets are not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("there is an encoded control character");
    }
    Ok(text)
}

fn literal(byte: u8, grammar: Grammar) -> Result<(), Problem> {
    match byte {
        b';' if !grammar.path_params => Err(PARAMS),
        b'/' => Ok(()),
        _ if is_pchar(byte) => Ok(()),
        _ => Err(refused(byte)),
    }
}

const PARAMS: Problem = "there is a `;` in the path, which this service does not allow";
const DOTS: Problem = "there is a dot segment in the path";
const EMPTY: Problem = "there is an empty segment in the path";

/// Looks at what stays encoded.
fn check_encoded(path: &str, grammar: Grammar) -> Result<(), Problem> {
    if !path.contains('%') {
        return Ok(());
    }
    check_text(&decode(path))?;
    for triplet in path.split('%').skip(1) {
        match triplet.get(..2) {
            Some("5C") => return Err("there is an encoded backslash"),
            Some("2F") if !grammar.encoded_slash => {
                return Err("there is an encoded slash, which this service does not allow");
            }
            Some("3B") if !grammar.path_params => return Err(PARAMS),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses what turns into a dot, a slash, a backslash or a control character when it is decoded a
/// second, third, ... time. It runs on the canonical form: `%25%32%65` is `%252e` here.
fn check_twice_encoded(path: &str) -> Result<(), Problem> {
    for after in path.split("%25").skip(1) {
        let mut digits = after.as_bytes();
        while let Some(rest) = digits.strip_prefix(b"25") {
            digits = rest;
        }
        let octet = match digits {
            [high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        if octet.is_some_and(|octet| octet.is_ascii_control() || b"./\\;".contains(&octet)) {
            return Err("there is a separator, a dot or a control character that is encoded twice");
        }
    }
    Ok(())
}

fn check_segments(path: &str) -> Result<(), Problem> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() {
            if segments.peek().is_some() {
                return Err(EMPTY);
            }
            return Ok(());
        }
        // A segment with `%2F` in it is several to a program that decodes first, and one with `;`
        // is shorter to a program that cuts parameters off: each reading has to be harmless.
        let decoded = decode(segment);
        for part in decoded.split(|&byte| byte == b'/') {
            let name = part.split(|&byte| byte == b';').next().unwrap_or_default();
            match name.trim_ascii() {
                b"" => return Err(EMPTY),
                b"." | b".." => return Err(DOTS),
                _ => {}
            }
        }
    }
    Ok(())
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
