//! What a request means in its era, and what is answered.

mod answers;
mod call;
mod cursor;
mod hello;
mod key;
pub(crate) mod listen;
mod params;
mod parked;
mod state;
pub(crate) mod tasks;
mod work;

use std::sync::Arc;

use strongroom_model::approval::{Channel, SessionGrants};
use strongroom_model::json::Members;
use strongroom_model::ports::Prompt;
use strongroom_model::principal::{Caller, Principal};

use crate::behind::Behind;
use crate::mount::kind::Kind;
use crate::origin::{Level, Origin};
use crate::prompt::{Outbox, RetryPrompt};
use crate::session::Session;
use crate::tools::{self, Started};
use crate::wire::write::{self, Object};
use crate::wire::{Id, Notification, Request, RpcError};
use call::{Brought, Rounds};
pub(crate) use call::{Call, Said};
pub(crate) use hello::Hello;
use listen::Filter;
pub(crate) use params::Params;
use state::Bond;
use work::{What, Work};

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

/// Who sends a modern request, and how it is answered.
pub(crate) struct Visit<'a> {
    /// What answers it.
    pub(crate) behind: &'a Behind,
    /// Who it is.
    pub(crate) principal: &'a Principal,
    /// What was granted for as long as the connection lasts, where it outlives the request.
    pub(crate) session: Option<Arc<SessionGrants>>,
    /// Where what is said before the answer goes, if the client reads it.
    pub(crate) out: Option<Arc<dyn Outbox>>,
    /// `Mcp-Param-*`, names in lower case; `None`: not over HTTP.
    pub(crate) headers: Option<Vec<(Box<str>, Box<str>)>>,
}

/// Answers a request of the modern era. `params` have passed [`Params::modern`].
pub(crate) fn modern(visit: Visit<'_>, request: &Request<'_>, params: &Params<'_>) -> Handled {
    if request.method == "server/discover" {
        return Handled::Reply(hello::discover(request.id, visit.behind, visit.principal));
    }
    let mut caller = caller(visit.principal, params.client());
    caller.channel.session = visit.session;
    let mut origin = match Origin::read(caller, Era::Modern, params) {
        Ok(origin) => origin,
        Err(error) => return Handled::Reply(write::error(Some(request.id), &error)),
    };
    (origin.out, origin.headers) = (visit.out, visit.headers);
    if request.method == "subscriptions/listen" && visit.behind.servers.is_some() {
        return listens(visit.behind, origin, request.id, params);
    }
    let task = tasks::METHODS.into_iter().find(|method| *method == request.method);
    if let Some(method) = task.filter(|_| has_tasks(visit.behind, &origin)) {
        return of_task(visit.behind, origin, request.id, method, params);
    }
    handle(visit.behind, origin, request, params)
}

fn has_tasks(behind: &Behind, origin: &Origin) -> bool {
    hello::offers(behind, &origin.caller.principal).is_some_and(|offers| offers.tasks)
}

/// A request about a task.
fn of_task(
    behind: &Behind,
    origin: Origin,
    id: Id<'_>,
    method: &'static str,
    params: &Params<'_>,
) -> Handled {
    if !origin.can.tasks {
        let lacks = format!("{{\"extensions\":{{\"{}\":{{}}}}}}", tasks::TASKS);
        return Handled::Refused(RpcError::missing_capability(&lacks));
    }
    let task = params.string("taskId");
    let opened = task.and_then(|task| tasks::open(&origin.caller.principal.name, &task));
    let Some((server, own)) = opened else {
        let error = RpcError::invalid_params("there is no such task");
        return Handled::Reply(write::error(Some(id), &error));
    };
    let what = What::Task { method, server, id: own, params: params.raw().into() };
    mounted(behind, origin, id, what, false, Rounds::default())
}

/// A request that lasts for as long as the client wants to be told of changes.
fn listens(behind: &Behind, origin: Origin, id: Id<'_>, params: &Params<'_>) -> Handled {
    let refuse = |why| Handled::Reply(write::error(Some(id), &RpcError::invalid_params(why)));
    let read = |raw: &str| Filter::read(raw, &origin.caller.principal.name);
    let Some(filter) = params.get("notifications").and_then(read) else {
        return refuse("`notifications` says what to be told of, and not too much");
    };
    if origin.out.is_none() {
        return refuse("a client that listens reads events");
    }
    let what = What::Listen { id: id.raw().into(), behind: behind.clone(), filter };
    mounted(behind, origin, id, what, false, Rounds::default())
}

/// Answers a request within a session. `initialize` is not one.
pub(crate) fn legacy(
    behind: &Behind,
    session: &Arc<Session>,
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
        "resources/subscribe" if watches(behind, &origin) => match params.string("uri") {
            Some(uri) => {
                let (uri, session) = (uri.into(), Arc::clone(session));
                let what = What::Watch { uri, session };
                mounted(behind, origin, request.id, what, false, Rounds::default())
            }
            None => no_uri(request.id),
        },
        "resources/unsubscribe" if watches(behind, &origin) => match params.string("uri") {
            Some(uri) => {
                session.unwatch(&uri);
                Handled::Reply(pong(request.id))
            }
            None => no_uri(request.id),
        },
        "initialize" => {
            Handled::Refused(RpcError::invalid_request("the session is initialized already"))
        }
        _ => handle(behind, origin, request, params),
    }
}

fn no_uri(id: Id<'_>) -> Handled {
    Handled::Reply(write::error(Some(id), &RpcError::invalid_params("`uri` is a string")))
}

fn watches(behind: &Behind, origin: &Origin) -> bool {
    hello::offers(behind, &origin.caller.principal).is_some_and(|offers| offers.watched)
}

fn logs(behind: &Behind, origin: &Origin) -> bool {
    hello::offers(behind, &origin.caller.principal).is_some_and(|offers| offers.logging)
}

/// What both eras have.
fn handle(behind: &Behind, origin: Origin, request: &Request<'_>, params: &Params<'_>) -> Handled {
    let method = &*request.method;
    if method == "tools/call" {
        return call_tool(behind, origin, request.id, params);
    }
    let offers = hello::offers(behind, &origin.caller.principal).unwrap_or_default();
    let kind = Kind::of_method(method).filter(|kind| match kind {
        Kind::Tools => true,
        Kind::Prompts => offers.prompts,
        Kind::Resources | Kind::Templates => offers.resources,
    });
    if let Some(kind) = kind {
        return list(behind, origin, request.id, kind, params);
    }
    let string = |name| params.string(name).map(Into::into);
    let arguments = || params.get("arguments").map(Into::into);
    let what = match method {
        "prompts/get" if offers.prompts => {
            string("name").map(|name| What::Prompt { name, arguments: arguments() })
        }
        "resources/read" if offers.resources => string("uri").map(|uri| What::Resource { uri }),
        "completion/complete" if offers.completions => {
            Some(What::Completion { params: params.raw().into() })
        }
        _ => return Handled::Refused(RpcError::method_not_found()),
    };
    let Some(what) = what else {
        let error = RpcError::invalid_params("`name` and `uri` are strings");
        return Handled::Reply(write::error(Some(request.id), &error));
    };
    if method == "completion/complete" {
        return mounted(behind, origin, request.id, what, false, Rounds::default());
    }
    in_rounds(behind, origin, request.id, what, method, params)
}

/// A request to mounted servers that may have to come again with answers.
fn in_rounds(
    behind: &Behind,
    mut origin: Origin,
    id: Id<'_>,
    what: What,
    method: &str,
    params: &Params<'_>,
) -> Handled {
    let cached = method == "resources/read";
    if origin.era == Era::Legacy {
        return mounted(behind, origin, id, what, cached, Rounds::default());
    }
    let salient = ["name", "uri", "arguments"].map(|name| params.get(name).unwrap_or_default());
    let mut parts = vec![method.as_bytes()];
    parts.extend(salient.iter().map(|part| part.as_bytes()));
    let bond = Bond::new(&origin.caller.principal.name, &parts);
    let Brought { brings, approval, parked } = match Brought::read(params, &bond) {
        Ok(brought) => brought,
        Err(error) => return Handled::Reply(write::error(Some(id), &error)),
    };
    let responses = brings.responses.clone();
    let prompt = params.prompts().then(|| {
        let (state, response) = approval;
        Arc::new(RetryPrompt::new(state, response))
    });
    origin.caller.channel.prompt = prompt.clone().map(|prompt| -> Arc<dyn Prompt> { prompt });
    origin.brings = brings.clone();
    let rounds = Rounds { prompt, bond: Some(bond), brings };
    match (mounted(behind, origin, id, what, cached, rounds), parked) {
        (Handled::Call(call), Some(parked)) => {
            let responses = responses.unwrap_or_else(|| "{}".into());
            Handled::Call(Box::new(call.resumed(parked, responses)))
        }
        (handled, _) => handled,
    }
}

/// A request to mounted servers.
fn mounted(
    behind: &Behind,
    origin: Origin,
    id: Id<'_>,
    what: What,
    cached: bool,
    rounds: Rounds,
) -> Handled {
    let Some(servers) = &behind.servers else {
        return Handled::Refused(RpcError::method_not_found());
    };
    let work = Work::Mounted { mount: servers.mount(), what };
    Handled::Call(Box::new(Call::new(id, origin, work, cached, rounds)))
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
        let what = What::List { kind, from };
        return mounted(behind, origin, id, what, false, Rounds::default());
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

fn call_tool(behind: &Behind, mut origin: Origin, id: Id<'_>, params: &Params<'_>) -> Handled {
    let refuse = |error| Handled::Reply(write::error(Some(id), &error));
    let Some(name) = params.string("name") else {
        return refuse(RpcError::invalid_params("`name` is a string"));
    };
    if behind.servers.is_some() && !tools::is_ours(&name) {
        let arguments = params.get("arguments").map(Into::into);
        let what = What::Tool { name: name.into(), arguments };
        return in_rounds(behind, origin, id, what, "tools/call", params);
    }
    let prompt = (origin.era == Era::Modern).then(|| params.prompt()).flatten();
    if let Some(prompt) = prompt.clone() {
        origin.caller.channel.prompt = Some(prompt);
    }
    match tools::start(&name, params.get("arguments"), &*behind.calls, &origin.caller) {
        Err(error) => refuse(error),
        Ok(Started::Done(output)) => Handled::Reply(answers::tool_result(id, origin.era, output)),
        Ok(Started::Waiting(invocation)) => {
            let rounds = Rounds { prompt, ..Rounds::default() };
            let call = Call::new(id, origin, Work::Ours(invocation), false, rounds);
            Handled::Call(Box::new(call))
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
