//! Answers: the envelope, and the headers that every one of them has.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::request::REQUEST_ID;

/// The body of any answer.
pub(crate) type Reply = BoxBody<Bytes, Infallible>;

/// What there is to answer.
pub(crate) enum Outcome {
    /// An envelope.
    Json(Zeroizing<Vec<u8>>),
    /// A page for machines that ask without a key.
    Page { status: u16, kind: &'static str, text: String },
    /// What a mount answered.
    Mounted(Box<Response<Reply>>),
}

/// `data` in its envelope.
pub(crate) fn envelope(data: &[u8], says_status: bool) -> Zeroizing<Vec<u8>> {
    let head: &[u8] = if says_status {
        br#"{"ok":true,"status":"success","data":"#
    } else {
        br#"{"ok":true,"data":"#
    };
    let mut body = Zeroizing::new(Vec::with_capacity(head.len() + data.len() + 1));
    body.extend_from_slice(head);
    body.extend_from_slice(data);
    body.push(b'}');
    body
}

/// The answer, with the id of its request.
pub(crate) fn response(
    outcome: Result<Outcome, Problem>,
    id: &str,
    allow: &[&str],
) -> Response<Reply> {
    let mut response = match outcome {
        Ok(Outcome::Json(body)) => full(200, "application/json", Bytes::from_owner(body)),
        Ok(Outcome::Page { status, kind, text }) => full(status, kind, text.into()),
        Ok(Outcome::Mounted(response)) => *response,
        Err(problem) => {
            let mut response = full(problem.status, "application/json", problem.body().into());
            let headers = response.headers_mut();
            if problem.status == 401 {
                let realm = HeaderValue::from_static("Bearer realm=\"strongroom\"");
                headers.insert(WWW_AUTHENTICATE, realm);
            }
            if let Some(seconds) = problem.retry_after_s {
                headers.insert(RETRY_AFTER, seconds.into());
            }
            if problem.status == 405
                && let Ok(methods) = HeaderValue::from_str(&allow.join(", "))
            {
                headers.insert(ALLOW, methods);
            }
            response
        }
    };
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn full(status: u16, kind: &'static str, body: Bytes) -> Response<Reply> {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
