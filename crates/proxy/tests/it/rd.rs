//! RD: a credential goes where the configuration says, whatever a response says.

use strongroom_model::audit::Kind;
use strongroom_model::call::{Body, Execute};
use strongroom_model::code::Code;
use strongroom_testkit::canary::K1;
use strongroom_testkit::upstream::{Reply, Seen};

use crate::rig::{Rig, get, header, text};

/// `/v1/public/go/STATUS` redirects to the value of `to`, everything else says what it got.
async fn rig() -> Rig {
    Rig::new(|seen: &Seen| {
        let target = seen
            .target
            .strip_prefix("/v1/public/go/")
            .or(seen.target.strip_prefix("/v1/items?go="));
        match target {
            Some(target) => {
                let (status, to) = target.split_once("?to=").or(target.split_once("&to=")).unwrap();
                Reply::status(status.parse().unwrap()).header("Location", decode(to)).body("moved")
            }
            None => Reply::ok(format!("{} {}", seen.method, seen.target)),
        }
    })
    .await
}

fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap().to_owned();
            out.push(u8::from_str_radix(&digits, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    out
}

fn go(status: u16, to: &str) -> Execute {
    let query = vec![("to".to_owned(), to.to_owned())];
    Execute { query, ..get("acme", &format!("/public/go/{status}")) }
}

#[tokio::test]
async fn a_redirect_to_what_the_policy_allows_is_followed_with_the_credential() {
    let rig = rig().await;
    let absolute = format!("http://api.test:{}/v1/public/there?a=1", rig.upstream.address().port());
    for status in [301, 302, 303, 307, 308] {
        for to in ["/v1/public/there?a=1", &absolute] {
            let answer = rig.allowed(go(status, to)).await;
            assert_eq!(text(&answer), "GET /v1/public/there?a=1", "{status} {to}");
            assert_eq!(rig.last().values("authorization"), [format!("Bearer {K1}")]);
        }
    }
    let head = Execute { method: "HEAD".into(), ..go(302, "/v1/public/there") };
    rig.allowed(head).await;
    assert_eq!(rig.last().method, "HEAD");
}

// RD-02
#[tokio::test]
async fn every_hop_is_recorded_under_the_id_of_its_call() {
    let rig = rig().await;
    rig.audit.take();
    rig.allowed(go(302, "/v1/public/there")).await;
    let records = rig.audit.take();
    let kinds: Vec<_> = records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Intent, Kind::Redirect, Kind::Outcome]);
    assert_eq!(records[1].path.as_deref(), Some("/public/there"));
    assert_eq!(records[1].rule, records[0].rule);
    assert!(records.iter().all(|record| record.audit_id == records[1].audit_id));
}

// RD-02
#[tokio::test]
async fn every_hop_is_judged_again() {
    let rig = rig().await;
    for to in ["/v1/admin", "/v1/public/secret/x", "/h/x", "/"] {
        let before = rig.upstream.requests();
        rig.failed(go(307, to), Code::RedirectDenied).await;
        assert_eq!(rig.upstream.requests(), before + 1, "{to}");
        rig.works().await;
    }
}

// RD-03
#[tokio::test]
async fn a_redirect_off_the_origin_is_never_followed() {
    let rig = rig().await;
    let (port, evil) = (rig.upstream.address().port(), rig.evil.address().port());
    for to in [
        &format!("http://evil.test:{evil}/v1/public/x"),
        &format!("//evil.test:{evil}/v1/public/x"),
        &format!("http://api.test:{evil}/v1/public/x"),
        &format!("https://api.test:{port}/v1/public/x"),
        &format!("http://api.test.:{port}/v1/public/x"),
        &format!("http://API.TEST:{port}/v1/public/x"),
        &format!("http://user@api.test:{port}/v1/public/x"),
        &format!("http://api.test:{port}@evil.test/v1/public/x"),
        &format!("http:/\\evil.test:{evil}/"),
        &format!("http://127.0.0.1:{port}/v1/public/x"),
        "http://api.test/v1/public/x",
        "data:text/plain,x",
        "file:///etc/passwd",
        "/v1/public/../admin",
        "/v1/public/%2e%2e/admin",
        "/v1/public/x\\y",
        "/v1/public/é",
        "",
    ] {
        let before = rig.upstream.requests();
        rig.failed(go(302, to), Code::RedirectDenied).await;
        assert_eq!(rig.upstream.requests(), before + 1, "{to}");
    }
    assert_eq!(rig.evil.connections(), 0);
    rig.works().await;
}

// RD-04
#[tokio::test]
async fn a_loop_ends_after_three_hops() {
    let rig = Rig::new(|seen: &Seen| match seen.target.as_str() {
        "/v1/public/fine" => Reply::ok("fine"),
        "/v1/public/3" => Reply::status(302).header("Location", "/v1/public/2"),
        "/v1/public/2" => Reply::status(302).header("Location", "/v1/public/1"),
        "/v1/public/1" => Reply::status(302).header("Location", "/v1/public/fine"),
        _ => Reply::status(302).header("Location", "/v1/public/loop"),
    })
    .await;
    rig.failed(get("acme", "/public/loop"), Code::UpstreamError).await;
    assert_eq!(rig.upstream.requests(), 4);
    assert_eq!(text(&rig.allowed(get("acme", "/public/3")).await), "fine");
}

// Decision 35
#[tokio::test]
async fn a_request_that_changes_something_is_not_sent_twice() {
    let rig = rig().await;
    let post = |status: u16, to: &str| Execute {
        method: "POST".into(),
        query: vec![("go".into(), status.to_string()), ("to".into(), to.into())],
        body: Body::Json("{}".into()),
        ..get("acme", "/items")
    };
    for status in [301, 302, 307, 308] {
        let before = rig.upstream.requests();
        rig.failed(post(status, "/v1/public/there"), Code::RedirectDenied).await;
        assert_eq!(rig.upstream.requests(), before + 1, "{status}");
    }
    // 303 says: look there for the answer (RFC 9110 §15.4.4).
    let answer = rig.allowed(post(303, "/v1/public/there")).await;
    assert_eq!(text(&answer), "GET /v1/public/there");
    assert!(rig.last().body.is_empty());
    assert!(rig.last().values("content-type").is_empty());
}

#[tokio::test]
async fn what_leads_nowhere_is_an_answer() {
    let rig = Rig::new(|seen: &Seen| match seen.target.as_str() {
        "/v1/public/304" => Reply::status(304).header("ETag", "\"1\""),
        "/v1/public/302" => Reply::status(302).body("no location"),
        "/v1/public/two" => {
            Reply::status(302).header("Location", "/v1/public/a").header("Location", "/v1/public/b")
        }
        _ => Reply::ok("fine"),
    })
    .await;
    assert_eq!(rig.allowed(get("acme", "/public/304")).await.status, 304);
    assert_eq!(rig.allowed(get("acme", "/public/302")).await.status, 302);
    rig.failed(get("acme", "/public/two"), Code::RedirectDenied).await;
}

// RD-05, RD-06
#[tokio::test]
async fn headers_that_lead_elsewhere_are_not_acted_on() {
    let rig = Rig::new(|_| {
        let evil = "https://evil.test/";
        Reply::status(401)
            .header("Refresh", format!("0; url={evil}"))
            .header("Link", format!("<{evil}>; rel=preload"))
            .header("Content-Location", evil)
            .header("Alt-Svc", "h3=\"evil.test:443\"")
            .header("WWW-Authenticate", format!("Bearer realm=\"{evil}\""))
            .body("no")
    })
    .await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(answer.status, 401);
    assert_eq!(header(&answer, "alt-svc"), None);
    assert_eq!(rig.upstream.requests(), 1);
}

// RD-08
#[tokio::test]
async fn no_referer_tells_of_a_credential_in_a_query() {
    let rig = Rig::new(|seen: &Seen| match seen.target.split('?').next().unwrap() {
        "/q/there" => Reply::ok("<a href=\"https://evil.test/\">"),
        _ => Reply::status(302).header("Location", "/q/there"),
    })
    .await;
    rig.allowed(get("qry", "/x")).await;
    rig.allowed(get("qry", "/there")).await;
    for seen in rig.upstream.seen() {
        assert!(seen.values("referer").is_empty());
        assert!(seen.target.ends_with("?api_key=kQ3z7X"), "once, at each hop: {}", seen.target);
    }
    crate::rig::assert_records_clean(&rig.audit.records());
}
