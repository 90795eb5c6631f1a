//! PB: what was judged is what is sent, and what is ambiguous is refused.

use strongroom_model::call::{Body, Execute};
use strongroom_model::code::Code;
use strongroom_model::policy::{Condition, Policy, Rule, Terms, Verdict};
use strongroom_model::ports::Calls as _;
use strongroom_testkit::fakes::caller;
use strongroom_testkit::upstream::Reply;

use crate::rig::{Rig, get};

async fn rig() -> Rig {
    Rig::new(|_| Reply::ok("fine")).await
}

fn post(body: Body, content_type: &str) -> Execute {
    Execute {
        method: "POST".into(),
        headers: vec![("content-type".into(), content_type.into())],
        body,
        ..get("acme", "/items")
    }
}

// PB-01 to PB-08, PB-10, PB-11, PB-15
#[tokio::test]
async fn a_path_that_two_parsers_may_read_differently_is_refused_and_nothing_is_sent() {
    let rig = rig().await;
    for path in [
        "/public/../admin",
        "/public/..",
        "/public/./x",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/%252e%252e/admin",
        "/public/..%2fadmin",
        "/public/a%2Fb",
        "/public/..\\admin",
        "/public/..%5cadmin",
        "/public/x%0a",
        "/public/x%00",
        "/public/\tx",
        "/public/x\r\nX: y",
        "/public/..;/admin",
        "/public/x;jsessionid=1",
        "//public/x",
        "/public//secret/a",
        "https://evil.test/x",
        "//evil.test/x",
        "/\\evil.test",
        "http:foo",
        "public/x",
        "",
        "/public/x#frag",
        "/public/\u{ff0e}\u{ff0e}/admin",
        "/public/%c0%ae%c0%ae/x",
        "/public/%zz",
        "/public/%f",
    ] {
        rig.denied(get("acme", path), Code::InvalidRequest).await;
    }
}

// PB-08, PB-11, PB-13, PB-14
#[tokio::test]
async fn the_policy_judges_the_one_form_that_is_sent() {
    let rig = rig().await;
    for path in [
        "/admin",
        "/admin?x=/public/y",
        "/public/secret",
        "/public/secret/",
        "/public/secret/a",
        "/public/%73ecret/x",
        "/PUBLIC/x",
    ] {
        rig.denied(get("acme", path), Code::PolicyDenied).await;
    }
    for (path, sent) in [
        ("/public/x", "/v1/public/x"),
        ("/%70ublic/x%2a", "/v1/public/x%2A"),
        ("/public/x?a=b%26c&d", "/v1/public/x?a=b%26c&d"),
        ("/public/x!$&'()*+,=:@", "/v1/public/x!$&'()*+,=:@"),
        ("/public/%C3%A9%20%22", "/v1/public/%C3%A9%20%22"),
    ] {
        rig.allowed(get("acme", path)).await;
        assert_eq!(rig.last().target, sent, "{path}");
        let line = format!("GET {sent} HTTP/1.1\r\n");
        assert!(contains(&rig.upstream.raw_bytes(), line.as_bytes()), "byte for byte: {path}");
    }
}

// PB-16
#[tokio::test]
async fn only_exact_methods_exist() {
    let rig = rig().await;
    let long = "X".repeat(4096);
    for method in
        ["get", "GeT", "GET ", "GET\r\nX:", "TRACE", "CONNECT", "PRI", "M-SEARCH", "", &long]
    {
        let call = Execute { method: method.into(), ..get("acme", "/public/x") };
        rig.denied(call, Code::InvalidRequest).await;
    }
    let head = Execute { method: "HEAD".into(), ..get("acme", "/public/x") };
    assert_eq!(rig.allowed(head).await.status, 200);
    assert_eq!(rig.last().method, "HEAD");
    let delete = Execute { method: "DELETE".into(), ..get("acme", "/public/x") };
    rig.denied(delete, Code::PolicyDenied).await;
}

// PB-17
#[tokio::test]
async fn a_method_that_overrides_the_judged_one_does_not_go_out() {
    let mut rig = rig().await;
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let mut call = post(Body::Text("a=1".into()), "application/x-www-form-urlencoded");
        call.headers.push((name.into(), "DELETE".into()));
        let answer = rig.allowed(call).await;
        assert!(answer.dropped_headers.contains(&name.to_ascii_lowercase()), "reported");
        assert!(rig.last().values(name).is_empty());
    }

    rig.reconfigure(|service| service.grammar.method_override = true);
    let form = "application/x-www-form-urlencoded";
    rig.denied(post(Body::Text("_method=DELETE".into()), form), Code::InvalidRequest).await;
    rig.denied(post(Body::Json("{\"_method\":\"DELETE\"}".into()), form), Code::InvalidRequest)
        .await;
    let query = Execute { path: "/items?_method=DELETE".into(), ..post(Body::Empty, form) };
    rig.denied(query, Code::InvalidRequest).await;
    rig.allowed(post(Body::Text("method=DELETE".into()), form)).await;
}

// PB-19
#[tokio::test]
async fn the_agent_cannot_fill_the_slot_of_the_credential() {
    let rig = rig().await;
    for path in ["/x?api_key=x", "/x?API_KEY=x", "/x?api%5Fkey=x", "/x?api_key[]=x", "/x?&&api_key"]
    {
        rig.denied(get("qry", path), Code::InvalidRequest).await;
    }
    let argument = Execute { query: vec![("api_key".into(), "x".into())], ..get("qry", "/x") };
    rig.denied(argument, Code::InvalidRequest).await;

    rig.allowed(get("qry", "/x?a=1")).await;
    assert_eq!(rig.last().target, "/q/x?a=1&api_key=kQ3z7X");
}

// PB-21
#[tokio::test]
async fn a_json_body_is_sent_byte_for_byte_or_not_at_all() {
    let rig = rig().await;
    let body = "{ \"a\" : 1,\n \"b\" : [1.50, \"\\u00e9\"] }";
    rig.allowed(post(Body::Json(body.into()), "application/json")).await;
    assert_eq!(rig.last().body, body);
    for body in ["{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "\u{feff}{}", "{a:1}"] {
        let call = post(Body::Json(body.into()), "application/json");
        rig.denied(call, Code::InvalidRequest).await;
    }
}

#[tokio::test]
async fn bodies_of_every_kind_arrive_intact() {
    let rig = rig().await;
    let binary: Vec<u8> = (0..=255).collect();
    rig.allowed(post(Body::Bytes(binary.clone()), "application/octet-stream")).await;
    assert_eq!(rig.last().body, binary);
    assert_eq!(rig.last().values("content-length"), ["256"]);

    rig.allowed(post(Body::Text("é\0\n".into()), "text/plain")).await;
    assert_eq!(rig.last().body, "é\0\n");

    let form = "application/x-www-form-urlencoded";
    rig.allowed(post(Body::Json("{\"a\":\"x y\",\"b\":[1,2]}".into()), form)).await;
    assert_eq!(rig.last().body, "a=x+y&b=1&b=2");
    assert_eq!(rig.last().values("content-type"), [form]);

    rig.allowed(post(Body::Empty, "text/plain")).await;
    assert_eq!(rig.last().values("content-length"), ["0"]);

    let large = Body::Bytes(vec![b'x'; (10 << 20) + 1]);
    rig.denied(post(large, "application/octet-stream"), Code::InvalidRequest).await;
}

// PB-22, PB-23
#[tokio::test]
async fn no_rules_allow_nothing_and_deny_wins() {
    let mut rig = rig().await;
    rig.reconfigure(|service| {
        if service.name.as_str() == "hdr" {
            service.policy = strongroom_testkit::fakes::policy("");
        }
        if service.name.as_str() == "qry" {
            service.policy =
                strongroom_testkit::fakes::policy("allow * /**\ndeny GET /x\nask GET /y");
        }
    });
    rig.denied(get("hdr", "/x"), Code::PolicyDenied).await;
    let refusal = rig.denied(get("qry", "/x"), Code::PolicyDenied).await;
    assert_eq!(refusal.rule.as_deref(), Some("GET /x"));
    rig.denied(get("qry", "/y"), Code::ApprovalDenied).await;
    rig.allowed(get("qry", "/z")).await;
}

// PB-20, PB-21
#[tokio::test]
async fn a_condition_is_held_against_what_is_sent() {
    let mut rig = rig().await;
    rig.reconfigure(|service| {
        if service.name.as_str() == "acme" {
            let rule = |text, conditions: Vec<Condition>| {
                Rule::parse(Verdict::Allow, text).unwrap().with_conditions(conditions)
            };
            let small = Condition::body("amount <= 5000").unwrap();
            let read = Condition::query("scope == read").unwrap();
            let reason = Terms { reason: true, ..Terms::default() };
            service.policy = Policy::new(
                vec![
                    rule("POST /items", vec![small]).with_terms(reason),
                    rule("GET /items", vec![read]),
                    rule("GET /public/**", Vec::new()),
                ],
                false,
            );
        }
    });
    let reasoned = |body: &str| Execute {
        reason: Some("because".into()),
        ..post(Body::Json(body.into()), "application/json")
    };
    let body = "{ \"note\": \"\\u00e9\", \"amount\": 5.0e3 }";
    rig.allowed(reasoned(body)).await;
    assert_eq!(rig.last().body, body);
    rig.denied(reasoned("{\"amount\": 5001}"), Code::PolicyDenied).await;
    rig.denied(reasoned("{\"amount\":1,\"amount\":2}"), Code::InvalidRequest).await;
    let form = "application/x-www-form-urlencoded";
    let sent = |body: &str, content_type: &str| Execute {
        reason: Some("because".into()),
        ..post(Body::Text(body.into()), content_type)
    };
    rig.allowed(sent("amount=1&b=2", form)).await;
    assert_eq!(rig.last().body, "amount=1&b=2");
    rig.denied(sent("amount=1&amount=9999", form), Code::PolicyDenied).await;
    rig.denied(sent("{\"amount\":1}", form), Code::InvalidRequest).await;
    rig.denied(sent("{\"amount\":1}", "text/plain"), Code::InvalidRequest).await;

    let silent = post(Body::Json("{\"amount\":1}".into()), "application/json");
    let refusal = rig.denied(silent, Code::PolicyDenied).await;
    assert!(refusal.message.contains("`reason`"), "{refusal:?}");

    rig.allowed(get("acme", "/items?scope=read")).await;
    rig.denied(get("acme", "/items?scope=read&scope=admin"), Code::PolicyDenied).await;
}

#[tokio::test]
async fn explaining_a_request_gives_the_verdict_that_the_call_gets() {
    let rig = rig().await;
    let explain = |method: &str, path| {
        let call = Execute { method: method.into(), ..get("acme", path) };
        rig.broker.explain(&caller("default"), call)
    };
    let explained = explain("GET", "/%70ublic/x?a=1").unwrap();
    assert_eq!(explained.request, "GET /public/x");
    assert_eq!(explained.explanation.verdict, Verdict::Allow);
    assert_eq!(explain("GET", "/public/secret/x").unwrap().explanation.verdict, Verdict::Deny);
    assert_eq!(explain("DELETE", "/x").unwrap().explanation.verdict, Verdict::Deny);
    assert_eq!(explain("GET", "/a/../b").unwrap_err().code, Code::InvalidRequest);
    assert_eq!(rig.upstream.connections(), 0);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
