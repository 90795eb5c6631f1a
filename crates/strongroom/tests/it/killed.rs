//! `kill -9` at any moment loses nothing that was answered, and breaks nothing.
#![expect(clippy::disallowed_methods, reason = "the binary and its clients are started here")]

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use strongroom_testkit::{canary, oracle::Oracle};

use crate::binary::{BROKER, Home};

/// How often to kill. `cargo xtask soak` asks for more.
const KILLS: u32 = 20;
/// How often to kill a refresh.
const REFRESH_KILLS: u32 = 50;
/// Calls that are under way when the server dies: fewer than one principal may have.
const CALLS: u64 = 50;

#[test]
fn a_killed_serve_leaves_a_vault_and_an_audit_that_verify() {
    let kills = env::var("STRONGROOM_SOAK_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let home = Home::new();
    let upstream = Upstream::start();
    let url = format!("http://127.0.0.1:{}", upstream.port);
    let add = ["add", "shop", "--base-url", &url, "--auth", "bearer", "--key-stdin"];
    let open = ["--insecure-transport", "--allow-ip", "127.0.0.1/32", "--allow", "GET /**"];
    home.ask(&[add.as_slice(), &open].concat(), "key-number-000000");
    home.raise_limit("shop");

    let mut answered = 0;
    for round in 1..=kills {
        let key = format!("key-number-{round:06}");
        // Any number of answers, a different one each time, and the same ones in every run.
        let answers = u64::from(round) * 37 % CALLS;
        let mut server = burst(&home);
        let rotation = rotate(&home, &key);
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        for _ in 0..=answers {
            assert_eq!(status(&lines.next().unwrap().unwrap()), Some(200), "round {round}");
        }
        answered += answers + 1;
        server.kill().unwrap();
        server.wait().unwrap();
        end(rotation, round);

        home.ask(&["audit", "verify"], "");
        assert!(home.ask(&["list", "--json"], "").contains("shop"), "round {round}");
        // Whether or not the rotation was killed as well, the next one holds.
        home.ask(&["edit", "shop", "--key-stdin"], &key);
        upstream.keys.lock().unwrap().clear();
        assert_eq!(one_call(&home), Some(200), "round {round}");
        answered += 1;
        let keys = upstream.keys.lock().unwrap().clone();
        assert_eq!(keys, BTreeSet::from([format!("Bearer {key}")]), "round {round}");
    }
    let recorded = home.ask(&["logs", "--json"], "").lines().filter(|line| is_call(line)).count();
    assert!(u64::try_from(recorded).unwrap() >= answered, "{recorded} of {answered} are recorded");
}

#[test]
fn a_killed_refresh_leaves_whole_secrets_and_an_audit_that_verifies() {
    let kills =
        env::var("STRONGROOM_SOAK_KILLS").map_or(REFRESH_KILLS, |kills| kills.parse().unwrap());
    let home = Home::new();
    // Each answer is another one, and shows at both ends which.
    let store = home.folder().join("store.sh");
    let count = home.folder().join("count");
    let text = format!(
        "#!/bin/sh\nn=$(cat '{0}' 2>/dev/null); n=$((n + 1)); echo $n > '{0}'\n\
         printf '%s-%s-%s' \"$n\" \"$1\" \"$n\"\n",
        count.display()
    );
    fs::write(&store, text).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    let file = home.path().join("config/strongroom/strongroom.toml");
    let config = fs::read_to_string(&file).unwrap();
    let store = store.display();
    let config = format!(
        "enable = [\"s\"]\n{config}\n[providers.cmd.a]\ncommand = [\"{store}\", \"aaaa\"]\n\
         [providers.cmd.b]\ncommand = [\"{store}\", \"bbbb\"]\n[servers.s]\n\
         command = \"printenv A B\"\nsecrets = {{ A = \"cmd://a\", B = \"cmd://b\" }}\n"
    );
    fs::write(&file, config).unwrap();
    home.ask(&["secrets", "refresh"], "");
    for round in 1..=kills {
        let mut refresh = quiet(&mut home.command(&["secrets", "refresh"])).spawn().unwrap();
        // Wherever it is by then: starting, asking, writing or done.
        thread::sleep(Duration::from_millis(u64::from(round) * 7 % 40));
        refresh.kill().unwrap();
        refresh.wait().unwrap();

        home.ask(&["secrets", "status"], "");
        let secrets = home.ask(&["run", "s"], "");
        let whole = |(line, name): (&str, &str)| {
            let parts: Vec<&str> = line.split('-').collect();
            parts.len() == 3 && parts[0] == parts[2] && parts[1] == name
        };
        assert!(secrets.lines().zip(["aaaa", "bbbb"]).all(whole), "round {round}");
        assert_eq!(secrets.lines().count(), 2, "round {round}");
        home.ask(&["audit", "verify"], "");
    }
}

// LM-03
#[test]
#[cfg(target_os = "linux")]
fn a_crash_leaves_no_core_file_and_no_secret_behind() {
    let home = Home::new();
    let upstream = Upstream::start();
    let key = canary::of("crash");
    let url = format!("http://127.0.0.1:{}", upstream.port);
    let add = ["add", "shop", "--base-url", &url, "--auth", "bearer", "--key-stdin"];
    let open = ["--insecure-transport", "--allow-ip", "127.0.0.1/32", "--allow", "GET /**"];
    home.ask(&[add.as_slice(), &open].concat(), &key);

    // A shell that allows core files becomes the broker, so that only the broker can say no.
    let mut serve = Command::new("sh");
    serve.args(["-c", "ulimit -c unlimited && exec \"$0\" serve", BROKER]);
    serve.current_dir(home.folder()).env("STRONGROOM_HOME", home.path());
    let mut server = quiet(&mut serve).spawn().unwrap();
    server.stdin.as_mut().unwrap().write_all((hello() + &call(1) + "\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        assert_eq!(status(&lines.next().unwrap().unwrap()), Some(200));
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");

    kill_process(Pid::from_child(&server), Signal::ABORT).unwrap();
    let ended = server.wait().unwrap();
    assert!(!ended.core_dumped() && ended.signal().is_some(), "{ended}");
    Oracle::new(&[("the key", key.as_bytes())]).assert_tree_clean(home.folder());
}

/// A server with many calls waiting.
fn burst(home: &Home) -> Child {
    let mut server = start(home);
    let calls: String = (1..=CALLS).map(|id| call(id) + "\n").collect();
    let mut input = server.stdin.take().unwrap();
    // All fit in the pipe, so this does not wait for the server; the end of input stays open with
    // the thread until the server dies.
    thread::spawn(move || {
        let _: std::io::Result<()> = input.write_all((hello() + &calls).as_bytes());
        thread::park();
    });
    server
}

/// One session with one call, ended in order.
fn one_call(home: &Home) -> Option<u64> {
    let mut server = start(home);
    let mut input = server.stdin.take().unwrap();
    input.write_all((hello() + &call(1) + "\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let answer = lines.next().unwrap().unwrap();
    drop(input);
    assert!(server.wait().unwrap().success());
    status(&answer)
}

/// Another process that writes to the vault at the same time.
fn rotate(home: &Home, key: &str) -> Child {
    let mut command = home.command(&["edit", "shop", "--key-stdin"]);
    let mut child = quiet(&mut command).spawn().unwrap();
    child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    child
}

/// Every second rotation is killed too, wherever it is.
fn end(mut rotation: Child, round: u32) {
    if round.is_multiple_of(2) {
        rotation.kill().unwrap();
        rotation.wait().unwrap();
    } else {
        assert!(rotation.wait().unwrap().success(), "round {round}");
    }
}

fn start(home: &Home) -> Child {
    quiet(&mut home.command(&["serve"])).spawn().unwrap()
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null())
}

fn hello() -> String {
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "killed", "version": "1" },
    }});
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    format!("{hello}\n{ready}\n")
}

fn call(id: u64) -> String {
    let arguments = json!({ "service": "shop", "method": "GET", "path": format!("/items/{id}") });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": { "name": "execute", "arguments": arguments } })
    .to_string()
}

/// The status of an answer; the answer to `initialize` counts as one.
fn status(line: &str) -> Option<u64> {
    let answer: Value = serde_json::from_str(line).unwrap();
    if answer["id"] == 0 {
        return Some(200);
    }
    answer["result"]["structuredContent"]["status"].as_u64()
}

fn is_call(record: &str) -> bool {
    record.contains("\"shop\"")
}

/// An API that answers at once and remembers the keys it was shown.
struct Upstream {
    port: u16,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let keys = Arc::<Mutex<BTreeSet<String>>>::default();
        let seen = keys.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = seen.clone();
                thread::spawn(move || answer(&stream.unwrap(), &seen));
            }
        });
        Self { port, keys }
    }
}

/// Answers requests without bodies until the other side goes.
fn answer(mut stream: &TcpStream, seen: &Mutex<BTreeSet<String>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        if let Some((name, key)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("authorization")
        {
            seen.lock().unwrap().insert(key.trim().to_owned());
        }
        if line == "\r\n" {
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(response).is_err() {
                return;
            }
        }
        line.clear();
    }
}
