//! `serve` with the project's own MCP servers next to the broker's tools: real processes, real pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_process::Child;
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;

use crate::sandbox::Sandbox;

/// A server of the `initialize` era in a few lines of shell. It says its key where it is asked to, on
/// descriptor 2 too, and what it was started with.
const SERVER: &str = r#"#!/bin/sh
echo "started with $KEY" >&2
while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *initialize\"*) answer='"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}';;
    *notifications/*) continue;;
    *tools/list*) answer='"result":{"tools":[{"name":"order","inputSchema":{"type":"object"}},{"name":"key","inputSchema":{"type":"object"}},{"name":"pid","inputSchema":{"type":"object"}},{"name":"wait","inputSchema":{"type":"object"}}]}';;
    *'"name":"order"'*) answer="\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"ordered by $1\"}]}";;
    *'"name":"key"'*) answer="\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"<$KEY>\"}]}";;
    *'"name":"pid"'*) answer="\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"$$\"}]}";;
    *'"name":"wait"'*) : > "$2.waits"; while [ ! -e "$2" ]; do sleep 0.02; done; answer='"result":{"content":[{"type":"text","text":"waited"}]}';;
    *) answer='"error":{"code":-32601,"message":"no"}';;
    esac
    printf '%s\n' "{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}"
done
"#;

/// Nothing here takes as long on a machine that has time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `serve` over stdio with a client of the `initialize` era.
pub(crate) struct Serving {
    child: Child,
    reader: BufReader<ChildStdout>,
    writer: ChildStdin,
    next: u64,
    /// Notifications that came in between.
    told: Vec<String>,
}

impl Serving {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, &["serve"])
    }

    fn start_with(sandbox: &Sandbox, words: &[&str]) -> Self {
        let mut child = sandbox.child(words);
        let reader = BufReader::new(child.stdout().unwrap());
        let writer = child.stdin().unwrap();
        let mut serving = Self { child, reader, writer, next: 0, told: Vec::new() };
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                            "clientInfo": { "name": "test", "version": "1" } });
        serving.ask("initialize", &hello);
        serving.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        serving
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.writer, "{message}").unwrap();
    }

    fn post(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    fn answer(&mut self, id: u64) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "it has ended");
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return message;
            }
            self.told.extend(message["method"].as_str().map(str::to_owned));
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.post(method, params);
        self.answer(id)
    }

    pub(crate) fn list(&mut self) -> Value {
        self.ask("tools/list", &json!({}))
    }

    /// The tools that are not our own.
    fn tools(&mut self) -> Vec<String> {
        let list = self.list();
        let names = list["result"]["tools"].as_array().unwrap().iter();
        let names = names.map(|tool| tool["name"].as_str().unwrap().to_owned());
        names
            .filter(|name| name.rsplit('_').next().is_some_and(|end| TOOLS.contains(&end)))
            .collect()
    }

    /// The text that a tool answers, or why there is none.
    fn call(&mut self, tool: &str) -> String {
        let id = self.post("tools/call", &json!({ "name": tool, "arguments": {} }));
        text(&self.answer(id))
    }

    /// Hangs up; what was said on stderr.
    pub(crate) fn finish(self) -> String {
        use std::io::Read as _;

        let Self { mut child, writer, .. } = self;
        let mut stderr = child.stderr().unwrap();
        drop(writer);
        let status = child.wait_timeout(Duration::from_secs(30)).unwrap().unwrap();
        assert!(status.success(), "{status}");
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

const TOOLS: [&str; 4] = ["order", "key", "pid", "wait"];

pub(crate) fn text(answer: &Value) -> String {
    let result = &answer["result"];
    let refused = &result["structuredContent"]["error"]["code"];
    let text = refused.as_str().or(result["content"][0]["text"].as_str());
    text.map_or_else(|| answer["error"]["code"].to_string(), str::to_owned)
}

/// A home with a server `shop` that has `key`.
fn shop(key: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let sandbox = sandbox.with("PATH", "/usr/bin:/bin");
    sandbox.run("init --headless").ok();
    sandbox.feed(&["secrets", "set", "shop/key", "--for", "launch:shop", "--key-stdin"], key).ok();
    add(&sandbox, "shop", &["--secret", "KEY=local://shop/key"]);
    sandbox
}

fn add(sandbox: &Sandbox, name: &str, options: &[&str]) {
    let script = sandbox.write("bin/server", SERVER).display().to_string();
    let flag = sandbox.path("flag").display().to_string();
    let command = ["--", "/bin/sh", &script, name, &flag];
    sandbox.feed(&[&["mcp", "add", name], options, &command].concat(), "").ok();
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lives(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid).exists()
}

#[test]
fn tools_of_a_server_are_listed_and_called_with_its_secrets_which_nobody_sees() {
    let key = canary::of("a key of a mounted server");
    let sandbox = shop(&key);
    let mut serving = Serving::start(&sandbox);
    assert_eq!(serving.tools(), ["shop_order", "shop_key", "shop_pid", "shop_wait"]);
    assert_eq!(serving.call("shop_order"), "ordered by shop");
    assert_eq!(serving.call("shop.order"), "ordered by shop");
    let shown = serving.call("shop_key");
    assert_eq!(shown, "<[REDACTED:shop]>", "it has the key, and it does not come out");

    let oracle = Oracle::new(&[("the key", key.as_bytes())]);
    assert!(oracle.scan_command_lines().is_empty());
    oracle.assert_clean("stderr", serving.finish());
    oracle.assert_tree_clean(&sandbox.path(""));
    let log = sandbox.run("logs --json").ok().stdout;
    assert!(log.contains("tools/call") && log.contains("shop"), "{log}");
}

#[test]
fn a_broken_server_is_named_and_hides_nothing_of_another() {
    let sandbox = shop("a-key-0123456789");
    sandbox.feed(&["mcp", "add", "bad", "--", "/bin/sh", "-c", "exit 9"], "").ok();
    sandbox.feed(&["mcp", "add", "poor", "--secret", "K=local://none", "--", "/bin/cat"], "").ok();
    add(&sandbox, "second", &[]);
    let mut serving = Serving::start(&sandbox);
    let list = serving.list();
    let missing = list["result"]["_meta"]["io.strongroom/missing"].as_array().unwrap();
    let missing: Vec<_> = missing.iter().map(|it| it["server"].as_str().unwrap()).collect();
    assert_eq!(missing, ["bad", "poor"], "{list}");
    let tools = serving.tools();
    assert!(tools.contains(&"shop_order".into()) && tools.contains(&"second_order".into()));
    assert_eq!(serving.call("second_order"), "ordered by second");
    assert_eq!(serving.call("shop_order"), "ordered by shop");
    serving.finish();
}

#[test]
fn a_switch_is_seen_by_the_next_request_and_what_was_running_ends_after_its_calls() {
    let sandbox = shop("a-key-0123456789");
    let mut serving = Serving::start(&sandbox);
    let pid = serving.call("shop_pid");
    assert!(lives(&pid));
    let waiting = serving.post("tools/call", &json!({ "name": "shop_wait", "arguments": {} }));
    eventually("it waits", || sandbox.path("flag.waits").exists());

    sandbox.run("mcp disable shop --user").ok();
    assert!(serving.tools().is_empty());
    assert_eq!(serving.call("shop_order"), "-32602");
    sandbox.write("flag", "");
    assert_eq!(text(&serving.answer(waiting)), "waited", "what was asked before is answered");
    eventually("the server ends", || !lives(&pid));

    sandbox.run("mcp enable shop --user").ok();
    assert_eq!(serving.tools().len(), 4);
    assert_eq!(serving.call("shop_order"), "ordered by shop");
    assert_ne!(serving.call("shop_pid"), pid);
    serving.finish();
}

#[test]
fn an_edit_of_a_server_is_used_by_the_next_call_and_one_of_another_leaves_it_alone() {
    let sandbox = shop("a-key-0123456789");
    add(&sandbox, "other", &[]);
    let mut serving = Serving::start(&sandbox);
    let pids = [serving.call("shop_pid"), serving.call("other_pid")];
    let file = ".config/strongroom/strongroom.toml";
    let config = sandbox.read(file);
    assert!(config.contains("\"other\""), "{config}");
    sandbox.write(file, &config.replace("\"other\"", "\"another\""));
    // The name is the last word that the server is started with.
    let edited = sandbox.read(file).contains("another");
    assert!(edited);
    let answer = serving.call("other_order");
    assert!(answer == "ordered by another" || answer == "-32602", "{answer}");
    assert_eq!(serving.call("shop_pid"), pids[0], "its definition is the same");
    eventually("the old one ends", || !lives(&pids[1]));
    serving.finish();
}

#[test]
fn a_locked_server_is_ended_at_once_and_comes_back_unlocked() {
    let sandbox = shop("a-key-0123456789");
    let mut serving = Serving::start(&sandbox);
    let pid = serving.call("shop_pid");
    let waiting = serving.post("tools/call", &json!({ "name": "shop_wait", "arguments": {} }));
    eventually("it waits", || sandbox.path("flag.waits").exists());
    sandbox.run("lock --server shop").ok();
    assert_eq!(text(&serving.answer(waiting)), "upstream_error", "a lock waits for no call");
    assert!(serving.tools().is_empty());
    eventually("the server ends", || !lives(&pid));
    sandbox.run("unlock").ok();
    assert_eq!(serving.call("shop_order"), "ordered by shop");
    serving.finish();
}

// SC-04
#[test]
fn a_projects_own_server_is_mounted_once_its_text_is_trusted() {
    let sandbox = shop("a-key-0123456789");
    let script = sandbox.path("bin/server").display().to_string();
    let text = format!(
        "enable = [\"theirs\"]\n[servers.theirs]\ncommand = [\"/bin/sh\", \"{script}\", \"theirs\"]\n"
    );
    let mut serving = Serving::start(&sandbox);
    sandbox.write("strongroom.toml", &text);
    assert_eq!(serving.call("theirs_order"), "-32602");
    sandbox.run("trust strongroom.toml").ok();
    assert_eq!(serving.call("theirs_order"), "ordered by theirs");
    sandbox.write("strongroom.toml", &format!("{text}# changed\n"));
    assert_eq!(serving.call("theirs_order"), "-32602");
    assert_eq!(serving.call("shop_order"), "ordered by shop");
    serving.finish();
}

#[test]
fn nothing_of_a_server_is_left_when_serve_ends_however_that_comes() {
    for how in ["hang up", "TERM", "KILL"] {
        let sandbox = shop("a-key-0123456789");
        let mut serving = Serving::start(&sandbox);
        let pid = serving.call("shop_pid");
        assert!(lives(&pid));
        if how == "hang up" {
            serving.finish();
        } else {
            let kill = format!("kill -{how} {}", serving.child.id());
            sandbox.start(std::path::Path::new("/bin/sh"), &["-c", &kill]).ok();
        }
        eventually(how, || !lives(&pid));
    }
}

/// What `servers status` says of a server, and how it ends.
fn status(sandbox: &Sandbox, server: &str) -> (Value, i32) {
    let ran = sandbox.run("servers status --json");
    let answer = ran.json();
    let servers = answer["serving"][0]["servers"].as_array().cloned().unwrap_or_default();
    let row = servers.into_iter().find(|row| row["name"] == server).unwrap_or_default();
    (row, ran.code)
}

#[test]
fn the_status_says_what_each_server_is_doing_and_why_one_is_not_there() {
    let key = canary::of("a key in the status");
    let sandbox = shop(&key);
    assert_eq!(sandbox.run("servers status --json").ok().json(), json!({ "serving": [] }));
    add(&sandbox, "off", &["--off"]);
    let mut serving = Serving::start(&sandbox);
    let state = |server: &str| status(&sandbox, server).0["state"].clone();
    eventually("it is idle", || state("shop") == "idle");
    assert_eq!(state("off"), "off");
    assert_eq!(serving.tools().len(), 4);
    eventually("it is ready", || status(&sandbox, "shop").0["tools"] == 4);
    let (row, code) = status(&sandbox, "shop");
    assert_eq!((&row["state"], &row["restarts"], code), (&json!("ready"), &json!(0), 0), "{row}");
    let pid = row["pid"].as_u64().unwrap();
    assert!(lives(&pid.to_string()) && row["uptime_s"].is_u64(), "{row}");
    assert_eq!(row["stderr"], json!(["started with [REDACTED:shop]"]));

    // The child is killed; the next call starts it again.
    let first = serving.call("shop_pid");
    sandbox.start(std::path::Path::new("/bin/sh"), &["-c", &format!("kill -KILL {first}")]).ok();
    eventually("its end is seen", || state("shop") != "ready");
    let why = status(&sandbox, "shop").0["last_error"].clone();
    assert_eq!(why, "the server has ended (signal: 9 (SIGKILL))");
    assert_ne!(serving.call("shop_pid"), first);
    eventually("it runs again", || status(&sandbox, "shop").0["restarts"] == 1);

    sandbox.run("lock --server shop").ok();
    eventually("it is locked", || state("shop") == "locked");
    assert_eq!(status(&sandbox, "shop").1, 4);
    let text = sandbox.run("servers status");
    assert!(
        text.stdout.contains("the server `shop` is locked: run `strongroom unlock`"),
        "{text:?}"
    );
    let unknown = sandbox.run("servers status shp");
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `shop`?"), "{unknown:?}");
    Oracle::new(&[("the key", key.as_bytes())]).assert_clean("the status", &text.stdout);
    serving.finish();
    assert_eq!(sandbox.run("servers status --json").ok().json(), json!({ "serving": [] }));
}

#[test]
fn rules_say_which_tools_are_listed_and_called_and_with_which_arguments() {
    let sandbox = shop("a-key-0123456789");
    let file = ".config/strongroom/strongroom.toml";
    let config = sandbox.read(file);
    assert_eq!(sandbox.run("mcp show shop --json").ok().json()["tools"], json!(["allow *"]));
    let mut serving = Serving::start(&sandbox);
    let pid = serving.call("shop_pid");
    let rules = "tools = [\"allow pid\", \"deny KEY\", { rule = \"allow order\", arguments = [\"amount <= 5\"] }]";
    sandbox.write(file, &config.replace("[servers.shop]\n", &format!("[servers.shop]\n{rules}\n")));
    assert_eq!(serving.tools(), ["shop_order", "shop_pid"]);
    let mut order = |amount: u32| {
        let call = json!({ "name": "shop_order", "arguments": { "amount": amount } });
        let id = serving.post("tools/call", &call);
        text(&serving.answer(id))
    };
    assert_eq!([order(5), order(6)], ["ordered by shop", "policy_denied"]);
    assert_eq!([serving.call("shop_key"), serving.call("shop_wait")], ["policy_denied"; 2]);
    assert_eq!(serving.call("shop_pid"), pid, "a rule starts nothing anew");
    let shown = sandbox.run("mcp show shop").ok().stdout;
    assert!(shown.contains("allow order where amount <= 5"), "{shown}");
    serving.finish();
}

#[test]
fn a_secret_that_is_another_one_is_what_the_server_has_soon() {
    let sandbox = shop("a-key-0123456789");
    add(&sandbox, "other", &[]);
    let mut serving = Serving::start(&sandbox);
    let pids = [serving.call("shop_pid"), serving.call("other_pid")];
    let words = ["secrets", "set", "shop/key", "--for", "launch:shop", "--key-stdin"];
    sandbox.feed(&words, "another-key-9876543210").ok();
    eventually("it is started anew", || serving.call("shop_pid") != pids[0]);
    assert_eq!(serving.call("shop_key"), "<[REDACTED:shop]>", "it has the new one");
    assert_eq!(serving.call("other_pid"), pids[1]);
    eventually("the old one ends", || !lives(&pids[0]));
    serving.finish();
}

#[test]
fn one_that_nobody_uses_ends_and_is_started_by_the_next_call() {
    let sandbox = shop("a-key-0123456789");
    let file = ".config/strongroom/strongroom.toml";
    let config = sandbox.read(file);
    for key in ["idle", "lifetime"] {
        let with = format!("[servers.shop]\n{key} = \"1s\"\n");
        sandbox.write(file, &config.replace("[servers.shop]\n", &with));
        let mut serving = Serving::start(&sandbox);
        let pid = serving.call("shop_pid");
        eventually(key, || !lives(&pid));
        assert_ne!(serving.call("shop_pid"), pid);
        serving.finish();
    }
}

#[test]
fn without_its_servers_there_are_the_brokers_tools_alone() {
    let sandbox = shop("a-key-0123456789");
    let mut serving = Serving::start_with(&sandbox, &["serve", "--broker-only"]);
    assert!(serving.tools().is_empty());
    assert_eq!(serving.call("shop_order"), "-32602");
    serving.finish();
}

#[test]
fn a_client_is_told_when_a_server_is_switched_though_nobody_calls() {
    let sandbox = shop("a-key-0123456789");
    let mut serving = Serving::start(&sandbox);
    assert_eq!(serving.tools().len(), 4);
    serving.told.clear();
    sandbox.run("mcp disable shop --user").ok();
    eventually("it is told", || {
        serving.ask("ping", &json!({}));
        serving.told.iter().any(|told| told == "notifications/tools/list_changed")
    });
    assert!(serving.tools().is_empty());
    serving.finish();
}
