//! Credentials, by the examples of the documentation.

use strongroom_testkit::oracle::Oracle;

use crate::support::{Site, lines};

const STORE: &str = "/functions/v1/credentials/store";
const LIST: &str = "/functions/v1/credentials/list";
const RETRIEVE: &str = "/functions/v1/credentials/retrieve";
const DELETE: &str = "/functions/v1/credentials/delete";

const AMAZON: &str = r#"{
  "service": "amazon",
  "credentials": {
    "api_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
  },
  "credential_type": "api_key"
}"#;

#[tokio::test]
async fn a_credential_is_stored_listed_retrieved_and_deleted_as_documented() {
    let site = Site::new().await;
    let writer = site.key(&site.a, "credentials:write").await;
    let executor = site.key(&site.a, "executor").await;
    let stored = site.post(STORE, &writer, AMAZON).await;
    let id = stored.data()["credential_id"].as_str().unwrap().to_owned();
    assert_eq!(
        stored.body.replace(&id, "uuid"),
        r#"{"ok":true,"status":"success","data":{"credential_id":"uuid","service":"amazon","credential_type":"api_key","created_at":"2026-03-15T10:23:45.000Z"}}"#
    );
    let list = site.get(LIST, &writer).await;
    assert_eq!(
        list.body.replace(&id, "uuid"),
        r#"{"ok":true,"status":"success","data":{"credentials":[{"id":"uuid","service":"amazon","credential_type":"api_key","created_at":"2026-03-15T10:23:45.000Z","updated_at":"2026-03-15T10:23:45.000Z","last_used_at":null}],"count":1}}"#
    );
    site.clock.advance(std::time::Duration::from_secs(15));
    for which in [
        format!(r#"{{"credential_id":"{id}"}}"#),
        r#"{"service":"amazon","credential_type":"api_key"}"#.to_owned(),
        r#"{"service":"amazon"}"#.to_owned(),
    ] {
        let got = site.post(RETRIEVE, &executor, &which).await;
        let body: String = got.body.replace(&id, "uuid").split_whitespace().collect();
        assert_eq!(
            body,
            r#"{"ok":true,"status":"success","data":{"credential_id":"uuid","service":"amazon","credential_type":"api_key","credentials":{"api_key":"AKIAIOSFODNN7EXAMPLE","secret_key":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}}}"#
        );
    }
    let used = site.get(&format!("{LIST}?service=amazon"), &writer).await.data();
    assert_eq!(used["credentials"][0]["last_used_at"], "2026-03-15T10:24:00.000Z");
    assert_eq!(site.get(&format!("{LIST}?service=stripe"), &writer).await.data()["count"], 0);
    let again = site.post(STORE, &writer, &AMAZON.replace("AKIA", "NEWS")).await.data();
    assert_eq!(
        (&again["credential_id"], &again["created_at"]),
        (&id.clone().into(), &stored.data()["created_at"])
    );
    let new = site.post(RETRIEVE, &executor, r#"{"service":"amazon"}"#).await;
    assert_eq!(new.data()["credentials"]["api_key"], "NEWSIOSFODNN7EXAMPLE");
    let gone = site.post(DELETE, &writer, &format!(r#"{{"credential_id":"{id}"}}"#)).await;
    assert_eq!(
        gone.body.replace(&id, "uuid"),
        r#"{"ok":true,"status":"success","data":{"credential_id":"uuid","deleted":true}}"#
    );
    let gone = site.post(RETRIEVE, &executor, r#"{"service":"amazon"}"#).await;
    assert_eq!(gone.problem(), (404, "not_found".into()));
}

// AU-08, decision 12
#[tokio::test]
async fn plaintext_is_given_to_executors_and_kernels_alone_and_every_time_is_recorded() {
    let site = Site::new().await;
    let writer = site.key(&site.a, "credentials:write").await;
    site.post(STORE, &writer, AMAZON).await.data();
    let which = r#"{"service":"amazon"}"#;
    let agent = site.key(&site.a, "use,register,credentials:write,approve,admin").await;
    let denied = site.post(RETRIEVE, &agent, which).await;
    assert_eq!(denied.problem(), (403, "policy_denied".into()));
    let (_, kernel) = site.kernel(false).await;
    let bearer = format!("Bearer {kernel}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let body = format!(r#"{{"tenant_id":"{}","service":"amazon"}}"#, site.a.id);
    assert_eq!(site.send("POST", RETRIEVE, &headers, &body).await.status, 200);
    let records = site.get("/v1/audit", &agent).await.data();
    let acts: Vec<_> = records["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            format!("{} {}", record["act"].as_str().unwrap(), record["decision"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        acts,
        ["credential.retrieve allow", "credential.retrieve deny", "credential.store allow"]
    );
    assert!(!records.to_string().contains("AKIA"));
    site.post("/v1/locks", &agent, r#"{"service":"amazon"}"#).await.data();
    let locked = site.send("POST", RETRIEVE, &headers, &body).await;
    assert_eq!(locked.problem(), (503, "locked".into()));
}

#[tokio::test]
async fn a_credential_that_is_not_one_is_refused_by_its_field() {
    let site = Site::new().await;
    let key = site.key(&site.a, "credentials:write,executor").await;
    for (body, field) in [
        (r#"{"service":"amazon"}"#, "credentials"),
        (r#"{"service":"amazon","credentials":{}}"#, "credentials"),
        (r#"{"service":"amazon","credentials":"canary"}"#, "credentials"),
        (r#"{"service":"amazon","credentials":{"a b":"canary"}}"#, "credentials"),
        (r#"{"service":"can ary","credentials":{"a":"b"}}"#, "service"),
        (r#"{"service":"amazon","credentials":{"a":"canary"},"tenant":"x"}"#, "tenant"),
    ] {
        let refused = site.post(STORE, &key, body).await;
        assert_eq!(refused.problem(), (400, "invalid_request".into()), "{body}");
        assert_eq!(refused.json()["error"]["details"]["field"], field, "{body}");
        assert!(!refused.body.contains("canary"));
    }
    for body in [
        "{}",
        r#"{"credential_type":"api_key"}"#,
        r#"{"credential_id":"2f1c3a4e-0b5d-4c6e-8f70-112233445566","service":"amazon"}"#,
    ] {
        assert_eq!(site.post(RETRIEVE, &key, body).await.problem().0, 400, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_no_metric_and_no_file_holds_what_was_stored() {
    let canary = strongroom_testkit::canary::ALL[0].1;
    let log = lines::Log::install();
    let mut site = Site::new().await;
    let writer = site.key(&site.a, "credentials:write").await;
    let executor = site.key(&site.a, "executor").await;
    let body = serde_json::json!({ "service": "amazon", "credentials": { "api_key": canary } });
    site.post(STORE, &writer, &body.to_string()).await.data();
    let got = site.post(RETRIEVE, &executor, r#"{"service":"amazon"}"#).await.data();
    assert_eq!(got["credentials"]["api_key"], canary);
    site.post(STORE, &writer, &body.to_string().replace("\"service\"", "\"servic\""))
        .await
        .problem();
    site.post(&format!("/functions/v1/{canary}"), &writer, "{}").await.problem();
    let metrics = site.send("GET", "/metrics", &[], "").await.body;
    site.stop().await;
    let oracle = Oracle::new(&[
        ("canary", canary.as_bytes()),
        ("writer", &writer.as_bytes()[21..]),
        ("executor", &executor.as_bytes()[21..]),
    ]);
    let log = log.text();
    assert!(
        log.contains("/functions/v1/credentials/retrieve") && log.contains("request_id"),
        "{log}"
    );
    oracle.assert_clean("the log", log);
    oracle.assert_clean("the metrics", metrics);
    oracle.assert_tree_clean(site.folder());
}
