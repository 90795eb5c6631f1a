//! A server next to our own tools, on both transports and in both eras.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_gateway::Servers;
use strongroom_gateway::mount::names::Naming;
use strongroom_gateway::mount::{Mount, Server};
use strongroom_gateway::upstream::server::{Launch, Launched, Options};
use strongroom_model::call::ToolCalled;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::policy::{Judgement, Verdict};
use strongroom_model::ports::{BoxFuture, ToolAct, ToolRequest, Tools};
use strongroom_model::principal::Caller;
use strongroom_model::tool::{Policy, Rule, Served, ToolCall};
use strongroom_process::{Start, Stream};

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

struct Script(&'static str);

impl Launch for Script {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        let pipe = Stream::Pipe;
        let start = Start {
            args: ["-c", self.0].map(Into::into).into(),
            stdin: pipe,
            stdout: pipe,
            stderr: pipe,
            ..Start::new("/bin/sh")
        };
        let child = Box::new(start.start().unwrap());
        Box::pin(async move { Ok(Launched::child(child, Arc::default())) })
    }
}

/// Allows everything but what is called `secret`, and records nothing.
struct Permits(Arc<Served>);

impl Tools for Permits {
    fn call_tool<'a>(
        &'a self,
        _: &'a Caller,
        call: ToolRequest<'a>,
        act: Box<dyn ToolAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled> {
        Box::pin(async move {
            let call = ToolCall::read(self.0.name.clone(), call.tool, call.arguments);
            let result = match call.map(|call| self.0.policy.judge(call)) {
                Ok(Judgement::Allowed(permit)) => act.act(permit.into_request(), cancel).await,
                Ok(Judgement::Denied(denied)) => Err(denied.0),
                Ok(Judgement::Asks(_)) => Err(Refusal::new(Code::ApprovalDenied, "nobody")),
                Err(refusal) => Err(refusal),
            };
            ToolCalled { result, audit_id: Some("a1".into()) }
        })
    }

    fn servers(&self, _: &Caller) -> Vec<Arc<Served>> {
        vec![Arc::clone(&self.0)]
    }
}

struct One(Arc<Mount>);

impl Servers for One {
    fn mount(&self) -> Arc<Mount> {
        Arc::clone(&self.0)
    }
}

fn shop(script: &'static str) -> Arc<dyn Servers> {
    let rules = [(Verdict::Allow, "*"), (Verdict::Deny, "secret")];
    let rules = rules.map(|(verdict, names)| Rule::parse(verdict, names).unwrap());
    let served = Served::new("shop".parse().unwrap(), Policy::new(rules.into()));
    let shop = Server::new(
        served.name.clone(),
        "shop.".into(),
        Box::new(Script(script)),
        Options::default(),
    );
    let tools = Arc::new(Permits(Arc::new(served)));
    Arc::new(One(Arc::new(Mount::new(tools, vec![Arc::new(shop)], Naming::Safe))))
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
