//! `serve` as its clients meet it: a real child process, real pipes, a real upstream.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom::demo::client::Client;
use strongroom_process::Child;
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Upstream};

use crate::sandbox::Sandbox;

/// A `serve` with a client at its pipes.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) client: Client<BufReader<ChildStdout>, ChildStdin>,
}

impl Serving {
    pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        Self::of(sandbox.child(arguments))
    }

    /// At the pipes of `child`.
    pub(crate) fn of(mut child: Child) -> Self {
        let stdout = BufReader::new(child.stdout().unwrap());
        let mut client = Client::new(stdout, child.stdin().unwrap());
        assert!(client.start("test").unwrap().contains(&"execute".to_owned()));
        Self { child, client }
    }

    pub(crate) fn execute(&mut self, service: &str, method: &str, path: &str) -> Value {
        self.call(&json!({ "service": service, "method": method, "path": path }))
    }

    /// One call of `execute`.
    pub(crate) fn call(&mut self, arguments: &Value) -> Value {
        self.client.call("execute", arguments).unwrap()
    }

    /// Hangs up and returns what was said on stderr.
    pub(crate) fn finish(self) -> String {
        let Self { mut child, client } = self;
        let mut stderr = child.stderr().unwrap();
        drop(client);
        let status = child.wait_timeout(Duration::from_secs(30)).unwrap().unwrap();
        assert!(status.success(), "{status}");
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

/// An upstream that says which key it got and echoes it in several forms.
pub(crate) async fn echo() -> Upstream {
    Upstream::http(|seen| {
        let key = seen.values("authorization").concat();
        let key = key.strip_prefix("Bearer ").unwrap_or("none");
        let last = &key[key.len().saturating_sub(2)..];
        Reply::ok(json!({ "you_sent": key, "last": last }).to_string())
            .header("content-type", "application/json")
    })
    .await
}

/// A home with a service `echo` at `upstream` and this key.
pub(crate) fn home(upstream: &Upstream, key: &str) -> Sandbox {
    let sandbox = Sandbox::headless();
    add(&sandbox, "echo", upstream, key);
    sandbox
}

pub(crate) fn add(sandbox: &Sandbox, name: &str, upstream: &Upstream, key: &str) {
    let url = format!("http://{}", upstream.address());
    let arguments = [
        "add",
        name,
        "--base-url",
        &url,
        "--auth",
        "bearer",
        "--insecure-transport",
        "--allow-ip",
        "127.0.0.1/32",
        "--key-stdin",
    ];
    sandbox.feed(&arguments, &format!("{key}\n")).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_typed_elsewhere_stops_every_running_process_at_its_next_call() {
    let upstream = echo().await;
    let sandbox = home(&upstream, &canary::of("a lock"));
    add(&sandbox, "other", &upstream, &canary::of("another lock"));
    let mut serving = [Serving::start(&sandbox, &["serve"]), Serving::start(&sandbox, &["serve"])];
    let code = |serving: &mut Serving, service: &str| {
        let answer = serving.execute(service, "GET", "/x");

        answer["error"]["code"].as_str().unwrap_or("fine").to_owned()
    };
    for serving in &mut serving {
        assert_eq!(code(serving, "echo"), "fine");
    }
    sandbox.run("lock echo").ok();
    for serving in &mut serving {
        assert_eq!(code(serving, "echo"), "locked");
        assert_eq!(code(serving, "other"), "fine");
    }
    sandbox.run("lock").ok();
    let sent = upstream.requests();
    for serving in &mut serving {
        assert_eq!(code(serving, "other"), "locked");
    }
    assert_eq!(upstream.requests(), sent);
    sandbox.run("unlock").ok();
    for serving in serving {
        let mut serving = serving;
        assert_eq!(code(&mut serving, "echo"), "fine");
        serving.finish();
    }
    let log = sandbox.run("logs --json").ok();
    assert!(log.stdout.contains("locked"), "{}", log.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_call_has_the_key_and_its_answer_has_not() {
    let key = canary::of("an allowed call");
    let upstream = echo().await;
    let sandbox = home(&upstream, &key);
    let mut serving = Serving::start(&sandbox, &["serve"]);

    let answer = serving.execute("echo", "GET", "/things?page=2");
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(answer["body"]["you_sent"], "[REDACTED:echo]");
    assert_eq!(answer["redactions"], 1);
    let seen = upstream.seen();
    assert_eq!(seen[0].values("authorization"), [format!("Bearer {key}")]);
    assert_eq!(seen[0].target, "/things?page=2");

    let oracle = Oracle::new(&[("the key", key.as_bytes())]);
    oracle.assert_clean("the answer", answer.to_string());
    assert!(oracle.scan_command_lines().is_empty());
    oracle.assert_clean("stderr", serving.finish());
    oracle.assert_tree_clean(&sandbox.path(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_never_leaves() {
    let upstream = echo().await;
    let sandbox = home(&upstream, "a-key-0123456789");
    let mut serving = Serving::start(&sandbox, &["serve"]);

    let refused = serving.execute("echo", "POST", "/things");
    assert_eq!(refused["error"]["code"], "policy_denied", "{refused}");
    assert_eq!(refused["error"]["retry"], "never");
    assert_eq!(upstream.connections(), 0);
    // The same call, once it is allowed.
    sandbox.feed(&["edit", "echo", "--allow", "POST /things"], "").ok();
    assert_eq!(serving.execute("echo", "POST", "/things")["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_can_be_read_afterwards() {
    let upstream = echo().await;
    let sandbox = home(&upstream, "a-key-0123456789");
    sandbox.run("principal create claude").ok();
    let mut serving = Serving::start(&sandbox, &["serve", "--as", "claude"]);
    serving.execute("echo", "GET", "/things?secret=in-the-query");
    serving.execute("echo", "DELETE", "/things");
    serving.execute("nothing", "GET", "/\u{1b}[2J");

    let logs = sandbox.run("logs").ok().stdout;
    let lines: Vec<&str> = logs.lines().map(|line| line.split_once(" | ").unwrap().1).collect();
    assert_eq!(lines[0], "cli | headless | home.create");
    assert_eq!(lines[1], "cli | echo | service.add");
    assert_eq!(lines[2], "cli | claude | principal.create");
    assert!(lines[3].starts_with("agent:claude | echo | GET /things | 200 | "), "{}", lines[3]);
    assert_eq!(lines[4], "agent:claude | echo | DELETE /things | BLOCKED | policy violation");
    assert!(lines[5].starts_with("agent:claude | nothing | GET /"), "{}", lines[5]);
    assert!(!logs.contains(['\u{1b}', '?']), "{logs:?}");

    let denied = sandbox.run("logs --denied --json --service echo").ok().stdout;
    let denied: Value = serde_json::from_str(denied.trim()).unwrap();
    assert_eq!(denied["code"], "policy_denied");
    let verified = sandbox.run("audit verify --json").ok().json();
    assert_eq!((&verified["intact"], &verified["records"]), (&json!(true), &json!(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_used_at_the_next_call_of_every_running_process() {
    let (old, new) = (canary::of("the old one"), canary::of("the new one"));
    let upstream = echo().await;
    let sandbox = home(&upstream, &old);
    let mut first = Serving::start(&sandbox, &["serve"]);
    let mut second = Serving::start(&sandbox, &["serve"]);
    for serving in [&mut first, &mut second] {
        assert_eq!(serving.execute("echo", "GET", "/")["body"]["last"], old[38..]);
    }

    sandbox.feed(&["edit", "echo", "--key-stdin"], &new).ok();
    for serving in [&mut first, &mut second] {
        let answer = serving.execute("echo", "GET", "/");
        assert_eq!(answer["body"]["last"], new[38..], "{answer}");
        assert_eq!(answer["body"]["you_sent"], "[REDACTED:echo]");
    }
    // The next process, too.
    let mut third = Serving::start(&sandbox, &["serve"]);
    assert_eq!(third.execute("echo", "GET", "/")["body"]["last"], new[38..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_breaks_the_configuration_leaves_the_last_good_one_in_force() {
    const FILE: &str = ".config/strongroom/strongroom.toml";
    let upstream = echo().await;
    let sandbox = home(&upstream, "a-key-0123456789");
    let mut serving = Serving::start(&sandbox, &["serve"]);
    assert_eq!(serving.execute("echo", "GET", "/")["status"], 200);

    let good = sandbox.read(FILE);
    sandbox.write(FILE, &format!("{good}\n[services.canary]\nbase_ulr = \"sk-canary\"\n"));
    assert_eq!(serving.execute("echo", "GET", "/")["status"], 200);
    assert_eq!(serving.execute("echo", "GET", "/")["status"], 200);

    // A good edit counts from the next call on: whoever has no rule may nothing.
    sandbox.write(FILE, &good.replace("allow = [\"GET /**\", \"HEAD /**\"]", "allow = []"));
    let refused = serving.execute("echo", "GET", "/");
    assert_eq!(refused["error"]["code"], "policy_denied", "{refused}");

    // Each of the two is on record, although no command made it (AL-06).
    let logs = sandbox.run("logs").ok().stdout;
    for act in ["config.refuse", "config.reload"] {
        let line = format!("| serve | strongroom.toml | {act}");
        assert_eq!(logs.matches(&line).count(), 1, "{act}: {logs}");
    }

    let stderr = serving.finish();
    assert_eq!(stderr.matches("stays as it was before the last edit").count(), 1, "{stderr}");
    assert!(stderr.contains("unknown key `base_ulr`") && !stderr.contains("sk-canary"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_others_and_one_that_is_not_there_look_the_same() {
    let upstream = echo().await;
    let sandbox = home(&upstream, "a-key-0123456789");
    sandbox.run("principal create claude").ok();
    sandbox.feed(&["edit", "echo", "--principal", "claude"], "").ok();
    let mut serving = Serving::start(&sandbox, &["serve"]);

    let mut of = |service: &str| {
        let mut answer = serving.execute(service, "GET", "/");
        answer["error"]["audit_id"].take();
        answer.to_string()
    };
    assert_eq!(of("echo"), of("nope"));
    assert!(of("echo").contains("not_found"));
    let list = serving.client.call("list_services", &json!({})).unwrap();
    assert!(!list.to_string().contains("echo"), "{list}");

    let mut claude = Serving::start(&sandbox, &["serve", "--as", "claude"]);
    assert_eq!(claude.execute("echo", "GET", "/")["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_follow_show_a_call_when_it_ends() {
    let upstream = echo().await;
    let sandbox = home(&upstream, "a-key-0123456789");
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let mut logs = sandbox.child(&["logs", "-f", "--service", "echo"]);
    let mut lines = BufReader::new(logs.stdout().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("| cli | echo | service.add"));
    serving.execute("echo", "GET", "/now");
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains(" | agent:default | echo | GET /now | 200 | "), "{line}");
    logs.end(Duration::from_secs(10)).unwrap();
}

#[test]
fn logs_that_follow_end_when_nobody_reads_them_though_nothing_happens() {
    let sandbox = Sandbox::initialised();
    let mut logs = sandbox.child(&["logs", "-f"]);
    let mut lines = BufReader::new(logs.stdout().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("home.create"));
    drop(lines);
    let ended = logs.wait_timeout(Duration::from_secs(10)).unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_a_token_says_who_calls_until_it_is_disabled() {
    let upstream = echo().await;
    let sandbox = home(&upstream, "a-key-0123456789");
    let token = sandbox.run("principal create ci").ok().stdout;
    let mut child = sandbox.child(&["serve", "--http", "--listen", "127.0.0.1:0"]);
    let mut line = String::new();
    BufReader::new(child.stderr().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
    let address: SocketAddr = address.parse().unwrap();

    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" }
        }
    });
    assert_eq!(post(address, None, &hello), 401);
    assert_eq!(post(address, Some("sr_wrong"), &hello), 401);
    assert_eq!(post(address, Some(token.trim()), &hello), 200);
    sandbox.run("principal disable ci").ok();
    assert_eq!(post(address, Some(token.trim()), &hello), 401);
    child.end(Duration::from_secs(10)).unwrap();
    Oracle::new(&[("the token", token.trim().as_bytes())]).assert_tree_clean(&sandbox.path(""));
}

/// The status of the answer.
#[expect(clippy::disallowed_methods, reason = "a test dials its own broker")]
fn post(address: SocketAddr, token: Option<&str>, body: &Value) -> u16 {
    let body = body.to_string();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n{token}\
         connection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
