//! The gateway with servers and clients that do what they should not: real processes, counted in `/proc`.

use std::io::Write as _;
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::gateway_rig::{
    PATIENCE, Serving, Stdio, eventually, hello, home, kill, memory, running, said,
};

/// Does what it should.
const GOOD: &str = "serve(lambda id, params: 'good')\n";

/// A server that does not end when it is asked to, in one line for each `MARK`: on a closed stdin, on
/// TERM, and with a process of its own in a session of its own.
const STUBBORN: &str = r#"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["/bin/sh", "-c", "trap '' TERM HUP; sleep MARK & wait; wait"], start_new_session=True)
subprocess.Popen(["/usr/bin/setsid", "--fork", "/bin/sleep", "MARK"])
serve(lambda id, params: 'stubborn')
while True:
    time.sleep(1)
"#;

/// The numbers that `sleep` is told in one test, and nowhere else.
fn mark(test: u32) -> String {
    format!("{}{test:02}", 1_000_000 + std::process::id())
}

// MC-22
#[test]
fn a_server_that_writes_garbage_is_answered_for_and_hides_no_other() {
    let garbage = r#"
def call(id, params):
    out = sys.stdout.buffer
    out.write(b"\x00\xff\xfe garbage \x1b[2J\n\n{}\n[]\nnull\n{\"jsonrpc\":\"2.0\"\n")
    out.write(b"{\"jsonrpc\":\"2.0\",\"id\":99999,\"result\":{\"content\":[]}}\n")
    out.write(b"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"content\":[]}}\n")
    out.flush()
    return "through"
serve(call)
"#;
    let sandbox = home(&[("good", GOOD), ("garbage", garbage)]);
    let mut client = Stdio::start(&sandbox);
    for _ in 0..3 {
        let answer = client.call("garbage_go", &json!({}));
        assert!(["through", "upstream_error"].contains(&answer.as_str()), "{answer}");
        assert_eq!(client.call("good_go", &json!({})), "good");
    }
    client.finish();
}

#[test]
fn a_line_of_100_megabytes_is_refused_and_not_kept() {
    let huge = r#"
def call(id, params):
    if not params["arguments"].get("huge"):
        return "small"
    out = sys.stdout
    out.write('{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"' % id)
    for _ in range(100):
        out.write("a" * 1000000)
    out.write('"}]}}\n')
    out.flush()
serve(call)
"#;
    let sandbox = home(&[("huge", huge), ("good", GOOD)]);
    let mut client = Stdio::start(&sandbox);
    assert_eq!(client.call("huge_go", &json!({})), "small");
    let answer = client.call("huge_go", &json!({ "huge": true }));
    assert!(answer.len() < 100, "it was refused");
    assert_eq!(client.call("good_go", &json!({})), "good");
    client.call_until("huge_go", "small");
    let most = memory(client.pid(), "VmHWM");
    assert!(most < 120 << 10, "{most} KiB");
    client.finish();
}

#[test]
fn a_server_that_never_answers_hello_is_named_and_others_are_there() {
    let silent = "for line in sys.stdin:\n    pass\n";
    let sandbox = home(&[("good", GOOD), ("silent", silent)]);
    let mut client = Stdio::start(&sandbox);
    let list = client.ask("tools/list", &json!({}));
    let missing = &list["result"]["_meta"]["io.strongroom/missing"];
    assert_eq!(missing[0]["server"], "silent", "{list}");
    assert_eq!(missing.as_array().unwrap().len(), 1, "{list}");
    assert_eq!(client.call("good_go", &json!({})), "good");
    client.finish();
}

#[test]
fn what_a_server_leaves_behind_ends_with_the_gateway_whether_it_wants_to_or_not() {
    let mark = mark(1);
    let sandbox = home(&[("stubborn", &STUBBORN.replace("MARK", &mark))]);
    let mut client = Stdio::start(&sandbox);
    assert_eq!(client.call("stubborn_go", &json!({})), "stubborn");
    eventually("its processes run", || running(&mark).len() >= 3);
    client.finish();
    eventually("nothing is left", || running(&mark).is_empty());
    let script = sandbox.path("bin/stubborn.py").display().to_string();
    eventually("nor the server", || running(&script).is_empty());
}

// Decision 32
#[test]
fn a_killed_gateway_leaves_no_process_behind() {
    let mark = mark(2);
    let sandbox = home(&[("stubborn", &STUBBORN.replace("MARK", &mark)), ("good", GOOD)]);
    let mut client = Stdio::start(&sandbox);
    assert_eq!(client.call("stubborn_go", &json!({})), "stubborn");
    assert_eq!(client.call("good_go", &json!({})), "good");
    eventually("its processes run", || running(&mark).len() >= 3);
    client.kill();
    eventually("nothing is left", || running(&mark).is_empty());
    let scripts = sandbox.path("bin").display().to_string();
    eventually("nor the servers", || running(&scripts).is_empty());
}

#[test]
fn a_call_ends_at_once_when_its_server_closes_stdout_and_the_next_one_starts_it_again() {
    let closes = r#"
def call(id, params):
    if params["arguments"].get("close"):
        os.close(1)
        time.sleep(3600)
    return "open"
serve(call)
"#;
    let sandbox = home(&[("closes", closes)]);
    let mut client = Stdio::start(&sandbox);
    assert_eq!(client.call("closes_go", &json!({})), "open");
    let answer = client.call("closes_go", &json!({ "close": true }));
    assert_eq!(answer, "upstream_error");
    client.call_until("closes_go", "open");
    client.finish();
    let script = sandbox.path("bin/closes.py").display().to_string();
    eventually("nothing is left", || running(&script).is_empty());
}

#[test]
fn a_server_that_floods_stderr_is_answered_for_in_little_memory() {
    let floods = r#"
def flood():
    while True:
        os.write(2, b"x" * 65536)
threading.Thread(target=flood, daemon=True).start()
serve(lambda id, params: "dry")
"#;
    let sandbox = home(&[("floods", floods)]);
    let mut client = Stdio::start(&sandbox);
    for _ in 0..20 {
        assert_eq!(client.call("floods_go", &json!({})), "dry");
    }
    let most = memory(client.pid(), "VmHWM");
    assert!(most < 100 << 10, "{most} KiB");
    client.finish();
}

/// Waits in a call, and writes down when it is told that nobody does any more.
const WAITS: &str = r#"
def listen():
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "notifications/cancelled":
            open(sys.argv[0] + ".cancelled", "w").close()
def call(id, params):
    open(sys.argv[0] + ".waits", "w").close()
    listen()
    time.sleep(3600)
serve(call)
"#;

#[test]
fn a_client_that_vanishes_in_a_call_leaves_nothing_running() {
    let sandbox = home(&[("waits", WAITS)]);
    let waits = sandbox.path("bin/waits.py.waits");
    let mut serve = sandbox.child(&["serve"]);
    let mut stdin = serve.stdin().unwrap();
    for (id, method, params) in [
        (0, "initialize", hello()),
        (1, "tools/call", json!({ "name": "waits_go", "arguments": {} })),
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        writeln!(stdin, "{message}").unwrap();
    }
    eventually("the call is under way", || waits.exists());
    let began = Instant::now();
    // Both of its ends close, as those of a process that dies.
    drop((stdin, serve.stdout()));
    serve.wait_timeout(PATIENCE).unwrap().unwrap();
    println!("it ended after {:?}", began.elapsed());
    let script = sandbox.path("bin/waits.py").display().to_string();
    eventually("nothing is left", || running(&script).is_empty());
}

#[test]
fn a_server_is_told_when_the_client_of_its_call_has_gone() {
    let sandbox = home(&[("waits", WAITS), ("good", GOOD)]);
    let serving = Serving::start(&sandbox);
    let mut client = serving.client();
    client.open();
    client.begin("waits_go", &json!({}));
    let waits = sandbox.path("bin/waits.py.waits");
    eventually("the call is under way", || waits.exists());
    drop(client);
    let cancelled = sandbox.path("bin/waits.py.cancelled");
    eventually("it is told", || cancelled.exists());
    let mut other = serving.client();
    other.open();
    assert_eq!(said(&other.call("good_go", &json!({}))), "good");
}

#[test]
fn a_killed_server_fails_its_call_and_answers_the_next() {
    let sandbox = home(&[("waits", WAITS), ("good", GOOD)]);
    let mut client = Stdio::start(&sandbox);
    let call = client.begin("waits_go", &json!({}));
    let waits = sandbox.path("bin/waits.py.waits");
    eventually("the call is under way", || waits.exists());
    kill_script(&sandbox.path("bin/waits.py").display().to_string());
    assert_eq!(said(&client.answer(call)), "upstream_error");

    assert_eq!(client.call("good_go", &json!({})), "good");
    kill_script(&sandbox.path("bin/good.py").display().to_string());
    client.call_until("good_go", "good");
    client.finish();
}

/// Kills the server of this script, and not its guard.
fn kill_script(script: &str) {
    let servers = running(script).into_iter().filter(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with("/usr/bin/python3")
    });
    let servers: Vec<u32> = servers.collect();
    assert_eq!(servers.len(), 1, "{script}");
    kill(servers[0]);
}

#[test]
fn ten_thousand_sessions_leave_no_memory_behind() {
    let sandbox = home(&[]);
    let serving = Serving::start(&sandbox);
    let mut client = serving.client();
    let open_and_drop = |client: &mut crate::gateway_rig::Http, count: u32| {
        for number in 0..count {
            client.open();
            // Every other one is left without a word.
            if number % 2 == 0 {
                client.close();
            }
        }
    };
    // As many as are kept, and more.
    open_and_drop(&mut client, 3_000);
    let before = memory(serving.pid(), "VmRSS");
    open_and_drop(&mut client, 10_000);
    let after = memory(serving.pid(), "VmRSS");
    assert!(after < before + (8 << 10), "{before} KiB, then {after} KiB");
}

// MC-09
#[test]
fn no_client_gets_the_answer_to_anothers_call_although_all_count_from_one() {
    let shuffles = r#"
import queue, random
calls = queue.Queue()
def work():
    kept = []
    while True:
        try:
            kept.append(calls.get(timeout=0.01))
        except queue.Empty:
            random.shuffle(kept)
            for id, words in kept:
                text(id, words)
            kept = []
def call(id, params):
    calls.put((id, params["arguments"]["words"]))
threading.Thread(target=work, daemon=True).start()
serve(call)
"#;
    let sandbox = home(&[("shuffles", shuffles)]);
    let serving = Serving::start(&sandbox);
    thread::scope(|scope| {
        for worker in 0..12 {
            let mut client = serving.client();
            scope.spawn(move || {
                client.open();
                for call in 1..=40 {
                    let words = format!("worker {worker} call {call}");
                    let answer = client.call("shuffles_go", &json!({ "words": words }));
                    assert_eq!((said(&answer), answer["id"].as_u64()), (words, Some(call)));
                }
            });
        }
    });
}
