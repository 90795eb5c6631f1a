//! AWS Signature Version 4.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use strongroom_model::secret::Secret;

use crate::hex;

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The region, `eu-central-1`.
    pub region: &'a str,
    /// The service, `secretsmanager`.
    pub service: &'a str,
    /// The time as in `x-amz-date`: `20150830T123600Z`.
    pub time: &'a str,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path as it is sent, which is in its normal form.
    pub path: &'a str,
    /// The names and values of the query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Every header that is signed: lower-case names, each once, `host` and `x-amz-date` among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The value of `Authorization`.
pub fn authorization(
    key_id: &str,
    key: &Secret,
    scope: &Scope<'_>,
    request: &Request<'_>,
) -> String {
    let date = scope.time.split('T').next().unwrap_or_default();
    let place = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let (canonical, signed) = canonical(request);
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{}\n{place}\n{hash}", scope.time);
    let signature = hex(mac(&signing_key(key, date, scope), text.as_bytes()).as_ref());
    format!(
        "{ALGORITHM} Credential={key_id}/{place}, SignedHeaders={signed}, Signature={signature}"
    )
}

/// The request in the one form in which it is hashed, and the names of its signed headers.
fn canonical(request: &Request<'_>) -> (String, String) {
    let mut query: Vec<(String, String)> =
        request.query.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    query.sort();
    let query: Vec<String> =
        query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let mut lines = String::new();
    for (name, value) in &headers {
        let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        writeln!(lines, "{name}:{}", words.join(" ")).expect("a String takes everything");
    }
    let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed = signed.join(";");
    let body = hex(digest::digest(&digest::SHA256, request.body).as_ref());
    let Request { method, path, .. } = request;
    (format!("{method}\n{path}\n{}\n{lines}\n{signed}\n{body}", query.join("&")), signed)
}

fn signing_key(key: &Secret, date: &str, scope: &Scope<'_>) -> hmac::Tag {
    let mut first = zeroize::Zeroizing::new(Vec::with_capacity(4 + key.len()));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(key.expose());
    let date = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &first), date.as_bytes());
    let region = mac(&date, scope.region.as_bytes());
    mac(&mac(&region, scope.service.as_bytes()), b"aws4_request")
}

fn mac(key: &hmac::Tag, text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), text)
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");

    const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    fn signed(request: &Request<'_>) -> (String, String) {
        let key = Secret::new(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec());
        let scope = Scope { region: "us-east-1", service: "service", time: DATE.1 };
        let line = authorization("AKIDEXAMPLE", &key, &scope, request);
        let rest = line
            .strip_prefix(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=",
            )
            .unwrap();
        let (headers, signature) = rest.split_once(", Signature=").unwrap();
        (headers.to_owned(), signature.to_owned())
    }

    // The known answers of AWS's own suite of tests for signers (aws-sig-v4-test-suite).
    #[test]
    fn requests_are_signed_as_aws_signs_them() {
        let get =
            Request { method: "GET", path: "/", query: &[], headers: &[HOST, DATE], body: b"" };
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (name, request, headers, signature) in [
            (
                "get-vanilla",
                get,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                Request { query: &[("Param2", "value2"), ("Param1", "value1")], ..get },
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-query-unreserved",
                Request { query: &[(UNRESERVED, UNRESERVED)], ..get },
                "host;x-amz-date",
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                "get-vanilla-utf8-query",
                Request { query: &[("\u{1234}", "bar")], ..get },
                "host;x-amz-date",
                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ),
            (
                "get-header-value-trim",
                Request {
                    headers: &[
                        ("my-header2", " \"a   b   c\""),
                        HOST,
                        ("my-header1", " value1"),
                        DATE,
                    ],
                    ..get
                },
                "host;my-header1;my-header2;x-amz-date",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "post-vanilla",
                Request { method: "POST", ..get },
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                Request {
                    method: "POST",
                    headers: &[form, HOST, DATE],
                    body: b"Param1=value1",
                    ..get
                },
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            assert_eq!(signed(&request), (headers.to_owned(), signature.to_owned()), "{name}");
        }
    }
}
