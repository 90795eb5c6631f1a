//! HTTP/1.1: one connection, one call at a time, driven by whoever uses it.
//!
//! Hyper's connection is a future of its own, which is usually spawned. Here the call that uses the
//! connection polls it: there is no task to wake and to wait for, dropping the call closes the
//! socket, and an idle connection costs nothing. What an idle connection missed (the upstream's
//! close) it notices when it is taken up again.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use strongroom_model::ports::BoxFuture;

use super::{HEAD, INTERIM, SendError, Wire};
use crate::inject::Mark;
use crate::payload::Payload;

/// A connection.
pub(crate) struct Link {
    sender: SendRequest<Payload>,
    driver: Driver,
    pub(super) mark: Mark,
}

/// The half that moves bytes.
struct Driver {
    connection: BoxFuture<'static, ()>,
    ended: bool,
}

impl Link {
    /// Begins HTTP/1.1 on `wire`, which was made with the identity `mark`.
    pub(crate) async fn new(wire: Box<dyn Wire>, mark: Mark) -> Result<Self, hyper::Error> {
        // Hyper's own cap of 100 headers stands.
        let (sender, connection) =
            Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(wire)).await?;
        // Its errors reach us by way of the response or its body.
        let connection = Box::pin(async { drop(connection.await) });
        let driver = Driver { connection, ended: false };
        Ok(Self { sender, driver, mark })
    }

    /// Sends `request`, and comes back with the head of the response.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Payload>,
    ) -> Result<Response<Incoming>, SendError> {
        let interim = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&interim);
        hyper::ext::on_informational(&mut request, move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
        });
        let mut response = Box::pin(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let answered = poll_fn(|cx| {
            driver.poll(cx);
            if interim.load(Ordering::Relaxed) > INTERIM {
                return Poll::Ready(Err(SendError::Failed));
            }
            response.as_mut().poll(cx).map(|result| result.map_err(SendError::from))
        });
        answered.await
    }

    /// Whether another request can be sent now. Lets the connection notice what happened to it
    /// while nobody looked.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> bool {
        self.driver.poll(cx);
        !self.driver.ended && self.sender.is_ready()
    }

    /// The next piece of `body`; `None` at its end. Trailers are dropped.
    pub(super) fn poll_data(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            self.driver.poll(cx);
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(io::Error::other(error))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.ended && self.connection.as_mut().poll(cx).is_ready() {
            self.ended = true;
        }
    }
}

impl From<TrySendError<Request<Payload>>> for SendError {
    fn from(mut error: TrySendError<Request<Payload>>) -> Self {
        error.take_message().map_or(Self::Failed, |request| Self::Unsent(Box::new(request)))
    }
}
