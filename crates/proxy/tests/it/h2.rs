//! HTTP/2 to upstreams: the same promises as over HTTP/1.1, on streams of one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_model::call::{Body, Execute};
use strongroom_model::code::Code;
use strongroom_model::ports::Calls as _;
use strongroom_model::service::{Scheme, Service};
use strongroom_testkit::ca::TestCa;
use strongroom_testkit::canary::K1;
use strongroom_testkit::fakes::caller;
use strongroom_testkit::upstream::{Reply, Seen, Step, Upstream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::rig::{Rig, get, header, text};

/// The services of the corpus in front of an upstream that speaks HTTP/2.
async fn rig(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Rig {
    let ca = TestCa::new();
    let upstream = Upstream::http2(ca.issue(&["api.test"]), answer).await;
    over_tls(&ca, upstream, |_| {}).await
}

/// The same in front of one that follows a script.
async fn scripted(steps: impl Into<Vec<Step>>) -> Rig {
    let ca = TestCa::new();
    let steps = steps.into();
    let upstream = Upstream::raw_http2(ca.issue(&["api.test"]), steps).await;
    over_tls(&ca, upstream, |service| service.limits.total_ms = 20_000).await
}

async fn over_tls(ca: &TestCa, upstream: Upstream, change: impl Fn(&mut Service)) -> Rig {
    Rig::with(upstream, |service| {
        service.origin.scheme = Scheme::Https;
        service.ca_pem = Some(ca.pem().as_bytes().to_vec());
        change(service);
    })
    .await
}

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200` of the static table (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// A literal field that is not indexed (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0], &string(name)[..], &string(value)].concat()
}

fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut length = text.len();
    if length < 127 {
        out.push(u8::try_from(length).unwrap());
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push(u8::try_from(length % 128 + 128).unwrap());
            length /= 128;
        }
        out.push(u8::try_from(length).unwrap());
    }
    out.extend_from_slice(text.as_bytes());
    out
}

/// What a server says first, and then `frames` in answer to the first request.
fn answering(frames: Vec<u8>) -> Vec<Step> {
    vec![Step::Write(frame(SETTINGS, 0, 0, &[])), Step::ReadHead2, Step::Write(frames), Step::Hang]
}

#[tokio::test]
async fn calls_share_one_connection_and_the_target_goes_out_byte_for_byte() {
    let rig = Arc::new(rig(|_| Reply::ok("fine")).await);
    let mut calls = JoinSet::new();
    for i in 0..50 {
        let rig = Arc::clone(&rig);
        calls.spawn(async move {
            let answer = rig.allowed(get("acme", &format!("/public/{i}?a=%2F&b=~"))).await;
            assert_eq!(text(&answer), "fine");
        });
    }
    calls.join_all().await;
    assert_eq!(rig.upstream.connections(), 1);
    let seen = rig.upstream.seen();
    assert_eq!(seen.len(), 50);
    for request in seen {
        assert!(request.target.starts_with("https://api.test:"), "{}", request.target);
        assert!(request.target.contains("/v1/public/"), "{}", request.target);
        assert!(request.target.ends_with("?a=%2F&b=~"), "{}", request.target);
        assert_eq!(request.values("authorization"), [format!("Bearer {K1}")]);
        assert!(request.values("host").is_empty(), "the authority says it");
        assert!(request.values("connection").is_empty());
    }
}

// SS-06
#[tokio::test]
async fn a_connection_belongs_to_one_service_and_one_revision_and_is_not_coalesced() {
    let ca = TestCa::new();
    // One certificate for every name.
    let upstream =
        Upstream::http2(ca.issue(&["api.test", "evil.test"]), |_| Reply::ok("fine")).await;
    let mut rig = over_tls(&ca, upstream, |_| {}).await;
    for _ in 0..3 {
        rig.allowed(get("acme", "/public/x")).await;
    }
    assert_eq!(rig.upstream.connections(), 1);
    rig.allowed(get("hdr", "/x")).await;
    assert_eq!(rig.upstream.connections(), 2);
    for connections in [3, 4] {
        rig.reconfigure(|_| {});
        rig.allowed(get("acme", "/public/x")).await;
        rig.allowed(get("acme", "/public/x")).await;
        assert_eq!(rig.upstream.connections(), connections);
    }
}

// SS-06
#[tokio::test]
async fn a_connection_that_nobody_can_use_any_more_is_closed() {
    let mut rig = rig(|_| Reply::ok("fine")).await;
    rig.allowed(get("acme", "/public/x")).await;
    for service in &mut rig.services {
        service.revision += 1;
        service.origin.port = 1;
    }
    rig.registry.set(rig.services.clone());
    rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
    rig.upstream.wait_until_closed().await;
}

#[tokio::test]
async fn the_upstream_chooses_the_version() {
    for (alpn, version) in
        [(&[&b"http/1.1"[..]][..], 1), (&[b"h2", b"http/1.1"], 2), (&[b"http/1.1", b"h2"], 1)]
    {
        let ca = TestCa::new();
        let identity = ca.issue(&["api.test"]);
        let upstream = Upstream::https_with(identity, alpn, |_| Reply::ok("fine")).await;
        let rig = over_tls(&ca, upstream, |_| {}).await;
        rig.works().await;
        rig.works().await;
        assert_eq!(rig.upstream.connections(), 1);
        let absolute = rig.last().target.starts_with("https://");
        assert_eq!(absolute, version == 2, "{alpn:?}");
    }
}

#[tokio::test]
async fn a_body_goes_out_whole_with_its_length() {
    let rig = rig(|seen| Reply::ok(seen.body.len().to_string())).await;
    for length in [0, 1, 9 << 20] {
        let body = Body::Bytes(vec![b'x'; length]);
        let call = Execute { method: "POST".into(), body, ..get("acme", "/items") };
        let answer = rig.allowed(call).await;
        assert_eq!(text(&answer), length.to_string());
        assert_eq!(rig.last().values("content-length"), [length.to_string()]);
    }
    assert_eq!(rig.upstream.connections(), 1);
}

// RX-01, RR-05
#[tokio::test]
async fn a_body_above_the_cap_and_a_bomb_stop_there() {
    let bomb = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'x'; 80 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    let piece = vec![b'x'; 1 << 20];
    let rig = rig(move |seen| match seen.target.rsplit('/').next().unwrap() {
        "bomb" => Reply::ok(bomb.clone()).header("Content-Encoding", "gzip"),
        "sized" => Reply::status(200).repeat(piece.clone(), 80, true),
        "endless" => Reply::status(200).repeat(piece.clone(), 10 << 10, false),
        _ => Reply::ok("fine"),
    })
    .await;
    for path in ["/public/bomb", "/public/sized", "/public/endless"] {
        rig.failed(get("acme", path), Code::ResponseTooLarge).await;
        rig.upstream.wait_until_answered().await;
        rig.works().await;
    }
    assert_eq!(rig.upstream.connections(), 1, "the streams were reset, and nothing else");
}

// RR-02, RD-05
#[tokio::test]
async fn headers_are_redacted_and_trailers_and_alternatives_do_not_come_back() {
    let rig = rig(|_| {
        Reply::ok("fine")
            .header("X-Request-Id", K1)
            .header("Alt-Svc", "h3=\"evil.test:443\"")
            .trailer("x-page", K1)
    })
    .await;
    let answer = rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(header(&answer, "x-request-id"), Some("[REDACTED:acme]"));
    assert_eq!(header(&answer, "alt-svc"), None);
    assert_eq!(header(&answer, "x-page"), None);
    assert_eq!(text(&answer), "fine");
}

// RR-09
#[tokio::test]
async fn a_part_that_was_not_asked_for_is_withheld() {
    let rig =
        rig(|_| Reply::status(206).header("Content-Range", "bytes 0-3/40").body("cnry")).await;
    rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
}

// RD-04
#[tokio::test]
async fn a_loop_ends_after_three_hops() {
    let rig = rig(|_| Reply::status(307).header("Location", "/v1/public/x")).await;
    rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
    assert_eq!((rig.upstream.requests(), rig.upstream.connections()), (4, 1));
}

// RX-04
#[tokio::test]
async fn a_caller_who_goes_away_resets_his_stream_and_no_other() {
    let rig = Arc::new(
        rig(|seen| {
            if seen.target.ends_with("/endless") {
                return Reply::status(200).pieces(["data: x\n\n"]).and_no_end();
            }
            Reply::ok("fine")
        })
        .await,
    );
    let (go, gone) = oneshot::channel::<()>();
    let broker = Arc::clone(&rig.broker);
    let call = tokio::spawn(async move {
        let cancel = Box::pin(async { drop(gone.await) });
        broker.execute(&caller("default"), get("acme", "/public/endless"), cancel).await
    });
    rig.upstream.wait_for_requests(1).await;
    go.send(()).unwrap();
    assert_eq!(call.await.unwrap().result.unwrap_err().code, Code::UpstreamError);
    rig.upstream.wait_until_answered().await;
    rig.works().await;
    assert!(rig.upstream.connections() <= 2);
}

// RX-03
#[tokio::test]
async fn an_upstream_that_stalls_is_left_at_the_deadline_and_its_connection_with_it() {
    let fine = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&fine);
    let ca = TestCa::new();
    let upstream = Upstream::http2(ca.issue(&["api.test"]), move |_| {
        if answers.load(Ordering::SeqCst) {
            return Reply::ok("fine");
        }
        Reply::status(200).pieces(["fi"]).and_no_end()
    })
    .await;
    let rig = over_tls(&ca, upstream, |service| service.limits.total_ms = 300).await;
    rig.failed(get("acme", "/public/x"), Code::UpstreamTimeout).await;
    rig.upstream.wait_until_answered().await;
    fine.store(true, Ordering::SeqCst);
    rig.works().await;
}

// RX-09
#[tokio::test]
async fn heads_interim_responses_and_trailers_have_caps() {
    let head = |block: &[u8]| frame(HEADERS, END_HEADERS, 1, block);
    let many: Vec<u8> = (0..101).flat_map(|i| field(&format!("x-{i}"), "b")).collect();
    let large: Vec<u8> = (0..20).flat_map(|_| field("x-a", &"b".repeat(4000))).collect();
    let continued = |block: &[u8], flags: u8| {
        let mut pieces = block.chunks(16_000);
        let mut out = frame(HEADERS, flags, 1, pieces.next().unwrap());
        let rest: Vec<&[u8]> = pieces.collect();
        for (at, piece) in rest.iter().enumerate() {
            let last = if at + 1 == rest.len() { END_HEADERS } else { 0 };
            out.extend(frame(CONTINUATION, last, 1, piece));
        }
        out
    };
    let ok = head(&[STATUS_200]);
    let fine = frame(DATA, 0, 1, b"fine");
    let interim = head(&field(":status", "103")).repeat(1000);
    for (frames, what) in [
        (
            [head(&[&[STATUS_200][..], &many].concat()), frame(DATA, END_STREAM, 1, b"fine")]
                .concat(),
            "101 headers",
        ),
        (continued(&[&[STATUS_200][..], &large].concat(), END_STREAM), "80 KB of headers"),
        ([interim, ok.clone(), frame(DATA, END_STREAM, 1, b"fine")].concat(), "interim"),
        (frame(RST_STREAM, 0, 1, &2_u32.to_be_bytes()), "reset"),
        (
            [ok.clone(), fine.clone(), frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())].concat(),
            "reset midway",
        ),
        (frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]), "go away"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine".to_vec(), "not HTTP/2"),
        (frame(DATA, END_STREAM, 1, b"fine"), "a body without a head"),
        (
            [
                head(&[&[STATUS_200][..], &field("content-length", "10")].concat()),
                frame(DATA, END_STREAM, 1, b"fine"),
            ]
            .concat(),
            "another length",
        ),
        (frame(5, END_HEADERS, 1, &[0, 0, 0, 2, STATUS_200]), "a push"),
    ] {
        let rig = scripted(answering(frames)).await;
        let finished = rig.call(get("acme", "/public/x")).await;
        assert_eq!(finished.result.unwrap_err().code, Code::UpstreamError, "{what}");
    }
    let few = [
        head(&field(":status", "103")).repeat(3),
        ok,
        frame(DATA, 0, 1, b"fi"),
        frame(DATA, 0, 1, b"ne"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &field("x-a", "b")),
    ];
    let rig = scripted(answering(few.concat())).await;
    assert_eq!(text(&rig.allowed(get("acme", "/public/x")).await), "fine");
}

// RX-09
#[tokio::test]
async fn an_upstream_that_floods_is_left() {
    let interim = frame(HEADERS, END_HEADERS, 1, &field(":status", "103"));
    let ok = frame(HEADERS, END_HEADERS, 1, &[STATUS_200]);
    let large = field("x-a", &"b".repeat(16_000));
    for (start, more, what) in [
        (Vec::new(), interim, "interim"),
        (frame(HEADERS, 0, 1, &[STATUS_200]), frame(CONTINUATION, 0, 1, &large), "continuation"),
        (frame(HEADERS, 0, 1, &[STATUS_200]), frame(CONTINUATION, 0, 1, &[]), "empty continuation"),
        (
            [ok.clone(), frame(HEADERS, 0, 1, &[])].concat(),
            frame(CONTINUATION, 0, 1, &large),
            "trailers",
        ),
        (ok, frame(DATA, 0, 1, b"x"), "small data"),
    ] {
        let steps = [&answering(start)[..3], &[Step::Flood(more.repeat(100))]].concat();
        let rig = scripted(steps).await;
        let finished = rig.call(get("acme", "/public/x")).await;
        assert_eq!(finished.result.unwrap_err().code, Code::UpstreamError, "{what}");
        rig.upstream.wait_until_closed().await;
    }
    for (more, what) in [
        (frame(PING, 0, 0, &[0; 8]), "ping"),
        (frame(SETTINGS, 0, 0, &[]), "settings"),
        (frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()), "reset"),
    ] {
        let ca = TestCa::new();
        let steps = [
            Step::Write(frame(SETTINGS, 0, 0, &[])),
            Step::ReadHead2,
            Step::Flood(more.repeat(100)),
        ];
        let upstream = Upstream::raw_http2(ca.issue(&["api.test"]), steps).await;
        let rig = over_tls(&ca, upstream, |service| service.limits.first_byte_ms = 500).await;
        let finished = rig.call(get("acme", "/public/x")).await;
        let code = finished.result.unwrap_err().code;
        assert!(matches!(code, Code::UpstreamError | Code::UpstreamTimeout), "{what}: {code:?}");
    }
}

#[tokio::test]
async fn a_request_that_was_not_looked_at_goes_out_once_more_and_another_does_not() {
    let fine = |stream: u32| {
        [
            frame(HEADERS, END_HEADERS, stream, &[STATUS_200]),
            frame(DATA, END_STREAM, stream, b"fine"),
        ]
        .concat()
    };
    let go_away = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
    let refused = frame(RST_STREAM, 0, 3, &7_u32.to_be_bytes());
    let internal = frame(RST_STREAM, 0, 3, &2_u32.to_be_bytes());
    for (second, requests, expected) in [
        (refused, 3, Ok(())),
        (go_away(1), 3, Ok(())),
        (internal, 2, Err(Code::UpstreamError)),
        // It may have been looked at: the connection just ends.
        (go_away(3), 2, Err(Code::UpstreamError)),
    ] {
        let rig = scripted([
            Step::Write(frame(SETTINGS, 0, 0, &[])),
            Step::ReadHead2,
            Step::Write(fine(1)),
            Step::ReadHead2,
            Step::Write(second),
        ])
        .await;
        rig.allowed(get("acme", "/public/x")).await;
        let finished = rig.call(get("acme", "/public/x")).await;
        assert_eq!(finished.result.map(|_| ()).map_err(|refusal| refusal.code), expected);
        assert_eq!(rig.upstream.requests(), requests);
    }
}
