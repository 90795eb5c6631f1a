//! Every route, and everybody who may not use it.

use serde_json::json;
use strongroom_model::team::Scope;
use uuid::Uuid;

use crate::support::{Reply, Site};

/// A route of the document.
struct Route {
    method: String,
    path: String,
    /// The scopes that its description names, and whether kernels may.
    scopes: Vec<Scope>,
    kernels: bool,
    operator: bool,
    fields: Vec<String>,
}

/// Every route that needs a key, as the document describes it.
async fn routes(site: &Site) -> Vec<Route> {
    let document = site.send("GET", "/openapi.json", &[], "").await.json();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, it) in methods.as_object().unwrap() {
            if it["security"].as_array().unwrap().is_empty() {
                continue;
            }
            let who = it["description"].as_str().unwrap();
            let body = &it["requestBody"]["content"]["application/json"]["schema"]["properties"];
            let queries = it["parameters"].as_array().unwrap().iter();
            let queries = queries.filter(|it| it["in"] == "query").map(|it| &it["name"]);
            let names = body.as_object().into_iter().flat_map(|map| map.keys().cloned());
            let queries = queries.map(|name| name.as_str().unwrap().to_owned());
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.clone(),
                scopes: Scope::ALL
                    .into_iter()
                    .filter(|scope| who.contains(&format!("`{scope}`")))
                    .collect(),
                kernels: who.contains("kernels"),
                operator: who.contains("an operator's"),
                fields: names.chain(queries).collect(),
            });
        }
    }
    assert!(routes.len() >= 30, "{}", routes.len());
    routes
}

impl Route {
    /// The path with ids in it that nothing has.
    fn path(&self) -> String {
        let id = if self.path.contains("api-keys") || self.path.contains("kernels") {
            "0123456789abcdef".to_owned()
        } else {
            Uuid::new_v4().to_string()
        };
        self.path.replace("{id}", &id)
    }

    async fn ask(&self, site: &Site, header: (&str, &str), tenant: Option<&str>) -> Reply {
        let by_query = self.method == "GET" || self.method == "DELETE";
        let named = tenant.filter(|_| by_query).map(|id| format!("?tenant_id={id}"));
        let path = self.path() + named.as_deref().unwrap_or_default();
        let body = match (by_query, tenant) {
            (true, _) => String::new(),
            (false, None) => "{}".to_owned(),
            (false, Some(tenant)) => json!({ "tenant_id": tenant }).to_string(),
        };
        let headers = [header, ("content-type", "application/json")];
        site.send(&self.method, &path, &headers, &body).await
    }
}

// AU-01, AU-08
#[tokio::test(flavor = "multi_thread")]
async fn no_route_is_open_to_nobody_to_a_wrong_key_or_to_a_key_without_its_scope() {
    let site = Site::of_operator().await;
    let unknown = "mcp_0123456789abcdef_AAAAAAAAAAbbbbbbbbbbCCCCCCCCCCdddddddddd-_E";
    let good = site.key(&site.a, "use").await;
    let secret = &unknown[21..];
    let wrong = format!("{}{secret}", &good[..21]);
    let (_, kernel) = site.kernel(false).await;
    let kernel = format!("Bearer {kernel}");
    let a = site.a.id.to_string();
    let mut every = Vec::new();
    for scope in Scope::ALL {
        every.push((scope, site.key(&site.a, scope.as_str()).await));
    }
    // Beyond the rate of refusals these would be told to wait.
    let mut refused = Vec::new();
    for route in routes(&site).await {
        let name = format!("{} {}", route.method, route.path);
        for key in [unknown, &wrong, "nonsense", &kernel[7..]] {
            site.clock.advance(std::time::Duration::from_mins(1));
            let reply = route.ask(&site, ("x-api-key", key), None).await;
            assert_eq!(reply.status, 401, "{name}: {}", reply.body);
            refused.push(reply.body);
        }
        let reply = route.ask(&site, ("accept", "*/*"), None).await;
        assert_eq!(reply.status, 401, "{name}");
        refused.push(reply.body);
        for (scope, key) in &every {
            let reply = route.ask(&site, ("x-api-key", key), None).await;
            if route.scopes.contains(scope) {
                assert_ne!(reply.status, 401, "{name} {scope}");
                assert_ne!(reply.problem_code(), "policy_denied", "{name} {scope}");
            } else {
                let expected = (403, "policy_denied".to_owned());
                assert_eq!(reply.problem(), expected, "{name} {scope}");
            }
        }
        let reply = route.ask(&site, ("authorization", &kernel), Some(&a)).await;
        if route.kernels {
            assert!(![401, 403].contains(&reply.status), "{name}: {}", reply.body);
        } else {
            assert_eq!(reply.problem(), (403, "policy_denied".into()), "{name}");
        }
    }
    refused.dedup();
    assert_eq!(refused.len(), 1, "the same bytes for all: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_of_a_tenant_reaches_nothing_of_the_installation() {
    let site = Site::new().await;
    let admin = site.key(&site.a, "use,register,admin").await;
    for route in routes(&site).await {
        let name = format!("{} {}", route.method, route.path);
        let reply = route.ask(&site, ("x-api-key", &admin), None).await;
        if route.operator {
            assert_eq!(reply.problem(), (403, "policy_denied".into()), "{name}");
        }
        if route.fields.iter().any(|field| field == "tenant_id") {
            let theirs = site.b.id.to_string();
            let reply = route.ask(&site, ("x-api-key", &admin), Some(&theirs)).await;
            assert!(matches!(reply.status, 400 | 403 | 404), "{name}: {}", reply.body);
        }
    }
    let own = format!("/v1/tenants/{}", site.a.id);
    assert_eq!(site.get(&own, &admin).await.data()["name"], "a");
    let theirs = site.get(&format!("/v1/tenants/{}", site.b.id), &admin).await;
    let nobodys = site.get(&format!("/v1/tenants/{}", Uuid::new_v4()), &admin).await;
    assert_eq!((theirs.status, &theirs.body), (404, &nobodys.body));
}
