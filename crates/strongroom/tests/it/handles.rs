//! Handles, as an agent meets them: `serve` in front of an authorization server whose token endpoint
//! the agent may use (RFC 6749 §4.4, RFC 7662, RFC 7009).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Seen, Upstream};

use crate::sandbox::Sandbox;
use crate::serve::{Serving, add};

const CONFIG: &str = ".config/strongroom/strongroom.toml";

/// The tokens that are good.
type Good = Arc<Mutex<BTreeSet<String>>>;

/// An authorization server, and an API that takes its tokens in a header of its own.
fn answer(good: &Good, seen: &Seen) -> Reply {
    let json = |body: Value| {
        Reply::ok(body.to_string())
            .header("content-type", "application/json")
            .header("cache-control", "no-store")
    };
    let form = String::from_utf8_lossy(&seen.body).into_owned();
    let field = |name: &str| {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(there, _)| *there == name).map(|(_, value)| value.to_owned())
    };
    let mut good = good.lock().unwrap();
    match seen.target.as_str() {
        "/oauth/token" if field("grant_type").as_deref() == Some("client_credentials") => {
            let token = canary::of(&format!("access token {}", good.len()));
            good.insert(token.clone());
            json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
        }
        "/oauth/introspect" => {
            let token = field("token").unwrap_or_default();
            json(json!({ "active": good.contains(&token), "you_sent": token }))
        }
        "/oauth/revoke" => {
            good.remove(&field("token").unwrap_or_default());
            Reply::status(200)
        }
        "/me" => {
            let session = seen.values("x-session").concat();
            let token = session.strip_prefix("Bearer ").unwrap_or_default();
            Reply::status(if good.contains(token) { 200 } else { 401 })
        }
        _ => Reply::status(400).body("{\"error\":\"invalid_request\"}"),
    }
}

fn post(path: &str, fields: &Value) -> Value {
    json!({
        "service": "sso", "method": "POST", "path": path, "body": fields,
        "headers": { "content-type": "application/x-www-form-urlencoded" }
    })
}

/// A home with the service `sso`, which seals, and `plain`, which does not.
fn home(upstream: &Upstream) -> Sandbox {
    let sandbox = Sandbox::headless();
    for name in ["sso", "plain"] {
        add(&sandbox, name, upstream, &canary::of(name));
    }
    let own = "[services.sso]\nseal_fields = [\"access_token\"]\n\
               unseal_fields = [\"token\", \"x-session\"]\nrequest_headers = [\"x-session\"]\n";
    let text = sandbox.read(CONFIG).replace("[services.sso]\n", own);
    let text = text.replace("\"GET /**\"", "\"GET|POST /**\"");
    sandbox.write(CONFIG, &text);
    sandbox
}

// PX-04
#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_answers_with_a_handle_that_is_as_good_as_its_token() {
    let good = Good::default();
    let tokens = Arc::clone(&good);
    let upstream = Upstream::http(move |seen| answer(&tokens, seen)).await;
    let sandbox = home(&upstream);
    sandbox.run("principal create other").ok();
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let mut other = Serving::start(&sandbox, &["serve", "--as", "other"]);

    let services = serving.client.call("list_services", &json!({})).unwrap();
    let services = services["services"].as_array().unwrap();
    let sso = services.iter().find(|service| service["name"] == "sso").unwrap();
    assert_eq!(sso["handle_fields"], json!(["access_token", "token", "x-session"]), "{sso}");

    let minted =
        serving.call(&post("/oauth/token", &json!({ "grant_type": "client_credentials" })));
    assert_eq!((&minted["status"], &minted["sealed"]), (&json!(200), &json!(1)), "{minted}");
    let handle = minted["body"]["access_token"].as_str().unwrap().to_owned();
    assert!(handle.starts_with("srh_"), "{minted}");
    let token = good.lock().unwrap().first().unwrap().clone();

    let with = |handle: &str| post("/oauth/introspect", &json!({ "token": handle }));
    let asked = serving.call(&with(&handle));
    assert_eq!(asked["body"], json!({ "active": true, "you_sent": "[REDACTED:sso]" }), "{asked}");
    let me = json!({
        "service": "sso", "method": "GET", "path": "/me",
        "headers": { "x-session": format!("Bearer {handle}") }
    });
    assert_eq!(serving.call(&me)["status"], 200);

    let sent = upstream.requests();
    let mut refused = vec![
        serving.call(&with(&format!("srh_{}", "0".repeat(32)))),
        serving.call(&with(&format!("{handle} "))),
        serving.call(&post("/oauth/introspect", &json!({ "hint": handle }))),
        serving.execute("plain", "GET", &format!("/oauth/introspect?token={handle}")),
        serving.execute("sso", "GET", &format!("/{handle}")),
    ];
    // A handle is good in the process that made it, and for whom it was made.
    refused.push(other.call(&with(&handle)));
    for refused in &refused {
        assert_eq!(refused["error"]["code"], "policy_denied", "{refused}");
        assert_eq!(refused["error"]["retry"], "never", "{refused}");
    }
    assert_eq!(upstream.requests(), sent, "nothing was sent");

    assert_eq!(serving.call(&post("/oauth/revoke", &json!({ "token": handle })))["status"], 200);
    assert_eq!(serving.call(&with(&handle))["body"]["active"], false);

    let said = format!("{minted}{asked}{refused:?}{}{}", serving.finish(), other.finish());
    let log = sandbox.run("logs --json").ok().stdout;
    let oracle = Oracle::new(&[("the token", token.as_bytes())]);
    oracle.assert_clean("what was said", said);
    oracle.assert_clean("the audit", &log);
    assert!(log.contains("\"sealed\":1") && log.contains("\"handles\":1"), "{log}");
    let text = sandbox.run("logs").ok().stdout;
    assert!(text.contains("1 sealed") && text.contains("1 by handle"), "{text}");
}
