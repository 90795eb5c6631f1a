//! What is done with a request that was let in: sessions, both eras, and the answer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use strongroom_model::ports::Calls;
use strongroom_model::principal::Principal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::Options;
use super::guard::{self, Refused, single};
use super::sent::{self, Messages, Running, Sent, WAITING};
use crate::behind::Behind;
use crate::mount::mirrored::plain;
use crate::prompt::Outbox;
use crate::protocol::listen::Ears;
use crate::protocol::{self, Call, Handled, Hello, MODERN, NEWEST_LEGACY, Params, VERSIONS, Visit};
use crate::session::tape::{Reader, Tape};
use crate::session::{Session, Sessions};
use crate::wire::{self, Id, Limits, Message, Notification, RpcError, write};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Answers MCP messages of callers whom somebody else has let in, and keeps their sessions.
pub struct Desk {
    sessions: Sessions,
    limits: Limits,
    /// Whether a client of the `initialize` era may call without having said hello.
    without_hello: bool,
}

/// Who asks, and what answers.
#[derive(Clone)]
pub struct Visitor {
    /// What answers it.
    pub behind: Behind,
    /// Who it is. Sessions are found by this name: it is one of nobody else's, in no tenant.
    pub principal: Principal,
}

/// A message to send back, the status that goes with it, and the session that it opens.
pub(super) struct Reply {
    status: u16,
    body: Content,
    session: Option<String>,
}

enum Content {
    Message(Vec<u8>),
    Events(mpsc::Receiver<Bytes>),
}

type Answered = Result<Reply, Refused>;

/// An answer that comes sooner is no stream.
const SOON: Duration = Duration::from_millis(500);

/// How long a call goes on whose client is gone and may come back.
const VANISHED: Duration = Duration::from_millis(1_500);

/// How long what belongs to no request is kept for a client that is gone.
const STANDING: Duration = Duration::from_mins(1);

impl Desk {
    /// A desk without sessions.
    pub fn new(options: &Options) -> Self {
        let sessions = Sessions::new(options.session_idle, options.sessions);
        Self { sessions, limits: options.limits, without_hello: options.without_hello }
    }

    /// The limits of a message.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Answers one request: a POST with this `body`, or the DELETE that ends a session.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future tells the call that nobody waits; the call itself runs to its end in a
    /// task of its own, so that the audit is told.
    pub async fn answer(
        &self,
        visitor: Visitor,
        method: &Method,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Response<Sent> {
        let (alive, _) = mpsc::channel(1);
        let answered = match guard::method(method) {
            Ok(()) if *method == Method::DELETE => self.close_session(headers, &visitor.principal),
            Ok(()) if *method == Method::GET => self.listen(&visitor, headers),
            Ok(()) => Ok(self.attend(&visitor, headers, body, alive).await),
            Err(refused) => Err(refused),
        };
        answered.map_or_else(Refused::into_response, Reply::into_response)
    }

    /// Answers the message `bytes`. `alive` is held by every call that is not over.
    pub(super) async fn attend(
        &self,
        visitor: &Visitor,
        headers: &HeaderMap,
        bytes: Vec<u8>,
        alive: mpsc::Sender<()>,
    ) -> Reply {
        let message = match wire::parse(&bytes, self.limits) {
            Ok(message) => message,
            Err(rejected) => return Reply::error(400, rejected.id, &rejected.error),
        };
        match message {
            Message::Request(request) => {
                let work = match self.handle(&request, headers, visitor) {
                    Ok(work) => work,
                    Err(refused) => {
                        return Reply::error(refused.status, Some(request.id), &refused.error);
                    }
                };
                drop(bytes);
                finish(work, &visitor.behind.calls, alive).await
            }
            Message::Notification(notification) => {
                self.notified(&notification, headers, &visitor.principal);
                Reply::accepted()
            }
            Message::Response(response) => {
                let session = self.session(headers, &visitor.principal).ok().flatten();
                if session.is_some_and(|session| session.questions.answered(&response)) {
                    return Reply::accepted();
                }
                let error = RpcError::invalid_request("nothing was asked");
                Reply::error(400, None, &error)
            }
        }
    }

    pub(super) fn close_session(&self, headers: &HeaderMap, principal: &Principal) -> Answered {
        let id = match (single(headers, &SESSION_ID), single(headers, &PROTOCOL_VERSION)) {
            (Ok(Some(id)), Ok(version)) if version != Some(MODERN) => id,
            _ => return Err(guard::NOT_ALLOWED),
        };
        if self.sessions.close(id, &principal.name) {
            Ok(Reply { status: 204, ..Reply::accepted() })
        } else {
            Err(Refused { status: 404, code: "not_found", message: "there is no such session" })
        }
    }

    /// The stream of a session that belongs to no request; or, where the client says which event it had
    /// last, what it has missed of any.
    pub(super) fn listen(&self, visitor: &Visitor, headers: &HeaderMap) -> Answered {
        let refused = |status, message| Err(Refused { status, code: "invalid_request", message });
        let (id, version) = match (single(headers, &SESSION_ID), single(headers, &PROTOCOL_VERSION))
        {
            (Ok(Some(id)), Ok(version)) if version != Some(MODERN) => (id, version),
            // The modern era has no such stream, and without a session there is nothing to hear.
            _ => return Err(guard::NOT_ALLOWED),
        };
        let Some(session) = self.sessions.find(id, &visitor.principal.name) else {
            return Err(Refused {
                status: 404,
                code: "not_found",
                message: "there is no such session",
            });
        };
        if version.is_some_and(|version| version != session.version) {
            return refused(400, "the session speaks another protocol version");
        }
        if !takes_events(headers) {
            return refused(406, "accept text/event-stream");
        }
        let last = single(headers, &LAST_EVENT_ID).ok().flatten();
        let reader = match last.and_then(|id| session.tapes.find(id)) {
            Some((tape, at)) => tape.read(Some(at)),
            None => standing(&visitor.behind, &session),
        };
        let body = Content::Events(sent::played(reader));
        Ok(Reply { status: 200, body, session: None })
    }

    fn handle(
        &self,
        request: &wire::Request<'_>,
        headers: &HeaderMap,
        visitor: &Visitor,
    ) -> Result<Work, Wrong> {
        let params = Params::read(request.params)?;
        let header = single(headers, &PROTOCOL_VERSION)
            .map_err(|()| RpcError::header_mismatch("MCP-Protocol-Version stands twice"))?;
        if let Some(version) = params.version()? {
            mirrored(headers, header, request, &params, &version)?;
            let (out, messages) = stream(headers);
            let visit = Visit {
                behind: &visitor.behind,
                principal: &visitor.principal,
                session: None,
                out,
                headers: Some(custom(headers)?),
            };
            return match protocol::modern(visit, request, &params) {
                Handled::Reply(body) => Ok(Work::Done(Reply::ok(body))),
                Handled::Refused(error) => Err(error.into()),
                Handled::Call(call) => {
                    let (gone, cancelled) = oneshot::channel();
                    let (place, tape) = (Waiter::Alone(gone), None);
                    Ok(Work::Call { call, cancelled, place, messages, tape })
                }
            };
        }
        if let Some(named) = header
            && !VERSIONS.contains(&named)
        {
            return Err(RpcError::unsupported_version(&VERSIONS, named).into());
        }
        if header == Some(MODERN) && request.method != "initialize"
            || request.method == "server/discover"
        {
            return Err(protocol::missing_meta().into());
        }
        self.legacy(request, &params, header, headers, visitor)
    }

    fn legacy(
        &self,
        request: &wire::Request<'_>,
        params: &Params<'_>,
        version: Option<&str>,
        headers: &HeaderMap,
        visitor: &Visitor,
    ) -> Result<Work, Wrong> {
        let Some(session) = self.session(headers, &visitor.principal)? else {
            if self.without_hello && matches!(&*request.method, "tools/call" | "tools/list") {
                return once(request, params, visitor);
            }
            if request.method != "initialize" {
                let error = RpcError::invalid_request("the session is not initialized");
                return Err(error.into());
            }
            let hello = Hello::read(params).map_err(Wrong::in_band)?;
            let body = hello.answer(request.id, &visitor.behind, &visitor.principal);
            let session = self.sessions.open(Session::new(hello, visitor.principal.clone()));
            let session =
                session.ok_or_else(|| Wrong { status: 500, error: RpcError::internal() })?;
            return Ok(Work::Done(Reply { session: Some(session), ..Reply::ok(body) }));
        };
        if version.is_some_and(|version| version != session.version) {
            let error = RpcError::invalid_request("the session speaks another protocol version");
            return Err(error.into());
        }
        let (out, messages) = stream(headers);
        let origin = session.origin(out, params).map_err(Wrong::in_band)?;
        match protocol::legacy(&visitor.behind, &session, origin, request, params) {
            Handled::Reply(body) => Ok(Work::Done(Reply::ok(body))),
            Handled::Refused(error) => Err(Wrong::in_band(error)),
            Handled::Call(call) => match session.calls.enter(request.id) {
                Some((place, cancelled)) => {
                    let place = Waiter::Among(place);
                    let tape = resumes(&session).then_some(session);
                    Ok(Work::Call { call, cancelled, place, messages, tape })
                }
                None => Err(Wrong::in_band(RpcError::invalid_request("the id is in use"))),
            },
        }
    }

    /// The session that the headers name; `None` where they name none.
    fn session(
        &self,
        headers: &HeaderMap,
        principal: &Principal,
    ) -> Result<Option<Arc<Session>>, Wrong> {
        let unknown =
            || Wrong { status: 404, error: RpcError::invalid_request("there is no such session") };
        match single(headers, &SESSION_ID) {
            Ok(None) => Ok(None),
            Ok(Some(id)) => self.sessions.find(id, &principal.name).map(Some).ok_or_else(unknown),
            Err(()) => Err(unknown()),
        }
    }

    fn notified(
        &self,
        notification: &Notification<'_>,
        headers: &HeaderMap,
        principal: &Principal,
    ) {
        if let Some(raw) = protocol::cancelled(notification)
            && let Some(id) = Id::read(raw)
            && let Ok(Some(session)) = self.session(headers, principal)
        {
            session.calls.cancel(id);
        }
    }
}

/// A request of the `initialize` era that belongs to no session, by a client that says no hello.
fn once(
    request: &wire::Request<'_>,
    params: &Params<'_>,
    visitor: &Visitor,
) -> Result<Work, Wrong> {
    let session = Arc::new(Session::new(Hello::unsaid(), visitor.principal.clone()));
    let origin = session.origin(None, params).map_err(Wrong::in_band)?;
    match protocol::legacy(&visitor.behind, &session, origin, request, params) {
        Handled::Reply(body) => Ok(Work::Done(Reply::ok(body))),
        Handled::Refused(error) => Err(Wrong::in_band(error)),
        Handled::Call(call) => {
            let (gone, cancelled) = oneshot::channel();
            let (place, messages, tape) = (Waiter::Alone(gone), None, None);
            Ok(Work::Call { call, cancelled, place, messages, tape })
        }
    }
}

/// Where what is said before the answer goes, and comes from; nowhere, where the client reads no events.
fn stream(headers: &HeaderMap) -> (Option<Arc<dyn Outbox>>, Option<mpsc::Receiver<Vec<u8>>>) {
    if !takes_events(headers) {
        return (None, None);
    }
    let (out, messages) = mpsc::channel(WAITING);
    (Some(Arc::new(Messages(out))), Some(messages))
}

/// `Mcp-Param-*`, each of which stands once.
fn custom(headers: &HeaderMap) -> Result<Vec<(Box<str>, Box<str>)>, RpcError> {
    let mut found = Vec::new();
    for name in headers.keys() {
        let Some(param) = name.as_str().strip_prefix("mcp-param-") else { continue };
        let value = single(headers, name).ok().flatten();
        let value = value.ok_or_else(|| {
            RpcError::header_mismatch("an Mcp-Param header stands twice, or is none")
        })?;
        found.push((param.into(), value.into()));
    }
    Ok(found)
}

/// Whether events of a session are kept: older clients do not take an event that says nothing.
fn resumes(session: &Session) -> bool {
    session.version == NEWEST_LEGACY
}

/// The stream of a session that belongs to no request.
fn standing(behind: &Behind, session: &Arc<Session>) -> Reader {
    let (tape, new) = session.tapes.standing();
    let reader = tape.read(None);
    if new {
        if resumes(session) {
            tape.begin();
        }
        let ears = Ears::new(behind, session.caller.clone());
        tokio::spawn(tell_of_changes(ears, Arc::downgrade(session), tape));
    }
    reader
}

/// Tells a session of changes until nobody has listened for a while, or it is over.
async fn tell_of_changes(ears: Option<Ears>, session: Weak<Session>, tape: Arc<Tape>) {
    let telling = async {
        let Some(mut ears) = ears else { return std::future::pending().await };
        loop {
            let news = ears.next().await;
            let Some(session) = session.upgrade() else { return };
            for news in news {
                if session.wants(&news) {
                    tape.message(&news.message(None));
                }
            }
        }
    };
    tokio::select! {
        () = telling => {}
        () = tape.deserted(STANDING) => {}
    }
    tape.end();
}

/// Runs what is left to do.
async fn finish(work: Work, calls: &Arc<dyn Calls>, alive: mpsc::Sender<()>) -> Reply {
    let (call, cancelled, place, messages, tape) = match work {
        Work::Done(reply) => return reply,
        Work::Call { call, cancelled, place, messages, tape } => {
            (call, cancelled, place, messages, tape)
        }
    };
    let mut run = Box::pin(call.run(Arc::clone(calls), cancelled, alive));
    let said = match messages {
        None => run.await,
        Some(mut messages) => {
            let first = tokio::select! {
                biased;
                Some(first) = messages.recv() => Err(Some(first)),
                said = &mut run => Ok(said),
                () = sleep(SOON) => Err(None),
            };
            match first {
                Ok(said) => said,
                Err(first) => {
                    let running = Running { messages, run, place };
                    let events = match tape {
                        Some(session) => sent::taped(first, running, session.tapes.add(), VANISHED),
                        None => sent::events(first, running),
                    };
                    let body = Content::Events(events);
                    return Reply { status: 200, body, session: None };
                }
            }
        }
    };
    if place.leave() {
        Reply { status: said.status, ..Reply::ok(said.message) }
    } else {
        // The client took the call back and wants no answer, but HTTP must have one.
        Reply::accepted()
    }
}

/// What is left to do for a request.
enum Work {
    Done(Reply),
    Call {
        call: Box<Call>,
        cancelled: oneshot::Receiver<()>,
        place: Waiter,
        /// What is said before the answer.
        messages: Option<mpsc::Receiver<Vec<u8>>>,
        /// Whose events are kept.
        tape: Option<Arc<Session>>,
    },
}

/// Who waits for a call. Dropped before the call is over, it ends the call.
pub(super) enum Waiter {
    /// This request alone.
    Alone(#[expect(dead_code, reason = "dropping it is the signal")] oneshot::Sender<()>),
    /// This request, among those of a session that can take it back.
    Among(crate::session::Place),
}

impl Waiter {
    /// Whether the answer is still wanted.
    pub(super) fn leave(self) -> bool {
        match self {
            Self::Alone(_) => true,
            Self::Among(place) => place.leave(),
        }
    }
}

/// Whether the client reads events, as every client of this transport should.
fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// An error that was found before a method's own code ran.
struct Wrong {
    status: u16,
    error: RpcError,
}

impl Wrong {
    /// An error that a client of the `initialize` era finds in the answer and not in the status.
    fn in_band(error: RpcError) -> Self {
        Self { status: 200, error }
    }
}

impl From<RpcError> for Wrong {
    fn from(error: RpcError) -> Self {
        Self { status: error.modern_status(), error }
    }
}

/// Checks that the headers of a modern request say what its body says (streamable-http, "Server
/// Validation"): what stands before us may have decided by them.
fn mirrored(
    headers: &HeaderMap,
    version: Option<&str>,
    request: &wire::Request<'_>,
    params: &Params<'_>,
    claimed: &str,
) -> Result<(), RpcError> {
    let mismatch = |why| Err(RpcError::header_mismatch(why));
    if version != Some(claimed) {
        return mismatch("MCP-Protocol-Version is not what the body says");
    }
    params.modern(claimed)?;
    if single(headers, &MCP_METHOD) != Ok(Some(&*request.method)) {
        return mismatch("Mcp-Method is not what the body says");
    }
    let source = match &*request.method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(()),
    };
    let header = single(headers, &MCP_NAME).ok().flatten().and_then(plain);
    match params.string(source) {
        Some(name) if header.as_deref() != Some(name.as_bytes()) => {
            mismatch("Mcp-Name is not what the body says")
        }
        _ => Ok(()),
    }
}

impl Reply {
    /// Nothing to say.
    fn accepted() -> Self {
        Self { status: 202, body: Content::Message(Vec::new()), session: None }
    }

    fn ok(body: Vec<u8>) -> Self {
        Self { status: 200, body: Content::Message(body), session: None }
    }

    fn error(status: u16, id: Option<Id<'_>>, error: &RpcError) -> Self {
        Self { status, body: Content::Message(write::error(id, error)), session: None }
    }

    pub(super) fn into_response(self) -> Response<Sent> {
        let mut response = match self.body {
            Content::Message(body) => json(self.status, body),
            Content::Events(events) => response(self.status, Sent::Events(events), EVENTS),
        };
        if let Some(id) = self.session
            && let Ok(id) = HeaderValue::try_from(id)
        {
            response.headers_mut().insert(SESSION_ID, id);
        }
        response
    }
}

impl Refused {
    pub(super) fn into_response(self) -> Response<Sent> {
        let mut body = Vec::with_capacity(128);
        body.extend_from_slice(b"{\"error\":");
        let mut error = write::Object::open(&mut body);
        error.string("code", self.code).string("message", self.message);
        error.close();
        body.push(b'}');
        let mut response = json(self.status, body);
        let headers = response.headers_mut();
        match self.status {
            401 => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            405 => drop(headers.insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"))),
            _ => {}
        }
        response
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

fn json(status: u16, body: Vec<u8>) -> Response<Sent> {
    let empty = body.is_empty();
    let mut response = response(status, Sent::Whole(Some(Bytes::from(body))), JSON);
    if empty {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

fn response(status: u16, body: Sent, kind: HeaderValue) -> Response<Sent> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind_is_events = kind == EVENTS;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if kind_is_events {
        // What stands between must not collect them (streamable-http, "Receiving Messages").
        headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    }
    response
}
