//! The stateless era, on both transports.

use serde_json::{Value, json};

use crate::support::{Http, Stdio, meta, modern_lines, request};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

#[test]
fn discover_says_what_we_speak_without_a_handshake() {
    let mut client = Stdio::start();
    let stdio = client.call("server/discover", &json!({"_meta": meta()}));
    let http = Http::start().modern("server/discover", &json!({"_meta": meta()}));
    assert_eq!(http.status, 200);
    for answer in [stdio, http.json()] {
        let result = &answer["result"];
        assert_eq!(result["resultType"], "complete");
        assert_eq!(result["supportedVersions"][0], "2026-07-28");
        assert_eq!(result["capabilities"], json!({"tools": {}}));
        assert_eq!(result["cacheScope"], "private");
        assert!(result["ttlMs"].as_u64().is_some());
        assert!(result["instructions"].is_string());
        let server = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(server["name"], "strongroom");
    }
}

#[test]
fn lists_say_how_long_they_may_be_kept_and_calls_do_not() {
    let server = Http::start();
    let list = server.modern("tools/list", &json!({"_meta": meta()})).json();
    assert_eq!(list["result"]["cacheScope"], "private");
    assert!(list["result"]["ttlMs"].is_u64());
    let me = server.modern("tools/call", &json!({"name": "whoami", "_meta": meta()})).json();
    assert_eq!(me["result"]["resultType"], "complete");
    assert_eq!(me["result"]["structuredContent"]["principal"], "alice");
    assert!(me["result"].get("ttlMs").is_none());
}

#[test]
fn a_request_says_who_its_client_is_and_the_next_one_says_it_again() {
    let mut client = Stdio::start();
    let arguments = json!({"service": "acme", "method": "GET", "path": "/"});
    let mut anonymous = meta();
    anonymous.as_object_mut().unwrap().remove("io.modelcontextprotocol/clientInfo");
    for meta in [meta(), anonymous] {
        client
            .call("tools/call", &json!({"name": "execute", "arguments": arguments, "_meta": meta}));
    }
    let labels: Vec<_> =
        client.fake.seen().into_iter().map(|(caller, _)| caller.claimed_client).collect();
    assert_eq!(labels, [Some("modern-client".to_owned()), None]);
}

#[test]
fn meta_is_checked_on_every_request() {
    let with = |key: &str, value: Value| {
        let mut meta = meta();
        meta[key] = value;
        json!({"_meta": meta})
    };
    let mut lacking = meta();
    lacking.as_object_mut().unwrap().remove("io.modelcontextprotocol/clientCapabilities");
    let mut client = Stdio::start();
    for (params, code) in [
        (with(VERSION, json!("2099-01-01")), -32022),
        (with(VERSION, json!("2025-11-25")), -32022),
        (with(VERSION, json!(2026)), -32602),
        (with("io.modelcontextprotocol/clientCapabilities", json!([])), -32602),
        (json!({"_meta": lacking}), -32602),
        (json!({"_meta": []}), -32602),
        (json!({"_meta": {}}), -32602),
        (json!({}), -32602),
    ] {
        let answer = client.call("server/discover", &params);
        assert_eq!(answer["error"]["code"], code, "{params}");
        if code == -32022 {
            assert_eq!(answer["error"]["data"]["supported"][0], "2026-07-28");
            assert_eq!(answer["error"]["data"]["requested"], params["_meta"][VERSION]);
        }
    }
    assert!(client.call("server/discover", &json!({"_meta": meta()}))["result"].is_object());
}

#[test]
fn headers_must_say_what_the_body_says() {
    let server = Http::start();
    let version = || "MCP-Protocol-Version: 2026-07-28".to_owned();
    let method = || "Mcp-Method: tools/call".to_owned();
    let name = || "Mcp-Name: whoami".to_owned();
    let body = request(7, "tools/call", &json!({"name": "whoami", "_meta": meta()}));
    for good in [
        vec![version(), method(), name()],
        vec![name(), "mcp-method: tools/call".into(), "mcp-protocol-version: 2026-07-28".into()],
        vec![version(), method(), "Mcp-Name: =?base64?d2hvYW1p?=".into()],
        vec![version(), method(), name(), "Mcp-Param-Region: x".into(), "Mcp-Session-Id: x".into()],
    ] {
        let got = server.post(&good, &body);
        assert_eq!(got.status, 200, "{good:?}");
        assert!(got.header("mcp-session-id").is_none());
    }
    for bad in [
        vec![method(), name()],
        vec!["MCP-Protocol-Version: 2025-11-25".into(), method(), name()],
        vec![version(), version(), method(), name()],
        vec![version(), name()],
        vec![version(), "Mcp-Method: tools/list".into(), name()],
        vec![version(), "Mcp-Method: TOOLS/CALL".into(), name()],
        vec![version(), method(), method(), name()],
        vec![version(), method()],
        vec![version(), method(), "Mcp-Name: execute".into()],
        vec![version(), method(), "Mcp-Name: =?base64?ZXhlY3V0ZQ==?=".into()],
        vec![version(), method(), "Mcp-Name: =?base64?!?=".into()],
        vec![version(), method(), name(), name()],
    ] {
        let got = server.post(&bad, &body);
        assert_eq!(
            (got.status, got.json()["error"]["code"].clone()),
            (400, json!(-32020)),
            "{bad:?}"
        );
        assert_eq!(got.json()["id"], 7);
    }
}

#[test]
fn errors_found_before_a_method_runs_have_the_status_of_the_specification() {
    let server = Http::start();
    let modern = |method: &str, params: Value| {
        let got = server.modern(method, &params);
        (got.status, got.json()["error"]["code"].as_i64().unwrap())
    };
    assert_eq!(modern("nothing/here", json!({"_meta": meta()})), (404, -32601));
    assert_eq!(modern("ping", json!({"_meta": meta()})), (404, -32601));
    assert_eq!(modern("initialize", json!({"_meta": meta()})), (404, -32601));
    assert_eq!(modern("tools/list", json!({})), (400, -32602));
    let unknown = json!({"name": "nothing", "_meta": meta()});
    assert_eq!(modern("tools/call", unknown), (200, -32602), "the method's own error");

    let mut other = meta();
    other[VERSION] = json!("2099-01-01");
    let body = request(7, "tools/list", &json!({"_meta": other}));
    let lines =
        ["MCP-Protocol-Version: 2099-01-01".to_owned(), "Mcp-Method: tools/list".to_owned()];
    let got = server.post(&lines, &body);
    assert_eq!((got.status, got.json()["error"]["code"].clone()), (400, json!(-32022)));

    let without = request(7, "tools/list", &json!({}));
    let got = server.post(&lines[..1], &without);
    assert_eq!((got.status, got.json()["error"]["code"].clone()), (400, json!(-32022)));
}

#[test]
fn there_is_no_get_and_no_delete() {
    let server = Http::start();
    for method in ["GET", "DELETE", "PUT", "OPTIONS"] {
        let lines = [server.lines(), modern_lines("tools/list")].concat();
        let got = server.raw(&format!("{method} /mcp"), &lines, b"");
        assert_eq!(got.status, 405, "{method}");
        assert_eq!(got.header("allow"), Some("GET, POST, DELETE"));
    }
}

#[test]
fn a_notification_is_accepted_and_not_answered() {
    let server = Http::start();
    let body = r#"{"jsonrpc":"2.0","method":"notifications/whatever"}"#;
    let got = server.post(&modern_lines("notifications/whatever"), body);
    assert_eq!((got.status, got.body.len()), (202, 0));
    let got = server.post(&[], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(got.status, 400, "nothing was asked");
}
