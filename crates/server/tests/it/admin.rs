//! Administration: the operator's, and a tenant's own.

use serde_json::json;

use crate::support::{AMAZON, LIST, REGISTER, Site};

#[tokio::test]
async fn an_operator_makes_an_organization_a_tenant_and_keys_and_takes_them_back() {
    let site = Site::of_operator().await;
    let admin = site.key(&site.a, "admin").await;
    let made = site.post("/v1/organizations", &admin, r#"{"name":"acme"}"#).await.data();
    let organization = made["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made,
        json!({ "id": organization, "name": "acme", "created_at": "2026-03-15T10:23:45.000Z" })
    );
    let twice = site.post("/v1/organizations", &admin, r#"{"name":"acme"}"#).await;
    assert_eq!(twice.problem(), (409, "conflict".into()));
    assert_eq!(site.get("/v1/organizations", &admin).await.data()["count"], 3);
    let path = format!("/v1/organizations/{organization}");
    assert_eq!(site.get(&path, &admin).await.data(), made);

    let body = json!({ "organization_id": organization, "name": "web" }).to_string();
    let tenant = site.post("/v1/tenants", &admin, &body).await.data();
    let id = tenant["id"].as_str().unwrap().to_owned();
    assert_eq!((&tenant["enabled"], &tenant["name"]), (&json!(true), &json!("web")));
    let list = site.get(&format!("/v1/tenants?organization_id={organization}"), &admin).await;
    assert_eq!(list.data()["tenants"], json!([tenant]));

    let body = json!({ "tenant_id": id, "name": "ci", "scopes": ["use", "register"], "expires_in_s": 3600 });
    let key = site.post("/v1/api-keys", &admin, &body.to_string()).await.data();
    let text = key["key"].as_str().unwrap().to_owned();
    assert_eq!(key["expires_at"], "2026-03-15T11:23:45.000Z");
    site.post(REGISTER, &text, AMAZON).await.data();
    let path = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
    let shown = site.get(&format!("{path}?tenant_id={id}"), &admin).await;
    assert!(!shown.body.contains(&text) && shown.data().get("key").is_none());

    let named = json!({ "tenant_id": id }).to_string();
    assert_eq!(
        site.post(&format!("{path}/disable"), &admin, &named).await.data()["enabled"],
        false
    );
    assert_eq!(site.get(LIST, &text).await.status, 401);
    site.post(&format!("{path}/enable"), &admin, &named).await.data();
    site.get(LIST, &text).await.data();
    let new = site.post(&format!("{path}/rotate"), &admin, &named).await.data();
    assert_eq!(site.get(LIST, &text).await.status, 401);
    let text = new["key"].as_str().unwrap();
    assert_eq!(site.get(LIST, text).await.data()["count"], 1);

    let tenant_path = format!("/v1/tenants/{id}");
    site.post(&format!("{tenant_path}/disable"), &admin, "").await.data();
    assert_eq!(site.get(LIST, text).await.status, 401);
    site.post(&format!("{tenant_path}/enable"), &admin, "{}").await.data();
    site.get(LIST, text).await.data();
    let headers = [("x-api-key", &*admin)];
    let path = format!("/v1/api-keys/{}?tenant_id={id}", new["id"].as_str().unwrap());
    assert_eq!(site.send("DELETE", &path, &headers, "").await.data()["deleted"], true);
    assert_eq!(site.send("DELETE", &path, &headers, "").await.problem().0, 404);
    assert_eq!(site.send("DELETE", &tenant_path, &headers, "").await.data()["id"], json!(id));
    assert_eq!(site.get(&tenant_path, &admin).await.problem().0, 404);
    let path = format!("/v1/organizations/{organization}");
    site.send("DELETE", &path, &headers, "").await.data();
    assert_eq!(site.get("/v1/organizations", &admin).await.data()["count"], 2);
}

#[tokio::test]
async fn an_operator_does_not_saw_off_his_own_branch() {
    let site = Site::of_operator().await;
    let admin = site.key(&site.a, "admin").await;
    let own = format!("/v1/tenants/{}", site.a.id);
    assert_eq!(site.post(&format!("{own}/disable"), &admin, "").await.problem().0, 403);
    let headers = [("x-api-key", &*admin)];
    assert_eq!(site.send("DELETE", &own, &headers, "").await.problem().0, 403);
    site.get(&own, &admin).await.data();
}

#[tokio::test]
async fn a_kernel_key_is_made_rotated_and_taken_back() {
    let site = Site::of_operator().await;
    let admin = site.key(&site.a, "admin").await;
    let body = json!({ "organization_id": site.organization.id.to_string(), "name": "kernel" });
    let made = site.post("/v1/kernels", &admin, &body.to_string()).await.data();
    let bearer = |key: &serde_json::Value| format!("Bearer {}", key.as_str().unwrap());
    let list = format!("{LIST}?tenant_id={}", site.a.id);
    let status =
        async |bearer: &str| site.send("GET", &list, &[("authorization", bearer)], "").await.status;
    let old = bearer(&made["key"]);
    assert_eq!((status(&old).await, &made["require_signature"]), (200, &json!(false)));
    let path = format!("/v1/kernels/{}", made["id"].as_str().unwrap());
    assert!(site.get(&path, &admin).await.data().get("key").is_none());
    site.post(&format!("{path}/disable"), &admin, "").await.data();
    assert_eq!(status(&old).await, 401);
    site.post(&format!("{path}/enable"), &admin, "").await.data();
    assert_eq!(status(&old).await, 200);
    let new = site.post(&format!("{path}/rotate"), &admin, "").await.data();
    assert_eq!((status(&old).await, status(&bearer(&new["key"])).await), (401, 200));
    let all = format!("/v1/kernels?organization_id={}", site.organization.id);
    assert_eq!(site.get(&all, &admin).await.data()["count"], 1);
    let path = format!("/v1/kernels/{}", new["id"].as_str().unwrap());
    site.send("DELETE", &path, &[("x-api-key", &*admin)], "").await.data();
    assert_eq!(status(&bearer(&new["key"])).await, 401);
    assert_eq!(site.get(&path, &admin).await.problem().0, 404);
}

// AU-08
#[tokio::test]
async fn a_key_gives_no_scope_that_it_has_not_itself() {
    let site = Site::new().await;
    let admin = site.key(&site.a, "admin,use").await;
    let strong = site.key(&site.a, "executor").await;
    let make = async |scopes: serde_json::Value| {
        let body = json!({ "name": "new", "scopes": scopes }).to_string();
        site.post("/v1/api-keys", &admin, &body).await
    };
    assert_eq!(make(json!(["use", "admin"])).await.status, 200);
    assert_eq!(
        site.post("/v1/api-keys", &admin, r#"{"name":"plain"}"#).await.data()["scopes"],
        json!(["use"])
    );
    for scopes in [json!(["executor"]), json!(["use", "register"])] {
        assert_eq!(make(scopes).await.problem(), (403, "policy_denied".into()));
    }
    assert_eq!(make(json!(["root"])).await.problem().0, 400);
    let path = format!("/v1/api-keys/{}", &strong[4..20]);
    let rotated = site.post(&format!("{path}/rotate"), &admin, "").await;
    assert_eq!(rotated.problem(), (403, "policy_denied".into()), "its new text would be read here");
    let disabled = site.send("DELETE", &path, &[("x-api-key", &*admin)], "").await;
    assert_eq!(disabled.data()["deleted"], true, "taking away is no widening");
}

#[tokio::test]
async fn the_kill_switch_of_a_tenant_stops_its_calls_and_nobody_elses() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register,admin").await;
    let theirs = site.key(&site.b, "use,register").await;
    for key in [&key, &theirs] {
        site.post(REGISTER, key, AMAZON).await.data();
    }
    let ask = async |key: &str| {
        let body = r#"{"action":"tools/call","resource":"amazon.order"}"#;
        let data = site.post("/functions/v1/authorize", key, body).await.data();
        (data["decision"].as_str().unwrap().to_owned(), data["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(ask(&key).await.0, "allow");
    for part in ["{}", r#"{"server":"my-amazon-server"}"#] {
        assert_eq!(site.post("/v1/locks", &key, part).await.data()["locked"], true);
        assert_eq!(site.get("/v1/locks", &key).await.data()["count"], 1);
        assert_eq!(ask(&key).await, ("deny".into(), "the kill switch is on".into()));
        assert_eq!(ask(&theirs).await.0, "allow");
        let path = "/v1/locks/unlock";
        let open = site.post(path, &key, part).await;
        assert_eq!(open.data()["locked"], false);
        assert_eq!(ask(&key).await.0, "allow");
        let again = site.post(path, &key, part).await;
        assert_eq!(again.problem().0, 404);
    }
    for bad in [r#"{"server":"a b"}"#, r#"{"server":"x","service":"x"}"#, r#"{"part":"x"}"#] {
        assert_eq!(site.post("/v1/locks", &key, bad).await.problem().0, 400, "{bad}");
    }
}

// AL-06
#[tokio::test]
async fn what_was_done_and_what_was_refused_is_in_the_tenants_audit_once_and_in_no_other() {
    let site = Site::new().await;
    let admin = site.key(&site.a, "use,register,admin").await;
    let theirs = site.key(&site.b, "admin").await;
    site.post(REGISTER, &admin, AMAZON).await.data();
    site.post(REGISTER, &admin, AMAZON).await.problem();
    site.post(REGISTER, &admin, &AMAZON.replace("node", "sh")).await.problem();
    site.post(REGISTER, &admin, r#"{"canary":1}"#).await.problem();
    site.post("/functions/v1/credentials/retrieve", &admin, r#"{"service":"x"}"#).await.problem();
    site.post("/functions/v1/mcp-servers/delete", &admin, r#"{"server_id":"none"}"#)
        .await
        .problem();
    site.get("/v1/organizations", &admin).await.problem();
    let page = site.get("/v1/audit?limit=100", &admin).await.data();
    let mut told: Vec<String> = page["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let word = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", word("act"), word("decision"), word("code"), word("rule"))
        })
        .collect();
    told.reverse();
    assert_eq!(
        told,
        [
            "server.register allow - -",
            // Written before it was tried, so that nothing is done that is not recorded.
            "server.register allow - -",
            "server.register deny invalid_request conflict",
            "server.register allow - -",
            "server.register deny command_not_allowed -",
            "server.register deny invalid_request -",
            "credential.retrieve deny policy_denied -",
            "server.delete allow - -",
            "server.delete deny not_found -",
            "organization.list deny policy_denied -",
        ]
    );
    let id = |at: usize| page["records"][at]["audit_id"].as_str().unwrap();
    assert_eq!(id(1), id(2), "what was begun and how it ended have one id");
    assert_ne!(id(0), id(1));
    let principal = page["records"][0]["principal"].as_str().unwrap();
    assert_eq!(principal, format!("key {}", &admin[4..20]));
    assert_eq!(site.get("/v1/audit", &theirs).await.data()["records"], json!([]));
    let one = site.get("/v1/audit?limit=2", &admin).await.data();
    let cursor = one["next_cursor"].as_str().unwrap();
    let two = site.get(&format!("/v1/audit?limit=2&cursor={cursor}"), &admin).await.data();
    assert_eq!(one["records"][0], page["records"][0]);
    assert_eq!(two["records"][0], page["records"][2]);
    assert_eq!(site.get(&format!("/v1/audit?cursor={cursor}"), &theirs).await.problem().0, 404);
}

// AL-06, AL-08
#[tokio::test]
async fn what_an_operator_does_is_in_the_audit_of_whom_it_is_done_to() {
    let site = Site::of_operator().await;
    let operator = site.key(&site.a, "admin").await;
    let theirs = site.key(&site.b, "admin").await;
    let acts = async |key: &str, path: &str| {
        let page = site.get(path, key).await.data();
        let records = page["records"].as_array().unwrap().iter();
        records.map(|it| it["act"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let made = site.post("/v1/organizations", &operator, r#"{"name":"new"}"#).await.data();
    assert_eq!(made["name"], "new");
    site.post("/v1/organizations", &operator, r#"{"name":"new"}"#).await.problem();
    let of_b = format!("/v1/tenants/{}", site.b.id);
    site.post(&format!("{of_b}/enable"), &operator, "").await.data();
    let key = format!(r#"{{"tenant_id":"{}","name":"k","scopes":["use"]}}"#, site.b.id);
    site.post("/v1/api-keys", &operator, &key).await.data();
    let nobody = "/v1/tenants/00000000-0000-4000-8000-000000000000/enable";
    assert_eq!(site.post(nobody, &operator, "").await.problem().0, 404);

    assert_eq!(acts(&theirs, "/v1/audit").await, ["key.create", "tenant.enable"]);
    let installation = "/v1/audit?installation=true";
    let expected = [
        "tenant.enable",
        "tenant.enable",
        "organization.create",
        "organization.create",
        "organization.create",
    ];
    assert_eq!(acts(&operator, installation).await, expected);
    assert_eq!(acts(&operator, "/v1/audit").await, [] as [&str; 0]);
    assert_eq!(site.get(installation, &theirs).await.problem(), (403, "policy_denied".into()));
}

// AL-06, AU-09
#[tokio::test]
async fn a_key_that_is_not_valid_is_in_the_audit_of_the_installation_and_not_what_was_shown() {
    let site = Site::of_operator().await;
    let operator = site.key(&site.a, "admin").await;
    let canary = format!("mcp_{}_canary{}", "0".repeat(16), "0".repeat(37));
    assert_eq!(site.get("/v1/audit", &canary).await.problem().0, 401);
    let installation = "/v1/audit?installation=true";
    let mut text = String::new();
    for _ in 0..400 {
        text = site.get(installation, &operator).await.body;
        if text.contains("authenticate") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(
        text.contains(r#""code":"unauthenticated","act":"authenticate","subject":"127.0.0.1""#),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
    assert!(!site.get("/v1/audit", &operator).await.body.contains("authenticate"));
}

#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_not_made() {
    let site = Site::of_operator().await;
    let operator = site.key(&site.a, "admin,register").await;
    site.sql("ALTER TABLE audit_records RENAME TO gone");
    for (path, body) in [(REGISTER, AMAZON), ("/v1/organizations", r#"{"name":"new"}"#)] {
        let refused = site.post(path, &operator, body).await.problem();
        assert_eq!(refused, (503, "audit_unavailable".into()), "{path}");
    }
    site.sql("ALTER TABLE gone RENAME TO audit_records");
    let servers = site.get("/functions/v1/mcp-servers/list", &site.key(&site.a, "use").await).await;
    assert_eq!(servers.data()["count"], 0);
    let all = site.get("/v1/organizations", &operator).await.data();
    assert_eq!(all["count"], 2);
    site.post(REGISTER, &operator, AMAZON).await.data();
}

#[tokio::test]
async fn a_caller_is_told_for_whom_it_acts() {
    let site = Site::new().await;
    let key = site.key(&site.a, "credentials:write").await;
    let told = site.get("/v1/whoami", &key).await.data();
    assert_eq!(
        told,
        json!({
            "tenant_id": site.a.id.as_str(), "tenant": "a",
            "organization_id": site.a.organization.as_str(),
            "key_id": &key[4..20], "kernel": false,
            "scopes": ["credentials:write"], "operator": false,
        })
    );
    let (_, kernel) = site.kernel(false).await;
    let headers = [("authorization", &*format!("Bearer {kernel}"))];
    let path = format!("/v1/whoami?tenant_id={}", site.a.id);
    let told = site.send("GET", &path, &headers, "").await.data();
    assert_eq!((&told["kernel"], &told["tenant"]), (&json!(true), &json!("a")));
    let path = format!("/v1/whoami?tenant_id={}", site.b.id);
    assert_eq!(site.send("GET", &path, &headers, "").await.problem(), (404, "not_found".into()));
    let unnamed = site.send("GET", "/v1/whoami", &headers, "").await;
    assert_eq!(unnamed.problem(), (400, "invalid_request".into()));
    assert_eq!(site.get("/v1/whoami", "mcp_none").await.problem().0, 401);
}
