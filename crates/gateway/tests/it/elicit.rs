//! Questions that the client shows to its user, in both eras and on both transports (decision 15).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Http, Stdio, head, initialize, meta, request};

/// The parameters of `initialize` of a client that shows forms.
fn prompting(version: &str) -> Value {
    let mut hello = initialize(version);
    hello["capabilities"] = json!({ "elicitation": {} });
    hello
}

fn client(version: &str) -> Stdio {
    let mut client = Stdio::start();
    client.call("initialize", &prompting(version));
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    client
}

fn call(path: &str) -> Value {
    let arguments = json!({ "service": "ask", "method": "POST", "path": path });
    json!({ "name": "execute", "arguments": arguments })
}

fn response(id: &Value, result: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string()
}

fn accept(word: &str) -> Value {
    json!({ "action": "accept", "content": { "decision": word } })
}

fn body(answer: &Value) -> &Value {
    &answer["result"]["structuredContent"]["body"]
}

fn code(answer: &Value) -> &Value {
    &answer["result"]["structuredContent"]["error"]["code"]
}

#[test]
fn a_client_that_shows_forms_is_asked_and_its_answer_decides() {
    for version in ["2025-06-18", "2025-11-25"] {
        let mut client = client(version);
        for (result, expected) in [
            (accept("Allow"), Some("Once")),
            (accept("Allow for Session"), Some("Session")),
            (accept("Deny"), None),
            (accept("yes"), None),
            (json!({ "action": "decline" }), None),
            (json!({ "action": "cancel" }), None),
        ] {
            client.send(request(7, "tools/call", &call("/x")));
            let question = client.receive();
            assert_eq!(question["method"], "elicitation/create");
            let message = question["params"]["message"].as_str().unwrap();
            assert!(message.contains("- POST /x\n"), "{message}");
            client.send(response(&question["id"], &result));
            let answer = client.receive();
            assert_eq!(answer["id"], 7);
            match expected {
                Some(expected) => assert_eq!(body(&answer), expected, "{answer}"),
                None => assert_eq!(*code(&answer), "approval_denied", "{answer}"),
            }
        }
    }
}

#[test]
fn a_client_that_shows_none_gets_the_id_of_the_question_at_once() {
    let mut old = client("2025-03-26");
    for client in [&mut Stdio::initialized(), &mut old] {
        let answer = client.call("tools/call", &call("/x"));
        let error = &answer["result"]["structuredContent"]["error"];
        assert_eq!(error["code"], "approval_denied");
        assert_eq!((&error["retry"], &error["approval_id"]), (&json!("ask"), &json!("a-1")));
    }
}

#[test]
fn a_client_that_says_it_cannot_after_all_gets_the_id_of_the_question() {
    let mut client = client("2025-11-25");
    client.send(request(7, "tools/call", &call("/x")));
    let id = client.receive()["id"].clone();
    let error = json!({ "code": -32601, "message": "x" });
    client.send(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
    let answer = client.receive();
    assert_eq!(answer["result"]["structuredContent"]["error"]["approval_id"], "a-1");
}

#[test]
fn other_calls_go_on_while_a_question_is_open_and_stray_responses_answer_nothing() {
    let mut client = client("2025-11-25");
    client.send(response(&json!("strongroom-0"), &accept("Allow")));
    client.send(request(7, "tools/call", &call("/x")));
    let question = client.receive();
    for stray in [json!("strongroom-99"), json!(0), json!("")] {
        client.send(response(&stray, &accept("Allow")));
    }
    assert_eq!(client.call("ping", &json!({}))["result"], json!({}));
    client.send(response(&question["id"], &accept("Deny")));
    client.send(response(&question["id"], &accept("Allow")));
    assert_eq!(*code(&client.receive()), "approval_denied", "the first answer counts");
}

#[test]
fn a_prompt_is_taken_back_when_the_question_is_answered_elsewhere() {
    let mut client = client("2025-11-25");
    client.send(request(7, "tools/call", &call("/x")));
    let question = client.receive();
    client.fake.elsewhere.notify_one();
    let back = client.receive();
    assert_eq!(back["method"], "notifications/cancelled");
    assert_eq!(back["params"]["requestId"], question["id"]);
    assert_eq!(body(&client.receive()), "Once");
}

#[test]
fn a_call_that_is_cancelled_takes_its_prompt_back() {
    let mut client = client("2025-11-25");
    client.send(request(7, "tools/call", &call("/x")));
    let question = client.receive();
    client.send(
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
            .to_string(),
    );
    client.fake.wait("cancelled", 1);
    let back = client.receive();
    assert_eq!(back["params"]["requestId"], question["id"]);
    assert_eq!(client.close(), "");
}

/// A modern call, with what else stands in its parameters.
fn modern(path: &str, forms: bool, extra: &Value) -> Value {
    let mut params = call(path);
    params["_meta"] = meta();
    if forms {
        let capabilities = json!({ "elicitation": { "form": {} } });
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    }
    for (name, value) in extra.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}

fn retry(first: &Value, answer: &Value) -> Value {
    json!({ "inputResponses": { "approval": answer }, "requestState": first["result"]["requestState"] })
}

#[test]
fn a_modern_call_comes_again_with_the_answer() {
    let mut client = Stdio::start();
    let first = client.call("tools/call", &modern("/x", true, &json!({})));
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let question = &first["result"]["inputRequests"]["approval"];
    assert_eq!(question["method"], "elicitation/create");
    assert!(question["params"]["message"].as_str().unwrap().contains("- POST /x"));
    let yes = retry(&first, &accept("Allow for Session"));
    assert_eq!(body(&client.call("tools/call", &modern("/x", true, &yes))), "Session");
    let no = retry(&first, &accept("no"));
    assert_eq!(*code(&client.call("tools/call", &modern("/x", true, &no))), "approval_denied");

    let elsewhere = client.call("tools/call", &modern("/y", true, &yes));
    assert_eq!(elsewhere["result"]["resultType"], "input_required", "it is of another request");
    for state in [json!(null), json!(""), json!("AAAA"), json!(5)] {
        let mut forged = yes.clone();
        forged["requestState"] = state;
        let again = client.call("tools/call", &modern("/x", true, &forged));
        assert_eq!(again["result"]["resultType"], "input_required", "{again}");
    }
    let unable = client.call("tools/call", &modern("/x", false, &yes));
    assert_eq!(unable["result"]["structuredContent"]["error"]["approval_id"], "a-1");
}

#[test]
fn a_modern_state_is_of_the_principal_that_got_it() {
    let server = Http::start();
    let post = |token: &str, params: &Value| {
        let mut lines = server.lines();
        lines[1] = format!("Authorization: Bearer {token}");
        lines.extend(crate::support::modern_lines("tools/call"));
        lines.push("Mcp-Name: execute".into());
        let body = request(7, "tools/call", params);
        server.raw("POST /mcp", &lines, body.as_bytes()).json()
    };
    let first = post("sr_alice", &modern("/x", true, &json!({})));
    let schema = &first["result"]["inputRequests"]["approval"]["params"]["requestedSchema"];
    let words = &schema["properties"]["decision"]["enum"];
    assert_eq!(*words, json!(["Allow", "Deny"]), "nothing lasts here");
    let yes = retry(&first, &accept("Allow"));
    assert_eq!(post("sr_bob", &modern("/x", true, &yes))["result"]["resultType"], "input_required");
    assert_eq!(body(&post("sr_alice", &modern("/x", true, &yes))), "Once");
    let session = retry(&first, &accept("Allow for Session"));
    assert_eq!(*code(&post("sr_alice", &modern("/x", true, &session))), "approval_denied");
}

/// The next event of a stream that says something.
fn event(reader: &mut impl std::io::BufRead) -> Value {
    let mut line = String::new();
    while !line.starts_with("data: {") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
    }
    serde_json::from_str(&line["data: ".len()..]).unwrap()
}

fn session(server: &Http) -> String {
    let got = server.post(&[], &request(1, "initialize", &prompting("2025-11-25")));
    format!("Mcp-Session-Id: {}", got.header("mcp-session-id").unwrap())
}

fn start(server: &Http, session: &str) -> BufReader<TcpStream> {
    let mut stream = server.connect();
    let body = request(7, "tools/call", &call("/x"));
    let lines = [server.lines(), vec![session.to_owned()]].concat();
    stream.write_all(&head("POST /mcp", &lines, body.len())).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    BufReader::new(stream)
}

#[test]
fn over_http_the_call_becomes_a_stream_and_the_answer_comes_by_a_post() {
    let server = Http::start();
    let session = session(&server);
    let mut reader = start(&server, &session);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{head}");
    let question = event(&mut reader);
    assert_eq!(question["method"], "elicitation/create");
    let answer = response(&question["id"], &accept("Allow"));

    let other = server.session("sr_bob");
    let mut theirs = server.lines();
    theirs[1] = "Authorization: Bearer sr_bob".into();
    for line in [&other, &session] {
        let lines = [theirs.clone(), vec![line.clone()]].concat();
        let got = server.raw("POST /mcp", &lines, answer.as_bytes());
        assert_eq!(got.status, 400, "not of this session's principal");
    }
    assert_eq!(server.post(&[], &answer).status, 400, "no session");
    assert_eq!(server.post(std::slice::from_ref(&session), &answer).status, 202);
    let last = event(&mut reader);
    assert_eq!(last["id"], 7);
    assert_eq!(body(&last), "Once");
    assert_eq!(server.post(&[session], &answer).status, 400, "it was answered");
}

#[test]
fn a_client_that_hangs_up_on_a_question_ends_its_call() {
    let server = Http::start();
    let session = session(&server);
    let mut reader = start(&server, &session);
    event(&mut reader);
    drop(reader);
    server.fake.wait("cancelled", 1);
}

#[test]
fn a_client_that_reads_no_events_is_not_asked_on_one() {
    let server = Http::start();
    let session = session(&server);
    let mut lines = server.lines();
    lines[3] = "Accept: application/json".into();
    lines.push(session);
    let got = server.raw("POST /mcp", &lines, request(7, "tools/call", &call("/x")).as_bytes());
    assert_eq!(got.json()["result"]["structuredContent"]["error"]["approval_id"], "a-1");
}
