//! What is sent back: a status, headers, and a message or events.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::mpsc;

use super::super::guard::Refused;
use super::super::sent::Sent;
use super::headers::SESSION_ID;
use crate::wire::{Id, RpcError, write};

const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A message to send back, the status that goes with it, and the session that it opens.
pub(in super::super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Content,
    pub(super) session: Option<String>,
}

pub(super) enum Content {
    Message(Vec<u8>),
    Events(mpsc::Receiver<Bytes>),
}

impl Reply {
    /// Nothing to say.
    pub(super) fn accepted() -> Self {
        Self { status: 202, body: Content::Message(Vec::new()), session: None }
    }

    pub(super) fn ok(body: Vec<u8>) -> Self {
        Self { status: 200, body: Content::Message(body), session: None }
    }

    pub(super) fn error(status: u16, id: Option<Id<'_>>, error: &RpcError) -> Self {
        Self { status, body: Content::Message(write::error(id, error)), session: None }
    }

    pub(in super::super) fn into_response(self) -> Response<Sent> {
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
    pub(in super::super) fn into_response(self) -> Response<Sent> {
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
