//! What of a response an agent may see: its status, the headers on a list, redacted, and the body
//! after its content codings are off (`decode`).

use http::header::{HeaderMap, HeaderName};
use strongroom_model::redact::{Clean, Redactor};

/// The headers that an agent may see, redacted, and the number of markers. One with a secret in its
/// name is left out, and counts.
pub(crate) fn visible(
    headers: &HeaderMap,
    redactor: &Redactor,
) -> (Vec<(String, Clean<String>)>, u64) {
    let mut markers = 0;
    let mut visible = Vec::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| is_visible(name)) {
        // The upstream may end the name of a family as it likes.
        let (_, in_name) = redactor.clean_text(name.as_str());
        markers += in_name;
        if in_name > 0 {
            continue;
        }
        let (value, found) = redactor.clean_text(&String::from_utf8_lossy(value.as_bytes()));
        markers += found;
        visible.push((name.as_str().to_owned(), value));
    }
    (visible, markers)
}

/// Lower-case names. What is missing on purpose: `set-cookie` and `www-authenticate` (credentials
/// and where to send them), `alt-svc` and `refresh` (other destinations), framing and codings (ours
/// now).
const VISIBLE: [&str; 32] = [
    "accept-patch",
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "deprecation",
    "etag",
    "expires",
    "idempotency-key",
    "last-modified",
    "link",
    "location",
    "pragma",
    "preference-applied",
    "request-id",
    "retry-after",
    "sunset",
    "vary",
    "warning",
    "x-github-request-id",
    "x-next-page",
    "x-page",
    "x-per-page",
    "x-request-id",
    "x-total-count",
    "x-total-pages",
];

/// Beginnings of further names: the families of rate limits.
const VISIBLE_FAMILIES: [&str; 4] =
    ["x-ratelimit-", "x-rate-limit-", "ratelimit-", "anthropic-ratelimit-"];

fn is_visible(name: &HeaderName) -> bool {
    let name = name.as_str();
    VISIBLE.binary_search(&name).is_ok()
        || name == "ratelimit"
        || VISIBLE_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_headers_are_sorted_and_hold_none_that_lead_elsewhere() {
        assert!(VISIBLE.is_sorted());
        for (name, expected) in [
            ("content-type", true),
            ("x-ratelimit-remaining", true),
            ("ratelimit", true),
            ("ratelimit-policy", true),
            ("set-cookie", false),
            ("www-authenticate", false),
            ("alt-svc", false),
            ("refresh", false),
            ("content-encoding", false),
            ("content-length", false),
            ("transfer-encoding", false),
            ("x-ratelimit", false),
        ] {
            assert_eq!(is_visible(&HeaderName::from_static(name)), expected, "{name}");
        }
    }
}
