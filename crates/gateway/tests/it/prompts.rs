//! Prompts and completions of several servers behind one endpoint.

use serde_json::{Value, json};
use strongroom_gateway::mount::names::Naming;

use crate::behind::{self, CANARY};
use crate::support::{Stdio, request};

/// Says back what it was asked.
fn server() -> String {
    let script = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *server/discover*) answer='"error":{"code":-32601,"message":"no"}';;
    *initialize\"*) answer='"result":{"protocolVersion":"2025-11-25","capabilities":{"prompts":{},"completions":{}}}';;
    *notifications/*) continue;;
    *prompts/list*) answer='"result":{"prompts":[{"vendor":[1.0],"name":"greet","arguments":[{"name":"who"}]},{"name":"bad"}]}';;
    *'"name":"bad"'*) answer='"error":{"code":-32602,"message":"CANARY"}';;
    *) params=${line#*\"params\":}; answer="\"result\":{\"seen\":${params%\}},\"messages\":[]}";;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;
    script.replace("CANARY", CANARY)
}

fn client(naming: Naming) -> Stdio {
    let script = server();
    let both = [("one", &*script, behind::NONE), ("two", &script, behind::NONE)];
    let some = if naming == Naming::Plain { &both[..1] } else { &both[..] };
    Stdio::before_servers(behind::servers(some, naming))
}

fn names(list: &Value) -> Vec<&str> {
    let all = list["result"]["prompts"].as_array().expect("a list");
    all.iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn prompts_are_named_as_tools_are_and_got_by_their_names() {
    let mut client = client(Naming::Safe);
    client.send(request(7, "prompts/list", &json!({})));
    let line = client.receive_line();
    assert!(line.contains(r#"{"vendor":[1.0],"name":"one_greet","arguments":[{"name":"who"}]}"#));
    let list = serde_json::from_str(&line).unwrap();
    assert_eq!(names(&list), ["one_greet", "one_bad", "two_greet", "two_bad"]);
    for name in ["two_greet", "two.greet"] {
        let params = json!({ "name": name, "arguments": { "who": "me" } });
        let got = client.call("prompts/get", &params);
        let expected = json!({ "name": "greet", "arguments": { "who": "me" } });
        assert_eq!(got["result"]["seen"], expected, "{got}");
    }
    for name in ["greet", "three_greet", ""] {
        let got = client.call("prompts/get", &json!({ "name": name }));
        assert_eq!(got["error"]["code"], -32602, "{name}");
    }
    let error = client.call("prompts/get", &json!({ "name": "one_bad" }));
    let expected = json!({ "code": -32602, "message": "[REDACTED:key]" });
    assert_eq!(error["error"], expected, "an error is the server's, without secrets");
}

#[test]
fn a_plain_name_is_the_servers_own() {
    let mut client = client(Naming::Plain);
    assert_eq!(names(&client.call("prompts/list", &json!({}))), ["greet", "bad"]);
    let got = client.call("prompts/get", &json!({ "name": "greet" }));
    assert_eq!(got["result"]["seen"], json!({ "name": "greet" }));
}

#[test]
fn a_completion_goes_to_the_server_of_its_prompt_by_its_own_name() {
    let mut client = client(Naming::Safe);
    let argument = json!({ "name": "who", "value": "m" });
    let ask = |client: &mut Stdio, reference: Value| {
        let params = json!({ "argument": argument, "context": { "x": 1 }, "ref": reference });
        client.call("completion/complete", &params)
    };
    let reference = json!({ "type": "ref/prompt", "name": "two_greet", "title": "t" });
    let seen = &ask(&mut client, reference)["result"]["seen"];
    assert_eq!(seen["ref"], json!({ "type": "ref/prompt", "name": "greet", "title": "t" }));
    assert_eq!((&seen["argument"], &seen["context"]), (&argument, &json!({ "x": 1 })));
    for unknown in [
        json!({ "type": "ref/prompt", "name": "greet" }),
        json!({ "type": "ref/other", "name": "two_greet" }),
        json!({ "type": "ref/resource", "uri": "x://{id}" }),
        json!("two_greet"),
    ] {
        assert_eq!(ask(&mut client, unknown.clone())["error"]["code"], -32602, "{unknown}");
    }
}

#[test]
fn what_no_server_offers_is_no_method() {
    let mut client = client(Naming::Safe);
    client.call("tools/list", &json!({}));
    assert_eq!(client.call("resources/list", &json!({}))["error"]["code"], -32601);
    assert!(client.call("prompts/list", &json!({}))["result"].is_object());
}
