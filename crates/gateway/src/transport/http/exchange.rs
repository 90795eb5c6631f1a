//! One request and its response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use strongroom_model::audit::{Draft, Kind};
use strongroom_model::code::Code;
use strongroom_model::ports::Authenticator;
use strongroom_model::principal::Principal;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::awake::Pace;
use crate::behind::Behind;

use super::desk::{Desk, Reply, Visitor};
use super::guard::{self, Guard, Refused};
use super::refusals::Refusals;
use super::sent::Sent;

/// What every request needs.
pub(super) struct Exchange {
    pub(super) behind: Behind,
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) guard: Guard,
    pub(super) refusals: Refusals,
    pub(super) desk: Desk,
    pub(super) body_timeout: Duration,
    pub(super) turns: Turns,
}

/// Whose turn it is: the clients', where no request is being answered.
#[derive(Default)]
pub(super) struct Turns {
    answering: AtomicUsize,
    pace: Arc<Pace>,
}

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
        let _ours = self.turns.begin();
        let (parts, body) = request.into_parts();
        match self.admitted(&parts, body, alive).await {
            Ok(reply) => reply.into_response(),
            Err(refused) => refused.into_response(),
        }
    }

    async fn admitted(
        &self,
        parts: &Parts,
        body: Incoming,
        alive: mpsc::Sender<()>,
    ) -> Result<Reply, Refused> {
        guard::head(parts, super::HEAD)?;
        self.guard.origin(parts)?;
        let principal = self.authenticate(&parts.headers)?;
        let visitor = |principal| Visitor { behind: self.behind.clone(), principal };
        match *guard::route(parts)? {
            Method::DELETE => return self.desk.close_session(&parts.headers, &principal),
            Method::GET => return self.desk.listen(&visitor(principal), &parts.headers),
            _ => {}
        }
        guard::body(&parts.headers, self.desk.limits().message_bytes)?;
        let bytes = self.read(body).await?;
        Ok(self.desk.attend(&visitor(principal), &parts.headers, bytes, alive).await)
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
        let cap = self.desk.limits().message_bytes;
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
}

impl Turns {
    /// A request is being answered from now on.
    fn begin(&self) -> Ours<'_> {
        self.pace.came();
        self.answering.fetch_add(1, Ordering::AcqRel);
        Ours(self)
    }
}

/// Our turn, for as long as a request is being answered.
struct Ours<'a>(&'a Turns);

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        let Turns { answering, pace } = self.0;
        if answering.fetch_sub(1, Ordering::AcqRel) == 1 {
            let (turn, pace) = (pace.turn(), Arc::clone(pace));
            // A runtime that ends drops its requests outside of itself.
            if pace.is_quick()
                && let Ok(runtime) = Handle::try_current()
            {
                // The answer is written when we have returned.
                runtime.spawn(async move { pace.awake(turn).await });
            }
        }
    }
}
