//! What tests of the gateway share: servers in a few lines of script, clients that never wait for ever,
//! and a look at what still runs.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{self, ChildStderr, ChildStdin},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use strongroom_process::Child;

use crate::binary::Home;
use crate::sandbox::Sandbox;

/// Nothing here takes as long on a machine that has time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A home whose servers are these scripts of Python, by their names.
pub(crate) fn home(servers: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new().with("PATH", "/usr/bin:/bin");
    sandbox.run("init --headless").ok();
    for (name, script) in servers {
        let file = sandbox.write(&format!("bin/{name}.py"), &[PRELUDE, script].concat());
        let file = file.display().to_string();
        let command = ["mcp", "add", name, "--", "/usr/bin/python3", "-I", &file];
        sandbox.feed(&command, "").ok();
    }
    sandbox
}

/// What every script begins with: `serve(call)` answers all but `tools/call`, which `call` answers by a
/// text, or by what it says itself.
const PRELUDE: &str = r#"
import json, os, signal, subprocess, sys, threading, time

def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()

def text(id, words):
    say({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": words}]}})

def serve(call, tools=("go",)):
    for line in sys.stdin:
        message = json.loads(line)
        id, method = message.get("id"), message.get("method")
        if id is None:
            continue
        if method == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
        elif method == "tools/list":
            result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in tools]}
        elif method == "tools/call":
            words = call(id, message["params"])
            if words is not None:
                text(id, words)
            continue
        else:
            say({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}})
            continue
        say({"jsonrpc": "2.0", "id": id, "result": result})
"#;

/// A `serve` over stdio with a client of the `initialize` era.
pub(crate) struct Stdio {
    child: Child,
    writer: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Answers that came before they were waited for.
    early: BTreeMap<u64, Value>,
    next: u64,
}

impl Stdio {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let mut child = sandbox.child(&["serve"]);
        let (reader, writer) = (BufReader::new(child.stdout().unwrap()), child.stdin().unwrap());
        // What it says on stderr is read, so that it never waits for us.
        let mut said = child.stderr().unwrap();
        thread::spawn(move || said.read_to_end(&mut Vec::new()));
        let (line, lines) = channel();
        thread::spawn(move || {
            reader.lines().map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        let mut client =
            Self { child, writer: Some(writer), lines, early: BTreeMap::new(), next: 0 };
        client.ask("initialize", &hello());
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&mut self, message: &Value) {
        writeln!(self.writer.as_mut().unwrap(), "{message}").unwrap();
    }

    /// Sends a request; its id.
    pub(crate) fn post(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            if let Some(answer) = self.early.remove(&id) {
                return answer;
            }
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if let Some(id) = message["id"].as_u64() {
                self.early.insert(id, message);
            }
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.post(method, params);
        self.answer(id)
    }

    /// The text that a tool answers, or the code of why it does not.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let id = self.begin(tool, arguments);
        said(&self.answer(id))
    }

    /// Sends a call; its id.
    pub(crate) fn begin(&mut self, tool: &str, arguments: &Value) -> u64 {
        self.post("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Calls until the tool answers this.
    pub(crate) fn call_until(&mut self, tool: &str, expected: &str) {
        eventually(tool, || self.call(tool, &json!({})) == expected);
    }

    /// Hangs up, and waits until the gateway has ended.
    pub(crate) fn finish(mut self) {
        self.writer.take();
        assert!(self.child.wait_timeout(PATIENCE).unwrap().is_some(), "it does not end");
    }

    /// Ends the gateway as nobody asks it to.
    pub(crate) fn kill(mut self) {
        kill(self.pid());
        self.child.wait_timeout(PATIENCE).unwrap().unwrap();
    }
}

/// What opens a session of the `initialize` era.
pub(crate) fn hello() -> Value {
    json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    })
}

/// The text of a result, or the code of a refusal.
pub(crate) fn said(answer: &Value) -> String {
    let result = &answer["result"];
    let refused = &result["structuredContent"]["error"]["code"];
    let text = refused.as_str().or(result["content"][0]["text"].as_str());
    text.map_or_else(|| answer["error"]["code"].to_string(), str::to_owned)
}

const HTTP: [&str; 4] = ["serve", "--http", "--listen", "127.0.0.1:0"];

/// A `serve --http`, until this value goes.
pub(crate) struct Serving {
    pid: u32,
    pub(crate) address: String,
    pub(crate) token: String,
}

impl Serving {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let created = sandbox.run("principal create client --json").ok().json();
        let token = created["token"].as_str().unwrap().to_owned();
        let mut child = sandbox.child(&HTTP);
        Self::listening(child.id(), child.stderr().unwrap(), token)
    }

    /// The same for a home of its own, with these variables and no others.
    #[expect(clippy::zombie_processes, reason = "it is ended with the test")]
    pub(crate) fn of(home: &Home, environment: &[(String, String)]) -> Self {
        let created = home.ask(&["principal", "create", "client", "--json"], "");
        let created: Value = serde_json::from_str(&created).unwrap();
        let token = created["token"].as_str().unwrap().to_owned();
        let mut serve = home.command(&HTTP);
        serve.env_clear().envs(environment.iter().cloned()).current_dir(home.folder());
        let mut child =
            serve.stdin(process::Stdio::null()).stderr(process::Stdio::piped()).spawn().unwrap();
        Self::listening(child.id(), child.stderr.take().unwrap(), token)
    }

    fn listening(pid: u32, stderr: ChildStderr, token: String) -> Self {
        let mut lines = BufReader::new(stderr).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let url = &line[line.find("http://")? + 7..];
            Some(url.split('/').next()?.to_owned())
        });
        // What it says later is read and dropped, so that it never waits for us.
        thread::spawn(move || lines.for_each(drop));
        Self { pid, address: address.unwrap(), token }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A client with a connection of its own.
    #[expect(clippy::disallowed_methods, reason = "the client is real")]
    pub(crate) fn client(&self) -> Http {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let (host, token) = (self.address.clone(), self.token.clone());
        Http { stream, reader, host, token, session: None, next: 0 }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        kill(self.pid());
    }
}

/// A client of the `initialize` era on one connection.
pub(crate) struct Http {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    host: String,
    token: String,
    session: Option<String>,
    next: u64,
}

impl Http {
    /// Opens a session, which takes the place of the one that there was.
    pub(crate) fn open(&mut self) {
        (self.session, self.next) = (None, 0);
        let request =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello() });
        self.send("POST", &request.to_string());
        let answer = self.receive();
        assert!(answer.contains("protocolVersion"), "{answer}");
    }

    /// Ends the session.
    pub(crate) fn close(&mut self) {
        self.send("DELETE", "");
        self.receive();
        self.session = None;
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.begin(tool, arguments);
        serde_json::from_str(&self.receive()).unwrap()
    }

    /// The list of tools.
    pub(crate) fn list(&mut self) -> Value {
        self.post("tools/list", &json!({}));
        serde_json::from_str(&self.receive()).unwrap()
    }

    /// Sends a call, whose answer nobody may wait for.
    pub(crate) fn begin(&mut self, tool: &str, arguments: &Value) {
        self.post("tools/call", &json!({ "name": tool, "arguments": arguments }));
    }

    fn post(&mut self, method: &str, params: &Value) {
        self.next += 1;
        let request =
            json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params });
        self.send("POST", &request.to_string());
    }

    fn send(&mut self, method: &str, body: &str) {
        let mut head = format!(
            "{method} /mcp HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             content-length: {}\r\n",
            self.host,
            self.token,
            body.len()
        );
        if let Some(session) = &self.session {
            let version = "mcp-protocol-version: 2025-11-25";
            head.extend(["mcp-session-id: ", session, "\r\n", version, "\r\n"]);
        }
        self.stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    }

    /// The message of an answer: its body, or the last event of it.
    fn receive(&mut self) -> String {
        let (mut line, mut length, mut chunked) = (String::new(), 0, false);
        loop {
            line.clear();
            assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "the connection ended");
            let lower = line.trim_end().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            chunked |= lower == "transfer-encoding: chunked";
            if lower.starts_with("mcp-session-id:") {
                self.session = line.split(':').nth(1).map(|id| id.trim().to_owned());
            }
        }
        let body = if chunked { self.chunks() } else { self.bytes(length) };
        let body = String::from_utf8(body).unwrap();
        let event = body.lines().rev().find_map(|line| line.strip_prefix("data:"));
        event.map_or_else(|| body.clone(), str::to_owned)
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            body.extend(self.bytes(length));
            self.bytes(2);
            if length == 0 {
                return body;
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// Waits until `is_so`.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The processes that have `mark` on their command line.
pub(crate) fn running(mark: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    })
    .collect()
}

/// Memory of a process in KiB: what `VmRSS` or `VmHWM` says.
pub(crate) fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

/// Ends a process as nobody asks it to.
pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may be gone.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
