//! Tenants side by side, and tenants that are taken away.

use std::time::Duration;

use serde_json::{Value, json};
use strongroom_testkit::canary;
use strongroom_testkit::upstream::{Reply, Step, Upstream};

use super::Team;
use super::line::Line;
use crate::sandbox::Sandbox;

/// Calls of two tenants at the same time.
const CALLS: usize = 2_000;

/// A second tenant and a key of it.
fn second(team: &Team, name: &str) -> String {
    team.sandbox.run(&format!("tenant create {name} --org acme")).ok();
    let scopes = "use,credentials:write,admin";
    let made = team.sandbox.run(&format!("key create --tenant {name} --scope {scopes}")).ok();
    made.stdout.trim().to_owned()
}

/// Stores `secret` and a service `amazon` at `url` that is called with it.
fn has_amazon(team: &Team, key: &str, url: &str, secret: &str) {
    let credential = json!({ "service": "amazon", "credentials": { "api_key": secret } });
    let stored = team.post("/functions/v1/credentials/store", key, &credential);
    assert_eq!(stored["ok"], true, "{stored}");
    let definition = json!({
        "base_url": url,
        "insecure_transport": true,
        "allow_ips": ["127.0.0.1/32"],
        "auth": { "type": "bearer", "token": "local://amazon/api_key" },
        "allow": ["GET /**"],
        "limits": { "calls_per_minute": 1_000_000 },
    });
    let service = json!({ "name": "amazon", "definition": definition });
    let put = team.send("PUT", "/v1/services", key, &service);
    assert_eq!(put["ok"], true, "{put}");
}

fn call(service: &str, path: &str) -> Value {
    let arguments = json!({ "service": service, "method": "GET", "path": path });
    let params = json!({ "name": "execute", "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

// TN-08
#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_with_the_same_names_call_side_by_side_with_their_own_credentials() {
    let secrets = [canary::of("the first tenant"), canary::of("the second tenant")];
    let theirs = secrets.clone();
    // What the upstream says is whose credential came with which path.
    let upstream = Upstream::http(move |seen| {
        let key = seen.values("authorization").concat();
        let whose = theirs.iter().position(|secret| key == format!("Bearer {secret}"));
        Reply::ok(json!({ "whose": whose, "path": seen.target }).to_string())
            .header("content-type", "application/json")
    })
    .await;
    let team = Team::new(Sandbox::new().with("PATH", "/usr/bin:/bin"));
    let keys = [team.key.clone(), second(&team, "other")];
    let url = format!("http://{}", upstream.address());
    for (key, secret) in keys.iter().zip(&secrets) {
        has_amazon(&team, key, &url, secret);
    }
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (keys, team) = (&keys, &team);
            scope.spawn(move || {
                let mut line = Line::to(&team.url);
                for n in 0..CALLS / 8 {
                    let who = (thread + n) % 2;
                    let path = format!("/{thread}/{n}");
                    let (status, answer) = line.post("/mcp", &keys[who], &call("amazon", &path));
                    let body = &answer["result"]["structuredContent"]["body"];
                    assert_eq!(
                        (status, body),
                        (200, &json!({ "whose": who, "path": path })),
                        "{answer}"
                    );
                }
            });
        }
    });
    // Each has its own half of it on record.
    for key in &keys {
        let audit = team.send("GET", "/v1/audit?limit=1000", key, &Value::Null);
        let records = audit["data"]["records"].as_array().unwrap();
        assert!(records.iter().filter(|record| record["kind"] == "outcome").count() > 100);
    }
}

// TN-11
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_for_a_tenant_that_is_suspended_or_deleted_stops() {
    let upstream = Upstream::raw(vec![Step::ReadHead, Step::Hang]).await;
    let url = format!("http://{}", upstream.address());
    let team = Team::new(Sandbox::new().with("PATH", "/usr/bin:/bin"));
    let secret = canary::of("a tenant that goes");
    has_amazon(&team, &team.key, &url, &secret);
    let before = Team::tenant(&team.sandbox);
    let (under_way, server) = (call("amazon", "/slow"), team.url.clone());
    for act in ["disable", "delete"] {
        let (key, under_way, server) = (team.key.clone(), under_way.clone(), server.clone());
        let arrived = upstream.connections() + 1;
        let running =
            tokio::task::spawn_blocking(move || Line::to(&server).post("/mcp", &key, &under_way));
        let patience = Duration::from_secs(20);
        let connected = async {
            while upstream.connections() < arrived {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(patience, connected).await.expect("the call is under way");
        let words =
            if act == "delete" { "tenant delete shop --yes" } else { "tenant disable shop" };
        team.sandbox.run(words).ok();
        let (status, answer) = running.await.unwrap();
        assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthenticated")));
        let after = team.post("/mcp", &team.key, &under_way_again());
        assert_eq!(after["error"]["code"], "unauthenticated", "{act}: {after}");
        if act == "disable" {
            team.sandbox.run("tenant enable shop").ok();
            let again = team.post("/mcp", &team.key, &under_way_again());
            assert!(again["result"].is_object(), "{again}");
        }
    }
    // Whoever has its name now has nothing of it.
    let again = second(&team, "shop");
    assert_ne!(Team::tenant(&team.sandbox), before);
    let credentials = team.send("GET", "/functions/v1/credentials/list", &again, &Value::Null);
    assert_eq!(credentials["data"]["count"], 0, "{credentials}");
}

fn under_way_again() -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" })
}

// SS-11
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_an_address_that_is_not_public_is_not_dialled() {
    let upstream = Upstream::http(|_| Reply::ok("{}")).await;
    let team = Team::with(
        Sandbox::new().with("PATH", "/usr/bin:/bin"),
        "[team]\ninsecure_transport = true\n",
    );
    let port = upstream.address().port();
    let service = |host: &str| {
        let definition = json!({
            "base_url": format!("http://{host}:{port}"),
            "insecure_transport": true,
            "auth": { "type": "bearer", "token": "local://amazon/api_key" },
            "allow": ["GET /**"],
        });
        team.send(
            "PUT",
            "/v1/services",
            &team.key,
            &json!({ "name": "amazon", "definition": definition }),
        )
    };
    let credential =
        json!({ "service": "amazon", "credentials": { "api_key": "value-of-a-test" } });
    team.post("/functions/v1/credentials/store", &team.key, &credential);
    // A name is looked up when it is dialled, whatever it was when it was registered.
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"] {
        let put = service(host);
        if put["ok"] == false {
            continue;
        }
        let answer = team.post("/mcp", &team.key, &call("amazon", "/"));
        let error = &answer["result"]["structuredContent"]["error"];
        assert_eq!(error["code"], "destination_denied", "{host}: {answer}");
    }
    assert_eq!(service("localhost")["ok"], true, "a name may be registered");
    assert_eq!(upstream.connections(), 0);
}
