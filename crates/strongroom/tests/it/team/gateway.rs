//! The registered servers of tenants behind `POST /mcp`: started, given their credentials, changed and taken
//! away, over REST, by any node, on both databases.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_process::Child;
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::postgres::{OWNER, Server};
use strongroom_testkit::upstream::{Reply, Upstream};

use super::Team;
use super::line::Line;
use crate::sandbox::Sandbox;

/// The command of the documentation, and what stands for it here: a shell.
const TEAM: &str = r#"
[team]
isolate = false
allowed_commands = [{ command = "node", args = "@mycompany/amazon-mcp-server|other.js" }]
allow_ips = ["127.0.0.1/32"]
insecure_transport = true
"#;

/// A server of the `initialize` era that says what it was started with.
const SERVER: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *initialize\"*) answer='"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}';;
    *notifications/*) continue;;
    *tools/list*) answer='"result":{"tools":[{"name":"order","inputSchema":{}},{"name":"key","inputSchema":{}},{"name":"names","inputSchema":{}},{"name":"slow","inputSchema":{}},{"name":"die","inputSchema":{}}]}';;
    *'"name":"order"'*) answer="\"result\":{\"content\":[],\"pid\":$$,\"end\":\"${AMAZON_API_KEY#"${AMAZON_API_KEY%????}"}\"}";;
    *'"name":"key"'*) answer="\"result\":{\"content\":[],\"key\":\"$AMAZON_API_KEY\"}";;
    *'"name":"names"'*) answer="\"result\":{\"content\":[],\"names\":\"$(env | cut -d= -f1 | sort | tr '\n' ' ')\"}";;
    *'"name":"slow"'*) echo slow >> "$HOME/../../../../slow"; sleep 600; continue;;
    *'"name":"die"'*) exit 3;;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

/// Where the answer to something has to be found.
const PATIENCE: Duration = Duration::from_secs(30);

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let sandbox = sandbox.with("PATH", path);
    sandbox.write("bin/node", "#!/bin/sh\nexec /bin/sh \"$@\"\n");
    sandbox.chmod("bin/node", 0o700);
    sandbox.write("@mycompany/amazon-mcp-server", SERVER);
    sandbox.write("other.js", SERVER);
    sandbox
}

/// A sandbox whose team is in Postgres.
fn in_postgres(server: &Server) -> Sandbox {
    let url = server.url(OWNER, &server.create_database());
    let sandbox = sandbox().with("DATABASE_URL", &url);
    sandbox.run("kek create").ok();
    sandbox.run("migrate").ok();
    sandbox
}

fn registration(id: &str, prefix: &str) -> Value {
    json!({
        "server_id": id,
        "name": "My Amazon MCP Server",
        "command": "node",
        "args": ["@mycompany/amazon-mcp-server"],
        "tool_prefix": prefix,
    })
}

fn message(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

impl Team {
    fn registers(&self, key: &str, body: &Value) {
        let answer = self.post("/functions/v1/mcp-servers/register", key, body);
        assert_eq!(answer["ok"], true, "{answer}");
    }

    fn updates(&self, key: &str, body: &Value) {
        let answer = self.post("/functions/v1/mcp-servers/update", key, body);
        assert_eq!(answer["ok"], true, "{answer}");
    }

    fn stores(&self, key: &str, fields: &Value) {
        let body = json!({ "service": "amazon", "credentials": fields });
        let answer = self.post("/functions/v1/credentials/store", key, &body);
        assert_eq!(answer["ok"], true, "{answer}");
    }

    fn call(&self, key: &str, tool: &str) -> Value {
        self.post("/mcp", key, &message("tools/call", &json!({ "name": tool, "arguments": {} })))
    }

    /// The pid of the server that answers.
    fn pid(&self, key: &str, tool: &str) -> u64 {
        let answer = self.call(key, tool);
        answer["result"]["pid"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }

    fn tools(&self, key: &str) -> Vec<String> {
        let listed = self.post("/mcp", key, &message("tools/list", &json!({})));
        let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
        let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
        names.filter(|name| name.contains('_') && name.starts_with("amazon")).collect()
    }

    fn health(&self, key: &str, id: &str) -> Value {
        let path = format!("/functions/v1/mcp-servers/health?server_id={id}");
        self.send("GET", &path, key, &Value::Null)["data"].clone()
    }
}

/// The code of a refusal within an answer.
fn code(answer: &Value) -> &str {
    answer["result"]["structuredContent"]["error"]["code"].as_str().unwrap_or_default()
}

/// A second tenant, and a key of it.
fn second(team: &Team) -> String {
    team.sandbox.run("tenant create other --org acme").ok();
    let scopes = "use,register,credentials:write,admin";
    let made = team.sandbox.run(&format!("key create --tenant other --scope {scopes}")).ok();
    made.stdout.trim().to_owned()
}

fn runs(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Steps 1 to 3 of the documentation, and what follows from changing each.
fn from_registration_to_deletion(mut team: Team) {
    let key = team.key.clone();
    let secrets = [canary::of("the first key"), canary::of("the key after it")];
    assert!(team.tools(&key).is_empty());
    assert_eq!(team.call(&key, "amazon.order")["error"]["code"], -32602);

    team.registers(&key, &registration("my-amazon-server", "amazon."));
    let none = team.call(&key, "amazon.order");
    let listed = team.post("/mcp", &key, &message("tools/list", &json!({})));
    let missing = &listed["result"]["_meta"]["io.strongroom/missing"][0];
    assert_eq!(missing["server"], "my-amazon-server", "{listed}");
    assert!(missing["why"].as_str().unwrap().contains("service `amazon`"), "{listed}");
    assert!(none["result"]["pid"].is_null(), "it is not started without its credential: {none}");

    team.stores(&key, &json!({ "api_key": secrets[0], "secret_key": "value-of-a-test" }));
    let called = team.call(&key, "amazon.order");
    assert_eq!(called["result"]["end"], secrets[0][secrets[0].len() - 4..], "{called}");
    let first = team.pid(&key, "amazon_order");
    assert_eq!(called["result"]["pid"], first, "one process answers both forms of the name");
    assert_eq!(team.call(&key, "amazon.key")["result"]["key"], "[REDACTED:amazon]");
    let names = team.call(&key, "amazon.names");
    let own = "AMAZON_API_KEY AMAZON_SECRET_KEY HOME PATH PWD TMPDIR ";
    assert_eq!(names["result"]["names"], own, "{names}");
    let tools = ["die", "key", "names", "order", "slow"].map(|tool| format!("amazon_{tool}"));
    let mut listed = team.tools(&key);
    listed.sort();
    assert_eq!(listed, tools);
    let health = team.health(&key, "my-amazon-server");
    assert_eq!((&health["state"], &health["restarts"]), (&json!("running"), &json!(0)));
    assert_eq!(health["tools"].as_array().unwrap().len(), 5, "{health}");
    let all = team.send("GET", "/functions/v1/mcp-servers/health", &key, &Value::Null);
    assert_eq!(
        (&all["data"]["count"], &all["data"]["servers"][0]["state"]),
        (&json!(1), &json!("running"))
    );

    // One that dies is started again by the next call.
    assert!(team.call(&key, "amazon.die")["result"]["pid"].is_null());
    let second = team.pid(&key, "amazon.order");
    assert_ne!(first, second);
    let health = team.health(&key, "my-amazon-server");
    assert!(health["last_error"].as_str().unwrap().contains("exit status: 3"), "{health}");
    assert_eq!(health["restarts"], 1);

    // A key that is rotated is what the next call has.
    team.stores(&key, &json!({ "api_key": secrets[1], "secret_key": "value-of-a-test" }));
    let called = team.call(&key, "amazon.order");
    assert_eq!(called["result"]["end"], secrets[1][secrets[1].len() - 4..], "{called}");
    until("the one with the old key has ended", || !runs(second));

    by_its_rules(&team, &key);

    let third = team.pid(&key, "amazon.order");
    team.post("/v1/locks", &key, &json!({ "server": "my-amazon-server" }));
    let locked = team.call(&key, "amazon.order");
    assert_eq!(code(&locked), "locked", "{locked}");
    until("a lock ends what runs", || !runs(third));
    team.post("/v1/locks/unlock", &key, &json!({ "server": "my-amazon-server" }));
    let fourth = team.pid(&key, "amazon.order");

    team.updates(&key, &json!({ "server_id": "my-amazon-server", "enabled": false }));
    assert!(team.tools(&key).is_empty());
    assert_eq!(team.call(&key, "amazon.order")["error"]["code"], -32602);
    until("what is not mounted does not run", || !runs(fourth));
    team.updates(&key, &json!({ "server_id": "my-amazon-server", "enabled": true }));
    let fifth = team.pid(&key, "amazon.order");
    let gone = team.post(
        "/functions/v1/mcp-servers/delete",
        &key,
        &json!({ "server_id": "my-amazon-server" }),
    );
    assert_eq!(gone["data"]["deleted"], true, "{gone}");
    assert_eq!(team.call(&key, "amazon.order")["error"]["code"], -32602);
    until("what is deleted does not run", || !runs(fifth));

    let audit = team.send("GET", "/v1/audit?limit=1000", &key, &Value::Null);
    let records = audit["data"]["records"].as_array().unwrap();
    let kinds = |kind: &str| records.iter().filter(|one| one["kind"] == kind).count();
    assert!(kinds("release") >= 5, "{audit}");
    let calls = |kind: &str| {
        let of_tool = |one: &&Value| one["kind"] == kind && one["method"] == "tools/call";
        records.iter().filter(of_tool).count()
    };
    assert!(calls("intent") > 8 && calls("intent") == calls("outcome"), "{audit}");
    team.end();
    team.sandbox.run("audit verify --team").ok();
    let oracle = Oracle::new(&[("the keys", secrets[0].as_bytes()), ("", secrets[1].as_bytes())]);
    oracle.assert_tree_clean(&team.sandbox.path(""));
}

/// What is allowed is listed and called, and `authorize` says the same.
fn by_its_rules(team: &Team, key: &str) {
    let says = |tool: &str| {
        let question = json!({ "action": "tools/call", "resource": tool, "arguments": {} });
        let answer = team.post("/functions/v1/authorize", key, &question);
        answer["data"]["decision"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(says("amazon.key"), "allow");
    let rules = json!({ "server_id": "my-amazon-server", "tools": ["allow order", "ask names"] });
    team.updates(key, &rules);
    let mut listed = team.tools(key);
    listed.sort();
    assert_eq!(listed, ["amazon_names", "amazon_order"]);
    for (tool, decision, refusal) in [
        ("order", "allow", ""),
        ("names", "ask", "approval_denied"),
        ("key", "deny", "policy_denied"),
    ] {
        let answer = team.call(key, &format!("amazon.{tool}"));
        assert_eq!(
            (code(&answer), &*says(&format!("amazon.{tool}"))),
            (refusal, decision),
            "{answer}"
        );
    }
    team.updates(key, &json!({ "server_id": "my-amazon-server", "tools": ["allow *"] }));
    assert_eq!(code(&team.call(key, "amazon.key")), "");
}

#[test]
fn a_registered_server_answers_in_a_file_from_its_registration_to_its_deletion() {
    from_registration_to_deletion(Team::with(sandbox(), TEAM));
}

#[test]
fn a_registered_server_answers_in_postgres_from_its_registration_to_its_deletion() {
    let server = Server::start();
    from_registration_to_deletion(Team::with(in_postgres(&server), TEAM));
}

/// Each `sh` of the transcript answers what the `json` behind it says.
#[test]
fn the_transcript_of_the_flow_is_true() {
    let text = include_str!("../../cmd/team.md");
    let answer = r#"answer='"result":{"content":[{"type":"text","text":"ordered with '$AMAZON_API_KEY'"}]}';;"#;
    let sandbox = sandbox();
    let pid = SERVER.lines().find(|line| line.contains("order\"'*)")).unwrap();
    let script = SERVER.replace(pid, &format!("    *'\"name\":\"order\"'*) {answer}"));
    sandbox.write("@mycompany/amazon-mcp-server", &script);
    let team = Team::with(sandbox, TEAM);
    let mut seen = 0;
    for part in text.split("```sh\n").skip(1) {
        let (command, rest) = part.split_once("```").unwrap();
        let expected = rest.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
        let command = command.replace("$URL", &team.url).replace("$KEY", &team.key);
        let answer = team.shell(&command);
        let expected = serde_json::from_str(expected).unwrap();
        assert!(is_as(&answer, &expected), "{answer}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// Whether `json` is what `pattern` says, in which `[..]` is any text.
fn is_as(json: &Value, pattern: &Value) -> bool {
    match (json, pattern) {
        (Value::String(_), Value::String(any)) if any == "[..]" => true,
        (Value::Object(json), Value::Object(pattern)) => {
            let same = |(name, value): (&String, &Value)| {
                pattern.get(name).is_some_and(|pattern| is_as(value, pattern))
            };
            json.len() == pattern.len() && json.iter().all(same)
        }
        _ => json == pattern,
    }
}

// TN-08, MC-09
#[test]
fn two_tenants_with_the_same_server_get_their_own_processes_under_the_same_ids() {
    let team = Team::with(sandbox(), TEAM);
    let keys = [team.key.clone(), second(&team)];
    let secrets = [canary::of("the first tenant"), canary::of("the second tenant")];
    for (key, secret) in keys.iter().zip(&secrets) {
        team.stores(key, &json!({ "api_key": secret }));
        team.registers(key, &registration("my-amazon-server", "amazon."));
    }
    let pids = keys.each_ref().map(|key| team.pid(key, "amazon.order"));
    assert_ne!(pids[0], pids[1]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (keys, team, secrets) = (&keys, &team, &secrets);
            scope.spawn(move || {
                let mut line = Line::to(&team.url);
                for n in 0..250 {
                    let who = (thread + n) % 2;
                    // Every client counts its ids from 1, so that they collide all the time.
                    let call = json!({ "name": "amazon_order", "arguments": {} });
                    let (status, answer) =
                        line.post("/mcp", &keys[who], &message("tools/call", &call));
                    let end = &secrets[who][secrets[who].len() - 4..];
                    let result = &answer["result"];
                    assert_eq!(
                        (status, &result["end"], &result["pid"]),
                        (200, &json!(end), &json!(pids[who]))
                    );
                }
            });
        }
    });
    // What one locks, takes away or has is nothing to the other.
    team.post("/v1/locks", &keys[0], &json!({ "server": "my-amazon-server" }));
    assert_eq!(code(&team.call(&keys[0], "amazon.order")), "locked");
    assert_eq!(team.pid(&keys[1], "amazon.order"), pids[1]);
    let third = json!({ "server_id": "third", "name": "x", "command": "node", "args": ["other.js"], "tool_prefix": "third." });
    team.registers(&keys[1], &third);
    assert_eq!(team.call(&keys[0], "third.order")["error"]["code"], -32602);
    let unknown = team.send(
        "GET",
        "/functions/v1/mcp-servers/health?server_id=third",
        &keys[0],
        &Value::Null,
    );
    assert_eq!(unknown["error"]["code"], "not_found");
}

// TN-10
#[test]
fn no_program_is_registered_that_is_not_allowed_or_with_a_variable_that_makes_it_another() {
    let team = Team::with(sandbox(), TEAM);
    let key = team.key.clone();
    let register = |team: &Team, body: &Value| {
        let answer = team.post("/functions/v1/mcp-servers/register", &team.key, body);
        answer["error"]["code"].as_str().unwrap_or_default().to_owned()
    };
    for (command, args) in [
        ("sh", json!(["-c", "env"])),
        ("/bin/sh", json!(["@mycompany/amazon-mcp-server"])),
        ("npx", json!(["-y", "x"])),
        ("node", json!(["-e", "evil"])),
    ] {
        let mut body = registration("x", "x.");
        (body["command"], body["args"]) = (json!(command), args);
        assert_eq!(register(&team, &body), "command_not_allowed", "{body}");
    }
    let from = json!({ "service": "amazon", "field": "api_key" });
    for variable in ["NODE_OPTIONS", "LD_PRELOAD", "PATH", "BASH_ENV"] {
        let mut body = registration("x", "x.");
        body["secrets"] = json!({ variable: from });
        assert_eq!(register(&team, &body), "invalid_request", "{variable}");
    }
    team.stores(&key, &json!({ "api_key": "value-of-a-test" }));
    team.registers(&key, &registration("my-amazon-server", "amazon."));
    assert!(team.pid(&key, "amazon.order") > 0);
    // `ld.` and a field `preload` would be a variable by default.
    let credential = json!({ "service": "ld", "credentials": { "preload": "/tmp/x.so" } });
    team.post("/functions/v1/credentials/store", &key, &credential);
    team.registers(&key, &registration("ld", "ld."));
    let refused = team.call(&key, "ld.order");
    assert!(refused["result"]["pid"].is_null(), "{refused}");
}

#[test]
fn a_program_of_a_tenant_is_in_a_room_where_it_sees_what_the_operator_lets_it() {
    let place = sandbox();
    let script = place.path("@mycompany/amazon-mcp-server");
    let folder = script.parent().unwrap().display().to_string();
    let command = format!("command = \"node\", args = \"{}\"", script.display());
    let file = |read: &str| {
        let (before, _) = TEAM.split_once("isolate").unwrap();
        format!(
            "{before}allowed_commands = [{{ {command}{read} }}]\nallow_ips = [\"127.0.0.1/32\"]\n\
             insecure_transport = true\n"
        )
    };
    let mut team = Team::with(place, &file(""));
    let key = team.key.clone();
    team.stores(&key, &json!({ "api_key": "value-of-a-test" }));
    let mut body = registration("my-amazon-server", "amazon.");
    body["args"] = json!([script]);
    team.registers(&key, &body);
    let unseen = team.call(&key, "amazon.order");
    assert!(unseen["result"]["pid"].is_null(), "{unseen}");
    // The same with its folder.
    team.sandbox
        .write(".config/strongroom/strongroom.toml", &file(&format!(", read = [\"{folder}\"]")));
    team.serve();
    assert!(team.pid(&key, "amazon.order") < 20, "its own processes are all that it counts");
    let names = team.call(&key, "amazon.names")["result"]["names"].to_string();
    assert!(names.contains("AMAZON_API_KEY") && !names.contains("STRONGROOM"), "{names}");
}

#[test]
fn a_tenant_has_so_many_processes_and_the_one_that_nobody_calls_gives_way() {
    let file = TEAM.to_owned() + "limits = { processes = 1, mounted = 2 }\n";
    let team = Team::with(sandbox(), &file);
    let key = team.key.clone();
    team.stores(&key, &json!({ "api_key": "value-of-a-test" }));
    let named = json!({ "AMAZON_API_KEY": { "service": "amazon", "field": "api_key" } });
    for id in ["a", "b", "c"] {
        let mut body = registration(id, &format!("{id}."));
        body["secrets"] = named.clone();
        team.registers(&key, &body);
    }
    let first = team.pid(&key, "a.order");
    let second = team.pid(&key, "b.order");
    until("the first one gave way", || !runs(first));
    assert!(runs(second));
    assert_eq!(team.call(&key, "c.order")["error"]["code"], -32602, "two are mounted");
    // The one that runs is busy: nobody else gets its place.
    let (url, slow) = (team.url.clone(), key.clone());
    let call = message("tools/call", &json!({ "name": "b.slow", "arguments": {} }));
    let busy = std::thread::spawn(move || Line::to(&url).post("/mcp", &slow, &call));
    let mark = team.sandbox.path(".cache/slow");
    until("the slow call is under way", || mark.exists());
    let refused = team.call(&key, "a.order");
    assert_eq!(code(&refused), "rate_limited", "{refused}");
    // The other tenant has places of its own.
    let other = self::second(&team);
    team.stores(&other, &json!({ "api_key": "value-of-a-test" }));
    team.registers(&other, &registration("a", "amazon."));
    assert!(team.pid(&other, "amazon.order") > 0);
    team.sandbox.run("tenant disable shop").ok();
    let (status, answer) = busy.join().unwrap();
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthenticated")));
    until("nothing of a tenant that was suspended runs", || !runs(second));
}

#[test]
fn a_server_that_nobody_calls_is_ended_and_started_by_the_next_call() {
    let file = TEAM.to_owned() + "limits = { idle = \"100ms\" }\n";
    let team = Team::with(sandbox(), &file);
    let key = team.key.clone();
    team.stores(&key, &json!({ "api_key": "value-of-a-test" }));
    team.registers(&key, &registration("my-amazon-server", "amazon."));
    let first = team.pid(&key, "amazon.order");
    until("it is put to rest", || !runs(first));
    let health = team.health(&key, "my-amazon-server");
    assert_eq!(health["state"], "stopped", "{health}");
    assert_eq!(health["tools"].as_array().unwrap().len(), 5, "what it offers is known: {health}");
    assert_ne!(team.pid(&key, "amazon.order"), first);
}

#[test]
fn what_one_node_is_told_is_so_on_the_other() {
    let server = Server::start();
    let team = Team::with(in_postgres(&server), TEAM);
    let key = team.key.clone();
    let mut other = team.sandbox.child(&["serve", "--team", "--listen", "127.0.0.1:0"]);
    let url = address(&mut other);
    let on_other = |tool: &str| {
        let call = message("tools/call", &json!({ "name": tool, "arguments": {} }));
        Line::to(&url).post("/mcp", &key, &call).1
    };
    team.stores(&key, &json!({ "api_key": "value-of-a-test-aaaa" }));
    team.registers(&key, &registration("my-amazon-server", "amazon."));
    let here = team.pid(&key, "amazon.order");
    let there = on_other("amazon.order");
    assert_eq!(there["result"]["end"], "aaaa", "{there}");
    let pid = there["result"]["pid"].as_u64().unwrap();
    assert_ne!(here, pid, "each node has its own");
    team.stores(&key, &json!({ "api_key": "value-of-a-test-bbbb" }));
    until("the other node ends the one with the old key", || !runs(pid));
    assert_eq!(on_other("amazon.order")["result"]["end"], "bbbb");
    let deleted = json!({ "server_id": "my-amazon-server" });
    team.post("/functions/v1/mcp-servers/delete", &key, &deleted);
    until("it is gone there too", || on_other("amazon.order")["error"]["code"] == -32602);
    other.end(Duration::from_secs(20)).unwrap();
}

// TN-11
#[test]
fn whoever_listens_is_told_of_changes_until_he_is_let_in_no_more() {
    let team = Team::with(sandbox(), TEAM);
    let other = second(&team);
    let made = team.sandbox.run("key create --tenant shop --scope use --name reader").ok();
    let reader = made.stdout.trim().to_owned();
    let streams =
        [(&team.key, "tenant disable shop"), (&reader, "key disable reader --tenant shop")];
    let mut open: Vec<_> = streams
        .iter()
        .map(|(key, end)| {
            let session = Line::to(&team.url).hello(key);
            (Line::listen(&team.url, key, &session), *end)
        })
        .collect();
    let session = Line::to(&team.url).hello(&other);
    let mut theirs = Line::listen(&team.url, &other, &session);
    let told = |stream: &mut Lines<BufReader<TcpStream>>| {
        stream.any(|line| line.unwrap().contains("notifications/tools/list_changed"))
    };
    team.registers(&team.key, &registration("my-amazon-server", "amazon."));
    for (stream, _) in &mut open {
        assert!(told(stream));
    }
    let gone = json!({ "server_id": "my-amazon-server" });
    team.post("/functions/v1/mcp-servers/delete", &team.key, &gone);
    for (stream, _) in &mut open {
        assert!(told(stream));
    }
    // The reader's key first: the other stream goes on.
    for (mut stream, end) in open.into_iter().rev() {
        team.sandbox.run(end).ok();
        assert!(!told(&mut stream), "it has ended");
    }
    // Another tenant has heard nothing of all this.
    let mut here = registration("my-amazon-server", "amazon.");
    here["name"] = json!("theirs");
    team.registers(&other, &here);
    let said: Vec<_> = std::iter::from_fn(|| {
        let line = theirs.next()?.unwrap();
        (!line.contains("list_changed")).then_some(line)
    })
    .collect();
    assert!(!said.concat().contains("notifications/tools"), "{said:?}");
}

/// Where a node that was just started listens.
fn address(node: &mut Child) -> String {
    let mut lines = BufReader::new(node.stderr().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().contains("Serving a team on "));
    // What else it says is read, so that it is never held up.
    std::thread::spawn(move || lines.for_each(drop));
    line.unwrap().unwrap().trim().rsplit(' ').next().unwrap().to_owned()
}

/// Answers as a server of the modern era; says which key it was asked with.
async fn remote() -> Upstream {
    Upstream::http(|seen| {
        let request: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let result = match request["method"].as_str().unwrap_or_default() {
            "server/discover" => json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
            "tools/list" => json!({ "resultType": "complete", "tools": [{ "name": "order", "inputSchema": {} }], "ttlMs": 5, "cacheScope": "private" }),
            _ => {
                let key = seen.values("authorization").concat();
                json!({ "resultType": "complete", "content": [], "bearer": key.starts_with("Bearer "), "end": &key[key.len().saturating_sub(4)..], "key": key })
            }
        };
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        Reply::ok(answer.to_string()).header("content-type", "application/json")
    })
    .await
}

// SS-11
#[tokio::test(flavor = "multi_thread")]
async fn a_server_at_an_address_is_called_with_its_key_and_only_where_that_may_be_dialled() {
    let upstream = remote().await;
    let port = upstream.address().port();
    let mut team = Team::with(sandbox(), TEAM);
    let key = team.key.clone();
    let secret = canary::of("a key of a remote server");
    team.stores(&key, &json!({ "api_key": secret }));
    let register = |team: &Team, id: &str, url: &str| {
        let from = json!({ "service": "amazon", "field": "api_key" });
        let body = json!({ "server_id": id, "name": id, "url": url, "tool_prefix": format!("{id}."), "secrets": { "Authorization": from } });
        team.post("/functions/v1/mcp-servers/register", &team.key, &body)["ok"] == json!(true)
    };
    assert!(register(&team, "far", &format!("http://127.0.0.1:{port}/mcp")));
    let called = team.call(&key, "far.order");
    let result = &called["result"];
    assert_eq!(
        (&result["bearer"], &result["end"]),
        (&json!(true), &json!(secret[secret.len() - 4..])),
        "{called}"
    );
    assert_eq!(result["key"], "Bearer [REDACTED:amazon]");
    for url in ["file:///etc/passwd", "unix:///run/x", "gopher://h.test/", "http://h.test/"] {
        assert!(!register(&team, "bad", url), "{url}");
    }
    // What may be dialled is looked at when it is dialled, whatever it was when it was registered.
    let file = TEAM.replace("allow_ips = [\"127.0.0.1/32\"]\n", "");
    team.sandbox.write(".config/strongroom/strongroom.toml", &file);
    team.serve();
    let asked = upstream.connections();
    let refused = team.call(&key, "far.order");
    assert!(refused["result"]["end"].is_null(), "{refused}");
    assert_eq!(upstream.connections(), asked, "nothing was dialled");
    assert!(!register(&team, "near", &format!("https://127.0.0.1:{port}/mcp")));
}

#[test]
fn nothing_of_the_servers_is_left_when_the_team_is_killed() {
    let mut team = Team::with(sandbox(), TEAM);
    let key = team.key.clone();
    team.stores(&key, &json!({ "api_key": "value-of-a-test" }));
    team.registers(&key, &registration("my-amazon-server", "amazon."));
    let pid = team.pid(&key, "amazon.order");
    team.serve();
    until("it is gone with its gateway", || !runs(pid));
    let folders = team.sandbox.path(".cache/strongroom/tenants");
    let is_empty = |path: &Path| std::fs::read_dir(path).is_ok_and(|mut all| all.next().is_none());
    until("its folder is gone", || is_empty(&folders));
}
