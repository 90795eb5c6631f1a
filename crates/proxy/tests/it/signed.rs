//! Requests that are signed: what arrives is what was signed, and the agent has no hand in it.
//!
//! `verify.py` checks the signatures from what arrived, with Python's own `hmac` and `hashlib`.

#![expect(clippy::disallowed_methods, reason = "the checker is a program of its own")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use strongroom_model::call::{Body, Execute};
use strongroom_model::code::Code;
use strongroom_model::service::Auth;
use strongroom_proxy::inject;
use strongroom_testkit::canary;
use strongroom_testkit::fakes::{auth, service};
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Seen, Upstream};

use crate::rig::{Rig, get, get_with, text};

/// The name of a service, its type, its secret fields and its settings.
type Row = (&'static str, &'static str, &'static [&'static str], Settings);
type Settings = &'static [(&'static str, &'static str)];

/// The schemes, each with its secret fields and its settings.
const SCHEMES: [Row; 6] = [
    ("bybit", "hmac", &["key", "secret"], &[("preset", "bybit")]),
    ("okx", "hmac", &["key", "secret", "passphrase"], &[("preset", "okx")]),
    ("mexc", "hmac", &["key", "secret"], &[("preset", "mexc")]),
    ("oauth1a", "oauth1a", &["consumer_key", "consumer_secret", "token", "token_secret"], &[]),
    (
        "sigv4",
        "aws-sigv4",
        &["access_key_id", "secret_access_key", "session_token"],
        &[("region", "eu-central-1"), ("service", "execute-api")],
    ),
    (
        "s3",
        "aws-sigv4",
        &["access_key_id", "secret_access_key"],
        &[("region", "eu-central-1"), ("service", "s3")],
    ),
];

fn secret(name: &str, field: &str) -> String {
    canary::of(&format!("{name} {field}"))
}

fn scheme(name: &str) -> Auth {
    let (_, kind, fields, settings) = SCHEMES.iter().find(|row| row.0 == name).unwrap();
    let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Auth { settings: settings.collect(), ..auth(name, kind, fields) }
}

/// A service for each scheme in front of an upstream that answers so.
async fn rig(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Rig {
    let upstream = Upstream::http(answer).await;
    let services = SCHEMES.map(|(name, ..)| {
        let auth = scheme(name);
        let slots = inject::slots(&auth).unwrap();
        let mut service =
            service(name, upstream.address(), auth, slots, "allow GET|POST|PUT|DELETE /**");
        service.origin.host = "api.test".into();
        service.base_path = "/v1".into();
        service.request_headers = vec!["x-amz-target".into(), "x-amz-acl".into()];
        service
    });
    let secrets: Vec<(String, String)> = SCHEMES
        .iter()
        .flat_map(|(name, _, fields, _)| fields.iter().map(move |field| (*name, *field)))
        .map(|(name, field)| (format!("local://{name}/{field}"), secret(name, field)))
        .collect();
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(r, s)| (&**r, &**s)).collect();
    Rig::beside(upstream, Vec::from(services), &secrets).await
}

/// That every request, which went to the service of this name, has a signature that holds.
fn verify(rig: &Rig, requests: &[(&str, Seen)]) {
    let requests: Vec<Value> = requests
        .iter()
        .map(|(name, seen)| {
            let fields = SCHEMES.iter().find(|row| row.0 == *name).unwrap().2;
            let secrets: Value =
                fields.iter().map(|field| (*field, Value::from(secret(name, field)))).collect();
            let headers: Vec<_> = seen
                .headers
                .iter()
                .map(|(name, value)| (name, String::from_utf8_lossy(value).into_owned()))
                .collect();
            json!({
                "scheme": if *name == "s3" { "sigv4" } else { name },
                "method": seen.method,
                "origin": format!("http://api.test:{}", rig.upstream.address().port()),
                "target": seen.target,
                "headers": headers,
                "body": String::from_utf8_lossy(&seen.body),
                "secrets": secrets,
                // The rig's clock stands still.
                "ms": "1773570225000",
            })
        })
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/verify.py");
    let mut python = Command::new("python3");
    python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().unwrap();
    let input = Value::from(requests).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

fn send(service: &str, method: &str, path: &str, kind: &str, body: &str) -> Execute {
    Execute {
        method: method.into(),
        headers: vec![("content-type".into(), kind.into())],
        body: Body::Text(body.into()),
        ..get(service, path)
    }
}

#[tokio::test]
async fn what_arrives_is_what_was_signed() {
    let rig = rig(|_| Reply::ok("fine")).await;
    let form = "application/x-www-form-urlencoded";
    let mut arrived = Vec::new();
    for (name, ..) in SCHEMES {
        for call in [
            get(name, "/a"),
            get(name, "/a%20b/c!d?x=1&y=a%2Fb&x=0&e=&f"),
            Execute {
                query: vec![("key".into(), "a b+c/d&é".into()), ("empty".into(), String::new())],
                ..get(name, "/search")
            },
            send(name, "POST", "/orders?a=1", "application/json", r#"{"b": "2", "é": 1}"#),
            send(name, "POST", "/orders", form, "status=Hello+Ladies%20%2b+Gentlemen&b=&a=1"),
            send(name, "DELETE", "/orders/7", form, ""),
        ] {
            let words = format!("{call:?}");
            let answer = rig.call(call).await.result.unwrap();
            assert_eq!(answer.status, 200, "{words}");
            arrived.push((name, rig.last()));
        }
    }
    verify(&rig, &arrived);
}

#[tokio::test]
async fn what_the_agent_says_to_aws_is_signed_with_the_rest() {
    let rig = rig(|_| Reply::ok("fine")).await;
    let mut arrived = Vec::new();
    for name in ["sigv4", "s3"] {
        let headers = [("X-Amz-Acl", "private  and   more"), ("If-Match", "\"x\"")];
        rig.allowed(get_with(name, "/a", &headers)).await;
        let seen = rig.last();
        assert_eq!(seen.values("x-amz-acl"), ["private  and   more"]);
        assert!(seen.values("authorization")[0].contains(";x-amz-acl;"), "{seen:?}");
        arrived.push((name, seen));
    }
    verify(&rig, &arrived);
}

// HI-07, PB-19
#[tokio::test]
async fn the_agent_cannot_send_what_a_scheme_fills() {
    let rig = rig(|_| Reply::ok("fine")).await;
    let mut arrived = Vec::new();
    for (name, header) in [
        ("bybit", "X-BAPI-SIGN"),
        ("bybit", "X-BAPI-API-KEY"),
        ("okx", "OK-ACCESS-PASSPHRASE"),
        ("mexc", "X-MEXC-APIKEY"),
        ("oauth1a", "Authorization"),
        ("sigv4", "X-Amz-Date"),
        ("sigv4", "X-Amz-Security-Token"),
        ("s3", "X-Amz-Content-Sha256"),
        ("s3", "X-Amz-Security-Token"),
    ] {
        let answer = rig.allowed(get_with(name, "/a", &[(header, "agents-own")])).await;
        assert_eq!(answer.dropped_headers, [header.to_ascii_lowercase()]);
        let seen = rig.last();
        assert!(!seen.values(header).contains(&"agents-own".to_owned()), "{seen:?}");
        arrived.push((name, seen));
    }
    verify(&rig, &arrived);
    for (name, query) in [
        ("mexc", "signature=x"),
        ("mexc", "Signature=x"),
        ("mexc", "timestamp=1"),
        ("mexc", "a=1;timestamp=1"),
        ("mexc", "timestamp[]=1"),
        ("oauth1a", "oauth_token=x"),
        ("oauth1a", "oauth%5Fsignature=x"),
        ("sigv4", "X-Amz-Signature=x"),
        ("s3", "x_amz_credential=x"),
        ("s3", "AWSAccessKeyId=x"),
    ] {
        rig.denied(get(name, &format!("/a?{query}")), Code::InvalidRequest).await;
    }
    let form = "application/x-www-form-urlencoded";
    rig.failed(send("oauth1a", "POST", "/a", form, "oauth_token=x"), Code::InvalidRequest).await;
    // The same words where they are no parameters of the protocol.
    rig.allowed(send("oauth1a", "POST", "/a", "text/plain", "oauth_token=x")).await;
    rig.allowed(get("mexc", "/a?timestamps=1&my_signature=x")).await;
}

#[tokio::test]
async fn a_redirect_is_signed_anew() {
    let rig = rig(|seen| match seen.target.split('?').next() {
        Some("/v1/from") => Reply::status(302).header("Location", "/v1/to?page=2"),
        _ => Reply::ok("fine"),
    })
    .await;
    let mut arrived = Vec::new();
    for (name, ..) in SCHEMES {
        assert_eq!(text(&rig.allowed(get(name, "/from?page=1")).await), "fine");
        let seen = rig.upstream.seen();
        let both = &seen[seen.len() - 2..];
        arrived.extend(both.iter().map(|seen| (name, seen.clone())));
        assert!(both[1].target.starts_with("/v1/to?page=2"), "{}", both[1].target);
    }
    verify(&rig, &arrived);
}

#[tokio::test]
async fn time_goes_on_between_two_signatures() {
    let rig = rig(|_| Reply::ok("fine")).await;
    rig.allowed(get("mexc", "/a")).await;
    rig.clock.advance(std::time::Duration::from_millis(1_500));
    rig.allowed(get("mexc", "/a")).await;
    let targets: Vec<String> = rig.upstream.seen().into_iter().map(|seen| seen.target).collect();
    assert!(targets[0].starts_with("/v1/a?timestamp=1773570225000&"), "{targets:?}");
    assert!(targets[1].starts_with("/v1/a?timestamp=1773570226500&"), "{targets:?}");
}

#[tokio::test]
async fn what_is_echoed_of_a_credential_is_redacted() {
    let rig = rig(|seen| Reply::ok(format!("{} {:?}", seen.target, headers(seen)))).await;
    for (name, _, fields, _) in SCHEMES {
        let answer = rig.allowed(get(name, "/a")).await;
        assert!(answer.redactions > 0, "{name}: {}", text(&answer));
        for field in fields {
            let secret = secret(name, field);
            let oracle = Oracle::new(&[(field, secret.as_bytes())]);
            oracle.assert_clean(name, answer.body.get());
            oracle.assert_clean(name, format!("{:?}", rig.audit.records()));
        }
    }
}

fn headers(seen: &Seen) -> Vec<String> {
    let headers = seen.headers.iter();
    headers.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
}
