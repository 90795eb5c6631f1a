//! `cargo xtask bench`: one run, one machine, one table.
//!
//! What is compared is measured in the same minute by the same generator (`bench/load`), which
//! checks every answer. The services that are called raise their own limit of calls, and the table
//! says so.

mod asking;
mod gateway;
mod launch;
mod loaded;
mod page;
mod team;
mod window;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) use self::launch::order;
use crate::shell::{Shell, step};

/// The key of the measured service. It opens nothing.
const KEY: &str = "bench-key-0123456789abcdefghijklmnop";
/// Calls of `execute` over stdio.
const CALLS: &str = "100000";
/// Seconds that a rate is measured for.
const SECONDS: &str = "8";
/// Calls in flight.
const WORKERS: &str = "32";
/// Bytes of the large answer.
const LARGE: &str = "80000000";

/// What was measured. Each is the line of JSON that the generator or the example printed.
pub(crate) struct Measured {
    bare: Value,
    spawn: Value,
    idle: Value,
    direct: Value,
    stdio: Value,
    large: Value,
    direct_many: Value,
    http: Value,
    redaction: Value,
    loaded: loaded::Loaded,
    launched: launch::Launched,
    team: Value,
    gateway: Value,
    asking: String,
}

/// Builds, measures, writes the page.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    build(shell)?;
    step("release build of the examples", || {
        shell.cargo(&["build", "--release", "-p", "strongroom-model", "--examples"])
    })?;
    loaded::build(shell)?;
    let rig = Rig::new(shell)?;
    let measured = rig.measure(shell)?;
    let page = page::render(shell, &measured)?;
    let file = shell.root.join("docs/reference/benchmarks.md");
    fs::write(&file, &page).map_err(|error| error.to_string())?;
    println!("\n{page}");
    Ok(())
}

/// Builds, measures how servers start, and prints it.
pub(crate) fn starts(shell: &Shell) -> Result<(), String> {
    build(shell)?;
    println!("{}", launch::section(&launch::measure(shell)?)?);
    Ok(())
}

/// Builds, measures what calls cost with everything loaded, and prints it.
pub(crate) fn loaded(shell: &Shell) -> Result<(), String> {
    build(shell)?;
    loaded::build(shell)?;
    let rig = Rig::new(shell)?;
    println!("{}", loaded::section(&loaded::measure(shell, &rig)?)?);
    Ok(())
}

/// Builds, measures a team, and puts that into the page.
pub(crate) fn team(shell: &Shell) -> Result<(), String> {
    build(shell)?;
    let section = team::section(&team::measure(shell)?)?;
    println!("{section}");
    team::replace(shell, &section)
}

/// Builds, measures the gateway, and puts that into the page.
pub(crate) fn gateway(shell: &Shell) -> Result<(), String> {
    build(shell)?;
    let section = gateway::section(&gateway::measure(shell)?)?;
    println!("{section}");
    gateway::replace(shell, &section)
}

/// Builds the window program and the packages, measures how long people and servers wait for them, and
/// puts that into the page.
pub(crate) fn asking(shell: &Shell) -> Result<(), String> {
    let section = asked(shell)?;
    println!("{section}");
    window::replace(shell, &section)
}

/// Builds the window program, measures it, and prints that.
pub(crate) fn window(shell: &Shell) -> Result<(), String> {
    window::build(shell)?;
    println!("{}", window::section(&window::measure(shell)?)?);
    Ok(())
}

/// The section about asking people.
fn asked(shell: &Shell) -> Result<String, String> {
    window::build(shell)?;
    let window = window::section(&window::measure(shell)?)?;
    Ok(format!("{window}\n{}", asking::measure(shell)?))
}

fn build(shell: &Shell) -> Result<(), String> {
    // Each by itself: together the generator's features would be the program's, too.
    step("release build", || {
        shell.cargo(&["build", "--release", "-p", "strongroom"])?;
        shell.cargo(&["build", "--release", "-p", "strongroom-bench"])
    })?;
    Ok(())
}

/// The programs that are measured, a home of their own, and an upstream.
struct Rig {
    broker: PathBuf,
    load: PathBuf,
    redaction: PathBuf,
    home: PathBuf,
    upstream: Running,
    port: String,
}

impl Rig {
    fn new(shell: &Shell) -> Result<Self, String> {
        let release = shell.target.join("release");
        let home = shell.target.join("bench-home");
        if home.exists() {
            fs::remove_dir_all(&home).map_err(|error| error.to_string())?;
        }
        fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let load = release.join("strongroom-bench");
        let mut upstream = Command::new(&load);
        upstream.args(["upstream", KEY]).stdout(Stdio::piped());
        let mut upstream = Running::start(&mut upstream)?;
        let mut port = String::new();
        let output = upstream.0.stdout.take().ok_or("the upstream has no output")?;
        BufReader::new(output).read_line(&mut port).map_err(|error| error.to_string())?;
        let rig = Self {
            broker: release.join("strongroom"),
            redaction: release.join("examples/redact_throughput"),
            port: port.trim().to_owned(),
            load,
            home,
            upstream,
        };
        rig.prepare()?;
        Ok(rig)
    }

    /// A vault with one service, whose limit of calls is out of the way.
    fn prepare(&self) -> Result<(), String> {
        self.ask(&["init", "--headless"], "")?;
        let url = format!("http://127.0.0.1:{}", self.port);
        let add = ["add", "bench", "--base-url", &url, "--auth", "bearer", "--key-stdin"];
        let open = ["--insecure-transport", "--allow-ip", "127.0.0.1/32", "--allow", "GET /**"];
        self.ask(&[add.as_slice(), &open].concat(), KEY)?;
        let file = self.home.join("config/strongroom/strongroom.toml");
        let config = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let limit = "[services.bench]\nlimits = { calls_per_minute = 10000000 }";
        fs::write(&file, config.replace("[services.bench]", limit))
            .map_err(|error| error.to_string())
    }

    fn measure(&self, shell: &Shell) -> Result<Measured, String> {
        let serve = [self.broker.to_str().ok_or("an odd path")?, "serve"];
        let through =
            |options: &[&str], command: &[&str]| self.load(&[options, &["--"], command].concat());
        println!("\n== measuring");
        let bare = through(&["bare", "200"], &["true"])?;
        let spawn = through(&["spawn", "200"], &serve)?;
        let idle = through(&["idle"], &serve)?;
        let direct = self.load(&["direct", &self.port, KEY, CALLS])?;
        let stdio = through(&["stdio", CALLS, "bench"], &serve)?;
        let large = through(&["large", LARGE, "bench"], &serve)?;
        let direct_many = self.load(&["direct-many", &self.port, KEY, SECONDS, WORKERS])?;
        let http = self.http("bench", "bench")?;
        let output = Command::new(&self.redaction).output().map_err(|error| error.to_string())?;
        let redaction: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let loaded = loaded::measure(shell, self)?;
        let launched = launch::measure(shell)?;
        let team = team::measure(shell)?;
        let gateway = gateway::measure(shell)?;
        let asking = asked(shell)?;
        Ok(Measured {
            bare,
            spawn,
            idle,
            direct,
            stdio,
            large,
            direct_many,
            http,
            redaction,
            loaded,
            launched,
            team,
            gateway,
            asking,
        })
    }

    /// Calls of `service` over HTTP by a new principal.
    fn http(&self, principal: &str, service: &str) -> Result<Value, String> {
        let token = self.ask(&["principal", "create", principal, "--json"], "")?;
        let token: Value = serde_json::from_str(&token).map_err(|error| error.to_string())?;
        let token = token["token"].as_str().ok_or("no token was printed")?;
        let address = free_address()?;
        let mut serve = self.strongroom(&["serve", "--http", "--listen", &address]);
        let serve = Running::start(serve.stdout(Stdio::null()))?;
        wait_for(&address)?;
        let url = format!("http://{address}/mcp");
        let pid = serve.0.id().to_string();
        self.load(&["http", &url, token, &pid, SECONDS, WORKERS, service])
    }

    /// Runs the generator, and returns what it measured.
    fn load(&self, arguments: &[&str]) -> Result<Value, String> {
        let mut command = Command::new(&self.load);
        command.args(arguments).env("STRONGROOM_HOME", &self.home).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("{}: {}", arguments.join(" "), output.status));
        }
        let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        println!("{}: {}", arguments.first().unwrap_or(&""), shortened(&line));
        serde_json::from_str(&line).map_err(|error| error.to_string())
    }

    /// Runs the broker's command line, and returns what it printed.
    fn ask(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = self.strongroom(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        stdin.write_all(input.as_bytes()).map_err(|error| error.to_string())?;
        drop(stdin);
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("strongroom {}: {}", arguments.join(" "), output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn strongroom(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.broker);
        command.args(arguments).env("STRONGROOM_HOME", &self.home);
        command
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.upstream.end();
        // A home that stays behind is replaced by the next run.
        drop(fs::remove_dir_all(Path::new(&self.home)));
    }
}

/// A process that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| error.to_string())
    }

    fn end(&mut self) {
        // One that has ended already needs no ending.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_address() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
}

fn wait_for(address: &str) -> Result<(), String> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if start.elapsed() > Duration::from_secs(10) {
            return Err(format!("nobody listens at {address}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn shortened(line: &str) -> String {
    line.chars().take(200).collect()
}
