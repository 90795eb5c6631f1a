//! One connection to an upstream, in either version of HTTP.
//!
//! Over HTTP/1.1 a call has the connection to itself and drives it; over HTTP/2 the calls of a
//! service share one, which a task of its own drives. Which version is spoken the upstream chooses in
//! the TLS handshake (ALPN): that comes after the address was vetted, and changes nothing about what
//! is dialled.

pub(crate) mod http1;
pub(crate) mod http2;

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::inject::Mark;
use crate::payload::Payload;

/// A socket, with or without TLS.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Bytes of a response head at the most.
const HEAD: usize = 64 << 10;

/// Headers of a response at the most.
const HEADERS: usize = 100;

/// Interim responses (RFC 9110 §15.2) of one request at the most.
const INTERIM: u32 = 16;

/// A connection that a call can use.
pub(crate) enum Link {
    /// A connection of its own.
    One(http1::Link),
    /// A share of one.
    Two(http2::Link),
}

/// The body of a response, as it comes off the wire.
pub(crate) enum Inbound {
    /// Over HTTP/1.1.
    One(Incoming),
    /// Over HTTP/2; the length that the head states.
    Two(RecvStream, Option<u64>),
}

/// Why there is no response.
pub(crate) enum SendError {
    /// The upstream had nothing of the request, or says that it did nothing with it: it may go out
    /// once more, on another connection.
    Unsent(Box<Request<Payload>>),
    /// Anything else.
    Failed,
}

impl Link {
    /// Sends `request`, and comes back with the head of the response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Payload>,
    ) -> Result<Response<Inbound>, SendError> {
        match self {
            Self::One(link) => link.send(request).await.map(|response| response.map(Inbound::One)),
            Self::Two(link) => link.send(request).await,
        }
    }

    /// Which identity it was made with.
    pub(crate) fn mark(&self) -> Mark {
        match self {
            Self::One(link) => link.mark,
            Self::Two(link) => link.mark,
        }
    }

    /// Whether another request can be sent now. Lets the connection notice what happened to it
    /// while nobody looked.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::One(link) => link.poll_idle(cx),
            Self::Two(link) => link.is_open(),
        }
    }

    /// The next piece of `body`; `None` at its end. Trailers are dropped.
    pub(crate) fn poll_data(
        &mut self,
        body: &mut Inbound,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        match (self, body) {
            (Self::One(link), Inbound::One(body)) => link.poll_data(body, cx),
            (_, Inbound::Two(body, _)) => http2::poll_data(body, cx),
            (Self::Two(_), Inbound::One(_)) => Poll::Ready(None),
        }
    }
}

impl Inbound {
    /// Whether there is nothing more to read.
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::One(body) => body.is_end_stream(),
            Self::Two(body, _) => body.is_end_stream(),
        }
    }

    /// Bytes that are still to come at the least.
    pub(crate) fn expected(&self) -> usize {
        let bytes = match self {
            Self::One(body) => body.size_hint().lower(),
            Self::Two(_, stated) => stated.unwrap_or_default(),
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}
