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
        let asks = !is_error && ready.agreed.era == Era::Modern;
        if is_error && served::code(text) == Some(URL_FIRST) && !may_be_sent_away(server, origin) {
            return Err(served::strange("the server wants an address to be opened first"));
        }
        if asks && is_task(sent.method, text) {
            return retold(server, origin, &ready.redactor, text);
        }
        let Some(required) = asks.then(|| Required::read(text)).flatten() else {
            return Ok(clean(&ready.redactor, answer.into_text(), is_error));
        };
        if origin.era == Era::Modern {
            return retold(server, origin, &ready.redactor, text);
        }
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

/// A result that is none yet.
struct Required {
    wanted: Vec<Wanted>,
    state: Option<Box<str>>,
}

/// What such a result has in it.
const REQUIRED: &str = "input_required";

impl Required {
    fn read(text: &str) -> Option<Self> {
        // Nearly every result ends here.
        memmem::find(text.as_bytes(), REQUIRED.as_bytes())?;
        let result = Members::read(text)?;
        if json::string(result.get("resultType")?)? != REQUIRED {
            return None;
        }
        let requests = result.get("inputRequests").unwrap_or("{}");
        let state = result.get("requestState").and_then(json::string).map(Into::into);
        // What cannot be read is no question, and the server is not asked again about nothing.
        let wanted = Wanted::all(requests).unwrap_or_default();
        (state.is_some() || !wanted.is_empty()).then_some(Self { wanted, state })
    }
}

/// Whether a result is of a task, which has an id of its server's.
fn is_task(method: &str, text: &str) -> bool {
    memmem::find(text.as_bytes(), b"\"taskId\"").is_some()
        && (method.starts_with("tasks/")
            || Members::read(text).is_some_and(|all| all.get("resultType") == Some("\"task\"")))
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
}
