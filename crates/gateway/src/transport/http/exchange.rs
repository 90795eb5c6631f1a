//! One request and its response.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use strongroom_model::audit::{Draft, Kind};
use strongroom_model::code::Code;
use strongroom_model::ports::{Authenticator, Calls};
use strongroom_model::principal::Principal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::guard::{self, Guard, Refused, single};
use super::refusals::Refusals;
use super::sent::{self, Messages, Sent};
use crate::protocol::{self, Call, Handled, Hello, MODERN, Params, VERSIONS};
use crate::session::{Session, Sessions};
use crate::wire::{self, Id, Limits, Message, Notification, RpcError, write};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// What every request needs.
pub(super) struct Exchange {
    pub(super) calls: Arc<dyn Calls>,
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) guard: Guard,
    pub(super) refusals: Refusals,
    pub(super) sessions: Sessions,
    pub(super) limits: Limits,
    pub(super) body_timeout: Duration,
}

/// A message to send back, the status that goes with it, and the session that it opens.
struct Reply {
    status: u16,
    body: Content,
    session: Option<String>,
}

enum Content {
    Message(Vec<u8>),
    Events(mpsc::Receiver<Bytes>),
}

type Answered = Result<Reply, Refused>;

impl Exchange {
    /// Answers one request. `alive` is held by every call that is not over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future tells the call that nobody waits; the call itself runs to its end in a
    /// task of its own, so that the audit is told.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        alive: mpsc::Sender<()>,
    ) -> Response<Sent> {
        let (parts, body) = request.into_parts();
        match self.admitted(&parts, body, alive).await {
            Ok(reply) => reply.into_response(),
            Err(refused) => refused.into_response(),
        }
    }

    async fn admitted(&self, parts: &Parts, body: Incoming, alive: mpsc::Sender<()>) -> Answered {
        guard::head(parts, super::HEAD)?;
        self.guard.origin(parts)?;
        let principal = self.authenticate(&parts.headers)?;
        if *guard::route(parts)? == Method::DELETE {
            return self.close_session(&parts.headers, &principal);
        }
        guard::body(&parts.headers, self.limits.message_bytes)?;
        let bytes = self.read(body).await?;
        let message = match wire::parse(&bytes, self.limits) {
            Ok(message) => message,
            Err(rejected) => return Ok(Reply::error(400, rejected.id, &rejected.error)),
        };
        match message {
            Message::Request(request) => {
                let work = match self.handle(&request, &parts.headers, &principal) {
                    Ok(work) => work,
                    Err(refused) => {
                        return Ok(Reply::error(refused.status, Some(request.id), &refused.error));
                    }
                };
                drop(bytes);
                Ok(self.finish(work, alive).await)
            }
            Message::Notification(notification) => {
                self.notified(&notification, &parts.headers, &principal);
                Ok(Reply { status: 202, body: Content::Message(Vec::new()), session: None })
            }
            Message::Response(response) => {
                let session = self.session(&parts.headers, &principal).ok().flatten();
                if session.is_some_and(|session| session.questions.answered(&response)) {
                    return Ok(Reply {
                        status: 202,
                        body: Content::Message(Vec::new()),
                        session: None,
                    });
                }
                let error = RpcError::invalid_request("nothing was asked");
                Ok(Reply::error(400, None, &error))
            }
        }
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Refused> {
        let principal = guard::token(headers).and_then(|token| {
            self.authenticator.authenticate(&token).ok_or(guard::UNAUTHENTICATED)
        });
        principal.inspect_err(|refused| {
            let Some(unrecorded) = self.refusals.count() else { return };
            let code =
                if refused.status == 401 { Code::Unauthenticated } else { Code::InvalidRequest };
            self.authenticator.refused(Draft {
                kind: Kind::Refusal,
                decision: Some("deny"),
                code: Some(code),
                act: Some("authenticate".to_owned()),
                subject: (unrecorded > 0).then(|| format!("{unrecorded} more before it")),
                ..Draft::default()
            });
        })
    }

    async fn read(&self, mut body: Incoming) -> Result<Vec<u8>, Refused> {
        let cap = self.limits.message_bytes;
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(cap);
        let mut bytes = Vec::with_capacity(expected.min(1 << 20));
        let read = async {
            while let Some(frame) = body.frame().await {
                let cut = Refused {
                    status: 400,
                    code: "invalid_request",
                    message: "the body ended early",
                };
                let Ok(data) = frame.map_err(|_| cut)?.into_data() else { continue };
                if bytes.len() + data.len() > cap {
                    return Err(guard::TOO_LARGE);
                }
                bytes.extend_from_slice(&data);
            }
            Ok(())
        };
        let slow =
            Refused { status: 408, code: "invalid_request", message: "the body took too long" };
        timeout(self.body_timeout, read).await.unwrap_or(Err(slow))?;
        Ok(bytes)
    }

    fn close_session(&self, headers: &HeaderMap, principal: &Principal) -> Answered {
        let id = match (single(headers, &SESSION_ID), single(headers, &PROTOCOL_VERSION)) {
            (Ok(Some(id)), Ok(version)) if version != Some(MODERN) => id,
            _ => return Err(guard::NOT_ALLOWED),
        };
        if self.sessions.close(id, &principal.name) {
            Ok(Reply { status: 204, body: Content::Message(Vec::new()), session: None })
        } else {
            Err(Refused { status: 404, code: "not_found", message: "there is no such session" })
        }
    }

    fn handle(
        &self,
        request: &wire::Request<'_>,
        headers: &HeaderMap,
        principal: &Principal,
    ) -> Result<Work, Wrong> {
        let params = Params::read(request.params)?;
        let header = single(headers, &PROTOCOL_VERSION)
            .map_err(|()| RpcError::header_mismatch("MCP-Protocol-Version stands twice"))?;
        if let Some(version) = params.version()? {
            mirrored(headers, header, request, &params, &version)?;
            return match protocol::modern(&*self.calls, principal, None, request, &params) {
                Handled::Reply(body) => Ok(Work::Done(Reply::ok(body))),
                Handled::Refused(error) => Err(error.into()),
                Handled::Call(call) => {
                    let (gone, cancelled) = oneshot::channel();
                    Ok(Work::Call { call, cancelled, place: Waiter::Alone(gone), messages: None })
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
        self.legacy(request, &params, header, headers, principal)
    }

    fn legacy(
        &self,
        request: &wire::Request<'_>,
        params: &Params<'_>,
        version: Option<&str>,
        headers: &HeaderMap,
        principal: &Principal,
    ) -> Result<Work, Wrong> {
        let Some(session) = self.session(headers, principal)? else {
            if request.method != "initialize" {
                let error = RpcError::invalid_request("the session is not initialized");
                return Err(error.into());
            }
            let hello = Hello::read(params).map_err(Wrong::in_band)?;
            let body = hello.answer(request.id);
            let session = self.sessions.open(Session::new(hello, principal.clone()));
            let session =
                session.ok_or_else(|| Wrong { status: 500, error: RpcError::internal() })?;
            return Ok(Work::Done(Reply { session: Some(session), ..Reply::ok(body) }));
        };
        if version.is_some_and(|version| version != session.version) {
            let error = RpcError::invalid_request("the session speaks another protocol version");
            return Err(error.into());
        }
        let (out, messages) = mpsc::unbounded_channel();
        let streams = session.prompts && takes_events(headers);
        let asking = streams.then(|| session.asking_on(Messages(out)));
        let caller = asking.as_ref().unwrap_or(&session.caller);
        match protocol::legacy(&*self.calls, caller, request, params) {
            Handled::Reply(body) => Ok(Work::Done(Reply::ok(body))),
            Handled::Refused(error) => Err(Wrong::in_band(error)),
            Handled::Call(call) => match session.calls.enter(request.id) {
                Some((place, cancelled)) => {
                    let messages = streams.then_some(messages);
                    Ok(Work::Call { call, cancelled, place: Waiter::Among(place), messages })
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

    async fn finish(&self, work: Work, alive: mpsc::Sender<()>) -> Reply {
        let (call, cancelled, place, messages) = match work {
            Work::Done(reply) => return reply,
            Work::Call { call, cancelled, place, messages } => (call, cancelled, place, messages),
        };
        let mut run = Box::pin(call.run(Arc::clone(&self.calls), cancelled, alive));
        let body = match messages {
            None => run.await,
            Some(mut messages) => tokio::select! {
                biased;
                Some(first) = messages.recv() => {
                    let body = Content::Events(sent::events(first, messages, run, place));
                    return Reply { status: 200, body, session: None };
                }
                body = &mut run => body,
            },
        };
        if place.leave() {
            Reply::ok(body)
        } else {
            // The client took the call back and wants no answer, but HTTP must have one.
            Reply { status: 202, body: Content::Message(Vec::new()), session: None }
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

/// What is left to do for a request.
enum Work {
    Done(Reply),
    Call {
        call: Box<Call>,
        cancelled: oneshot::Receiver<()>,
        place: Waiter,
        /// What is said before the answer.
        messages: Option<mpsc::UnboundedReceiver<Vec<u8>>>,
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

/// A header's value as the body has it: plain, or in the sentinel form for what a header cannot
/// hold (streamable-http, "Value Encoding").
fn plain(value: &str) -> Option<Vec<u8>> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(value.as_bytes().to_vec()),
    }
}

impl Reply {
    fn ok(body: Vec<u8>) -> Self {
        Self { status: 200, body: Content::Message(body), session: None }
    }

    fn error(status: u16, id: Option<Id<'_>>, error: &RpcError) -> Self {
        Self { status, body: Content::Message(write::error(id, error)), session: None }
    }

    fn into_response(self) -> Response<Sent> {
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
    fn into_response(self) -> Response<Sent> {
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
            405 => drop(headers.insert(ALLOW, HeaderValue::from_static("POST, DELETE"))),
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
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
