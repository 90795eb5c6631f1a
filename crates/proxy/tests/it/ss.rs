//! SS: only vetted addresses are dialled, and only once they are.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;

use strongroom_model::code::Code;
use strongroom_model::service::{Scheme, Service};
use strongroom_testkit::ca::{Identity, TestCa};
use strongroom_testkit::fakes::FakeDns;
use strongroom_testkit::upstream::{Reply, Upstream};

use crate::rig::{Rig, get};

async fn rig() -> Rig {
    Rig::new(|_| Reply::ok("fine")).await
}

/// Changes `hdr` alone; `acme` goes on as it was.
fn hdr(rig: &mut Rig, change: impl Fn(&mut Service)) {
    rig.reconfigure(|service| {
        if service.name.as_str() == "hdr" {
            change(service);
        }
    });
}

// SS-01, SS-03
#[tokio::test]
async fn addresses_that_are_not_public_are_refused_before_anything_happens() {
    let mut rig = rig().await;
    for host in [
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "10.0.0.1",
        "0.0.0.0",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "127.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "localhost",
        "a.localhost",
        "metadata.google.internal",
    ] {
        hdr(&mut rig, |service| {
            service.origin.host = host.into();
            service.allow_ips.clear();
        });
        rig.denied(get("hdr", "/x"), Code::DestinationDenied).await;
    }
    assert!(!rig.dns.asked().contains(&"localhost".to_owned()));
}

// SS-01
#[tokio::test]
async fn a_metadata_service_is_refused_whatever_the_service_allows() {
    let mut rig = rig().await;
    hdr(&mut rig, |service| {
        service.origin.host = "169.254.169.254".into();
        service.allow_ips.push("169.254.0.0/16".parse().unwrap());
    });
    rig.denied(get("hdr", "/x"), Code::DestinationDenied).await;
}

#[tokio::test]
async fn an_address_that_the_service_allows_is_dialled_without_asking_for_its_name() {
    let mut rig = rig().await;
    hdr(&mut rig, |service| service.origin.host = "127.0.0.1".into());
    rig.allowed(get("hdr", "/x")).await;
    assert!(rig.dns.asked().is_empty());
}

// SS-04, SS-06
#[tokio::test]
async fn a_name_is_resolved_once_for_each_connection() {
    let mut rig = rig().await;
    rig.dns.set("api.test", &[&["127.0.0.1"], &["10.0.0.1"]]);
    for _ in 0..3 {
        rig.allowed(get("acme", "/public/x")).await;
    }
    assert_eq!(rig.dns.asked(), ["api.test"]);
    assert_eq!(rig.upstream.connections(), 1);

    // A new revision is a new connection, and the name leads elsewhere now.
    rig.reconfigure(|_| {});
    rig.failed(get("acme", "/public/x"), Code::DestinationDenied).await;
    assert_eq!(rig.dns.asked().len(), 2);
    assert_eq!(rig.upstream.connections(), 1);
}

// SS-05, SS-03
#[tokio::test]
async fn one_bad_address_denies_all_of_them() {
    let rig = rig().await;
    for answer in [
        ["127.0.0.1", "10.0.0.1"],
        ["10.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "::1"],
        ["::1", "127.0.0.1"],
        ["169.254.169.254", "127.0.0.1"],
    ] {
        rig.dns.set("api.test", &[&answer]);
        rig.failed(get("acme", "/public/x"), Code::DestinationDenied).await;
    }
    assert_eq!(rig.upstream.connections(), 0);
    rig.dns.set("api.test", &[&["127.0.0.1", "127.0.0.1"]]);
    rig.works().await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_an_error_of_the_upstream() {
    let rig = rig().await;
    rig.dns.set("api.test", &[&[]]);
    rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
}

// SS-06
#[tokio::test]
async fn a_connection_belongs_to_one_service_and_one_revision() {
    let mut rig = rig().await;
    for _ in 0..3 {
        rig.allowed(get("acme", "/public/x")).await;
    }
    assert_eq!(rig.upstream.connections(), 1);
    rig.allowed(get("hdr", "/x")).await;
    assert_eq!(rig.upstream.connections(), 2);
    rig.reconfigure(|_| {});
    rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(rig.upstream.connections(), 3);
    rig.allowed(get("acme", "/public/x")).await;
    assert_eq!(rig.upstream.connections(), 3);
}

// SS-10
#[tokio::test]
async fn what_one_service_may_reach_is_not_for_another() {
    let mut rig = rig().await;
    hdr(&mut rig, |service| service.allow_ips.clear());
    rig.works().await;
    rig.failed(get("hdr", "/x"), Code::DestinationDenied).await;
    rig.works().await;
}

async fn tls(identity: Identity, ca_pem: &str, host: &str) -> Rig {
    let upstream = Upstream::https(identity, |_| Reply::ok("fine")).await;
    Rig::with(upstream, |service| {
        service.origin.scheme = Scheme::Https;
        service.origin.host = host.into();
        service.ca_pem = Some(ca_pem.as_bytes().to_vec());
    })
    .await
}

// SS-08
#[tokio::test]
async fn nothing_is_sent_to_whoever_cannot_prove_the_name() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    for (identity, host) in [
        (ca.issue(&["other.test"]), "api.test"),
        (ca.issue_expired(&["api.test"]), "api.test"),
        (other.issue(&["api.test"]), "api.test"),
        (ca.issue(&["127.0.0.2"]), "127.0.0.1"),
        (ca.issue(&["*.test"]), "127.0.0.1"),
    ] {
        let rig = tls(identity, ca.pem(), host).await;
        rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
        assert_eq!(rig.upstream.requests(), 0);
        assert!(rig.upstream.raw_bytes().is_empty(), "nothing after the handshake");
    }
    for (names, host) in [(["api.test"], "api.test"), (["127.0.0.1"], "127.0.0.1")] {
        let rig = tls(ca.issue(&names), ca.pem(), host).await;
        rig.works().await;
        rig.works().await;
        assert_eq!(rig.upstream.connections(), 1);
    }
}

// SS-08
#[tokio::test]
async fn an_authority_of_ones_own_replaces_the_built_in_ones_and_only_for_its_service() {
    let ca = TestCa::new();
    let mut rig = tls(ca.issue(&["api.test"]), ca.pem(), "api.test").await;
    hdr(&mut rig, |service| service.ca_pem = None);
    rig.failed(get("hdr", "/x"), Code::UpstreamError).await;
    rig.works().await;
    hdr(&mut rig, |service| service.ca_pem = Some(b"not a certificate".to_vec()));
    rig.failed(get("hdr", "/x"), Code::UpstreamError).await;
}

#[tokio::test]
async fn tls_is_not_spoken_with_an_upstream_that_does_not_and_the_other_way_round() {
    let rig = Rig::with(Upstream::http(|_| Reply::ok("fine")).await, |service| {
        service.origin.scheme = Scheme::Https;
    })
    .await;
    rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
    assert_eq!(rig.upstream.requests(), 0);

    let ca = TestCa::new();
    let upstream = Upstream::https(ca.issue(&["api.test"]), |_| Reply::ok("fine")).await;
    let rig = Rig::with(upstream, |_| {}).await;
    rig.failed(get("acme", "/public/x"), Code::UpstreamError).await;
    assert_eq!(rig.upstream.requests(), 0);
}

// SS-09
#[test]
fn a_proxy_that_the_environment_names_is_not_used() {
    let proxy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    // A process of its own, because the environment belongs to the whole of one.
    #[expect(clippy::disallowed_methods, reason = "this test itself, in another environment")]
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "ss::a_connection_belongs_to_one_service_and_one_revision"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        test.env(name, &url);
    }
    let output = test.env_remove("NO_PROXY").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody came");
}

#[tokio::test]
async fn the_next_vetted_address_is_tried_where_one_does_not_answer() {
    let upstream = Upstream::http(|_| Reply::ok("fine")).await;
    let rig = Rig::with(upstream, |service| {
        service.allow_ips = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    // Nobody listens at 127.0.0.2 on this port: the connection is refused at once.
    rig.dns.set("api.test", &[&["127.0.0.2", "127.0.0.1"]]);
    rig.works().await;
}

#[tokio::test]
async fn the_stand_in_for_dns_gives_its_answers_in_order() {
    use strongroom_model::ports::Dns as _;
    let dns = FakeDns::new(&[("a", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(dns.resolve("a").await.unwrap()[0].to_string());
    }
    assert_eq!(answers, ["127.0.0.1", "127.0.0.2", "127.0.0.2"]);
}
