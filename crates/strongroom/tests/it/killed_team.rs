//! `kill -9` of a team's server, and of its database, at any moment: what was acknowledged is there,
//! what was not is there whole or not at all, credentials open, and every chain of the audit verifies.
#![expect(clippy::disallowed_methods, reason = "the server that was started here is asked")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use strongroom_model::audit::verify::Verifier;
use strongroom_process::Child;
use strongroom_testkit::postgres::{OWNER, Server};

use crate::sandbox::Sandbox;

/// How often to kill. `cargo xtask soak` asks for more.
const KILLS: usize = 10;
/// Those that write at the same time, at each node.
const WRITERS: usize = 4;
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

const TEAM: &str = r#"
[team]
isolate = false
allowed_commands = [{ command = "node", args = "**" }]
limits = { servers = 10000, credentials = 10000, keys = 10000 }
"#;

#[test]
fn a_killed_server_of_a_team_in_a_file_loses_nothing_that_it_acknowledged() {
    let team = Team::new(Store::File, 1);
    team.killed_again_and_again();
}

#[test]
fn a_killed_node_of_two_in_postgres_loses_nothing_that_it_acknowledged() {
    let server = Server::start_alone();
    let database = server.create_database();
    let team = Team::new(Store::Postgres(&server, &database), 2);
    team.killed_again_and_again();
}

#[test]
fn a_killed_postgres_loses_nothing_that_was_acknowledged_and_the_rest_is_told_so() {
    let server = Server::start_alone();
    let database = server.create_database();
    let mut team = Team::new(Store::Postgres(&server, &database), 2);
    for round in 0..kills().div_ceil(5) {
        let load = Load::default();
        let wrote = thread::scope(|scope| {
            let writers = team.write(scope, round, &load);
            load.acknowledged.wait_for(20);
            server.kill();
            load.refused.wait_for(load.refused.count() + 2 * WRITERS);
            server.resume();
            load.acknowledged.wait_for(load.acknowledged.count() + 20);
            load.end.store(true, Ordering::Release);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        team.check(round, wrote);
    }
    team.check_all();
}

#[test]
fn a_key_that_one_node_revokes_is_refused_by_the_other() {
    let server = Server::start();
    let database = server.create_database();
    let team = Team::new(Store::Postgres(&server, &database), 2);
    let (mut a, mut b) = (team.nodes[0].client(), team.nodes[1].client());
    let mut slowest = Duration::ZERO;
    for round in 0..kills() {
        let new = json!({"name": format!("round {round}"), "scopes": ["use"]});
        let made = a.send("POST", "/v1/api-keys", &team.key, Some(&new)).unwrap().ok();
        let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
        let mut list = || b.send("GET", LIST, key, None).unwrap().status;
        // Known at once, and remembered.
        assert_eq!([list(), list()], [200, 200]);
        let path = format!("/v1/api-keys/{id}");
        let end =
            if round % 2 == 0 { ("POST", path.clone() + "/disable") } else { ("DELETE", path) };
        assert_eq!(a.send(end.0, &end.1, &team.key, None).unwrap().status, 200);
        let revoked = Instant::now();
        while list() != 401 {
            assert!(revoked.elapsed() < PATIENCE, "the other node never hears of it");
        }
        slowest = slowest.max(revoked.elapsed());
    }
    if is_soak() {
        println!("a revoked key was refused by the other node after at most {slowest:?}");
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    }
}

const LIST: &str = "/functions/v1/mcp-servers/list";
const REGISTER: &str = "/functions/v1/mcp-servers/register";
const STORE: &str = "/functions/v1/credentials/store";
const RETRIEVE: &str = "/functions/v1/credentials/retrieve";
const AUTHORIZE: &str = "/functions/v1/authorize";

fn is_soak() -> bool {
    env::var_os("STRONGROOM_SOAK_KILLS").is_some()
}

fn kills() -> usize {
    env::var("STRONGROOM_SOAK_KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

/// Where a team's data is.
#[derive(Clone, Copy)]
enum Store<'a> {
    File,
    Postgres(&'a Server, &'a str),
}

/// A team, its nodes, and what they have acknowledged.
struct Team<'a> {
    sandbox: Sandbox,
    store: Store<'a>,
    nodes: Vec<Node>,
    key: String,
    wrote: Vec<Wrote>,
}

/// What one writer was told.
#[derive(Default)]
struct Wrote {
    servers: Vec<String>,
    service: String,
    /// The newest value that was acknowledged, and those that were sent since.
    value: Option<String>,
    later: Vec<String>,
    /// Answers that were given to what would be allowed.
    questions: Vec<String>,
}

/// What all writers of one round have in common.
#[derive(Default)]
struct Load {
    end: AtomicBool,
    acknowledged: Count,
    refused: Count,
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    fn wait_for(&self, count: usize) {
        let start = Instant::now();
        while self.count() < count {
            assert!(start.elapsed() < PATIENCE, "{} of {count}", self.count());
            thread::yield_now();
        }
    }
}

impl<'a> Team<'a> {
    fn new(store: Store<'a>, nodes: usize) -> Self {
        let mut sandbox = Sandbox::new();
        if let Store::Postgres(server, database) = store {
            sandbox = sandbox.with("DATABASE_URL", server.url(OWNER, database));
        }
        sandbox.write(".config/strongroom/strongroom.toml", TEAM);
        sandbox.chmod(".config/strongroom", 0o700);
        sandbox.chmod(".config/strongroom/strongroom.toml", 0o600);
        for command in ["kek create", "migrate", "org create acme", "tenant create shop --org acme"]
        {
            sandbox.run(command).ok();
        }
        let scopes = "use,register,credentials:write,executor,admin";
        let key = sandbox.run(&format!("key create --tenant shop --scope {scopes}")).ok().stdout;
        let nodes = (0..nodes).map(|_| Node::start(&sandbox)).collect();
        Self { sandbox, store, nodes, key: key.trim().to_owned(), wrote: Vec::new() }
    }

    /// One node after the other, in the midst of writes.
    fn killed_again_and_again(mut self) {
        for round in 0..kills() {
            let load = Load::default();
            let killed = round % self.nodes.len();
            let wrote = thread::scope(|scope| {
                let writers = self.write(scope, round, &load);
                // Any number of answers, a different one each time, and the same ones in every run.
                load.acknowledged.wait_for(5 + round * 37 % 40);
                self.nodes[killed].kill();
                load.end.store(true, Ordering::Release);
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            self.nodes[killed] = Node::start(&self.sandbox);
            self.check(round, wrote);
        }
        self.check_all();
    }

    /// Writers at every node, until the load ends or their node does.
    fn write<'s>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
        round: usize,
        load: &'s Load,
    ) -> Vec<thread::ScopedJoinHandle<'s, Wrote>> {
        let nodes = self.nodes.iter().flat_map(|node| std::iter::repeat_n(node, WRITERS));
        let start = |(number, node): (usize, &'s Node)| {
            let name = format!("w-{round}-{number}");
            scope.spawn(move || Wrote::by(&mut node.client(), &self.key, &name, load))
        };
        nodes.enumerate().map(start).collect()
    }

    /// What was acknowledged in a round is there, at each node, and credentials are one of those that
    /// were sent, as a whole.
    fn check(&mut self, round: usize, wrote: Vec<Wrote>) {
        for node in &self.nodes {
            let mut client = node.client();
            let there = client.servers(&self.key);
            for wrote in &wrote {
                for name in &wrote.servers {
                    assert!(there.contains(name), "round {round}: {name} is gone");
                }
                wrote.check_credential(&mut client, &self.key);
            }
        }
        self.wrote.extend(wrote);
    }

    /// The same once more, of all rounds, and the audit.
    fn check_all(self) {
        let mut client = self.nodes[0].client();
        let there = client.servers(&self.key);
        for wrote in &self.wrote {
            assert!(wrote.servers.iter().all(|name| there.contains(name)));
            wrote.check_credential(&mut client, &self.key);
        }
        self.sandbox.run("audit verify --team").ok();
        // The same by the rules of one machine's chain, and each record for what it is about.
        let mut nodes = BTreeMap::<String, Vec<String>>::new();
        for (node, line) in self.records() {
            nodes.entry(node).or_default().push(line);
        }
        let mut recorded = BTreeMap::<String, usize>::new();
        for (node, lines) in &nodes {
            let mut verifier = Verifier::new();
            verifier.segment(node);
            for line in lines {
                verifier.line(format!("{line}\n").as_bytes());
                let record: Value = serde_json::from_str(line).unwrap();
                let subject = record["subject"].as_str().unwrap_or_default();
                *recorded.entry(subject.to_owned()).or_default() += 1;
            }
            let report = verifier.finish();
            assert_eq!(report.problems, [], "the chain of {node}");
        }
        assert!(nodes.len() >= self.nodes.len(), "each start has a chain of its own");
        for question in self.wrote.iter().flat_map(|wrote| &wrote.questions) {
            assert_eq!(recorded.get(question), Some(&1), "{question} has its record");
        }
        for server in self.wrote.iter().flat_map(|wrote| &wrote.servers) {
            assert_eq!(recorded.get(server), Some(&1), "{server} has its record");
        }
    }

    /// Each record and its node, past the server.
    fn records(&self) -> Vec<(String, String)> {
        const ALL: &str = "SELECT node, line FROM audit_records ORDER BY node, seq";
        if let Store::Postgres(server, database) = self.store {
            let all = server.sql(database, &format!("SET search_path = strongroom; {ALL}"));
            let pair = |line: &str| {
                line.split_once('|').map(|(node, line)| (node.to_owned(), line.to_owned())).unwrap()
            };
            return all.lines().map(pair).collect();
        }
        let db = Connection::open(self.sandbox.path(".local/share/strongroom/team.db")).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        let mut statement = db.prepare(ALL).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

impl Wrote {
    /// Writes until the load ends, or nobody answers any more.
    fn by(client: &mut Client, key: &str, name: &str, load: &Load) -> Self {
        let mut wrote = Self { service: name.to_owned(), ..Self::default() };
        for number in 0.. {
            if load.end.load(Ordering::Acquire)
                || wrote.next(client, key, name, number, load).is_none()
            {
                break;
            }
        }
        wrote
    }

    /// Registers, stores, stores again, asks; `None` where nobody answers.
    fn next(
        &mut self,
        client: &mut Client,
        key: &str,
        name: &str,
        number: usize,
        load: &Load,
    ) -> Option<()> {
        let mut done = |path: &str, body: &Value| {
            let said = client.send("POST", path, key, Some(body)).ok()?;
            let good = said.status == 200;
            assert!(good || said.status == 503, "{path} got {}: {}", said.status, said.body);
            if good {
                load.acknowledged.add();
            } else {
                load.refused.add();
            }
            Some(good)
        };
        let server = format!("{name}-{number}");
        let register = json!({"server_id": server, "name": server, "command": "node",
            "args": [server], "tool_prefix": format!("{server}.")});
        if done(REGISTER, &register)? {
            self.servers.push(server.clone());
        }
        for version in ["a", "b"] {
            let value = format!("{server}-{version}");
            self.later.push(value.clone());
            let fields = json!({"value": value, "again": value});
            if done(STORE, &json!({"service": self.service, "credentials": fields}))? {
                self.value = Some(value);
                self.later.clear();
            }
        }
        let tool = format!("{server}.tool");
        if done(AUTHORIZE, &json!({"action": "tools/call", "resource": tool}))? {
            self.questions.push(tool);
        }
        Some(())
    }

    fn check_credential(&self, client: &mut Client, key: &str) {
        let Some(last) = &self.value else { return };
        let found = client.patient("POST", RETRIEVE, key, Some(&json!({"service": self.service})));
        let fields = &found["credentials"];
        assert_eq!(fields["value"], fields["again"], "a credential is half there");
        let value = fields["value"].as_str().unwrap();
        assert!(value == last || self.later.iter().any(|it| it == value), "{value} for {last}");
    }
}

/// A server that runs.
struct Node {
    child: Child,
    address: String,
}

impl Node {
    fn start(sandbox: &Sandbox) -> Self {
        let mut child = sandbox.child(&["serve", "--team", "--listen", "127.0.0.1:0"]);
        let mut log = BufReader::new(child.stderr().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("http://").expect(&line).1.to_owned();
        // What it says goes nowhere, and never makes it wait.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address }
    }

    fn kill(&self) {
        kill_process(Pid::from_raw(self.child.id().try_into().unwrap()).unwrap(), Signal::KILL)
            .unwrap();
    }

    fn client(&self) -> Client {
        Client { address: self.address.clone(), connection: None }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that was killed has nothing left to end.
        let _ = self.child.end(Duration::ZERO);
    }
}

/// A connection that is kept open, and opened anew where it was closed.
struct Client {
    address: String,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer.
struct Said {
    status: u16,
    body: Value,
}

impl Said {
    /// The data of an answer that is one.
    fn ok(mut self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["data"].take()
    }
}

impl Client {
    /// Asks until the store answers again.
    fn patient(&mut self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Value {
        let start = Instant::now();
        loop {
            let said = self.send(method, path, key, body).unwrap();
            if said.status != 503 || start.elapsed() > PATIENCE {
                return said.ok();
            }
        }
    }

    /// The names of the servers, each of which is whole.
    fn servers(&mut self, key: &str) -> BTreeSet<String> {
        let listed = self.patient("GET", LIST, key, None);
        let whole = |server: &Value| {
            let name = server["server_id"].as_str().unwrap().to_owned();
            let prefix = format!("{name}.");
            let rest = (&server["name"], &server["args"], &server["tool_prefix"]);
            assert_eq!(rest, (&json!(name), &json!([name]), &json!(prefix)));
            name
        };
        listed["servers"].as_array().unwrap().iter().map(whole).collect()
    }

    fn send(
        &mut self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<&Value>,
    ) -> std::io::Result<Said> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(&self.address)?),
        };
        connection.get_ref().set_read_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nx-api-key: {key}\r\n{kind}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        connection.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok()).ok_or_else(gone)?;
        let mut length = 0;
        loop {
            line.clear();
            connection.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut bytes = vec![0; length];
        connection.read_exact(&mut bytes)?;
        self.connection = Some(connection);
        Ok(Said { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }
}
