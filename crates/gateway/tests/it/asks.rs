//! What servers ask of clients, in every pair of eras (decision 14).

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_gateway::Servers;
use strongroom_gateway::mount::names::Naming;
use strongroom_model::server::Asks;

use crate::behind::{self, CANARY};
use crate::support::{Http, Stdio, initialize, meta, request};

/// A server of the `initialize` era whose tool `ask` asks for a name, and says back what it was answered.
/// `die` dies while it waits; `secret_form` asks for a password; `sample` and `roots` ask for those.
const LEGACY: &str = r#"
say() { printf '%s\n' "$1"; }
question() { say "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"$1\",\"params\":$2}"; }
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"error":{"code":-32601,"message":"no"}';;
    *initialize\"*) answer="\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}}}"; can=$line;;
    *tools/list*) answer='"result":{"tools":[{"name":"ask"},{"name":"die"},{"name":"password"},{"name":"sample"},{"name":"roots"},{"name":"can"},{"name":"twice"},{"name":"plain"}]}';;
    *'"name":"can"'*) case $can in *elicitation*) answer='"result":{"can":true}';; *) answer='"result":{"can":false}';; esac;;
    *'"name":"plain"'*) answer='"result":{"content":[]}';;
    *'"name":"ask"'*) call=$id; question elicitation/create '{"message":"Who? CANARY","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}'; continue;;
    *'"name":"twice"'*) call=$id; more=1; question elicitation/create '{"message":"First?","requestedSchema":{"type":"object","properties":{}}}'; continue;;
    *'"name":"die"'*) question elicitation/create '{"message":"Who?","requestedSchema":{"type":"object","properties":{}}}'; read -r again; exit 3;;
    *'"name":"password"'*) call=$id; question elicitation/create '{"message":"?","requestedSchema":{"type":"object","properties":{"password":{"type":"string"}}}}'; continue;;
    *'"name":"sample"'*) call=$id; question sampling/createMessage '{"messages":[],"maxTokens":1}'; continue;;
    *'"name":"roots"'*) call=$id; question roots/list '{}'; continue;;
    *'"id":"q"'*)
        if [ -n "$more" ]; then more=; question elicitation/create '{"message":"Second?","requestedSchema":{"type":"object","properties":{}}}'; continue; fi
        id=$call; said=${line#*\"id\":\"q\",}; answer="\"result\":{\"said\":{${said%\}}}}";;
    *notifications/*) continue;;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    say "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

/// The same as a modern server: it answers by `input_required` until it is brought what it wants.
const MODERN: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}';;
    *tools/list*) answer='"result":{"resultType":"complete","tools":[{"name":"ask"},{"name":"can"},{"name":"endless"},{"name":"escaped"},{"name":"unreadable"},{"name":"away"},{"name":"refused"}],"ttlMs":100000,"cacheScope":"public"}';;
    *'"name":"can"'*) case $line in *'"elicitation":{"form"'*) answer='"result":{"can":true}';; *) answer='"result":{"can":false}';; esac;;
    *'"name":"endless"'*) answer='"result":{"resultType":"input_required","requestState":"s"}';;
    *'"name":"escaped"'*) answer='"result":{"resultType":"input_\u0072equired","inputRequests":{"who":{"method":"elicitation/create","params":{"message":"Who? CANARY","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}}},"requestState":"state-1"}';;
    *'"name":"unreadable"'*) answer='"result":{"resultType":"input_required","inputRequests":{"who":{"method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{}}}},"odd":7}}';;
    *'"name":"away"'*) answer='"error":{"code":-32042.0,"message":"Open it","data":{"elicitations":[{"mode":"url","url":"https://evil.example/"}]}}';;
    *'"name":"refused"'*) answer='"error":{"code":-32050,"message":"Not today"}';;
    *'"requestState":"state-1"'*) said=${line#*\"inputResponses\":}; said=${said%%,\"requestState*}; answer="\"result\":{\"resultType\":\"complete\",\"said\":$said}";;
    *'"name":"ask"'*) answer='"result":{"resultType":"input_required","inputRequests":{"who":{"method":"elicitation/create","params":{"message":"Who? CANARY","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}}},"requestState":"state-1"}';;
    *notifications/*) continue;;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

fn one(script: &str, allows: Asks) -> Arc<dyn Servers> {
    let script = script.replace("CANARY", CANARY);
    behind::servers(&[("shop", &script, allows)], Naming::Safe)
}

const CAN: &str = r#"{"elicitation":{"form":{}},"sampling":{},"roots":{}}"#;

fn legacy(servers: Arc<dyn Servers>, can: &str) -> Stdio {
    let mut client = Stdio::before_servers_unsaid(servers);
    let mut hello = initialize("2025-11-25");
    hello["capabilities"] = serde_json::from_str(can).unwrap();
    client.call("initialize", &hello);
    client
}

fn call(name: &str) -> Value {
    json!({ "name": format!("shop_{name}"), "arguments": {} })
}

fn modern(name: &str, can: &str, more: &Value) -> Value {
    let mut params = call(name);
    params["_meta"] = meta();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        serde_json::from_str(can).unwrap();
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}

fn accept() -> Value {
    json!({ "action": "accept", "content": { "name": "me" } })
}

const WORDS: &str = "The MCP server \"shop\" asks, by way of Strongroom:\n\n> Who? [REDACTED:key]";

#[test]
fn an_older_client_is_asked_by_a_request_of_ours_whichever_era_its_server_is_of() {
    for script in [LEGACY, MODERN] {
        let mut client = legacy(one(script, behind::ALL), CAN);
        client.send(request(7, "tools/call", &call("ask")));
        let asked = client.receive();
        assert_eq!(asked["method"], "elicitation/create", "{asked}");
        assert_ne!(asked["id"], json!("q"), "the server's ids are its own");
        assert_eq!(asked["params"]["message"], WORDS);
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": accept() });
        client.send(answer.to_string());
        let result = client.receive()["result"].clone();
        let said =
            if script == LEGACY { &result["said"]["result"] } else { &result["said"]["who"] };
        assert_eq!(*said, accept(), "{result}");
    }
}

#[test]
fn what_a_client_answers_by_an_error_is_an_error_or_no_answer() {
    let mut client = legacy(one(LEGACY, behind::ALL), CAN);
    client.send(request(7, "tools/call", &call("sample")));
    let id = client.receive()["id"].clone();
    let error = json!({ "code": -1, "message": "no model" });
    client.send(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
    assert_eq!(client.receive()["result"]["said"]["error"], error);

    let mut client = legacy(one(MODERN, behind::ALL), CAN);
    client.send(request(7, "tools/call", &call("ask")));
    let id = client.receive()["id"].clone();
    client.send(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
    assert_eq!(client.receive()["result"]["said"]["who"], json!({ "action": "cancel" }));
}

// MC-17
#[test]
fn a_server_that_was_not_allowed_to_asks_nobody_and_is_told_so() {
    let mut client = legacy(one(LEGACY, behind::NONE), CAN);
    for name in ["ask", "sample", "roots"] {
        let answer = client.call("tools/call", &call(name));
        assert_eq!(answer["result"]["said"]["error"]["code"], -32601, "{name}: {answer}");
    }
    assert_eq!(client.call("tools/call", &call("can"))["result"]["can"], false);
    let mut client = legacy(one(LEGACY, behind::ALL), CAN);
    assert_eq!(client.call("tools/call", &call("can"))["result"]["can"], true);
    for name in ["sample", "roots"] {
        client.send(request(7, "tools/call", &call(name)));
        let asked = client.receive();
        let result = json!({ "x": [1.0] });
        client.send(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }).to_string());
        assert_eq!(client.receive()["result"]["said"]["result"], result, "{name}");
    }
}

// MC-17
#[test]
fn a_form_that_asks_for_a_password_is_declined_and_no_client_sees_it() {
    let mut client = legacy(one(LEGACY, behind::ALL), CAN);
    let answer = client.call("tools/call", &call("password"));
    assert_eq!(answer["result"]["said"]["result"], json!({ "action": "decline" }));
}

#[test]
fn a_client_that_cannot_be_asked_is_not() {
    for script in [LEGACY, MODERN] {
        let mut client = legacy(one(script, behind::ALL), "{}");
        let answer = client.call("tools/call", &call("ask"));
        assert_ne!(answer["method"], "elicitation/create", "{answer}");
        assert!(client.call("tools/list", &json!({}))["result"].is_object(), "and it goes on");
    }
    let mut client = legacy(one(MODERN, behind::ALL), "{}");
    assert_eq!(client.call("tools/call", &call("can"))["result"]["can"], false);
}

#[test]
fn a_modern_client_comes_again_with_the_answer_whichever_era_its_server_is_of() {
    for script in [LEGACY, MODERN] {
        let mut client = Stdio::before_servers_unsaid(one(script, behind::ALL));
        let first = client.call("tools/call", &modern("ask", CAN, &json!({})));
        let result = &first["result"];
        assert_eq!(result["resultType"], "input_required", "{first}");
        let requests = result["inputRequests"].as_object().unwrap();
        let (key, asked) = requests.iter().next().unwrap();
        assert_eq!(asked["params"]["message"], WORDS);
        assert!(!first.to_string().contains("state-1"), "the server's state is sealed");
        let brings =
            json!({ "inputResponses": { key: accept() }, "requestState": result["requestState"] });
        let last = client.call("tools/call", &modern("ask", CAN, &brings));
        let said = &last["result"]["said"];
        let said = if script == LEGACY { &said["result"] } else { &said["who"] };
        assert_eq!(*said, accept(), "{last}");
        assert_eq!(last["result"]["resultType"], "complete");
    }
}

/// A server of the `initialize` era that answers as if it were a modern one.
const SLY: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"error":{"code":-32601,"message":"no"}';;
    *initialize\"*) answer='"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}';;
    *notifications/*) continue;;
    *tools/list*) answer='"result":{"tools":[{"name":"ask"},{"name":"say"}]}';;
    *'"name":"ask"'*) answer='"result":{"resultType":"input_required","inputRequests":{"who":{"method":"elicitation/create","params":{"message":"Your password?","requestedSchema":{"type":"object","properties":{}}}}}}';;
    *) answer='"result":{"content":[{"type":"text","text":"input_required"}]}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

#[test]
fn a_question_that_came_another_way_than_was_agreed_reaches_nobody() {
    for allows in [behind::ALL, behind::NONE] {
        let mut client = Stdio::before_servers_unsaid(one(SLY, allows));
        let answer = client.call("tools/call", &modern("ask", CAN, &json!({})));
        assert!(answer.to_string().contains("was not agreed"), "{answer}");
        assert!(!answer.to_string().contains("password"), "{answer}");
        let answer = client.call("tools/call", &modern("say", CAN, &json!({})));
        assert_eq!(answer["result"]["content"][0]["text"], "input_required", "{answer}");
    }
}

#[test]
fn a_question_is_framed_however_its_kind_is_written_and_refused_where_it_cannot_be_read() {
    let mut client = Stdio::before_servers_unsaid(one(MODERN, behind::ALL));
    let asked = client.call("tools/call", &modern("escaped", CAN, &json!({})));
    assert_eq!(asked["result"]["inputRequests"]["who"]["params"]["message"], WORDS, "{asked}");
    assert!(!asked.to_string().contains("state-1"), "{asked}");
    let mut client = Stdio::before_servers_unsaid(one(MODERN, behind::NONE));
    let refused = client.call("tools/call", &modern("escaped", CAN, &json!({})));
    assert!(refused.to_string().contains("not allowed to ask"), "{refused}");

    let mut client = Stdio::before_servers_unsaid(one(MODERN, behind::ALL));
    let refused = client.call("tools/call", &modern("unreadable", CAN, &json!({})));
    assert!(refused.to_string().contains("cannot be read"), "{refused}");
    assert!(!refused.to_string().contains("Who?"), "{refused}");
}

#[test]
fn an_error_without_an_integer_for_its_code_sends_nobody_away() {
    for allows in [behind::ALL, behind::NONE] {
        let mut client = legacy(one(MODERN, allows), CAN);
        let refused = client.call("tools/call", &call("away"));
        assert!(!refused.to_string().contains("evil.example"), "{refused}");
        let told = client.call("tools/call", &call("refused"));
        assert_eq!(told["error"]["message"], "Not today", "{told}");
    }
}

#[test]
fn a_parked_call_goes_on_once_and_for_its_principal_and_request_alone() {
    let mut http = Http::before_servers(one(LEGACY, behind::ALL));
    let post = |token: &str, params: &Value| {
        let mut lines = http.lines();
        lines[1] = format!("Authorization: Bearer {token}");
        lines.extend(crate::support::modern_lines("tools/call"));
        lines.push(format!("Mcp-Name: {}", params["name"].as_str().unwrap()));
        http.raw("POST /mcp", &lines, request(7, "tools/call", params).as_bytes()).json()
    };
    let first = post("sr_alice", &modern("ask", CAN, &json!({})));
    let state = &first["result"]["requestState"];
    let brings = |answers: Value| json!({ "inputResponses": answers, "requestState": state });
    let answers = json!({ "question-1": accept() });
    let theirs = post("sr_bob", &modern("ask", CAN, &brings(answers.clone())));
    assert_eq!(theirs["error"]["code"], -32602, "{theirs}");
    let other = post("sr_alice", &modern("sample", CAN, &brings(answers.clone())));
    assert_eq!(other["error"]["code"], -32602, "{other}");
    let mut forged = brings(answers.clone());
    forged["requestState"] = format!("{}x", state.as_str().unwrap()).into();
    assert_eq!(post("sr_alice", &modern("ask", CAN, &forged))["error"]["code"], -32602);

    // Without an answer it asks again, under another state.
    let again = post("sr_alice", &modern("ask", CAN, &brings(json!({}))));
    assert_eq!(again["result"]["inputRequests"], first["result"]["inputRequests"]);
    let used = post("sr_alice", &modern("ask", CAN, &brings(answers.clone())));
    assert_eq!(used["error"]["code"], -32602, "a state is used once");
    let state = &again["result"]["requestState"];
    let brings = json!({ "inputResponses": answers, "requestState": state });
    let last = post("sr_alice", &modern("ask", CAN, &brings));
    assert_eq!(last["result"]["said"]["result"], accept(), "{last}");
    http.join();
}

#[test]
fn a_parked_call_may_be_asked_again_and_its_server_may_die_meanwhile() {
    let mut client = Stdio::before_servers_unsaid(one(LEGACY, behind::ALL));
    let round = |client: &mut Stdio, name: &str, last: &Value| {
        let brings = match last["result"]["requestState"].as_str() {
            None => json!({}),
            Some(state) => {
                json!({ "inputResponses": { "question-1": accept() }, "requestState": state })
            }
        };
        client.call("tools/call", &modern(name, CAN, &brings))
    };
    let first = round(&mut client, "twice", &Value::Null);
    let second = round(&mut client, "twice", &first);
    let message = &second["result"]["inputRequests"]["question-1"]["params"]["message"];
    assert!(message.as_str().unwrap().contains("> Second?"), "{second}");
    let third = round(&mut client, "twice", &second);
    assert_eq!(third["result"]["said"]["result"], accept(), "{third}");

    let first = round(&mut client, "die", &Value::Null);
    let last = round(&mut client, "die", &first);
    let error = &last["result"]["structuredContent"]["error"];
    assert_eq!(
        (&error["code"], &last["result"]["isError"]),
        (&json!("upstream_error"), &json!(true))
    );
    assert!(round(&mut client, "plain", &Value::Null)["result"]["content"].is_array());
}

#[test]
fn a_server_that_asks_for_ever_is_given_up() {
    let mut client = legacy(one(MODERN, behind::ALL), CAN);
    let answer = client.call("tools/call", &call("endless"));
    let error = &answer["result"]["structuredContent"]["error"];
    assert_eq!(error["code"], "upstream_error", "{answer}");
}

/// Two principals whose calls are under way at the same server are never asked for each other.
#[test]
fn nobody_is_asked_what_may_be_meant_for_another() {
    let mut http = Http::before_servers(one(LEGACY, behind::ALL));
    let post = |token: &str, name: &str| {
        let mut lines = http.lines();
        lines[1] = format!("Authorization: Bearer {token}");
        lines.extend(crate::support::modern_lines("tools/call"));
        lines.push(format!("Mcp-Name: shop_{name}"));
        let params = modern(name, CAN, &json!({}));
        http.raw("POST /mcp", &lines, request(7, "tools/call", &params).as_bytes()).json()
    };
    let parked = post("sr_alice", "ask");
    assert_eq!(parked["result"]["resultType"], "input_required");
    let other = post("sr_bob", "sample");
    assert_eq!(other["result"]["said"]["error"]["code"], -32600, "{other}");
    http.join();
}
