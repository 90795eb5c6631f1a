//! Servers at an address, mounted by `serve`: with a key, with a log-in, and what is refused of both.

use std::io::{BufRead as _, BufReader};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use strongroom_seal::sha256;
use strongroom_testkit::ca::TestCa;
use strongroom_testkit::far::{FarServer, Speaks};
use strongroom_testkit::upstream::{Reply, Seen};

use crate::gateway_local::{Serving, text};
use crate::login::{browse, ended, fields};
use crate::sandbox::Sandbox;

const KEY: &str = "far-canary-0123456789";
const REFRESH: &str = "stand-in-refresh-token-0123456789";
const ACCESS: &str = "stand-in-access-token-0123456789";

/// A home with the server `far` at `url`, which is on.
fn with_server(url: &str, headers: &str) -> Sandbox {
    let sandbox = Sandbox::headless();
    let file = "home/config/strongroom/strongroom.toml";
    let file =
        if sandbox.path(file).exists() { file } else { ".config/strongroom/strongroom.toml" };
    let config = format!(
        "enable = [\"far\"]\n{}\n[servers.far]\nurl = \"{url}\"\n{headers}",
        sandbox.read(file)
    );
    sandbox.write(file, &config);
    sandbox
}

fn call(serving: &mut Serving, name: &str, arguments: &Value) -> String {
    text(&serving.ask("tools/call", &json!({ "name": name, "arguments": arguments })))
}

// MC-16
#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_a_server_at_an_address_are_called_with_a_key_that_stays_here() {
    for speaks in [Speaks::Modern, Speaks::Sessions, Speaks::Batches, Speaks::Events] {
        let server = FarServer::new(speaks).await;
        server.require("authorization", &format!("Bearer {KEY}"));
        let headers = "headers = { authorization = \"Bearer {{local://far-key}}\" }\n";
        let sandbox = with_server(&server.url(), headers);
        sandbox
            .feed(&["secrets", "set", "far-key", "--for", "launch:far", "--key-stdin"], KEY)
            .ok();
        let mut serving = Serving::start(&sandbox);
        let list = serving.list().to_string();
        assert!(list.contains("far_echo"), "{speaks:?} {list}");
        let said = call(&mut serving, "far_echo", &json!({ "said": KEY }));
        assert_eq!(said, r#"{"said":"[REDACTED:far]"}"#, "{speaks:?}");
        let status = call(&mut serving, "far_status", &json!({}));
        if speaks != Speaks::Events {
            assert_eq!(status, "upstream_error");
        }
        serving.finish();
        let audit = sandbox.run("logs --json").ok().stdout;
        assert!(audit.contains("\"release\"") && !audit.contains(KEY), "{audit}");
    }
}

/// What a client is given of the server `far`: whether its tool is there, and what `servers status` says.
fn reached(url: &str, keys: &str) -> (bool, String) {
    let sandbox = with_server(url, keys);
    let mut serving = Serving::start(&sandbox);
    let there = serving.list().to_string().contains("far_echo");
    if there {
        assert_eq!(call(&mut serving, "far_echo", &json!({ "said": 1 })), r#"{"said":1}"#);
    }
    serving.finish();
    (there, sandbox.run("mcp show far").ok().stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_of_a_private_authority_is_trusted_where_that_is_named() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let server = FarServer::https(Speaks::Modern, ca.issue(&["127.0.0.1"])).await;
    let files = Sandbox::new();
    let file = |name: &str, text: &str| files.write(name, text).display().to_string();
    let own = file("ca.pem", ca.pem());
    let (there, shown) = reached(&server.url(), &format!("ca_file = \"{own}\""));
    assert!(there && shown.contains(&own), "{shown}");
    for keys in [
        String::new(),
        format!("ca_file = \"{}\"", file("other.pem", other.pem())),
        format!("ca_file = \"{}\"", file("none.pem", "nothing")),
        "ca_file = \"/absent.pem\"".to_owned(),
    ] {
        assert!(!reached(&server.url(), &keys).0, "{keys}");
    }
}

/// 0.0.0.0 is an address of no public network at which whoever listens here is found.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_no_public_network_is_dialled_where_it_is_allowed() {
    let ca = TestCa::new();
    let server = FarServer::https(Speaks::Modern, ca.issue(&["0.0.0.0"])).await;
    let files = Sandbox::new();
    let own = files.write("ca.pem", ca.pem()).display().to_string();
    let url = format!("https://0.0.0.0:{}/mcp", server.address().port());
    let with = |ranges: &str| format!("ca_file = \"{own}\"\nallow_ips = [{ranges}]");
    let (there, shown) = reached(&url, &with("\"0.0.0.0/32\""));
    assert!(there && shown.contains("0.0.0.0/32"), "{shown}");
    for ranges in ["", "\"127.0.0.0/8\"", "\"10.0.0.0/8\""] {
        assert!(!reached(&url, &with(ranges)).0, "{ranges}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_hides_no_other_tool() {
    let sandbox = with_server("http://127.0.0.1:1/mcp", "");
    let mut serving = Serving::start(&sandbox);
    let list = serving.list().to_string();
    assert!(list.contains("whoami") && !list.contains("far_"), "{list}");
    serving.finish();
}

/// A stand-in for a server with an authorization server beside it: what it says of itself is changed by
/// `change`.
async fn with_login(
    change: impl Fn(&str, &mut Value) + Send + Sync + 'static,
) -> (FarServer, Arc<Mutex<String>>) {
    let challenge = Arc::new(Mutex::new(String::new()));
    let knows = Arc::clone(&challenge);
    let answer = move |seen: &Seen| {
        let own = format!("http://{}", seen.values("host").concat());
        let path = seen.target.as_str();
        let mut said = match path {
            "/.well-known/oauth-protected-resource/mcp" => {
                json!({ "resource": format!("{own}/mcp"), "authorization_servers": [own], "scopes_supported": ["tools"] })
            }
            "/.well-known/oauth-authorization-server" => json!({
                "issuer": own, "authorization_endpoint": format!("{own}/authorize"),
                "token_endpoint": format!("{own}/token"), "registration_endpoint": format!("{own}/register"),
                "code_challenge_methods_supported": ["S256"], "scopes_supported": ["tools", "offline_access"],
                "authorization_response_iss_parameter_supported": true,
            }),
            "/register" => {
                let about: Value = serde_json::from_slice(&seen.body).unwrap();
                assert_eq!(about["application_type"], "native");
                json!({ "client_id": "registered", "token_endpoint_auth_method": "none" })
            }
            "/token" => {
                let form = fields(&seen.body);
                assert_eq!(form["resource"], format!("{own}/mcp"));
                assert_eq!(form["client_id"], "registered");
                let fits = match form["grant_type"].as_str() {
                    "authorization_code" => {
                        let proof =
                            URL_SAFE_NO_PAD.encode(sha256(form["code_verifier"].as_bytes()));
                        form["code"] == "the-code" && proof == *knows.lock().unwrap()
                    }
                    "refresh_token" => form["refresh_token"] == REFRESH,
                    _ => false,
                };
                if !fits {
                    return Some(Reply::status(400));
                }
                json!({ "access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600, "refresh_token": REFRESH })
            }
            _ => return None,
        };
        change(path, &mut said);
        let status = if path == "/register" { 201 } else { 200 };
        let reply = Reply::status(status).body(said.to_string());
        Some(reply.header("content-type", "application/json"))
    };
    let server = FarServer::with(Speaks::Sessions, answer).await;
    server.require("authorization", &format!("Bearer {ACCESS}"));
    (server, challenge)
}

// AU-11, MC-16
#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_to_a_stand_in_and_agents_call_its_tools_in_their_name() {
    let (server, challenge) = with_login(|_, _| {}).await;
    let sandbox = with_server(&server.url(), "");
    let mut serving = Serving::start(&sandbox);
    assert!(!serving.list().to_string().contains("far_echo"), "nobody has logged in");

    let mut child = sandbox.child(&["login", "far"]);
    let mut lines = BufReader::new(child.stderr().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        line.contains("/authorize?").then(|| line.trim().to_owned())
    });
    let query = fields(address.unwrap().split_once('?').unwrap().1.as_bytes());
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(
        (query["client_id"].as_str(), query["code_challenge_method"].as_str()),
        ("registered", "S256")
    );
    assert_eq!(
        (query["scope"].as_str(), query["resource"].as_str()),
        ("tools offline_access", server.url().as_str())
    );
    challenge.lock().unwrap().clone_from(&query["code_challenge"]);
    let back = query["redirect_uri"].strip_prefix("http://").unwrap().to_owned();
    assert!(browse(&back, "code=stolen&state=wrong").starts_with("HTTP/1.1 404"));
    let issuer = format!("http%3A%2F%2F{}", server.address());
    let answer = browse(&back, &format!("code=the-code&state={}&iss={issuer}", query["state"]));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(ended(child), 0);

    // Whoever asks again is not kept waiting by what failed before.
    let mut serving = {
        serving.finish();
        Serving::start(&sandbox)
    };
    let said = call(&mut serving, "far_echo", &json!({ "said": ACCESS }));
    assert_eq!(said, r#"{"said":"[REDACTED:far]"}"#);
    serving.finish();
    let audit = sandbox.run("logs --json").ok().stdout;
    assert!(audit.contains("server.login") && !audit.contains(ACCESS) && !audit.contains(REFRESH));
    let mut seen = server.upstream.seen();
    seen.retain(|seen| seen.target == "/mcp" && seen.method == "POST");
    assert!(seen.iter().all(|seen| !String::from_utf8_lossy(&seen.body).contains(REFRESH)));
}

// AU-11
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_log_in_is_not_believed_beyond_who_says_it() {
    type Change = fn(&str, &mut Value);
    let cases: [(&str, Change); 6] = [
        ("about another server", |path, said| {
            if path.contains("resource") {
                said["resource"] = "https://other.test/mcp".into();
            }
        }),
        ("about another one", |path, said| {
            if path.contains("authorization-server") {
                said["issuer"] = "https://other.test".into();
            }
        }),
        ("PKCE", |path, said| {
            if path.contains("authorization-server") {
                said["code_challenge_methods_supported"] = json!(["plain"]);
            }
        }),
        ("plain http", |path, said| {
            if path.contains("authorization-server") {
                said["token_endpoint"] = "http://other.test/token".into();
            }
        }),
        ("--client-id", |path, said| {
            if path.contains("authorization-server") {
                said["registration_endpoint"] = Value::Null;
            }
        }),
        ("not public", |path, said| {
            if path.contains("resource") {
                said["authorization_servers"] = json!(["https://10.0.0.7"]);
            }
        }),
    ];
    for (expected, change) in cases {
        let (server, _) = with_login(change).await;
        let sandbox = with_server(&server.url(), "");
        let ran = sandbox.run("login far");
        assert_ne!(ran.code, 0);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
        let audit = sandbox.run("logs --json").ok().stdout;
        assert!(audit.contains("server.login.refused"), "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_is_good_for_the_address_that_it_was_made_at() {
    let server = FarServer::new(Speaks::Modern).await;
    let sandbox = with_server(&server.url(), "");
    let ran = sandbox.run("login far");
    assert!(ran.code != 0 && ran.stderr.contains("nothing to log in to"), "{}", ran.stderr);
    let ran = sandbox.run("login nowhere");
    assert!(ran.code != 0 && ran.stderr.contains("nowhere"), "{}", ran.stderr);
    let ran = sandbox.run("login far --client-id x");
    assert!(ran.code != 0 && ran.stderr.contains("nothing to log in to"), "{}", ran.stderr);
    tokio::time::timeout(Duration::from_secs(20), server.upstream.wait_until_closed())
        .await
        .unwrap();
}
