//! What a request must show before it is read (MC-15, MC-16, AU-04, RX-06), each with its twin.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::json;
use strongroom_gateway::http::Options;
use strongroom_model::code::Code;

use crate::support::{Got, Http, head, initialize, request};

fn hello() -> String {
    request(1, "initialize", &initialize("2025-11-25"))
}

/// Posts a good request whose header `name` is replaced by `lines`.
fn with(server: &Http, name: &str, lines: &[&str]) -> Got {
    let mut all = server.lines();
    all.retain(|line| !line.starts_with(&format!("{name}:")));
    all.extend(lines.iter().map(|line| format!("{name}: {line}")));
    server.raw("POST /mcp", &all, hello().as_bytes())
}

#[test]
fn only_our_own_names_are_answered() {
    let server = Http::start();
    let port = server.address.port();
    for good in ["127.0.0.1", "localhost", "[::1]"] {
        assert_eq!(with(&server, "Host", &[&format!("{good}:{port}")]).status, 200, "{good}");
    }
    let named = |host: &str| format!("{host}:{port}");
    for bad in [
        vec![named("evil.test")],
        vec![named("127.0.0.1.evil.test")],
        vec![named("localhost.evil.test")],
        vec![named("127.0.0.2")],
        vec![named("localhost.")],
        vec![named("LOCALHOST")],
        vec!["127.0.0.1".to_owned()],
        vec!["127.0.0.1:1".to_owned()],
        vec![named("user@127.0.0.1")],
        vec![String::new()],
        vec![named("127.0.0.1"), named("127.0.0.1")],
        vec![named("127.0.0.1"), named("evil.test")],
    ] {
        let bad: Vec<_> = bad.iter().map(String::as_str).collect();
        let status = with(&server, "Host", &bad).status;
        assert!(status == 403 || status == 400, "{bad:?}: {status}");
    }
    let start = format!("POST http://evil.test:{port}/mcp");
    assert_eq!(server.raw(&start, &server.lines(), hello().as_bytes()).status, 403);
}

#[test]
fn a_further_name_can_be_configured() {
    let hosts = vec!["strongroom.test".to_owned()];
    let server = Http::with(Options { hosts, ..Options::default() });
    assert_eq!(with(&server, "Host", &["strongroom.test"]).status, 200);
    assert_eq!(with(&server, "Host", &["strongroom.test:80"]).status, 403);
}

#[test]
fn web_pages_of_others_are_refused_before_the_body_is_read() {
    let server = Http::start();
    let own = format!("http://{}", server.address);
    assert_eq!(with(&server, "Origin", &[]).status, 200);
    assert_eq!(with(&server, "Origin", &[&own]).status, 200);
    let port = server.address.port();
    for bad in [
        vec!["https://evil.test"],
        vec!["null"],
        vec![&own, "https://evil.test"],
        vec![&own, &own],
        vec!["http://localhost.evil.test"],
        vec![&format!("http://localhost:{port}")], // not the name in `Host`
        vec![&format!("https://127.0.0.1:{port}")],
        vec!["http://127.0.0.1"],
        vec!["http://[::1]garbage"],
        vec![""],
    ] {
        let got = with(&server, "Origin", &bad);
        assert_eq!(got.status, 403, "{bad:?}");
        assert!(got.header("access-control-allow-origin").is_none());
    }

    // Not a byte of the body is sent, and the answer comes.
    let mut lines = server.lines();
    lines.push("Origin: https://evil.test".into());
    let mut stream = server.connect();
    stream.write_all(&head("POST /mcp", &lines, 1_000_000)).unwrap();
    assert_eq!(crate::support::receive(&mut stream).status, 403);
    assert!(server.door.refused.lock().unwrap().is_empty(), "the token was not looked at");
}

#[test]
fn exactly_one_bearer_token_is_looked_at() {
    let server = Http::start();
    assert_eq!(with(&server, "Authorization", &["Bearer sr_alice"]).status, 200);
    let missing = with(&server, "Authorization", &[]);
    let wrong = with(&server, "Authorization", &["Bearer sr_mallory"]);
    assert_eq!((missing.status, wrong.status), (401, 401));
    assert_eq!(missing.body, wrong.body);
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer"));
    let long = format!("Bearer {}", "x".repeat(10_000));
    for odd in [
        vec!["Bearer sr_alice", "Bearer sr_alice"],
        vec!["Bearer sr_alice", "Basic eDp5"],
        vec!["bearer sr_alice"],
        vec!["Bearer  sr_alice"],
        vec!["Bearer sr_alice, Bearer sr_bob"],
        vec!["Bearer"],
        vec!["Bearer "],
        vec!["sr_alice"],
        vec!["Basic c3JfYWxpY2U="],
        vec!["Bearer sr_ålice"],
        vec![&long],
    ] {
        assert_eq!(with(&server, "Authorization", &odd).status, 400, "{odd:?}");
    }
}

#[test]
fn a_token_anywhere_else_is_no_token() {
    let server = Http::start();
    let mut lines = server.lines();
    lines.remove(1);
    for start in ["POST /mcp?access_token=sr_alice", "POST /mcp?Authorization=Bearer%20sr_alice"] {
        assert_eq!(server.raw(start, &lines, hello().as_bytes()).status, 401);
    }
    for header in
        ["Cookie: token=sr_alice", "X-API-Key: sr_alice", "Proxy-Authorization: Bearer sr_alice"]
    {
        let lines = [lines.clone(), vec![header.to_owned()]].concat();
        assert_eq!(server.raw("POST /mcp", &lines, hello().as_bytes()).status, 401, "{header}");
    }
}

#[test]
fn every_failed_attempt_is_recorded_once_and_without_the_token() {
    let server = Http::start();
    with(&server, "Authorization", &["Bearer sr_canary"]);
    with(&server, "Authorization", &["Basic canary"]);
    with(&server, "Authorization", &["Bearer sr_alice"]);
    let refused = server.door.refused.lock().unwrap();
    let codes: Vec<_> = refused.iter().map(|draft| draft.code.unwrap()).collect();
    assert_eq!(codes, [Code::Unauthenticated, Code::InvalidRequest]);
    assert!(!format!("{refused:?}").contains("canary"));
}

#[test]
fn nothing_but_the_endpoint_exists_and_without_a_token_not_even_that() {
    let server = Http::start();
    let mut anonymous = server.lines();
    anonymous.remove(1);
    for path in ["/", "/healthz", "/mcp/", "/mcp/x", "/MCP", "//mcp", "/.well-known/mcp", "*"] {
        for method in ["GET", "POST"] {
            let start = format!("{method} {path}");
            assert_eq!(server.raw(&start, &server.lines(), b"").status, 404, "{start}");
            assert_eq!(server.raw(&start, &anonymous, b"").status, 401, "{start}");
        }
    }
    assert_eq!(server.raw("POST /mcp", &server.lines(), hello().as_bytes()).status, 200);
}

#[test]
fn bodies_are_json_and_answers_may_be() {
    let server = Http::start();
    let kind = |lines: &[&str]| with(&server, "Content-Type", lines).status;
    assert_eq!(kind(&["application/json; charset=utf-8"]), 200);
    assert_eq!(kind(&["Application/JSON"]), 200);
    assert_eq!(kind(&[]), 415);
    assert_eq!(kind(&["text/plain"]), 415);
    assert_eq!(kind(&["application/x-www-form-urlencoded"]), 415);
    assert_eq!(kind(&["application/json", "application/json"]), 415);
    assert_eq!(with(&server, "Content-Encoding", &["gzip"]).status, 415);
    let accept = |lines: &[&str]| with(&server, "Accept", lines).status;
    assert_eq!(accept(&["application/json"]), 200);
    assert_eq!(accept(&["text/event-stream", "application/json;q=0.5"]), 200);
    assert_eq!(accept(&["*/*"]), 200);
    assert_eq!(accept(&[]), 406);
    assert_eq!(accept(&["text/event-stream"]), 406);
}

#[test]
fn no_response_may_be_kept_or_guessed_at() {
    let server = Http::start();
    for got in [
        with(&server, "Origin", &[]),
        with(&server, "Origin", &["null"]),
        with(&server, "Authorization", &[]),
    ] {
        assert_eq!(got.header("cache-control"), Some("no-store"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.header("content-type"), Some("application/json"));
    }
}

#[test]
fn heads_are_small() {
    let server = Http::start();
    let more = |count: usize, size: usize| {
        let line = |n| format!("X-{n}: {}", "x".repeat(size));
        let lines = [server.lines(), (0..count).map(line).collect()].concat();
        let mut stream = server.connect();
        let body = hello();
        // Refused, it may be closed before all of it is written.
        let _ = stream.write_all(&head("POST /mcp", &lines, body.len()));
        let _ = stream.write_all(body.as_bytes());
        let mut status = [0; 12];
        stream.read_exact(&mut status).map(|()| status)
    };
    assert_eq!(&more(90, 10).unwrap(), b"HTTP/1.1 200");
    assert_eq!(&more(30, 2000).unwrap(), b"HTTP/1.1 200");
    for (count, size) in [(200, 10), (40, 2000), (1, 100_000)] {
        assert!(more(count, size).map_or(true, |status| &status == b"HTTP/1.1 431"));
    }
}

#[test]
fn a_client_that_does_not_finish_its_head_or_its_body_is_let_go() {
    let server = Http::with(Options {
        head_timeout: Duration::from_millis(50),
        body_timeout: Duration::from_millis(50),
        ..Options::default()
    });
    let mut stream = server.connect();
    stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: ").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();

    let mut stream = server.connect();
    stream.write_all(&head("POST /mcp", &server.lines(), 100)).unwrap();
    stream.write_all(b"{").unwrap();
    assert_eq!(crate::support::receive(&mut stream).status, 408);
    server.session("sr_alice");
}

#[test]
fn one_address_cannot_take_every_connection() {
    let server = Http::with(Options { connections_per_peer: 2, ..Options::default() });
    let first = server.connect();
    let _second = server.connect();
    let mut third = server.connect();
    let mut rest = Vec::new();
    assert_eq!(third.read_to_end(&mut rest).unwrap_or(0), 0, "closed unread");
    drop(first);
    // The place is free once the server has seen the end of the first.
    let lines = server.lines();
    let answered = (0..1000).any(|_| {
        let mut stream = server.connect();
        let sent = stream.write_all(&[head("POST /mcp", &lines, 2), b"{}".to_vec()].concat());
        let mut byte = [0];
        sent.is_ok() && stream.read(&mut byte).is_ok_and(|n| n == 1)
    });
    assert!(answered);
}

#[test]
fn a_connection_is_used_again() {
    let server = Http::start();
    let session = server.session("sr_alice");
    let mut stream = server.connect();
    for _ in 0..3 {
        let body = request(7, "tools/list", &json!({}));
        let lines = [server.lines(), vec![session.clone()]].concat();
        stream.write_all(&head("POST /mcp", &lines, body.len())).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        assert_eq!(crate::support::receive(&mut stream).status, 200);
    }
}
