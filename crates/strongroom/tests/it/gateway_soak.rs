//! The gateway for a long time at half of what it can do: memory stays where it is, and nobody gets
//! another's answer. The tests do it for a moment; `cargo xtask soak` for an hour.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use serde_json::json;
use strongroom_testkit::fixture;

use crate::{
    gateway_rig::{Http, Serving, memory, said},
    sandbox::Sandbox,
};

/// Clients, each with a session and a connection.
const CLIENTS: u64 = 8;
/// Seconds, where nobody says how many.
const SECONDS: u64 = 2;
/// What the allocator may keep, in KiB.
const SLACK: u64 = 6 << 10;

#[expect(clippy::disallowed_methods, reason = "the soak run says how long")]
#[test]
fn soaked_at_half_load_the_gateway_does_not_grow() {
    let seconds = env::var("STRONGROOM_SOAK_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let sandbox = Sandbox::headless();
    let file = sandbox.path(".config/strongroom/strongroom.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let command = format!("command = [{:?}, \"echo\", \"stdio\"]", fixture::program());
    let server = format!("[servers.s0]\n{command}\ncalls_per_minute = 10000000\n");
    std::fs::write(&file, format!("enable = [\"s0\"]\n{config}\n{server}")).unwrap();
    let serving = Serving::start(&sandbox);
    // A fifth of the time until caches and pools are what they will be.
    load(&serving, Duration::from_secs(seconds.div_ceil(5)));
    let before = memory(serving.pid(), "VmRSS");
    load(&serving, Duration::from_secs(seconds));
    let after = memory(serving.pid(), "VmRSS");
    println!("{before} KiB, then {after} KiB");
    assert!(after < before + SLACK, "{before} KiB, then {after} KiB");
}

/// Calls by all clients, each of which rests as long as it has waited.
fn load(serving: &Serving, length: Duration) {
    let began = Instant::now();
    thread::scope(|scope| {
        for worker in 0..CLIENTS {
            let mut client: Http = serving.client();
            scope.spawn(move || {
                client.open();
                for call in 1_u64.. {
                    let asked = Instant::now();
                    let words = format!("worker {worker} call {call}");
                    let answer = client.call("s0_echo", &json!({ "message": words }));
                    assert_eq!((said(&answer), answer["id"].as_u64()), (words, Some(call)));
                    if began.elapsed() > length {
                        client.close();
                        break;
                    }
                    thread::sleep(asked.elapsed());
                }
            });
        }
    });
}
