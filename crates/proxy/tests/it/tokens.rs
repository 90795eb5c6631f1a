//! Schemes that need a token first: oauth2, google-service-account, github-app.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use strongroom_model::code::Code;
use strongroom_model::ports::Calls as _;
use strongroom_model::service::{Auth, Service};
use strongroom_proxy::inject;
use strongroom_testkit::canary::{K1, K2};
use strongroom_testkit::fakes::{StaticCredentials, auth, caller};
use strongroom_testkit::upstream::{Reply, Seen, Upstream};
use tokio::task::JoinSet;

use crate::rig::{Rig, get, text};

/// The key of RFC 7515, appendix A.2.
const PEM: &str = concat!(
    "-----BEGIN PRIVATE KEY-----\n",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCh+BYK4uPJtGXOjS1lYmM2K5J9vinh8CR3/BYlzJChNuOL2TSXxbbqY913EeZ8dCn5VrD7io8ImtxLaYk8wTM/U+3QGbh3hCUv7JFP5IV3aVlL6kKA0ywPVb9ilE8TA5a8bpvfbr3SvaNnjuygxmj3AbONv/s4yDQs4v5tJ/reSlpIdJed1LnPmt7Ex1sFhSwsD174pcF1A5L5ROjtZMEQxrZHYJqkeDrrnGya11UxMFBji4NmXG9veoKjlnAqH2QbgtPr8jkiGUkftoaHLFcW9Qr4NY2ai50Xw0Byj3+H2JoY2PyrZ62EWQwuz3WTOTY8BwNNb2BvniHgVFbK5emhAgMBAAECggEAEq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7/GQ5sLKMgvfTeXZx9SE+7YwVol2NXOoAJe46sui395IW/GO+pWJ1O0BkTGoVEn2bKVRUCgu+GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M/V51gfpRLI9JYanrC4D4qAdGcopV/0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl/x/jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR/RQyGWSeWjnczT0QU91p1DhOVRuOopznQKBgQDgHMQQ60imZV1URk0KpLttoLhyt3SmqdEf/kgHePDdtzEafpAu+cS191R2JiuoF2yzWXnwFDcqGigp5BNr0AHQfD8/Lk8l1Mk09jxxCfui5nYooNyac8YFjm3vItzVCVDnEd3BbVWG8qf6deqElMGAg+C2V0L4oNXnP7LZcPAZRwKBgQC5A8R+CZW2MvRTLLHzwZkUXV866cff7tx6kqa0finGG0KgeqlaZPxgCZnFp7AeAcCMtiynVlJ7vMVgePsLq6XtON4tB5kP9jAPrq3rbAOal78eUH5OcED6eNuCV8ixEu1eWcPNCS/l1OW1EnXUEoEHKl54Xrrz2uNwkgMTP1FZ1wKBgAcCn1dwJKufzBWQxWQp1vsM5fggqPN1qGb5y0MAk3g7/Ls5bkUp5u9SN0Ai3Ya6hNnvWJMb7sXQX6U/zyO2M/hTip7tUeh7CXgwo59dkpN75gJLVds29+DAncu3KXU4f2Fa+7bLNrur53k8KwPOq2bbuTG69QtV7Jr5MR0AHWKNAoGBAIf/evpitUf+4JYbLpvNXWcY052Mpz22aR84mY3nh3F2LF2mjMJDpTg7FmuyPcVw6EcGyoAe9fa65iNqCq+jdw6PVNGo2hxfjSiZ8IIzHdsPXI89//pMjZcQK9r+CCoRjaZjOYiIDktVWZzmevJuv6WywUqd57LE3Zar3dLSIkx1AoGAIYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd+DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd/QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp/gh6A5603k2+ZQwVK0JKSHuLFkuQ3U=",
    "\n-----END PRIVATE KEY-----\n"
);

/// An authorization server that counts, and an API that says which token it got.
#[derive(Clone, Default)]
struct Server {
    minted: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
    /// The number of the token from which on the API takes them.
    takes: Arc<AtomicUsize>,
}

impl Server {
    fn answer(&self, seen: &Seen) -> Reply {
        if seen.target.ends_with("/token") || seen.target.ends_with("/access_tokens") {
            if self.broken.load(Ordering::SeqCst) {
                return Reply::status(503);
            }
            let number = self.minted.fetch_add(1, Ordering::SeqCst) + 1;
            let token = format!("minted-token-{number:030}");
            let body = if seen.target.ends_with("/access_tokens") {
                json!({ "token": token, "expires_at": "2026-03-15T11:23:45Z" })
            } else {
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 })
            };
            return json_reply(&body);
        }
        let token = seen.values("authorization").concat();
        let number: usize = token.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        if number < self.takes.load(Ordering::SeqCst) {
            return Reply::status(401);
        }
        if seen.target.ends_with("/session") {
            let token = token.strip_prefix("Bearer ").unwrap_or_default();
            return json_reply(
                &json!({ "access_token": token, "other": "another-token-0123456789" }),
            );
        }
        Reply::ok(format!("token {number}"))
    }

    fn minted(&self) -> usize {
        self.minted.load(Ordering::SeqCst)
    }
}

fn json_reply(body: &Value) -> Reply {
    Reply::ok(body.to_string()).header("content-type", "application/json")
}

/// The corpus, whose service `hdr` has this auth, with `URL` in its settings for the upstream.
async fn rig(server: &Server, own: Auth) -> Rig {
    let answering = server.clone();
    let mut rig = Rig::new(move |seen| answering.answer(seen)).await;
    let url = format!("http://{}", rig.upstream.address());
    let mut own = own;
    for value in own.settings.values_mut() {
        *value = value.replace("URL", &url);
    }
    let slots = inject::slots(&own).unwrap();
    rig.reconfigure(|service: &mut Service| {
        if service.name.as_str() == "hdr" {
            service.auth = own.clone();
            service.slots = slots.clone();
        }
    });
    rig
}

fn client_credentials() -> Auth {
    let mut own = auth("hdr", "oauth2", &["client_secret"]);
    own.secrets.insert("client_secret".into(), "local://hdr/x-api-key".parse().unwrap());
    for (name, value) in [("token_url", "URL/token"), ("client_id", "app 1"), ("scope", "a b")] {
        own.settings.insert(name.into(), value.into());
    }
    own
}

fn with_refresh_token() -> Auth {
    let mut own = client_credentials();
    own.secrets.clear();
    own.secrets.insert("refresh_token".into(), "local://acme/token".parse().unwrap());
    own
}

async fn number(rig: &Rig) -> String {
    text(&rig.allowed(get("hdr", "/x")).await)
}

#[tokio::test]
async fn a_token_is_had_once_for_the_client_and_used_until_it_ends() {
    let server = Server::default();
    let rig = rig(&server, client_credentials()).await;
    assert_eq!(number(&rig).await, "token 1");
    assert_eq!(number(&rig).await, "token 1");
    assert_eq!(server.minted(), 1);
    let asked = &rig.upstream.seen()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token"));
    let basic = asked.values("authorization").concat();
    let pair = STANDARD.decode(basic.strip_prefix("Basic ").unwrap()).unwrap();
    let encoded: String = K2.bytes().fold(String::new(), |text, byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text + &if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    assert_eq!(String::from_utf8(pair).unwrap(), format!("app%201:{encoded}"), "RFC 6749 §2.3.1");
    assert_eq!(&*asked.body, b"grant_type=client_credentials&scope=a%20b");
    let learned = rig.credentials.learned();
    assert_eq!(learned.len(), 1, "the redactor knows it");
    assert!(learned[0].secret.expose().starts_with(b"minted-token-"));
}

// RR-12
#[tokio::test]
async fn a_token_of_ours_that_an_api_echoes_is_redacted_and_makes_no_handle() {
    let server = Server::default();
    let mut rig = rig(&server, client_credentials()).await;
    assert_eq!(number(&rig).await, "token 1");
    let marker = "{\"access_token\":\"[REDACTED:hdr]\",\"other\":\"another-token-0123456789\"}";
    assert_eq!(text(&rig.allowed(get("hdr", "/session")).await), marker, "the redactor knows it");
    rig.reconfigure(|service| service.seal_fields = vec!["access_token".into()]);
    let answer = rig.allowed(get("hdr", "/session")).await;
    assert_eq!((text(&answer).as_str(), answer.sealed), (marker, 0));
    rig.reconfigure(|service| service.seal_fields = vec!["access_token".into(), "other".into()]);
    let answer = rig.allowed(get("hdr", "/session")).await;
    assert_eq!((answer.redactions, answer.sealed), (1, 1), "what is another's to make has one");
}

#[tokio::test]
async fn many_calls_at_once_have_one_token() {
    let server = Server::default();
    let rig = rig(&server, client_credentials()).await;
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let broker = Arc::clone(&rig.broker);
        calls.spawn(async move {
            let caller = caller("default");
            let call = broker.execute(&caller, get("hdr", "/x"), Box::pin(std::future::pending()));
            call.await.result.unwrap();
        });
    }
    calls.join_all().await;
    assert_eq!(server.minted(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_outlives_a_server_that_is_away() {
    let server = Server::default();
    let rig = rig(&server, client_credentials()).await;
    assert_eq!(number(&rig).await, "token 1");
    rig.clock.advance(Duration::from_mins(49));
    assert_eq!(number(&rig).await, "token 1");
    rig.clock.advance(Duration::from_mins(2));
    server.broken.store(true, Ordering::SeqCst);
    assert_eq!(number(&rig).await, "token 1", "still good");
    server.broken.store(false, Ordering::SeqCst);
    assert_eq!(number(&rig).await, "token 2", "ahead of the end");
    server.broken.store(true, Ordering::SeqCst);
    rig.clock.advance(Duration::from_hours(1));
    rig.failed(get("hdr", "/x"), Code::UpstreamError).await;
    server.broken.store(false, Ordering::SeqCst);
    assert_eq!(number(&rig).await, "token 3");
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_replaced_once() {
    let server = Server::default();
    let rig = rig(&server, client_credentials()).await;
    assert_eq!(number(&rig).await, "token 1");
    server.takes.store(2, Ordering::SeqCst);
    assert_eq!(number(&rig).await, "token 2");
    server.takes.store(100, Ordering::SeqCst);
    let answer = rig.allowed(get("hdr", "/x")).await;
    assert_eq!((answer.status, server.minted()), (401, 3), "one retry and no more");
}

#[tokio::test]
async fn another_configuration_has_another_token() {
    let server = Server::default();
    let mut rig = rig(&server, client_credentials()).await;
    assert_eq!(number(&rig).await, "token 1");
    rig.reconfigure(|_| {});
    assert_eq!(number(&rig).await, "token 2");
}

// RD-07
#[tokio::test]
async fn a_token_endpoint_that_redirects_gets_nothing_sent_again() {
    let evil = Upstream::http(|_| Reply::ok("evil")).await;
    let away = format!("http://{}/token", evil.address());
    let rig = Rig::new(move |seen| match seen.target.as_str() {
        "/token" => Reply::status(307).header("Location", &away),
        _ => Reply::ok("fine"),
    });
    let mut rig = rig.await;
    let mut own = with_refresh_token();
    let url = format!("http://{}/token", rig.upstream.address());
    own.settings.insert("token_url".into(), url);
    rig.reconfigure(|service| {
        if service.name.as_str() == "hdr" {
            service.auth = own.clone();
            service.slots = inject::slots(&own).unwrap();
        }
    });
    rig.failed(get("hdr", "/x"), Code::UpstreamError).await;
    assert_eq!(evil.connections(), 0);
    assert_eq!(rig.upstream.seen().iter().filter(|seen| seen.target == "/token").count(), 1);
}

#[tokio::test]
async fn a_refresh_token_is_used_and_the_one_that_takes_its_place_is_kept() {
    let upstream = Upstream::http(|seen| {
        if seen.target != "/token" {
            return Reply::ok("fine");
        }
        let form = String::from_utf8_lossy(&seen.body).into_owned();
        assert!(form.starts_with("grant_type=refresh_token&refresh_token="), "{form}");
        json_reply(&json!({ "access_token": "minted-access-0123456789", "token_type": "bearer",
            "expires_in": 3600, "refresh_token": "minted-refresh-0123456789" }))
    });
    let mut rig = Rig::with(upstream.await, |_| {}).await;
    let mut own = with_refresh_token();
    let url = format!("http://{}/token", rig.upstream.address());
    own.settings.insert("token_url".into(), url);
    rig.reconfigure(|service| {
        if service.name.as_str() == "hdr" {
            service.auth = own.clone();
            service.slots = inject::slots(&own).unwrap();
        }
    });
    for _ in 0..3 {
        rig.allowed(get("hdr", "/x")).await;
    }
    assert_eq!(rig.upstream.seen().iter().filter(|seen| seen.target == "/token").count(), 1);
    let replaced = rig.credentials.replaced();
    assert_eq!(replaced.len(), 1);
    assert_eq!(replaced[0].0.as_str(), "local://acme/token");
    assert_eq!(replaced[0].1.expose(), b"minted-refresh-0123456789");
    let form = &rig.upstream.seen().into_iter().find(|seen| seen.target == "/token").unwrap().body;
    assert!(String::from_utf8_lossy(form).contains(K1));
}

#[test]
fn a_token_endpoint_is_an_address_that_keeps_secrets_and_is_the_one_that_gave_the_token() {
    let problem = |change: &dyn Fn(&mut Auth)| {
        let mut own = with_refresh_token();
        own.settings.insert("token_url".into(), "https://login.example/token".into());
        change(&mut own);
        inject::slots(&own).map_err(|error| error.to_string())
    };
    assert!(problem(&|_| {}).is_ok());
    let set = |name: &'static str, value: &'static str| {
        move |own: &mut Auth| {
            own.settings.insert(name.into(), value.into());
        }
    };
    for (name, value) in [
        ("token_url", "http://login.example/token"),
        ("token_url", "login.example"),
        ("authorize_url", "javascript:alert(1)"),
        ("client_auth", "jwt"),
        ("api_key", "x"),
    ] {
        assert!(problem(&set(name, value)).is_err(), "{name} {value}");
    }
    let refer = |to: &'static str| {
        move |own: &mut Auth| {
            own.secrets.insert("refresh_token".into(), to.parse().unwrap());
        }
    };
    assert!(problem(&refer("local://hdr/oauth/login.example")).is_ok());
    assert!(problem(&refer("local://hdr/oauth/evil.example")).is_err());
}

/// The claims of a JWT.
fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

/// A rig whose service `hdr` has this auth, and these secrets beside those of the corpus.
async fn signed(server: &Server, own: Auth, secret: &str) -> Rig {
    let reference = own.secrets.values().next().unwrap().to_string();
    let credentials = StaticCredentials::new(&[(&reference, secret), ("local://acme/token", K1)]);
    let mut rig = rig(server, own).await;
    rig.use_credentials(credentials);
    rig
}

#[tokio::test]
async fn a_google_service_account_signs_for_its_scope_and_nowhere_else() {
    let server = Server::default();
    let mut own = auth("hdr", "google-service-account", &["key"]);
    for (name, value) in [("scope", "https://scope/a"), ("token_url", "URL/token")] {
        own.settings.insert(name.into(), value.into());
    }
    let key = json!({ "client_email": "a@b.example", "private_key": PEM, "private_key_id": "k1",
        "token_uri": "https://evil.test/token" });
    let rig = signed(&server, own, &key.to_string()).await;
    assert_eq!(number(&rig).await, "token 1");
    let seen = rig.upstream.seen();
    let form = String::from_utf8(seen[0].body.to_vec()).unwrap();
    let assertion = form.split("assertion=").nth(1).unwrap();
    let claims = claims(assertion);
    assert_eq!(claims["iss"], "a@b.example");
    assert_eq!(claims["aud"], format!("http://{}/token", rig.upstream.address()));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert!(form.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&"));
}

#[tokio::test]
async fn a_github_app_has_the_token_of_its_installation_also_on_an_enterprise_server() {
    let server = Server::default();
    let mut own = auth("hdr", "github-app", &["private_key"]);
    for (name, value) in [("app_id", "7"), ("installation_id", "42"), ("api_url", "URL/api/v3")] {
        own.settings.insert(name.into(), value.into());
    }
    let rig = signed(&server, own, PEM).await;
    assert_eq!(number(&rig).await, "token 1");
    let seen = rig.upstream.seen();
    assert_eq!(seen[0].target, "/api/v3/app/installations/42/access_tokens");
    let token = seen[0].values("authorization").concat();
    let claims = claims(token.strip_prefix("Bearer ").unwrap());
    assert_eq!((claims["iss"].as_str(), claims["exp"].as_u64()), (Some("7"), Some(1_773_570_765)));
    rig.clock.advance(Duration::from_mins(51));
    assert_eq!(number(&rig).await, "token 2", "ten minutes ahead of its end");
}

#[tokio::test]
async fn a_key_that_is_not_one_is_an_incomplete_credential_and_is_not_shown() {
    let server = Server::default();
    let mut own = auth("hdr", "github-app", &["private_key"]);
    for (name, value) in [("app_id", "7"), ("installation_id", "42"), ("api_url", "URL")] {
        own.settings.insert(name.into(), value.into());
    }
    let rig = signed(&server, own, K1).await;
    rig.failed(get("hdr", "/x"), Code::SecretUnavailable).await;
    assert_eq!(server.minted(), 0);
}
