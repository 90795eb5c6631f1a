//! Tasks of a server of the modern era (SEP-2663).

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_gateway::Servers;
use strongroom_gateway::mount::names::Naming;

use crate::behind;
use crate::notices::{event, opened};
use crate::support::{Got, Http, meta, modern_lines, request};

/// Answers a task where its client knows them, and says back what it is asked about one.
const SERVER: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}}';;
    *tools/list*) answer='"result":{"resultType":"complete","tools":[{"name":"slow"}],"ttlMs":100000,"cacheScope":"public"}';;
    *subscriptions/listen*'"taskIds":["t-1"]'*)
        for task in t-2 t-1; do
            printf '%s\n' "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks\",\"params\":{\"_meta\":{\"x\":$id},\"taskId\":\"$task\",\"status\":\"input_required\",\"inputRequests\":{\"q\":{\"method\":\"elicitation/create\",\"params\":{\"message\":\"Who? CANARY\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}}}}"
        done
        printf '%s\n' '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'; continue;;
    *subscriptions/listen*) continue;;
    *tasks/get*'"taskId":"t-1"'*) answer='"result":{"resultType":"complete","taskId":"t-1","status":"input_required","inputRequests":{"q":{"method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{}}}}}}';;
    *tasks/cancel*'"taskId":"t-1"'*) answer='"result":{"resultType":"complete"}';;
    *'"name":"slow"'*'io.modelcontextprotocol/tasks'*) answer='"result":{"resultType":"task","taskId":"t-1","status":"working","ttlMs":1000}';;
    *'"name":"slow"'*) answer='"result":{"resultType":"complete","content":[]}';;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

fn shop() -> Arc<dyn Servers> {
    let script = SERVER.replace("CANARY", behind::CANARY);
    behind::servers(&[("shop", &script, behind::ALL)], Naming::Safe)
}

fn post(http: &Http, token: &str, method: &str, knows: bool, more: &Value) -> Got {
    let mut lines = http.lines();
    lines[1] = format!("Authorization: Bearer {token}");
    lines.extend(modern_lines(method));
    let mut params = more.clone();
    if let Some(name) = params["name"].as_str() {
        lines.push(format!("Mcp-Name: {name}"));
    }
    params["_meta"] = meta();
    if knows {
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
            "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} }
        });
    }
    http.raw("POST /mcp", &lines, request(7, method, &params).as_bytes())
}

#[test]
fn a_task_is_asked_for_by_its_owner_under_an_id_of_ours() {
    let mut http = Http::before_servers(shop());
    let call = json!({ "name": "shop_slow", "arguments": {} });
    let plain = post(&http, "sr_alice", "tools/call", false, &call).json();
    assert_eq!(plain["result"]["resultType"], "complete", "a client that knows no tasks gets none");
    let begun = post(&http, "sr_alice", "tools/call", true, &call).json();
    let task = &begun["result"];
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")));
    assert_ne!(task["taskId"], "t-1");
    let of = json!({ "taskId": task["taskId"] });
    let state = post(&http, "sr_alice", "tasks/get", true, &of).json()["result"].clone();
    assert_eq!(state["taskId"], of["taskId"], "the same for the same task");
    let message = state["inputRequests"]["q"]["params"]["message"].as_str().unwrap();
    assert!(message.starts_with("The MCP server \"shop\" asks"), "{message}");
    assert!(post(&http, "sr_alice", "tasks/cancel", true, &of).json()["result"].is_object());

    assert_eq!(post(&http, "sr_bob", "tasks/get", true, &of).json()["error"]["code"], -32602);
    for unknown in ["t-1", ""] {
        let of = json!({ "taskId": unknown });
        let error = post(&http, "sr_alice", "tasks/get", true, &of).json()["error"].clone();
        assert_eq!(error["code"], -32602, "{unknown}");
    }
    let lacks = post(&http, "sr_alice", "tasks/get", false, &of);
    assert_eq!((lacks.status, &lacks.json()["error"]["code"]), (400, &json!(-32021)));
    http.join();
}

#[test]
fn how_a_task_gets_on_is_told_to_its_owner_and_to_nobody_else() {
    let mut http = Http::before_servers(shop());
    let call = json!({ "name": "shop_slow", "arguments": {} });
    let begun = post(&http, "sr_alice", "tools/call", true, &call).json();
    let task = begun["result"]["taskId"].clone();
    let listen = |token: &str| {
        let mut params = json!({
            "_meta": meta(),
            "notifications": { "toolsListChanged": true, "taskIds": [task, "t-1"] },
        });
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
            "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} }
        });
        let mut lines = http.lines();
        lines[1] = format!("Authorization: Bearer {token}");
        lines.extend(modern_lines("subscriptions/listen"));
        let body = request(70, "subscriptions/listen", &params);
        let mut stream = opened(&http, "POST /mcp", &lines, &body);
        let agreed = event(&mut stream).1["params"]["notifications"].clone();
        (stream, agreed)
    };
    let (mut theirs, agreed) = listen("sr_bob");
    assert_eq!(agreed, json!({ "toolsListChanged": true }), "it is not his");
    let (mut own, agreed) = listen("sr_alice");
    assert_eq!(agreed, json!({ "toolsListChanged": true, "taskIds": [task] }));

    let (_, told) = event(&mut own);
    assert_eq!(told["method"], "notifications/tasks", "{told}");
    let params = &told["params"];
    assert_eq!((&params["taskId"], &params["status"]), (&task, &json!("input_required")));
    let subscription = json!({ "io.modelcontextprotocol/subscriptionId": 70 });
    assert_eq!(params["_meta"], subscription, "{told}");
    let message = params["inputRequests"]["q"]["params"]["message"].as_str().unwrap();
    assert!(message.contains("> Who? [REDACTED:key]"), "in our frame: {told}");
    for stream in [&mut own, &mut theirs] {
        let (_, next) = event(stream);
        assert_eq!(next["method"], "notifications/tools/list_changed", "{next}");
    }
    drop((own, theirs));
    http.join();
}
