//! RX: nothing an upstream or an agent does takes more than its share.

use std::io::Write as _;
use std::sync::Arc;

use strongroom_model::audit::Kind;
use strongroom_model::call::{Body, Execute};
use strongroom_model::code::Code;
use strongroom_model::ports::Calls as _;
use strongroom_model::service::{Scheme, Service};
use strongroom_testkit::fakes::caller;
use strongroom_testkit::upstream::{Reply, Step, Upstream};
use tokio::sync::oneshot;

use crate::rig::{Rig, get, text};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// An upstream that answers the first request of every connection with these bytes, then closes.
pub(crate) async fn answering(response: impl Into<Vec<u8>>) -> Upstream {
    Upstream::raw([Step::ReadHead, Step::Write(response.into())]).await
}

/// An upstream that begins an answer and never ends it.
async fn stalling(start: &str) -> Upstream {
    Upstream::raw([Step::ReadHead, Step::Write(start.into()), Step::Hang]).await
}

/// An upstream that sends `start`, then `more` for ever.
async fn flooding(start: &str, more: impl Into<Vec<u8>>) -> Upstream {
    Upstream::raw([Step::ReadHead, Step::Write(start.into()), Step::Flood(more.into())]).await
}

// RX-01
#[tokio::test]
async fn a_body_above_the_cap_stops_there_however_long_it_would_be() {
    let piece = vec![b'x'; 1 << 20];
    for (mebibytes, sized) in [(80, true), (80, false), (10 << 10, true), (10 << 10, false)] {
        let piece = piece.clone();
        let rig = Rig::new(move |seen| {
            let times = if seen.target.ends_with("/fine") { 1 } else { mebibytes };
            Reply::status(200).repeat(piece.clone(), times, sized)
        })
        .await;
        rig.failed(get("acme", "/public/x"), Code::ResponseTooLarge).await;
        rig.works().await;
    }
}

// RX-01
#[tokio::test]
async fn a_body_of_exactly_the_cap_comes_through_and_one_byte_more_does_not() {
    for sized in [true, false] {
        let upstream = Upstream::http(move |seen| {
            let length = seen.target.rsplit('/').next().unwrap().parse().unwrap_or(1);
            Reply::status(200).repeat("x", length, sized)
        });
        let rig = Rig::with(upstream.await, |service| service.limits.response_bytes = 1000).await;
        assert_eq!(rig.allowed(get("acme", "/public/1000")).await.body.get().len(), 1000);
        rig.failed(get("acme", "/public/1001"), Code::ResponseTooLarge).await;
    }
}

// RX-01
#[tokio::test]
async fn a_bomb_is_put_out_at_the_cap() {
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'x'; 80 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    assert!(bomb.len() < 100 << 10);
    let rig = Rig::new(move |seen| {
        if seen.target.ends_with("/fine") {
            return Reply::ok("fine");
        }
        Reply::ok(bomb.clone()).header("Content-Encoding", "gzip")
    })
    .await;
    rig.failed(get("acme", "/public/x"), Code::ResponseTooLarge).await;
    rig.works().await;
}

// RX-01
#[tokio::test]
async fn an_encoding_that_stands_for_nothing_has_an_end_too() {
    // Empty gzip members, one after another: bytes on the wire and none in the body.
    let empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let empty = empty.finish().unwrap();
    let start = format!("{OK}Content-Encoding: gzip\r\n\r\n");
    let upstream = flooding(&start, empty.repeat(1000)).await;
    let rig = Rig::with(upstream, |service| service.limits.response_bytes = 100 << 10).await;
    rig.failed(get("acme", "/public/x"), Code::ResponseTooLarge).await;
}

// RX-01
#[tokio::test]
async fn what_lies_between_two_codings_has_a_cap_too() {
    // 20 MB of empty gzip members, which zstd writes with a few KB: nothing on the wire, nothing in
    // the body, and no end in between.
    let rig = |times: usize| async move {
        let empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let empty = empty.finish().unwrap().repeat(times);
        let body = zstd::encode_all(empty.as_slice(), 3).unwrap();
        assert!(body.len() < 10 << 10);
        let reply = move |_: &_| Reply::ok(body.clone()).header("Content-Encoding", "gzip, zstd");
        let change = |service: &mut Service| service.limits.response_bytes = 100 << 10;
        Rig::with(Upstream::http(reply).await, change).await
    };
    let refused = rig(1_000_000).await;
    refused.failed(get("acme", "/public/x"), Code::ResponseTooLarge).await;
    let answer = rig(1_000).await.allowed(get("acme", "/public/x")).await;
    assert!(answer.body.get().is_empty());
}

// RX-03
#[tokio::test]
async fn an_upstream_that_stalls_is_left_at_the_deadline() {
    let quick = |service: &mut Service| {
        service.limits.first_byte_ms = 50;
        service.limits.total_ms = 200;
    };
    for start in [
        "",
        "HTTP/1.1 200 OK\r\nConte",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n",
        "HTTP/1.1 200 OK\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\x1f",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let rig = Rig::with(stalling(start).await, quick).await;
        rig.failed(get("acme", "/public/x"), Code::UpstreamTimeout).await;
        rig.upstream.wait_until_closed().await;
    }
}

// RX-03
#[tokio::test]
async fn a_handshake_that_stalls_is_left_at_the_deadline() {
    let rig = Rig::with(Upstream::raw([Step::Hang]).await, |service| {
        service.origin.scheme = Scheme::Https;
        service.limits.connect_ms = 50;
    })
    .await;
    rig.failed(get("acme", "/public/x"), Code::UpstreamTimeout).await;
    rig.upstream.wait_until_closed().await;
}

// RX-03, RX-04
#[tokio::test]
async fn a_caller_who_goes_away_takes_the_call_along() {
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n"] {
        let rig = Rig::with(stalling(start).await, |_| {}).await;
        let (go, gone) = oneshot::channel::<()>();
        let broker = Arc::clone(&rig.broker);
        let call = tokio::spawn(async move {
            let cancel = Box::pin(async { drop(gone.await) });
            broker.execute(&caller("default"), get("acme", "/public/x"), cancel).await
        });
        rig.upstream.wait_for_requests(1).await;
        go.send(()).unwrap();
        let finished = call.await.unwrap();
        let refusal = finished.result.unwrap_err();
        assert_eq!(refusal.code, Code::UpstreamError);
        assert_eq!(refusal.message, "the caller went away before the answer");
        rig.upstream.wait_until_closed().await;
        let records = rig.audit.records();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].kind, Kind::Outcome);
        assert_eq!(records[1].code, Some(Code::UpstreamError));
    }
}

// RX-05
#[tokio::test]
async fn one_principal_cannot_keep_another_waiting() {
    let rig = Rig::with(stalling("").await, |_| {}).await;
    let mut calls = Vec::new();
    for _ in 0..64 {
        let (go, gone) = oneshot::channel::<()>();
        let broker = Arc::clone(&rig.broker);
        let call = tokio::spawn(async move {
            let cancel = Box::pin(async { drop(gone.await) });
            broker.execute(&caller("default"), get("acme", "/public/x"), cancel).await
        });
        calls.push((go, call));
    }
    rig.upstream.wait_for_requests(64).await;
    for _ in 0..1000 {
        let finished = rig.call(get("acme", "/public/x")).await;
        assert_eq!(finished.result.unwrap_err().code, Code::RateLimited);
    }
    assert_eq!(rig.upstream.requests(), 64);

    let (default, other) = (caller("default"), caller("other"));
    let other = rig.broker.execute(
        &other,
        get("acme", "/public/x"),
        Box::pin(async { rig.upstream.wait_for_requests(65).await }),
    );
    assert_eq!(other.await.result.unwrap_err().code, Code::UpstreamError, "it went out");

    for (go, call) in calls {
        go.send(()).unwrap();
        call.await.unwrap();
    }
    // The places are free again.
    let again = rig.broker.execute(
        &default,
        get("acme", "/public/x"),
        Box::pin(async { rig.upstream.wait_for_requests(66).await }),
    );
    assert_eq!(again.await.result.unwrap_err().code, Code::UpstreamError, "it went out");
}

#[tokio::test]
async fn a_service_has_so_many_calls_a_minute_and_refused_ones_do_not_count() {
    let upstream = Upstream::http(|_| Reply::ok("fine")).await;
    let rig = Rig::with(upstream, |service| service.limits.calls_per_minute = 5).await;
    for _ in 0..20 {
        let finished = rig.call(get("acme", "/admin")).await;
        assert_eq!(finished.result.unwrap_err().code, Code::PolicyDenied);
    }
    let mut admitted = 0;
    let refusal = loop {
        match rig.call(get("acme", "/public/x")).await.result {
            Ok(_) => admitted += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(admitted, 5);
    assert_eq!(refusal.code, Code::RateLimited);
    let wait = refusal.retry_after_s.unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    rig.allowed(get("hdr", "/x")).await;
    rig.clock.advance(std::time::Duration::from_secs(wait));
    rig.works().await;
}

// RX-09
#[tokio::test]
async fn heads_and_trailers_have_caps() {
    let many = "X-A: b\r\n".repeat(100_000);
    let large = format!("X-A: {}\r\n", "b".repeat(10 << 20));
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    for response in [
        format!("{OK}{many}\r\nfine"),
        format!("{OK}{large}\r\nfine"),
        format!("{interim}{OK}\r\nfine"),
        format!("{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n{many}\r\n"),
        format!("{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n{large}\r\n"),
    ] {
        let rig = Rig::with(answering(response).await, |_| {}).await;
        rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
    }
    for start in
        [String::new(), OK.to_owned(), format!("{OK}Transfer-Encoding: chunked\r\n\r\n0\r\n")]
    {
        let rig = Rig::with(flooding(&start, "X-A: b\r\n").await, |_| {}).await;
        rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
    }
    for start in ["", OK] {
        let interim = format!("{start}HTTP/1.1 103 Early Hints\r\n\r\n");
        let rig = Rig::with(flooding("", interim.repeat(10)).await, |_| {}).await;
        rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
    }
}

#[tokio::test]
async fn a_few_interim_responses_and_trailers_are_nothing_special() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3);
    let fifty = "X-A: b\r\n".repeat(50);
    let response = format!(
        "{interim}{OK}{fifty}Transfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\nX-A: b\r\n\r\n"
    );
    let rig = Rig::with(answering(response).await, |_| {}).await;
    assert_eq!(text(&rig.allowed(get("acme", "/public/x")).await), "fine");
}

#[tokio::test]
async fn framing_that_two_parsers_may_read_differently_is_an_error() {
    for response in [
        format!("{OK}Content-Length: 4\r\nContent-Length: 5\r\n\r\nfine!"),
        format!("{OK}Content-Length: 5, 4\r\n\r\nfine!"),
        format!("{OK}Content-Length: +4\r\n\r\nfine"),
        format!("{OK}Content-Length: 0x4\r\n\r\nfine"),
        format!("{OK}Content-Length: 10\r\n\r\nfine"),
        format!("{OK}Transfer-Encoding: chunked\r\n\r\nfine"),
        format!("{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n"),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
        String::new(),
    ] {
        let rig = Rig::with(answering(response.clone()).await, |_| {}).await;
        let finished = rig.call(get("acme", "/public/x")).await;
        assert_eq!(finished.result.unwrap_err().code, Code::UpstreamError, "{response:?}");
    }
}

#[tokio::test]
async fn a_connection_that_died_while_it_waited_is_not_used() {
    let response = format!("{OK}Content-Length: 4\r\n\r\nfine");
    let rig = Rig::with(answering(response).await, |_| {}).await;
    for calls in 1..=5 {
        rig.allowed(get("acme", "/public/x")).await;
        rig.upstream.wait_until_closed().await;
        assert_eq!(rig.upstream.connections(), calls);
    }
}

#[tokio::test]
async fn bytes_that_arrive_between_two_calls_are_nobodys_answer() {
    let two = format!("{OK}Content-Length: 4\r\n\r\nfine{OK}Content-Length: 4\r\n\r\nevil");
    let upstream = Upstream::raw([Step::ReadHead, Step::Write(two.into()), Step::Hang]).await;
    let rig = Rig::with(upstream, |_| {}).await;
    for calls in 1..=3 {
        assert_eq!(text(&rig.allowed(get("acme", "/public/x")).await), "fine");
        assert_eq!(rig.upstream.connections(), calls);
    }
}

#[tokio::test]
async fn a_body_behind_a_response_that_has_none_is_nobodys_answer() {
    let evil = format!("{OK}Content-Length: 4\r\n\r\nevil");
    for (method, head, status) in [
        ("HEAD", "200 OK\r\nContent-Length: 4", 200),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", 200),
        ("GET", "204 No Content\r\nX-A: b", 204),
        ("GET", "304 Not Modified\r\nContent-Length: 4", 304),
        ("GET", "200 OK\r\nContent-Length: 0", 200),
        ("GET", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0", 200),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\n\r\n{evil}");
        let upstream = Upstream::raw([Step::ReadHead, Step::Write(answer.into()), Step::Hang]);
        let rig = Rig::with(upstream.await, |_| {}).await;
        for calls in 1..=3 {
            let call = Execute { method: method.into(), ..get("acme", "/public/x") };
            let answer = rig.allowed(call).await;
            assert_eq!((answer.status, text(&answer).as_str()), (status, ""), "{method} {head}");
            assert_eq!(rig.upstream.connections(), calls, "{method} {head}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_answered_before_all_was_sent_is_not_used_again() {
    let response = format!("{OK}Content-Length: 4\r\n\r\nfine");
    let upstream = Upstream::raw([Step::ReadHead, Step::Write(response.into()), Step::Hang]).await;
    let rig = Rig::with(upstream, |_| {}).await;
    for calls in 1..=2 {
        let body = Body::Bytes(vec![b'x'; 9 << 20]);
        let method = "POST".into();
        let call = Execute { method, body, ..get("acme", "/items") };
        assert_eq!(text(&rig.allowed(call).await), "fine");
        assert_eq!(rig.upstream.connections(), calls);
    }
}
