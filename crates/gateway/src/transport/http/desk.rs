//! What is done with a request that was let in: sessions, both eras, and the answer.

mod headers;
mod reply;
mod work;

use std::sync::Arc;

use http::{HeaderMap, Method, Response};
use strongroom_model::principal::Principal;
use tokio::sync::{mpsc, oneshot};

use super::Options;
use super::guard::{self, Refused, single};
use super::sent::{self, Sent};
use crate::behind::Behind;
use crate::protocol::{self, Handled, Hello, MODERN, Params, VERSIONS, Visit};
use crate::session::{Session, Sessions};
use crate::wire::{self, Id, Limits, Message, Notification, RpcError};
use headers::{LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID, custom, mirrored, takes_events};
use reply::Content;
pub(super) use reply::Reply;
pub(super) use work::Waiter;
use work::{Stream, Work, finish, resumes, standing, stream};

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

type Answered = Result<Reply, Refused>;

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
            let Stream { out, messages } = stream(headers);
            let visit = Visit {
                behind: &visitor.behind,
                principal: &visitor.principal,
                session: None,
                out,
                headers: Some(custom(headers)?.0),
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
        let Stream { out, messages } = stream(headers);
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
