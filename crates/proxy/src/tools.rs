//! Calls of servers' tools: who asks, which tool with what, may it, and what came of it.
//!
//! How a server is reached is not known here: whoever knows hands in the act.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::approval::Matter;
use strongroom_model::audit::{Asked, Draft, Facts, Journal, Kind, Trail};
use strongroom_model::call::{Explained, ToolAnswer, ToolCalled};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Bound;
use strongroom_model::pin::News;
use strongroom_model::pipeline::{Act, Done, Ended, Permit, Pipeline};
use strongroom_model::ports::{
    BoxFuture, Clock, Halts, ReadAct, ReadRequest, ToolAct, ToolRequest, Tools,
};
use strongroom_model::principal::{Caller, Name};
use strongroom_model::service::Catalog;
use strongroom_model::tool::{Reading, Served, ToolCall};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, error, info_span};

use crate::admission::Place;
use crate::broker::Broker;
use crate::consent::Judged;

/// The method that stands in the audit.
const METHOD: &str = "tools/call";

/// How long one call stands still at the most, however often somebody is asked something about it.
const LONGEST_HALT: Duration = Duration::from_mins(30);

/// How soon it is looked again whether a call goes on that stands still.
const GLANCE: Duration = Duration::from_millis(50);

/// Tools that are recorded by name when many of one server begin to wait at once.
const MOST_NEWS: usize = 16;

impl Tools for Broker {
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped between intent and outcome, the call leaves an intent without an
    /// outcome. Run it in a task of its own, and end it by `cancel`.
    fn call_tool<'a>(
        &'a self,
        caller: &'a Caller,
        call: ToolRequest<'a>,
        act: Box<dyn ToolAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled> {
        Box::pin(async move {
            let ended = self.tool(caller, call, act, cancel).await;
            ToolCalled { result: ended.result, audit_id: ended.audit_id }
        })
    }

    /// # Cancel safety
    ///
    /// As [`call_tool`](Tools::call_tool).
    fn read<'a>(
        &'a self,
        caller: &'a Caller,
        read: ReadRequest<'a>,
        act: Box<dyn ReadAct + 'a>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, ToolCalled> {
        Box::pin(async move {
            let ended = self.reading(caller, read, act, cancel).await;
            ToolCalled { result: ended.result, audit_id: ended.audit_id }
        })
    }

    fn servers(&self, caller: &Caller) -> Vec<Arc<Served>> {
        let catalog = self.registry.current();
        let servers = catalog.servers.values();
        servers.filter(|served| serves(&catalog, caller, served)).cloned().collect()
    }

    fn noticed(&self, server: &Name, news: &[News]) {
        let redactor = self.credentials.redactor();
        let told = news.iter().take(MOST_NEWS);
        let drafts = told.map(|news| Draft {
            kind: Kind::Admin,
            act: Some(format!("tool.{}", news.why.as_str())),
            service: Some(server.to_string()),
            method: Some("tools/list".to_owned()),
            path: Some(redactor.clean_text(&news.tool).0.into_inner()),
            subject: Some(format!("sha256:{}", news.hash)),
            ..Draft::default()
        });
        let rest = news.len().saturating_sub(MOST_NEWS);
        let more = (rest > 0).then(|| Draft {
            kind: Kind::Admin,
            act: Some("tool.more".to_owned()),
            service: Some(server.to_string()),
            count: Some(rest as u64),
            ..Draft::default()
        });
        for draft in drafts.chain(more) {
            if let Err(error) = self.audit.append(draft) {
                error!("a tool that waits for a person was not recorded: {error}");
            }
        }
    }
}

impl Broker {
    /// One call, from its words to its end. Arguments are only counted by the audit.
    async fn tool(
        &self,
        caller: &Caller,
        call: ToolRequest<'_>,
        act: Box<dyn ToolAct + '_>,
        mut cancel: BoxFuture<'_, ()>,
    ) -> Ended<ToolAnswer> {
        let mut began = self.clock.monotonic();
        let journal = Journal::new(&*self.audit);
        let pipeline = Pipeline { journal, credentials: &*self.credentials, switch: &*self.switch };
        let catalog = self.registry.current();
        // An agent that got hold of a secret elsewhere must not get it into the audit.
        let tool = self.credentials.redactor().clean_text(call.tool).0.into_inner();
        let request_bytes = call.arguments.map_or(0, str::len) as u64;
        let asked = Asked {
            caller,
            service: call.server,
            method: METHOD,
            path: &tool,
            reason: None,
            request_bytes,
            handles: 0,
        };
        let admitted = find(&catalog, caller, call.server)
            .and_then(|served| Ok((served, self.admit_tool(caller, &catalog, served, call)?)));
        let (served, (judged, place)) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return pipeline.refuse(&asked, refusal),
        };
        let matter = |call: &ToolCall| Matter::tool(served, call);
        let asks = matches!(judged, Judged::Asks(_));
        let permit = match self.consent().settle(&asked, judged, matter, &mut cancel).await {
            Ok(permit) => permit,
            Err(refusal) => return pipeline.refuse(&asked, refusal),
        };
        if asks {
            began = self.clock.monotonic();
        }
        let act = Forward { act, served, clock: &*self.clock, began, cancel };
        let span = info_span!("tool", server = %served.name, tool = %tool.escape_debug());
        let run = pipeline.run(&asked, Ok(permit), &catalog, served, act);
        let ended = run.instrument(span).await;
        place.charge(request_bytes + ended.received, self.clock.monotonic());
        ended
    }

    /// One reading, from its words to its end.
    async fn reading(
        &self,
        caller: &Caller,
        read: ReadRequest<'_>,
        act: Box<dyn ReadAct + '_>,
        cancel: BoxFuture<'_, ()>,
    ) -> Ended<ToolAnswer> {
        let began = self.clock.monotonic();
        let journal = Journal::new(&*self.audit);
        let pipeline = Pipeline { journal, credentials: &*self.credentials, switch: &*self.switch };
        let catalog = self.registry.current();
        let what = self.credentials.redactor().clean_text(read.what).0.into_inner();
        let request_bytes = read.bytes as u64;
        let asked = Asked {
            caller,
            service: read.server,
            method: read.method,
            path: &what,
            reason: None,
            request_bytes,
            handles: 0,
        };
        let admitted = find(&catalog, caller, read.server)
            .and_then(|served| Ok((served, self.admit_reading(caller, &catalog, served, read)?)));
        let (served, (permit, place)) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return pipeline.refuse(&asked, refusal),
        };
        let act = Forward { act, served, clock: &*self.clock, began, cancel };
        let span = info_span!("reading", server = %served.name, method = read.method);
        let run = pipeline.run(&asked, Ok(permit), &catalog, served, act);
        let ended = run.instrument(span).await;
        place.charge(request_bytes + ended.received, self.clock.monotonic());
        ended
    }

    /// Whether it may be read, now.
    fn admit_reading(
        &self,
        caller: &Caller,
        catalog: &Catalog,
        served: &Served,
        read: ReadRequest<'_>,
    ) -> Result<(Permit<Reading>, Place), Refusal> {
        if read.bytes > served.limits.request_bytes {
            let text = "what is sent along is larger than this server is sent";
            return Err(Refusal::new(Code::InvalidRequest, text));
        }
        let permit = served.permit(Reading { method: read.method, what: read.what.into() });
        let judged = Judged::Allowed(permit);
        let place = self.enter(caller, catalog, (&served.name, &served.limits), &judged, None)?;
        let Judged::Allowed(permit) = judged else {
            return Err(Refusal::new(Code::PolicyDenied, "nothing is asked about a reading"));
        };
        Ok((permit, place))
    }

    /// Whether it may be called, now. Only what is allowed or asked for counts towards the limits.
    fn admit_tool(
        &self,
        caller: &Caller,
        catalog: &Catalog,
        served: &Served,
        call: ToolRequest<'_>,
    ) -> Result<(Judged<ToolCall>, Place), Refusal> {
        let standing = call.standing;
        let call = ToolCall::read(served.name.clone(), call.tool, call.arguments)?;
        if call.arguments().len() > served.limits.request_bytes {
            let text = "the arguments are larger than this server is sent";
            return Err(Refusal::new(Code::InvalidRequest, text));
        }
        let judged = Judged::of(served.policy.judge(call)).map_err(|denied| denied.0)?;
        served.pin.admit(standing, &served.name)?;
        // A tool takes no reason: nobody can give one.
        let place = self.enter(caller, catalog, (&served.name, &served.limits), &judged, None)?;
        Ok((judged, place))
    }
}

/// What the rules of `server` say to a call of `tool`.
pub(crate) fn explain(
    catalog: &Catalog,
    caller: &Caller,
    (server, tool): (&str, &str),
    arguments: Option<&str>,
) -> Result<Explained, Refusal> {
    let known = find(catalog, caller, server)?;
    let request = ToolCall::read(known.name.clone(), tool, arguments)?;
    let explanation = known.policy.explain(&request);
    Ok(Explained { request: format!("{METHOD} {}", request.tool()), explanation })
}

/// The act of what is permitted: somebody else's, within our time and size.
struct Forward<'a, A> {
    act: A,
    served: &'a Served,
    clock: &'a dyn Clock,
    /// When the call began, by the clock's monotonic time.
    began: Duration,
    cancel: BoxFuture<'a, ()>,
}

impl Act<ToolCall, Name> for Forward<'_, Box<dyn ToolAct + '_>> {
    type Answer = ToolAnswer;

    async fn act(
        self,
        permit: Permit<ToolCall>,
        _bound: Bound<Name>,
        _trail: Trail<'_>,
    ) -> Done<ToolAnswer> {
        let Self { act, served, clock, began, cancel } = self;
        let halts = act.halts();
        done((served, halts), clock, began, act.act(permit.into_request(), cancel)).await
    }
}

impl Act<Reading, Name> for Forward<'_, Box<dyn ReadAct + '_>> {
    type Answer = ToolAnswer;

    async fn act(
        self,
        _permit: Permit<Reading>,
        _bound: Bound<Name>,
        _trail: Trail<'_>,
    ) -> Done<ToolAnswer> {
        let Self { act, served, clock, began, cancel } = self;
        let halts = act.halts();
        done((served, halts), clock, began, act.act(cancel)).await
    }
}

/// What comes of it within the limits of the server.
async fn done(
    (served, halts): (&Served, Option<Arc<dyn Halts>>),
    clock: &dyn Clock,
    began: Duration,
    answer: BoxFuture<'_, Result<ToolAnswer, Refusal>>,
) -> Done<ToolAnswer> {
    let limits = &served.limits;
    let halts = halts.as_deref();
    let answer = in_time(Duration::from_millis(limits.total_ms), answer, halts).await;
    let mut facts = Facts::default();
    let took = clock.monotonic().saturating_sub(began).saturating_sub(stood(halts));
    facts.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let result = match answer {
        Ok(Ok(answer)) => {
            facts.response_bytes = answer.text.get().len() as u64;
            facts.redactions = answer.redactions;
            facts.said = answer.failed.then_some(Code::ToolError);
            if answer.text.get().len() > limits.response_bytes {
                let text = "the server's answer is larger than this server may send";
                Err(Refusal::new(Code::ResponseTooLarge, text))
            } else {
                Ok(answer)
            }
        }
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => {
            let text = "the server did not answer in time";
            Err(Refusal::new(Code::UpstreamTimeout, text))
        }
    };
    Done { result, facts }
}

/// What comes within `total`, in which the time does not count that the call stood still.
async fn in_time<T>(
    total: Duration,
    mut answer: BoxFuture<'_, T>,
    halts: Option<&dyn Halts>,
) -> Result<T, Elapsed> {
    let start = Instant::now();
    let mut left = total;
    loop {
        let over = match timeout(left, &mut answer).await {
            Ok(answer) => return Ok(answer),
            Err(over) => over,
        };
        let used = start.elapsed().saturating_sub(stood(halts));
        if used >= total {
            return Err(over);
        }
        // While it stands still nothing is used up, and there may be next to nothing left.
        left = total.saturating_sub(used).max(GLANCE);
    }
}

fn stood(halts: Option<&dyn Halts>) -> Duration {
    halts.map_or(Duration::ZERO, |halts| halts.stood().min(LONGEST_HALT))
}

/// The server of this name, if `caller` may know of it.
fn find<'a>(catalog: &'a Catalog, caller: &Caller, name: &str) -> Result<&'a Served, Refusal> {
    let name = name.parse::<Name>().ok();
    let served = name.as_ref().and_then(|name| catalog.servers.get(name));
    served
        .map(|served| &**served)
        .filter(|served| serves(catalog, caller, served))
        .ok_or_else(|| Refusal::new(Code::NotFound, "there is no such server"))
}

fn serves(catalog: &Catalog, caller: &Caller, served: &Served) -> bool {
    catalog.serves(&caller.principal.name, &served.name, served.principals.as_deref())
}
