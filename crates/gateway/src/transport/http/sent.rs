//! What is sent back: a message, or events as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::Instrument as _;

use super::desk::Waiter;
use crate::prompt::Outbox;
use crate::protocol::Said;
use crate::session::tape::{Reader, Tape};

/// The body of a response.
#[derive(Debug)]
pub enum Sent {
    /// All of it.
    Whole(Option<Bytes>),
    /// Server-sent events; dropped, it ends the call.
    Events(mpsc::Receiver<Bytes>),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => {
                events.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// Messages to the client, on the stream of one call.
pub(super) struct Messages(pub(super) mpsc::Sender<Vec<u8>>);

/// Messages that wait for a client that is slow to read. What is said beyond that, it misses.
pub(super) const WAITING: usize = 256;

impl Outbox for Messages {
    fn send(&self, message: Vec<u8>) -> bool {
        self.0.try_send(message).is_ok()
    }
}

/// What runs, and what it says meanwhile.
pub(super) struct Running {
    pub(super) messages: mpsc::Receiver<Vec<u8>>,
    pub(super) run: Pin<Box<dyn Future<Output = Said> + Send>>,
    pub(super) place: Waiter,
}

/// How often something is sent where there is nothing to say, so that whoever stands between keeps the
/// connection, and a client that is gone is noticed.
const QUIET: Duration = Duration::from_secs(15);

/// An event that says nothing.
const NOTHING: Bytes = Bytes::from_static(b":\n\n");

/// Sends `first`, what else there is to say, and the answer that `run` comes to, as events. Where nobody
/// reads any more, the call ends with its `place`.
pub(super) fn events(first: Option<Vec<u8>>, running: Running) -> mpsc::Receiver<Bytes> {
    let (send, events) = mpsc::channel(8);
    let work = async move {
        let Running { mut messages, mut run, place } = running;
        let mut next = first.map(|first| event(&first));
        loop {
            if let Some(event) = next.take()
                && send.send(event).await.is_err()
            {
                return;
            }
            tokio::select! {
                biased;
                Some(message) = messages.recv() => next = Some(event(&message)),
                said = &mut run => {
                    if place.leave() && !said.message.is_empty() {
                        drop(send.send(event(&said.message)).await);
                    }
                    return;
                }
                () = send.closed() => return,
                () = sleep(QUIET) => next = Some(NOTHING),
            }
        }
    };
    tokio::spawn(work.in_current_span());
    events
}

/// The same on a tape, which another request can go on to read. The call ends when nobody has read it for
/// `patience`.
pub(super) fn taped(
    first: Option<Vec<u8>>,
    running: Running,
    tape: Arc<Tape>,
    patience: Duration,
) -> mpsc::Receiver<Bytes> {
    let events = played(tape.read(None));
    tape.begin();
    let work = async move {
        let Running { mut messages, mut run, place } = running;
        if let Some(first) = first {
            tape.message(&first);
        }
        let deserted = tape.deserted(patience);
        tokio::pin!(deserted);
        loop {
            tokio::select! {
                biased;
                Some(message) = messages.recv() => tape.message(&message),
                said = &mut run => {
                    if place.leave() && !said.message.is_empty() {
                        tape.message(&said.message);
                    }
                    break;
                }
                () = &mut deserted => break,
            }
        }
        tape.end();
    };
    tokio::spawn(work.in_current_span());
    events
}

/// What `reader` reads, as it comes.
pub(super) fn played(mut reader: Reader) -> mpsc::Receiver<Bytes> {
    let (send, events) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = reader.next() => event,
                () = send.closed() => return,
                () = sleep(QUIET) => Some(NOTHING),
            };
            let Some(event) = event else { return };
            if send.send(event).await.is_err() {
                return;
            }
        }
    });
    events
}

/// One event; a message stands on one line.
fn event(message: &[u8]) -> Bytes {
    [b"event: message\ndata: ", message, b"\n\n"].concat().into()
}
