//! A home with servers whose secrets a stand-in for `op` has.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::Write as _,
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::Bench;

/// The token that the stand-in accepts.
const TOKEN: &str = "ops_bench";
/// How many secrets it has.
const SECRETS: usize = 1000;
/// Runs a command in a session with a keyring of its own.
const WITH_KEYRING: &str = "
    printf pw | gnome-keyring-daemon --foreground --unlock --components=secrets >/dev/null 2>&1 &
    gdbus wait --session --timeout=60 org.freedesktop.secrets && \"$@\"
    code=$?; kill $!; exit $code";

/// A server, and which of the secrets are its own.
pub(super) struct Server {
    /// Its name.
    pub(super) name: String,
    /// Its program and arguments.
    pub(super) command: Vec<String>,
    secrets: Range<usize>,
}

impl Server {
    /// A server with these secrets.
    pub(super) fn of(name: &str, command: &[&str], secrets: Range<usize>) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { name: name.to_owned(), command, secrets }
    }

    /// Its variables, where their values are, and these values.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (String, String, String)> {
        self.secrets.clone().map(|at| (format!("SECRET_{at}"), reference(at), value(at)))
    }

    /// The server as it stands in the configuration.
    fn table(&self, name: &str, command: &[String]) -> String {
        let secrets: Vec<String> = self
            .secrets()
            .map(|(name, reference, _)| format!("{name} = \"{reference}\""))
            .collect();
        let (command, secrets) = (json!(command), secrets.join(", "));
        format!("\n[servers.{name}]\ncommand = {command}\nsecrets = {{ {secrets} }}\n")
    }
}

/// A home.
pub(super) struct Home {
    broker: PathBuf,
    load: PathBuf,
    folder: PathBuf,
    keyring: bool,
}

impl Home {
    /// A home with these servers, and with one, `shown`, that prints the environment that the first
    /// of them has. The machine key is in a keyring where that is wanted.
    pub(super) fn new(
        bench: &Bench<'_>,
        name: &str,
        keyring: bool,
        servers: &[Server],
    ) -> Result<Self, String> {
        let folder = bench.folder.join(name);
        let home = Self { broker: bench.broker.clone(), load: bench.load.clone(), folder, keyring };
        for part in ["home", "runtime", "data"] {
            let path = home.folder.join(part);
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(said)?;
        }
        let program = home.folder.join("op");
        fs::write(&program, bench.shell.read("crates/testkit/src/op.py")?).map_err(said)?;
        fs::set_permissions(&program, Permissions::from_mode(0o755)).map_err(said)?;
        home.set_latency(Duration::ZERO)?;
        let place = if keyring { "keychain" } else { "file" };
        home.ask(&["init", "--headless", "--machine-key", place], "")?;
        let program = program.display().to_string();
        home.ask(&["provider", "set", "op", "--token-stdin", "--program", &program], TOKEN)?;
        home.change(|config| {
            for server in servers {
                config.push_str(&server.table(&server.name, &server.command));
            }
            if let Some(first) = servers.first() {
                config.push_str(&first.table("shown", &["/usr/bin/env".to_owned()]));
            }
            let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
            *config = format!("enable = {}\n{config}", json!([&names[..], &["shown"]].concat()));
        })?;
        home.check(servers)?;
        Ok(home)
    }

    /// `run` hands over the secrets and nothing of ours.
    fn check(&self, servers: &[Server]) -> Result<(), String> {
        let shown = self.ask(&["run", "shown"], "")?;
        let lines: Vec<&str> = shown.lines().collect();
        let wanted = servers.iter().take(1).flat_map(Server::secrets);
        for (name, _, value) in wanted {
            if !lines.contains(&format!("{name}={value}").as_str()) {
                return Err(format!("`run` does not hand over {name}"));
            }
        }
        let ours = lines.iter().any(|line| line.starts_with("OP_") || line.starts_with("STRONG"));
        if ours { Err("`run` hands over what is ours".to_owned()) } else { Ok(()) }
    }

    /// `strongroom run` of a server.
    pub(super) fn run(&self, server: &str) -> Vec<String> {
        vec![self.broker.display().to_string(), "run".to_owned(), server.to_owned()]
    }

    /// One question to the provider, without us.
    pub(super) fn provider(&self) -> Vec<String> {
        let question = format!("echo '{{{{ {} }}}}' | exec \"$0\" inject", reference(0));
        let token = format!("OP_SERVICE_ACCOUNT_TOKEN={TOKEN}");
        let program = self.folder.join("op").display().to_string();
        ["/usr/bin/env", &token, "/bin/sh", "-c", &question, &program].map(str::to_owned).into()
    }

    /// Starts a server: its secrets and those of all others are in the cache from then on.
    pub(super) fn prime(&self, server: &str) -> Result<(), String> {
        self.ask(&["run", server], "").map(drop)
    }

    /// Removes the cache.
    pub(super) fn empty_cache(&self) -> Result<(), String> {
        fs::remove_dir_all(self.folder.join("home/cache")).map_err(said)
    }

    /// How often the provider was started since the last time.
    pub(super) fn calls(&self) -> usize {
        let file = self.folder.join("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default().lines().count();
        drop(fs::remove_file(&file));
        calls
    }

    /// How long each start of the provider takes beside its own time.
    pub(super) fn set_latency(&self, latency: Duration) -> Result<(), String> {
        let fields: Map<String, Value> = (0..SECRETS)
            .map(|at| (reference(at).replacen("op://", "", 1), value(at).into()))
            .collect();
        let state = json!({
            "fields": fields, "twice": [], "token": TOKEN, "desktop": false, "trouble": null,
            "latency_ms": u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        });
        fs::write(self.folder.join("state.json"), state.to_string()).map_err(said)
    }

    /// How long secrets are good.
    pub(super) fn set_lifetime(&self, ttl: Duration) -> Result<(), String> {
        self.change(|config| {
            *config = format!("{config}\n[cache]\nttl = \"{}s\"\n", ttl.as_secs());
        })
    }

    fn change(&self, change: impl FnOnce(&mut String)) -> Result<(), String> {
        let file = self.folder.join("home/config/strongroom/strongroom.toml");
        let mut config = fs::read_to_string(&file).map_err(said)?;
        change(&mut config);
        fs::write(&file, config).map_err(said)
    }

    /// Runs the generator on these commands, and returns what it measured.
    pub(super) fn load(
        &self,
        options: &[&str],
        commands: &[&Vec<String>],
    ) -> Result<Value, String> {
        let mut words = options.to_vec();
        for (at, command) in commands.iter().enumerate() {
            words.push(if at == 0 { "--" } else { "+" });
            words.extend(command.iter().map(String::as_str));
        }
        let output = self.output(&self.load, &words, "")?;
        println!("{}: {}", options.join(" "), output.trim());
        serde_json::from_str(&output).map_err(said)
    }

    /// Where in the program the instructions of a command stand, in the order of their first time.
    pub(super) fn steps(&self, words: &[&str]) -> Result<Vec<u64>, String> {
        let script = ["-c", include_str!("steps.py"), &self.broker.display().to_string()];
        let output = self.output(Path::new("python3"), &[&script, words].concat(), "")?;
        output.lines().map(|line| line.parse().map_err(said)).collect()
    }

    fn ask(&self, words: &[&str], input: &str) -> Result<String, String> {
        self.output(&self.broker, words, input)
    }

    fn output(&self, program: &Path, words: &[&str], input: &str) -> Result<String, String> {
        let mut command = if self.keyring {
            let mut session = Command::new("dbus-run-session");
            session.args(["--", "sh", "-c", WITH_KEYRING, "sh"]).arg(program);
            session.env("XDG_RUNTIME_DIR", self.folder.join("runtime"));
            session.env("XDG_DATA_HOME", self.folder.join("data"));
            session
        } else {
            Command::new(program)
        };
        command.args(words).env("STRONGROOM_HOME", self.folder.join("home"));
        command.env("HOME", &self.folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(said)?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        stdin.write_all(input.as_bytes()).map_err(said)?;
        drop(stdin);
        let output = child.wait_with_output().map_err(said)?;
        if !output.status.success() {
            let words: Vec<&&str> = words.iter().take(4).collect();
            return Err(format!("{} {words:?}..: {}", program.display(), output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn reference(at: usize) -> String {
    format!("op://Bench/Item {at}/key")
}

fn value(at: usize) -> String {
    format!("value-{at}-0123456789abcdefghijklmnopqrstuv")
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
