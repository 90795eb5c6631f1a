//! The tools: what they take and what they answer (MC-13, MC-20, MC-21).

use serde_json::{Value, json};
use strongroom_model::call::Body;

use crate::support::{Http, Stdio, request};

fn execute(service: &str) -> Value {
    json!({"service": service, "method": "GET", "path": "/"})
}

#[test]
fn an_answer_stands_in_the_text_and_in_the_structure() {
    let mut client = Stdio::initialized();
    let result = client.tool("execute", &execute("acme"))["result"].clone();
    let structured = &result["structuredContent"];
    assert_eq!(structured["status"], 200);
    assert_eq!(structured["headers"]["link"], "<a>, <b>");
    assert_eq!(structured["body"], json!({"ok": true, "n": 1.5}));
    assert_eq!(structured["duration_ms"], 7);
    assert_eq!(structured["audit_id"].as_str().unwrap().len(), 32);
    assert!(result.get("isError").is_none());
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, *structured);
}

#[test]
fn a_body_is_json_or_text_or_base64() {
    let mut client = Stdio::initialized();
    let mut body = |service| {
        let answer = client.tool("execute", &execute(service));
        let structured = &answer["result"]["structuredContent"];
        (structured["body"].clone(), structured.get("body_encoding").cloned())
    };
    assert_eq!(body("text"), (json!("é \"quoted\"\n"), None));
    assert_eq!(body("empty"), (json!(""), None));
    assert_eq!(body("binary"), (json!("AJ//"), Some(json!("base64"))));
    assert_eq!(body("twice"), (json!(r#"{"a":1,"a":2}"#), None), "two readings, so it is text");
}

#[test]
fn a_large_body_stands_once() {
    let mut client = Stdio::initialized();
    let result = client.tool("execute", &execute("large"))["result"].clone();
    let structured = &result["structuredContent"];
    assert_eq!(structured["body_in"], "text");
    assert!(structured.get("body").is_none());
    let body = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(body, format!("[\"{}\"]", "x\\n".repeat(40_000)), "as the upstream wrote it");
    let rest: Value = serde_json::from_str(result["content"][1]["text"].as_str().unwrap()).unwrap();
    assert_eq!(rest, *structured, "a model that sees text only sees the status too");

    // As a string, control characters would take six times their room.
    for service in ["large-binary", "large-controls"] {
        let result = client.tool("execute", &execute(service))["result"].clone();
        assert_eq!(result["structuredContent"]["body_encoding"], "base64");
        assert_eq!(result["content"][0]["text"].as_str().unwrap().len(), 133_336);
    }
}

#[test]
fn a_refusal_is_a_tool_error_with_a_code() {
    let mut client = Stdio::initialized();
    let result = client.tool("execute", &execute("slow-down"))["result"].clone();
    assert_eq!(result["isError"], true);
    let error = &result["structuredContent"]["error"];
    assert_eq!((&error["code"], &error["retry"]), (&json!("rate_limited"), &json!("after")));
    assert_eq!(error["retry_after_s"], 3);
    assert!(error["audit_id"].is_string());
    assert_eq!(result["content"][0]["text"], "rate_limited: too many calls");
}

#[test]
fn what_is_asked_reaches_the_broker_as_it_was_written() {
    let mut client = Stdio::initialized();
    client.send(
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"execute","arguments":
        {"capability":"acme","method":"POST","path":"/a?b=1","query":{"z":"1","a":[1.50,true]},
        "headers":{"X-Foo":"é"},"body":{"z": 1.50, "a" :"\u00e9"},"reason":"why not"}}}"#
            .replace('\n', " "),
    );
    assert!(client.receive()["result"].is_object());
    let (caller, call) = client.fake.seen().remove(0);
    assert_eq!(caller.principal.name.as_str(), "claude-code");
    assert_eq!((&*call.service, &*call.method, &*call.path), ("acme", "POST", "/a?b=1"));
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    assert_eq!(call.query, [pair("z", "1"), pair("a", "1.50"), pair("a", "true")]);
    assert_eq!(call.headers, [pair("X-Foo", "é")]);
    assert_eq!(call.body, Body::Json(r#"{"z": 1.50, "a" :"\u00e9"}"#.to_owned()));
    assert_eq!(call.reason.as_deref(), Some("why not"));
}

#[test]
fn arguments_that_no_tool_takes_are_errors_and_identity_is_none_of_them() {
    let mut client = Stdio::initialized();
    let with = |key: &str, value: Value| {
        let mut arguments = execute("acme");
        arguments[key] = value;
        arguments
    };
    for (tool, arguments) in [
        ("execute", with("agentId", json!("root"))),
        ("execute", with("tenant_id", json!("other"))),
        ("execute", with("principal", json!("root"))),
        ("execute", with("capability", json!("other"))),
        ("execute", with("service", json!(["acme"]))),
        ("execute", with("method", json!(1))),
        ("execute", with("headers", json!({"a": 1}))),
        ("execute", with("headers", json!([]))),
        ("execute", with("query", json!("a=b"))),
        ("execute", with("reason", json!({}))),
        ("execute", json!({"service": "acme", "method": "GET"})),
        ("execute", json!([])),
        ("list_services", json!({"principal": "root"})),
        ("whoami", json!({"as": "root"})),
        ("explain_access", json!({"service": "acme"})),
        ("test_service", json!({"service": "acme", "path": "/"})),
        ("nothing", json!({})),
        ("Execute", execute("acme")),
        ("execute ", execute("acme")),
        ("__proto__", json!({})),
    ] {
        let answer = client.tool(tool, &arguments);
        assert_eq!(answer["error"]["code"], -32602, "{tool} {arguments}");
    }
    assert!(client.fake.seen().is_empty());
    let long = with("reason", json!("x".repeat(10 << 20)));
    assert!(client.tool("execute", &long)["result"].is_object(), "long is not wrong");
}

#[test]
fn what_is_not_there_and_what_is_not_yours_have_the_same_bytes() {
    let mut client = Stdio::initialized();
    let mut refusal = |tool: &str, arguments: Value| {
        let mut answer = client.tool(tool, &arguments)["result"].clone();
        if let Some(error) = answer["structuredContent"]["error"].as_object_mut() {
            error.remove("audit_id");
        }
        answer.to_string()
    };
    let explain = |service| json!({"service": service, "method": "GET", "path": "/"});
    assert_eq!(refusal("execute", execute("unknown")), refusal("execute", execute("forbidden")));
    assert_eq!(
        refusal("explain_access", explain("unknown")),
        refusal("explain_access", explain("forbidden"))
    );
    assert_eq!(
        refusal("test_service", json!({"service": "unknown"})),
        refusal("test_service", json!({"service": "forbidden"}))
    );
    assert_ne!(refusal("execute", execute("unknown")), refusal("execute", execute("acme")));
}

#[test]
fn a_principal_sees_its_own_services_only() {
    let server = Http::start();
    let call = |token: &str, tool: &str| {
        let session = server.session(token);
        let mut lines = [server.lines(), vec![session]].concat();
        lines[1] = format!("Authorization: Bearer {token}");
        let body = request(7, "tools/call", &json!({"name": tool}));
        let got = server.raw("POST /mcp", &lines, body.as_bytes());
        got.json()["result"]["structuredContent"].clone()
    };
    let services = call("sr_alice", "list_services");
    let acme = &services["services"][0];
    assert_eq!(acme["name"], "acme");
    assert_eq!(acme["allow"], json!(["GET /**"]));
    assert_eq!(acme["deny"], json!(["* /keys/**"]));
    assert_eq!(acme["limits"], json!({"calls_per_minute": 600, "response_bytes": 10 << 20}));
    let git = &services["services"][1];
    assert_eq!((&git["kind"], &git["program"]), (&json!("command"), &json!("git")));
    assert!(git.get("base_url").is_none() && git.get("request_headers").is_none(), "{git}");
    assert_eq!(call("sr_alice", "whoami")["services"], json!(["acme", "git"]));
    assert_eq!(call("sr_nobody", "list_services")["services"], json!([]));
    let me = json!({"principal": "nobody", "source": "token", "services": [], "grants": []});
    assert_eq!(call("sr_nobody", "whoami"), me);
}

#[test]
fn a_program_is_run_by_its_words_and_says_how_it_ended() {
    let mut client = Stdio::initialized();
    let mut exec = |service: &str| {
        let call = json!({"service": service, "command": ["git", "push", "a b"], "stdin": "in"});
        client.tool("exec", &call)["result"].clone()
    };
    let ran = exec("git")["structuredContent"].clone();
    assert_eq!(ran["stdout"], "[\"git\", \"push\", \"a b\"] \"in\"\n");
    assert_eq!((&ran["stderr"], &ran["stderr_encoding"]), (&json!("AJ//"), &json!("base64")));
    assert_eq!((&ran["exit_code"], &ran["redactions"]), (&json!(3), &json!(1)));
    assert!(ran["audit_id"].is_string() && ran.get("signal").is_none(), "{ran}");
    let killed = exec("killed")["structuredContent"].clone();
    assert_eq!((&killed["exit_code"], &killed["signal"]), (&json!(137), &json!(9)));
    let large = exec("large");
    assert_eq!(large["structuredContent"]["stdout_in"], "text");
    assert_eq!(large["content"][0]["text"].as_str().unwrap().len(), 100_000);
    assert_eq!(exec("unknown")["structuredContent"]["error"]["code"], "not_found");

    let command = json!({"service": "git", "command": ["git", "push"]});
    let explained = client.tool("explain_access", &command)["result"]["structuredContent"].clone();
    assert_eq!(
        (&explained["decision"], &explained["request"]),
        (&json!("allow"), &json!("git push"))
    );
    let both = json!({"service": "git", "command": ["git"], "method": "GET", "path": "/"});
    assert_eq!(client.tool("explain_access", &both)["error"]["code"], -32602);
}

#[test]
fn explain_and_test_say_what_they_found() {
    let mut client = Stdio::initialized();
    let explain = json!({"service": "acme", "method": "GET", "path": "/x"});
    let explained = client.tool("explain_access", &explain)["result"]["structuredContent"].clone();
    assert_eq!(explained["decision"], "allow");
    assert_eq!(explained["request"], "GET /x");
    assert_eq!(explained["matched"], json!([{"decision": "allow", "rule": "GET /**"}]));
    let tested = client.tool("test_service", &json!({"service": "acme"}))["result"].clone();
    assert_eq!(tested["structuredContent"]["authenticated"], false);
    assert_eq!(tested["structuredContent"]["status"], 401);
}
