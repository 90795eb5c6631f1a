//! Who acts on that day: agents, by the official SDKs, and a person at a terminal.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};

use crate::{
    clients::rig::{installed, script},
    sandbox::{PROGRAM, Sandbox},
};

/// A program that answers each line of JSON with lines of JSON.
struct Puppet {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Everything that it answered.
    answers: String,
    said: PathBuf,
}

impl Puppet {
    fn start(mut program: Command, said: PathBuf) -> Self {
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.stderr(File::create(&said).unwrap()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines, answers: String::new(), said }
    }

    fn tell(&mut self, order: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{order}").unwrap();
    }

    fn answer(&mut self) -> Value {
        let Some(line) = self.lines.next() else {
            panic!("{}", fs::read_to_string(&self.said).unwrap());
        };
        let line = line.unwrap();
        self.answers.push_str(&line);
        self.answers.push('\n');
        serde_json::from_str(&line).unwrap()
    }

    /// Lets it end; what it answered and said.
    fn finish(&mut self) -> String {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        let said = fs::read_to_string(&self.said).unwrap();
        assert!(status.success(), "{status}: {said}");
        format!("{}{said}", self.answers)
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // Where a test fails; otherwise it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An agent at its own `strongroom serve`, or at one over HTTP.
pub(super) struct Agent {
    puppet: Puppet,
    /// The version of MCP, where the SDK says it.
    pub(super) version: Value,
    /// The tools that it found.
    pub(super) tools: Value,
}

impl Agent {
    /// One by the Python SDK; `mode` is that of `agent.py`, `entry` what its configuration says.
    pub(super) fn python(home: &Sandbox, mode: &str, entry: &Value, said: PathBuf) -> Self {
        let mut python = Command::new(installed("python/bin/python"));
        python.arg(script("day/agent.py")).arg(mode);
        Self::start(python, home, entry, said)
    }

    /// One by the TypeScript SDK.
    pub(super) fn typescript(home: &Sandbox, entry: &Value, said: PathBuf) -> Self {
        let mut node = Command::new("node");
        node.arg(script("day/agent.cjs")).env("NODE_PATH", installed("node/node_modules"));
        Self::start(node, home, entry, said)
    }

    fn start(mut program: Command, home: &Sandbox, entry: &Value, said: PathBuf) -> Self {
        program.env("HOME", home.path("")).env("SERVER", entry.to_string());
        let mut puppet = Puppet::start(program, said);
        let hello = puppet.answer();
        Self { puppet, version: hello["version"].clone(), tools: hello["tools"].clone() }
    }

    /// Calls a tool: the structured answer.
    pub(super) fn call(&mut self, tool: &str, input: &Value) -> Value {
        self.puppet.tell(&json!({ "tool": tool, "input": input }));
        self.puppet.answer()["answer"]["structuredContent"].clone()
    }

    /// Calls `execute`, with `more` beside service, method and path.
    pub(super) fn execute(&mut self, service: &str, what: &str, more: &Value) -> Value {
        self.call("execute", &request(service, what, more))
    }

    /// The same, where a person has to say yes: `person` is told the id of the question, and the agent
    /// calls again and again meanwhile. Also, how often it called.
    pub(super) fn insist(
        &mut self,
        service: &str,
        what: &str,
        more: &Value,
        person: impl FnOnce(&str),
    ) -> (Value, u64) {
        let input = request(service, what, more);
        self.puppet.tell(&json!({ "tool": "execute", "input": input, "again": true }));
        let asked = self.puppet.answer();
        assert_eq!(asked["asked"]["code"], "approval_denied", "{asked}");
        person(asked["asked"]["approval_id"].as_str().unwrap());
        let last = self.puppet.answer();
        (last["answer"]["structuredContent"].clone(), last["times"].as_u64().unwrap())
    }

    /// Calls `exec`; the words are separated by blanks.
    pub(super) fn exec(&mut self, service: &str, words: &str) -> Value {
        let words: Vec<&str> = words.split(' ').collect();
        self.call("exec", &json!({ "service": service, "command": words }))
    }

    /// Ends it; everything that it saw, and what it and its `serve` said.
    pub(super) fn finish(mut self) -> String {
        self.puppet.finish()
    }
}

fn request(service: &str, what: &str, more: &Value) -> Value {
    let (method, path) = what.split_once(' ').unwrap();
    let mut input = json!({ "service": service, "method": method, "path": path });
    for (name, value) in more.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    input
}

/// A person at a terminal, in a home of theirs.
pub(super) struct Person {
    puppet: Puppet,
}

impl Person {
    pub(super) fn new(home: &Sandbox, said: PathBuf) -> Self {
        let mut python = Command::new("/usr/bin/python3");
        python.arg(script("day/person.py")).current_dir(home.path(""));
        python.env_clear().env("HOME", home.path("")).env("PATH", PATH).env("NO_COLOR", "1");
        Self { puppet: Puppet::start(python, said) }
    }

    /// Types a command, which succeeds, and the keys that it asks for; what the terminal shows.
    pub(super) fn types(&mut self, arguments: &[&str], keys: &[&str]) -> String {
        let command = [&[PROGRAM], arguments].concat();
        self.puppet.tell(&json!({ "command": command, "keys": keys }));
        let answer = self.puppet.answer();
        assert_eq!(answer["code"], 0, "{answer:#}");
        answer["shown"].as_str().unwrap().to_owned()
    }

    /// The same for words that are separated by blanks.
    pub(super) fn says(&mut self, words: &str) -> String {
        self.types(&words.split(' ').collect::<Vec<_>>(), &[])
    }

    /// Everything that the terminal showed.
    pub(super) fn finish(mut self) -> String {
        self.puppet.finish()
    }
}

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// `strongroom serve --http`, until this value goes.
pub(super) struct Http {
    child: Child,
    said: Option<JoinHandle<String>>,
    /// Where it listens.
    pub(super) url: String,
}

impl Http {
    pub(super) fn start(home: &Path) -> Self {
        let mut serve = Command::new(PROGRAM);
        serve.args(["serve", "--http", "--listen", "127.0.0.1:0"]).env_clear().env("HOME", home);
        serve.env("PATH", PATH).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut all = String::new();
        let url = lines.find_map(|line| {
            all.push_str(&line);
            let at = line.find("http://")?;
            Some(line[at..].split_whitespace().next()?.to_owned())
        });
        let said = thread::spawn(move || all + &lines.collect::<Vec<_>>().join("\n"));
        Self { child, said: Some(said), url: url.expect("it says where it listens") }
    }

    /// Ends it; what it said.
    pub(super) fn finish(mut self) -> String {
        self.child.kill().unwrap();
        self.said.take().unwrap().join().unwrap()
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
