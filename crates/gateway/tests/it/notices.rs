//! What servers say before and beside their answers: progress, logs, changes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_gateway::Servers;
use strongroom_gateway::mount::names::Naming;

use crate::behind::{self, CANARY};
use crate::support::{Http, Stdio, head, meta, modern_lines, request};

/// `work` tells progress and logs before it answers; `change` says that the tools and a resource have
/// changed; `sulk` never answers and says which cancellation it got; `level` says at which level it logs.
const SERVER: &str = r#"
say() { printf '%s\n' "{\"jsonrpc\":\"2.0\",$1}"; }
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"error":{"code":-32601,"message":"no"}';;
    *initialize\"*) answer='"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"logging":{},"resources":{"subscribe":true}}}';;
    *tools/list*) answer='"result":{"tools":[{"name":"work"},{"name":"change"},{"name":"sulk"},{"name":"level"},{"name":"cancelled"}]}';;
    *resources/list*) answer='"result":{"resources":[{"uri":"x://1","name":"1"},{"uri":"x://2","name":"2"}]}';;
    *templates/list*) answer='"error":{"code":-32601,"message":"no"}';;
    *resources/subscribe*|*resources/unsubscribe*) answer='"result":{}';;
    *logging/setLevel*) level=${line#*\"level\":\"}; level=${level%%\"*}; answer='"result":{}';;
    *'"name":"level"'*) answer="\"result\":{\"level\":\"$level\"}";;
    *'"name":"cancelled"'*) answer="\"result\":{\"sulked\":$sulked,\"cancelled\":$cancelled}";;
    *'"name":"work"'*)
        token=${line#*\"progressToken\":}; token=${token%%[,\}]*}
        case $line in *progressToken*) say "\"method\":\"notifications/progress\",\"params\":{\"vendor\":1,\"progressToken\":$token,\"progress\":1,\"message\":\"CANARY\"}";; esac
        say '"method":"notifications/progress","params":{"progressToken":999,"progress":1}'
        say '"method":"notifications/message","params":{"level":"info","data":"CANARY"}'
        say '"method":"notifications/message","params":{"level":"error","data":"bad"}'
        answer='"result":{"content":[]}';;
    *'"name":"change"'*)
        say '"method":"notifications/tools/list_changed"'
        say '"method":"notifications/resources/updated","params":{"uri":"x://1"}'
        say '"method":"notifications/resources/updated","params":{"uri":"x://2"}'
        answer='"result":{"content":[]}';;
    *'"name":"sulk"'*) sulked=$id; continue;;
    *notifications/cancelled*) cancelled=${line#*\"requestId\":}; cancelled=${cancelled%%[,\}]*}; continue;;
    *notifications/*) continue;;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    say "\"id\":$id,$answer"
done
"#;

fn shop() -> Arc<dyn Servers> {
    let script = SERVER.replace("CANARY", CANARY);
    behind::servers(&[("shop", &script, behind::NONE)], Naming::Safe)
}

fn call(name: &str, meta: &Value) -> Value {
    json!({ "name": format!("shop_{name}"), "arguments": {}, "_meta": meta })
}

/// Everything until the answer to `id`.
fn until(client: &mut Stdio, id: u64) -> (Vec<Value>, Value) {
    let mut before = Vec::new();
    loop {
        let message = client.receive();
        if message["id"] == id {
            return (before, message);
        }
        before.push(message);
    }
}

#[test]
fn progress_comes_under_the_clients_token_and_without_secrets_and_others_do_not() {
    let mut client = Stdio::before_servers(shop());
    for token in [json!("mine"), json!(4)] {
        client.send(request(8, "tools/call", &call("work", &json!({ "progressToken": token }))));
        let (before, _) = until(&mut client, 8);
        let progress: Vec<_> =
            before.iter().filter(|one| one["method"] == "notifications/progress").collect();
        let expected = json!({ "vendor": 1, "progressToken": token, "progress": 1, "message": "[REDACTED:key]" });
        assert_eq!(progress.len(), 1, "{before:?}");
        assert_eq!(progress[0]["params"], expected);
    }
    client.send(request(8, "tools/call", &call("work", &json!({}))));
    let (before, _) = until(&mut client, 8);
    assert!(before.iter().all(|one| one["method"] != "notifications/progress"), "{before:?}");
}

#[test]
fn logs_come_from_the_level_on_that_the_client_has_set() {
    let mut client = Stdio::before_servers(shop());
    let logs = |client: &mut Stdio| {
        client.send(request(8, "tools/call", &call("work", &json!({}))));
        let (before, _) = until(client, 8);
        let logs = before.into_iter().filter(|one| one["method"] == "notifications/message");
        logs.map(|one| one["params"]["data"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(logs(&mut client), ["[REDACTED:key]", "bad"], "as the server likes");
    let set = client.call("logging/setLevel", &json!({ "level": "warning" }));
    assert_eq!(set["result"], json!({}));
    assert_eq!(logs(&mut client), ["bad"]);
    client.call("logging/setLevel", &json!({ "level": "debug" }));
    assert_eq!(logs(&mut client).len(), 2);
    let level = client.call("tools/call", &call("level", &json!({})));
    assert_eq!(level["result"]["level"], "debug", "the server was told");
    for bad in [json!({ "level": "loud" }), json!({})] {
        assert_eq!(client.call("logging/setLevel", &bad)["error"]["code"], -32602);
    }
}

#[test]
fn a_modern_client_hears_of_a_log_only_where_it_asks() {
    let mut client = Stdio::before_servers_unsaid(shop());
    let logs = |client: &mut Stdio, level: Option<&str>| {
        let mut meta = meta();
        if let Some(level) = level {
            meta["io.modelcontextprotocol/logLevel"] = level.into();
        }
        client.send(request(8, "tools/call", &call("work", &meta)));
        let (before, answer) = until(client, 8);
        (before.len(), answer)
    };
    assert_eq!(logs(&mut client, None).0, 0);
    assert_eq!(logs(&mut client, Some("error")).0, 1);
    assert_eq!(logs(&mut client, Some("debug")).0, 2);
    assert_eq!(logs(&mut client, Some("loud")).1["error"]["code"], -32602);
    for gone in ["ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        let params = json!({ "_meta": meta(), "uri": "x://1", "level": "info" });
        assert_eq!(client.call(gone, &params)["error"]["code"], -32601, "{gone}");
    }
}

#[test]
fn a_cancelled_call_is_cancelled_at_its_server_under_the_servers_own_id() {
    let mut client = Stdio::before_servers(shop());
    client.call("tools/list", &json!({}));
    client.send(request(31, "tools/call", &call("sulk", &json!({}))));
    client.call("tools/call", &call("level", &json!({})));
    client.send(
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 31}})
            .to_string(),
    );
    let mut seen = Value::Null;
    for _ in 0..1_000 {
        seen = client.call("tools/call", &call("cancelled", &json!({})))["result"].clone();
        if seen.is_object() && seen["cancelled"].is_number() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(seen["cancelled"], seen["sulked"], "{seen}");
    assert_ne!(seen["cancelled"], 31);
}

#[test]
fn changes_are_told_to_a_session_over_stdio_and_those_of_resources_where_they_are_watched() {
    let mut client = Stdio::before_servers(shop());
    client.call("tools/list", &json!({}));
    assert_eq!(client.call("resources/subscribe", &json!({ "uri": "x://1" }))["result"], json!({}));
    let unknown = client.call("resources/subscribe", &json!({ "uri": "nothing" }));
    assert_eq!(unknown["error"]["code"], -32002);
    client.send(request(8, "tools/call", &call("change", &json!({}))));
    let mut told = Vec::new();
    while told.len() < 3 {
        let message = client.receive();
        told.push(message["method"].as_str().unwrap_or("answer").to_owned());
        if message["method"] == "notifications/resources/updated" {
            assert_eq!(message["params"], json!({ "uri": "x://1" }));
        }
    }
    told.sort();
    let expected =
        ["answer", "notifications/resources/updated", "notifications/tools/list_changed"];
    assert_eq!(told, expected);
    client.call("resources/unsubscribe", &json!({ "uri": "x://1" }));
}

/// The next event of a stream that says something: its id and what it says.
pub(crate) fn event(reader: &mut impl std::io::BufRead) -> (String, Value) {
    let mut id = String::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(text) = line.strip_prefix("id: ") {
            text.trim().clone_into(&mut id);
        }
        match line.strip_prefix("data: ").map(str::trim) {
            Some("") => return (id, Value::Null),
            Some(text) => return (id, serde_json::from_str(text).unwrap()),
            None => {}
        }
    }
}

fn open(server: &Http, start: &str, more: &[String], body: &str) -> BufReader<TcpStream> {
    opened(server, start, &[server.lines(), more.to_vec()].concat(), body)
}

/// The stream that answers a request with these headers.
pub(crate) fn opened(
    server: &Http,
    start: &str,
    lines: &[String],
    body: &str,
) -> BufReader<TcpStream> {
    let mut stream = server.connect();
    stream.write_all(&head(start, lines, body.len())).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    reader
}

#[test]
fn a_modern_client_listens_to_what_it_has_asked_for_and_to_nothing_else() {
    let mut http = Http::before_servers(shop());
    let listen = |notifications: Value| {
        let params = json!({ "_meta": meta(), "notifications": notifications });
        let body = request(70, "subscriptions/listen", &params);
        open(&http, "POST /mcp", &modern_lines("subscriptions/listen"), &body)
    };
    let mut tools = listen(json!({ "toolsListChanged": true }));
    let mut one = listen(json!({ "resourceSubscriptions": ["x://1", "nothing"] }));
    let (_, first) = event(&mut tools);
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({ "toolsListChanged": true }));
    let (_, first) = event(&mut one);
    assert_eq!(first["params"]["notifications"], json!({ "resourceSubscriptions": ["x://1"] }));
    let id = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(first["params"]["_meta"][id], 70);
    http.modern("tools/call", &call("change", &meta()));
    let (_, changed) = event(&mut tools);
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"][id], 70);
    let (_, updated) = event(&mut one);
    assert_eq!(updated["params"]["uri"], "x://1", "{updated}");
    drop((tools, one));
    http.join();
}

#[test]
fn a_session_over_http_hears_of_changes_on_its_own_stream_and_of_what_it_has_missed() {
    let mut http = Http::before_servers(shop());
    let mut hello = crate::support::initialize("2025-11-25");
    hello["capabilities"] = json!({});
    let got = http.post(&[], &request(1, "initialize", &hello));
    let session = format!("Mcp-Session-Id: {}", got.header("mcp-session-id").unwrap());
    let change = || {
        http.post(
            std::slice::from_ref(&session),
            &request(9, "tools/call", &call("change", &json!({}))),
        )
    };
    let mut stream = open(&http, "GET /mcp", std::slice::from_ref(&session), "");
    let (first, nothing) = event(&mut stream);
    assert!(nothing.is_null(), "where to go on");
    change();
    let (second, changed) = event(&mut stream);
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    drop(stream);
    let again = [session.clone(), format!("Last-Event-ID: {first}")];
    let mut stream = open(&http, "GET /mcp", &again, "");
    assert_eq!(event(&mut stream), (second, changed));
    let theirs = http.session("sr_bob");
    let mut lines = http.lines();
    lines.push(theirs);
    assert_eq!(http.raw("GET /mcp", &lines, b"").status, 404, "not hers");
    assert_eq!(http.raw("GET /mcp", &http.lines(), b"").status, 405, "no session");
    assert_eq!(http.raw("DELETE /mcp", &[http.lines(), vec![session]].concat(), b"").status, 204);
    let mut rest = String::new();
    while stream.read_line(&mut rest).unwrap() > 0 {}
    http.join();
}

#[test]
fn over_http_a_call_that_says_something_becomes_a_stream_that_can_be_gone_on_with() {
    let mut http = Http::before_servers(shop());
    let hello = crate::support::initialize("2025-11-25");
    let got = http.post(&[], &request(1, "initialize", &hello));
    let session = format!("Mcp-Session-Id: {}", got.header("mcp-session-id").unwrap());
    http.post(std::slice::from_ref(&session), &request(1, "tools/list", &json!({})));
    let body = request(9, "tools/call", &call("work", &json!({ "progressToken": "p" })));
    let mut stream = open(&http, "POST /mcp", std::slice::from_ref(&session), &body);
    let (first, nothing) = event(&mut stream);
    assert!(nothing.is_null());
    let mut said = Vec::new();
    while said.last().is_none_or(|one: &Value| one["id"] != 9) {
        said.push(event(&mut stream).1);
    }
    assert_eq!(said.len(), 4, "{said:?}");
    let again = [session, format!("Last-Event-ID: {first}")];
    let mut stream = open(&http, "GET /mcp", &again, "");
    for expected in said {
        assert_eq!(event(&mut stream).1, expected);
    }
    http.join();
}

#[test]
fn a_client_that_would_rather_read_events_gets_every_answer_as_one() {
    let mut http = Http::before_servers(shop());
    let mut lines = http.lines();
    lines[3] = "Accept: text/event-stream, application/json".into();
    lines.extend(modern_lines("tools/list"));
    let body = request(9, "tools/list", &json!({ "_meta": meta() }));
    let mut stream = http.connect();
    stream.write_all(&head("POST /mcp", &lines, body.len())).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    assert!(event(&mut BufReader::new(stream)).1["result"]["tools"].is_array());
    let json = http.modern("tools/list", &json!({ "_meta": meta() }));
    assert!(json.json()["result"]["tools"].is_array(), "and any other gets it as it is");
    http.join();
}
