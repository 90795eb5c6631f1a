//! Handles: what an endpoint mints never reaches the agent, and works all the same.

use std::fs;
use std::future::pending;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_model::approval::Answer as Said;
use strongroom_model::audit::Kind;
use strongroom_model::call::{Answer, Body, Execute};
use strongroom_model::code::Code;
use strongroom_model::ports::Calls as _;
use strongroom_model::service::Service;
use strongroom_testkit::canary::{K1, K2};
use strongroom_testkit::fakes::caller;
use strongroom_testkit::upstream::{Reply, Seen, Upstream};

use crate::rig::{Rig, get, text};

/// What the upstream mints.
const MINTED: &str = "minted-credential-0123456789+/=";

/// Answers `/items` with a new credential, `/public/echo` with what it was sent, and others as their
/// names say.
fn answer(seen: &Seen) -> Reply {
    let json = |body: String| Reply::ok(body).header("Content-Type", "application/json");
    let minted = format!("{{\"token\": \"{MINTED}\", \"n\": 1.50}}");
    let path = seen.target.split('?').next().unwrap();
    match path.rsplit('/').next().unwrap() {
        "items" if seen.body.starts_with(b"{\"mint\"") => json(minted),
        "mint" => json(minted),
        "failed" => Reply::status(400).header("Content-Type", "application/json").body(minted),
        "twice" => json(format!("{{\"a\": \"{MINTED}\", \"token\": \"{MINTED}\"}}")),
        "own" => json(format!("{{\"token\": \"{K1}\"}}")),
        "word" => json("{\"token\": \"unavailable\"}".into()),
        "many" => {
            let all: Vec<_> = (0..12).map(|n| format!("\"minted-credential-{n:02}\"")).collect();
            json(format!("{{\"token\": [{}]}}", all.join(",")))
        }
        "events" => Reply::ok(format!(
            "data: {{\"token\":\"{MINTED}\"}}\n\ndata: {}\n\ndata: {}\n\n",
            &MINTED[..15],
            &MINTED[15..]
        ))
        .header("Content-Type", "text/event-stream"),
        "lines" => Reply::ok(format!("{{\"token\":\"{MINTED}\"}}\n{{\"a\":\"{MINTED}\"}}\n"))
            .header("Content-Type", "application/x-ndjson"),
        "away" => {
            let to = seen.target.split_once("to=").map_or("", |(_, to)| to);
            Reply::status(302).header("Location", format!("/v1/public/fine?token=srh_{to}"))
        }
        _ => {
            let headers: Vec<_> = seen.headers.iter().map(|(_, value)| value.as_slice()).collect();
            Reply::ok([seen.target.as_bytes(), &headers.concat(), &seen.body].concat())
        }
    }
}

/// Every service but `qry` makes handles.
fn sealing(service: &mut Service) {
    if service.name.as_str() == "qry" {
        return;
    }
    service.seal_fields = vec!["token".into()];
    service.unseal_fields = vec!["session".into(), "x-session".into()];
    service.request_headers = vec!["x-session".into(), "x-note".into()];
}

async fn rig() -> Rig {
    Rig::with(Upstream::http(answer).await, sealing).await
}

fn post(body: &str) -> Execute {
    Execute { method: "POST".into(), body: Body::Json(body.into()), ..get("acme", "/items") }
}

fn form(body: &str) -> Execute {
    let kind = ("content-type".into(), "application/x-www-form-urlencoded".into());
    Execute { body: Body::Text(body.into()), headers: vec![kind], ..post("") }
}

fn with_header(name: &str, value: &str) -> Execute {
    Execute { headers: vec![(name.into(), value.into())], ..get("acme", "/public/echo") }
}

/// The handle in the JSON answer to `call`, made by `principal`.
async fn minted_for(rig: &Rig, principal: &str, call: Execute) -> String {
    let finished = rig.broker.execute(&caller(principal), call, Box::pin(pending())).await;
    let answer = finished.result.unwrap();
    assert!(!text(&answer).contains(MINTED));
    assert_eq!((answer.sealed, answer.redactions), (1, 0));
    let body: Value = serde_json::from_str(&text(&answer)).unwrap();
    body["token"].as_str().unwrap().to_owned()
}

async fn minted(rig: &Rig) -> String {
    minted_for(rig, "default", get("acme", "/public/mint")).await
}

/// A call with a handle that is answered; what it was answered does not show the credential.
async fn allowed(rig: &Rig, call: Execute) -> Answer {
    let answer = rig.allowed(call).await;
    assert!(!text(&answer).contains("minted-credential"), "{}", text(&answer));
    answer
}

// PX-04
#[tokio::test]
async fn what_an_endpoint_mints_is_a_handle_that_works_in_each_of_its_places() {
    let rig = rig().await;
    let handle = minted(&rig).await;
    assert!(handle.starts_with("srh_") && handle.len() == 36, "{handle}");
    let outcome = rig.audit.take().pop().unwrap();
    assert_eq!((outcome.sealed, outcome.handles), (Some(1), None));

    let encoded = "minted-credential-0123456789%2B%2F%3D";
    let json_body = |body: &str| post(&body.replace('H', &handle));
    for (call, expected) in [
        (
            json_body(r#"{ "token":"H", "n":1.50 }"#),
            format!(r#"{{ "token":"{MINTED}", "n":1.50 }}"#),
        ),
        (json_body(r#"{"a":{"session":["H"]}}"#), format!(r#"{{"a":{{"session":["{MINTED}"]}}}}"#)),
        (form(&format!("a=b&token={handle}")), format!("a=b&token={encoded}")),
    ] {
        let answer = allowed(&rig, call).await;
        assert_eq!(String::from_utf8_lossy(&rig.last().body), expected);
        assert!(text(&answer).contains("[REDACTED:acme]"), "{}", text(&answer));
        let records = rig.audit.take();
        let [intent, outcome] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!(
            (intent.kind, intent.handles, outcome.handles),
            (Kind::Intent, Some(1), Some(1))
        );
        assert!(!format!("{records:?}").contains("minted-credential"));
    }
    allowed(&rig, get("acme", &format!("/public/echo?a=b&token={handle}"))).await;
    assert_eq!(rig.last().target, format!("/v1/public/echo?a=b&token={encoded}"));
    let query = vec![("session".to_owned(), handle.clone())];
    allowed(&rig, Execute { query, ..get("acme", "/public/echo") }).await;
    assert_eq!(rig.last().target, format!("/v1/public/echo?session={encoded}"));
    allowed(&rig, with_header("X-Session", &handle)).await;
    assert_eq!(rig.last().values("x-session"), [MINTED]);
    allowed(&rig, with_header("X-Session", &format!("Bearer {handle}"))).await;
    assert_eq!(rig.last().values("x-session"), [format!("Bearer {MINTED}")]);
    assert_eq!(rig.last().values("authorization"), [format!("Bearer {K1}")]);
}

// PX-04
#[tokio::test]
async fn a_handle_in_any_other_place_is_refused_and_nothing_is_sent() {
    let rig = rig().await;
    let handle = minted(&rig).await;
    let raw = |kind: &str, body: &str| Execute {
        headers: vec![("content-type".into(), kind.into())],
        body: Body::Text(body.replace('H', &handle)),
        ..post("")
    };
    let json_body = |body: &str| post(&body.replace('H', &handle));
    let escaped = format!("\\u0073{}", &handle[1..]);
    for call in [
        json_body(r#"{"text":"H"}"#),
        json_body(r#"{"token":"see H"}"#),
        json_body(r#"{"H":"token"}"#),
        post(&format!("{{\"token\":\"{escaped}\"}}")),
        form(&format!("text={handle}")),
        form(&format!("token=%73{}", &handle[1..])),
        raw("text/plain", "H"),
        raw("multipart/form-data; boundary=b", "--b\r\n\r\nH\r\n--b--"),
        Execute { body: Body::Bytes(handle.clone().into()), ..post("") },
        get("acme", &format!("/public/{handle}")),
        get("acme", &format!("/public/echo?text={handle}")),
        get("acme", &format!("/public/echo?{handle}=token")),
        with_header("X-Note", &handle),
        with_header("Accept", &handle),
        with_header("X-Session", &format!("Basic {handle}")),
        // Headers that are never the agent's are left out; one with a handle in it is refused.
        with_header("Authorization", &format!("Bearer {handle}")),
        with_header("X-Unlisted", &handle),
    ] {
        let refusal = rig.denied(call, Code::PolicyDenied).await;
        assert!(refusal.message.contains("handle"), "{}", refusal.message);
    }
    allowed(&rig, json_body(r#"{"token":"H"}"#)).await;
    allowed(&rig, with_header("Authorization", "Bearer srh_of-my-own")).await;
}

// PX-04
#[tokio::test]
async fn a_handle_of_somebody_else_of_another_service_or_of_nobody_is_refused() {
    let rig = rig().await;
    let handle = minted(&rig).await;
    let theirs = minted_for(&rig, "other", get("acme", "/public/mint")).await;
    let elsewhere = minted_for(&rig, "default", get("hdr", "/mint")).await;
    assert_ne!(handle, theirs);
    let with = |handle: &str| post(&format!("{{\"token\":\"{handle}\"}}"));
    let guessed = format!("srh_{}", "0".repeat(32));
    let mut words = Vec::new();
    for strange in [&theirs, &elsewhere, &guessed] {
        words.push(rig.denied(with(strange), Code::PolicyDenied).await.message);
    }
    words.dedup();
    assert_eq!(words.len(), 1, "nobody learns which handles there are");
    rig.denied(get("hdr", &format!("/x?token={handle}")), Code::PolicyDenied).await;
    // A service that knows of no handles refuses them as well.
    rig.denied(get("qry", &format!("/x?token={handle}")), Code::PolicyDenied).await;

    allowed(&rig, with(&handle)).await;
    allowed(&rig, get("hdr", &format!("/x?token={elsewhere}"))).await;
    rig.clock.advance(Duration::from_hours(8));
    rig.denied(with(&handle), Code::PolicyDenied).await;
    allowed(&rig, with(&minted(&rig).await)).await;
}

#[tokio::test]
async fn a_handle_ends_with_the_origin_and_with_the_list_that_made_it() {
    let mut rig = rig().await;
    let handle = minted(&rig).await;
    let call = || post(&format!("{{\"token\":\"{handle}\"}}"));
    rig.reconfigure(|service| service.limits.events += 1);
    allowed(&rig, call()).await;
    rig.reconfigure(|service| service.seal_fields.clear());
    rig.denied(call(), Code::PolicyDenied).await;
    rig.reconfigure(sealing);
    allowed(&rig, call()).await;
    let (evil, port) = (rig.evil.address().port(), rig.upstream.address().port());
    rig.reconfigure(|service| service.origin.port = evil);
    let refused = rig.call(call()).await.result.unwrap_err();
    assert_eq!((refused.code, rig.evil.connections()), (Code::PolicyDenied, 0));
    rig.reconfigure(|service| service.origin.port = port);
    allowed(&rig, call()).await;
}

#[tokio::test]
async fn the_policy_judges_the_request_with_the_handle_in_it() {
    let mut rig = rig().await;
    let handle = minted(&rig).await;
    rig.reconfigure(|service| {
        service.policy = strongroom_testkit::fakes::policy("allow GET /**\nask POST /items");
    });
    let call = || post(&format!("{{\"token\":\"{handle}\"}}"));
    let refused = rig.call(call()).await.result.unwrap_err();
    assert_eq!(refused.code, Code::ApprovalDenied);
    let asked = rig.approvals.entries();
    assert!(!format!("{asked:?}").contains("minted-credential"));
    assert!(rig.approvals.answer_at_terminal(&asked[0].id, Said::Once));
    allowed(&rig, call()).await;
    assert_eq!(rig.last().body, format!("{{\"token\":\"{MINTED}\"}}").as_bytes());
}

// RD-02
#[tokio::test]
async fn an_upstream_leads_to_no_handle() {
    let rig = rig().await;
    let handle = minted(&rig).await;
    // It never sees one; here it is told the digits.
    let digits = &handle[4..];
    rig.failed(get("acme", &format!("/public/away?to={digits}")), Code::RedirectDenied).await;
    assert!(rig.last().target.contains("away"), "it was not followed");
    allowed(&rig, get("acme", &format!("/public/away?to={}", &digits[1..]))).await;
    assert!(rig.last().target.contains("fine"), "it was followed");
}

// RR-12
#[tokio::test]
async fn what_is_no_new_credential_is_redacted_and_has_no_handle() {
    let rig = rig().await;
    for (path, redactions) in [("/public/failed", 1), ("/public/own", 1), ("/public/word", 1)] {
        let answer = rig.allowed(get("acme", path)).await;
        assert_eq!((answer.sealed, answer.redactions), (0, redactions), "{path}");
        for part in ["srh_", MINTED, "unavailable", K1, K2] {
            assert!(!text(&answer).contains(part), "{path}: {}", text(&answer));
        }
    }
    let answer = rig.allowed(get("acme", "/public/many")).await;
    assert_eq!((answer.sealed, answer.redactions), (8, 4), "{}", text(&answer));
    assert_eq!(text(&answer).matches("srh_").count(), 8);
}

// RR-12
#[tokio::test]
async fn a_minted_credential_is_redacted_wherever_else_it_stands() {
    let rig = rig().await;
    let answer = allowed(&rig, get("acme", "/public/twice")).await;
    let body: Value = serde_json::from_str(&text(&answer)).unwrap();
    assert_eq!(body["a"], "[REDACTED:acme]");
    assert!(body["token"].as_str().unwrap().starts_with("srh_"));
    // And from now on, in answers of other services too.
    let answer = allowed(&rig, get("hdr", "/twice?x")).await;
    assert_eq!((answer.redactions, answer.sealed), (1, 1));
}

// RR-12
#[tokio::test]
async fn streams_and_files_have_handles_too() {
    let rig = rig().await;
    let works = |handle: String| post(&json!({ "token": handle }).to_string());
    let handle_in = |text: &str| text[text.find("srh_").unwrap()..][..36].to_owned();
    for (path, save, expected) in [
        ("/public/events", false, "data: {\"token\":\"H\"}\n\ndata: [REDACTED:acme]\n\ndata: \n\n"),
        ("/public/events", true, "data: {\"token\":\"H\"}\n\ndata: [REDACTED:acme]\n\ndata: \n\n"),
        ("/public/lines", false, "{\"token\":\"H\"}\n{\"a\":\"[REDACTED:acme]\"}\n"),
        ("/public/lines", true, "{\"token\":\"H\"}\n{\"a\":\"[REDACTED:acme]\"}\n"),
        ("/public/mint", true, "{\"token\": \"H\", \"n\": 1.50}"),
    ] {
        let answer = rig.allowed(Execute { save, ..get("acme", path) }).await;
        let body = match &answer.file {
            Some(file) => fs::read_to_string(&file.path).unwrap(),
            None => text(&answer),
        };
        let handle = handle_in(&body);
        assert_eq!(body.replace(&handle, "H"), expected, "{path}");
        assert_eq!(answer.sealed, 1, "{path}");
        allowed(&rig, works(handle)).await;
        assert_eq!(rig.last().body, format!("{{\"token\":\"{MINTED}\"}}").as_bytes());
    }
}
