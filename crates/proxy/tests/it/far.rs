//! Servers at an address: which addresses are dialled, what goes where, and tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::json;
use strongroom_model::code::Code;
use strongroom_model::far::{Ask, Failed, Reply as Answer, Site, Verb};
use strongroom_model::ports::{Clock, Far as _};
use strongroom_model::secret::Secret;
use strongroom_model::service::{Auth, Origin, Scheme, Service};
use strongroom_proxy::Sites;
use strongroom_testkit::canary::K1;
use strongroom_testkit::fakes::{FakeClock, FakeDns, StaticCredentials};
use strongroom_testkit::upstream::{Reply, Seen, Upstream};

const REFRESH: &str = "refresh-token-0123456789-canary";

/// A server behind `api.test`, another one beside it, and what reaches them.
struct Place {
    upstream: Upstream,
    evil: Upstream,
    dns: Arc<FakeDns>,
    sites: Sites,
}

impl Place {
    async fn of(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let upstream = Upstream::http(answer).await;
        let evil = Upstream::http(|_| Reply::ok("evil")).await;
        let dns = Arc::new(FakeDns::new(&[
            ("api.test", &[&["127.0.0.1"]]),
            ("mixed.test", &[&["203.0.113.5", "127.0.0.1"]]),
            ("inner.test", &[&["10.0.0.7"]]),
        ]));
        let credentials = StaticCredentials::new(&[("local://far/oauth/x", REFRESH)]);
        let clock: Arc<dyn Clock> = Arc::new(FakeClock::default());
        let sites = Sites::new(Arc::clone(&dns) as _, clock, Arc::new(credentials));
        Self { upstream, evil, dns, sites }
    }

    /// The server under this name, with `allow` in force.
    fn site(&self, host: &str, allow: &[&str], auth: Auth) -> Arc<Site> {
        let origin = Origin {
            scheme: Scheme::Http,
            host: host.into(),
            port: self.upstream.address().port(),
        };
        let mut service = Service::at("far".parse().unwrap(), origin);
        service.allow_ips = allow.iter().map(|range| range.parse().unwrap()).collect();
        service.auth = auth;
        // What was vetted for another configuration is not used for this one (SS-06).
        service.revision = 1 + allow.len() as u64;
        let headers = vec![("x-key".to_owned(), Secret::new(K1.as_bytes().to_vec()))];
        Arc::new(Site { service: Arc::new(service), target: "/mcp?a=1".to_owned(), headers })
    }

    fn allowed(&self) -> Arc<Site> {
        self.site("api.test", &["127.0.0.1/32"], Auth::default())
    }

    async fn post(&self, site: &Arc<Site>, headers: &[(&str, &str)]) -> Result<Answer, Failed> {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let ask = Ask {
            site: Arc::clone(site),
            verb: Verb::Post,
            target: None,
            headers: headers.collect(),
            body: Bytes::from_static(b"{}"),
        };
        self.sites.send(ask).await
    }

    async fn text(&self, site: &Arc<Site>) -> String {
        let mut reply = self.post(site, &[]).await.unwrap();
        let mut text = Vec::new();
        while let Some(piece) = reply.body.next().await.unwrap() {
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).unwrap()
    }
}

// SS-11, SS-03, SS-05
#[tokio::test]
async fn only_vetted_addresses_are_dialled_and_an_exception_is_the_servers_own() {
    let place = Place::of(|_| Reply::ok("hello")).await;
    assert_eq!(place.text(&place.allowed()).await, "hello");
    for (host, allow) in [
        ("api.test", &[][..]),
        ("127.0.0.1", &[]),
        ("localhost", &[]),
        ("inner.test", &["127.0.0.1/32"]),
        ("mixed.test", &[]),
        ("169.254.169.254", &["0.0.0.0/0"]),
        ("metadata.google.internal", &["0.0.0.0/0"]),
        ("127.1", &["127.0.0.1/32"]),
    ] {
        let failed = place.post(&place.site(host, allow, Auth::default()), &[]).await.unwrap_err();
        assert_eq!(failed.refusal.code, Code::DestinationDenied, "{host}");
        assert!(!failed.sent);
    }
    let service = &place.site("127.0.0.1", &[], Auth::default()).service;
    assert_eq!(strongroom_proxy::far::check(service).unwrap_err().code, Code::DestinationDenied);
    assert!(strongroom_proxy::far::check(&place.allowed().service).is_ok());
    assert_eq!(place.upstream.requests(), 1);
}

// SS-04
#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection_that_is_used_again() {
    let place = Place::of(|_| Reply::ok("hello")).await;
    for _ in 0..3 {
        assert_eq!(place.text(&place.allowed()).await, "hello");
    }
    assert_eq!((place.upstream.connections(), place.dns.asked().len()), (1, 1));
    place.dns.set("api.test", &[&["10.0.0.7"]]);
    assert_eq!(place.text(&place.allowed()).await, "hello", "the vetted connection stands");
}

#[tokio::test]
async fn what_the_protocol_says_goes_out_with_the_servers_own_headers() {
    let place =
        Place::of(|_| Reply::ok("hello").header("mcp-session-id", "s1").header("set-cookie", "x"))
            .await;
    let headers = [("mcp-method", "ping"), ("x-key", "theirs"), ("connection", "close")];
    let reply = place.post(&place.allowed(), &headers).await.unwrap();
    assert_eq!((reply.header("mcp-session-id"), reply.header("set-cookie")), (Some("s1"), None));
    let seen = place.upstream.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/mcp?a=1"));
    assert_eq!(seen.values("x-key"), [K1]);
    assert_eq!(seen.values("mcp-method"), ["ping"]);
    assert_eq!(seen.values("accept-encoding"), ["identity"]);
    assert!(seen.values("connection").is_empty() && seen.values("authorization").is_empty());
    assert_eq!(seen.values("host"), [format!("api.test:{}", place.upstream.address().port())]);
}

// RD-02
#[tokio::test]
async fn a_redirect_is_followed_within_its_origin_and_never_beyond() {
    let place = Place::of(|seen| {
        let to = |status, location: String| Reply::status(status).header("location", location);
        match seen.target.as_str() {
            "/mcp?a=1" => to(307, format!("http://{}/mcp/", seen.values("host")[0])),
            "/mcp/" => Reply::ok(seen.body.clone()),
            "/loop" => to(308, "/loop".to_owned()),
            "/changed" => to(302, "/mcp/".to_owned()),
            other => to(307, other.trim_start_matches('/').to_owned()),
        }
    })
    .await;
    assert_eq!(place.text(&place.allowed()).await, "{}", "with its body");
    let evil = format!("/http://{}/steal", place.evil.address());
    for target in ["/loop", "/changed", &evil, "///evil.test/", "/https://api.test/", "/relative"] {
        let site = place.allowed();
        let ask = Ask {
            site,
            verb: Verb::Post,
            target: Some(target.to_owned()),
            headers: Vec::new(),
            body: Bytes::new(),
        };
        let failed = place.sites.send(ask).await.unwrap_err();
        assert_eq!(failed.refusal.code, Code::RedirectDenied, "{target}");
    }
    assert_eq!(place.evil.connections(), 0);
}

// RX-04
#[tokio::test]
async fn what_nobody_reads_any_more_is_closed_and_what_was_read_is_used_again() {
    let place = Place::of(|_| Reply::ok("data: x\n\n").and_no_end()).await;
    let mut reply = place.post(&place.allowed(), &[]).await.unwrap();
    assert_eq!(reply.body.next().await.unwrap().unwrap(), "data: x\n\n");
    drop(reply);
    place.upstream.wait_until_closed().await;
}

#[tokio::test]
async fn nobody_at_the_address_is_no_answer_and_nothing_was_sent() {
    let place = Place::of(|_| Reply::ok("hello")).await;
    let origin = Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 1 };
    let mut service = Service::at("far".parse().unwrap(), origin);
    service.allow_ips = vec!["127.0.0.1/32".parse().unwrap()];
    let site = Site { service: Arc::new(service), target: "/".into(), headers: Vec::new() };
    let failed = place.post(&Arc::new(site), &[]).await.unwrap_err();
    assert_eq!((failed.refusal.code, failed.sent), (Code::UpstreamError, false));
    let coded = Place::of(|_| Reply::ok("x").header("content-encoding", "gzip")).await;
    let failed = coded.post(&coded.allowed(), &[]).await.unwrap_err();
    assert!(failed.sent && failed.refusal.message.contains("not asked for"));
}

/// An authorization server and a server that takes its second token.
async fn with_tokens() -> (Place, Arc<Site>, Arc<AtomicUsize>) {
    let minted = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&minted);
    let place = Place::of(move |seen| {
        if seen.target == "/token" {
            let form = String::from_utf8_lossy(&seen.body).into_owned();
            assert!(form.contains("resource=https%3A%2F%2Fh.test%2Fmcp") && form.contains(REFRESH), "{form}");
            let number = counting.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = json!({ "access_token": format!("access-token-{number:020}"), "token_type": "Bearer", "expires_in": 3600 });
            return Reply::ok(answer.to_string()).header("content-type", "application/json");
        }
        let token = seen.values("authorization").concat();
        if token.ends_with('1') { Reply::status(401) } else { Reply::ok(token) }
    })
    .await;
    let mut auth = Auth { scheme: "oauth2".into(), ..Auth::default() };
    auth.secrets.insert("refresh_token".into(), "local://far/oauth/x".parse().unwrap());
    let url = format!("http://{}/token", place.upstream.address());
    for (name, value) in
        [("token_url", url.as_str()), ("client_id", "us"), ("resource", "https://h.test/mcp")]
    {
        auth.settings.insert(name.into(), value.into());
    }
    let site = place.site("api.test", &["127.0.0.1/32"], auth);
    (place, site, minted)
}

// MC-16
#[tokio::test]
async fn a_token_is_had_once_renewed_where_it_is_refused_and_known_to_the_redactor() {
    let (place, site, minted) = with_tokens().await;
    let mut reply = place.post(&site, &[("authorization", "Bearer of-the-client")]).await.unwrap();
    let body = reply.body.next().await.unwrap().unwrap();
    assert_eq!(body, "Bearer access-token-00000000000000000002");
    let (clean, found) = reply.redactor.as_ref().unwrap().clean(body.to_vec());
    assert_eq!((found, clean.into_inner()), (1, b"Bearer [REDACTED:far]".to_vec()));
    for _ in 0..3 {
        place.post(&site, &[]).await.unwrap();
    }
    assert_eq!(minted.load(Ordering::SeqCst), 2, "once, and once more");
    let seen = place.upstream.seen();
    assert!(seen.iter().all(|seen| !seen.values("authorization").concat().contains("client")));
}
