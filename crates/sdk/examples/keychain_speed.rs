//! How long `retrieve_secret` takes from a true gnome-keyring, beside `secret-tool`: prints one line of
//! JSON, in microseconds. `first` has the connection to make; the others use the one that is kept.

#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::unwrap_used, reason = "what cannot be measured has failed")]

use std::time::{Duration, Instant};

use strongroom_sdk::{Environment, Manager, Os, Secret, Surroundings};
use strongroom_testkit::secret_service::SecretService;

const ROUNDS: usize = 100;

fn main() {
    let (session, home) = (SecretService::start(), tempfile::tempdir().unwrap());
    let variables = [
        ("DBUS_SESSION_BUS_ADDRESS", session.address().to_owned()),
        ("HOME", home.path().display().to_string()),
    ];
    let manager = || {
        let environment = Environment::new(Os::CURRENT, variables.clone());
        let manager = Manager::new();
        manager.initialize("speed", Surroundings::new(environment)).unwrap();
        manager
    };
    manager().store_secret("key", Secret::new(b"bench-value".to_vec())).unwrap();
    let kept = manager();
    let read = |manager: &Manager| drop(manager.retrieve_secret("key").unwrap().unwrap());
    let first = middle(|| {
        let manager = manager();
        timed(|| read(&manager))
    });
    read(&kept);
    let later = middle(|| timed(|| read(&kept)));
    let attributes = ["service", "com.mcp.speed", "username", "key"];
    let tool = middle(|| timed(|| drop(session.lookup(&attributes).unwrap())));
    let figures =
        serde_json::json!({ "first_us": first, "later_us": later, "secret_tool_us": tool });
    println!("{figures}");
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The median, in microseconds.
fn middle(mut once: impl FnMut() -> Duration) -> u128 {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| once()).collect();
    times.sort_unstable();
    times[ROUNDS / 2].as_micros()
}
