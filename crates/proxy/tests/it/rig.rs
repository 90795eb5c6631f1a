//! A broker with the services of the corpus, an upstream, and an attacker's origin beside it.

use std::future::pending;
use std::sync::Arc;

use strongroom_model::audit::{Draft, Kind};
use strongroom_model::call::{Answer, Execute, Finished};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{Calls as _, Dialog, Lacking};
use strongroom_model::service::{Auth, Scheme, Service};
use strongroom_proxy::{Broker, Exchange, Ground, Keeping, Parts, inject};
use strongroom_testkit::canary::{K1, K2, K3, K4};
use strongroom_testkit::fakes::{
    FakeClock, FakeDns, FakeSwitch, MemoryApprovals, MemoryAudit, StaticCredentials,
    StaticRegistry, auth, caller, service,
};
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::upstream::{Reply, Seen, Upstream};
use tempfile::TempDir;

/// Everything, wired.
pub(crate) struct Rig {
    pub(crate) broker: Arc<Broker>,
    pub(crate) upstream: Upstream,
    /// The attacker's origin: nothing may ever arrive there.
    pub(crate) evil: Upstream,
    pub(crate) audit: Arc<MemoryAudit>,
    pub(crate) switch: Arc<FakeSwitch>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) approvals: Arc<MemoryApprovals>,
    pub(crate) registry: Arc<StaticRegistry>,
    pub(crate) credentials: Arc<StaticCredentials>,
    pub(crate) dns: Arc<FakeDns>,
    pub(crate) services: Vec<Service>,
    pub(crate) home: TempDir,
}

/// The rules of `acme`.
const ACME: &str = "
    deny * /public/secret/**
    allow GET|HEAD /public/**
    allow POST /items";

impl Rig {
    /// The services of the corpus in front of an upstream that answers so.
    pub(crate) async fn new(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(Upstream::http(answer).await, |_| {}).await
    }

    /// The same in front of `upstream`, every service changed by `change`.
    pub(crate) async fn with(upstream: Upstream, change: impl Fn(&mut Service)) -> Self {
        let evil = Upstream::http(|_| Reply::ok("evil")).await;
        let services = ["acme", "hdr", "qry", "cookie", "pem"].map(|name| {
            let mut service = corpus_service(name, &upstream);
            change(&mut service);
            service
        });
        let secrets = [
            ("local://acme/token", K1),
            ("local://hdr/x-api-key", K2),
            ("local://qry/api_key", K3),
            ("local://cookie/session", K1),
            ("local://pem/token", K4),
        ];
        Self::of(upstream, evil, Vec::from(services), &secrets)
    }

    /// A service of the corpus, other services and their secrets.
    pub(crate) async fn beside(
        upstream: Upstream,
        mut services: Vec<Service>,
        secrets: &[(&str, &str)],
    ) -> Self {
        let evil = Upstream::http(|_| Reply::ok("evil")).await;
        services.insert(0, corpus_service("acme", &upstream));
        let secrets = [&[("local://acme/token", K1)], secrets].concat();
        Self::of(upstream, evil, services, &secrets)
    }

    fn of(
        upstream: Upstream,
        evil: Upstream,
        services: Vec<Service>,
        secrets: &[(&str, &str)],
    ) -> Self {
        let registry = Arc::new(StaticRegistry::new(services.clone()));
        let credentials = Arc::new(StaticCredentials::new(secrets));
        let dns =
            FakeDns::new(&[("api.test", &[&["127.0.0.1"]]), ("evil.test", &[&["127.0.0.1"]])]);
        let dns = Arc::new(dns);
        let audit = Arc::new(MemoryAudit::default());
        let clock = Arc::new(FakeClock::default());
        let switch = Arc::new(FakeSwitch::default());
        let home = tempfile::tempdir().unwrap();
        let approvals = Arc::new(MemoryApprovals::new(clock.clone()));
        let broker = Arc::new(Broker::new(Parts {
            approvals: approvals.clone(),
            dialog: None,
            lacking: None,
            approval_wait: std::time::Duration::ZERO,
            registry: registry.clone(),
            credentials: credentials.clone(),
            audit: audit.clone(),
            switch: switch.clone(),
            clock: clock.clone(),
            dns: dns.clone(),
            calls_at_once: Parts::CALLS_AT_ONCE,
            exchange: Some(Exchange::new(home.path().join("files"), Keeping::default())),
            ground: Ground::bare("/nonexistent".into()),
        }));
        Self {
            broker,
            upstream,
            evil,
            audit,
            switch,
            clock,
            approvals,
            registry,
            credentials,
            dns,
            services,
            home,
        }
    }

    /// Other secrets than those of the corpus.
    pub(crate) fn use_credentials(&mut self, credentials: StaticCredentials) {
        self.credentials = Arc::new(credentials);
        self.ask_by(None, None);
    }

    /// With windows that a test answers, and a person who is asked for credentials.
    pub(crate) fn ask_by(
        &mut self,
        dialog: Option<Arc<dyn Dialog>>,
        lacking: Option<Arc<dyn Lacking>>,
    ) {
        self.broker = Arc::new(Broker::new(Parts {
            approvals: self.approvals.clone(),
            dialog,
            lacking,
            approval_wait: std::time::Duration::ZERO,
            registry: self.registry.clone(),
            credentials: self.credentials.clone(),
            audit: self.audit.clone(),
            switch: self.switch.clone(),
            clock: self.clock.clone(),
            dns: self.dns.clone(),
            calls_at_once: Parts::CALLS_AT_ONCE,
            exchange: None,
            ground: Ground::bare("/nonexistent".into()),
        }));
    }

    /// One call by the default principal.
    pub(crate) async fn call(&self, call: Execute) -> Finished {
        self.broker.execute(&caller("default"), call, Box::pin(pending())).await
    }

    /// A call that has an answer, which shows no canary.
    pub(crate) async fn allowed(&self, call: Execute) -> Answer {
        let answer = self.call(call).await.result.unwrap();
        assert_clean(&answer);
        assert_eq!(self.evil.connections(), 0);
        answer
    }

    /// A call that is refused before anything is sent: the whole of `DENY(code)`.
    pub(crate) async fn denied(&self, call: Execute, code: Code) -> Refusal {
        let (requests, words) = (self.upstream.requests(), format!("{call:?}"));
        self.audit.take();
        let service = call.service.clone();
        let finished = self.call(call).await;
        let refusal = finished.result.expect_err(&words);
        assert_eq!(refusal.code, code, "{words}");
        assert_eq!(self.upstream.requests(), requests, "sent nothing: {words}");
        assert_eq!(self.evil.connections(), 0, "{words}");

        let mut records = self.audit.take();
        // That a person is asked has a record of its own.
        records.retain(|record| record.kind != Kind::Approval);
        let [record] = records.as_slice() else { panic!("one record: {records:?}") };
        assert_eq!(record.kind, Kind::Refusal, "{words}");
        assert_eq!(record.decision, Some("deny"), "{words}");
        assert_eq!(record.code, Some(code), "{words}");
        assert_eq!(record.principal.as_deref(), Some("default"), "{words}");
        assert_eq!(record.service.as_deref(), Some(service.as_str()), "{words}");
        assert!(record.method.is_some() && record.path.is_some(), "{words}");
        assert_eq!(record.audit_id.as_ref().map(|id| &*id.0), finished.audit_id.as_deref());
        assert_records_clean(&records);
        Oracle::of_canaries().assert_clean("the refusal", format!("{refusal:?}"));
        self.works().await;
        refusal
    }

    /// A call that fails once its intent is recorded: intent and outcome under one id.
    pub(crate) async fn failed(&self, call: Execute, code: Code) -> Refusal {
        self.audit.take();
        let finished = self.call(call).await;
        let refusal = finished.result.unwrap_err();
        assert_eq!(refusal.code, code, "{refusal:?}");
        let records = self.audit.take();
        let [intent, hops @ .., outcome] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((intent.kind, outcome.kind), (Kind::Intent, Kind::Outcome));
        assert!(hops.iter().all(|hop| hop.kind == Kind::Redirect), "{records:?}");
        assert_eq!(intent.audit_id, outcome.audit_id);
        assert_eq!(outcome.code, Some(code));
        assert_records_clean(&records);
        Oracle::of_canaries().assert_clean("the refusal", format!("{refusal:?}"));
        assert_eq!(self.evil.connections(), 0);
        refusal
    }

    /// The next benign call works.
    pub(crate) async fn works(&self) {
        let finished = self.call(get("acme", "/public/fine")).await;
        assert!(finished.result.is_ok(), "{finished:?}");
    }

    /// Changes the services and puts them in force.
    pub(crate) fn reconfigure(&mut self, change: impl Fn(&mut Service)) {
        for service in &mut self.services {
            service.revision += 1;
            change(service);
        }
        self.registry.set(self.services.clone());
    }

    /// The last request that arrived.
    pub(crate) fn last(&self) -> Seen {
        self.upstream.seen().pop().unwrap()
    }
}

/// A GET.
pub(crate) fn get(service: &str, path: &str) -> Execute {
    Execute {
        service: service.into(),
        method: "GET".into(),
        path: path.into(),
        ..Execute::default()
    }
}

/// A GET with headers.
pub(crate) fn get_with(service: &str, path: &str, headers: &[(&str, &str)]) -> Execute {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Execute { headers: headers.collect(), ..get(service, path) }
}

/// The body as text.
pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(answer.body.get()).into_owned()
}

/// The header's value.
pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(found, _)| found == name);
    found.map(|(_, value)| value.get().as_str())
}

/// That no canary is in what the agent gets.
pub(crate) fn assert_clean(answer: &Answer) {
    let oracle = Oracle::of_canaries();
    oracle.assert_clean("the body", answer.body.get());
    for (name, value) in &answer.headers {
        oracle.assert_clean(name, value.get());
    }
}

/// That no canary is in the records.
pub(crate) fn assert_records_clean(records: &[Draft]) {
    Oracle::of_canaries().assert_clean("the audit", format!("{records:?}"));
}

fn corpus_service(name: &str, upstream: &Upstream) -> Service {
    let (auth, base_path, rules): (Auth, &str, &str) = match name {
        "hdr" => (auth(name, "headers", &["X-Api-Key"]), "/h", "allow GET /**"),
        "qry" => (auth(name, "query", &["api_key"]), "/q", "allow GET /**"),
        "cookie" => (auth(name, "cookie", &["session"]), "", "allow GET /**"),
        "pem" => (auth(name, "bearer", &["token"]), "", "allow GET /**"),
        _ => (auth(name, "bearer", &["token"]), "/v1", ACME),
    };
    let slots = inject::slots(&auth).unwrap();
    let mut service = service(name, upstream.address(), auth, slots, rules);
    service.origin.scheme = Scheme::Http;
    service.origin.host = "api.test".into();
    service.base_path = base_path.into();
    service
}
