//! Real clients and a real upstream: the official SDKs and the inspector talk to the built binary,
//! which calls nginx over TLS.
//!
//! nginx writes down every header it gets, so these tests know what arrived and how often.
#![expect(clippy::disallowed_methods, reason = "the binary and its clients are started here")]

#[cfg(target_os = "linux")]
mod day;
#[cfg(target_os = "linux")]
mod launched;
mod mtls;
mod nginx;
mod rig;
#[cfg(target_os = "linux")]
mod stores;

use std::{io::ErrorKind, net::TcpListener};

use serde_json::{Value, json};

use self::rig::{Rig, Transport};
pub(crate) use self::rig::{installed, script};

/// What each client asks for, and what it brings along that it should not.
fn calls() -> Value {
    let execute = |method: &str, path: &str| {
        json!({ "tool": "execute", "input": {
            "service": "shop", "method": method, "path": path,
            "headers": { "accept": "application/json", "authorization": "Bearer the-agents-own" },
        }})
    };
    json!({
        "services": { "tool": "list_services", "input": {} },
        "whoami": { "tool": "whoami", "input": {} },
        "allowed": execute("GET", "/v1/items?limit=3"),
        "echoed": execute("GET", "/v1/echo"),
        "denied": execute("POST", "/v1/items"),
        "unknown": { "tool": "execute", "input": {
            "service": "nobody", "method": "GET", "path": "/v1/items",
        }},
    })
}

/// What every session must have seen, whatever the client and the transport.
fn judge(rig: &Rig, seen: &Value) {
    let tools: Vec<_> =
        seen["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    for name in ["list_services", "execute", "explain_access", "test_service", "whoami"] {
        assert!(tools.contains(&&json!(name)), "{name} is missing: {tools:?}");
    }
    let structured = |step: &str| &seen[step]["structuredContent"];
    assert!(structured("services").to_string().contains("shop"), "{seen:#}");

    let allowed = structured("allowed");
    assert_eq!(allowed["status"], 200, "{seen:#}");
    assert_eq!(allowed["body"]["path"], "/v1/items?limit=3", "{seen:#}");
    assert_ne!(seen["allowed"]["isError"], true, "{seen:#}");

    let echoed = structured("echoed");
    assert_eq!(echoed["body"]["authorization"], "Bearer [REDACTED:shop]", "{seen:#}");
    assert_eq!(echoed["redactions"], 1, "{seen:#}");

    assert_eq!(seen["denied"]["isError"], true, "{seen:#}");
    assert_eq!(structured("denied")["error"]["code"], "policy_denied", "{seen:#}");
    assert_eq!(seen["unknown"]["isError"], true, "{seen:#}");
    assert_eq!(structured("unknown")["error"]["code"], "not_found", "{seen:#}");

    let received = rig.upstream.received();
    let lines: Vec<_> = received.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(lines, ["GET /v1/items?limit=3 HTTP/1.1", "GET /v1/echo HTTP/1.1"]);
    for request in &received {
        assert_eq!(request.all("authorization"), [format!("Bearer {}", rig.key)], "{request:?}");
        assert_eq!(request.all("accept"), ["application/json"], "{request:?}");
    }
    assert!(!rig.upstream.log().contains("the-agents-own"));
    rig.assert_nothing_leaked(seen);
}

#[test]
fn the_typescript_sdk_works_over_stdio() {
    let rig = Rig::new("typescript over stdio");
    let seen = rig.typescript(&Transport::Stdio, &calls());
    judge(&rig, &seen);
}

#[test]
fn the_typescript_sdk_works_over_http() {
    let rig = Rig::new("typescript over http");
    let server = rig.serve_http();
    let seen = rig.typescript(&server.transport, &calls());
    judge(&rig, &seen);
}

// SS-09, LM-12
#[test]
fn the_environment_of_the_client_neither_leads_elsewhere_nor_weakens_tls() {
    let mut rig = Rig::new("hostile environment");
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let proxy = format!("http://{}", trap.local_addr().unwrap());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        rig.environment.push((name, proxy.clone()));
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"] {
        rig.environment.push((name, rig.keys().display().to_string()));
    }
    let seen = rig.typescript(&Transport::Stdio, &calls());
    judge(&rig, &seen);
    assert_eq!(trap.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!rig.keys().exists());
}

#[test]
fn the_python_sdk_works_over_stdio_in_both_eras() {
    for (mode, version) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let rig = Rig::new("python over stdio");
        let seen = rig.python(mode, &Transport::Stdio, &calls());
        assert_eq!(seen["version"], version);
        judge(&rig, &seen);
    }
}

#[test]
fn the_python_sdk_works_over_http_in_both_eras() {
    for (mode, version) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let rig = Rig::new("python over http");
        let server = rig.serve_http();
        let seen = rig.python(mode, &server.transport, &calls());
        assert_eq!(seen["version"], version);
        judge(&rig, &seen);
    }
}

/// A session whose user is asked and decides so, and what came of two calls that a rule asks about.
fn asked(answers: &[&str], session: impl Fn(&Rig, &Value) -> Value) -> (Rig, Value) {
    let mut rig = Rig::new("asked by its client");
    rig.ask_about("POST /v1/items");
    rig.environment.push(("ANSWERS", json!(answers).to_string()));
    let call = json!({ "tool": "execute", "input": {
        "service": "shop", "method": "POST", "path": "/v1/items", "body": "{\"price\":5}",
        "reason": "the user wants to sell",
    }});
    let seen = session(&rig, &json!({ "first": call, "second": call }));
    for question in seen["questions"].as_array().unwrap() {
        let message = question["message"].as_str().unwrap();
        assert!(message.contains("POST /v1/items"), "{message}");
        assert!(message.contains("with a body of 11 bytes"), "{message}");
        assert!(message.contains("\"the user wants to sell\""), "{message}");
    }
    rig.assert_nothing_leaked(&seen);
    (rig, seen)
}

/// One yes and one no: asked twice, sent once.
fn judge_once(session: impl Fn(&Rig, &Value) -> Value) {
    let (rig, seen) = asked(&["Allow", "Deny"], session);
    assert_eq!(seen["questions"].as_array().unwrap().len(), 2, "{seen:#}");
    assert!(seen["first"]["structuredContent"]["status"].is_number(), "{seen:#}");
    let error = &seen["second"]["structuredContent"]["error"];
    assert_eq!(error["code"], "approval_denied", "{seen:#}");
    assert_eq!(rig.upstream.received().len(), 1);
}

/// Yes for the session: asked once, sent twice.
fn judge_session(session: impl Fn(&Rig, &Value) -> Value) {
    let (rig, seen) = asked(&["Allow for Session"], session);
    assert_eq!(seen["questions"].as_array().unwrap().len(), 1, "{seen:#}");
    assert_eq!(rig.upstream.received().len(), 2, "{seen:#}");
}

// DE-10
#[test]
fn the_typescript_sdk_asks_its_user_over_stdio_and_over_http() {
    let stdio = |rig: &Rig, calls: &Value| rig.typescript(&Transport::Stdio, calls);
    let http = |rig: &Rig, calls: &Value| rig.typescript(&rig.serve_http().transport, calls);
    judge_once(stdio);
    judge_session(stdio);
    judge_once(http);
    judge_session(http);
}

// DE-10
#[test]
fn the_python_sdk_asks_its_user_in_both_eras_and_over_both_transports() {
    for mode in ["auto", "legacy"] {
        let stdio = |rig: &Rig, calls: &Value| rig.python(mode, &Transport::Stdio, calls);
        judge_once(stdio);
        judge_session(stdio);
        judge_once(|rig, calls| rig.python(mode, &rig.serve_http().transport, calls));
    }
    judge_session(|rig, calls| rig.python("legacy", &rig.serve_http().transport, calls));
}

#[test]
fn the_inspector_lists_the_tools_and_finds_their_schemas_portable() {
    let rig = Rig::new("inspector lists");
    let (code, tools) = rig.inspector(&["--method", "tools/list", "--strict"]);
    assert_eq!(code, Some(0), "{tools:#}");
    let names: Vec<_> =
        tools["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert!(names.contains(&&json!("execute")), "{tools:#}");
}

#[test]
fn the_inspector_calls_a_service_and_is_refused_another_path() {
    let rig = Rig::new("inspector calls");
    let execute =
        ["--method", "tools/call", "--tool-name", "execute", "--tool-arg", "service=shop"];
    let (code, get) = rig.inspector(&[&execute[..], &["method=GET", "path=/v1/echo"]].concat());
    assert_eq!(get["structuredContent"]["body"]["authorization"], "Bearer [REDACTED:shop]");
    assert_eq!(code, Some(0), "{get:#}");
    let (code, admin) = rig.inspector(&[&execute[..], &["method=GET", "path=/admin"]].concat());
    assert_eq!(code, Some(5), "the inspector's code for an error of the tool: {admin:#}");
    assert_eq!(admin["structuredContent"]["error"]["code"], "policy_denied", "{admin:#}");

    assert_eq!(rig.upstream.received().len(), 1);
    rig.assert_nothing_leaked(&json!([get, admin]));
}
