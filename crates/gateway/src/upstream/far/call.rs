//! One request to a server at an address, and its answer: in the body, in a stream of events, or in the
//! event stream that the server has beside.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::far::Reply;
use strongroom_model::json::{self, Members};
use strongroom_model::redact::Redactor;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::sse::{Met, Reader};
use super::talk::{Call, Talk, Trouble};
use crate::upstream::peer::{Noise, Over};

/// Bytes of an answer that is an error.
const ERROR_BYTES: usize = 64 << 10;

/// How long the body of one may take.
const ERROR_TIME: Duration = Duration::from_secs(5);

/// How long a stream may go on behind its answer, for its connection to be used again.
const LINGER: Duration = Duration::from_secs(2);

/// Events of one answer at the most (RX-04).
const MOST_EVENTS: usize = 10_000;

/// How often a stream that broke off is taken up again without anything new.
const TRIES: u32 = 5;

/// How long nobody comes back where the server does not say.
const PAUSE: Duration = Duration::from_secs(1);

/// How long at the most, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What became of a request.
enum Outcome {
    /// It was answered.
    Done,
    /// The server knows nothing of our session.
    Lost,
    /// The server takes no messages at its address.
    Beside,
}

impl Talk {
    /// Makes `call`, whatever comes of it.
    pub(super) async fn run(self: Arc<Self>, call: Call) {
        let outcome = self.exchange(&call).await;
        self.state().calls.remove(&call.id);
        match outcome {
            Ok(()) => {}
            Err(Trouble::Call(over)) => self.with_peer(|peer| peer.fail(call.id, &over)),
            Err(Trouble::All(over)) => self.finish(&over),
        }
    }

    async fn exchange(self: &Arc<Self>, call: &Call) -> Result<(), Trouble> {
        if !matches!(&*call.method, "server/discover" | "initialize") {
            self.settled().await;
        }
        if self.state().beside.is_some() {
            return self.bring_beside(call).await;
        }
        let session = self.state().session.clone();
        let reply = self.bring(&call.headers, call.body.clone()).await?;
        match self.answer(call, reply, session.is_some()).await? {
            Outcome::Done => Ok(()),
            Outcome::Beside => {
                self.open_beside().await?;
                self.bring_beside(call).await
            }
            Outcome::Lost => {
                self.renew(session.as_deref()).await?;
                let reply = self.bring(&call.headers, call.body.clone()).await?;
                match self.answer(call, reply, false).await? {
                    Outcome::Done => Ok(()),
                    _ => Err(failed("the server forgets its sessions")),
                }
            }
        }
    }

    async fn answer(
        self: &Arc<Self>,
        call: &Call,
        reply: Reply,
        in_session: bool,
    ) -> Result<Outcome, Trouble> {
        match reply.status {
            200..=299 => {
                if call.method == "initialize" {
                    self.note_session(&reply);
                }
                self.accepted(call, reply).await?;
                self.state().greeted = true;
                Ok(Outcome::Done)
            }
            401 => Err(self.unknown_caller()),
            404 if in_session && !call.modern => Ok(Outcome::Lost),
            _ => self.refused(call, reply, in_session && !call.modern).await,
        }
    }

    async fn accepted(self: &Arc<Self>, call: &Call, mut reply: Reply) -> Result<(), Trouble> {
        match reply.media_type().as_str() {
            "application/json" => {
                let body = whole(&mut reply, self.limits.message_bytes).await?;
                let Some(body) = body else {
                    self.events.noise(Noise::TooLong);
                    return Err(failed("the server's answer is longer than a message may be"));
                };
                self.hear(body, Some(call), reply.redactor.as_deref());
            }
            "text/event-stream" => self.stream(call, reply).await?,
            _ => return Err(failed("the server's answer is neither JSON nor a stream of events")),
        }
        if self.awaits(call.id) {
            return Err(failed("the server's answer is not one to what it was asked"));
        }
        Ok(())
    }

    /// An answer with a status that is none of success.
    async fn refused(
        &self,
        call: &Call,
        mut reply: Reply,
        in_session: bool,
    ) -> Result<Outcome, Trouble> {
        let status = reply.status;
        let body = timeout(ERROR_TIME, whole(&mut reply, ERROR_BYTES)).await;
        let body = body.ok().and_then(Result::ok).flatten().unwrap_or_default();
        let error = rpc_error(&body, self.limits.depth);
        let forgotten = status == 400 && in_session;
        if let Some((error, code)) = error {
            // What some servers say in the place of 404.
            if forgotten && code == -32000 {
                return Ok(Outcome::Lost);
            }
            self.answer_with(call, error, reply.redactor.as_deref());
            return Ok(Outcome::Done);
        }
        match &*call.method {
            _ if forgotten => Ok(Outcome::Lost),
            // Whatever it is, it is not of the modern era.
            "server/discover" if !self.state().greeted => {
                let error = r#"{"code":-32601,"message":"the server does not know the method"}"#;
                self.answer_with(call, error, None);
                Ok(Outcome::Done)
            }
            "initialize" if matches!(status, 400 | 404 | 405 | 406 | 415) => Ok(Outcome::Beside),
            _ => Err(of_status(status)),
        }
    }

    /// Answers `call` with an error of the server's, under whatever id it came.
    fn answer_with(&self, call: &Call, error: &str, redactor: Option<&Redactor>) {
        let id = call.id;
        let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
        self.hear(message.into_bytes(), Some(call), redactor);
    }

    /// Reads a stream up to the answer, and takes it up again where it breaks off before.
    async fn stream(self: &Arc<Self>, call: &Call, mut reply: Reply) -> Result<(), Trouble> {
        let mut reader = Reader::new(self.limits.message_bytes);
        let mut tries = 0;
        loop {
            let before = reader.last_id().map(str::to_owned);
            self.read(call, &mut reply, &mut reader).await?;
            if !self.awaits(call.id) {
                return Ok(());
            }
            let last = reader.last_id().filter(|_| !call.modern).map(str::to_owned);
            tries = if last == before { tries + 1 } else { 0 };
            let Some(last) = last.filter(|_| tries < TRIES) else {
                return Err(failed("the server ended its answer before it gave one"));
            };
            let retry = reader.retry();
            sleep(retry.unwrap_or(PAUSE).min(LONGEST_PAUSE)).await;
            reply = self.events(Some(&last)).await?;
            if !is_stream(&reply) {
                return Err(failed("the server broke off its answer and does not go on with it"));
            }
            reader = reader.again();
        }
    }

    /// Reads a stream to its end, or to the answer and a little more.
    async fn read(
        &self,
        call: &Call,
        reply: &mut Reply,
        reader: &mut Reader,
    ) -> Result<(), Trouble> {
        let (mut bytes, mut events) = (0, 0);
        let mut until = None;
        loop {
            if until.is_none() && !self.awaits(call.id) {
                until = Some(Instant::now() + LINGER);
            }
            let next = reply.body.next();
            let piece = match until {
                None => next.await,
                Some(until) => match timeout_at(until, next).await {
                    Ok(piece) => piece,
                    Err(_) => return Ok(()),
                },
            };
            // What broke off has ended.
            let Ok(Some(piece)) = piece else { return Ok(()) };
            bytes += piece.len();
            let redactor = reply.redactor.as_deref();
            reader.push(&piece, |met| {
                events += 1;
                self.met(met, Some(call), redactor);
            });
            let most = self.limits.message_bytes.saturating_mul(4);
            let endless = bytes > most || events > MOST_EVENTS;
            if endless && call.method != "subscriptions/listen" {
                return Err(failed("the server's answer has no end"));
            }
        }
    }

    /// Takes in an event.
    pub(super) fn met(&self, met: Met, call: Option<&Call>, redactor: Option<&Redactor>) {
        match met {
            Met::Event(event) if matches!(&*event.name, "" | "message") => {
                self.hear(event.data, call, redactor);
            }
            // What it means we do not know.
            Met::Event(_) => {}
            Met::TooLong => self.events.noise(Noise::TooLong),
        }
    }

    pub(super) fn unknown_caller(&self) -> Trouble {
        let name = &self.site.service.name;
        Trouble::All(Over::because(&format!(
            "the server does not know who asks: run `strongroom login {name}`, or give it a key in its headers"
        )))
    }
}

/// Whether an answer is a stream of events.
pub(super) fn is_stream(reply: &Reply) -> bool {
    matches!(reply.status, 200..=299) && reply.media_type() == "text/event-stream"
}

/// What to say of a status that is none of success.
pub(super) fn of_status(status: u16) -> Trouble {
    failed(&match status {
        403 => "the server does not allow this (status 403)".to_owned(),
        _ => format!("the server answered with the status {status}"),
    })
}

pub(super) fn failed(why: &str) -> Trouble {
    Trouble::Call(Over::because(why))
}

/// The whole body; `None` where it has more than `cap` bytes.
pub(super) async fn whole(reply: &mut Reply, cap: usize) -> Result<Option<Vec<u8>>, Trouble> {
    let mut body = Vec::new();
    while let Some(piece) = reply.body.next().await.map_err(|refusal| failed(&refusal.message))? {
        if body.len() + piece.len() > cap {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// The error that `body` tells of, as it was written, and its code.
fn rpc_error(body: &[u8], depth: usize) -> Option<(&str, i64)> {
    let members = Members::read(json::check(body, depth).ok()?)?;
    let error = members.get("error").filter(|_| members.get("result").is_none())?;
    let code = Members::read(error)?.get("code")?.parse().ok()?;
    Some((error, code))
}
