//! Client certificates: shown to their own service, after the intent is recorded, and to nobody else.

use strongroom_model::code::Code;
use strongroom_model::service::{Scheme, Service};
use strongroom_proxy::inject;
use strongroom_testkit::ca::{Identity, TestCa};
use strongroom_testkit::fakes::{auth, service};
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Upstream};

use crate::rig::{Rig, get, text};

const HTTP1: &[&[u8]] = &[b"http/1.1"];
const HTTP2: &[&[u8]] = &[b"h2"];

/// A service whose credential is that of `keys`.
fn client(name: &str, keys: &str, upstream: &Upstream, ca: &TestCa) -> Service {
    let auth = auth(keys, "mtls", &["certificate", "key"]);
    let slots = inject::slots(&auth).unwrap();
    let mut service = service(name, upstream.address(), auth, slots, "allow GET /public/**");
    service.origin.host = "api.test".into();
    service.origin.scheme = Scheme::Https;
    service.ca_pem = Some(ca.pem().as_bytes().to_vec());
    service
}

struct Setting {
    rig: Rig,
    one: Identity,
}

/// Services `one` and `two` with certificates that the upstream takes, `stranger` with one that it
/// does not, `mixed` with the certificate of one and the key of the other, `broken` with neither.
async fn setting(alpn: &[&[u8]]) -> Setting {
    let ca = TestCa::new();
    let identity = ca.issue(&["api.test"]).for_clients_of(&ca);
    let upstream = Upstream::https_with(identity, alpn, |_| Reply::ok("fine")).await;
    let (one, two) = (ca.issue(&["one"]), ca.issue(&["two"]));
    let stranger = TestCa::new().issue(&["stranger"]);
    let secrets = [
        ("local://one/certificate", &*one.pem.0),
        ("local://one/key", &*one.pem.1),
        ("local://two/certificate", &*two.pem.0),
        ("local://two/key", &*two.pem.1),
        ("local://stranger/certificate", &*stranger.pem.0),
        ("local://stranger/key", &*stranger.pem.1),
        ("local://mixed/certificate", &*one.pem.0),
        ("local://mixed/key", &*two.pem.1),
        ("local://broken/certificate", "canary is not a certificate"),
        ("local://broken/key", "canary is not a key"),
        ("local://none/token", "canary-token"),
    ];
    let names = ["one", "two", "stranger", "mixed", "broken"];
    let mut services = names.map(|name| client(name, name, &upstream, &ca)).to_vec();
    let mut plain = services[0].clone();
    plain.name = "plain".parse().unwrap();
    plain.origin.scheme = Scheme::Http;
    let mut none = services[0].clone();
    none.name = "none".parse().unwrap();
    none.auth = auth("none", "bearer", &["token"]);
    services.extend([plain, none]);
    let rig = Rig::beside(upstream, services, &secrets).await;
    Setting { rig, one }
}

#[tokio::test]
async fn a_certificate_that_the_upstream_takes_opens_it() {
    for alpn in [HTTP1, HTTP2] {
        let Setting { rig, .. } = setting(alpn).await;
        for _ in 0..3 {
            assert_eq!(text(&rig.allowed(get("one", "/public/x")).await), "fine");
        }
        assert_eq!(rig.upstream.connections(), 1, "calls share what they can");
        assert!(rig.last().values("authorization").is_empty());
    }
}

#[tokio::test]
async fn without_one_or_with_a_strangers_it_stays_closed() {
    for alpn in [HTTP1, HTTP2] {
        let Setting { rig, .. } = setting(alpn).await;
        for name in ["none", "stranger"] {
            rig.failed(get(name, "/public/x"), Code::UpstreamError).await;
        }
        assert_eq!(rig.upstream.requests(), 0);
        assert_eq!(text(&rig.allowed(get("one", "/public/x")).await), "fine");
    }
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_an_error_without_a_connection_and_names_no_value() {
    let Setting { rig, one } = setting(HTTP1).await;
    for (name, message) in [
        ("mixed", "the client certificate and the client key do not belong together"),
        ("broken", "the client certificate of this service is not PEM"),
        ("plain", "a client certificate is of no use over plain http"),
    ] {
        let refusal = rig.failed(get(name, "/public/x"), Code::SecretUnavailable).await;
        assert_eq!(refusal.message, message);
        let oracle = Oracle::new(&[("the key", one.pem.1.as_bytes())]);
        oracle.assert_clean("the refusal", format!("{refusal:?}"));
    }
    assert_eq!(rig.upstream.connections(), 0);
}

#[tokio::test]
async fn no_service_uses_the_connection_of_another() {
    for alpn in [HTTP1, HTTP2] {
        let Setting { rig, .. } = setting(alpn).await;
        for (count, name) in [(1, "one"), (2, "two"), (2, "one"), (2, "two")] {
            rig.allowed(get(name, "/public/x")).await;
            assert_eq!(rig.upstream.connections(), count, "{name}");
        }
    }
}

#[tokio::test]
async fn a_new_certificate_or_configuration_makes_a_new_connection() {
    for alpn in [HTTP1, HTTP2] {
        let Setting { mut rig, .. } = setting(alpn).await;
        rig.allowed(get("one", "/public/x")).await;
        // The secret is replaced where it is; the configuration stays what it was.
        let mut services = rig.services.clone();
        services[1].auth = auth("two", "mtls", &["certificate", "key"]);
        rig.registry.set(services);
        for _ in 0..2 {
            rig.allowed(get("one", "/public/x")).await;
            assert_eq!(rig.upstream.connections(), 2);
        }
        rig.reconfigure(|_| {});
        rig.allowed(get("one", "/public/x")).await;
        assert_eq!(rig.upstream.connections(), 3);
    }
}

#[tokio::test]
async fn nobody_shakes_hands_before_the_intent_is_recorded() {
    let Setting { rig, .. } = setting(HTTP1).await;
    let refused = rig.call(get("one", "/secret")).await.result.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    rig.audit.fail(true);
    let refused = rig.call(get("one", "/public/x")).await.result.unwrap_err();
    assert_eq!(refused.code, Code::AuditUnavailable);
    assert_eq!(rig.upstream.connections(), 0);
    rig.audit.fail(false);
    rig.allowed(get("one", "/public/x")).await;
}
