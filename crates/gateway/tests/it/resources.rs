//! Resources of several servers behind one endpoint.

use serde_json::{Value, json};
use strongroom_gateway::mount::names::Naming;

use crate::behind::{self, CANARY};
use crate::support::{Http, Stdio, meta, request};

/// A server with two resources and a template. `$1` tells its answers from others'.
pub(crate) fn server(name: &str) -> String {
    let script = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"error":{"code":-32601,"message":"no"}';;
    *initialize\"*) answer='"result":{"protocolVersion":"2025-11-25","capabilities":{"resources":{"subscribe":true}}}';;
    *notifications/*) continue;;
    *resources/list*) answer='"result":{"resources":[{"vendor":1,"uri":"NAME://one","name":"one"},{"uri":"both://one","name":"NAME"}]}';;
    *templates/list*) answer='"result":{"resourceTemplates":[{"uriTemplate":"NAME://{id}/data","name":"data"}]}';;
    *://lost*) answer='"error":{"code":-32002,"message":"no","data":{"uri":"x"}}';;
    *resources/read*) answer='"result":{"contents":[{"uri":"NAME","text":"CANARY"}],"zeta":1.0,"alpha":[]}';;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;
    script.replace("NAME", name).replace("CANARY", CANARY)
}

fn two() -> std::sync::Arc<dyn strongroom_gateway::Servers> {
    let (a, b) = (server("a"), server("b"));
    let none = behind::NONE;
    behind::servers(&[("first", &a, none), ("bobs", &b, none), ("second", &b, none)], Naming::Safe)
}

fn uris(list: &Value) -> Vec<&str> {
    let all = list["result"]["resources"].as_array().expect("a list");
    all.iter().map(|one| one["uri"].as_str().unwrap()).collect()
}

#[test]
fn resources_of_all_servers_are_listed_as_they_are_written_and_an_address_is_its_first_owners() {
    let mut client = Stdio::before_servers(two());
    client.send(request(7, "resources/list", &json!({})));
    let line = client.receive_line();
    let list: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(uris(&list), ["a://one", "both://one", "b://one"]);
    assert!(line.contains(r#"{"vendor":1,"uri":"a://one","name":"one"}"#), "{line}");
    let templates = client.call("resources/templates/list", &json!({}));
    assert_eq!(templates["result"]["resourceTemplates"][1]["uriTemplate"], "b://{id}/data");
}

#[test]
fn a_resource_is_read_from_whoever_has_it_and_comes_as_it_was_written_but_for_secrets() {
    let mut client = Stdio::before_servers(two());
    for (uri, owner) in
        [("a://one", "a"), ("both://one", "a"), ("b://7/data", "b"), ("b://other", "b")]
    {
        client.send(request(7, "resources/read", &json!({ "uri": uri })));
        let expected = format!(
            r#"{{"jsonrpc":"2.0","id":7,"result":{{"contents":[{{"uri":"{owner}","text":"[REDACTED:key]"}}],"zeta":1.0,"alpha":[]}}}}"#
        );
        assert_eq!(client.receive_line().trim_end(), expected, "{uri}");
    }
    for uri in ["both://other", "c://one", ""] {
        let error = &client.call("resources/read", &json!({ "uri": uri }))["error"];
        assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(-32002), &json!(uri)));
    }
    assert_eq!(client.call("resources/read", &json!({}))["error"]["code"], -32602);
}

#[test]
fn a_modern_client_is_told_how_long_a_resource_is_good_and_knows_no_old_errors() {
    let mut http = Http::before_servers(two());
    let read = |uri: &str| {
        let more = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: resources/read"];
        let mut more: Vec<String> = more.map(Into::into).into();
        more.push(format!("Mcp-Name: {uri}"));
        let params = json!({ "_meta": meta(), "uri": uri });
        http.post(&more, &request(7, "resources/read", &params)).json()
    };
    let result = &read("a://one")["result"];
    assert_eq!(
        (&result["resultType"], &result["ttlMs"], &result["cacheScope"]),
        (&json!("complete"), &json!(0), &json!("private"))
    );
    for uri in ["a://lost", "c://nowhere"] {
        assert_eq!(read(uri)["error"]["code"], -32602, "{uri}");
    }
    http.join();
}

#[test]
fn resources_of_a_server_of_others_are_not_there_and_its_owner_has_them() {
    let only = server("b");
    let servers = || behind::servers(&[("bobs", &only, behind::NONE)], Naming::Safe);
    let mut http = Http::before_servers(servers());
    let ask = |token: &str, method: &str, params: Value| {
        let mut lines = http.lines();
        lines[1] = format!("Authorization: Bearer {token}");
        let mut params = params;
        params["_meta"] = meta();
        lines.extend(crate::support::modern_lines(method));
        if let Some(uri) = params["uri"].as_str() {
            lines.push(format!("Mcp-Name: {uri}"));
        }
        http.raw("POST /mcp", &lines, request(7, method, &params).as_bytes())
    };
    let uri = json!({ "uri": "b://one" });
    assert_eq!(
        ask("sr_alice", "resources/read", uri.clone()).status,
        404,
        "no such method for her"
    );
    assert_eq!(ask("sr_alice", "resources/list", json!({})).status, 404);
    assert_eq!(uris(&ask("sr_bob", "resources/list", json!({})).json()).len(), 2);
    assert!(ask("sr_bob", "resources/read", uri).json()["result"].is_object());
    http.join();
}

#[test]
fn with_plain_names_the_one_server_is_asked_for_every_address() {
    let a = server("a");
    let mut client =
        Stdio::before_servers(behind::servers(&[("only", &a, behind::NONE)], Naming::Plain));
    let answer = client.call("resources/read", &json!({ "uri": "anything://at/all" }));
    assert_eq!(answer["result"]["contents"][0]["uri"], "a", "{answer}");
}

#[test]
fn lists_come_in_pages_whose_cursors_are_of_their_owner() {
    let (a, b) = (server("a"), server("b"));
    let none = behind::NONE;
    let servers = behind::paged(&[("first", &a, none), ("second", &b, none)], Naming::Safe, 2);
    let mut http = Http::before_servers(servers);
    let ask = |token: &str, method: &str, cursor: &Value| {
        let mut lines = http.lines();
        lines[1] = format!("Authorization: Bearer {token}");
        lines.extend(crate::support::modern_lines(method));
        let mut params = json!({ "_meta": meta() });
        if !cursor.is_null() {
            params["cursor"] = cursor.clone();
        }
        http.raw("POST /mcp", &lines, request(7, method, &params).as_bytes()).json()
    };
    let first = ask("sr_alice", "resources/list", &Value::Null);
    assert_eq!(uris(&first), ["a://one", "both://one"]);
    let cursor = &first["result"]["nextCursor"];
    let second = ask("sr_alice", "resources/list", cursor);
    assert_eq!((uris(&second), &second["result"]["nextCursor"]), (vec!["b://one"], &Value::Null));
    for (token, method, cursor) in [
        ("sr_bob", "resources/list", cursor.clone()),
        ("sr_alice", "tools/list", cursor.clone()),
        ("sr_alice", "resources/list", json!("2")),
        ("sr_alice", "resources/list", json!(2)),
    ] {
        assert_eq!(ask(token, method, &cursor)["error"]["code"], -32602, "{token} {method}");
    }
    http.join();
}
