//! Sessions over HTTP (MC-08, MC-14).

use serde_json::json;

use strongroom_gateway::http::Options;

use crate::support::{Http, initialize, request};

#[test]
fn a_session_serves_its_owner_and_nobody_else() {
    let server = Http::start();
    let session = server.session("sr_alice");
    let body = request(7, "tools/call", &json!({"name": "whoami"}));
    let got = server.post(std::slice::from_ref(&session), &body);
    assert_eq!(got.json()["result"]["structuredContent"]["principal"], "alice");

    let mut bob = server.lines();
    bob[1] = "Authorization: Bearer sr_bob".into();
    bob.push(session.clone());
    let stolen = server.raw("POST /mcp", &bob, body.as_bytes());
    let mut unknown = bob.clone();
    unknown[4] = format!("Mcp-Session-Id: {}", "0".repeat(32));
    let unknown = server.raw("POST /mcp", &unknown, body.as_bytes());
    assert_eq!((stolen.status, unknown.status), (404, 404));
    assert_eq!(stolen.body, unknown.body, "not yours is not there");
    assert_eq!(server.raw("DELETE /mcp", &bob, b"").status, 404);
    assert_eq!(server.post(&[session], &body).status, 200, "still alice's");
}

#[test]
fn a_forged_session_id_is_unknown() {
    let server = Http::start();
    let session = server.session("sr_alice");
    let id = session.split_once(": ").unwrap().1;
    assert_eq!(id.len(), 32);
    let digit = if id.starts_with('0') { "1" } else { "0" };
    let flipped = format!("{digit}{}", &id[1..]);
    let body = request(7, "tools/list", &json!({}));
    for forged in [
        id[..31].to_owned(),
        format!("{id}0"),
        flipped,
        id.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A"),
        "eyJiYWNrZW5kIjoib3RoZXIifQ==".to_owned(),
        "../../etc/passwd".to_owned(),
        "x".repeat(4096),
    ] {
        let got = server.post(&[format!("Mcp-Session-Id: {forged}")], &body);
        assert_eq!(got.status, 404, "{forged}");
    }
    let twice = [session.clone(), session.clone()];
    assert_eq!(server.post(&twice, &body).status, 404);
    assert_eq!(server.post(&[session], &body).status, 200);
}

#[test]
fn a_session_ends_with_delete() {
    let server = Http::start();
    let session = server.session("sr_alice");
    let lines = [server.lines(), vec![session.clone()]].concat();
    assert_eq!(server.raw("DELETE /mcp", &lines, b"").status, 204);
    let body = request(7, "tools/list", &json!({}));
    assert_eq!(server.post(&[session], &body).status, 404);
    assert_eq!(server.raw("DELETE /mcp", &lines, b"").status, 404);
}

#[test]
fn a_request_outside_a_session_is_refused() {
    let server = Http::start();
    for method in ["tools/list", "tools/call", "ping"] {
        let got = server.post(&[], &request(7, method, &json!({"name": "whoami"})));
        assert_eq!((got.status, got.json()["error"]["code"].clone()), (400, json!(-32600)));
    }
    server.session("sr_alice");
}

#[test]
fn where_no_hello_is_needed_a_tool_is_called_without_one_and_nothing_else() {
    let server = Http::with(Options { without_hello: true, ..Options::default() });
    let call = request(7, "tools/call", &json!({"name": "whoami", "arguments": {}}));
    let got = server.post(&[], &call);
    assert_eq!(got.json()["result"]["structuredContent"]["principal"], "alice");
    assert!(server.post(&[], &request(8, "tools/list", &json!({}))).json()["result"].is_object());
    assert_eq!(server.post(&[], &request(9, "ping", &json!({}))).status, 400);
    let unknown = format!("Mcp-Session-Id: {}", "0".repeat(32));
    assert_eq!(server.post(&[unknown], &call).status, 404, "a session that is named must be there");
}

#[test]
fn a_session_is_initialized_once() {
    let server = Http::start();
    let session = server.session("sr_alice");
    let got = server.post(&[session], &request(7, "initialize", &initialize("2024-11-05")));
    assert_eq!(got.json()["error"]["code"], -32600);
    assert!(got.header("mcp-session-id").is_none());
}

#[test]
fn the_version_header_must_be_the_sessions() {
    let server = Http::start();
    let session = server.session("sr_alice"); // 2025-06-18
    let list = |version: &[&str]| {
        let mut lines = vec![session.clone()];
        lines.extend(version.iter().map(|v| format!("MCP-Protocol-Version: {v}")));
        server.post(&lines, &request(7, "tools/list", &json!({}))).status
    };
    assert_eq!(list(&["2025-06-18"]), 200);
    assert_eq!(list(&[]), 200);
    assert_eq!(list(&["2025-11-25"]), 400);
    assert_eq!(list(&["2026-07-28"]), 400);
    assert_eq!(list(&["1.0"]), 400);
    assert_eq!(list(&["2025-06-18", "2025-06-18"]), 400);
}

#[test]
fn an_error_of_a_session_comes_with_status_200() {
    let server = Http::start();
    let session = server.session("sr_alice");
    let got = server.post(&[session], &request(7, "resources/list", &json!({})));
    assert_eq!((got.status, got.json()["error"]["code"].clone()), (200, json!(-32601)));
}
