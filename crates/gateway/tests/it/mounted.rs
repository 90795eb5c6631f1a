//! A server next to our own tools, on both transports and in both eras.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_gateway::Servers;
use strongroom_gateway::mount::names::Naming;

use crate::behind;
use crate::support::{Http, Stdio, meta, request};

/// A server of the `initialize` era.
const LEGACY: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *initialize\"*) answer='"result":{"protocolVersion":"2025-06-18","capabilities":{}}';;
    *notifications/*) continue;;
    *tools/list*) answer='"result":{"tools":[{"vendor":1,"name":"order","inputSchema":{}},{"name":"empty"},{"name":"bad"},{"name":"secret"}]}';;
    *'"name":"order"'*) answer='"result":{"zeta":1,"content":[],"alpha":[1.0]}';;
    *'"name":"empty"'*) answer='"result":{}';;
    *'"name":"bad"'*) answer='"error":{"code":-32050,"message":"no","data":{"x":1}}';;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

/// One of the modern era, which answers nothing without its `_meta`.
const MODERN: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *io.modelcontextprotocol/protocolVersion\":\"2026-07-28*) ;;
    *) printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{\"code\":-32602,\"message\":\"no\"}}"; continue;;
    esac
    case $line in
    *server/discover*) answer='"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}';;
    *tools/list*) answer='"result":{"resultType":"complete","tools":[{"name":"order","inputSchema":{}}],"ttlMs":5,"cacheScope":"private"}';;
    *) answer='"result":{"resultType":"complete","content":[]}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

fn shop(script: &'static str) -> Arc<dyn Servers> {
    behind::servers(&[("shop", script, behind::NONE)], Naming::Safe)
}

fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[test]
fn over_stdio_the_tools_of_a_server_stand_behind_ours_and_are_called_by_their_names() {
    for (script, last) in [(LEGACY, "shop_bad"), (MODERN, "shop_order")] {
        let mut client = Stdio::before_servers(shop(script));
        let list = client.call("tools/list", &json!({}));
        let names = names(&list);
        assert_eq!((names[0], *names.last().unwrap()), ("list_services", last), "{names:?}");
        assert!(!names.contains(&"shop_secret"));
        for name in ["shop_order", "shop.order"] {
            let answer = client.tool(name, &json!({ "n": 1 }));
            assert_eq!(answer["result"]["content"], json!([]), "{answer}");
        }
        let refused = client.tool("shop_nothing", &json!({}));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert!(client.tool("whoami", &json!({}))["result"].is_object(), "and ours go on");
    }
}

#[test]
fn what_a_server_says_goes_through_as_it_wrote_it() {
    let mut client = Stdio::before_servers(shop(LEGACY));
    client.send(request(7, "tools/call", &json!({ "name": "shop_order", "arguments": {} })));
    let answer = client.receive_line();
    let expected = r#"{"jsonrpc":"2.0","id":7,"result":{"zeta":1,"content":[],"alpha":[1.0]}}"#;
    assert_eq!(answer.trim_end(), expected);
    let error = client.tool("shop_bad", &json!({}));
    assert_eq!(error["error"], json!({ "code": -32050, "message": "no", "data": { "x": 1 } }));
    let refused = client.tool("shop_secret", &json!({}));
    assert_eq!(refused["result"]["structuredContent"]["error"]["code"], "policy_denied");
    assert_eq!(refused["result"]["structuredContent"]["error"]["audit_id"], "a1");
}

#[test]
fn a_modern_client_is_told_what_a_result_of_an_older_server_is() {
    let mut http = Http::before_servers(shop(LEGACY));
    let list = http.modern("tools/list", &json!({ "_meta": meta() })).json();
    let result = &list["result"];
    assert_eq!(
        (&result["resultType"], &result["ttlMs"]),
        (&json!("complete"), &json!(0)),
        "{list}"
    );
    assert!(names(&list).contains(&"shop_order"));
    for (name, expected) in [
        (
            "shop_order",
            json!({ "resultType": "complete", "zeta": 1, "content": [], "alpha": [1.0] }),
        ),
        ("shop_empty", json!({ "resultType": "complete" })),
    ] {
        let params = json!({ "_meta": meta(), "name": name, "arguments": {} });
        assert_eq!(http.modern("tools/call", &params).json()["result"], expected);
    }
    http.join();
}

#[test]
fn a_server_that_cannot_be_started_is_named_and_hides_nothing() {
    let mut client = Stdio::before_servers(shop("exit 9"));
    let list = client.call("tools/list", &json!({}));
    assert_eq!(names(&list).len(), 7);
    let missing = &list["result"]["_meta"]["io.strongroom/missing"];
    let expected = json!([{ "server": "shop", "why": "the server has ended (exit status: 9)" }]);
    assert_eq!(*missing, expected);
}
