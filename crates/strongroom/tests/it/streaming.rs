//! Bodies that are not held as a whole, as a client of `serve` meets them: real processes, real
//! pipes and sockets.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Upstream};

use crate::sandbox::Sandbox;
use crate::serve::{Serving, home};

const CONFIG: &str = ".config/strongroom/strongroom.toml";
const FILES: &str = ".local/share/strongroom/files/default";

/// Streams events for ever, with the key in two of them; sends as many mebibytes as the path says;
/// otherwise says how many bytes it got.
async fn upstream() -> Upstream {
    Upstream::http(|seen| {
        let path = seen.target.trim_start_matches('/');
        if path == "events" {
            let key = seen.values("authorization").concat();
            let (start, end) = key.split_at(key.len() / 2);
            return Reply::status(200)
                .header("content-type", "text/event-stream")
                .pieces([format!("data: {start}\n\n"), format!("data: {end}\n\n")])
                .and_no_end();
        }
        match path.parse() {
            Ok(mebibytes) => Reply::status(200).repeat(vec![b'x'; 1 << 20], mebibytes, false),
            Err(_) => Reply::ok(seen.body.len().to_string()),
        }
    })
    .await
}

/// Writes `lines` into the service `echo`.
fn configure(sandbox: &Sandbox, lines: &str) {
    let head = "[services.echo]\n";
    let text = sandbox.read(CONFIG).replace(head, &format!("{head}{lines}\n"));
    sandbox.write(CONFIG, &text);
}

fn call(serving: &mut Serving, path: &str, more: &[(&str, Value)]) -> Value {
    let mut call = json!({ "service": "echo", "method": "GET", "path": path });
    for (name, value) in more {
        call[*name] = value.clone();
    }
    serving.client.call("execute", &call).unwrap()
}

// RX-04
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_event_stream_is_an_answer() {
    let upstream = upstream().await;
    let key = canary::of("an event stream");
    let sandbox = home(&upstream, &key);
    configure(&sandbox, "limits = { idle = \"200ms\" }");
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let idle = call(&mut serving, "/events", &[]);
    assert_eq!(idle["truncated"], "idle", "{idle}");
    assert_eq!(idle["body"], "data: Bearer [REDACTED:echo]\n\ndata: \n\n");
    let one = call(&mut serving, "/events", &[("max_events", json!(1))]);
    assert_eq!(one["truncated"], "events", "{one}");
    upstream.wait_until_answered().await;
    let said = serving.finish();
    Oracle::new(&[("the key", key.as_bytes())])
        .assert_clean("what was said", format!("{idle}{one}{said}"));
}

// RX-04
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_takes_its_event_stream_along() {
    let upstream = upstream().await;
    let sandbox = home(&upstream, &canary::of("a client that vanishes"));
    let token = sandbox.run("principal create ci").ok().stdout;
    let mut child = sandbox.child(&["serve", "--http", "--listen", "127.0.0.1:0"]);
    let mut line = String::new();
    BufReader::new(child.stderr().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
    let address: SocketAddr = address.parse().unwrap();

    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" }
        }
    });
    let mut stream = post(address, &token, "connection: close\r\n", &hello);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let session = answer.to_ascii_lowercase();
    let session = session.split("mcp-session-id:").nth(1).unwrap().lines().next().unwrap().trim();
    let session = format!("mcp-session-id: {session}\r\nmcp-protocol-version: 2025-11-25\r\n");

    for (at, save) in [false, true].into_iter().enumerate() {
        let call = json!({
            "jsonrpc": "2.0", "id": 2 + at, "method": "tools/call",
            "params": { "name": "execute", "arguments": {
                "service": "echo", "method": "GET", "path": "/events", "save": save
            } }
        });
        let stream = post(address, &token, &session, &call);
        upstream.wait_for_requests(at + 1).await;
        let vanished = Instant::now();
        drop(stream);
        upstream.wait_until_answered().await;
        assert!(vanished.elapsed() < Duration::from_secs(1));
    }
    // The server stays up, and its places are free: more calls than there are places.
    for id in 10..80 {
        let call = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "execute", "arguments": {
                "service": "echo", "method": "GET", "path": "/events", "max_events": 1
            } }
        });
        let lines = format!("{session}connection: close\r\n");
        let mut answer = String::new();
        post(address, &token, &lines, &call).read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"truncated\":\"events\""), "{answer}");
    }
    let left = fs::read_dir(sandbox.path(FILES)).map_or(0, Iterator::count);
    assert_eq!(left, 0);
    child.end(Duration::from_secs(10)).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test dials its own broker")]
fn post(address: SocketAddr, token: &str, lines: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\
         authorization: Bearer {}\r\n{lines}\r\n{body}",
        body.len(),
        token.trim()
    )
    .unwrap();
    stream
}

// RX-01
#[tokio::test(flavor = "multi_thread")]
async fn files_come_and_go_in_little_memory() {
    let upstream = upstream().await;
    let sandbox = home(&upstream, &canary::of("files"));
    configure(&sandbox, "limits = { upload_bytes = \"64MiB\", idle = \"1m\" }");
    let allowed = sandbox.read(CONFIG).replace("\"GET /**\"", "\"GET|POST /**\"");
    sandbox.write(CONFIG, &allowed);
    let mut serving = Serving::start(&sandbox, &["serve"]);
    call(&mut serving, "/1", &[]);
    let before = peak(serving.child.id());

    let saved = call(&mut serving, "/48", &[("save", json!(true))]);
    assert_eq!((&saved["status"], &saved["bytes"]), (&json!(200), &json!(48 << 20)), "{saved}");
    let file = saved["file"].as_str().unwrap();
    assert_eq!(fs::metadata(file).unwrap().len(), 48 << 20);
    let name = file.rsplit('/').next().unwrap();
    let more = [("method", json!("POST")), ("body_file", json!(name))];
    let sent = call(&mut serving, "/", &more);
    assert_eq!(sent["body"], (48 << 20).to_string(), "{sent}");

    let grown = peak(serving.child.id()).zip(before).map(|(after, before)| after - before);
    assert!(grown.is_none_or(|kib| kib < 24 << 10), "{grown:?} KiB for 48 MiB there and back");
    serving.finish();
    let listed = sandbox.run("files list --json").ok().json();
    assert_eq!(listed[0]["bytes"], 48 << 20);
}

/// Most KiB that a process had at once, where the system says it.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
