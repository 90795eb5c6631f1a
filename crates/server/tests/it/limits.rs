//! Rates, slow clients, too many of them, and the end.

use std::time::Duration;

use strongroom_model::rate::Gcra;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{AMAZON, LIST, REGISTER, Site};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_key_beyond_its_rate_is_told_to_wait_and_others_are_not() {
    let rate = Gcra { per_minute: 60, burst: 3 };
    let site = Site::with(|options, _| options.rates.key = rate).await;
    let (key, other) = (site.key(&site.a, "use").await, site.key(&site.a, "use").await);
    for _ in 0..3 {
        site.get(LIST, &key).await.data();
    }
    let wait = site.get(LIST, &key).await;
    assert_eq!(wait.problem(), (429, "rate_limited".into()));
    assert_eq!(wait.header("retry-after"), Some("1"));
    assert_eq!(wait.json()["error"]["details"]["retry_after_s"], 1);
    site.get(LIST, &other).await.data();
    site.clock.advance(Duration::from_secs(1));
    site.get(LIST, &key).await.data();
}

// AU-09
#[tokio::test]
async fn whoever_guesses_is_told_to_wait_and_locks_nobody_out() {
    let rate = Gcra { per_minute: 60, burst: 5 };
    let site = Site::with(|options, _| options.rates.refusals = rate).await;
    let key = site.key(&site.a, "use").await;
    let guess = format!("{}{}", &key[..21], "AAAAAAAAAAbbbbbbbbbbCCCCCCCCCCdddddddddd-_E");
    for _ in 0..5 {
        assert_eq!(site.get(LIST, &guess).await.status, 401);
    }
    for _ in 0..50 {
        assert_eq!(site.get(LIST, &guess).await.problem(), (429, "rate_limited".into()));
    }
    site.get(LIST, &key).await.data();
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.get(LIST, &guess).await.status, 401);
}

#[tokio::test]
async fn an_address_beyond_its_rate_waits_whatever_it_sends() {
    let rate = Gcra { per_minute: 60, burst: 2 };
    let site = Site::with(|options, _| {
        options.rates.source = rate;
        options.behind_tls_proxy = true;
    })
    .await;
    let key = site.key(&site.a, "use").await;
    let from = async |address: &str| {
        let headers = [("x-api-key", &*key), ("x-forwarded-for", address)];
        site.send("GET", LIST, &headers, "").await.status
    };
    assert_eq!([from("192.0.2.1").await, from("192.0.2.1").await], [200, 200]);
    assert_eq!(from("192.0.2.1").await, 429);
    assert_eq!(from("192.0.2.9, 192.0.2.1").await, 429, "only what the proxy wrote counts");
    assert_eq!(from("192.0.2.1, 192.0.2.2").await, 200);
}

// RX-06
#[tokio::test]
async fn a_client_that_dawdles_over_its_head_or_its_body_loses_its_connection() {
    let short = Duration::from_millis(200);
    let site = Site::with(|options, _| {
        options.limits.head_timeout = short;
        options.limits.body_timeout = short;
    })
    .await;
    let key = site.key(&site.a, "use,register").await;
    for half in ["GET /healthz HTTP/1.1\r\nhost: x\r\nx-", ""] {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        let mut end = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut end)).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&end).contains("200 OK"));
    }
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    let head = format!(
        "POST {REGISTER} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{{",
        AMAZON.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut end = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut end)).await.unwrap().unwrap();
    assert!(end.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&end));
    site.post(REGISTER, &key, AMAZON).await.data();
}

// RX-06
#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let site = Site::with(|options, _| options.limits.connections_per_peer = 2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut third = TcpStream::connect(site.address).await.unwrap();
    let _ = third.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut end = Vec::new();
    let _ = timeout(PATIENCE, third.read_to_end(&mut end)).await.unwrap();
    assert!(end.is_empty(), "it is closed without an answer");
    drop(held);
    for try_ in 0.. {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let _ = stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await;
        let mut end = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut end)).await.unwrap();
        if end.starts_with(b"HTTP/1.1 200") {
            break;
        }
        assert!(try_ < 2000, "a place is free again");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let site = Site::new().await;
    let key = site.key(&site.a, "use").await;
    let ask = async |length: usize| {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let head = format!(
            "GET {LIST} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {key}\r\nx-a: {}\r\n\r\n",
            "a".repeat(length)
        );
        // The server does not read to the end what it refuses.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    assert!(ask(30_000).await.starts_with("HTTP/1.1 200"));
    let refused = ask(200_000).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
}

#[tokio::test]
async fn a_server_that_is_told_to_end_ends_and_takes_nobody_new() {
    let mut site = Site::new().await;
    let key = site.key(&site.a, "use").await;
    site.get(LIST, &key).await.data();
    // A connection that is kept alive does not hold it up.
    let mut idle = TcpStream::connect(site.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, idle.read_exact(&mut answer)).await.unwrap().unwrap();
    site.stop().await;
    assert!(TcpStream::connect(site.address).await.is_err());
    let mut rest = Vec::new();
    timeout(PATIENCE, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
}
