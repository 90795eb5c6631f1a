//! Clients that go away and calls that are taken back (RX-04).

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_gateway::http::Options;

use crate::support::{Http, Stdio, head, meta, modern_lines, request};

fn execute(service: &str) -> Value {
    json!({"name": "execute", "arguments": {"service": service, "method": "GET", "path": "/"}})
}

fn cancel(id: &Value) -> String {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
        .to_string()
}

#[test]
fn a_call_that_is_taken_back_ends_and_is_not_answered() {
    let mut client = Stdio::initialized();
    client.send(request(1, "tools/call", &execute("hang")));
    client.fake.wait("started", 1);
    client.send(cancel(&json!("1")));
    client.send(cancel(&json!(2)));
    client.send(cancel(&json!({})));
    assert_eq!(client.call("ping", &json!({}))["result"], json!({}), "those named no call");
    client.send(cancel(&json!(1)));
    client.fake.wait("cancelled", 1);
    // The id is free again, and the late answer of the first does not come in between.
    client.send(request(1, "tools/call", &execute("acme")));
    let answer = client.receive();
    assert_eq!(
        (&answer["id"], &answer["result"]["structuredContent"]["status"]),
        (&json!(1), &json!(200))
    );
    assert_eq!(client.close(), "");
}

#[test]
fn calls_do_not_wait_for_each_other() {
    let mut client = Stdio::initialized();
    client.send(request(1, "tools/call", &execute("hang")));
    client.fake.wait("started", 1);
    assert_eq!(
        client.call("tools/call", &execute("acme"))["result"]["structuredContent"]["status"],
        200
    );
    client.send(cancel(&json!(1)));
    client.fake.wait("cancelled", 1);
}

#[test]
fn a_client_that_closes_its_end_still_gets_the_answers_it_waits_for() {
    let mut client = Stdio::initialized();
    for id in 1..=20 {
        client.send(request(id, "tools/call", &execute("acme")));
    }
    let rest = client.close();
    assert_eq!(rest.lines().count(), 20);
}

#[test]
fn a_message_at_the_end_needs_no_newline() {
    let mut client = Stdio::start();
    client.send_raw(request(7, "ping", &json!({})));
    assert_eq!(client.close(), "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n");
}

#[test]
fn a_call_that_panics_is_an_error_and_not_silence() {
    let mut client = Stdio::initialized();
    assert_eq!(client.call("tools/call", &execute("panic"))["error"]["code"], -32603);
    assert_eq!(client.call("ping", &json!({}))["result"], json!({}));
}

#[test]
fn a_client_that_hangs_up_ends_its_call_within_a_second() {
    let server = Http::start();
    let mut params = execute("hang");
    params["_meta"] = meta();
    let body = request(1, "tools/call", &params);
    let lines =
        [server.lines(), modern_lines("tools/call"), vec!["Mcp-Name: execute".into()]].concat();
    let mut stream = server.connect();
    stream.write_all(&head("POST /mcp", &lines, body.len())).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    server.fake.wait("started", 1);
    let hung_up = Instant::now();
    drop(stream);
    server.fake.wait("cancelled", 1);
    assert!(hung_up.elapsed() < Duration::from_secs(1));
}

#[test]
fn over_http_a_session_can_take_its_calls_back_and_only_its_own() {
    let server = Http::start();
    let (mine, other) = (server.session("sr_alice"), server.session("sr_alice"));
    let body = request(1, "tools/call", &execute("hang"));
    let lines = [server.lines(), vec![mine.clone()]].concat();
    let mut stream = server.connect();
    stream.write_all(&head("POST /mcp", &lines, body.len())).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    server.fake.wait("started", 1);
    let in_use = server.post(std::slice::from_ref(&mine), &body);
    assert_eq!(in_use.json()["error"]["code"], -32600, "the id is in use");
    assert_eq!(server.post(&[other], &cancel(&json!(1))).status, 202);
    assert_eq!(server.post(&[mine], &cancel(&json!(1))).status, 202);
    server.fake.wait("cancelled", 1);
    let got = crate::support::receive(&mut stream);
    assert_eq!((got.status, got.body.len()), (202, 0));
}

#[test]
fn the_end_of_a_session_ends_its_calls() {
    let server = Http::start();
    let lines = [server.lines(), vec![server.session("sr_alice")]].concat();
    let body = request(1, "tools/call", &execute("hang"));
    let mut stream = server.connect();
    stream.write_all(&head("POST /mcp", &lines, body.len())).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    server.fake.wait("started", 1);
    assert_eq!(server.raw("DELETE /mcp", &lines, b"").status, 204);
    server.fake.wait("cancelled", 1);
}

#[test]
fn at_the_end_calls_have_their_grace_and_then_are_told() {
    let grace = Duration::from_millis(50);
    let mut server = Http::with(Options { grace, ..Options::default() });
    let lines = [server.lines(), vec![server.session("sr_alice")]].concat();
    let body = request(1, "tools/call", &execute("hang"));
    let mut stream = server.connect();
    stream.write_all(&head("POST /mcp", &lines, body.len())).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    server.fake.wait("started", 1);
    server.join();
    server.fake.wait("cancelled", 1);
}
