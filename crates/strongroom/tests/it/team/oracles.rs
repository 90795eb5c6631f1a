//! What a team must not tell: keys of callers, credentials, its KEK, the password of its database. It is
//! looked for, in every encoding, in all that a team writes at its most talkative.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::postgres::{OWNER, Server};
use strongroom_testkit::upstream::Upstream;

use super::{TEAM, Team, by_the_book};
use crate::sandbox::Sandbox;
use crate::serve::echo;

/// What must be nowhere, by its name.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn oracle(&self) -> Oracle {
        let secrets = self.0.iter().map(|(name, text)| (*name, text.as_bytes()));
        Oracle::new(&secrets.collect::<Vec<_>>())
    }

    /// A caller's key: what comes behind its public part.
    fn key(&mut self, name: &'static str, text: &str) {
        self.0.push((name, text[21..].to_owned()));
    }
}

fn kek(of: &str) -> String {
    canary::of(of).bytes().take(32).fold(String::new(), |mut digits, byte| {
        write!(digits, "{:02x}", byte ^ 0x5a).unwrap();
        digits
    })
}

/// A sandbox whose team keeps its KEK in the environment and logs all that it can.
fn sandbox(secrets: &mut Secrets) -> Sandbox {
    let kek = kek(&format!("kek of {}", secrets.0.len()));
    secrets.0.push(("the KEK", kek.clone()));
    Sandbox::new()
        .with("PATH", "/usr/bin:/bin")
        .with("STRONGROOM_LOG", "trace")
        .with("CREDENTIAL_ENCRYPTION_KEY", kek)
}

fn config() -> String {
    format!("{TEAM}kek = {{ source = \"env\" }}\n")
}

/// Does all that touches a secret, well and badly, and gives all that was said besides the answers that
/// are to hold one.
fn work(team: &Team, upstream: &Upstream, secrets: &mut Secrets) -> String {
    by_the_book(team);
    let credential = canary::of("a credential of a team that tells nothing");
    secrets.0.push(("the credential", credential.clone()));
    secrets.key("the key", &team.key);
    secrets.key("the executor's key", &team.executor);
    let mut said = String::new();
    let mut hear = |answer: Value| said.push_str(&answer.to_string());
    let fields = json!({ "api_key": credential, "secret_key": "test_secret" });
    let stored = json!({ "service": "amazon", "credentials": fields });
    hear(team.post("/functions/v1/credentials/store", &team.key, &stored));
    // It goes out, and nowhere else.
    let which = json!({ "service": "amazon", "credential_type": "api_key" });
    let retrieved = team.post("/functions/v1/credentials/retrieve", &team.executor, &which);
    assert_eq!(retrieved["data"]["credentials"]["api_key"], credential);
    hear(team.post("/functions/v1/credentials/retrieve", &team.key, &which));
    for (name, url) in [
        ("amazon", format!("http://{}", upstream.address())),
        // Nobody listens there.
        ("nobody", "http://127.0.0.1:9".to_owned()),
    ] {
        let definition = json!({
            "base_url": url,
            "insecure_transport": true,
            "allow_ips": ["127.0.0.1/32"],
            "auth": { "type": "bearer", "token": "local://amazon/api_key" },
            "allow": ["GET /orders/**"],
        });
        let service = json!({ "name": name, "definition": definition });
        hear(team.send("PUT", "/v1/services", &team.key, &service));
        for method in ["GET", "POST"] {
            let arguments = json!({ "service": name, "method": method, "path": "/orders/7" });
            let params = json!({ "name": "execute", "arguments": arguments });
            let call =
                json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
            hear(team.post("/mcp", &team.key, &call));
        }
    }
    // Where it does not belong: an unknown field, a field of another kind, a wrong place, no JSON.
    let misplaced = [
        ("/functions/v1/credentials/store", json!({ "service": "x", "credentials": credential })),
        ("/functions/v1/credentials/store", json!({ "service": "x", "api_key": credential })),
        ("/functions/v1/credentials/store", json!(format!("{{\"service\": {credential}"))),
        ("/v1/services", json!({ "name": "x", "definition": { "auth": credential } })),
        ("/functions/v1/authorize", json!({ "action": { "token": credential } })),
    ];
    for (path, body) in misplaced {
        let method = if path == "/v1/services" { "PUT" } else { "POST" };
        let refused = team.send(method, path, &team.key, &body);
        assert_eq!(refused["ok"], false, "{refused}");
        hear(refused);
    }
    let key = &team.key;
    for path in [
        format!("/functions/v1/mcp-servers/list?api_key={key}"),
        format!("/{key}"),
        format!("/v1/api-keys/{key}"),
        format!("/v1/audit?cursor={key}"),
    ] {
        hear(team.send("GET", &path, key, &Value::Null));
    }
    // Keys that are made, renewed, wrong, and taken back.
    let made = team.post("/v1/api-keys", key, &json!({ "name": "made", "scopes": ["use"] }));
    secrets.key("a key that was made", made["data"]["key"].as_str().unwrap());
    let id = made["data"]["id"].as_str().unwrap();
    let renewed = team.post(&format!("/v1/api-keys/{id}/rotate"), key, &json!({}));
    let renewed = renewed["data"]["key"].as_str().unwrap();
    secrets.key("a key that was renewed", renewed);
    hear(team.post(&format!("/v1/api-keys/{id}/disable"), key, &json!({})));
    hear(team.send("GET", "/functions/v1/mcp-servers/list", renewed, &Value::Null));
    let kernel = team.sandbox.run("kernel create --org acme").ok().stdout;
    secrets.key("a kernel's key", kernel.trim());
    hear(team.send("GET", "/functions/v1/mcp-servers/list", kernel.trim(), &Value::Null));
    // It may be the name of something, too.
    let pasted = json!({ "action": "tools/call", "resource": format!("of {key}") });
    hear(team.post("/functions/v1/authorize", key, &pasted));
    for path in ["/v1/audit?limit=1000", "/v1/api-keys", "/v1/services", "/openapi.json"] {
        hear(team.send("GET", path, key, &Value::Null));
    }
    let metrics = format!("{}/metrics", team.url);
    said.push_str(&team.sandbox.start("/usr/bin/curl".as_ref(), &["-sS", &metrics]).ok().stdout);
    for words in ["key list --tenant shop --json", "kek list", "tenant show shop --json"] {
        let ran = team.sandbox.run(words).ok();
        said.push_str(&ran.stdout);
        said.push_str(&ran.stderr);
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_in_a_file_tells_no_secret_whatever_it_writes() {
    let upstream = echo().await;
    let mut secrets = Secrets(Vec::new());
    let mut team = Team::with(sandbox(&mut secrets), &config());
    let said = work(&team, &upstream, &mut secrets);
    let oracle = secrets.oracle();
    oracle.assert_clean("what callers and the operator were told", said);
    // The write-ahead log is still there.
    oracle.assert_tree_clean(&team.sandbox.path(""));
    team.end();
    oracle.assert_tree_clean(&team.sandbox.path(""));
    let log = team.said.lock().unwrap().clone();
    assert!(log.contains("strongroom::request"), "it was to be talkative: {log}");
    oracle.assert_clean("what the server logged", log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_in_postgres_tells_no_secret_and_neither_does_postgres() {
    let upstream = echo().await;
    let server = Server::start_alone();
    // Every statement is logged, with its parameters.
    for setting in [
        "log_min_duration_statement = 0",
        "log_statement = 'all'",
        "log_parameter_max_length = -1",
        "log_parameter_max_length_on_error = -1",
    ] {
        server.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    }
    server.sql("postgres", "SELECT pg_reload_conf()");
    let database = server.create_database();
    let password = canary::of("the password of a database");
    let mut secrets = Secrets(vec![("the password", password.clone())]);
    let url = server.url(OWNER, &database).replacen('@', &format!(":{password}@"), 1);
    let sandbox = sandbox(&mut secrets).with("DATABASE_URL", url);
    sandbox.write(".config/strongroom/strongroom.toml", &config());
    sandbox.chmod(".config/strongroom", 0o700);
    sandbox.chmod(".config/strongroom/strongroom.toml", 0o600);
    sandbox.run("migrate").ok();
    let mut team = Team::with(sandbox, &config());
    let said = work(&team, &upstream, &mut secrets);
    team.end();
    let oracle = secrets.oracle();
    oracle.assert_clean("what callers and the operator were told", said);
    oracle.assert_tree_clean(&team.sandbox.path(""));
    oracle.assert_clean("what the server logged", team.said.lock().unwrap().clone());
    oracle.assert_clean("a dump of the database", server.dump(&database));
    let log = fs::read(server.data().with_file_name("log")).unwrap();
    assert!(
        String::from_utf8_lossy(&log).contains("arameters: $1 = "),
        "Postgres was to be talkative"
    );
    oracle.assert_clean("what Postgres logged", log);
    oracle.assert_tree_clean(&server.data().join("pg_wal"));
}
