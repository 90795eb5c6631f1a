//! HI: what the agent says in headers never becomes more than what a list allows.

use strongroom_model::code::Code;
use strongroom_testkit::canary::{K1, K2};
use strongroom_testkit::upstream::{Reply, Seen};

use crate::rig::{Rig, get, get_with, header, text};

async fn rig() -> Rig {
    Rig::new(|_| Reply::ok("fine")).await
}

fn authority(rig: &Rig) -> String {
    format!("api.test:{}", rig.upstream.address().port())
}

/// Whatever else arrived: our credential, our host, one framing.
fn assert_ours(rig: &Rig, seen: &Seen) {
    assert_eq!(seen.values("authorization"), [format!("Bearer {K1}")]);
    assert_eq!(seen.values("host"), [authority(rig)]);
    assert_eq!(seen.values("accept-encoding"), ["gzip, deflate, br, zstd"]);
    for name in ["transfer-encoding", "connection", "upgrade", "te", "expect", "referer", "cookie"]
    {
        assert!(seen.values(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn each_scheme_sends_its_credential_byte_for_byte() {
    let rig = rig().await;
    rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(rig.last().values("authorization"), [format!("Bearer {K1}")]);
    rig.allowed(get("hdr", "/x")).await;
    let sent = rig.last().headers.into_iter().find(|(name, _)| name == "x-api-key").unwrap().1;
    assert_eq!(sent, K2.as_bytes());
    rig.allowed(get("cookie", "/x")).await;
    assert_eq!(rig.last().values("cookie"), [format!("session={K1}")]);
}

// HI-01, HI-02, HI-04, HI-05, HI-06, HI-08, HI-09
#[tokio::test]
async fn headers_of_the_agent_never_reach_what_is_ours() {
    let rig = rig().await;
    for headers in [
        [("Authorization", "Bearer x"), ("authorization", "Basic y")],
        [("Host", "evil.test"), ("X-Forwarded-Host", "evil.test")],
        [("Forwarded", "host=evil.test"), ("X-Host", "evil.test")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
        [("TE", "trailers"), ("Trailer", "Authorization")],
        [("Connection", "close, Authorization"), ("Keep-Alive", "timeout=5")],
        [("Connection", "X-Api-Key"), ("Proxy-Connection", "keep-alive")],
        [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
        [("Accept-Encoding", "identity"), ("Expect", "100-continue")],
        [("Range", "bytes=0-9"), ("If-Range", "\"x\"")],
        [("Cookie", "session=x"), ("Proxy-Authorization", "Basic x")],
        [("X-Broker-Agent-Id", "admin"), ("Referer", "https://evil.test/")],
        [("Prefer", "respond-async"), ("Content-Length", "5, 5")],
    ] {
        let answer = rig.allowed(get_with("acme", "/public/x", &headers)).await;
        let seen = rig.last();
        assert_ours(&rig, &seen);
        for (name, value) in headers {
            assert!(!seen.values(name).contains(&value.to_owned()), "{name}");
        }
        assert!(!answer.dropped_headers.is_empty(), "{headers:?}");
    }
    assert!(
        rig.audit.records().iter().all(|record| record.principal.as_deref() == Some("default"))
    );
}

// HI-05, HI-07
#[tokio::test]
async fn the_slot_of_a_header_credential_is_ours_alone() {
    let rig = rig().await;
    let headers = [("X-Api-Key", "x"), ("Connection", "X-Api-Key")];
    rig.allowed(get_with("hdr", "/x", &headers)).await;
    let seen = rig.last();
    let sent: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-api-key").collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1, K2.as_bytes());
    for name in ["x_api_key", "X-Api-Key "] {
        rig.denied(get_with("hdr", "/x", &[(name, "x")]), Code::InvalidRequest).await;
    }
}

// HI-10
#[tokio::test]
async fn too_many_too_large_and_malformed_headers_are_refused() {
    let rig = rig().await;
    let many: Vec<(String, &str)> = (0..500).map(|n| (format!("x-{n}"), "x")).collect();
    let many: Vec<(&str, &str)> =
        many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let large = "x".repeat(1 << 20);
    for headers in [
        many.as_slice(),
        &[("accept", &large)],
        &[("", "x")],
        &[("a b:", "x")],
        &[("accept", "a\r\nX-Evil: 1")],
        &[("accept", "a\0")],
        &[("content-type", "multipart/form-data; boundary=\"\r\n\"")],
    ] {
        rig.denied(get_with("acme", "/public/x", headers), Code::InvalidRequest).await;
    }
}

// HI-08
#[tokio::test]
async fn a_service_may_let_the_agent_set_more_headers() {
    let mut rig = rig().await;
    let headers =
        [("User-Agent", "agent/1"), ("X-Foo", "a"), ("Range", "bytes=0-1"), ("Accept", "text/*")];
    rig.allowed(get_with("acme", "/public/x", &headers)).await;
    let ours = format!("strongroom/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(rig.last().values("user-agent"), [ours]);
    assert_eq!(rig.last().values("accept"), ["text/*"]);
    assert!(rig.last().values("x-foo").is_empty());

    rig.reconfigure(|service| {
        service.request_headers = vec!["user-agent".into(), "x-foo".into()];
        service.grammar.range = true;
    });
    let answer = rig.allowed(get_with("acme", "/public/x", &headers)).await;
    assert_eq!(answer.dropped_headers, Vec::<String>::new());
    assert_eq!(rig.last().values("user-agent"), ["agent/1"]);
    assert_eq!(rig.last().values("x-foo"), ["a"]);
    assert_eq!(rig.last().values("range"), ["bytes=0-1"]);
}

#[tokio::test]
async fn fixed_headers_win_over_the_agents_and_never_over_ours() {
    let mut rig = rig().await;
    rig.reconfigure(|service| {
        service.fixed_headers = vec![
            ("accept".into(), "application/vnd.acme+json".into()),
            ("authorization".into(), "Bearer fixed".into()),
            ("content-length".into(), "5".into()),
            ("connection".into(), "close".into()),
            ("host".into(), "evil.test".into()),
            ("accept-encoding".into(), "identity".into()),
        ];
    });
    rig.allowed(get_with("acme", "/public/x", &[("Accept", "text/html")])).await;
    assert_eq!(rig.last().values("accept"), ["application/vnd.acme+json"]);
    assert!(rig.last().values("content-length").is_empty());
    assert_ours(&rig, &rig.last());
}

// HI-11
#[tokio::test]
async fn a_credential_that_would_be_more_than_one_header_is_not_sent() {
    let rig = rig().await;
    let refusal = rig.failed(get("pem", "/x"), Code::SecretUnavailable).await;
    assert_eq!(refusal.message, "the credential of this service cannot stand in a header");
    assert_eq!(rig.upstream.connections(), 0);
    rig.works().await;
}

#[tokio::test]
async fn only_listed_headers_of_the_response_reach_the_agent() {
    let rig = Rig::new(|_| {
        Reply::ok("{}")
            .header("Content-Type", "application/json")
            .header("ETag", "\"1\"")
            .header("X-RateLimit-Remaining", "5")
            .header("Link", "<https://evil.test/>; rel=preload")
            .header("Set-Cookie", "a=b")
            .header("WWW-Authenticate", "Bearer realm=\"https://evil.test\"")
            .header("Alt-Svc", "h3=\"evil.test:443\"")
            .header("Refresh", "0; url=https://evil.test/")
            .header("X-Internal", "x")
    })
    .await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(text(&answer), "{}");
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert_eq!(header(&answer, "etag"), Some("\"1\""));
    assert_eq!(header(&answer, "x-ratelimit-remaining"), Some("5"));
    for name in
        ["set-cookie", "www-authenticate", "alt-svc", "refresh", "x-internal", "content-length"]
    {
        assert_eq!(header(&answer, name), None, "{name}");
    }
}
