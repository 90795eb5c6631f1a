//! What is sent back: a message, or events as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::desk::Waiter;
use crate::prompt::Outbox;
use crate::protocol::Said;

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

/// Sends `first`, what else there is to say, and the answer that `run` comes to, as events. Where nobody
/// reads any more, the call ends with its `place`.
pub(super) fn events(
    first: Vec<u8>,
    mut messages: mpsc::Receiver<Vec<u8>>,
    mut run: Pin<Box<dyn Future<Output = Said> + Send>>,
    place: Waiter,
) -> mpsc::Receiver<Bytes> {
    let (send, events) = mpsc::channel(8);
    let work = async move {
        let mut next = Some(first);
        loop {
            if let Some(message) = next.take()
                && send.send(event(&message)).await.is_err()
            {
                return;
            }
            tokio::select! {
                biased;
                Some(message) = messages.recv() => next = Some(message),
                answer = &mut run => {
                    if place.leave() {
                        drop(send.send(event(&answer.message)).await);
                    }
                    return;
                }
                () = send.closed() => return,
            }
        }
    };
    tokio::spawn(work.in_current_span());
    events
}

/// One event; a message stands on one line.
fn event(message: &[u8]) -> Bytes {
    [b"event: message\ndata: ", message, b"\n\n"].concat().into()
}
