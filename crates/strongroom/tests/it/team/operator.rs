//! What an operator trusts a team's server by: traces, keys that are rotated under it, the doctor.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_testkit::canary::K1;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::postgres::{OWNER, Server};
use strongroom_testkit::upstream::{Reply, Upstream};

use super::Team;
use crate::sandbox::Sandbox;
use crate::serve::echo;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const QUERY: &str = "canary-in-a-query-0123456789";

fn sandbox() -> Sandbox {
    Sandbox::new().with("PATH", "/usr/bin:/bin")
}

/// A home whose team is in an empty, migrated Postgres.
fn on_postgres(server: &Server) -> (Sandbox, String) {
    let database = server.create_database();
    let sandbox = sandbox().with("DATABASE_URL", server.url(OWNER, &database));
    sandbox.run("kek create").ok();
    sandbox.run("migrate").ok();
    (sandbox, database)
}

/// A service of the tenant, with a credential.
fn serve_amazon(team: &Team, upstream: &Upstream) {
    let credential = json!({"service": "amazon", "credentials": {"api_key": K1}});
    let stored = team.post("/functions/v1/credentials/store", &team.key, &credential);
    assert_eq!(stored["ok"], true, "{stored}");
    let definition = json!({
        "base_url": format!("http://{}", upstream.address()),
        "insecure_transport": true,
        "allow_ips": ["127.0.0.1/32"],
        "auth": {"type": "bearer", "token": "local://amazon/api_key"},
        "allow": ["GET /orders/**"],
    });
    let service = json!({"name": "amazon", "definition": definition});
    assert_eq!(team.send("PUT", "/v1/services", &team.key, &service)["ok"], true);
}

/// Calls the service in the trace of a caller.
fn call_in_a_trace(team: &Team) -> Value {
    let query = json!({"q": QUERY});
    let arguments =
        json!({"service": "amazon", "method": "GET", "path": "/orders/7", "query": query});
    let params = json!({"name": "execute", "arguments": arguments});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let url = format!("{}/mcp", team.url);
    let key = format!("X-API-Key: {}", team.key);
    let parent = format!("traceparent: 00-{TRACE}-{CALLER}-01");
    let (kind, body) = ("Content-Type: application/json", call.to_string());
    let words = ["-sS", &url, "-H", &key, "-H", &parent, "-H", kind, "-d", &body];
    team.sandbox.start("/usr/bin/curl".as_ref(), &words).ok().json()
}

fn attribute<'a>(span: &'a Value, name: &str) -> &'a Value {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|it| it["key"] == name).map_or(&Value::Null, |it| &it["value"])
}

async fn traces_tell_what_was_done_and_no_secret(sandbox: Sandbox) {
    let upstream = echo().await;
    let collector = Upstream::http(|_| Reply::ok("{}")).await;
    let endpoint = format!("http://{}", collector.address());
    let sandbox = sandbox
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .with("OTEL_EXPORTER_OTLP_HEADERS", "api-key=for-the-collector")
        .with("OTEL_SERVICE_NAME", "vault-of-acme");
    let mut team = Team::new(sandbox);
    serve_amazon(&team, &upstream);
    let done = call_in_a_trace(&team);
    assert_eq!(done["result"]["structuredContent"]["status"], 200, "{done}");
    collector.wait_for_requests(1).await;
    // What was not sent yet is sent at the end.
    team.serve.take().unwrap().end(Duration::from_secs(20)).unwrap();

    let seen = collector.seen();
    assert!(seen.iter().all(|seen| seen.method == "POST" && seen.target == "/v1/traces"));
    assert_eq!(seen[0].values("api-key"), ["for-the-collector"]);
    let mut spans = Vec::new();
    for seen in &seen {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let of = &body["resourceSpans"][0];
        let named = attribute(&of["resource"], "service.name");
        assert_eq!(named["stringValue"], "vault-of-acme");
        spans.extend(of["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    let named = |name: &str, trace: &str| {
        spans.iter().find(|span| span["name"] == name && span["traceId"] == trace).unwrap_or_else(
            || panic!("{name}: {:?}", spans.iter().map(|it| &it["name"]).collect::<Vec<_>>()),
        )
    };
    let request = named("POST /mcp", TRACE);
    assert_eq!((&request["parentSpanId"], &request["kind"]), (&json!(CALLER), &json!(2)));
    assert_eq!(attribute(request, "http.response.status_code")["intValue"], "200");
    let tenant = attribute(request, "strongroom.tenant.id")["stringValue"].as_str().unwrap();
    assert_eq!(tenant.len(), 36);
    let call = named("call GET", TRACE);
    assert_eq!(attribute(call, "strongroom.service")["stringValue"], "amazon");
    assert_eq!(attribute(call, "http.response.status_code")["intValue"], "200");
    named("audit", TRACE);
    let own = |span: &&Value| span["name"] == "PUT /v1/services";
    let put = spans.iter().find(own).unwrap();
    assert!(put["parentSpanId"].is_null(), "nobody called from a trace: {put}");
    let store = named("store write", put["traceId"].as_str().unwrap());
    assert!(attribute(store, "db.system.name")["stringValue"].as_str().unwrap().len() > 5);

    let oracle = Oracle::new(&[
        ("the credential", K1.as_bytes()),
        ("the key", &team.key.as_bytes()[21..]),
        ("a query", QUERY.as_bytes()),
        ("the collector's key", b"for-the-collector"),
    ]);
    for seen in seen {
        oracle.assert_clean("what the collector got", &seen.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_collector_gets_the_traces_of_a_team_in_a_file_and_no_secret() {
    traces_tell_what_was_done_and_no_secret(sandbox()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_collector_gets_the_traces_of_a_team_in_postgres_and_no_secret() {
    let server = Server::start();
    traces_tell_what_was_done_and_no_secret(on_postgres(&server).0).await;
}

#[test]
fn a_collector_that_is_gone_holds_nothing_up_and_what_it_misses_is_counted() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    let team = Team::new(sandbox().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    let metrics = || {
        let url = format!("{}/metrics", team.url);
        team.sandbox.start("/usr/bin/curl".as_ref(), &["-sS", &url]).ok().stdout
    };
    let listed =
        |team: &Team| team.send("GET", "/functions/v1/mcp-servers/list", &team.key, &Value::Null);
    assert_eq!(listed(&team)["ok"], true);
    let dropped = (0..400).any(|_| {
        thread::sleep(Duration::from_millis(50));
        let text = metrics();
        let name = "strongroom_spans_dropped_total ";
        text.lines().any(|line| line.strip_prefix(name).is_some_and(|count| count != "0"))
    });
    assert!(dropped, "{}", metrics());
    assert_eq!(listed(&team)["ok"], true);
    assert!(metrics().contains("strongroom_spans_sent_total 0"));
}

#[test]
fn a_variable_of_traces_that_is_malformed_ends_the_start_and_is_not_repeated() {
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc-canary"),
        ("OTEL_TRACES_SAMPLER", "canary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary"),
    ] {
        let sandbox = sandbox()
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
            .with(variable, value);
        let ran = sandbox.run("serve --team --listen 127.0.0.1:0");
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(variable) && !ran.stderr.contains("canary"), "{ran:?}");
    }
    let sandbox = sandbox()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.test:4318")
        .with("OTEL_EXPORTER_OTLP_HEADERS", "api-key=canary");
    let ran = sandbox.run("serve --team --listen 127.0.0.1:0");
    assert_eq!(ran.code, 2, "a token does not cross a network in the clear: {ran:?}");
    assert!(!ran.stderr.contains("canary"), "{ran:?}");
}

/// A KEK is rotated by another process, and the old one retired, under a server that goes on.
fn a_kek_is_rotated_under(team: &Team) {
    let file = ".config/strongroom/strongroom.toml";
    let store = |key: &str| {
        let credential = json!({"service": "amazon", "credentials": {"api_key": K1}});
        team.post("/functions/v1/credentials/store", key, &credential)
    };
    assert_eq!(store(&team.key)["ok"], true);
    let listed = team.sandbox.run("kek list --json").ok().json();
    let old = listed[0]["id"].as_str().unwrap().to_owned();
    let at = |name: &str| team.sandbox.path(name).display().to_string();
    let before = at(".local/share/strongroom/team.kek");
    let keks = format!(
        "kek = {{ source = \"file\", path = \"{}\" }}\n\
         earlier_keks = [{{ source = \"file\", path = \"{before}\" }}]\n",
        at(".local/share/strongroom/new.kek")
    );
    team.sandbox.write(file, &format!("{}{keks}", team.sandbox.read(file)));
    team.sandbox.run("kek create").ok();
    team.sandbox.run("kek rotate").ok();
    team.sandbox.run(&format!("kek retire {old}")).ok();

    // The key of a tenant that is new is wrapped under the KEK that the server holds now.
    team.sandbox.run("tenant create other --org acme").ok();
    let created = team.sandbox.run("key create --tenant other --scope credentials:write").ok();
    let other = created.stdout.trim().to_owned();
    let taken_up = (0..400).any(|_| {
        let stored = store(&other)["ok"] == true;
        if !stored {
            thread::sleep(Duration::from_millis(50));
        }
        stored
    });
    assert!(taken_up, "the server goes by the old key");
    let which = json!({"service": "amazon", "credential_type": "api_key"});
    let retrieved = team.post("/functions/v1/credentials/retrieve", &team.executor, &which);
    assert_eq!(retrieved["data"]["credentials"]["api_key"], K1, "{retrieved}");
    let audit = team.sandbox.run("audit verify --team --json").ok().json();
    assert_eq!(audit["intact"], true, "{audit}");
}

#[test]
fn a_server_on_a_file_takes_up_a_kek_that_was_rotated_elsewhere() {
    a_kek_is_rotated_under(&Team::new(sandbox()));
}

#[test]
fn a_server_on_postgres_takes_up_a_kek_that_was_rotated_elsewhere() {
    let server = Server::start();
    a_kek_is_rotated_under(&Team::new(on_postgres(&server).0));
}

#[test]
fn the_doctor_says_how_a_team_does_and_backup_that_it_is_not_in_it() {
    let sandbox = Sandbox::headless().with("PATH", "/usr/bin:/bin");
    let before = sandbox.run("doctor").stdout;
    assert!(!before.contains("team"), "there is none: {before}");
    sandbox.run("org create acme").ok();
    let well = sandbox.run("doctor").stdout;
    for found in
        ["the database answers, its schema is current", "its audit is whole: 1 record in 1 chain"]
    {
        assert!(well.contains(found), "{well}");
    }
    let made = sandbox.feed(&["backup", "x.age", "--passphrase-stdin"], "long enough for it").ok();
    assert!(made.stderr.contains("nothing of the team is in it"), "{made:?}");
    std::fs::remove_file(sandbox.path(".local/share/strongroom/team.kek")).unwrap();
    let ill = sandbox.run("doctor");
    assert_eq!(ill.code, 1);
    assert!(ill.stdout.contains("problem  team"), "{ill:?}");
}

#[test]
fn the_doctor_says_what_a_postgres_lacks() {
    let server = Server::start();
    let (sandbox, database) = on_postgres(&server);
    sandbox.run("org create acme").ok();
    let doctor = |sandbox: &Sandbox| sandbox.run("doctor").stdout;
    let well = doctor(&sandbox);
    for found in ["the database answers", "nobody sees the rows of another tenant", "is whole"] {
        assert!(well.contains(found), "{well}");
    }
    server.sql(&database, "ALTER TABLE strongroom.api_keys NO FORCE ROW LEVEL SECURITY");
    let ill = doctor(&sandbox);
    assert!(ill.contains("api_keys: rows of tenants are not guarded"), "{ill}");
    server.sql(&database, "DELETE FROM strongroom.audit_records");
    assert!(doctor(&sandbox).contains("the end was cut off"), "{}", doctor(&sandbox));
    // By the URL of the server's own role the rest is said, and that the audit was not checked.
    let as_app = sandbox.with("DATABASE_URL", server.url("strongroom_app", &database));
    let partly = doctor(&as_app);
    assert!(partly.contains("its audit was not checked"), "{partly}");
}
