//! RR: a secret that an upstream echoes does not come back.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use strongroom_model::code::Code;
use strongroom_testkit::canary::{K1, K2, K3};
use strongroom_testkit::upstream::{Reply, Seen, Upstream};

use crate::rig::{Rig, get, get_with, header, text};

/// Answers with its request, headers and all; `/fine` is fine.
fn echo(seen: &Seen) -> String {
    let headers = seen.headers.iter();
    let headers: serde_json::Map<String, serde_json::Value> = headers
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned().into()))
        .collect();
    serde_json::json!({ "url": seen.target, "headers": headers }).to_string()
}

// RR-01, RR-07
#[tokio::test]
async fn an_echoed_credential_comes_back_as_a_marker() {
    for status in [200, 404, 500] {
        let rig = Rig::new(move |seen| {
            Reply::status(status).header("Content-Type", "application/json").body(echo(seen))
        })
        .await;
        for (service, path, marker) in [
            ("acme", "/public/x", "Bearer [REDACTED:acme]"),
            ("hdr", "/x", "[REDACTED:hdr]"),
            ("qry", "/x", "api_key=[REDACTED:qry]"),
        ] {
            let answer = rig.allowed(get(service, path)).await;
            assert!(text(&answer).contains(marker), "{}", text(&answer));
            assert_eq!(answer.redactions, 1);
            assert_eq!(answer.status, status);
        }
    }
}

// RR-02
#[tokio::test]
async fn a_credential_in_a_response_header_comes_back_as_a_marker() {
    let rig = Rig::new(|_| {
        Reply::ok("fine")
            .header("X-Request-Id", K1)
            .header("ETag", format!("\"{K2}\""))
            .header("Link", format!("<https://api.test/?api_key={K3}>; rel=next"))
            .header("Set-Cookie", format!("session={K1}"))
            .header("WWW-Authenticate", format!("Bearer realm=\"{K1}\""))
    })
    .await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(header(&answer, "x-request-id"), Some("[REDACTED:acme]"));
    assert_eq!(header(&answer, "etag"), Some("\"[REDACTED:hdr]\""));
    let link = header(&answer, "link").unwrap();
    assert_eq!(link, "<https://api.test/?api_key=[REDACTED:qry]>; rel=next");
    assert_eq!(header(&answer, "set-cookie"), None);
    assert_eq!(header(&answer, "www-authenticate"), None);
    assert_eq!(answer.redactions, 3);
}

// RR-02
#[tokio::test]
async fn a_header_whose_name_holds_a_credential_does_not_come_back() {
    let hex = K1.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let name = format!("X-RateLimit-{hex}");
    let rig = Rig::new(move |_| {
        Reply::ok("fine").header(&name, "1").header("X-RateLimit-Remaining", "5")
    })
    .await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert!(!format!("{:?}", answer.headers).contains(&hex));
    assert_eq!(header(&answer, "x-ratelimit-remaining"), Some("5"));
    assert_eq!(answer.redactions, 1);
}

// RR-02
#[tokio::test]
async fn a_credential_in_the_reason_phrase_or_a_trailer_does_not_come_back() {
    let response = format!(
        "HTTP/1.1 200 {K1}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Request-Id\r\n\r\n\
         4\r\nfine\r\n0\r\nX-Request-Id: {K1}\r\n\r\n"
    );
    let rig = Rig::with(crate::rx::answering(response).await, |_| {}).await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(text(&answer), "fine");
    assert_eq!(header(&answer, "x-request-id"), None);
}

/// `bytes` after each of the words of `how`, in order.
fn encode(how: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for word in how.split(' ') {
        out = match word {
            "plain" => out,
            "gzip" => gzip(&out),
            "two-members" => {
                let (start, end) = out.split_at(out.len() / 2);
                [gzip(start), gzip(end)].concat()
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&out).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&out).unwrap();
                encoder.finish().unwrap()
            }
            "brotli" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
                encoder.write_all(&out).unwrap();
                encoder.into_inner()
            }
            "zstd" => zstd::encode_all(out.as_slice(), 3).unwrap(),
            "cut" => out[..40].to_vec(),
            "and-plain" => [out, bytes.to_vec()].concat(),
            other => panic!("`{other}` is no word"),
        };
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `echo`, encoded so and labelled so.
async fn encoded(how: &'static str, label: &'static str, kind: &'static str) -> Rig {
    Rig::new(move |seen| {
        if seen.target.ends_with("/fine") {
            return Reply::ok("fine");
        }
        let body = encode(how, echo(seen).as_bytes());
        let reply = Reply::ok(body).header("Content-Type", kind);
        if label.is_empty() { reply } else { reply.header("Content-Encoding", label) }
    })
    .await
}

// RR-05
#[tokio::test]
async fn a_credential_under_any_coding_is_found() {
    for (how, label) in [
        ("gzip", "gzip"),
        ("gzip", "x-gzip"),
        ("gzip", "GZIP"),
        ("gzip", "identity, gzip"),
        ("two-members", "gzip"),
        ("zlib", "deflate"),
        ("deflate", "deflate"),
        ("brotli", "br"),
        ("zstd", "zstd"),
        ("gzip gzip", "gzip, gzip"),
        ("deflate brotli", "deflate, br"),
        ("plain", "identity"),
    ] {
        let rig = encoded(how, label, "application/json").await;
        let answer = rig.allowed(get("acme", "/public/x")).await;
        assert!(text(&answer).contains("Bearer [REDACTED:acme]"), "{label}");
        assert_eq!(header(&answer, "content-encoding"), None);
        rig.works().await;
        assert_eq!(rig.upstream.connections(), 1, "the connection is good for more: {label}");
    }
}

// RR-05
#[tokio::test]
async fn a_body_that_redaction_cannot_read_is_withheld() {
    for (how, label, kind) in [
        ("gzip", "", "application/json"),
        ("gzip", "", "text/plain"),
        ("zlib", "", "application/problem+json"),
        ("zstd", "", "text/html; charset=utf-8"),
        ("gzip", "identity", "text/plain"),
        ("gzip gzip", "gzip", "application/json"),
        ("gzip", "br", "application/json"),
        ("plain", "gzip", "application/json"),
        ("gzip", "compress", "application/json"),
        ("gzip", "gzip;q=1", "application/json"),
        ("gzip gzip gzip", "gzip, gzip, gzip", "application/json"),
        ("gzip cut", "gzip", "application/json"),
        ("zlib and-plain", "deflate", "application/json"),
        ("gzip and-plain", "gzip", "application/json"),
    ] {
        let rig = encoded(how, label, kind).await;
        let before = rig.upstream.requests();
        rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
        assert_eq!(rig.upstream.requests(), before + 1);
        rig.works().await;
    }
}

#[tokio::test]
async fn an_archive_that_says_what_it_is_comes_through_byte_for_byte() {
    let rig = Rig::new(|_| {
        Reply::ok(gzip(b"an archive")).header("Content-Type", "application/octet-stream")
    })
    .await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(answer.body.get().as_ref(), gzip(b"an archive"));
}

#[tokio::test]
async fn a_response_without_a_body_may_name_a_coding() {
    let rig = Rig::new(|_| Reply::status(200).header("Content-Encoding", "gzip")).await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert!(answer.body.get().is_empty());
}

// RR-07
#[tokio::test]
async fn errors_of_the_connection_are_fixed_text() {
    let rig = Rig::new(|_| Reply::ok("fine")).await;
    rig.dns.set("api.test", &[&[]]);
    let refusal = rig.failed(get("qry", "/x"), Code::UpstreamError).await;
    assert_eq!(refusal.message, "the host has no address");

    let upstream = Upstream::http(|_| Reply::ok("fine")).await;
    let rig = Rig::with(upstream, |service| service.origin.port = 1).await;
    let refusal = rig.failed(get("qry", "/x"), Code::UpstreamError).await;
    assert_eq!(refusal.message, "the upstream cannot be reached");
}

// RR-08
#[tokio::test]
async fn a_credential_between_bytes_that_are_no_text_is_found_and_the_rest_stays() {
    let noise: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let body = [&noise, K1.as_bytes(), &[0xff, 0xfe], K2.as_bytes(), &noise].concat();
    let expected =
        [&noise[..], b"[REDACTED:acme]", &[0xff, 0xfe], b"[REDACTED:hdr]", &noise].concat();
    let rig = Rig::new(move |_| {
        Reply::ok(body.clone()).header("Content-Type", "application/octet-stream")
    })
    .await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(answer.body.get().as_ref(), expected);
    assert_eq!(answer.redactions, 2);
}

// RR-09
#[tokio::test]
async fn a_part_that_was_not_asked_for_is_withheld() {
    let mut rig = Rig::new(|seen| {
        if seen.target.ends_with("/fine") {
            return Reply::ok("fine");
        }
        Reply::status(206).header("Content-Range", "bytes 0-3/40").body("cnry")
    })
    .await;
    for i in 0..4 {
        let range = format!("bytes={i}-{i}");
        let call = get_with("acme", "/public/x", &[("Range", &range)]);
        rig.failed(call, Code::UpstreamError).await;
        assert!(rig.last().values("range").is_empty());
    }
    rig.reconfigure(|service| service.grammar.range = true);
    let call = get_with("acme", "/public/x", &[("Range", "bytes=0-3")]);
    assert_eq!(rig.allowed(call).await.status, 206);
    rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
}

// RR-14
#[tokio::test]
async fn the_secrets_of_other_services_are_found_too() {
    let rig = Rig::new(|_| Reply::ok(format!("{K1} {K2} {K3}"))).await;
    let answer = rig.allowed(get("hdr", "/x")).await;
    assert_eq!(text(&answer), "[REDACTED:acme] [REDACTED:hdr] [REDACTED:qry]");
}

// RR-12
#[tokio::test]
async fn what_an_endpoint_mints_is_redacted_where_the_service_lists_it() {
    let mut rig = Rig::new(|_| {
        Reply::ok("{\"access_token\": \"NEW-0123456789-access\", \"refresh_token\": \"NEW-0123456789-refresh\", \"expires_in\": 3600}")
            .header("Content-Type", "application/json")
    })
    .await;
    assert!(text(&rig.allowed(get("acme", "/public/x")).await).contains("NEW"), "nobody knows it");

    rig.reconfigure(|service| {
        service.redact_fields = vec!["access_token".into(), "refresh_token".into()];
    });
    let answer = rig.allowed(get("acme", "/public/x")).await;
    let expected = "{\"access_token\": \"[REDACTED:acme]\", \"refresh_token\": \"[REDACTED:acme]\", \
                    \"expires_in\": 3600}";
    assert_eq!(text(&answer), expected);
    assert_eq!(answer.redactions, 2);
}
