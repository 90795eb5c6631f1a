//! Bodies that are not held as a whole: event streams, answers into files, files as bodies.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_model::audit::Kind;
use strongroom_model::call::{Body, Execute, Truncated};
use strongroom_model::code::Code;
use strongroom_model::ports::Calls as _;
use strongroom_model::service::{Scheme, Service};
use strongroom_testkit::ca::TestCa;
use strongroom_testkit::canary::{K1, K2, K3};
use strongroom_testkit::fakes::{caller, policy};
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Seen, Step, Upstream};
use tokio::sync::oneshot;

use crate::rig::{Rig, get, text};

const EVENTS: &str = "text/event-stream; charset=utf-8";

/// The same upstream, once for each version of HTTP.
async fn both(
    answer: impl Fn(&Seen) -> Reply + Send + Sync + Clone + 'static,
    change: impl Fn(&mut Service),
) -> [Rig; 2] {
    let ca = TestCa::new();
    let one = Rig::with(Upstream::http(answer.clone()).await, &change).await;
    let two = Upstream::http2(ca.issue(&["api.test"]), answer).await;
    let two = Rig::with(two, |service| {
        service.origin.scheme = Scheme::Https;
        service.ca_pem = Some(ca.pem().as_bytes().to_vec());
        change(service);
    });
    [one, two.await]
}

fn save(path: &str) -> Execute {
    Execute { save: true, ..get("acme", path) }
}

fn folder(rig: &Rig) -> PathBuf {
    rig.home.path().join("files").join("default")
}

/// Everything in the exchange folder, hidden files too.
fn files(rig: &Rig) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(folder(rig)) else { return Vec::new() };
    files.map(|file| file.unwrap().path()).collect()
}

/// Puts a file where the agent would.
fn given(rig: &Rig, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder(rig)).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder(rig), fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::write(folder(rig).join(name), bytes).unwrap();
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    strongroom_seal::hex(digest.as_ref())
}

// RX-04
#[tokio::test]
async fn an_event_stream_that_ends_comes_as_a_whole() {
    let answer = |_: &Seen| {
        Reply::status(200).header("Content-Type", EVENTS).pieces(["data: a\n", "\ndata", ": b"])
    };
    for rig in both(answer, |_| {}).await {
        let answer = rig.allowed(get("acme", "/public/x")).await;
        assert_eq!((text(&answer).as_str(), answer.truncated), ("data: a\n\ndata: b", None));
        rig.works().await;
        assert_eq!(rig.upstream.connections(), 1);
    }
}

// RX-04
#[tokio::test]
async fn an_endless_event_stream_is_left_after_enough_events() {
    let answer = |_: &Seen| {
        let many = Reply::status(200).header("Content-Type", EVENTS);
        many.repeat("data: x\n\n".repeat(100), u64::MAX, false)
    };
    for rig in both(answer, |service| service.limits.events = 50).await {
        for (asked, events) in [(None, 50), (Some(3), 3), (Some(1000), 50)] {
            let call = Execute { max_events: asked, ..get("acme", "/public/x") };
            let answer = rig.allowed(call).await;
            assert_eq!(text(&answer), "data: x\n\n".repeat(events));
            assert_eq!(answer.truncated, Some(Truncated::Events));
            rig.upstream.wait_until_answered().await;
        }
    }
}

// RX-04
#[tokio::test]
async fn an_event_stream_that_pauses_is_not_an_error() {
    let answer = |_: &Seen| {
        let some = Reply::status(200).header("Content-Type", EVENTS);
        some.pieces(["data: a\n\n: ping\n\nda", "ta: b\n\ndata: half"]).and_no_end()
    };
    for (idle_ms, total_ms, truncated) in
        [(100, 60_000, Truncated::Idle), (60_000, 200, Truncated::Total)]
    {
        let change = move |service: &mut Service| {
            service.limits.idle_ms = idle_ms;
            service.limits.total_ms = total_ms;
        };
        for rig in both(answer, change).await {
            let answer = rig.allowed(get("acme", "/public/x")).await;
            assert_eq!(text(&answer), "data: a\n\n: ping\n\ndata: b\n\n", "whole events only");
            assert_eq!((answer.status, answer.truncated), (200, Some(truncated)));
            rig.upstream.wait_until_answered().await;
            let outcome = rig.audit.take().pop().unwrap();
            assert_eq!(
                (outcome.kind, outcome.code, outcome.status),
                (Kind::Outcome, None, Some(200))
            );
        }
    }
}

// RX-04
#[tokio::test]
async fn one_event_without_an_end_has_a_cap() {
    let answer = |_: &Seen| {
        let one = Reply::status(200).header("Content-Type", EVENTS);
        one.repeat("data: x".repeat(1000), u64::MAX, false)
    };
    for rig in both(answer, |service| service.limits.response_bytes = 100 << 10).await {
        rig.failed(get("acme", "/public/x"), Code::ResponseTooLarge).await;
        rig.upstream.wait_until_answered().await;
    }
}

// RX-03
#[tokio::test]
async fn any_other_body_that_stops_coming_is_left() {
    let answer = |_: &Seen| Reply::status(200).pieces(["fi"]).and_no_end();
    for rig in both(answer, |service| service.limits.idle_ms = 100).await {
        rig.failed(get("acme", "/public/x"), Code::UpstreamTimeout).await;
        rig.upstream.wait_until_answered().await;
    }
}

// RX-04
#[tokio::test]
async fn a_secret_that_is_split_over_chunks_and_events_is_redacted() {
    let (start, end) = K1.split_at(7);
    let (a, b) = K2.split_at(13);
    let pieces: Vec<String> = vec![
        format!("data: x{}", &K3[..3]),
        format!("{}y\n\n", &K3[3..]),
        format!("data: {start}\n\ndata: {end}\n\n"),
        format!("id: 7\ndata: {a}\n\n: ping\n\ndata:{b} z\n\n"),
    ];
    let answer = move |_: &Seen| {
        Reply::status(200).header("Content-Type", EVENTS).pieces(pieces.clone()).and_no_end()
    };
    for rig in both(answer, |service| service.limits.idle_ms = 100).await {
        for saves in [false, true] {
            let call = Execute { save: saves, ..get("acme", "/public/x") };
            let answer = rig.allowed(call).await;
            let body = match &answer.file {
                Some(file) => fs::read_to_string(&file.path).unwrap(),
                None => text(&answer),
            };
            Oracle::of_canaries().assert_clean("the events", body.as_bytes());
            for piece in [start, end, a, b] {
                assert!(!body.contains(piece), "{body}");
            }
            assert!(body.contains("data: x[REDACTED:qry]y\n"), "{body}");
            assert!(body.ends_with(" z\n\n"), "{body}");
            assert_eq!((answer.redactions, answer.file.is_some()), (3, saves));
        }
    }
}

// RX-01
#[tokio::test]
async fn a_large_answer_goes_into_a_file_redacted() {
    let piece = format!("{}{K1}", "x".repeat(1 << 20));
    let answer = {
        let piece = piece.clone();
        move |_: &Seen| {
            let large = Reply::status(200).header("Content-Type", "text/csv");
            large.repeat(piece.clone(), 12, true)
        }
    };
    let expected = format!("{}[REDACTED:acme]", "x".repeat(1 << 20)).repeat(12);
    for rig in both(answer, |_| {}).await {
        let answer = rig.allowed(save("/public/x")).await;
        assert!(answer.body.get().is_empty());
        let file = answer.file.unwrap();
        let path = PathBuf::from(&file.path);
        assert_eq!(path.parent(), Some(&*folder(&rig)));
        assert_eq!(path.extension().unwrap(), "csv");
        let written = fs::read(&path).unwrap();
        assert!(written == expected.as_bytes(), "it is what was expected");
        assert_eq!((file.bytes, answer.redactions), (written.len() as u64, 12));
        assert_eq!(file.sha256, sha256(&written));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        }
        let outcome = rig.audit.take().pop().unwrap();
        assert_eq!(outcome.response_bytes, Some(12 * piece.len() as u64));
        assert_eq!(files(&rig).len(), 1);
    }
}

// RR-05, RR-12
#[tokio::test]
async fn what_goes_into_a_file_is_decoded_and_its_listed_members_are_redacted() {
    let answer = |_: &Seen| {
        use std::io::Write as _;
        let body = format!("{{\"refresh_token\": \"NEW\", \"a\": \"{K2}\"}}");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body.as_bytes()).unwrap();
        Reply::ok(encoder.finish().unwrap())
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip")
    };
    let change = |service: &mut Service| service.redact_fields = vec!["refresh_token".into()];
    for rig in both(answer, change).await {
        let answer = rig.allowed(save("/public/x")).await;
        let written = fs::read_to_string(answer.file.unwrap().path).unwrap();
        assert_eq!(written, "{\"refresh_token\": \"***\", \"a\": \"[REDACTED:hdr]\"}");
        assert_eq!(answer.redactions, 2);
    }
}

// RX-01, RR-05, RR-09
#[tokio::test]
async fn nothing_is_left_of_an_answer_that_fails() {
    let gzip = |bytes: &[u8]| {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (bomb, small) = (gzip(&vec![b'x'; 80 << 20]), gzip(b"{}"));
    let answer = move |seen: &Seen| match seen.target.rsplit('/').next().unwrap() {
        "bomb" => Reply::ok(bomb.clone()).header("Content-Encoding", "gzip"),
        "sized" => Reply::status(200).repeat("x".repeat(1 << 20), 80, true),
        "endless" => Reply::status(200).repeat("x".repeat(1 << 20), u64::MAX, false),
        "unlabelled" => Reply::ok(small.clone()).header("Content-Type", "application/json"),
        "cut" => Reply::ok(small[..10].to_vec()).header("Content-Encoding", "gzip"),
        "part" => Reply::status(206).body("part"),
        "stalled" => Reply::status(200).repeat("x".repeat(1 << 20), 2, false).and_no_end(),
        _ => Reply::ok("fine"),
    };
    let change = |service: &mut Service| {
        service.limits.file_bytes = 4 << 20;
        service.limits.idle_ms = 200;
    };
    for rig in both(answer, change).await {
        for (path, code) in [
            ("/public/bomb", Code::ResponseTooLarge),
            ("/public/sized", Code::ResponseTooLarge),
            ("/public/endless", Code::ResponseTooLarge),
            ("/public/unlabelled", Code::UpstreamError),
            ("/public/cut", Code::UpstreamError),
            ("/public/part", Code::UpstreamError),
            ("/public/stalled", Code::UpstreamTimeout),
        ] {
            rig.failed(save(path), code).await;
            rig.upstream.wait_until_answered().await;
            assert!(files(&rig).is_empty(), "{path}");
        }
        assert!(rig.allowed(save("/public/fine")).await.file.is_some());
        assert_eq!(files(&rig).len(), 1);
    }
}

// RX-04
#[tokio::test]
async fn nothing_is_left_of_an_answer_that_nobody_waits_for() {
    let answer = |_: &Seen| Reply::status(200).repeat("x".repeat(1 << 20), 2, false).and_no_end();
    for rig in both(answer, |_| {}).await {
        let rig = Arc::new(rig);
        let (go, gone) = oneshot::channel::<()>();
        let broker = Arc::clone(&rig.broker);
        let call = tokio::spawn(async move {
            let cancel = Box::pin(async { drop(gone.await) });
            broker.execute(&caller("default"), save("/public/x"), cancel).await
        });
        rig.upstream.wait_for_requests(1).await;
        while files(&rig).is_empty() {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        assert_eq!(call.await.unwrap().result.unwrap_err().code, Code::UpstreamError);
        rig.upstream.wait_until_answered().await;
        // A write that was under way may have to end first.
        while !files(&rig).is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_error_of_the_api_comes_back_as_always() {
    let answer = |_: &Seen| Reply::status(404).body("no such report");
    for rig in both(answer, |_| {}).await {
        let answer = rig.allowed(save("/public/x")).await;
        assert_eq!((answer.status, answer.file), (404, None));
        assert_eq!(answer.body.get(), "no such report");
        assert!(files(&rig).is_empty());
    }
}

fn send(name: &str) -> Execute {
    Execute { method: "POST".into(), body_file: Some(name.into()), ..get("acme", "/items") }
}

#[tokio::test]
async fn a_file_is_sent_with_its_length() {
    let answer = |seen: &Seen| Reply::ok(sha256(&seen.body));
    for rig in both(answer, |service| service.limits.upload_bytes = Some(64 << 20)).await {
        for length in [0, 10, 10 << 20, (10 << 20) + 1] {
            let pattern: Vec<u8> = (0_u8..251).collect();
            let bytes = pattern.repeat(length / 251 + 1)[..length].to_vec();
            given(&rig, "report", &bytes);
            rig.audit.take();
            let answer = rig.allowed(send("report")).await;
            assert_eq!(text(&answer), sha256(&bytes), "{length}");
            let seen = rig.last();
            assert_eq!(seen.values("content-length"), [length.to_string()]);
            assert!(seen.values("transfer-encoding").is_empty());
            assert_eq!(seen.values("authorization"), [format!("Bearer {K1}")]);
            let records = rig.audit.take();
            assert!(records.iter().all(|record| record.request_bytes == Some(length as u64)));
        }
    }
}

#[tokio::test]
async fn a_file_that_may_not_be_sent_is_not() {
    let answer = |_: &Seen| Reply::ok("fine");
    for rig in both(answer, |_| {}).await {
        given(&rig, "fine", b"fine");
        given(&rig, "large", &vec![b'x'; (10 << 20) + 1]);
        given(&rig, ".hidden", b"x");
        let outside = rig.home.path().join("outside");
        fs::write(&outside, K1).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&outside, folder(&rig).join("link")).unwrap();
            fs::hard_link(&outside, folder(&rig).join("hard")).unwrap();
        }
        let outside = outside.to_str().unwrap();
        for name in
            ["missing", "large", ".hidden", "link", "hard", "", ".", "../outside", outside, "a\0"]
        {
            rig.denied(send(name), Code::InvalidRequest).await;
        }
        let both = Execute { body: Body::Text("x".into()), ..send("fine") };
        rig.denied(both, Code::InvalidRequest).await;
        let get = Execute { method: "GET".into(), path: "/public/x".into(), ..send("fine") };
        rig.denied(get, Code::InvalidRequest).await;
        let admin = Execute { path: "/admin".into(), ..send("fine") };
        rig.denied(admin, Code::PolicyDenied).await;
        rig.allowed(send("fine")).await;
    }
}

#[tokio::test]
async fn a_large_file_is_not_sent_where_its_form_would_have_to_be_looked_at() {
    let answer = |_: &Seen| Reply::ok("fine");
    let change = |service: &mut Service| {
        service.limits.upload_bytes = Some(64 << 20);
        service.grammar.method_override = true;
    };
    for rig in both(answer, change).await {
        given(&rig, "large", &vec![b'x'; (10 << 20) + 1]);
        rig.denied(send("large"), Code::InvalidRequest).await;
        given(&rig, "small", b"x");
        rig.allowed(send("small")).await;
    }
}

// DE-03
#[tokio::test]
async fn a_large_file_is_not_sent_where_a_person_would_have_to_approve_it() {
    let answer = |_: &Seen| Reply::ok("fine");
    let change = |service: &mut Service| {
        service.limits.upload_bytes = Some(64 << 20);
        service.policy = policy("ask POST /items\nallow GET /**\nallow PUT /items");
    };
    for rig in both(answer, change).await {
        given(&rig, "large", &vec![b'x'; (10 << 20) + 1]);
        rig.denied(send("large"), Code::ApprovalDenied).await;
        rig.allowed(Execute { method: "PUT".into(), ..send("large") }).await;
    }
}

#[tokio::test]
async fn an_upstream_that_has_enough_of_a_file_is_heard() {
    let answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nfull";
    let upstream = Upstream::raw([Step::ReadHead, Step::Write(answer.into()), Step::Hang]).await;
    let rig = Rig::with(upstream, |service| service.limits.upload_bytes = Some(64 << 20)).await;
    given(&rig, "large", &vec![b'x'; 50 << 20]);
    let answer = rig.allowed(send("large")).await;
    assert_eq!((answer.status, text(&answer).as_str()), (413, "full"));
}
