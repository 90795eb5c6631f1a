//! Arguments that a client of the modern era repeats in headers (streamable-http, "Custom Headers from Tool
//! Parameters"): what stands before us may have decided by them, so they have to say what the body says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::json::{self, Members};

/// The annotation in a schema.
const ANNOTATION: &str = "x-mcp-header";

/// Levels of properties in properties.
const DEPTH: usize = 16;

/// Whether `headers` (names in lower case, without `mcp-param-`) say what `arguments` say, as the tool whose
/// definition `text` is wants it. Headers that it does not know are nobody's business.
pub(super) fn agree(text: &str, arguments: &str, headers: &[(Box<str>, Box<str>)]) -> bool {
    if !text.contains(ANNOTATION) {
        return true;
    }
    let schema =
        Members::read(text).and_then(|tool| tool.get("inputSchema").and_then(Members::read));
    schema
        .is_none_or(|schema| properties(&schema, Members::read(arguments).as_ref(), headers, DEPTH))
}

fn properties(
    schema: &Members<'_>,
    arguments: Option<&Members<'_>>,
    headers: &[(Box<str>, Box<str>)],
    depth: usize,
) -> bool {
    let Some(all) = schema.get("properties").and_then(Members::read) else { return true };
    all.iter().all(|(name, property)| {
        let Some(property) = Members::read(property) else { return true };
        let argument = arguments.and_then(|all| all.get(name)).filter(|raw| *raw != "null");
        if let Some(header) = property.get(ANNOTATION).and_then(json::string) {
            let header = header.to_ascii_lowercase();
            let found = headers.iter().find(|(name, _)| **name == *header);
            return match (argument, found) {
                (None, None) => true,
                (Some(raw), Some((_, value))) => same(raw, value),
                _ => false,
            };
        }
        depth == 0
            || properties(&property, argument.and_then(Members::read).as_ref(), headers, depth - 1)
    })
}

/// Whether a header's value is the argument `raw`.
fn same(raw: &str, value: &str) -> bool {
    let Some(value) = plain(value) else { return false };
    match json::string(raw) {
        Some(text) => value == text.as_bytes(),
        None if raw == "true" || raw == "false" => value == raw.as_bytes(),
        None => {
            let number = |text: &str| text.parse::<f64>().ok();
            let value = str::from_utf8(&value).ok().and_then(number);
            value.is_some() && value == number(raw)
        }
    }
}

/// A header's value as the body has it: plain, or in the sentinel form for what a header cannot hold.
/// `None`: it is in that form, and not right.
pub(crate) fn plain(value: &str) -> Option<Vec<u8>> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(value.as_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str = r#"{"name":"x","inputSchema":{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},"n":{"type":"integer","x-mcp-header":"N"},
        "deep":{"type":"object","properties":{"on":{"type":"boolean","x-mcp-header":"On"}}},"free":{}}}}"#;

    fn agrees(arguments: &str, headers: &[(&str, &str)]) -> bool {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        agree(TOOL, arguments, &headers)
    }

    #[test]
    fn headers_say_what_the_arguments_say() {
        for (arguments, headers) in [
            ("{}", &[][..]),
            (r#"{"region":null,"free":1}"#, &[]),
            (r#"{"region":"us"}"#, &[("region", "us"), ("other", "1")]),
            (r#"{"region":"Hello"}"#, &[("region", "=?base64?SGVsbG8=?=")]),
            (r#"{"region":"SGVsbG8="}"#, &[("region", "SGVsbG8=")]),
            (r#"{"region":"=?base64?SGVsbG8="}"#, &[("region", "=?base64?SGVsbG8=")]),
            (r#"{"n":42}"#, &[("n", "42.0")]),
            (r#"{"deep":{"on":true}}"#, &[("on", "true")]),
        ] {
            assert!(agrees(arguments, headers), "{arguments} {headers:?}");
        }
        for (arguments, headers) in [
            (r#"{"region":"us"}"#, &[][..]),
            ("{}", &[("region", "us")]),
            (r#"{"region":"us"}"#, &[("region", "eu")]),
            (r#"{"region":"Hello"}"#, &[("region", "=?base64?SGVsbG8?=")]),
            (r#"{"region":"Hello"}"#, &[("region", "=?base64?SGVs!!!bG8=?=")]),
            (r#"{"n":42}"#, &[("n", "43")]),
            (r#"{"deep":{"on":true}}"#, &[("on", "True")]),
        ] {
            assert!(!agrees(arguments, headers), "{arguments} {headers:?}");
        }
        assert!(agree("{}", "{}", &[("region".into(), "us".into())]), "a tool that wants none");
    }
}
