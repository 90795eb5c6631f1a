//! Rules of a tenant that ask: agents over `POST /mcp`, and people who answer with keys of their own, on
//! two servers of one database.

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom::config::tenant::TenantRules;
use strongroom::team::{Ground, Tenants};
use strongroom_model::approval::PATIENCE;
use strongroom_process::Child;
use strongroom_proxy::SystemDns;
use strongroom_seal::{Key, LocalKek, TeamKek};
use strongroom_server::{Backend, Mount, Options, Registered, Server as Http};
use strongroom_store::team::{DatabaseUrl, Team};
use strongroom_testkit::canary::K1;
use strongroom_testkit::fakes::FakeClock;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::postgres::{OWNER, Server};
use strongroom_testkit::upstream::Upstream;

use crate::sandbox::Sandbox;
use crate::serve::echo;

const FILE: &str = ".config/strongroom/strongroom.toml";
const TEAM: &str = r#"
headless = true

[team]
allow_ips = ["127.0.0.1/32"]
insecure_transport = true
"#;

/// One team, served by two processes, and keys of its tenant `shop`.
struct Site {
    sandbox: Sandbox,
    nodes: Vec<Node>,
    agent: String,
    person: String,
    admin: String,
}

struct Node {
    child: Child,
    url: String,
}

impl Site {
    fn new(sandbox: Sandbox, first_line: &str, upstream: &Upstream) -> Self {
        sandbox.write(FILE, &format!("{first_line}{TEAM}"));
        sandbox.chmod(".config/strongroom", 0o700);
        sandbox.chmod(FILE, 0o600);
        sandbox.run("org create acme").ok();
        sandbox.run("tenant create shop --org acme").ok();
        let mut site = Self {
            sandbox,
            nodes: Vec::new(),
            agent: String::new(),
            person: String::new(),
            admin: String::new(),
        };
        site.agent = site.key("use");
        site.person = site.key("approve");
        site.admin = site.key("register,credentials:write,admin");
        site.serve();
        let stored = json!({"service": "amazon", "credentials": {"api_key": K1}});
        let stored = site.send(0, "POST", "/functions/v1/credentials/store", &site.admin, &stored);
        assert_eq!(stored["ok"], true, "{stored}");
        site.put_service(upstream, &["GET /**"]);
        site
    }

    fn key(&self, scope: &str) -> String {
        let created = self.sandbox.run(&format!("key create --tenant shop --scope {scope}")).ok();
        created.stdout.trim().to_owned()
    }

    /// Starts both, after whatever ran before was killed.
    fn serve(&mut self) {
        for node in &mut self.nodes {
            node.child.end(Duration::ZERO).unwrap();
        }
        self.nodes.clear();
        for _ in 0..2 {
            let arguments = ["serve", "--team", "--listen", "127.0.0.1:0"];
            let mut child = self.sandbox.child(&arguments);
            let mut line = String::new();
            BufReader::new(child.stderr().unwrap()).read_line(&mut line).unwrap();
            let url = line.trim().rsplit(' ').next().unwrap().to_owned();
            assert!(url.starts_with("http://127.0.0.1:"), "{line}");
            self.nodes.push(Node { child, url });
        }
    }

    fn put_service(&self, upstream: &Upstream, allow: &[&str]) {
        let service = service(upstream, allow);
        let put = self.send(0, "PUT", "/v1/services", &self.admin, &service);
        assert_eq!(put["ok"], true, "{put}");
    }

    fn send(&self, node: usize, method: &str, path: &str, key: &str, body: &Value) -> Value {
        curl(&self.sandbox, &self.nodes[node].url, method, path, key, body)
    }

    /// An agent's call, over MCP.
    fn call(&self, node: usize, key: &str, tool: &str, arguments: &Value) -> Value {
        let call = call(tool, arguments);
        self.send(node, "POST", "/mcp", key, &call)["result"]["structuredContent"].clone()
    }

    fn order(&self, node: usize, body: &str) -> Value {
        self.call(node, &self.agent, "execute", &order(body))
    }

    fn answer(&self, node: usize, key: &str, id: &str, act: &str, body: &Value) -> Value {
        self.send(node, "POST", &format!("/v1/approvals/{id}/{act}"), key, body)
    }

    fn records(&self) -> Vec<Value> {
        let audit = self.send(0, "GET", "/v1/audit?limit=1000", &self.admin, &Value::Null);
        audit["data"]["records"].as_array().unwrap().clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.child.end(Duration::ZERO);
        }
    }
}

fn service(upstream: &Upstream, allow: &[&str]) -> Value {
    let definition = json!({
        "base_url": format!("http://{}", upstream.address()),
        "insecure_transport": true,
        "allow_ips": ["127.0.0.1/32"],
        "auth": {"type": "bearer", "token": "local://amazon/api_key"},
        "allow": allow,
        "ask": ["POST|DELETE /orders/**"],
    });
    json!({"name": "amazon", "definition": definition})
}

fn call(tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
}

fn order(body: &str) -> Value {
    json!({
        "service": "amazon", "method": "POST", "path": "/orders/7", "body": body,
        "reason": "the user asked me to",
    })
}

fn curl(sandbox: &Sandbox, url: &str, method: &str, path: &str, key: &str, body: &Value) -> Value {
    let (url, key, body) = (format!("{url}{path}"), format!("X-API-Key: {key}"), body.to_string());
    let words = ["-sS", "-X", method, &url, "-H", &key];
    let with = ["-H", "Content-Type: application/json", "-d", &body];
    let with: &[&str] = if body == "null" { &[] } else { &with };
    sandbox.start("/usr/bin/curl".as_ref(), &[&words, with].concat()).ok().json()
}

/// The id of the question that an answer is refused with.
fn id(answer: &Value) -> String {
    assert_eq!(answer["error"]["code"], "approval_denied", "{answer}");
    assert_eq!(answer["error"]["retry"], "ask", "{answer}");
    answer["error"]["approval_id"].as_str().expect("it says which question").to_owned()
}

/// Asked on one server, answered on the other, used on either, once.
fn once(site: &Site, upstream: &Upstream) {
    let asked = id(&site.order(0, "amount=100"));
    assert_eq!(id(&site.order(1, "amount=100")), asked, "one question, on whichever server");
    assert_eq!(upstream.requests(), 0);
    let shown = site.send(1, "GET", &format!("/v1/approvals/{asked}"), &site.person, &Value::Null);
    assert_eq!(shown["data"]["body"]["lines"], json!(["amount=100"]), "{shown}");
    let agent = &site.agent[4..20];
    assert_eq!(shown["data"]["principal"], format!("key-{agent}"));
    let done = site.answer(1, &site.person, &asked, "approve", &json!({}));
    assert_eq!(done["data"]["approval"]["state"], "approved", "{done}");
    id(&site.order(0, "amount=101"));
    assert_eq!(upstream.requests(), 0, "a yes to one body is none to another");
    assert_eq!(site.order(0, "amount=100")["status"], 200);
    assert_ne!(id(&site.order(1, "amount=100")), asked, "it was good once");
    assert_eq!(upstream.requests(), 1);
    let late = site.answer(0, &site.admin, &asked, "deny", &json!({}));
    assert_eq!(late["error"]["code"], "conflict", "{late}");

    let records = site.records();
    let place = |act: &str, value: &str| {
        records.iter().position(|record| record[act] == value).unwrap_or_else(|| panic!("{value}"))
    };
    // The newest stands first.
    let (intent, yes) = (place("kind", "intent"), place("act", "approval.approve"));
    assert!(intent < yes && yes < records.len() - 1);
    assert_eq!(records[intent]["approval"], "api", "{}", records[intent]);
    assert_eq!(records[intent]["grant"], *asked);
    assert_eq!(records[yes]["principal"], format!("key {}", &site.person[4..20]));
}

fn no_means_no(site: &Site, upstream: &Upstream) {
    let sent = upstream.requests();
    let asked = id(&site.order(0, "denied"));
    let why = json!({"because": "not today"});
    let denied = site.answer(0, &site.person, &asked, "deny", &why);
    assert_eq!(denied["data"]["approval"]["because"], "not today", "{denied}");
    for node in [0, 1] {
        let refused = site.order(node, "denied");
        assert_eq!(refused["error"]["code"], "approval_denied", "{refused}");
        assert!(refused["error"].get("approval_id").is_none(), "{refused}");
    }
    assert_eq!(upstream.requests(), sent);
}

/// Whatever scopes a key has, what it asks is answered by another.
fn nobody_answers_himself(site: &Site, upstream: &Upstream) {
    let (sent, agent) = (upstream.requests(), site.key("use,approve,admin"));
    let asked = id(&site.call(0, &agent, "execute", &order("own")));
    for act in ["approve", "deny"] {
        let own = site.answer(1, &agent, &asked, act, &json!({}));
        assert_eq!(own["error"]["code"], "policy_denied", "{own}");
    }
    id(&site.call(0, &agent, "execute", &order("own")));
    assert_eq!(upstream.requests(), sent);
    let not_a_scope = site.answer(1, &site.agent, &asked, "approve", &json!({}));
    assert_eq!(not_a_scope["error"]["code"], "policy_denied", "{not_a_scope}");
    let other = site.answer(1, &site.person, &asked, "approve", &json!({}));
    assert_eq!(other["ok"], true, "{other}");
    assert_eq!(site.call(0, &agent, "execute", &order("own"))["status"], 200);
}

fn for_a_while(site: &Site, upstream: &Upstream) {
    let asked = id(&site.order(0, "one"));
    let done = site.answer(0, &site.person, &asked, "approve", &json!({"for_s": 600}));
    let grant = done["data"]["grant"]["id"].as_str().unwrap().to_owned();
    for (node, body) in [(0, "one"), (1, "two"), (0, "three")] {
        assert_eq!(site.order(node, body)["status"], 200);
    }
    let me = site.call(1, &site.agent, "whoami", &json!({}));
    assert_eq!(me["grants"][0]["id"], *grant, "{me}");
    let another = site.key("use");
    id(&site.call(1, &another, "execute", &order("four")));
    let delete = json!({"service": "amazon", "method": "DELETE", "path": "/orders/7"});
    id(&site.call(1, &site.agent, "execute", &delete));
    let path = format!("/v1/grants/{grant}");
    let revoked = site.send(1, "DELETE", &path, &site.person, &Value::Null);
    assert_eq!(revoked["data"]["revoked"], true, "{revoked}");
    let sent = upstream.requests();
    id(&site.order(0, "five"));
    assert_eq!(upstream.requests(), sent);
}

/// The operator answers on the machine, without a key.
fn by_the_operator(site: &Site) {
    let wish = json!({"service": "amazon", "what": "POST /orders/9", "reason": "r"});
    let asked = site.call(0, &site.agent, "request_access", &wish)["id"].clone();
    let asked = asked.as_str().unwrap();
    let listed = site.sandbox.run("approvals --tenant shop --json").ok().json();
    assert!(listed.as_array().unwrap().iter().any(|one| one["id"] == *asked), "{listed}");
    let once = site.sandbox.run(&format!("approvals approve {asked} --tenant shop"));
    assert!(once.stderr.contains("needs a time"), "{once:?}");
    let done = format!("approvals approve {asked} --for 10m --tenant shop --json");
    let grant = site.sandbox.run(&done).ok().json()["grant"].as_str().unwrap().to_owned();
    assert_eq!(site.order(1, "by the operator")["status"], 200);
    let granted = site.sandbox.run("grants --tenant shop --json").ok().json();
    assert_eq!((&granted[0]["id"], &granted[0]["by"]), (&json!(grant), &json!("cli")));
    site.sandbox.run(&format!("grants revoke {grant} --tenant shop")).ok();
    let asked = id(&site.order(1, "denied by the operator"));
    site.sandbox.run(&format!("approvals deny {asked} --tenant shop")).ok();
    let again = site.sandbox.run(&format!("approvals deny {asked} --tenant shop"));
    assert_eq!(again.code, 1, "{again:?}");
    assert!(site.order(0, "denied by the operator")["error"].get("approval_id").is_none());
}

/// Both servers are killed between the yes and the call.
fn killed_in_between(site: &mut Site, upstream: &Upstream) {
    let sent = upstream.requests();
    let asked = id(&site.order(0, "killed"));
    let done = site.answer(0, &site.person, &asked, "approve", &json!({}));
    assert_eq!(done["ok"], true, "{done}");
    site.serve();
    assert_eq!(site.order(1, "killed")["status"], 200);
    site.serve();
    assert_ne!(id(&site.order(0, "killed")), asked, "it was good once");
    assert_eq!(upstream.requests(), sent + 1);
    // What was approved must still be in force.
    let asked = id(&site.order(0, "changed"));
    site.answer(0, &site.person, &asked, "approve", &json!({}));
    site.put_service(upstream, &["GET /orders/**"]);
    assert_ne!(id(&site.order(1, "changed")), asked);
    assert_eq!(upstream.requests(), sent + 1);
}

fn all(mut site: Site, upstream: &Upstream) -> Site {
    once(&site, upstream);
    no_means_no(&site, upstream);
    nobody_answers_himself(&site, upstream);
    for_a_while(&site, upstream);
    by_the_operator(&site);
    killed_in_between(&mut site, upstream);
    site
}

fn sandbox() -> Sandbox {
    Sandbox::new().with("PATH", "/usr/bin:/bin")
}

fn on_postgres(server: &Server, database: &str) -> Sandbox {
    let sandbox = sandbox().with("DATABASE_URL", server.url(OWNER, database));
    sandbox.run("kek create").ok();
    sandbox.run("migrate").ok();
    sandbox
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_and_a_person_with_another_key_answers_on_a_file() {
    let upstream = echo().await;
    let site = all(Site::new(sandbox(), "", &upstream), &upstream);
    let oracle = Oracle::new(&[("the credential", K1.as_bytes())]);
    oracle.assert_tree_clean(&site.sandbox.path(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_and_a_person_with_another_key_answers_on_postgres() {
    let upstream = echo().await;
    let server = Server::start();
    let database = server.create_database();
    let site = all(Site::new(on_postgres(&server, &database), "", &upstream), &upstream);
    drop(site);
    let dump = server.dump(&database);
    let oracle = [("the credential", K1.as_bytes()), ("a body", b"denied by the operator")];
    Oracle::new(&oracle).assert_clean("a dump of the database", dump);
}

/// A call that waits on one server goes on when somebody answers on the other.
fn waits(site: &Site, upstream: &Upstream) {
    for (act, status) in [("approve", json!(200)), ("deny", Value::Null)] {
        let sent = upstream.requests();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| site.order(0, act));
            let asked = loop {
                let open = "/v1/approvals?state=open";
                let open = site.send(1, "GET", open, &site.person, &Value::Null);
                if let Some(asked) = open["data"]["approvals"][0]["id"].as_str() {
                    break asked.to_owned();
                }
                assert!(!waiting.is_finished(), "it should wait");
            };
            assert_eq!(upstream.requests(), sent);
            let answered = site.answer(1, &site.person, &asked, act, &json!({}));
            assert_eq!(answered["ok"], true, "{answered}");
            assert_eq!(waiting.join().unwrap()["status"], status);
        });
        assert_eq!(upstream.requests(), sent + usize::from(status == 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_goes_on_when_another_server_has_the_answer() {
    let upstream = echo().await;
    waits(&Site::new(sandbox(), "approval_wait = \"2m\"\n", &upstream), &upstream);
    let server = Server::start();
    let database = server.create_database();
    let site = Site::new(on_postgres(&server, &database), "approval_wait = \"2m\"\n", &upstream);
    waits(&site, &upstream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_question_that_nobody_answers_in_time_is_asked_anew() {
    let (upstream, sandbox) = (echo().await, sandbox());
    let clock = Arc::new(FakeClock::default());
    let kek: Arc<dyn TeamKek> = Arc::new(LocalKek::new(Key::generate().unwrap()));
    let url = DatabaseUrl::sqlite(sandbox.path("vault/team.db"));
    let team = Team::connect(&url, kek, clock.clone()).await.unwrap();
    let organization = team.create_organization("acme").await.unwrap();
    let tenant = team.create_tenant(&organization.id, "shop").await.unwrap();
    let mut keys = Vec::new();
    for scopes in ["use", "approve", "credentials:write,admin"] {
        let scopes = scopes.parse().unwrap();
        let made = team.create_api_key(&tenant.id, "key", scopes, None).await.unwrap();
        keys.push(String::from_utf8(made.1.expose().to_vec()).unwrap());
    }
    let rules =
        TenantRules { networks: vec!["127.0.0.1/32".parse().unwrap()], insecure_transport: true };
    let (ground, dns) = (Ground::bare(), Arc::new(SystemDns));
    let tenants = Arc::new(Tenants::new(team.clone(), rules, ground, clock.clone(), dns));
    let backend = Backend {
        judge: Arc::new(Registered::new(team.clone())),
        team: team.clone(),
        mcp: Some(Arc::clone(&tenants) as Arc<dyn Mount>),
        fleet: None,
        services: Some(tenants),
        clock: clock.clone(),
    };
    let options = Options { listen: ([127, 0, 0, 1], 0).into(), ..Options::default() };
    let server = Http::bind(backend, options).await.unwrap();
    let url = format!("http://{}", server.address());
    let running = tokio::spawn(server.run(std::future::pending()));
    let send = |method: &str, path: &str, key: usize, body: &Value| {
        curl(&sandbox, &url, method, path, &keys[key], body)
    };
    let stored = json!({"service": "amazon", "credentials": {"api_key": K1}});
    send("POST", "/functions/v1/credentials/store", 2, &stored);
    assert_eq!(send("PUT", "/v1/services", 2, &service(&upstream, &[]))["ok"], true);
    let ask = || {
        let answer = send("POST", "/mcp", 0, &call("execute", &order("late")));
        answer["result"]["structuredContent"].clone()
    };
    let approve = |id: &str| send("POST", &format!("/v1/approvals/{id}/approve"), 1, &json!({}));

    let first = id(&ask());
    clock.advance(PATIENCE);
    assert_eq!(approve(&first)["error"]["code"], "conflict");
    let second = id(&ask());
    assert_ne!(second, first);
    assert_eq!(approve(&second)["ok"], true);
    clock.advance(PATIENCE);
    let third = id(&ask());
    assert_ne!(third, second, "a yes that was not used in time is none");
    assert_eq!(upstream.requests(), 0);
    assert_eq!(approve(&third)["ok"], true);
    assert_eq!(ask()["status"], 200);
    running.abort();
    team.shutdown().await;
}
