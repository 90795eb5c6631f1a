//! AWS Signature Version 4.

use aws_lc_rs::{digest, hmac};
use strongroom_model::secret::Secret;

use super::escape;
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
    /// The path as it is sent: without dot segments, percent-encoded.
    pub path: &'a str,
    /// The query as it is sent, without its `?`.
    pub query: &'a str,
    /// Every header that is signed: lower-case names, each once, `host` and `x-amz-date` among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The [`hash`] of the body, or [`UNSIGNED`].
    pub payload: &'a str,
}

/// A signature, in the parts of its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it is good for: date, region, service.
    pub scope: String,
    /// The names of the headers that are signed.
    pub headers: String,
    /// The signature itself.
    pub signature: String,
}

/// The name of the algorithm, with which the header begins.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Stands for the hash of a body that is not known yet, which S3 takes.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The hash of a body.
pub fn hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

/// The value of `Authorization`.
pub fn authorization(
    key_id: &str,
    key: &Secret,
    scope: &Scope<'_>,
    request: &Request<'_>,
) -> String {
    let Signature { scope, headers, signature } = sign(key, scope, request);
    format!(
        "{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={headers}, Signature={signature}"
    )
}

/// Signs `request`.
pub fn sign(key: &Secret, scope: &Scope<'_>, request: &Request<'_>) -> Signature {
    let date = scope.time.split('T').next().unwrap_or_default();
    let place = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let (canonical, headers) = canonical(request, keeps_path(scope.service));
    let text = format!("{ALGORITHM}\n{}\n{place}\n{canonical}", scope.time);
    let signature = hex(mac(&signing_key(key, date, scope), text.as_bytes()).as_ref());
    Signature { scope: place, headers, signature }
}

/// Whether `service` signs its paths encoded once, and not what is sent encoded again; and wants the
/// hash of every body in a header. These are S3 and what speaks as it does.
pub fn keeps_path(service: &str) -> bool {
    matches!(service, "s3" | "s3-outposts" | "s3-object-lambda" | "s3express")
}

/// The hash of the request in its one form, and the names of its signed headers.
///
/// A header may be a session token: what is hashed is never in one place.
fn canonical(request: &Request<'_>, keeps_path: bool) -> (String, String) {
    let path = if keeps_path {
        escape::encode_path(&escape::decode(request.path))
    } else {
        escape::encode_path(request.path.as_bytes())
    };
    let query = escape::sorted(escape::pairs(request.query.as_bytes()));
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed = signed.join(";");

    let mut hash = digest::Context::new(&digest::SHA256);
    for line in [request.method, &path, &query] {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    for (name, value) in &headers {
        hash.update(name.as_bytes());
        hash.update(b":");
        for (at, word) in value.split(' ').filter(|word| !word.is_empty()).enumerate() {
            hash.update(if at == 0 { b"" } else { b" " });
            hash.update(word.as_bytes());
        }
        hash.update(b"\n");
    }
    for part in ["\n", &signed, "\n", request.payload] {
        hash.update(part.as_bytes());
    }
    (hex(hash.finish().as_ref()), signed)
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const SHORT: &str = "host;x-amz-date";
    const ALL: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// The headers that were signed, and the signature.
    fn signed(request: &Request<'_>, body: &[u8]) -> (String, String) {
        let key = Secret::new(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec());
        let scope = Scope { region: "us-east-1", service: "service", time: DATE.1 };
        let signed = sign(&key, &scope, &Request { payload: &hash(body), ..*request });
        assert_eq!(signed.scope, "20150830/us-east-1/service/aws4_request");
        (signed.headers, signed.signature)
    }

    const GET: Request<'_> =
        Request { method: "GET", path: "/", query: "", headers: &[HOST, DATE], payload: "" };

    // The known answers of AWS's own suite of tests for signers (aws-sig-v4-test-suite).
    #[test]
    fn requests_are_signed_as_aws_signs_them() {
        let both = format!("{ALL}={ALL}");
        let path = format!("/{ALL}");
        for (name, request, signature) in [
            (
                "get-vanilla",
                GET,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-empty-query-key",
                Request { query: "Param1=value1", ..GET },
                "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
            ),
            (
                "get-vanilla-query-order-key",
                Request { query: "Param1=value2&Param1=Value1", ..GET },
                "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
            ),
            (
                "get-vanilla-query-order-key-case",
                Request { query: "Param2=value2&Param1=value1", ..GET },
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-query-order-value",
                Request { query: "Param1=value2&Param1=value1", ..GET },
                "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
            ),
            (
                "get-vanilla-query-unreserved",
                Request { query: &both, ..GET },
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                "get-vanilla-utf8-query",
                Request { query: "%E1%88%B4=bar", ..GET },
                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ),
            (
                "get-unreserved",
                Request { path: &path, ..GET },
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                "get-slash-pointless-dot, normalised",
                Request { path: "/example", ..GET },
                "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
            ),
            (
                "get-slashes, normalised",
                Request { path: "/example/", ..GET },
                "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ),
            (
                "post-vanilla",
                Request { method: "POST", ..GET },
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-vanilla-query",
                Request { method: "POST", query: "Param1=value1", ..GET },
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
        ] {
            assert_eq!(signed(&request, b""), (SHORT.to_owned(), signature.to_owned()), "{name}");
        }
    }

    #[test]
    fn headers_are_signed_as_aws_signs_them() {
        let quoted = ("my-header2", "\"a   b   c\"");
        let token = (
            "x-amz-security-token",
            "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRX\
             mxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburE\
             Dy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL\
             64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
        );
        let post = Request { method: "POST", ..GET };
        for (name, request, body, headers, signature) in [
            (
                "get-header-key-duplicate",
                Request { headers: &[HOST, ("my-header1", "value2,value2,value1"), DATE], ..GET },
                "",
                "host;my-header1;x-amz-date",
                "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            ),
            (
                "get-header-value-order",
                Request {
                    headers: &[HOST, ("my-header1", "value4,value1,value3,value2"), DATE],
                    ..GET
                },
                "",
                "host;my-header1;x-amz-date",
                "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
            ),
            (
                "get-header-value-trim",
                Request { headers: &[quoted, HOST, ("my-header1", " value1"), DATE], ..GET },
                "",
                "host;my-header1;my-header2;x-amz-date",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "post-header-value-case",
                Request { headers: &[HOST, ("my-header1", "VALUE1"), DATE], ..post },
                "",
                "host;my-header1;x-amz-date",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-sts-header-before",
                Request { headers: &[HOST, DATE, token], ..post },
                "",
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "post-x-www-form-urlencoded",
                Request { headers: &[FORM, HOST, DATE], ..post },
                "Param1=value1",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let expected = (headers.to_owned(), signature.to_owned());
            assert_eq!(signed(&request, body.as_bytes()), expected, "{name}");
        }
    }

    // get-space and get-utf8 of the suite sign the path encoded once, which the suite sends raw.
    #[test]
    fn a_path_is_encoded_again_but_for_s3() {
        let path = |service, path| {
            let key = Secret::new(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec());
            let scope = Scope { region: "us-east-1", service, time: DATE.1 };
            sign(&key, &scope, &Request { path, payload: &hash(b""), ..GET }).signature
        };
        assert_eq!(
            path("service", "/example space/"),
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"
        );
        assert_ne!(path("service", "/a%20b"), path("service", "/a b"));
        // Whatever is sent, S3 reads the name of the object and encodes it once.
        assert_eq!(path("s3", "/a%20b"), path("s3", "/a b"));
        assert_eq!(path("s3", "/a:b"), path("s3", "/a%3Ab"));
    }

    // The examples in the documentation of S3, `Signature Calculations for the Authorization Header`.
    #[test]
    fn the_examples_of_s3_come_out() {
        let key = Secret::new(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_vec());
        let scope = Scope { region: "us-east-1", service: "s3", time: "20130524T000000Z" };
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let date = ("x-amz-date", scope.time);
        let empty = hash(b"");
        let text = hash(b"Welcome to Amazon S3.");
        let nothing = ("x-amz-content-sha256", &*empty);
        let get = Request { headers: &[host, nothing, date], payload: &empty, ..GET };
        for (request, signature) in [
            (
                Request {
                    path: "/test.txt",
                    headers: &[host, ("range", "bytes=0-9"), nothing, date],
                    ..get
                },
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                Request {
                    method: "PUT",
                    path: "/test%24file.text",
                    headers: &[
                        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                        host,
                        ("x-amz-content-sha256", &text),
                        date,
                        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                    ],
                    payload: &text,
                    ..get
                },
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                Request { query: "lifecycle", ..get },
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                Request { query: "max-keys=2&prefix=J", ..get },
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            assert_eq!(sign(&key, &scope, &request).signature, signature, "{}", request.query);
        }
    }

    #[test]
    fn the_header_has_its_parts_in_order() {
        let key = Secret::new(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec());
        let scope = Scope { region: "us-east-1", service: "service", time: DATE.1 };
        assert_eq!(
            authorization("AKIDEXAMPLE", &key, &scope, &Request { payload: &hash(b""), ..GET }),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }
}
