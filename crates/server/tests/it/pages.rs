//! What needs no key, and what every answer has.

use crate::support::{AMAZON, LIST, REGISTER, Site};

#[tokio::test]
async fn the_document_is_the_one_that_was_reviewed() {
    let site = Site::new().await;
    let text = site.send("GET", "/openapi.json", &[], "").await.body;
    let reviewed = include_str!("../../openapi.json");
    if text != reviewed {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
        std::fs::write(&path, &text).unwrap();
        panic!("if it is meant, copy {} over crates/server/openapi.json", path.display());
    }
}

#[tokio::test]
async fn health_is_told_to_everybody_and_readiness_follows_the_store() {
    let site = Site::new().await;
    assert_eq!(site.send("GET", "/healthz", &[], "").await.body, "ok\n");
    let ready = site.send("GET", "/readyz", &[], "").await;
    assert_eq!((ready.status, &*ready.body), (200, "ready\n"));
    assert_eq!(site.send("POST", "/healthz", &[], "").await.status, 405);
    assert_eq!(site.send("HEAD", "/healthz", &[], "").await.status, 405);
}

#[tokio::test]
async fn metrics_count_by_route_and_name_nobody() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,register").await;
    site.post(REGISTER, &key, AMAZON).await.data();
    site.post(REGISTER, &key, AMAZON).await.problem();
    site.get(&format!("{LIST}?tenant_id={}", site.b.id), &key).await.problem();
    site.get("/some/secret-path", &key).await.problem();
    let metrics = site.send("GET", "/metrics", &[], "").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        r#"strongroom_http_requests_total{method="POST",route="/functions/v1/mcp-servers/register",status="200"} 1"#,
        r#"strongroom_http_requests_total{method="POST",route="/functions/v1/mcp-servers/register",status="409"} 1"#,
        r#"strongroom_http_refusals_total{code="conflict"} 1"#,
        r#"strongroom_http_refusals_total{code="not_found"} 2"#,
        r#"strongroom_http_requests_total{method="OTHER",route="none",status="404"} 1"#,
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
    for name in [site.a.id.as_str(), site.b.id.as_str(), "my-amazon", "secret-path", &key[4..20]] {
        assert!(!metrics.body.contains(name), "{name}");
    }
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request_and_is_stored_nowhere() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use").await;
    let sent = [("x-api-key", &*key), ("x-request-id", "trace-1.a")];
    let reply = site.send("GET", LIST, &sent, "").await;
    assert_eq!(reply.header("x-request-id"), Some("trace-1.a"));
    let odd = [("x-api-key", &*key), ("x-request-id", "a b")];
    let reply = site.send("GET", LIST, &odd, "").await;
    assert_eq!(reply.header("x-request-id").map(str::len), Some(36));
    for (path, status) in [(LIST, 401), ("/nothing", 404), ("/healthz", 200)] {
        let reply = site.send("GET", path, &[], "").await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("x-request-id").map(str::len), Some(36));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn a_page_has_its_methods_and_its_one_spelling() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use,admin").await;
    let other = site.send("PUT", LIST, &[("x-api-key", &key)], "").await;
    assert_eq!(other.problem(), (405, "invalid_request".into()));
    assert_eq!(other.header("allow"), Some("GET"));
    let other = site.send("PATCH", "/v1/locks", &[("x-api-key", &key)], "").await;
    assert_eq!(other.header("allow"), Some("GET, POST"));
    for path in [
        "/functions/v1/mcp-servers/list/",
        "/functions/v1//mcp-servers/list",
        "/functions/v1/mcp-servers/%6cist",
        "/FUNCTIONS/v1/mcp-servers/list",
        "/functions/v1/x/../mcp-servers/list",
        "/v1/tenants/",
        "/mcp",
        "/",
    ] {
        assert_eq!(site.get(path, &key).await.problem(), (404, "not_found".into()), "{path}");
    }
}
