//! The era of `initialize`, over stdio.

use serde_json::{Value, json};

use crate::support::{Stdio, initialize, meta, request};

#[test]
fn a_client_gets_the_version_it_asked_for_where_we_speak_it() {
    for (asked, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"), // has no `initialize`
        ("2099-01-01", "2025-11-25"),
    ] {
        let hello = Stdio::start().call("initialize", &initialize(asked));
        assert_eq!(hello["result"]["protocolVersion"], given);
        assert_eq!(hello["result"]["serverInfo"]["name"], "strongroom");
        assert_eq!(hello["result"]["capabilities"], json!({"tools": {}}));
    }
}

#[test]
fn nothing_but_ping_is_answered_before_initialize() {
    let mut client = Stdio::start();
    assert_eq!(client.call("tools/list", &json!({}))["error"]["code"], -32600);
    assert_eq!(client.tool("whoami", &json!({}))["error"]["code"], -32600);
    assert_eq!(client.call("ping", &json!({}))["result"], json!({}));
    client.call("initialize", &initialize("2025-11-25"));
    assert!(client.call("tools/list", &json!({}))["result"]["tools"].is_array());
}

#[test]
fn a_second_initialize_is_an_error_and_changes_nothing() {
    let mut client = Stdio::initialized();
    let mut again = initialize("2024-11-05");
    again["clientInfo"]["name"] = json!("someone-else");
    assert_eq!(client.call("initialize", &again)["error"]["code"], -32600);
    client.tool("execute", &json!({"service": "acme", "method": "GET", "path": "/"}));
    let (caller, _) = client.fake.seen().remove(0);
    assert_eq!(caller.claimed_client.as_deref(), Some("legacy-client"));
}

#[test]
fn initialize_without_a_version_is_refused_and_can_be_made_good() {
    let mut client = Stdio::start();
    for bad in [json!({}), json!({"protocolVersion": 2025}), Value::Null] {
        assert_eq!(client.call("initialize", &bad)["error"]["code"], -32602, "{bad}");
    }
    assert!(client.call("initialize", &initialize("2025-11-25"))["result"].is_object());
}

#[test]
fn the_tools_are_listed_in_one_order_and_on_one_page() {
    let mut client = Stdio::initialized();
    let list = client.call("tools/list", &json!({}));
    let names: Vec<_> =
        list["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    let expected = [
        "list_services",
        "execute",
        "exec",
        "explain_access",
        "test_service",
        "whoami",
        "request_access",
    ];
    assert_eq!(names, expected);
    assert!(list["result"].get("resultType").is_none(), "that is a modern word");
    assert!(list["result"].get("nextCursor").is_none());
    assert_eq!(client.call("tools/list", &json!({"cursor": "x"}))["error"]["code"], -32602);
}

#[test]
fn methods_that_we_do_not_have_are_not_found() {
    let mut client = Stdio::initialized();
    for method in ["resources/list", "prompts/list", "logging/setLevel", "Tools/List", "", "rpc.x"]
    {
        assert_eq!(client.call(method, &json!({}))["error"]["code"], -32601, "{method}");
    }
}

#[test]
fn both_eras_are_served_on_one_stream() {
    let mut client = Stdio::initialized();
    let modern = client.call("tools/list", &json!({"_meta": meta()}));
    assert_eq!(modern["result"]["resultType"], "complete");
    let legacy = client.call("tools/list", &json!({"_meta": {"progressToken": 1}}));
    assert!(legacy["result"].get("resultType").is_none());
}

#[test]
fn what_a_client_calls_itself_is_a_label_and_is_cut() {
    let mut client = Stdio::start();
    let mut hello = initialize("2025-11-25");
    hello["clientInfo"]["name"] = json!("root".repeat(1000));
    client.call("initialize", &hello);
    client.tool("execute", &json!({"service": "acme", "method": "GET", "path": "/"}));
    let (caller, _) = client.fake.seen().remove(0);
    assert_eq!(caller.claimed_client.unwrap().len(), 64);
    assert_eq!(caller.principal.name.as_str(), "claude-code");
}

#[test]
fn answers_carry_the_id_as_it_was_written() {
    let mut client = Stdio::initialized();
    for id in ["9007199254740993", "\"9007199254740993\"", "\"\\u0061\\/\"", "-1"] {
        client.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
        let answer = client.receive();
        let expected: Value = serde_json::from_str(id).unwrap();
        assert_eq!(answer["id"], expected);
    }
    client.send(request("1", "ping", &json!({})));
    assert_eq!(client.receive()["id"], "1");
}
