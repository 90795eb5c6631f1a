//! Stand-ins for the APIs that keep secrets: they speak what is documented, failures included.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::upstream::{Reply, Seen, Step, Upstream};

/// How a stand-in behaves as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It answers every question with this status, and an error that quotes a canary.
    Status(u16),
    /// It is sealed, as Vault says it.
    Sealed,
    /// It answers what is not JSON.
    Garbage,
    /// It answers 20 MB.
    Flood,
    /// It sends its callers elsewhere.
    Redirect,
}

/// A stand-in of one API.
pub struct StandIn {
    upstream: Upstream,
    logins: Arc<AtomicUsize>,
    tokens_die: Arc<AtomicBool>,
    mood: Arc<Mutex<Mood>>,
}

/// What an API says to a question of which the stand-in has looked at the token.
type Answer = fn(&Asked<'_>) -> (u16, Value);

/// A question.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The parameters, decoded.
    pub query: BTreeMap<String, String>,
    /// The request as it came.
    pub seen: &'a Seen,
}

impl StandIn {
    /// Vault with KV 2 at `secret` and KV 1 at `team/old`. The token is `canary-root`, or is given
    /// for the `AppRole` `role` with `canary-secret-id`.
    pub async fn vault() -> Self {
        Self::start(vault).await
    }

    /// A Connect server whose token is `canary-connect`.
    pub async fn connect() -> Self {
        Self::start(connect).await
    }

    /// Google's Secret Manager and its place for tokens, at one address.
    pub async fn google() -> Self {
        Self::start(google).await
    }

    /// Azure's vaults and its place for tokens, at one address.
    pub async fn azure() -> Self {
        Self::start(azure).await
    }

    /// Doppler, whose token is `canary-doppler`.
    pub async fn doppler() -> Self {
        Self::start(doppler).await
    }

    /// Infisical.
    pub async fn infisical() -> Self {
        Self::start(infisical).await
    }

    async fn start(answer: Answer) -> Self {
        let logins = Arc::new(AtomicUsize::new(0));
        let tokens_die = Arc::new(AtomicBool::new(false));
        let mood = Arc::new(Mutex::new(Mood::Well));
        let (count, die, how) = (Arc::clone(&logins), Arc::clone(&tokens_die), Arc::clone(&mood));
        let upstream = Upstream::http(move |seen| {
            match *how.lock().unwrap_or_else(PoisonError::into_inner) {
                Mood::Well => {}
                Mood::Status(status) => return reply(status, &json!({ "message": "canary" })),
                Mood::Sealed => return reply(503, &json!({ "errors": ["Vault is sealed"] })),
                Mood::Garbage => return Reply::ok("canary {"),
                Mood::Flood => return Reply::ok("").repeat("c".repeat(1 << 16), 320, false),
                Mood::Redirect => {
                    return Reply::status(307).header("location", "http://127.0.0.1:1/canary");
                }
            }
            let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
            let asked = Asked { method: &seen.method, path, query: parameters(query), seen };
            // Tokens of a login have its number, so that an older one is known.
            let (status, mut body) = answer(&asked);
            if let Some(token) = body.get("login").cloned() {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                body =
                    serde_json::from_str(&token.to_string().replace("NUMBER", &number.to_string()))
                        .expect("it was JSON");
            } else if die.load(Ordering::SeqCst) {
                let good = format!("canary-session-{}", count.load(Ordering::SeqCst));
                let all = [seen.values("authorization"), seen.values("x-vault-token")].concat();
                if all
                    .iter()
                    .any(|token| token.contains("canary-session") && !token.ends_with(&good))
                {
                    let status = if path.starts_with("/v1/secret") || path.contains("lookup-self") {
                        403
                    } else {
                        401
                    };
                    return reply(status, &json!({ "errors": ["permission denied"] }));
                }
            }
            reply(status, &body)
        })
        .await;
        Self { upstream, logins, tokens_die, mood }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.upstream.address())
    }

    /// From here on it behaves so.
    pub fn behave(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Every token that was given so far is taken away.
    pub fn revoke(&self) {
        self.tokens_die.store(true, Ordering::SeqCst);
        self.logins.fetch_add(1, Ordering::SeqCst);
    }

    /// The requests so far, as `METHOD PATH`.
    pub fn asked(&self) -> Vec<String> {
        let line = |seen: Seen| {
            let path = seen.target.split('?').next().unwrap_or_default().to_owned();
            format!("{} {path}", seen.method)
        };
        self.upstream.seen().into_iter().map(line).collect()
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.upstream.seen()
    }
}

/// A server that takes every question and never answers.
pub async fn silent() -> Upstream {
    Upstream::raw([Step::ReadHead, Step::Hang]).await
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("content-type", "application/json").body(body.to_string())
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                bytes.extend(u8::from_str_radix(&digits, 16));
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn bearer(asked: &Asked<'_>) -> String {
    let value = asked.seen.values("authorization").concat();
    value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

fn vault(asked: &Asked<'_>) -> (u16, Value) {
    let none = (404, json!({ "errors": [] }));
    if asked.path == "/v1/auth/approle/login" {
        let body: Value = serde_json::from_slice(&asked.seen.body).unwrap_or_default();
        return if body == json!({ "role_id": "role", "secret_id": "canary-secret-id" }) {
            let auth = json!({ "client_token": "canary-session-NUMBER", "lease_duration": 3600 });
            (200, json!({ "login": { "auth": auth } }))
        } else {
            (400, json!({ "errors": ["invalid role or secret ID"] }))
        };
    }
    let token = asked.seen.values("x-vault-token").concat();
    if token != "canary-root" && !token.starts_with("canary-session") && token != "canary-weak" {
        return (403, json!({ "errors": ["permission denied"] }));
    }
    let two = |data: Value| {
        let metadata = json!({ "version": 3, "destroyed": false });
        (200, json!({ "request_id": "x", "data": { "data": data, "metadata": metadata } }))
    };
    let mount = |path: &str, version: Value| {
        (200, json!({ "data": { "path": path, "type": "kv", "options": version } }))
    };
    match asked.path {
        "/v1/auth/token/lookup-self" => (200, json!({ "data": { "id": token } })),
        path if path.starts_with("/v1/sys/internal/ui/mounts/secret/") => {
            mount("secret/", json!({ "version": "2" }))
        }
        path if path.starts_with("/v1/sys/internal/ui/mounts/team/old/") => {
            mount("team/old/", Value::Null)
        }
        _ if token == "canary-weak" => {
            (403, json!({ "errors": ["1 error occurred: permission denied"] }))
        }
        "/v1/secret/data/app" => two(json!({ "a": "canary-a", "b": "canary-b", "none": null })),
        "/v1/secret/data/other" => two(json!({ "a": "canary-other" })),
        "/v1/secret/data/gone" => {
            let metadata = json!({ "version": 3, "deletion_time": "2026-01-01T00:00:00Z" });
            (404, json!({ "data": { "data": null, "metadata": metadata } }))
        }
        "/v1/team/old/app" => {
            (200, json!({ "data": { "a": "canary-old", "data": "canary-data", "n": 5 } }))
        }
        _ => none,
    }
}

fn connect(asked: &Asked<'_>) -> (u16, Value) {
    if bearer(asked) != "canary-connect" {
        return (401, json!({ "status": 401, "message": "Invalid token signature canary" }));
    }
    let filter = asked.query.get("filter").map(String::as_str);
    match (asked.path, filter) {
        ("/v1/vaults", Some("name eq \"Dev\"")) => (200, json!([{ "id": "v1", "name": "Dev" }])),
        ("/v1/vaults/v1/items", Some("title eq \"Twice\"")) => {
            (200, json!([{ "id": "i8" }, { "id": "i9" }]))
        }
        ("/v1/vaults/v1/items", Some("title eq \"Stitch\"")) => {
            (200, json!([{ "id": "i1", "title": "Stitch" }]))
        }
        ("/v1/vaults" | "/v1/vaults/v1/items", Some(_)) => (200, json!([])),
        ("/v1/vaults/v1/items/i1" | "/v1/vaults/v1/items/abcdefghijklmnopqrstuvwxyz", None) => {
            let fields = json!([
                { "id": "f1", "label": "api-key", "value": "canary-key" },
                { "id": "f2", "label": "Token", "value": "canary-token", "section": { "id": "s1" } },
                { "id": "f3", "label": "same", "value": "x", "section": { "id": "s1" } },
                { "id": "f4", "label": "same", "value": "y", "section": { "id": "s2" } },
                { "id": "f5", "label": "empty" },
            ]);
            let sections =
                json!([{ "id": "s1", "label": "Prod" }, { "id": "s2", "label": "Test" }]);
            (200, json!({ "id": "i1", "fields": fields, "sections": sections }))
        }
        _ => (404, json!({ "status": 404, "message": "canary not found" })),
    }
}

fn google(asked: &Asked<'_>) -> (u16, Value) {
    if asked.path == "/token" {
        let body = parameters(&String::from_utf8_lossy(&asked.seen.body));
        let grant = body.get("grant_type").map(String::as_str);
        let signed = body.get("assertion").is_some_and(|token| token.split('.').count() == 3);
        return if grant == Some("urn:ietf:params:oauth:grant-type:jwt-bearer") && signed {
            let token = json!({ "access_token": "canary-session-NUMBER", "expires_in": 3599 });
            (200, json!({ "login": token }))
        } else {
            (400, json!({ "error": "invalid_grant", "error_description": "canary" }))
        };
    }
    if !bearer(asked).starts_with("canary-session") {
        return (401, json!({ "error": { "code": 401, "status": "UNAUTHENTICATED" } }));
    }
    let version = |data: &str, sum: &str| {
        (200, json!({ "name": "x", "payload": { "data": data, "dataCrc32c": sum } }))
    };
    match asked.path {
        // `canary-g`, `{"k":"canary-k"}`, and the first with the sum of another.
        "/v1/projects/p/secrets/plain/versions/latest:access" => {
            version("Y2FuYXJ5LWc=", "306977899")
        }
        "/v1/projects/p/secrets/json/versions/7:access" => {
            version("eyJrIjoiY2FuYXJ5LWsifQ==", "1679482163")
        }
        "/v1/projects/p/secrets/damaged/versions/latest:access" => version("Y2FuYXJ5LWc=", "1"),
        "/v1/projects/p/secrets/plain/versions/1:access" => {
            (400, json!({ "error": { "code": 400, "status": "FAILED_PRECONDITION" } }))
        }
        "/v1/projects/p/secrets/denied/versions/latest:access" => {
            (403, json!({ "error": { "code": 403, "status": "PERMISSION_DENIED" } }))
        }
        _ => (404, json!({ "error": { "code": 404, "status": "NOT_FOUND" } })),
    }
}

fn azure(asked: &Asked<'_>) -> (u16, Value) {
    if asked.path == "/tenant/oauth2/v2.0/token" {
        let body = parameters(&String::from_utf8_lossy(&asked.seen.body));
        let is = |name: &str, value: &str| body.get(name).is_some_and(|found| found == value);
        let fits = is("client_id", "app")
            && is("client_secret", "canary-client-secret")
            && is("grant_type", "client_credentials")
            && is("scope", "https://vault.azure.net/.default");
        return if fits {
            let token = json!({ "access_token": "canary-session-NUMBER", "expires_in": 3599 });
            (200, json!({ "login": token }))
        } else {
            (401, json!({ "error": "invalid_client", "error_description": "AADSTS7000215 canary" }))
        };
    }
    if !bearer(asked).starts_with("canary-session") {
        return (401, json!({ "error": { "code": "Unauthorized", "message": "canary" } }));
    }
    if asked.query.get("api-version").map(String::as_str) != Some("7.4") {
        return (400, json!({ "error": { "code": "BadParameter" } }));
    }
    match asked.path {
        "/secrets/one" => (200, json!({ "value": "canary-one", "id": "https://x/secrets/one/1" })),
        "/secrets/two/0123" => (200, json!({ "value": "canary-two", "id": "https://x" })),
        "/secrets/denied" => {
            (403, json!({ "error": { "code": "Forbidden", "message": "canary" } }))
        }
        _ => (404, json!({ "error": { "code": "SecretNotFound", "message": "canary" } })),
    }
}

fn doppler(asked: &Asked<'_>) -> (u16, Value) {
    if bearer(asked) != "canary-doppler" {
        return (401, json!({ "messages": ["Invalid Auth token canary"], "success": false }));
    }
    let is = |name: &str, value: &str| asked.query.get(name).is_some_and(|found| found == value);
    if asked.path == "/v3/configs/config/secrets/download"
        && is("project", "app")
        && is("config", "prd")
        && is("format", "json")
    {
        return (200, json!({ "A": "canary-a", "B": "canary-b", "EMPTY": "" }));
    }
    (404, json!({ "messages": ["Could not find requested config"], "success": false }))
}

fn infisical(asked: &Asked<'_>) -> (u16, Value) {
    if asked.path == "/api/v1/auth/universal-auth/login" {
        let body: Value = serde_json::from_slice(&asked.seen.body).unwrap_or_default();
        return if body == json!({ "clientId": "identity", "clientSecret": "canary-client-secret" })
        {
            let token = json!({ "accessToken": "canary-session-NUMBER", "expiresIn": 7200 });
            (200, json!({ "login": token }))
        } else {
            (401, json!({ "statusCode": 401, "message": "Invalid credentials canary" }))
        };
    }
    if !bearer(asked).starts_with("canary-session") {
        return (401, json!({ "statusCode": 401, "message": "canary" }));
    }
    let is = |name: &str, value: &str| asked.query.get(name).is_some_and(|found| found == value);
    if asked.path != "/api/v3/secrets/raw"
        || !is("workspaceSlug", "app")
        || !is("environment", "prod")
    {
        return (404, json!({ "statusCode": 404, "message": "canary" }));
    }
    let entry = |key: &str, value: &str, hidden: bool| json!({ "secretKey": key, "secretValue": value, "secretValueHidden": hidden });
    if is("secretPath", "/") {
        let imports =
            json!([{ "secrets": [entry("C", "canary-c", false), entry("A", "no", false)] }]);
        let own = json!([
            entry("A", "canary-a", false),
            entry("B", "canary-b", false),
            entry("H", "<hidden>", true),
            entry("EMPTY", "", false)
        ]);
        return (200, json!({ "secrets": own, "imports": imports }));
    }
    if is("secretPath", "/db/main") {
        return (200, json!({ "secrets": [entry("A", "canary-deep", false)] }));
    }
    (404, json!({ "statusCode": 404, "message": "canary" }))
}
