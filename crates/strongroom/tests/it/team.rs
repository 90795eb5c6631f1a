//! A team, as its operator and its agents meet it: the commands, `serve --team`, and curl.

mod agents;
mod gateway;
mod line;
mod openapi;
mod operator;
mod oracles;
mod tenants;

use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_process::Child;
use strongroom_testkit::canary::K1;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::postgres::{OWNER, Server};
use strongroom_testkit::upstream::Upstream;

use crate::sandbox::Sandbox;
use crate::serve::echo;

/// The operator's file: what the commands of these tests need, and no more.
const TEAM: &str = r#"
[team]
isolate = false
allowed_commands = [{ command = "node", args = "test.js" }]
allow_ips = ["127.0.0.1/32"]
insecure_transport = true
"#;

/// A team that is served, and keys of its tenant `shop`.
struct Team {
    sandbox: Sandbox,
    serve: Option<Child>,
    /// What it has said on stderr.
    said: Arc<Mutex<String>>,
    url: String,
    key: String,
    executor: String,
}

impl Team {
    fn new(sandbox: Sandbox) -> Self {
        Self::with(sandbox, TEAM)
    }

    /// A team with another file.
    fn with(sandbox: Sandbox, config: &str) -> Self {
        sandbox.write(".config/strongroom/strongroom.toml", config);
        sandbox.chmod(".config/strongroom", 0o700);
        sandbox.chmod(".config/strongroom/strongroom.toml", 0o600);
        Self::tenant(&sandbox);
        let key = |scope: &str| {
            let created = sandbox.run(&format!("key create --tenant shop --scope {scope}")).ok();
            created.stdout.trim().to_owned()
        };
        let (key, executor) = (key("use,register,credentials:write,admin"), key("executor"));
        let (said, url) = (Arc::default(), String::new());
        let mut team = Self { sandbox, serve: None, said, url, key, executor };
        team.serve();
        team
    }

    /// The id of the tenant `shop`, which is made where it is not there.
    fn tenant(sandbox: &Sandbox) -> String {
        sandbox.run("org create acme");
        sandbox.run("tenant create shop --org acme");
        let listed = sandbox.run("tenant show shop --json").ok().json();
        listed["id"].as_str().unwrap().to_owned()
    }

    /// Starts it, after whatever ran before was killed.
    fn serve(&mut self) {
        if let Some(mut child) = self.serve.take() {
            child.end(Duration::ZERO).unwrap();
        }
        let mut child = self.sandbox.child(&["serve", "--team", "--listen", "127.0.0.1:0"]);
        let mut stderr = BufReader::new(child.stderr().unwrap());
        let said = Arc::clone(&self.said);
        let mut line = String::new();
        while !line.contains("Serving a team on ") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{}", said.lock().unwrap());
            said.lock().unwrap().push_str(&line);
        }
        line.trim().rsplit(' ').next().unwrap().clone_into(&mut self.url);
        assert!(self.url.starts_with("http://127.0.0.1:"), "{line}");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut bytes) {
                said.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        self.serve = Some(child);
    }

    /// Ends it as its operator would.
    fn end(&mut self) {
        self.serve.take().unwrap().end(Duration::from_secs(20)).unwrap();
    }

    /// A command of the documentation, with our host and key in the place of theirs.
    fn shell(&self, command: &str) -> Value {
        let host =
            ["https://your-governance-hub.supabase.co", "https://your-key-vault.supabase.co"];
        let command =
            host.iter().fold(command.to_owned(), |text, host| text.replace(host, &self.url));
        let command = command.replace("mcp_xxxxx", &self.key).replace("curl ", "curl -sS ");
        self.sandbox.start("/bin/sh".as_ref(), &["-c", &command]).ok().json()
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> Value {
        self.send("POST", path, key, body)
    }

    fn send(&self, method: &str, path: &str, key: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.url);
        let (key, body) = (format!("X-API-Key: {key}"), body.to_string());
        let words = ["-sS", "-X", method, &url, "-H", &key];
        let with = ["-H", "Content-Type: application/json", "-d", &body];
        let with: &[&str] = if body == "null" { &[] } else { &with };
        self.sandbox.start("/usr/bin/curl".as_ref(), &[&words, with].concat()).ok().json()
    }

    fn execute(&self, method: &str) -> Value {
        let arguments = json!({"service": "amazon", "method": method, "path": "/orders/7"});
        let params = json!({"name": "execute", "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.post("/mcp", &self.key, &call)["result"]["structuredContent"].clone()
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if let Some(mut child) = self.serve.take() {
            let _ = child.end(Duration::ZERO);
        }
    }
}

/// Registers, stores and lists by the commands of the documentation, word for word.
fn by_the_book(team: &Team) {
    let registered = team.shell(
        r#"curl -X POST https://your-governance-hub.supabase.co/functions/v1/mcp-servers/register \
  -H "X-API-Key: mcp_xxxxx" \
  -H "Content-Type: application/json" \
  -d '{
    "server_id": "test-server",
    "name": "Test Server",
    "command": "node",
    "args": ["test.js"],
    "tool_prefix": "test."
  }'"#,
    );
    assert_eq!(registered["ok"], true, "{registered}");
    assert_eq!(registered["data"]["tool_prefix"], "test.");
    let server = "args command created_at enabled id name server_id tool_prefix";
    assert_eq!(
        (fields(&registered), fields(&registered["data"])),
        ("data ok".into(), server.into())
    );
    let listed = team.shell(
        r#"curl -X GET "https://your-governance-hub.supabase.co/functions/v1/mcp-servers/list" \
  -H "X-API-Key: mcp_xxxxx""#,
    );
    assert_eq!(listed["data"]["servers"][0]["id"], registered["data"]["id"], "{listed}");
    assert_eq!(fields(&listed["data"]), "count servers");
    let listed = fields(&listed["data"]["servers"][0]);
    assert_eq!(listed, format!("{server} tools updated_at"), "which tools may be called, too");
    let stored = team.shell(
        r#"curl -X POST https://your-key-vault.supabase.co/functions/v1/credentials/store \
  -H "X-API-Key: mcp_xxxxx" \
  -H "Content-Type: application/json" \
  -d '{
    "service": "amazon",
    "credentials": {
      "api_key": "test_key",
      "secret_key": "test_secret"
    }
  }'"#,
    );
    assert_eq!((&stored["ok"], &stored["status"]), (&json!(true), &json!("success")), "{stored}");
    assert_eq!(fields(&stored), "data ok status");
    assert_eq!(fields(&stored["data"]), "created_at credential_id credential_type service");
    let credentials = team.shell(
        r#"curl -X GET "https://your-key-vault.supabase.co/functions/v1/credentials/list" \
  -H "X-API-Key: mcp_xxxxx""#,
    );
    assert_eq!(credentials["data"]["count"], 1, "{credentials}");
    assert_eq!(
        (fields(&credentials), fields(&credentials["data"])),
        ("data ok status".into(), "count credentials".into())
    );
    assert_eq!(
        fields(&credentials["data"]["credentials"][0]),
        "created_at credential_type id last_used_at service updated_at"
    );
    assert!(!credentials.to_string().contains("test_key"));
}

/// The names of the fields of an object, in the order of the alphabet.
fn fields(object: &Value) -> String {
    let mut names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

/// A service of the tenant is called by its agent, by its policy, with a credential that nobody but an
/// executor can ask for, and that is nowhere afterwards.
fn by_the_broker(mut team: Team, upstream: &Upstream) {
    let fields = json!({"api_key": K1, "secret_key": "test_secret"});
    let credential = json!({"service": "amazon", "credentials": fields});
    let stored = team.post("/functions/v1/credentials/store", &team.key, &credential);
    assert_eq!(stored["ok"], true, "{stored}");
    let which = json!({"service": "amazon", "credential_type": "api_key"});
    let denied = team.post("/functions/v1/credentials/retrieve", &team.key, &which);
    assert_eq!(denied["error"]["code"], "policy_denied", "{denied}");
    let retrieved = team.post("/functions/v1/credentials/retrieve", &team.executor, &which);
    assert_eq!(retrieved["data"]["credentials"]["api_key"], K1);

    let definition = json!({
        "base_url": format!("http://{}", upstream.address()),
        "insecure_transport": true,
        "allow_ips": ["127.0.0.1/32"],
        "auth": {"type": "bearer", "token": "local://amazon/api_key"},
        "allow": ["GET /orders/**"],
    });
    let service = json!({"name": "amazon", "definition": definition});
    let put = team.send("PUT", "/v1/services", &team.key, &service);
    assert_eq!(put["data"]["revision"], 1, "{put}");
    let done = team.execute("GET");
    assert_eq!(done["status"], 200, "{done}");
    assert_eq!(team.execute("POST")["error"]["code"], "policy_denied");
    let ask = |method: &str, resource: &str| {
        let question = json!({"action": format!("http.{method}"), "resource": resource});
        team.post("/functions/v1/authorize", &team.key, &question)["data"].clone()
    };
    let orders = format!("http://{}/orders/7?page=2", upstream.address());
    for resource in ["amazon/orders/7", &orders] {
        let allowed = ask("GET", resource);
        assert_eq!(allowed["decision"], "allow", "{allowed}");
        assert_eq!(allowed["rule"], "amazon: GET /orders/**");
        assert_eq!(ask("POST", resource)["decision"], "deny");
    }
    let part = json!({"service": "amazon"});
    let locked = team.post("/v1/locks", &team.key, &part);
    assert_eq!(locked["data"]["locked"], true, "{locked}");
    assert_eq!(team.execute("GET")["error"]["code"], "locked");
    assert_eq!(ask("GET", &orders)["reason"], "the kill switch is on");
    let unlocked = team.post("/v1/locks/unlock", &team.key, &part);
    assert_eq!(unlocked["data"]["locked"], false, "{unlocked}");
    let done = team.execute("GET");
    assert_eq!(done["status"], 200, "{done}");

    // Killed, it has lost nothing.
    team.serve();
    let done = team.execute("GET");
    assert_eq!(done["status"], 200, "{done}");
    let audit = team.send("GET", "/v1/audit?limit=1000", &team.key, &Value::Null);
    let records = audit["data"]["records"].as_array().unwrap();
    let acts = |kind: &str| records.iter().filter(|record| record["kind"] == kind).count();
    assert_eq!((acts("intent"), acts("outcome")), (3, 3), "{audit}");
    team.sandbox.run("key list --tenant shop --json").ok();
    team.end();
    let whole = team.sandbox.run("audit verify --team --json").ok().json();
    assert_eq!((&whole["intact"], &whole["records"]), (&json!(true), &whole["signed"]), "{whole}");
    assert!(whole["chains"].as_u64().unwrap() > 4, "each command and each server has one: {whole}");
    let of_tenant = team.sandbox.run("audit verify --tenant shop --json").ok().json();
    assert!(of_tenant["of_tenant"].as_u64().unwrap() > 20, "{of_tenant}");
    assert!(
        of_tenant["of_tenant"].as_u64() < whole["records"].as_u64(),
        "the rest is the operator's"
    );
    let head = whole["head"].as_str().unwrap();
    team.sandbox.run(&format!("audit verify --team --head {head}")).ok();
    let other = team.sandbox.run(&format!("audit verify --team --head {}", "0".repeat(64)));
    assert!(other.stdout.contains("no record has the hash"), "{other:?}");
    let oracle = Oracle::new(&[
        ("the credential", K1.as_bytes()),
        // Behind their public part.
        ("the key", &team.key.as_bytes()[21..]),
        ("the executor's key", &team.executor.as_bytes()[21..]),
    ]);
    oracle.assert_tree_clean(&team.sandbox.path(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_in_a_file_does_what_its_documentation_says() {
    let upstream = echo().await;
    let team = Team::new(Sandbox::new().with("PATH", "/usr/bin:/bin"));
    by_the_book(&team);
    by_the_broker(team, &upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_in_postgres_does_what_its_documentation_says() {
    let upstream = echo().await;
    let server = Server::start();
    let database = server.create_database();
    let url = server.url(OWNER, &database);
    let sandbox = Sandbox::new().with("PATH", "/usr/bin:/bin").with("DATABASE_URL", &url);
    let refused = sandbox.run("org create acme");
    assert!(refused.stderr.contains("strongroom kek create"), "{refused:?}");
    sandbox.run("kek create").ok();
    let refused = sandbox.run("org create acme");
    assert!(refused.stderr.contains("strongroom migrate"), "{refused:?}");
    sandbox.run("migrate").ok();
    let team = Team::new(sandbox);
    by_the_book(&team);
    by_the_broker(team, &upstream);
    let dump = server.dump(&database);
    Oracle::new(&[("the credential", K1.as_bytes())]).assert_clean("a dump of the database", dump);
}
