//! What is left to do for a request, and the streams that come of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderMap;
use strongroom_model::ports::Calls;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::super::sent::{self, Messages, Running, WAITING};
use super::headers::{prefers_events, takes_events};
use super::reply::{Content, Reply};
use crate::behind::Behind;
use crate::prompt::Outbox;
use crate::protocol::listen::Ears;
use crate::protocol::{Call, NEWEST_LEGACY};
use crate::session::Session;
use crate::session::tape::{Reader, Tape};

/// An answer that comes sooner is no stream.
const SOON: Duration = Duration::from_millis(500);

/// How long a call goes on whose client is gone and may come back.
const VANISHED: Duration = Duration::from_millis(1_500);

/// How long what belongs to no request is kept for a client that is gone.
const STANDING: Duration = Duration::from_mins(1);

/// Both ends of what is said before an answer.
pub(super) struct Stream {
    pub(super) out: Option<Arc<dyn Outbox>>,
    pub(super) messages: Option<mpsc::Receiver<Vec<u8>>>,
}

/// Where what is said before the answer goes, and comes from; nowhere, where the client reads no events.
pub(super) fn stream(headers: &HeaderMap) -> Stream {
    if !takes_events(headers) {
        return Stream { out: None, messages: None };
    }
    let (out, messages) = mpsc::channel(WAITING);
    if prefers_events(headers) {
        // A message that says nothing opens the stream.
        let _ = out.try_send(Vec::new());
    }
    Stream { out: Some(Arc::new(Messages(out))), messages: Some(messages) }
}

/// Whether events of a session are kept: older clients do not take an event that says nothing.
pub(super) fn resumes(session: &Session) -> bool {
    session.version == NEWEST_LEGACY
}

/// The stream of a session that belongs to no request.
pub(super) fn standing(behind: &Behind, session: &Arc<Session>) -> Reader {
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
pub(super) async fn finish(work: Work, calls: &Arc<dyn Calls>, alive: mpsc::Sender<()>) -> Reply {
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
                Some(first) = messages.recv() => {
                    Err(Some(first).filter(|first| !first.is_empty()))
                }
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
pub(super) enum Work {
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
pub(in super::super) enum Waiter {
    /// This request alone.
    Alone(#[expect(dead_code, reason = "dropping it is the signal")] oneshot::Sender<()>),
    /// This request, among those of a session that can take it back.
    Among(crate::session::Place),
}

impl Waiter {
    /// Whether the answer is still wanted.
    pub(in super::super) fn leave(self) -> bool {
        match self {
            Self::Alone(_) => true,
            Self::Among(place) => place.leave(),
        }
    }
}
