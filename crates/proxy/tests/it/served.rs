//! Calls of servers' tools: judged, asked for, recorded, and made by whoever knows the server.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_model::approval::Answer;
use strongroom_model::audit::Kind;
use strongroom_model::call::{ToolAnswer, ToolCalled};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::lock::Locks;
use strongroom_model::pin::{DefinitionHash, News, Pinning, Standing, Why};
use strongroom_model::policy::{Terms, Verdict};
use strongroom_model::ports::{
    BoxFuture, Calls as _, Halts, ReadAct, ReadRequest, Registry, ToolAct, ToolRequest, Tools as _,
};
use strongroom_model::rate::Gcra;
use strongroom_model::redact::Redactor;
use strongroom_model::service::{Catalog, Limits};
use strongroom_model::tool::{Policy, Rule, Served, ToolCall};
use strongroom_proxy::{Broker, Ground, Parts};
use strongroom_testkit::canary::K1;
use strongroom_testkit::fakes::{
    FakeClock, FakeDns, FakeSwitch, MemoryApprovals, MemoryAudit, StaticCredentials, caller,
};

struct Only(Arc<Catalog>);

impl Registry for Only {
    fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.0)
    }
}

struct Rig {
    broker: Broker,
    audit: Arc<MemoryAudit>,
    switch: Arc<FakeSwitch>,
    approvals: Arc<MemoryApprovals>,
    /// What reached the server.
    seen: Arc<Mutex<Vec<String>>>,
}

/// A server that asks somebody something for so long before it answers, of which so much counts.
struct Asks {
    takes: Duration,
    stands: Duration,
    failed: bool,
}

struct Stands(tokio::time::Instant, Duration);

impl Halts for Stands {
    fn stood(&self) -> Duration {
        self.0.elapsed().min(self.1)
    }
}

impl ToolAct for Asks {
    fn act<'a>(
        self: Box<Self>,
        _: ToolCall,
        _: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            let (text, redactions) = Redactor::default().clean(b"{}".to_vec());
            Ok(ToolAnswer { text, is_error: false, failed: self.failed, redactions })
        })
    }

    fn halts(&self) -> Option<Arc<dyn Halts>> {
        Some(Arc::new(Stands(tokio::time::Instant::now(), self.stands)))
    }
}

/// A server that answers what it was told to, or never.
struct Server {
    answer: Option<&'static str>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl ToolAct for Server {
    fn act<'a>(
        self: Box<Self>,
        call: ToolCall,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let text = format!("{} {} {}", call.server(), call.tool(), call.arguments());
            self.seen.lock().unwrap().push(text);
            let Some(answer) = self.answer else {
                cancel.await;
                return Err(Refusal::new(Code::UpstreamError, "the caller went away"));
            };
            let (text, redactions) = Redactor::default().clean(answer.into());
            Ok(ToolAnswer { text, is_error: false, failed: false, redactions })
        })
    }
}

impl ReadAct for Server {
    fn act<'a>(self: Box<Self>, _: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            self.seen.lock().unwrap().push("read".into());
            let (text, redactions) = Redactor::default().clean(self.answer.unwrap().into());
            Ok(ToolAnswer { text, is_error: false, failed: false, redactions })
        })
    }
}

fn served() -> Served {
    let rules = [(Verdict::Allow, "get_*"), (Verdict::Ask, "pay"), (Verdict::Deny, "get_secret")];
    let rules = rules.map(|(verdict, names)| Rule::parse(verdict, names).unwrap());
    Served::new("shop".parse().unwrap(), Policy::new(rules.into()))
}

impl Rig {
    fn new(served: Served) -> Self {
        let clock = Arc::new(FakeClock::default());
        let (audit, switch) = (Arc::new(MemoryAudit::default()), Arc::new(FakeSwitch::default()));
        let approvals = Arc::new(MemoryApprovals::new(clock.clone()));
        let servers = BTreeMap::from([(served.name.clone(), Arc::new(served))]);
        let broker = Broker::new(Parts {
            approvals: approvals.clone(),
            dialog: None,
            lacking: None,
            approval_wait: Duration::ZERO,
            registry: Arc::new(Only(Arc::new(Catalog { servers, ..Catalog::default() }))),
            credentials: Arc::new(StaticCredentials::new(&[("local://x/token", K1)])),
            audit: audit.clone(),
            switch: switch.clone(),
            clock,
            dns: Arc::new(FakeDns::default()),
            calls_at_once: Parts::CALLS_AT_ONCE,
            exchange: None,
            ground: Ground::bare(Path::new("/nonexistent").into()),
        });
        Self { broker, audit, switch, approvals, seen: Arc::default() }
    }

    async fn called(
        &self,
        (server, tool): (&str, &str),
        arguments: &str,
        answer: Option<&'static str>,
        cancel: BoxFuture<'_, ()>,
    ) -> ToolCalled {
        let act = Box::new(Server { answer, seen: Arc::clone(&self.seen) });
        let arguments = Some(arguments);
        let request = ToolRequest { server, tool, arguments, standing: Standing::Approved };
        self.broker.call_tool(&caller("default"), request, act, cancel).await
    }

    async fn call(&self, tool: &str, arguments: &str) -> Result<String, Refusal> {
        let answer = Some(r#"{"content":[]}"#);
        let called = self.called(("shop", tool), arguments, answer, Box::pin(pending())).await;
        assert!(called.audit_id.is_some());
        let text = called.result?.text.into_inner();
        Ok(String::from_utf8(text).unwrap())
    }

    async fn standing(&self, tool: &str, standing: Standing) -> Result<ToolAnswer, Refusal> {
        let act = Box::new(Server { answer: Some("{}"), seen: Arc::clone(&self.seen) });
        let request = ToolRequest { server: "shop", tool, arguments: None, standing };
        let cancel = Box::pin(pending());
        self.broker.call_tool(&caller("default"), request, act, cancel).await.result
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

#[tokio::test]
async fn what_is_allowed_reaches_the_server_as_it_was_written_and_is_recorded_around_it() {
    let rig = Rig::new(served());
    let answer = rig.call("get_order", r#"{ "id": 7.0,"x":[] }"#).await.unwrap();
    assert_eq!(answer, r#"{"content":[]}"#);
    assert_eq!(rig.seen(), [r#"shop get_order { "id": 7.0,"x":[] }"#]);
    let records = rig.audit.records();
    let kinds: Vec<Kind> = records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Intent, Kind::Outcome]);
    let text = format!("{records:?}");
    assert!(text.contains("get_order") && !text.contains("7.0"), "arguments are only counted");
}

#[tokio::test]
async fn what_is_denied_never_reaches_the_server() {
    let rig = Rig::new(served());
    for (tool, arguments, code) in [
        ("get_secret", "{}", Code::PolicyDenied),
        ("delete", "{}", Code::PolicyDenied),
        ("get_order", "[]", Code::InvalidRequest),
        ("get_order", r#"{"a":1,"a":2}"#, Code::InvalidRequest),
        ("", "{}", Code::InvalidRequest),
        ("pay", "{}", Code::ApprovalDenied),
    ] {
        let refusal = rig.call(tool, arguments).await.unwrap_err();
        assert_eq!(refusal.code, code, "{tool} {arguments}");
    }
    let unknown = rig.called(("other", "get_order"), "{}", Some("{}"), Box::pin(pending())).await;
    assert_eq!(unknown.result.unwrap_err().code, Code::NotFound);
    assert!(rig.seen().is_empty());
    let acted = |kind| matches!(kind, Kind::Intent | Kind::Outcome);
    assert!(!rig.audit.records().iter().any(|record| acted(record.kind)));
    rig.call("get_order", "{}").await.unwrap();
    assert_eq!(rig.seen().len(), 1, "the same rig lets the allowed one through");
}

#[tokio::test]
async fn what_the_rules_say_is_explained_without_a_call() {
    let rig = Rig::new(served());
    let explain = |server, tool, arguments| {
        let explained = rig.broker.explain_tool(&caller("default"), server, tool, arguments);
        explained.map(|explained| (explained.explanation.verdict, explained.request))
    };
    for (tool, verdict) in
        [("get_order", Verdict::Allow), ("pay", Verdict::Ask), ("get_secret", Verdict::Deny)]
    {
        let expected = (verdict, format!("tools/call {tool}"));
        assert_eq!(explain("shop", tool, Some(r#"{"amount":5}"#)).unwrap(), expected);
    }
    assert_eq!(explain("other", "get_order", None).unwrap_err().code, Code::NotFound);
    assert_eq!(explain("shop", "pay", Some("[]")).unwrap_err().code, Code::InvalidRequest);
    assert!(rig.seen().is_empty());
}

// MC-05
#[tokio::test]
async fn a_tool_whose_definition_waits_is_refused_and_on_record_and_one_that_is_denied_stays_denied()
 {
    let rig = Rig::new(served());
    let changed = Standing::Waits(Why::Changed);
    let refused = rig.standing("get_order", changed).await.unwrap_err();
    assert_eq!(refused.code, Code::ToolNotApproved);
    assert_eq!(rig.standing("get_secret", changed).await.unwrap_err().code, Code::PolicyDenied);
    let asked = rig.standing("pay", changed).await.unwrap_err();
    assert_eq!((asked.code, asked.approval), (Code::ToolNotApproved, None), "nobody is asked");
    assert!(rig.seen().is_empty());
    let codes: Vec<_> = rig.audit.records().iter().filter_map(|record| record.code).collect();
    assert_eq!(codes, [Code::ToolNotApproved, Code::PolicyDenied, Code::ToolNotApproved]);

    let lenient = Rig::new(Served { pin: Pinning::Warn, ..served() });
    lenient.standing("get_order", changed).await.unwrap();
    let hidden = Standing::Waits(Why::Hidden);
    let refused = lenient.standing("get_order", hidden).await.unwrap_err();
    assert_eq!(refused.code, Code::ToolNotApproved);
    rig.standing("get_order", Standing::Approved).await.unwrap();
}

#[tokio::test]
async fn what_begins_to_wait_is_recorded_by_name_as_far_as_that_is_bearable() {
    let rig = Rig::new(served());
    let hash = DefinitionHash([7; 32]);
    let news = |n: usize| News { tool: format!("t{n}").into(), hash, why: Why::Hidden };
    let news: Vec<News> = (0..40).map(news).collect();
    rig.broker.noticed(&"shop".parse().unwrap(), &news);
    let records = rig.audit.records();
    assert_eq!(records.len(), 17);
    assert_eq!(records[0].act.as_deref(), Some("tool.hidden"));
    let what = (records[0].service.as_deref(), records[0].path.as_deref());
    assert_eq!(what, (Some("shop"), Some("t0")));
    let last = &records[16];
    assert_eq!((last.act.as_deref(), last.count), (Some("tool.more"), Some(24)));
}

#[tokio::test]
async fn a_person_is_shown_the_arguments_without_what_is_secret_in_them() {
    let rig = Rig::new(served());
    let arguments = format!(r#"{{"amount":5,"note":"{K1}"}}"#);
    let id = rig.call("pay", &arguments).await.unwrap_err().approval.unwrap();
    let entries = rig.approvals.entries();
    let entry = entries.iter().find(|entry| entry.id == id).unwrap();
    let lines = entry.question.lines(true).join("\n");
    assert!(lines.contains("pay") && lines.contains("amount"), "{lines}");
    assert!(!lines.contains(K1) && lines.contains("[REDACTED"), "{lines}");
    assert!(!format!("{:?}", rig.audit.records()).contains(K1));
}

#[tokio::test]
async fn a_rate_on_a_tool_stops_the_next_call_and_no_other_tool() {
    let rate = Some(Gcra { per_minute: 1, burst: 2 });
    let terms = Terms { rate, ..Terms::default() };
    let pay = Rule::parse(Verdict::Allow, "pay").unwrap().with_terms(terms);
    let get = Rule::parse(Verdict::Allow, "get_*").unwrap();
    let rig = Rig::new(Served { policy: Policy::new(vec![pay, get]), ..served() });
    for _ in 0..2 {
        rig.call("pay", "{}").await.unwrap();
    }
    let refused = rig.call("pay", "{}").await.unwrap_err();
    assert_eq!(refused.code, Code::RateLimited);
    assert!(refused.retry_after_s.is_some());
    rig.call("get_order", "{}").await.unwrap();
    assert_eq!(rig.seen().len(), 3);
}

#[tokio::test]
async fn a_server_of_others_is_one_that_is_not_there() {
    let rig = Rig::new(Served { principals: Some(vec!["other".parse().unwrap()]), ..served() });
    assert_eq!(rig.call("get_order", "{}").await.unwrap_err().code, Code::NotFound);
    assert!(rig.broker.servers(&caller("default")).is_empty());
    assert_eq!(rig.broker.servers(&caller("other")).len(), 1);
}

#[tokio::test]
async fn whoever_may_use_a_server_may_read_of_it_and_both_ends_are_recorded() {
    let read = async |rig: &Rig, server: &str, bytes: usize| {
        let act = Box::new(Server { answer: Some("{}"), seen: Arc::clone(&rig.seen) });
        let what = "file:///x";
        let request = ReadRequest { server, method: "resources/read", what, bytes };
        rig.broker.read(&caller("default"), request, act, Box::pin(pending())).await
    };
    let rig = Rig::new(served());
    assert_eq!(read(&rig, "shop", 0).await.result.unwrap().text.into_inner(), b"{}");
    let records = rig.audit.records();
    let kinds: Vec<Kind> = records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Intent, Kind::Outcome]);
    let text = format!("{records:?}");
    assert!(text.contains("resources/read") && text.contains("file:///x"), "{text}");
    assert_eq!(rig.seen(), ["read"]);

    let large = usize::MAX;
    assert_eq!(read(&rig, "shop", large).await.result.unwrap_err().code, Code::InvalidRequest);
    assert_eq!(read(&rig, "other", 0).await.result.unwrap_err().code, Code::NotFound);
    rig.switch.change(|locks| *locks = Locks::unreadable());
    assert_eq!(read(&rig, "shop", 0).await.result.unwrap_err().code, Code::Locked);
    let others = Rig::new(Served { principals: Some(vec!["other".parse().unwrap()]), ..served() });
    assert_eq!(read(&others, "shop", 0).await.result.unwrap_err().code, Code::NotFound);
    assert!(rig.seen().is_empty() && others.seen().is_empty());
}

#[tokio::test]
async fn a_lock_stops_the_next_call() {
    let rig = Rig::new(served());
    rig.switch.change(|locks| *locks = Locks::unreadable());
    assert_eq!(rig.call("get_order", "{}").await.unwrap_err().code, Code::Locked);
    assert!(rig.seen().is_empty());
    rig.switch.change(|locks| *locks = Locks::default());
    rig.call("get_order", "{}").await.unwrap();
}

#[tokio::test]
async fn a_person_approves_exactly_this_call_once() {
    let rig = Rig::new(served());
    let refusal = rig.call("pay", r#"{"amount":5}"#).await.unwrap_err();
    let id = refusal.approval.unwrap();
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    let other = rig.call("pay", r#"{"amount":6}"#).await.unwrap_err();
    assert_eq!(other.code, Code::ApprovalDenied);
    rig.call("pay", r#"{"amount":5}"#).await.unwrap();
    assert_eq!(rig.seen(), [r#"shop pay {"amount":5}"#]);
    assert!(rig.call("pay", r#"{"amount":5}"#).await.is_err(), "once");
}

#[tokio::test]
async fn arguments_and_answers_have_their_caps_and_a_reason_cannot_be_given() {
    let limits = Limits { request_bytes: 20, response_bytes: 5, ..Limits::default() };
    let rig = Rig::new(Served { limits, ..served() });
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(20));
    assert_eq!(rig.call("get_order", &long).await.unwrap_err().code, Code::InvalidRequest);
    assert!(rig.seen().is_empty());
    assert_eq!(rig.call("get_order", "{}").await.unwrap_err().code, Code::ResponseTooLarge);

    let terms = Terms { reason: true, ..Terms::default() };
    let rule = Rule::parse(Verdict::Allow, "*").unwrap().with_terms(terms);
    let rig = Rig::new(Served { policy: Policy::new(vec![rule]), ..served() });
    assert_eq!(rig.call("get_order", "{}").await.unwrap_err().code, Code::PolicyDenied);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_caller_goes_or_its_time_is_over_and_the_audit_knows() {
    let rig = Rig::new(served());
    let gone = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
    let called = rig.called(("shop", "get_order"), "{}", None, gone).await;
    assert_eq!(called.result.unwrap_err().code, Code::UpstreamError);
    let called = rig.called(("shop", "get_order"), "{}", None, Box::pin(pending())).await;
    assert_eq!(called.result.unwrap_err().code, Code::UpstreamTimeout);
    let outcomes = rig.audit.records().iter().filter(|r| r.kind == Kind::Outcome).count();
    assert_eq!(outcomes, 2);
}

async fn asks(rig: &Rig, takes: u64, stands: u64, failed: bool) -> Result<ToolAnswer, Refusal> {
    let [takes, stands] = [takes, stands].map(Duration::from_secs);
    let act = Box::new(Asks { takes, stands, failed });
    let standing = Standing::Approved;
    let request = ToolRequest { server: "shop", tool: "get_order", arguments: None, standing };
    rig.broker.call_tool(&caller("default"), request, act, Box::pin(pending())).await.result
}

#[tokio::test(start_paused = true)]
async fn the_time_that_somebody_is_asked_something_is_none_of_the_calls() {
    let rig = Rig::new(served());
    let total = Limits::default().total_ms / 1000;
    for (takes, stands) in [(total - 1, 0), (total + 599, 600), (10 * total - 1, 9 * total)] {
        asks(&rig, takes, stands, false).await.unwrap();
    }
    for (takes, stands) in [(total + 1, 0), (total + 601, 600), (2 * 3600, 2 * 3600)] {
        let late = asks(&rig, takes, stands, false).await.unwrap_err();
        assert_eq!(late.code, Code::UpstreamTimeout, "{takes} {stands}");
    }
}

#[tokio::test]
async fn the_audit_knows_that_a_tool_says_that_it_failed_and_the_caller_has_its_answer() {
    let rig = Rig::new(served());
    for (failed, code) in [(true, Some(Code::ToolError)), (false, None)] {
        asks(&rig, 0, 0, failed).await.unwrap();
        let outcome = rig.audit.records().pop().unwrap();
        assert_eq!((outcome.kind, outcome.code), (Kind::Outcome, code));
    }
}
