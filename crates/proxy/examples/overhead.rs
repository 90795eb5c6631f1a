//! What the broker adds to a call: the same request over a kept-alive connection of our own and
//! through the broker, against an upstream on a thread of its own.
//!
//! `cargo run --release -p strongroom-proxy --example overhead`

#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::future::pending;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_model::call::Execute;
use strongroom_model::ports::Calls as _;
use strongroom_proxy::{Broker, Ground, Parts, inject};
use strongroom_testkit::canary::K1;
use strongroom_testkit::fakes::{
    FakeClock, FakeDns, FakeSwitch, MemoryApprovals, MemoryAudit, StaticCredentials,
    StaticRegistry, auth, caller, service,
};

const CALLS: usize = 20_000;
const AT_ONCE: usize = 32;

fn main() {
    let address = upstream();
    let direct = direct(address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let brokered = runtime.block_on(brokered(address));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rate = runtime.block_on(at_once(address));
    println!("broker, {AT_ONCE} at once: {rate} calls a second");
    for (name, times) in [("direct", direct), ("broker", brokered)] {
        let at = |part: usize| times[times.len() * part / 1000];
        println!("{name}: p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999));
    }
}

fn direct(address: SocketAddr) -> Vec<Duration> {
    #[expect(clippy::disallowed_methods, reason = "this is what the broker is compared with")]
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    let request =
        format!("GET /x HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {K1}\r\n\r\n");
    timed(|| {
        stream.write_all(request.as_bytes()).unwrap();
        assert!(stream.read(&mut buffer).unwrap() > 0);
    })
}

async fn brokered(address: SocketAddr) -> Vec<Duration> {
    let (broker, audit) = broker(address);
    let caller = caller("default");
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        let finished = broker.execute(&caller, call(), Box::pin(pending())).await;
        times.push(began.elapsed());
        assert!(finished.result.is_ok());
        audit.take();
    }
    times.sort();
    times
}

/// Calls a second.
async fn at_once(address: SocketAddr) -> u128 {
    let (broker, audit) = broker(address);
    let broker = Arc::new(broker);
    let began = Instant::now();
    let tasks = (0..AT_ONCE).map(|_| {
        let (broker, audit) = (Arc::clone(&broker), Arc::clone(&audit));
        tokio::spawn(async move {
            let caller = caller("default");
            for n in 0..CALLS {
                let finished = broker.execute(&caller, call(), Box::pin(pending())).await;
                assert!(finished.result.is_ok());
                if n % 100 == 0 {
                    audit.take();
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    (AT_ONCE * CALLS) as u128 * 1000 / began.elapsed().as_millis()
}

fn broker(address: SocketAddr) -> (Broker, Arc<MemoryAudit>) {
    let auth = auth("acme", "bearer", &["token"]);
    let slots = inject::slots(&auth).unwrap();
    let mut acme = service("acme", address, auth, slots, "allow GET /**");
    acme.limits.calls_per_minute = u32::MAX;
    let audit = Arc::new(MemoryAudit::default());
    let broker = Broker::new(Parts {
        registry: Arc::new(StaticRegistry::new([acme])),
        credentials: Arc::new(StaticCredentials::new(&[("local://acme/token", K1)])),
        audit: audit.clone(),
        switch: Arc::new(FakeSwitch::default()),
        clock: Arc::new(FakeClock::default()),
        approvals: Arc::new(MemoryApprovals::new(Arc::new(FakeClock::default()))),
        dialog: None,
        lacking: None,
        approval_wait: Duration::ZERO,
        dns: Arc::new(FakeDns::default()),
        calls_at_once: Parts::CALLS_AT_ONCE,
        exchange: None,
        ground: Ground::bare("/nonexistent".into()),
    });
    (broker, audit)
}

fn call() -> Execute {
    Execute {
        service: "acme".into(),
        method: "GET".into(),
        path: "/x".into(),
        ..Execute::default()
    }
}

fn timed(mut call: impl FnMut()) -> Vec<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        call();
        times.push(began.elapsed());
    }
    times.sort();
    times
}

/// Answers every read with the same response, on a thread for each connection.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let body = "{\"ok\":true,\"items\":[1,2,3]}";
                let response = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    stream.write_all(response.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}
