//! The registry, by the examples of the documentation.

use serde_json::json;

use crate::support::{AMAZON, DELETE, LIST, REGISTER, Site, UPDATE};

/// The body with the row's id as the documentation writes it.
fn without_id(body: &str, id: &str) -> String {
    assert_eq!(id.len(), 36);
    body.replace(id, "uuid")
}

#[tokio::test]
async fn a_registration_is_answered_as_documented_listed_changed_and_deleted() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    let made = site.post(REGISTER, &key, AMAZON).await;
    let id = made.data()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        without_id(&made.body, &id),
        r#"{"ok":true,"data":{"id":"uuid","server_id":"my-amazon-server","name":"My Amazon MCP Server","command":"node","args":["@mycompany/amazon-mcp-server"],"tool_prefix":"amazon.","enabled":true,"created_at":"2026-03-15T10:23:45.000Z"}}"#
    );
    let list = site.get(LIST, &key).await;
    assert_eq!(
        without_id(&list.body, &id),
        r#"{"ok":true,"data":{"servers":[{"id":"uuid","server_id":"my-amazon-server","name":"My Amazon MCP Server","command":"node","args":["@mycompany/amazon-mcp-server"],"tools":["allow *"],"tool_prefix":"amazon.","enabled":true,"created_at":"2026-03-15T10:23:45.000Z","updated_at":"2026-03-15T10:23:45.000Z"}],"count":1}}"#
    );
    site.clock.advance(std::time::Duration::from_secs(15));
    let change = r#"{"server_id": "my-amazon-server", "name": "Updated Name", "enabled": false}"#;
    let changed = site.post(UPDATE, &key, change).await;
    assert_eq!(
        without_id(&changed.body, &id),
        r#"{"ok":true,"data":{"id":"uuid","server_id":"my-amazon-server","name":"Updated Name","enabled":false,"updated_at":"2026-03-15T10:24:00.000Z"}}"#
    );
    // Good by itself, and not beside the command that is stored.
    let headers = r#"{"server_id": "my-amazon-server", "headers": {"x": "y"}}"#;
    let refused = site.post(UPDATE, &key, headers).await;
    assert_eq!(refused.problem(), (409, "conflict".into()));
    assert_eq!(site.get(&format!("{LIST}?enabled_only=true"), &key).await.data()["count"], 0);
    assert_eq!(site.get(&format!("{LIST}?enabled_only=false"), &key).await.data()["count"], 1);
    let gone = site.post(DELETE, &key, r#"{"server_id": "my-amazon-server"}"#).await;
    assert_eq!(gone.body, r#"{"ok":true,"data":{"server_id":"my-amazon-server","deleted":true}}"#);
    let again = site.post(DELETE, &key, r#"{"server_id": "my-amazon-server"}"#).await;
    assert_eq!(again.problem(), (404, "not_found".into()));
    assert_eq!(site.get(LIST, &key).await.body, r#"{"ok":true,"data":{"servers":[],"count":0}}"#);
}

#[tokio::test]
async fn the_names_of_the_gateway_lead_to_the_same_registry() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    site.post("/mcp/servers/register", &key, AMAZON).await.data();
    assert_eq!(site.get(LIST, &key).await.body, site.get("/mcp/servers/list", &key).await.body);
    let change = r#"{"server_id":"my-amazon-server","enabled":false}"#;
    site.post("/mcp/servers/update", &key, change).await.data();
    site.post("/mcp/servers/delete", &key, r#"{"server_id":"my-amazon-server"}"#).await.data();
}

// TN-06
#[tokio::test]
async fn what_is_unique_in_a_tenant_is_a_conflict_there_and_nowhere_else() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    site.post(REGISTER, &key, AMAZON).await.data();
    for (from, to, field) in [
        ("\"amazon.\"", "\"other.\"", "server_id"),
        ("my-amazon-server\",", "another\",", "tool_prefix"),
    ] {
        let twice = site.post(REGISTER, &key, &AMAZON.replacen(from, to, 1)).await;
        assert_eq!(twice.problem(), (409, "conflict".into()));
        assert_eq!(twice.json()["error"]["details"]["field"], field);
    }
    // `a.b.` and `a_b.` are shown to clients as the same.
    let one = AMAZON.replace("my-amazon-server", "one").replace("amazon.\"", "a.b.\"");
    site.post(REGISTER, &key, &one).await.data();
    let same = AMAZON.replace("my-amazon-server", "two").replace("amazon.\"", "a_b.\"");
    assert_eq!(site.post(REGISTER, &key, &same).await.problem(), (409, "conflict".into()));
    let theirs = site.key(&site.b, "use,register").await;
    site.post(REGISTER, &theirs, AMAZON).await.data();
}

// TN-05
#[tokio::test]
async fn a_field_that_is_not_there_is_refused_by_its_name() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    for (field, value) in [
        ("id", json!("2f1c3a4e-0b5d-4c6e-8f70-112233445566")),
        ("created_at", json!("2026-03-15T10:23:45Z")),
        ("encryption_key_id", json!("default")),
        ("role", json!("admin")),
        ("config_rev", json!(7)),
        ("organization_id", json!(site.b.organization.to_string())),
    ] {
        let mut body: serde_json::Value = serde_json::from_str(AMAZON).unwrap();
        body[field] = value;
        let refused = site.post(REGISTER, &key, &body.to_string()).await;
        assert_eq!(refused.problem(), (400, "invalid_request".into()));
        assert_eq!(refused.json()["error"]["details"]["field"], field);
    }
    let theirs = site.b.id.to_string();
    let mut body: serde_json::Value = serde_json::from_str(AMAZON).unwrap();
    body["tenant_id"] = json!(theirs);
    assert_eq!(site.post(REGISTER, &key, &body.to_string()).await.problem().0, 404);
    body["tenant_id"] = json!(theirs.to_uppercase());
    assert_eq!(site.post(REGISTER, &key, &body.to_string()).await.problem().0, 400);
    body["tenant_id"] = json!(site.a.id.to_string());
    site.post(REGISTER, &key, &body.to_string()).await.data();
    let b = site.key(&site.b, "use").await;
    assert_eq!(site.get(LIST, &b).await.data()["count"], 0);
}

#[tokio::test]
async fn a_body_that_two_readers_could_read_differently_is_refused() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    let twice = AMAZON.replacen('{', r#"{"server_id":"other","#, 1);
    let deep = format!(r#"{{"server_id":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    for body in [&twice, &*deep, "[]", "null", "{", "", "\u{feff}{}"] {
        assert_eq!(site.post(REGISTER, &key, body).await.problem().0, 400, "{body}");
    }
    let headers = [("x-api-key", &*key), ("content-type", "text/plain")];
    let typed = site.send("POST", REGISTER, &headers, AMAZON).await;
    assert_eq!(typed.problem(), (415, "invalid_request".into()));
    let long = format!(r#"{{"server_id":"{}"}}"#, "a".repeat(300 << 10));
    assert_eq!(site.post(REGISTER, &key, &long).await.problem(), (413, "invalid_request".into()));
    let with_query = format!("{REGISTER}?server_id=x");
    assert_eq!(site.post(&with_query, &key, AMAZON).await.problem().0, 400);
    let headers = [("x-api-key", &*key), ("content-type", "application/json")];
    assert_eq!(site.send("GET", LIST, &headers, "{}").await.problem().0, 400);
    for query in ["x=1", "enabled_only=1", "enabled_only=true&enabled_only=true", "limit=0", "%"] {
        assert_eq!(site.get(&format!("{LIST}?{query}"), &key).await.problem().0, 400, "{query}");
    }
    site.post(REGISTER, &key, AMAZON).await.data();
}

// TN-10
#[tokio::test]
async fn a_command_that_the_operator_does_not_list_is_not_registered() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    site.post(REGISTER, &key, AMAZON).await.data();
    let not_allowed = (403, "command_not_allowed".to_owned());
    for (command, args) in [
        ("sh", &["test.js"][..]),
        ("sh", &["-c", "env"]),
        ("npx", &["-y", "x"]),
        ("node", &["evil.js"]),
        ("node", &["-e", "test.js"]),
        ("/usr/bin/node", &["test.js"]),
        ("./node", &["test.js"]),
        ("node ", &["test.js"]),
    ] {
        let body = json!({
            "server_id": "x", "name": "x", "command": command, "args": args, "tool_prefix": "x.",
        });
        let refused = site.post(REGISTER, &key, &body.to_string()).await;
        assert_eq!(refused.problem(), not_allowed);
    }
    for change in [
        json!({ "server_id": "my-amazon-server", "command": "sh" }),
        json!({ "server_id": "my-amazon-server", "args": ["evil.js"] }),
        json!({ "server_id": "my-amazon-server", "command": "sh", "args": ["-c", "id"] }),
    ] {
        assert_eq!(site.post(UPDATE, &key, &change.to_string()).await.problem(), not_allowed);
    }
    let change = json!({ "server_id": "my-amazon-server", "args": ["test.js", "--fast"] });
    let changed = site.post(UPDATE, &key, &change.to_string()).await.data();
    assert_eq!(changed["args"], json!(["test.js", "--fast"]));
    assert_eq!(changed.get("command"), None, "only what the change named");
}

// SS-11
#[tokio::test]
async fn an_address_that_may_not_be_dialled_is_not_registered() {
    let allowed = "127.0.0.0/8".parse().unwrap();
    let site = Site::with(|options, _| options.allow_ips = vec![allowed]).await;
    let key = site.key(&site.a, "use,register").await;
    let body = |url: &str| {
        json!({ "server_id": "remote", "name": "x", "url": url, "tool_prefix": "remote." })
            .to_string()
    };
    for (url, code) in [
        ("https://10.0.0.1/mcp", "destination_denied"),
        ("https://169.254.169.254/latest", "destination_denied"),
        ("https://[::1]/mcp", "destination_denied"),
        ("https://metadata.google.internal/", "destination_denied"),
        ("http://mcp.example.com/mcp", "destination_denied"),
        ("file:///etc/passwd", "invalid_request"),
        ("unix:/run/x", "invalid_request"),
        ("gopher://127.0.0.1:70", "invalid_request"),
        ("https://user:canary@mcp.example.com/", "invalid_request"),
        ("https://0x7f.1/", "destination_denied"),
        ("https://2130706433/", "destination_denied"),
        ("https://mcp.example.com/?key=canary", "invalid_request"),
    ] {
        let refused = site.post(REGISTER, &key, &body(url)).await;
        assert_eq!(refused.problem().1, code, "{url}");
        assert_eq!(refused.json()["error"]["details"]["field"], "url", "{url}");
        assert!(!refused.body.contains("canary"));
    }
    let mut remote: serde_json::Value =
        serde_json::from_str(&body("https://mcp.example.com/mcp")).unwrap();
    remote["headers"] = json!({ "X-Team": "a" });
    remote["secrets"] = json!({ "X-Api-Key": { "service": "amazon", "field": "api_key" } });
    let made = site.post(REGISTER, &key, &remote.to_string()).await.data();
    assert_eq!(made["headers"], json!({ "X-Team": "a" }));
    assert_eq!(made["secrets"]["X-Api-Key"]["credential_type"], "api_key");
    assert!(made.get("command").is_none() && made.get("args").is_none());
    for url in ["http://127.0.0.1:9000/mcp", "https://mcp.example.com:8443/mcp"] {
        let change = json!({ "server_id": "remote", "url": url });
        assert_eq!(site.post(UPDATE, &key, &change.to_string()).await.data()["url"], url);
    }
}

// TN-07
#[tokio::test]
async fn a_list_is_had_in_pages_whose_cursors_are_the_tenants_own() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    for n in 0..5 {
        let body = AMAZON
            .replace("my-amazon-server", &format!("server-{n}"))
            .replace("amazon.\"", &format!("p{n}.\""));
        site.post(REGISTER, &key, &body).await.data();
    }
    let (mut seen, mut path) = (Vec::new(), format!("{LIST}?limit=2"));
    loop {
        let page = site.get(&path, &key).await.data();
        assert_eq!(page["count"], 5);
        for server in page["servers"].as_array().unwrap() {
            seen.push(server["server_id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page.get("next_cursor") else { break };
        path = format!("{LIST}?limit=2&cursor={}", cursor.as_str().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["server-0", "server-1", "server-2", "server-3", "server-4"]);
    let theirs = site.key(&site.b, "use").await;
    let cursor = path.split("cursor=").nth(1).unwrap();
    let refused = site.get(&format!("{LIST}?cursor={cursor}"), &theirs).await;
    assert_eq!(refused.problem().0, 404);
    assert_eq!(site.get(&format!("{LIST}?cursor=canary"), &key).await.problem().0, 404);
}

#[tokio::test]
async fn the_health_of_a_server_is_told_to_its_tenant() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    site.post(REGISTER, &key, AMAZON).await.data();
    let path = "/functions/v1/mcp-servers/health?server_id=my-amazon-server";
    let health = site.get(path, &key).await;
    assert_eq!(
        health.body,
        r#"{"ok":true,"data":{"server_id":"my-amazon-server","state":"stopped","uptime_s":null,"restarts":0,"last_error":null,"tools":[]}}"#
    );
    let theirs = site.key(&site.b, "use").await;
    assert_eq!(site.get(path, &theirs).await.problem(), (404, "not_found".into()));
    let all = path.split('?').next().unwrap();
    assert_eq!(
        site.get(all, &key).await.body,
        r#"{"ok":true,"data":{"servers":[{"server_id":"my-amazon-server","state":"stopped","uptime_s":null,"restarts":0,"last_error":null,"tools":[]}],"count":1}}"#
    );
    assert_eq!(site.get(all, &theirs).await.data()["count"], 0);
}

#[tokio::test]
async fn which_tools_may_be_called_is_registered_changed_and_listed() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    assert!(site.post(REGISTER, &key, AMAZON).await.data()["tools"].is_null());
    let listed = async || site.get(LIST, &key).await.data()["servers"][0]["tools"].clone();
    assert_eq!(listed().await, json!(["allow *"]));
    let rules = json!(["allow get_*", "ask pay where amount > 100", "deny *secret*"]);
    let change = json!({ "server_id": "my-amazon-server", "tools": rules }).to_string();
    assert_eq!(site.post(UPDATE, &key, &change).await.data()["tools"], rules);
    assert_eq!(listed().await, rules);
    let bad = json!({ "server_id": "my-amazon-server", "tools": ["permit canary"] }).to_string();
    let refused = site.post(UPDATE, &key, &bad).await;
    assert_eq!(refused.json()["error"]["details"]["field"], "tools");
    assert!(!refused.body.contains("canary"));
    for (tool, arguments, decision) in [
        ("get_order", json!({}), "allow"),
        ("get_secret", json!({}), "deny"),
        ("GET_SECRET", json!({}), "deny"),
        ("pay", json!({ "amount": 500 }), "ask"),
        ("pay", json!({ "amount": 5 }), "deny"),
        ("other", json!({}), "deny"),
        ("get_order", json!([1]), "deny"),
    ] {
        let resource = format!("amazon.{tool}");
        let body = json!({ "action": "tools/call", "resource": resource, "arguments": arguments });
        let answer = site.post("/functions/v1/authorize", &key, &body.to_string()).await.data();
        assert_eq!(answer["decision"], decision, "{body} {answer}");
    }
}

#[tokio::test]
async fn what_a_tenant_may_call_follows_from_what_it_has_registered() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    site.post(REGISTER, &key, AMAZON).await.data();
    let ask = async |key: &str, body: &str| {
        let answer = site.post("/functions/v1/authorize", key, body).await.data();
        answer["decision"].as_str().unwrap().to_owned()
    };
    let order = r#"{"action":"tools/call","resource":"amazon.order","arguments":{"n":[1,null]}}"#;
    let answer = site.post("/functions/v1/authorize", &key, order).await;
    assert_eq!(
        answer.body,
        r#"{"ok":true,"data":{"decision":"allow","reason":"an enabled server has the tool's prefix","rule":"server my-amazon-server"}}"#
    );
    assert_eq!(ask(&key, r#"{"action":"tools/call","resource":"amazon_order"}"#).await, "allow");
    for body in [
        r#"{"action":"tools/call","resource":"amazon."}"#,
        r#"{"action":"tools/call","resource":"stripe.pay"}"#,
        r#"{"action":"tools/call"}"#,
        r#"{"action":"other","resource":"amazon.order"}"#,
    ] {
        assert_eq!(ask(&key, body).await, "deny", "{body}");
    }
    let theirs = site.key(&site.b, "use").await;
    assert_eq!(ask(&theirs, order).await, "deny");
    site.post(UPDATE, &key, r#"{"server_id":"my-amazon-server","enabled":false}"#).await.data();
    assert_eq!(ask(&key, order).await, "deny", "from the next request on");
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_done_once_and_answered_alike() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    let json = ("content-type", "application/json");
    let headers = [("x-api-key", &*key), json, ("idempotency-key", "k-1")];
    let first = site.send("POST", REGISTER, &headers, AMAZON).await;
    first.data();
    let again = site.send("POST", REGISTER, &headers, AMAZON).await;
    assert_eq!((again.status, again.body), (200, first.body));
    let other = AMAZON.replace("Amazon MCP", "other");
    let conflict = site.send("POST", REGISTER, &headers, &other).await;
    assert_eq!(conflict.problem(), (409, "conflict".into()));
    let plain = site.post(REGISTER, &key, AMAZON).await;
    assert_eq!(plain.problem(), (409, "conflict".into()), "without a key it is a second one");
    let bad = "k".repeat(300);
    let headers = [("x-api-key", &*key), json, ("idempotency-key", &*bad)];
    assert_eq!(site.send("POST", REGISTER, &headers, AMAZON).await.problem().0, 400);
}
