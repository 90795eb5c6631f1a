//! What a request means in its era, and what is answered.

mod mounted;

use std::sync::Arc;

use strongroom_model::approval::{Channel, SessionGrants};
use strongroom_model::json::{self, Members};
use strongroom_model::ports::{Calls, Prompt};
use strongroom_model::principal::{Caller, Principal};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::behind::Behind;
use crate::prompt::{self, RetryPrompt, Unanswered};
use crate::tools::{self, Output, Started};
use crate::wire::write::{self, Object};
use crate::wire::{Id, Notification, Request, RpcError};
use mounted::{Came, Work};

/// The stateless revision.
pub(crate) const MODERN: &str = "2026-07-28";

/// The newest revision that begins with `initialize`.
pub(crate) const NEWEST_LEGACY: &str = "2025-11-25";

/// Every revision that we speak, newest first.
pub(crate) const VERSIONS: [&str; 5] =
    [MODERN, NEWEST_LEGACY, "2025-06-18", "2025-03-26", "2024-11-05"];

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";

const INSTRUCTIONS: &str = "Strongroom calls HTTP APIs for you. It adds the credential to each \
     call, so you never see a key and never need one: do not ask the user for keys. Begin with \
     `list_services`, then call `execute` with a service, a method and a path. A refusal says \
     whether trying again can help.";

/// Revisions of the era of `initialize` that know prompts (2025-06-18, "Elicitation").
const PROMPTING: [&str; 2] = [NEWEST_LEGACY, "2025-06-18"];

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

/// The parameters of a request, opened once.
pub(crate) struct Params<'a> {
    members: Members<'a>,
    meta: Members<'a>,
}

impl<'a> Params<'a> {
    /// Opens `raw`, the parameters as written.
    pub(crate) fn read(raw: Option<&'a str>) -> Result<Self, RpcError> {
        let members = raw.and_then(Members::read).unwrap_or_default();
        let meta = match members.get("_meta") {
            None => Members::default(),
            Some(raw) => Members::read(raw)
                .ok_or_else(|| RpcError::invalid_params("`_meta` is an object"))?,
        };
        Ok(Self { members, meta })
    }

    /// A parameter that is a string.
    pub(crate) fn string(&self, name: &str) -> Option<std::borrow::Cow<'a, str>> {
        self.members.get(name).and_then(json::string)
    }

    /// A parameter, as written.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.get(name)
    }

    /// The version that the request names, which makes it a modern one.
    ///
    /// # Errors
    ///
    /// It names something that is not a version.
    pub(crate) fn version(&self) -> Result<Option<std::borrow::Cow<'a, str>>, RpcError> {
        match self.meta.get(META_VERSION) {
            None => Ok(None),
            Some(raw) => json::string(raw)
                .map(Some)
                .ok_or_else(|| RpcError::invalid_params("the protocol version is a string")),
        }
    }

    /// What every modern request must carry (basic/index, "Per-request protocol fields").
    pub(crate) fn modern(&self, version: &str) -> Result<(), RpcError> {
        if version != MODERN {
            return Err(RpcError::unsupported_version(&VERSIONS, version));
        }
        if !self.meta.get(META_CAPABILITIES).is_some_and(|raw| raw.starts_with('{')) {
            return Err(RpcError::invalid_params(
                "`_meta` lacks io.modelcontextprotocol/clientCapabilities",
            ));
        }
        Ok(())
    }

    /// The prompt of a modern call: whether its client shows questions, and what it answered.
    fn prompt(&self) -> Option<Arc<RetryPrompt>> {
        let capabilities = self.meta.get(META_CAPABILITIES)?;
        if !prompt::shows_forms(capabilities) {
            return None;
        }
        let state = self.string("requestState").map(Into::into);
        let responses = self.get("inputResponses").and_then(Members::read);
        let response = responses.and_then(|all| all.get(QUESTION)).map(str::to_owned);
        Some(Arc::new(RetryPrompt::new(state, response)))
    }

    /// What the client of a modern request calls itself.
    pub(crate) fn client(&self) -> Option<String> {
        client_name(self.meta.get(META_CLIENT)?)
    }
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

/// A request that waits for someone else.
pub(crate) struct Call {
    id: Box<str>,
    era: Era,
    caller: Caller,
    work: Work,
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
    ) -> Vec<u8> {
        let Self { id, era, caller, work, prompt } = self;
        let running = async move {
            let cancel = Box::pin(async move { drop(cancel.await) });
            let came = work.run(&*calls, &caller, cancel).await;
            drop(alive);
            came
        };
        // The span of the call belongs into that of its request.
        let task = tokio::spawn(running.in_current_span());
        let raw = Id::read(&id).expect("the id was read before");
        match task.await {
            Ok(Came::Output(output)) => match prompt.and_then(|prompt| prompt.take()) {
                Some(unanswered) if output.is_refused() => input_required(raw, &unanswered),
                _ => tool_result(raw, era, output),
            },
            Ok(Came::Answer(answer)) => mounted::answer(raw, era, &answer),
            Ok(Came::List(listed)) => mounted::list(raw, era, &listed),
            Ok(Came::Nothing) => write::error(Some(raw), &tools::unknown()),
            Err(_) => write::error(Some(raw), &RpcError::internal()),
        }
    }
}

/// Answers a request of the modern era. `params` have passed [`Params::modern`]. `session` is what was
/// granted for as long as the connection lasts, where it outlives the request.
pub(crate) fn modern(
    behind: &Behind,
    principal: &Principal,
    session: Option<Arc<SessionGrants>>,
    request: &Request<'_>,
    params: &Params<'_>,
) -> Handled {
    match &*request.method {
        "server/discover" => Handled::Reply(discover(request.id)),
        "tools/list" => {
            let caller = Caller {
                principal: principal.clone(),
                channel: Channel::default(),
                claimed_client: params.client(),
            };
            list_tools(behind, caller, request.id, Era::Modern, params)
        }
        "tools/call" => {
            let prompt = params.prompt();
            let shown = prompt.clone().map(|prompt| -> Arc<dyn Prompt> { prompt });
            let caller = Caller {
                principal: principal.clone(),
                channel: Channel { session, prompt: shown },
                claimed_client: params.client(),
            };
            call_tool(behind, caller, request.id, Era::Modern, params, prompt)
        }
        _ => Handled::Refused(RpcError::method_not_found()),
    }
}

/// Answers a request within a session. `initialize` is not one.
pub(crate) fn legacy(
    behind: &Behind,
    caller: &Caller,
    request: &Request<'_>,
    params: &Params<'_>,
) -> Handled {
    match &*request.method {
        "ping" => Handled::Reply(pong(request.id)),
        "tools/list" => list_tools(behind, caller.clone(), request.id, Era::Legacy, params),
        "tools/call" => call_tool(behind, caller.clone(), request.id, Era::Legacy, params, None),
        "initialize" => {
            Handled::Refused(RpcError::invalid_request("the session is initialized already"))
        }
        _ => Handled::Refused(RpcError::method_not_found()),
    }
}

/// What a client proposed with `initialize`, and what we agreed to.
pub(crate) struct Hello {
    /// The revision of the session.
    pub(crate) version: &'static str,
    /// What the client calls itself.
    pub(crate) client: Option<String>,
    /// Whether the client shows questions to its user.
    pub(crate) prompts: bool,
}

impl Hello {
    /// Reads the parameters of `initialize`. A version that we do not speak, the modern one
    /// included, is answered with the newest that has sessions.
    pub(crate) fn read(params: &Params<'_>) -> Result<Self, RpcError> {
        let Some(proposed) = params.string("protocolVersion") else {
            return Err(RpcError::invalid_params("`protocolVersion` is a string"));
        };
        let version = VERSIONS[1..].iter().find(|version| **version == proposed);
        let version = version.copied().unwrap_or(NEWEST_LEGACY);
        let forms = params.get("capabilities").is_some_and(prompt::shows_forms);
        Ok(Self {
            version,
            prompts: forms && PROMPTING.contains(&version),
            client: params.get("clientInfo").and_then(client_name),
        })
    }

    /// What stands in its place where a client has not said it.
    pub(crate) fn unsaid() -> Self {
        Self { version: NEWEST_LEGACY, prompts: false, client: None }
    }

    /// The answer to `initialize`.
    pub(crate) fn answer(&self, id: Id<'_>) -> Vec<u8> {
        write::result(id, 768, |out| {
            out.extend_from_slice(b"\"protocolVersion\":\"");
            out.extend_from_slice(self.version.as_bytes());
            out.extend_from_slice(b"\",\"capabilities\":{\"tools\":{}},\"serverInfo\":");
            server_info(out);
            out.extend_from_slice(b",\"instructions\":");
            write::string(out, INSTRUCTIONS);
        })
    }
}

/// The answer to `ping`.
pub(crate) fn pong(id: Id<'_>) -> Vec<u8> {
    write::result(id, 0, |_| {})
}

fn discover(id: Id<'_>) -> Vec<u8> {
    write::result(id, 1024, |out| {
        out.extend_from_slice(b"\"resultType\":\"complete\",\"supportedVersions\":");
        write::list(out, VERSIONS, write::string);
        out.extend_from_slice(b",\"capabilities\":{\"tools\":{}},\"instructions\":");
        write::string(out, INSTRUCTIONS);
        cacheable(out, TTL_MS);
        meta(out);
    })
}

fn list_tools(
    behind: &Behind,
    caller: Caller,
    id: Id<'_>,
    era: Era,
    params: &Params<'_>,
) -> Handled {
    if params.get("cursor").is_some_and(|raw| raw != "null") {
        // We hand out no cursor, so none is valid.
        let error = RpcError::invalid_params("there is no such cursor");
        return Handled::Reply(write::error(Some(id), &error));
    }
    if let Some(servers) = &behind.servers {
        let (id, work) = (id.raw().into(), Work::List(servers.mount()));
        return Handled::Call(Box::new(Call { id, era, caller, work, prompt: None }));
    }
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
    caller: Caller,
    id: Id<'_>,
    era: Era,
    params: &Params<'_>,
    prompt: Option<Arc<RetryPrompt>>,
) -> Handled {
    let refuse = |error| Handled::Reply(write::error(Some(id), &error));
    let Some(name) = params.string("name") else {
        return refuse(RpcError::invalid_params("`name` is a string"));
    };
    let call = |caller, work| {
        Handled::Call(Box::new(Call { id: id.raw().into(), era, caller, work, prompt }))
    };
    if let Some(servers) = behind.servers.as_ref().filter(|_| !tools::is_ours(&name)) {
        let arguments = params.get("arguments").map(Into::into);
        let (mount, name) = (servers.mount(), name.into());
        return call(caller, Work::Mounted { mount, name, arguments });
    }
    match tools::start(&name, params.get("arguments"), &*behind.calls, &caller) {
        Err(error) => refuse(error),
        Ok(Started::Done(output)) => Handled::Reply(tool_result(id, era, output)),
        Ok(Started::Waiting(invocation)) => call(caller, Work::Ours(invocation)),
    }
}

fn tool_result(id: Id<'_>, era: Era, output: Output) -> Vec<u8> {
    write::result(id, output.size() + 256, |out| {
        if era == Era::Modern {
            out.extend_from_slice(b"\"resultType\":\"complete\",");
        }
        output.write(out);
        if era == Era::Modern {
            meta(out);
        }
    })
}

/// The call has to come again, with the user's answer (2026-07-28, "Multi Round-Trip Requests").
fn input_required(id: Id<'_>, unanswered: &Unanswered) -> Vec<u8> {
    write::result(id, unanswered.params.len() + 512, |out| {
        out.extend_from_slice(b"\"resultType\":\"input_required\",\"inputRequests\":");
        let mut requests = Object::open(out);
        let mut question = Object::open(requests.name(QUESTION));
        question.string("method", "elicitation/create");
        question.name("params").extend_from_slice(&unanswered.params);
        question.close();
        requests.close();
        out.extend_from_slice(b",\"requestState\":");
        write::string(out, &unanswered.state);
        meta(out);
    })
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
