//! AL: what is written down about a call, and what never is.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use strongroom_model::audit::{Draft, Kind};
use strongroom_model::call::{Answer, Body, Execute};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::lock::Part;
use strongroom_model::ports::ResolveError;
use strongroom_model::principal::Name;
use strongroom_testkit::canary::K1;
use strongroom_testkit::fakes::{MemoryAudit, policy};
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Step, Upstream};
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::fmt::MakeWriter;

use crate::rig::{Rig, assert_records_clean, get};

#[tokio::test]
async fn a_call_has_an_intent_before_it_leaves_and_an_outcome_after() {
    let rig = Rig::new(|_| Reply::status(201).body(format!("key {K1}"))).await;
    let call = Execute {
        method: "POST".into(),
        body: Body::Text("12345".into()),
        reason: Some("because".into()),
        ..get("acme", "/items?token=canary")
    };
    let finished = rig.call(call).await;
    let records = rig.audit.records();
    let [intent, outcome] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(intent.kind, Kind::Intent);
    assert_eq!(intent.rule.as_deref(), Some("POST /items"));
    assert_eq!(intent.reason.as_deref(), Some("because"));
    assert_eq!(intent.path.as_deref(), Some("/items"));
    assert_eq!(intent.request_bytes, Some(5));
    assert_eq!(outcome.kind, Kind::Outcome);
    assert_eq!(outcome.audit_id, intent.audit_id);
    assert_eq!(outcome.status, Some(201));
    assert_eq!(outcome.code, None);
    assert_eq!(outcome.redactions, Some(1));
    assert_eq!(outcome.response_bytes, Some(44));
    assert_eq!(finished.audit_id, intent.audit_id.clone().map(|id| id.0));
    assert_records_clean(&records);
    assert!(!format!("{records:?}").contains("canary"), "no query, no body");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let rig = Rig::new(|_| Reply::ok("fine")).await;
    rig.audit.fail(true);
    for call in [get("acme", "/public/x"), get("acme", "/admin"), get("nothing", "/")] {
        let finished = rig.call(call).await;
        assert_eq!(finished.result.unwrap_err().code, Code::AuditUnavailable);
        assert_eq!(finished.audit_id, None);
    }
    assert_eq!(rig.upstream.connections(), 0);
    rig.audit.fail(false);
    rig.works().await;
}

#[tokio::test]
async fn an_answer_whose_outcome_cannot_be_recorded_is_not_given() {
    let audit = Arc::new(OnceLock::<Arc<MemoryAudit>>::new());
    let full = Arc::clone(&audit);
    let rig = Rig::new(move |seen| {
        if let (Some(audit), false) = (full.get(), seen.target.ends_with("/fine")) {
            audit.fail(true);
        }
        Reply::ok("fine")
    })
    .await;
    assert!(audit.set(Arc::clone(&rig.audit)).is_ok());
    let finished = rig.call(get("acme", "/public/x")).await;
    assert_eq!(finished.result.unwrap_err().code, Code::AuditUnavailable);
    assert_eq!(rig.upstream.requests(), 1);
    let records = rig.audit.take();
    assert!(matches!(records.as_slice(), [intent] if intent.kind == Kind::Intent), "{records:?}");
    assert_eq!(finished.audit_id.as_deref(), records[0].audit_id.as_ref().map(|id| &*id.0));
    rig.audit.fail(false);
    rig.works().await;
}

#[tokio::test]
async fn a_credential_that_cannot_be_had_is_not_explained_to_the_agent() {
    let rig = Rig::new(|_| Reply::ok("fine")).await;
    for (error, code) in [
        (ResolveError::Locked { scheme: "local".into() }, Code::SecretUnavailable),
        (ResolveError::Integrity { scheme: "local".into() }, Code::IntegrityError),
        (
            ResolveError::NotFound { reference: "local://canary".parse().unwrap() },
            Code::SecretUnavailable,
        ),
    ] {
        rig.credentials.fail(Some(error));
        let refusal = rig.failed(get("acme", "/public/x"), code).await;
        assert!(!refusal.message.contains("canary") && !refusal.message.contains("local"));
        assert_eq!(rig.upstream.connections(), 0);
    }
    rig.credentials.fail(None);
    rig.works().await;
}

// AL-06
#[tokio::test]
async fn every_reason_to_refuse_a_call_is_in_its_record() {
    let upstream = Upstream::http(|seen| match seen.target.as_str() {
        "/v1/public/off" => Reply::status(302).header("Location", "https://evil.test/"),
        "/v1/public/large" => Reply::status(200).repeat("x", 2000, false),
        "/v1/public/part" => Reply::status(206).body("x"),
        _ => Reply::ok("fine"),
    })
    .await;
    let mut rig = Rig::with(upstream, |service| service.limits.response_bytes = 1000).await;
    let silent = Upstream::raw([Step::Hang]).await;
    rig.reconfigure(|service| match service.name.as_str() {
        "hdr" => service.origin.host = "10.0.0.1".into(),
        "qry" => service.policy = policy("ask GET /**"),
        "cookie" => {
            service.origin.port = silent.address().port();
            service.limits.first_byte_ms = 20;
        }
        "pem" => service.limits.calls_per_minute = 0,
        _ => {}
    });

    let mut seen = Vec::new();
    let mut record = |mut records: Vec<Draft>, result: Result<Answer, Refusal>| {
        records.retain(|record| record.kind != Kind::Approval);
        let code = result.unwrap_err().code;
        assert_eq!(records.last().unwrap().code, Some(code));
        let refused = records.len() == 1 && records[0].kind == Kind::Refusal;
        assert!(refused || (records.len() == 2 && records[1].kind == Kind::Outcome), "{records:?}");
        seen.push(code);
    };
    for (service, path) in [
        ("acme", "/public/../x"),
        ("acme", "/admin"),
        ("acme", "/public/off"),
        ("acme", "/public/large"),
        ("acme", "/public/part"),
        ("hdr", "/x"),
        ("qry", "/x"),
        ("cookie", "/x"),
        ("pem", "/x"),
        ("nothing", "/x"),
    ] {
        let finished = rig.call(get(service, path)).await;
        record(rig.audit.take(), finished.result);
    }
    for error in [
        ResolveError::Locked { scheme: "local".into() },
        ResolveError::Integrity { scheme: "local".into() },
    ] {
        rig.credentials.fail(Some(error));
        let finished = rig.call(get("acme", "/public/x")).await;
        record(rig.audit.take(), finished.result);
    }
    rig.switch.change(|locks| assert!(locks.add(Part::Everything, 0)));
    rig.audit.take();
    let finished = rig.call(get("acme", "/public/x")).await;
    record(rig.audit.take(), finished.result);

    // A caller without a principal never comes this far, and of a record that cannot be written there
    // is none. Programs of tenants are started by whoever mounts them. Definitions and failures are those
    // of tools (`served`).
    let elsewhere = [
        Code::Unauthenticated,
        Code::AuditUnavailable,
        Code::CommandNotAllowed,
        Code::ToolNotApproved,
        Code::ToolError,
    ];
    for code in Code::ALL.into_iter().filter(|code| !elsewhere.contains(code)) {
        assert!(seen.contains(&code), "{code:?}");
    }
}

#[tokio::test]
async fn a_lock_stops_its_part_at_the_next_call_and_an_unlock_lets_it_go_on() {
    let rig = Rig::new(|_| Reply::ok("fine")).await;
    let name = |text: &str| text.parse::<Name>().unwrap();
    for (part, stops) in [
        (Part::Service(name("acme")), true),
        (Part::Principal(name("default")), true),
        (Part::Everything, true),
        (Part::Service(name("hdr")), false),
        (Part::Principal(name("other")), false),
        (Part::Server(name("acme")), false),
    ] {
        rig.works().await;
        rig.switch.change(|locks| assert!(locks.add(part.clone(), 0)));
        if stops {
            let (sent, _) = (rig.upstream.requests(), rig.audit.take());
            let refusal = rig.call(get("acme", "/public/x")).await.result.unwrap_err();
            assert_eq!((refusal.code, rig.upstream.requests()), (Code::Locked, sent), "{part}");
            let records = rig.audit.take();
            assert_eq!(records.len(), 1);
            assert_eq!((records[0].kind, records[0].code), (Kind::Refusal, Some(Code::Locked)));
        } else {
            rig.works().await;
        }
        rig.switch.change(|locks| assert!(locks.remove(Some(&part))));
    }
    rig.works().await;
}

// AL-04
#[tokio::test]
async fn no_log_at_any_level_holds_a_credential_a_query_or_a_body() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    async {
        let rig = Rig::new(|seen| Reply::ok(format!("{:?} canary-in-answer", seen.headers))).await;
        for service in ["hdr", "qry", "cookie", "pem"] {
            let _ = rig.call(get(service, "/x?access_token=canary-in-query")).await;
        }
        let call = Execute {
            method: "POST".into(),
            headers: vec![("if-match".into(), "canary-in-header".into())],
            body: Body::Text("canary-in-body".into()),
            ..get("acme", "/items")
        };
        assert!(rig.call(call).await.result.is_ok());
        assert!(rig.call(get("acme", "/admin#canary-in-fragment")).await.result.is_err());
    }
    .with_subscriber(subscriber)
    .await;

    let log = log.text();
    assert!(log.contains("service=acme"), "{log}");
    assert!(log.contains("path=/items"), "{log}");
    assert!(log.contains("status=200"), "{log}");
    assert!(!log.contains("canary"), "{log}");
    Oracle::of_canaries().assert_clean("the log", log);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
