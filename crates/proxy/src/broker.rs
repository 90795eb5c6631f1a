//! The calls that an agent may make: who asks, what for, may it, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::approval::Matter;
use strongroom_model::audit::{Asked, AuditSink, Journal};
use strongroom_model::call::{
    Answer, Exec, Execute, Executed, Explained, Finished, RequestAccess, Requested, ServiceView,
    Tested, WhoAmI,
};
use strongroom_model::canonical::{CanonicalRequest, Method, RawRequest, canonicalize};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Target as _;
use strongroom_model::pipeline::{Ended, Permit, Pipeline};
use strongroom_model::policy::Judgement;
use strongroom_model::ports::{
    Approvals, BoxFuture, Calls, Clock, Credentials, Dialog, Dns, KillSwitch, Lacking, Registry,
};
use strongroom_model::principal::{Caller, Name, Source};
use strongroom_model::service::{Catalog, Limits, Service};
use tracing::{Instrument as _, field, info_span};

use crate::admission::{Admission, Place, Wanted};
use crate::consent::{Consent, Judged};
use crate::desk::Desk;
use crate::exchange::Exchange;
use crate::exec::{self, Ground, Programs};
use crate::executor::{Executor, Send};
use crate::handles::{self, Own, Whose};
use crate::receive::Wish;
use crate::watch::Watch;
use crate::{access, body, connect, upload};

/// What a broker is made of.
pub struct Parts {
    /// The services.
    pub registry: Arc<dyn Registry>,
    /// Their credentials.
    pub credentials: Arc<dyn Credentials>,
    /// Where records go.
    pub audit: Arc<dyn AuditSink>,
    /// What stops everything.
    pub switch: Arc<dyn KillSwitch>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What people are asked, and what they granted.
    pub approvals: Arc<dyn Approvals>,
    /// Shows questions in windows, where this machine has a display for them.
    pub dialog: Option<Arc<dyn Dialog>>,
    /// Asks for credentials that are not stored, where that is wanted.
    pub lacking: Option<Arc<dyn Lacking>>,
    /// How long a call waits for a person where nothing shows the question; zero: it is told at once to
    /// come back.
    pub approval_wait: Duration,
    /// Who resolves names; [`SystemDns`](crate::SystemDns) but in tests.
    pub dns: Arc<dyn Dns>,
    /// Calls of one principal that may run at once.
    pub calls_at_once: usize,
    /// Where answers are saved and bodies come from; without it neither can be asked for.
    pub exchange: Option<Exchange>,
    /// What programs are run on.
    pub ground: Ground,
}

impl Parts {
    /// The default of [`calls_at_once`](Self::calls_at_once).
    pub const CALLS_AT_ONCE: usize = 64;
}

/// Makes calls for agents.
pub struct Broker {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) switch: Arc<dyn KillSwitch>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) approvals: Arc<dyn Approvals>,
    desk: Option<Desk>,
    pub(crate) lacking: Option<Arc<dyn Lacking>>,
    approval_wait: Duration,
    executor: Executor,
    pub(crate) admission: Admission,
    exchange: Option<Exchange>,
    pub(crate) programs: Programs,
}

impl Broker {
    /// A broker of these parts. Connects to nothing before the first call.
    pub fn new(parts: Parts) -> Self {
        let desk = parts.dialog.map(|dialog| {
            let (approvals, audit) = (Arc::clone(&parts.approvals), Arc::clone(&parts.audit));
            Desk::new(dialog, approvals, audit, Arc::clone(&parts.clock))
        });
        Self {
            desk,
            lacking: parts.lacking,
            registry: parts.registry,
            credentials: parts.credentials,
            audit: parts.audit,
            switch: parts.switch,
            clock: parts.clock,
            approvals: parts.approvals,
            approval_wait: parts.approval_wait,
            executor: Executor::new(parts.dns),
            admission: Admission::new(parts.calls_at_once),
            exchange: parts.exchange,
            programs: Programs::new(parts.ground),
        }
    }

    /// One call, from its words to its end.
    async fn call(
        &self,
        caller: &Caller,
        mut call: Execute,
        follow: bool,
        mut cancel: BoxFuture<'_, ()>,
    ) -> Ended<Answer> {
        let mut began = self.clock.monotonic();
        let journal = Journal::new(&*self.audit);
        let pipeline = Pipeline { journal, credentials: &*self.credentials, switch: &*self.switch };
        let catalog = self.registry.current();

        let service = match find(&catalog, caller, &call.service) {
            Ok(service) => service,
            Err(refusal) => {
                let asked = Asked {
                    caller,
                    service: &call.service,
                    method: &call.method,
                    path: without_query(&call.path),
                    reason: call.reason.as_deref(),
                    request_bytes: call.body.len() as u64,
                    handles: 0,
                };
                return pipeline.refuse(&asked, refusal);
            }
        };
        let mut method = call.method.clone();
        let mut path = without_query(&call.path).to_owned();
        let mut request_bytes = call.body.len() as u64;
        // An agent that got hold of a secret elsewhere must not get it into the audit.
        let reason = call
            .reason
            .as_deref()
            .map(|reason| self.credentials.redactor().clean_text(reason).0.into_inner());

        let (save, max_events) = (call.save, call.max_events);
        let exchange = self.exchange.as_ref();
        let taken = upload::take(&mut call, exchange, &caller.principal.name, service);

        let mut upload = None;
        let judged = taken.map_err(|refusal| (refusal, None)).and_then(|taken| {
            let unseen = taken.as_ref().map(|upload| upload.bytes);
            upload = taken;
            self.judge(caller, &catalog, service, call, unseen, began)
        });
        let mut handles = 0;
        let (judged, place) = match judged {
            Ok((judged, place, held)) => {
                handles = held;
                let request = judged.request();
                request.method().as_str().clone_into(&mut method);
                request.path().clone_into(&mut path);
                request_bytes = request.body_bytes();
                (Ok(judged), Some(place))
            }
            Err((refusal, canonical)) => {
                path = canonical.unwrap_or(path);
                (Err(refusal), None)
            }
        };
        let asked = Asked {
            caller,
            service: service.name.as_str(),
            method: &method,
            path: &path,
            reason: reason.as_deref(),
            request_bytes,
            handles,
        };
        let judged = match judged {
            Ok(judged) => {
                let settled = self.settle(&asked, judged, service, &catalog, &mut cancel).await;
                settled.map(|(permit, waited)| {
                    if waited {
                        began = self.clock.monotonic();
                    }
                    permit
                })
            }
            Err(refusal) => Err(refusal),
        };
        let act = Send {
            executor: &self.executor,
            service,
            credentials: &*self.credentials,
            clock: &*self.clock,
            watch: Watch::new(Duration::from_millis(service.limits.total_ms), cancel),
            began,
            follow,
            upload,
            wish: Wish { principal: &caller.principal.name, exchange, save, max_events },
            held: handles,
            own: Own::default(),
        };
        let span = info_span!(
            "call",
            service = %service.name,
            method = %method.escape_debug(),
            path = %path.escape_debug(),
            status = field::Empty,
        );
        let run = pipeline.run(&asked, judged, &catalog, service, act);
        let ended = run.instrument(span.clone()).await;
        if let Some(place) = place {
            place.charge(request_bytes + ended.received, self.clock.monotonic());
        }
        span.in_scope(|| report(&span, &ended));
        ended
    }

    /// The permit for what was judged: a person has said yes where a rule asks, and the credential is
    /// stored, or nobody can give it. Says, too, whether anybody was waited for.
    async fn settle(
        &self,
        asked: &Asked<'_>,
        judged: Judged<CanonicalRequest>,
        service: &Service,
        catalog: &Catalog,
        cancel: &mut BoxFuture<'_, ()>,
    ) -> Result<(Permit<CanonicalRequest>, bool), Refusal> {
        let matter = |request: &CanonicalRequest| Matter::request(service, request);
        let asks = matches!(judged, Judged::Asks(_));
        let permit = self.consent().settle(asked, judged, matter, cancel).await?;
        let supplied = self.supplied(asked.caller, catalog, service.keys(), cancel).await?;
        Ok((permit, asks || supplied))
    }

    /// Whether the call may be made, now: its form, the policy, the destination as far as it is
    /// known without asking anybody, the limits. Only what is allowed or asked for counts towards them.
    /// Says, too, how many handles are in it. A refusal comes with the canonical path, where there is
    /// one.
    fn judge(
        &self,
        caller: &Caller,
        catalog: &Catalog,
        service: &Service,
        call: Execute,
        unseen: Option<u64>,
        now: Duration,
    ) -> Result<Admitted, (Refusal, Option<String>)> {
        let bare = |refusal| (refusal, None);
        let reason = call.reason.clone();
        let held_by = handles::in_headers(&call.headers);
        let request =
            raw(service, call, unseen).and_then(|raw| canonicalize(service, raw)).map_err(bare)?;
        let judgement = match service.policy.judge(request) {
            Judgement::Asks(awaiting) if unseen.is_some() => {
                let text =
                    "a person would have to approve a file that is too large to be looked at";
                Judgement::Denied(Box::new(
                    awaiting.refuse(Refusal::new(Code::ApprovalDenied, text)),
                ))
            }
            other => other,
        };
        let judged = Judged::of(judgement)
            .map_err(|(refusal, request)| (refusal, Some(request.path().to_owned())))?;
        let whose = Whose { principal: &caller.principal.name, service };
        let checked = handles::none_dropped(&held_by, judged.request())
            .and_then(|()| self.executor.handles.check(whose, judged.request(), now));
        let held = match checked {
            Ok(held) => held,
            Err(refusal) => return Err((refusal, Some(judged.request().path().to_owned()))),
        };
        let bounds = (&service.name, &service.limits);
        let admitted = connect::literal(service, &service.origin)
            .and_then(|_| self.enter(caller, catalog, bounds, &judged, reason.as_deref()));
        match admitted {
            Ok(place) => Ok((judged, place, held)),
            Err(refusal) => Err((refusal, Some(judged.request().path().to_owned()))),
        }
    }

    /// A place among the calls under way for one that `judged` lets through or asks for, of what
    /// `bounds` names with its limits: if the rule wants a reason there is one, and no limit is reached.
    pub(crate) fn enter<R>(
        &self,
        caller: &Caller,
        catalog: &Catalog,
        bounds: (&Name, &Limits),
        judged: &Judged<R>,
        reason: Option<&str>,
    ) -> Result<Place, Refusal> {
        let reasoned = judged.terms().check_reason(reason);
        reasoned.map_err(|refusal| refusal.by_rule(judged.rule()))?;
        let (service, limits) = bounds;
        let wanted = Wanted {
            principal: &caller.principal.name,
            allowance: catalog.principals.get(&caller.principal.name),
            service,
            limits,
            rule: judged.rule(),
            terms: judged.terms(),
        };
        self.admission.enter(&wanted, self.clock.monotonic())
    }

    /// The way from a request that a rule asks for to a permit.
    pub(crate) fn consent(&self) -> Consent<'_> {
        Consent {
            approvals: &*self.approvals,
            journal: Journal::new(&*self.audit),
            clock: &*self.clock,
            registry: &*self.registry,
            credentials: &*self.credentials,
            switch: &*self.switch,
            desk: self.desk.as_ref(),
            wait: self.approval_wait,
        }
    }
}

/// A call that may be made, its place among those under way, and how many handles are in it.
type Admitted = (Judged<CanonicalRequest>, Place, u64);

impl Calls for Broker {
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped between intent and outcome, the call leaves an intent without an
    /// outcome. Run it in a task of its own, and end it by `cancel`: the upstream's connection is
    /// closed then, and the outcome recorded.
    fn execute<'a>(
        &'a self,
        caller: &'a Caller,
        call: Execute,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Finished> {
        Box::pin(async move {
            let ended = self.call(caller, call, true, cancel).await;
            Finished { result: ended.result, audit_id: ended.audit_id }
        })
    }

    /// # Cancel safety
    ///
    /// As [`execute`](Self::execute); dropped, the program is ended all the same.
    fn exec<'a>(
        &'a self,
        caller: &'a Caller,
        call: Exec,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Executed> {
        Box::pin(async move {
            let ended = self.run(caller, call, cancel).await;
            Executed { result: ended.result, audit_id: ended.audit_id }
        })
    }

    fn list_services(&self, caller: &Caller) -> Vec<ServiceView> {
        let catalog = self.registry.current();
        let mut views: Vec<_> = visible(&catalog, caller).map(view).collect();
        views.extend(exec::visible(&catalog, caller).map(exec::view));
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    fn explain(&self, caller: &Caller, call: Execute) -> Result<Explained, Refusal> {
        let catalog = self.registry.current();
        let service = find(&catalog, caller, &call.service)?;
        let raw = raw(service, call, None)?;
        let request = canonicalize(service, raw)?;
        let explanation = service.policy.explain(&request);
        let request = format!("{} {}", request.method().as_str(), request.path());
        Ok(Explained { request, explanation })
    }

    fn explain_command(
        &self,
        caller: &Caller,
        service: &str,
        command: Vec<String>,
    ) -> Result<Explained, Refusal> {
        exec::explain(&self.registry.current(), caller, service, command)
    }

    fn explain_tool(
        &self,
        caller: &Caller,
        server: &str,
        tool: &str,
        arguments: Option<&str>,
    ) -> Result<Explained, Refusal> {
        crate::tools::explain(&self.registry.current(), caller, (server, tool), arguments)
    }

    /// The request is a GET of the service's test path, and the policy judges it as any other.
    ///
    /// # Cancel safety
    ///
    /// As [`execute`](Self::execute).
    fn test_service<'a>(
        &'a self,
        caller: &'a Caller,
        service: &'a str,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<Tested, (Refusal, Option<String>)>> {
        Box::pin(async move {
            let path = {
                let catalog = self.registry.current();
                let found = find(&catalog, caller, service).ok();
                found.and_then(|service| service.test_path.clone()).unwrap_or_else(|| "/".into())
            };
            let call = Execute {
                service: service.to_owned(),
                method: Method::Get.as_str().to_owned(),
                path,
                ..Execute::default()
            };
            let ended = self.call(caller, call, false, cancel).await;
            match (ended.result, ended.audit_id) {
                (Ok(answer), Some(audit_id)) => Ok(Tested {
                    reachable: true,
                    authenticated: !matches!(answer.status, 401 | 403),
                    status: answer.status,
                    latency_ms: answer.duration_ms,
                    audit_id,
                }),
                (Ok(_), None) => {
                    let text = "the audit record could not be written";
                    Err((Refusal::new(Code::AuditUnavailable, text), None))
                }
                (Err(refusal), audit_id) => Err((refusal, audit_id)),
            }
        })
    }

    fn whoami<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, WhoAmI> {
        Box::pin(async move {
            let catalog = self.registry.current();
            WhoAmI {
                principal: caller.principal.name.to_string(),
                source: match caller.principal.source {
                    Source::Stdio => "stdio",
                    Source::Token => "token",
                },
                services: names(&catalog, caller),
                grants: access::granted(self, caller).await,
            }
        })
    }

    fn request_access<'a>(
        &'a self,
        caller: &'a Caller,
        request: RequestAccess,
    ) -> BoxFuture<'a, Result<Requested, (Refusal, Option<String>)>> {
        Box::pin(async move {
            let requested = access::request(self, caller, &request).await;
            requested.map_err(|refusal| {
                let journal = Journal::new(&*self.audit);
                let asked = Asked {
                    caller,
                    service: &request.service,
                    method: "request_access",
                    path: without_query(&request.what),
                    reason: request.reason.as_deref(),
                    request_bytes: 0,
                    handles: 0,
                };
                match journal.refusal(&asked, &refusal) {
                    Ok(id) => (refusal, Some(id.0)),
                    Err(error) => (error.into(), None),
                }
            })
        })
    }
}

/// The service of this name, if `caller` may know of it. That there is none and that it is not his
/// are told apart nowhere (MC-21).
pub(crate) fn find<'a>(
    catalog: &'a Catalog,
    caller: &Caller,
    name: &str,
) -> Result<&'a Service, Refusal> {
    let parsed = name.parse::<Name>().ok();
    let found = parsed
        .as_ref()
        .and_then(|name| catalog.services.get(name))
        .filter(|service| serves(catalog, caller, service))
        .map(|service| &**service);
    found.ok_or_else(|| match exec::find(catalog, caller, name) {
        Ok(_) => Refusal::new(Code::InvalidRequest, "this service is a program: use `exec`"),
        Err(refusal) => refusal,
    })
}

fn names(catalog: &Catalog, caller: &Caller) -> Vec<String> {
    let services = visible(catalog, caller).map(|service| service.name.to_string());
    let programs = exec::visible(catalog, caller).map(|command| command.name.to_string());
    let mut names: Vec<_> = services.chain(programs).collect();
    names.sort_unstable();
    names
}

fn serves(catalog: &Catalog, caller: &Caller, service: &Service) -> bool {
    catalog.serves(&caller.principal.name, &service.name, service.principals.as_deref())
}

fn visible<'a>(catalog: &'a Catalog, caller: &Caller) -> impl Iterator<Item = &'a Service> {
    let services = catalog.services.values().map(|service| &**service);
    services.filter(|service| serves(catalog, caller, service))
}

fn view(service: &Service) -> ServiceView {
    let rules = service.policy.rules().iter();
    ServiceView {
        name: service.name.to_string(),
        kind: "http",
        base_url: format!("{}{}", service.origin, service.base_path),
        program: None,
        auth: service.auth.scheme.clone(),
        rules: rules.map(|rule| (rule.verdict(), rule.in_words())).collect(),
        calls_per_minute: service.limits.calls_per_minute,
        response_bytes: service.limits.response_bytes,
        request_headers: service.request_headers.clone(),
        handle_fields: service.seal_fields.iter().chain(&service.unseal_fields).cloned().collect(),
    }
}

fn raw(service: &Service, call: Execute, unseen: Option<u64>) -> Result<RawRequest, Refusal> {
    let too_large =
        || Refusal::new(Code::InvalidRequest, "the body is larger than this service allows");
    let cap = service.limits.request_bytes;
    if call.body.len() > cap {
        return Err(too_large());
    }
    let mut headers = call.headers;
    let body = body::bytes(call.body, &mut headers, cap)?;
    // Percent-encoding makes a form up to three times as long as its JSON.
    if body.len() > cap {
        return Err(too_large());
    }
    Ok(RawRequest {
        method: call.method,
        path: call.path,
        query: call.query,
        headers,
        body,
        unseen,
    })
}

/// A path as it was asked for, without what may be a secret in its query.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

/// One event at the end of a call: what is safe to keep of it.
fn report(span: &tracing::Span, ended: &Ended<Answer>) {
    match &ended.result {
        Ok(answer) => {
            span.record("status", answer.status);
            tracing::info!(duration_ms = answer.duration_ms, "answered");
        }
        Err(refusal) => tracing::info!(code = refusal.code.as_str(), "refused"),
    }
}
