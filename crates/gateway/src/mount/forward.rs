//! One request on its way to its server and back: progress and logs go to the client that waits, what the
//! server asks meanwhile is put to it, and the answer comes without secrets.

use std::sync::Arc;

use memchr::memmem;
use strongroom_model::call::ToolAnswer;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::json::{self, Members};
use strongroom_model::ports::{BoxFuture, Halts, ReadAct, ToolAct};
use strongroom_model::redact::Redactor;
use strongroom_model::tool::ToolCall;

use super::asks::{self, Framed, Wanted};
use super::heard::notification;
use super::served::{self, Server, modern_meta};
use crate::origin::{Abilities, Brings, Level, Origin};
use crate::protocol::{Era, tasks};
use crate::upstream::peer::{Answer, Progress};
use crate::upstream::server::Ready;
use crate::wire::write::{self, Object};

/// Rounds of questions of one call (2026-07-28, "Multi Round-Trip Requests").
const MOST_ROUNDS: usize = 16;

/// What goes to a server.
pub(super) struct Sent<'a> {
    pub(super) method: &'static str,
    /// Writes the parameters but for `_meta`.
    pub(super) params: &'a (dyn Fn(&mut Object<'_>) + Send + Sync),
}

/// Takes what is permitted to its server.
pub(super) struct Forward<'a, P> {
    pub(super) server: &'a Server,
    pub(super) origin: &'a Arc<Origin>,
    pub(super) params: P,
}

/// What is read, and how it is asked for.
pub(super) struct Read<'a> {
    pub(super) method: &'static str,
    pub(super) params: &'a (dyn Fn(&mut Object<'_>) + Send + Sync),
}

impl ToolAct for Forward<'_, ()> {
    fn act<'a>(
        self: Box<Self>,
        call: ToolCall,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let params = |params: &mut Object<'_>| {
                params.string("name", call.tool());
                write::on_one_line(params.name("arguments"), call.arguments());
            };
            let sent = Sent { method: "tools/call", params: &params };
            unless(cancel, forward(self.server, self.origin, &sent)).await
        })
    }

    fn halts(&self) -> Option<Arc<dyn Halts>> {
        Some(Arc::clone(&self.origin.stood) as Arc<dyn Halts>)
    }
}

impl ReadAct for Forward<'_, Read<'_>> {
    fn act<'a>(
        self: Box<Self>,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let sent = Sent { method: self.params.method, params: self.params.params };
            unless(cancel, forward(self.server, self.origin, &sent)).await
        })
    }

    fn halts(&self) -> Option<Arc<dyn Halts>> {
        Some(Arc::clone(&self.origin.stood) as Arc<dyn Halts>)
    }
}

async fn unless(
    cancel: BoxFuture<'_, ()>,
    answer: impl Future<Output = Result<ToolAnswer, Refusal>>,
) -> Result<ToolAnswer, Refusal> {
    tokio::select! {
        biased;
        () = cancel => {
            let text = "the caller went away before the answer";
            Err(Refusal::new(Code::UpstreamError, text))
        }
        answer = answer => answer,
    }
}

/// The error of a server of 2025-11-25 that wants addresses to be opened before it answers.
const URL_FIRST: i64 = -32042;

/// Whether a client may be sent to addresses by an error of this server.
fn may_be_sent_away(server: &Server, origin: &Origin) -> bool {
    server.allows.elicitation && origin.is_legacy() && origin.can.urls
}

/// Whether an error with this code may go to the client. Codes are integers (JSON-RPC 2.0, 5.1); of another, two
/// readers could think differently.
fn may_be_told(code: Option<i64>, server: &Server, origin: &Origin) -> Result<(), Refusal> {
    match code {
        None => Err(served::strange("the server's error has no code that is an integer")),
        Some(URL_FIRST) if !may_be_sent_away(server, origin) => {
            Err(served::strange("the server wants an address to be opened first"))
        }
        Some(_) => Ok(()),
    }
}

/// Sends it, for as many rounds as the server asks something.
///
/// # Cancel safety
///
/// Dropped, the server is told that nobody waits, and what it has asked is taken back.
async fn forward(
    server: &Server,
    origin: &Arc<Origin>,
    sent: &Sent<'_>,
) -> Result<ToolAnswer, Refusal> {
    let ready = server.ready().await?;
    let _aloft = server.heard.takes_off(origin, &ready);
    if let Some(level) = origin.level
        && server.raises(&ready, level)
    {
        raise(&ready, level).await;
    }
    let mut brings = origin.brings.clone();
    for _ in 0..MOST_ROUNDS {
        let answer = once(server, origin, &ready, sent, &brings).await?;
        let (text, is_error) = match answer.text() {
            Ok(text) => (text, false),
            Err(text) => (text, true),
        };
        if is_error {
            may_be_told(served::code(text), server, origin)?;
        }
        let modern = ready.agreed.era == Era::Modern;
        let says = if is_error || (!modern && origin.is_legacy()) {
            Says::Result
        } else {
            says(sent.method, text)?
        };
        let required = match says {
            Says::Asks(_) if !modern => {
                return Err(served::strange(
                    "the server asks in a way that was not agreed with it",
                ));
            }
            Says::Task if modern => return retold(server, origin, &ready.redactor, text),
            Says::Asks(_) if origin.era == Era::Modern => {
                return retold(server, origin, &ready.redactor, text);
            }
            Says::Asks(required) => required,
            Says::Result | Says::Task => {
                return Ok(clean(&ready.redactor, answer.into_text(), is_error));
            }
        };
        let (name, allows) = (&server.name, server.allows);
        let put = asks::put_all(name, allows, origin, &ready.redactor, &required.wanted).await;
        match put {
            Ok(responses) => brings = Brings { responses: Some(responses), state: required.state },
            Err(error) => {
                return Ok(clean(&Redactor::default(), error.into_string().into_bytes(), true));
            }
        }
    }
    Err(served::strange("the server goes on asking"))
}

/// One round.
async fn once(
    server: &Server,
    origin: &Arc<Origin>,
    ready: &Ready,
    sent: &Sent<'_>,
    brings: &Brings,
) -> Result<Answer, Refusal> {
    let modern = ready.agreed.era == Era::Modern;
    let params = |id: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        (sent.params)(&mut params);
        if modern {
            if let Some(responses) = &brings.responses {
                write::on_one_line(params.name("inputResponses"), responses);
            }
            params.optional("requestState", brings.state.as_deref());
        }
        if modern || origin.progress.is_some() || origin.has_meta() {
            let mut meta = Object::open(params.name("_meta"));
            if modern {
                let tasks = origin.can.tasks && origin.era == Era::Modern;
                let can = asks::abilities(server.allows).and(origin.can);
                modern_meta(&mut meta, Abilities { tasks, ..can });
                if let Some(level) = origin.level {
                    meta.string("io.modelcontextprotocol/logLevel", level.name());
                }
            }
            if origin.progress.is_some() {
                meta.number("progressToken", id);
            }
            origin.write_meta(&mut meta);
            meta.close();
        }
        params.close();
    };
    let answer = ready.running.peer.call(sent.method, params, progress(origin, ready)).await;
    answer.map_err(|over| served::strange(&over.0))
}

/// Sets the level of the log of a server of the `initialize` era.
async fn raise(ready: &Ready, level: Level) {
    let params = |_: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        params.string("level", level.name());
        params.close();
    };
    // A server that refuses logs what it likes, and is heard as far as the client wants.
    drop(ready.running.peer.call("logging/setLevel", params, None).await);
}

/// Passes progress on under the token of the client (MC-19).
fn progress(origin: &Arc<Origin>, ready: &Ready) -> Option<Progress> {
    origin.progress.as_ref()?;
    let line = Arc::clone(origin.line.as_ref()?);
    let (origin, redactor) = (Arc::clone(origin), Arc::clone(&ready.redactor));
    Some(Arc::new(move |params: &str| {
        let token = origin.progress.as_ref().and_then(|first| line.token(first));
        let (Some(token), Some(members)) = (token, Members::read(params)) else { return };
        let mut out = Vec::with_capacity(params.len() + 32);
        let mut object = Object::open(&mut out);
        for (name, raw) in members.iter() {
            let raw = if name == "progressToken" { &*token } else { raw };
            write::on_one_line(object.name(name), raw);
        }
        object.close();
        let params = String::from_utf8(out).unwrap_or_default();
        line.tell(notification("notifications/progress", &redactor, &params));
    }))
}

fn clean(redactor: &Redactor, text: Vec<u8>, is_error: bool) -> ToolAnswer {
    let failed = is_error || says_it_failed(&text);
    let (text, redactions) = redactor.clean_json(text);
    ToolAnswer { text, is_error, failed, redactions }
}

/// Whether a result is one that tells of a failure.
fn says_it_failed(text: &[u8]) -> bool {
    // Nearly every result ends here.
    memmem::find(text, b"\"isError\"").is_some()
        && str::from_utf8(text)
            .ok()
            .and_then(Members::read)
            .is_some_and(|result| result.get("isError") == Some("true"))
}

/// What a result is.
enum Says {
    /// What was asked for.
    Result,
    /// A task, which has an id of its server's.
    Task,
    /// It is none yet.
    Asks(Required),
}

/// What has to be answered before there is a result.
struct Required {
    wanted: Vec<Wanted>,
    state: Option<Box<str>>,
}

const REQUIRED: &str = "input_required";
const TASK: &str = "taskId";

/// What `text` is, however it is written: who reads it behind us reads `\u0074ask` as we do.
///
/// # Errors
///
/// It asks for something that cannot be read.
fn says(method: &str, text: &str) -> Result<Says, Refusal> {
    let has = |words: &str| memmem::find(text.as_bytes(), words.as_bytes()).is_some();
    // Nearly every result ends here. A letter that is not written plainly is written with such an escape.
    if ![REQUIRED, TASK, "\\u"].into_iter().any(has) {
        return Ok(Says::Result);
    }
    let Some(result) = Members::read(text) else { return Ok(Says::Result) };
    let kind = result.get("resultType").and_then(json::string);
    Ok(match kind.as_deref() {
        Some(REQUIRED) => {
            let unreadable = || served::strange("what the server asks cannot be read");
            Says::Asks(Required::read(&result).ok_or_else(unreadable)?)
        }
        kind if result.get(TASK).is_some()
            && (kind == Some("task") || method.starts_with("tasks/")) =>
        {
            Says::Task
        }
        _ => Says::Result,
    })
}

impl Required {
    /// `None`: nothing is asked, or not in a way that can be read.
    fn read(result: &Members<'_>) -> Option<Self> {
        let wanted = match result.get("inputRequests") {
            Some(requests) => Wanted::all(requests)?,
            None => Vec::new(),
        };
        let state = match result.get("requestState") {
            Some(state) => Some(json::string(state)?.into()),
            None => None,
        };
        (state.is_some() || !wanted.is_empty()).then_some(Self { wanted, state })
    }
}

/// A result for a client that brings answers itself: the questions in our frame, a task's id as the client
/// may have it, and the rest as it was.
pub(super) fn retold(
    server: &Server,
    origin: &Origin,
    redactor: &Redactor,
    text: &str,
) -> Result<ToolAnswer, Refusal> {
    let mut out = Vec::with_capacity(text.len() + 256);
    let mut result = Object::open(&mut out);
    for (name, raw) in Members::read(text).unwrap_or_default().iter() {
        match name {
            "inputRequests" => {
                let wanted = Wanted::all(raw).unwrap_or_default();
                questions(result.name(name), &wanted, server, origin, redactor)?;
            }
            "taskId" => {
                let own = json::string(raw).unwrap_or_default();
                let id = tasks::seal(&origin.caller.principal.name, &server.name, &own);
                let none = || served::strange("the server's task has no id that can be kept");
                result.string(name, &id.ok_or_else(none)?);
            }
            _ => write::on_one_line(result.name(name), raw),
        }
    }
    result.close();
    // The frame has our words in it, which are no secret.
    let (text, redactions) = redactor.clean(out);
    Ok(ToolAnswer { text, is_error: false, failed: false, redactions })
}

/// Writes what a client is asked, in our frame.
fn questions(
    out: &mut Vec<u8>,
    wanted: &[Wanted],
    server: &Server,
    origin: &Origin,
    redactor: &Redactor,
) -> Result<(), Refusal> {
    let mut all = Object::open(out);
    for wanted in wanted {
        let framed = wanted.framed(&server.name, server.allows, origin, redactor);
        match framed.map_err(served::strange)? {
            Framed::Ask(asking) => {
                let mut request = Object::open(all.name(wanted.key()));
                request.string("method", asking.method);
                request.name("params").extend_from_slice(asking.params.as_bytes());
                request.close();
            }
            Framed::Answer(_) => {
                return Err(served::strange("the server asks for what it is not to be told"));
            }
        }
    }
    all.close();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_tells_of_a_failure_by_its_own_member_and_by_nothing_within() {
        for (text, failed) in [
            (r#"{"content":[],"isError":true}"#, true),
            (r#"{ "isError" : true }"#, true),
            (r#"{"content":[],"isError":false}"#, false),
            (r#"{"content":[],"isError":"true"}"#, false),
            (r#"{"content":[{"isError":true}],"structuredContent":{"isError":true}}"#, false),
            (r#"{"content":[]}"#, false),
        ] {
            let answer = clean(&Redactor::default(), text.into(), false);
            assert_eq!((answer.failed, answer.is_error), (failed, false), "{text}");
        }
        assert!(clean(&Redactor::default(), br#"{"code":1,"message":""}"#.to_vec(), true).failed);
    }

    #[test]
    fn what_a_result_is_does_not_depend_on_how_its_letters_are_written() {
        let kind = |method: &str, text: &str| match says(method, text) {
            Ok(Says::Result) => "result",
            Ok(Says::Task) => "task",
            Ok(Says::Asks(_)) => "asks",
            Err(_) => "refused",
        };
        for (text, is) in [
            (r#"{"content":[]}"#, "result"),
            (r#"{"content":[{"text":"input_required \u0041 taskId"}]}"#, "result"),
            (r#"{"resultType":"input_required","requestState":"s"}"#, "asks"),
            (r#"{"result\u0054ype":"\u0069nput_required","requestState":"s"}"#, "asks"),
            (r#"{"resultType":"input_required"}"#, "refused"),
            (r#"{"resultType":"input_required","requestState":7}"#, "refused"),
            (r#"{"resultType":"input_required","inputRequests":[],"requestState":"s"}"#, "refused"),
            (r#"{"resultType":"task","taskId":"a"}"#, "task"),
            (r#"{"resultType":"t\u0061sk","task\u0049d":"a"}"#, "task"),
            (r#"{"resultType":"complete","taskId":"a"}"#, "result"),
        ] {
            assert_eq!(kind("tools/call", text), is, "{text}");
        }
        assert_eq!(kind("tasks/get", r#"{"resultType":"complete","taskId":"a"}"#), "task");
    }
}
