//! What a request means in its era, and what is answered.

mod answers;
mod cursor;
mod hello;
mod key;
mod params;
mod work;

use std::sync::Arc;

use strongroom_model::approval::{Channel, SessionGrants};
use strongroom_model::json::Members;
use strongroom_model::ports::{Calls, Prompt};
use strongroom_model::principal::{Caller, Principal};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::behind::Behind;
use crate::mount::kind::Kind;
use crate::origin::{Level, Line, Origin};
use crate::prompt::RetryPrompt;
use crate::session::Session;
use crate::tools::{self, Started};
use crate::wire::write::{self, Object};
use crate::wire::{Id, Notification, Request, RpcError};
pub(crate) use hello::Hello;
pub(crate) use params::Params;
use work::{Came, What, Work};

/// The stateless revision.
pub(crate) const MODERN: &str = "2026-07-28";

/// The newest revision that begins with `initialize`.
pub(crate) const NEWEST_LEGACY: &str = "2025-11-25";

/// Every revision that we speak, newest first.
pub(crate) const VERSIONS: [&str; 5] =
    [MODERN, NEWEST_LEGACY, "2025-06-18", "2025-03-26", "2024-11-05"];

/// The name of our question among the `inputRequests` of a modern call.
const QUESTION: &str = "approval";

/// How long a client may keep what does not depend on the caller.
const TTL_MS: u64 = 300_000;

/// Characters of a client's name that we keep.
const LABEL: usize = 64;

/// The two ways to speak MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// A session, opened by `initialize`.
    Legacy,
    /// Every request for itself.
    Modern,
}

/// The request lacks the `_meta` that its era demands.
pub(crate) fn missing_meta() -> RpcError {
    RpcError::invalid_params("`_meta` lacks io.modelcontextprotocol/protocolVersion")
}

/// The id of the request that a notification takes back, as written.
pub(crate) fn cancelled<'a>(notification: &Notification<'a>) -> Option<&'a str> {
    if notification.method != "notifications/cancelled" {
        return None;
    }
    Members::read(notification.params?)?.get("requestId")
}

/// What came of a request: an answer, or a call that will have one.
pub(crate) enum Handled {
    /// The answer.
    Reply(Vec<u8>),
    /// The answer is an error that was found before any method's own code ran.
    Refused(RpcError),
    /// The answer takes a while.
    Call(Box<Call>),
}

/// What is sent back for a request.
pub(crate) struct Said {
    /// The message.
    pub(crate) message: Vec<u8>,
    /// The status of an HTTP response that has nothing else in it.
    pub(crate) status: u16,
}

/// A request that waits for someone else.
pub(crate) struct Call {
    id: Box<str>,
    origin: Arc<Origin>,
    work: Work,
    /// Whether the results of the method say how long they are good.
    cached: bool,
    /// The prompt of a modern call.
    prompt: Option<Arc<RetryPrompt>>,
}

impl Call {
    /// Makes the call in a task of its own and returns the message to send. It ends early when
    /// `cancel` fires or its other end is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not drop the call: a call that has begun must reach the audit. Drop
    /// the other end of `cancel` to end it.
    pub(crate) async fn run(
        self,
        calls: Arc<dyn Calls>,
        cancel: oneshot::Receiver<()>,
        alive: tokio::sync::mpsc::Sender<()>,
    ) -> Said {
        let Self { id, origin, work, cached, prompt } = self;
        let (era, of) = (origin.era, origin.caller.principal.name.clone());
        let running = async move {
            let cancel = Box::pin(async move { drop(cancel.await) });
            let came = work.run(&*calls, &origin, cancel).await;
            drop(alive);
            came
        };
        // The span of the call belongs into that of its request.
        let task = tokio::spawn(running.in_current_span());
        let raw = Id::read(&id).expect("the id was read before");
        let message = match task.await {
            Ok(Came::Output(output)) => match prompt.and_then(|prompt| prompt.take()) {
                Some(unanswered) if output.is_refused() => {
                    answers::input_required(raw, &unanswered)
                }
                _ => answers::tool_result(raw, era, output),
            },
            Ok(Came::Answer(answer)) => {
                let message = answers::answer(raw, era, cached, &answer);
                let status = answers::status(era, &answer);
                return Said { message, status };
            }
            Ok(Came::List(listed)) => {
                let next = listed.next.and_then(|from| cursor::write(&of, listed.kind, from));
                answers::list(raw, era, &listed, next.as_deref())
            }
            Ok(Came::Error(error)) => {
                let message = write::error(Some(raw), &error);
                let status = if era == Era::Modern { error.late_status() } else { 200 };
                return Said { message, status };
            }
            Err(_) => write::error(Some(raw), &RpcError::internal()),
        };
        Said { message, status: 200 }
    }
}

/// Who sends a modern request, and how it is answered.
pub(crate) struct Visit<'a> {
    /// What answers it.
    pub(crate) behind: &'a Behind,
    /// Who it is.
    pub(crate) principal: &'a Principal,
    /// What was granted for as long as the connection lasts, where it outlives the request.
    pub(crate) session: Option<Arc<SessionGrants>>,
    /// Where what is said before the answer goes, if the client reads it.
    pub(crate) line: Option<Arc<dyn Line>>,
    /// `Mcp-Param-*`, names in lower case; `None`: not over HTTP.
    pub(crate) headers: Option<Vec<(Box<str>, Box<str>)>>,
}

/// Answers a request of the modern era. `params` have passed [`Params::modern`].
pub(crate) fn modern(visit: Visit<'_>, request: &Request<'_>, params: &Params<'_>) -> Handled {
    if request.method == "server/discover" {
        return Handled::Reply(hello::discover(request.id, visit.behind, visit.principal));
    }
    let prompt = (request.method == "tools/call").then(|| params.prompt()).flatten();
    let mut caller = caller(visit.principal, params.client());
    caller.channel = Channel {
        session: visit.session,
        prompt: prompt.clone().map(|prompt| -> Arc<dyn Prompt> { prompt }),
    };
    let mut origin = match Origin::read(caller, Era::Modern, params) {
        Ok(origin) => origin,
        Err(error) => return Handled::Reply(write::error(Some(request.id), &error)),
    };
    (origin.line, origin.headers) = (visit.line, visit.headers);
    handle(visit.behind, origin, request, params, prompt)
}

/// Answers a request within a session. `initialize` is not one.
pub(crate) fn legacy(
    behind: &Behind,
    session: &Session,
    origin: Origin,
    request: &Request<'_>,
    params: &Params<'_>,
) -> Handled {
    match &*request.method {
        "ping" => Handled::Reply(pong(request.id)),
        "logging/setLevel" if logs(behind, &origin) => {
            match Level::read(params.get("level").unwrap_or("null")) {
                Ok(level) => {
                    // Servers are told with the next call.
                    session.hear_from(level);
                    Handled::Reply(pong(request.id))
                }
                Err(error) => Handled::Reply(write::error(Some(request.id), &error)),
            }
        }
        "initialize" => {
            Handled::Refused(RpcError::invalid_request("the session is initialized already"))
        }
        _ => handle(behind, origin, request, params, None),
    }
}

fn logs(behind: &Behind, origin: &Origin) -> bool {
    hello::offers(behind, &origin.caller.principal).is_some_and(|offers| offers.logging)
}

/// What both eras have.
fn handle(
    behind: &Behind,
    origin: Origin,
    request: &Request<'_>,
    params: &Params<'_>,
    prompt: Option<Arc<RetryPrompt>>,
) -> Handled {
    let method = &*request.method;
    if method == "tools/call" {
        return call_tool(behind, origin, request.id, params, prompt);
    }
    let offers = hello::offers(behind, &origin.caller.principal).unwrap_or_default();
    let string = |name| params.string(name).map(Into::into);
    let what = match method {
        "tools/list" => return list(behind, origin, request.id, Kind::Tools, params),
        "prompts/list" if offers.prompts => {
            return list(behind, origin, request.id, Kind::Prompts, params);
        }
        "resources/list" if offers.resources => {
            return list(behind, origin, request.id, Kind::Resources, params);
        }
        "resources/templates/list" if offers.resources => {
            return list(behind, origin, request.id, Kind::Templates, params);
        }
        "prompts/get" if offers.prompts => string("name")
            .map(|name| What::Prompt { name, arguments: params.get("arguments").map(Into::into) }),
        "resources/read" if offers.resources => string("uri").map(|uri| What::Resource { uri }),
        "completion/complete" if offers.completions => {
            Some(What::Completion { params: params.raw().into() })
        }
        _ => return Handled::Refused(RpcError::method_not_found()),
    };
    let cached = method == "resources/read";
    match what {
        Some(what) => mounted(behind, origin, request.id, what, cached, None),
        None => {
            let error = RpcError::invalid_params("`name` and `uri` are strings");
            Handled::Reply(write::error(Some(request.id), &error))
        }
    }
}

/// A request to mounted servers.
fn mounted(
    behind: &Behind,
    origin: Origin,
    id: Id<'_>,
    what: What,
    cached: bool,
    prompt: Option<Arc<RetryPrompt>>,
) -> Handled {
    let Some(servers) = &behind.servers else {
        return Handled::Refused(RpcError::method_not_found());
    };
    let work = Work::Mounted { mount: servers.mount(), what };
    let (id, origin) = (id.raw().into(), Arc::new(origin));
    Handled::Call(Box::new(Call { id, origin, work, cached, prompt }))
}

fn list(behind: &Behind, origin: Origin, id: Id<'_>, kind: Kind, params: &Params<'_>) -> Handled {
    let cursor = params.get("cursor").filter(|raw| *raw != "null");
    let from = match (cursor, params.string("cursor")) {
        (None, _) => Some(0),
        (Some(_), Some(cursor)) if behind.servers.is_some() => {
            cursor::read(&origin.caller.principal.name, kind, &cursor)
        }
        // Our own list has one page.
        (Some(_), _) => None,
    };
    let Some(from) = from else {
        let error = RpcError::invalid_params("there is no such cursor");
        return Handled::Reply(write::error(Some(id), &error));
    };
    if behind.servers.is_some() {
        return mounted(behind, origin, id, What::List { kind, from }, false, None);
    }
    let era = origin.era;
    let tools = tools::definitions();
    Handled::Reply(write::result(id, tools.len() + 256, |out| {
        if era == Era::Modern {
            out.extend_from_slice(b"\"resultType\":\"complete\",");
        }
        out.extend_from_slice(b"\"tools\":");
        out.extend_from_slice(tools.as_bytes());
        if era == Era::Modern {
            cacheable(out, TTL_MS);
            meta(out);
        }
    }))
}

fn call_tool(
    behind: &Behind,
    origin: Origin,
    id: Id<'_>,
    params: &Params<'_>,
    prompt: Option<Arc<RetryPrompt>>,
) -> Handled {
    let refuse = |error| Handled::Reply(write::error(Some(id), &error));
    let Some(name) = params.string("name") else {
        return refuse(RpcError::invalid_params("`name` is a string"));
    };
    if behind.servers.is_some() && !tools::is_ours(&name) {
        let arguments = params.get("arguments").map(Into::into);
        let what = What::Tool { name: name.into(), arguments };
        return mounted(behind, origin, id, what, false, prompt);
    }
    match tools::start(&name, params.get("arguments"), &*behind.calls, &origin.caller) {
        Err(error) => refuse(error),
        Ok(Started::Done(output)) => Handled::Reply(answers::tool_result(id, origin.era, output)),
        Ok(Started::Waiting(invocation)) => {
            let (id, origin, work) = (id.raw().into(), Arc::new(origin), Work::Ours(invocation));
            Handled::Call(Box::new(Call { id, origin, work, cached: false, prompt }))
        }
    }
}

/// A caller of whom nothing but the name is known.
fn caller(principal: &Principal, claimed_client: Option<String>) -> Caller {
    Caller { principal: principal.clone(), channel: Channel::default(), claimed_client }
}

/// The answer to `ping`.
pub(crate) fn pong(id: Id<'_>) -> Vec<u8> {
    write::result(id, 0, |_| {})
}

fn cacheable(out: &mut Vec<u8>, ttl_ms: u64) {
    out.extend_from_slice(format!(",\"ttlMs\":{ttl_ms},\"cacheScope\":\"private\"").as_bytes());
}

fn meta(out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":");
    server_info(out);
    out.push(b'}');
}

fn server_info(out: &mut Vec<u8>) {
    let mut info = Object::open(out);
    info.string("name", "strongroom").string("title", "Strongroom");
    info.string("version", env!("CARGO_PKG_VERSION"));
    info.close();
}

fn client_name(info: &str) -> Option<String> {
    let info = Members::read(info)?;
    write::label(info.get("name")?, LABEL)
}
