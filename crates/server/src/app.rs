//! One request and its answer: admitted, authenticated, limited, checked, done, recorded, in this order.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use strongroom_model::code::Code;
use strongroom_model::json::Json;
use strongroom_model::team::TenantId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, info, info_span};
use zeroize::Zeroizing;

use crate::access;
use crate::audit::{self, Recorded};
use crate::backend::{Backend, Caller, Visit};
use crate::credential::{self, Credential};
use crate::limiter::Limiter;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::problem::{Problem, Reason};
use crate::public;
use crate::repeats::{self, Repeats, Turn, Which};
use crate::reply::{self, Outcome, Reply};
use crate::request::{self, Bytes};
use crate::route::{Call, Found, Route, Router};
use crate::shape::{Input, Shape, query};
use crate::traces;

/// What every request needs.
pub(crate) struct App {
    pub(crate) backend: Backend,
    pub(crate) options: Options,
    limiter: Limiter,
    repeats: Arc<Repeats>,
    metrics: Metrics,
    router: Router,
}

/// What a request asks for.
#[derive(Clone)]
enum Target {
    Route(&'static Route, Vec<(&'static str, String)>),
    Mcp,
}

/// A request whose body was read.
struct Arrived {
    target: Target,
    parts: Parts,
    credential: Credential,
    body: Bytes,
    source: IpAddr,
    id: String,
}

/// What became of a request, and whose it was where that was found out.
struct Ended {
    caller: Option<Caller>,
    outcome: Result<Outcome, Problem>,
}

/// What is known of a request for its line in the log and its count.
struct Seat {
    method: &'static str,
    route: &'static str,
    allow: Vec<&'static str>,
}

impl App {
    pub(crate) fn new(backend: Backend, options: Options) -> Self {
        Self {
            backend,
            limiter: Limiter::new(options.rates),
            repeats: Arc::default(),
            metrics: Metrics::default(),
            router: Router::new(),
            options,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn behind_tls_proxy(&self) -> bool {
        self.options.behind_tls_proxy
    }

    /// Answers one request. `alive` is held by every request that is not over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nobody to answer; what was begun runs to its end in a task of its
    /// own, so that it is recorded and an `Idempotency-Key` finds it.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
        alive: mpsc::Sender<()>,
    ) -> Response<Reply> {
        let began = self.backend.clock.monotonic();
        let (parts, body) = request.into_parts();
        let id = request::id(&parts.headers);
        let source = request::source(&parts.headers, peer, self.behind_tls_proxy());
        let mut seat = Seat { method: "OTHER", route: "none", allow: Vec::new() };
        // The path is left out until it is a route's: a key may have been pasted into it.
        let span = info_span!(
            "request",
            request_id = %id,
            traceparent = traces::parent(&parts.headers),
            method = Empty,
            route = Empty,
            status = Empty,
            code = Empty,
            tenant = Empty,
        );
        let ended = Arc::clone(&self).attend(parts, body, source, &id, &mut seat, alive);
        let Ended { caller, outcome } = ended.instrument(span.clone()).await;
        let took = self.backend.clock.monotonic().saturating_sub(began);
        let reason = outcome.as_ref().err().map(|problem| problem.reason);
        let response = reply::response(outcome, &id, &seat.allow);
        let status = response.status().as_u16();
        if !span.is_disabled() {
            span.record("method", seat.method);
            span.record("route", seat.route);
            span.record("status", status);
            reason.map(|reason| span.record("code", reason.as_str()));
            caller.map(|caller| span.record("tenant", display(caller.ctx.tenant)));
        }
        self.metrics.answered((seat.method, seat.route), status, reason, took);
        info!(
            target: "strongroom::request",
            request_id = id,
            method = seat.method,
            route = seat.route,
            status,
            code = reason.map(Reason::as_str),
            %source,
            tenant = caller.map(|caller| display(caller.ctx.tenant)),
            key = caller.map(|caller| display(caller.key)),
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        );
        response
    }

    /// Everything before the body is read, then the body, then the rest in a task.
    async fn attend(
        self: Arc<Self>,
        parts: Parts,
        body: Incoming,
        source: IpAddr,
        id: &str,
        seat: &mut Seat,
        alive: mpsc::Sender<()>,
    ) -> Ended {
        let begun = async {
            request::head(&parts)?;
            let now = self.backend.clock.monotonic();
            self.limiter.source(source, now).map_err(request::too_often)?;
            let path = parts.uri.path();
            if let Some(page) = public::find(path) {
                (seat.method, seat.route) = ("GET", page.path);
                if parts.method != "GET" {
                    seat.allow = vec!["GET"];
                    return Err(not_that_method());
                }
                return Ok(Err(public::answer(&self, page).await));
            }
            let target = self.target(&parts, seat)?;
            let credential = credential::read(&parts)?;
            let cap = if matches!(target, Target::Mcp) { public::MESSAGE } else { request::BODY };
            let patience = self.options.limits.body_timeout;
            let body = request::body(&parts.headers, body, cap, patience).await?;
            Ok(Ok((target, credential, body)))
        };
        let (target, credential, body) = match begun.await {
            Ok(Ok(arrived)) => arrived,
            Ok(Err(page)) => return Ended { caller: None, outcome: Ok(page) },
            Err(problem) => {
                let problem = self.turned_away(source, problem);
                return Ended { caller: None, outcome: Err(problem) };
            }
        };
        let arrived = Arrived { target, parts, credential, body, source, id: id.to_owned() };
        let this = Arc::clone(&self);
        let work = async move {
            let ended = this.handle(arrived).await;
            drop(alive);
            ended
        };
        let ended = tokio::spawn(work.in_current_span()).await;
        ended.unwrap_or_else(|_| {
            let problem = Problem::new(Reason::Code(Code::IntegrityError), "this server failed");
            Ended { caller: None, outcome: Err(problem) }
        })
    }

    fn target(&self, parts: &Parts, seat: &mut Seat) -> Result<Target, Problem> {
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        if path == public::MCP && self.backend.mcp.is_some() {
            seat.route = public::MCP;
            seat.allow = public::MCP_METHODS.to_vec();
            let known = public::MCP_METHODS.into_iter().find(|known| *known == method);
            seat.method = known.ok_or_else(not_that_method)?;
            return Ok(Target::Mcp);
        }
        match self.router.find(method, path) {
            Found::Route(route, fields) => {
                (seat.method, seat.route) = (route.method, route.path);
                let owned = fields.into_iter().map(|(name, text)| (name, text.to_owned()));
                Ok(Target::Route(route, owned.collect()))
            }
            Found::Methods(methods) => {
                seat.allow = methods;
                Err(not_that_method())
            }
            Found::Nothing => Err(Problem::not_found()),
        }
    }

    async fn handle(&self, arrived: Arrived) -> Ended {
        let Arrived { target, parts, credential, body, source, id } = arrived;
        let input = match &target {
            Target::Route(route, fields) => read(route, fields, &parts, &body),
            Target::Mcp => query(parts.uri.query().unwrap_or_default(), &public::MCP_QUERY),
        };
        let caller = match access::authenticate(self, credential, &input, &parts, &body).await {
            Ok(caller) => caller,
            Err(problem) => {
                let outcome = Err(self.turned_away(source, problem));
                return Ended { caller: None, outcome };
            }
        };
        let now = self.backend.clock.monotonic();
        let outcome = match (self.limiter.key(caller.key, now), input, &target) {
            (Err(wait), ..) => Err(request::too_often(wait)),
            (_, Err(problem), _) => Err(problem),
            (_, Ok(input), Target::Route(route, _)) => {
                let done = self.done(route, caller, input, &parts, &body).await;
                return Ended { caller: Some(caller), outcome: done };
            }
            (_, Ok(input), Target::Mcp) => match access::own(&input, &caller) {
                Ok(()) => {
                    drop(input);
                    self.visited(caller, parts, body, id).await
                }
                Err(problem) => Err(problem),
            },
        };
        if let Err(problem) = &outcome
            && (problem.status != 429 || self.limiter.refusal(source, now).is_ok())
        {
            audit::refused(self, &caller, "request", None, problem, None).await;
        }
        Ended { caller: Some(caller), outcome }
    }

    async fn done(
        &self,
        route: &'static Route,
        caller: Caller,
        input: Input<'_>,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Outcome, Problem> {
        let subject = subject(route, &input);
        let subject = subject.as_deref();
        let mut begun = None;
        let done = self.judged(route, caller, input, (subject, &mut begun), parts, body).await;
        // What could not be recorded a moment ago is not waited for again.
        if let Err(problem) = &done
            && problem.reason != Reason::Code(Code::AuditUnavailable)
        {
            audit::refused(self, &caller, route.act, subject, problem, begun).await;
        }
        done.map(Outcome::Json)
    }

    async fn judged(
        &self,
        route: &'static Route,
        caller: Caller,
        mut input: Input<'_>,
        (subject, begun): (Option<&str>, &mut Option<Recorded>),
        parts: &Parts,
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let operator = access::check(self, route, &caller)?;
        if route.for_kernels() {
            access::own(&input, &caller)?;
            input.take(access::TENANT);
        }
        input.check_both(&route.path_fields, &route.fields)?;
        let key = if route.repeatable { repeats::key(parts)? } else { None };
        let place = match key {
            None => None,
            Some(key) => {
                let which =
                    Which { caller: caller.key, tenant: caller.ctx.tenant, route: route.act, key };
                match self.repeats.turn(which, body, self.backend.clock.monotonic())? {
                    Turn::Again(answer) => return Ok(answer.into()),
                    Turn::First(place) => Some(place),
                }
            }
        };
        if route.recorded {
            *begun = Some(audit::begins(self, route, (&caller, operator), &input, subject).await?);
        }
        let handled = (route.handle.0)(self, Call { caller, operator, input, body });
        let unfinished = || {
            let message = "the store did not answer in time: whether it was done is not known";
            Problem::unavailable(Code::SecretUnavailable, message)
        };
        let patience = self.options.limits.answer_timeout;
        let data = timeout(patience, handled).await.unwrap_or_else(|_| Err(unfinished()))?;
        let answer = reply::envelope(&data.0, route.says_status);
        if let Some(place) = place {
            place.done(&answer);
        }
        Ok(answer)
    }

    async fn visited(
        &self,
        caller: Caller,
        mut parts: Parts,
        body: Bytes,
        request_id: String,
    ) -> Result<Outcome, Problem> {
        access::may_use(&caller)?;
        credential::remove(&mut parts.headers);
        let Some(mcp) = &self.backend.mcp else { return Err(Problem::not_found()) };
        let body = bytes::Bytes::from_owner(body);
        let visit = Visit { caller, parts, body, request_id };
        mcp.answer(visit).await.map(|response| Outcome::Mounted(Box::new(response)))
    }

    /// Counts a request without a valid key. Beyond the rate it is told to wait, and counted in the next
    /// record.
    fn turned_away(&self, source: IpAddr, problem: Problem) -> Problem {
        if !matches!(problem.status, 400 | 401 | 404) {
            return problem;
        }
        let now = self.backend.clock.monotonic();
        let limited = self.limiter.refusal(source, now);
        if problem.status == 401
            && let Some(before) = self.limiter.recorded(limited.is_ok(), now)
        {
            audit::nobody(self, source, before);
        }
        limited.map_or_else(request::too_often, |()| problem)
    }
}

/// The fields of a request, from the one place where they may stand.
fn read<'a>(
    route: &'static Route,
    path: &'a [(&'static str, String)],
    parts: &'a Parts,
    body: &'a [u8],
) -> Result<Input<'a>, Problem> {
    let text = parts.uri.query().unwrap_or_default();
    let mut input = if route.by_query() {
        if !body.is_empty() {
            return Err(Problem::invalid("this request has no body"));
        }
        query(text, &route.fields)?
    } else {
        if !text.is_empty() {
            return Err(Problem::invalid("this request has no query: its fields go into the body"));
        }
        Input::body(body)?
    };
    for (name, text) in path {
        if input.has(name) {
            return Err(Problem::field(*name, format!("`{name}` stands in the path")));
        }
        input.insert(name, text);
    }
    Ok(input)
}

/// What a request is about, for its record. What has not the form of its field is left out: a secret that
/// was pasted into the wrong place would stay in the audit.
fn subject(route: &Route, input: &Input<'_>) -> Option<String> {
    let name = route.subject.iter().find(|name| input.text(name).is_some())?;
    let fits = |shape: &Shape| input.get(name).is_some_and(|json| shape.fits(name, json));
    let good = fits(&route.path_fields) || fits(&route.fields);
    input.text(name).filter(|_| good).map(str::to_owned)
}

/// The tenant that a request names.
pub(crate) fn named(input: &Input<'_>) -> Result<Option<TenantId>, Problem> {
    let wrong = || Problem::field(access::TENANT, "`tenant_id` is a random UUID in lower case");
    match input.get(access::TENANT) {
        None => Ok(None),
        Some(Json::Text(text)) => text.parse().map(Some).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}

fn not_that_method() -> Problem {
    Problem::invalid("this page has other methods").with_status(405)
}
