//! HTTP/2: one connection that the calls of a service share, each on a stream of its own.
//!
//! The connection is driven by a task, which ends when nobody has used it for a while or nobody can
//! use it any more. A call reads and writes its own stream: dropping the call resets the stream and
//! leaves the others alone.
//!
//! What an upstream may do to us is bounded by the codec (frames of a header, small data frames,
//! resets), by the windows below, and by [`HEAD`], [`HEADERS`] and [`INTERIM`] (RX-09).

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Body as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{HEAD, HEADERS, INTERIM, Inbound, SendError, Wire};
use crate::inject::Mark;
use crate::payload::Payload;
use crate::pool::IDLE;

/// Bytes that an upstream may send ahead on one stream.
const STREAM_WINDOW: u32 = 1 << 20;

/// Bytes that an upstream may send ahead on all streams.
const WINDOW: u32 = 8 << 20;

/// Bytes that a stream holds of what is to be sent.
const SEND_BUFFER: usize = 256 << 10;

/// A share of a connection.
#[derive(Clone)]
pub(crate) struct Link {
    sender: SendRequest<Bytes>,
    shared: Arc<Shared>,
    pub(super) mark: Mark,
    /// Never sent on: the driver ends the connection when the last one is gone.
    _hold: mpsc::Sender<()>,
}

/// What the driver and the shares know of each other.
struct Shared {
    state: Mutex<State>,
}

struct State {
    open: bool,
    used: Instant,
}

impl Link {
    /// Begins HTTP/2 on `wire`, which was made with the identity `mark`.
    pub(crate) async fn new(wire: Box<dyn Wire>, mark: Mark) -> Result<Self, h2::Error> {
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(wire)
            .await?;
        let state = State { open: true, used: Instant::now() };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let (hold, gone) = mpsc::channel(1);
        tokio::spawn(drive(connection, Arc::clone(&shared), gone));
        Ok(Self { sender, shared, mark, _hold: hold })
    }

    /// Whether the connection takes requests, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.with(|state| state.open)
    }

    /// Whether `other` is a share of the same connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Notes that the connection is used now.
    pub(crate) fn touch(&self) {
        self.shared.with(|state| state.used = Instant::now());
    }

    /// Sends `request`, and comes back with the head of the response.
    pub(super) async fn send(
        &mut self,
        request: Request<Payload>,
    ) -> Result<Response<Inbound>, SendError> {
        let (head, payload) = request.into_parts();
        let again = |head: &http::request::Parts, payload: &Payload| {
            let mut request = Request::new(payload.clone());
            *request.method_mut() = head.method.clone();
            *request.uri_mut() = head.uri.clone();
            *request.headers_mut() = head.headers.clone();
            SendError::Unsent(Box::new(request))
        };
        let message =
            message(&head.method, &head.uri, &head.headers, &payload).ok_or(SendError::Failed)?;
        let unsent = |_| again(&head, &payload);
        let mut sender = self.sender.clone().ready().await.map_err(unsent)?;
        let (response, stream) =
            sender.send_request(message, payload.is_end_stream()).map_err(unsent)?;
        let response = exchange(response, stream, payload.clone()).await;
        let response = response.map_err(|failed| match failed {
            // RFC 9113 §8.7: what is refused, and what comes after the last stream of a connection
            // that ends, was not looked at.
            Some(error) if is_refused(&error) => again(&head, &payload),
            _ => SendError::Failed,
        })?;
        if response.headers().len() > HEADERS {
            return Err(SendError::Failed);
        }
        let stated = response.headers().get(CONTENT_LENGTH);
        let stated = stated.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(response.map(|body| Inbound::Two(body, stated)))
    }
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Moves the bytes of a connection until it is over, or has no more use.
async fn drive(
    connection: Connection<Box<dyn Wire>, Bytes>,
    shared: Arc<Shared>,
    mut gone: mpsc::Receiver<()>,
) {
    let mut connection = pin!(connection);
    loop {
        let idle = shared.with(|state| state.used) + IDLE;
        let ended = timeout_at(
            idle,
            poll_fn(|cx| {
                if connection.as_mut().poll(cx).is_ready() || gone.poll_recv(cx).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            }),
        );
        match ended.await {
            Ok(()) => break,
            // One share is the pool's, and nobody came for it.
            Err(_) if gone.sender_strong_count() <= 1 && is_idle(&shared) => break,
            Err(_) => shared.with(|state| state.used = Instant::now()),
        }
    }
    shared.with(|state| state.open = false);
}

fn is_idle(shared: &Shared) -> bool {
    shared.with(|state| state.used.elapsed() >= IDLE)
}

/// The head as HTTP/2 has it: the host is the authority, and nothing speaks of the connection.
fn message(
    method: &Method,
    target: &Uri,
    headers: &HeaderMap,
    payload: &Payload,
) -> Option<Request<()>> {
    let mut message = Request::new(());
    *message.method_mut() = method.clone();
    let mut headers = headers.clone();
    let host = headers.remove(HOST)?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    parts.path_and_query =
        Some(target.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    *message.uri_mut() = Uri::from_parts(parts).ok()?;
    if let Some(length) = payload.size_hint().exact().filter(|length| *length > 0) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *message.headers_mut() = headers;
    Some(message)
}

/// Sends `payload` while it waits for the head of the response. An upstream may answer before it has
/// had all: then the rest is not sent.
async fn exchange(
    mut response: ResponseFuture,
    stream: SendStream<Bytes>,
    payload: Payload,
) -> Result<Response<RecvStream>, Option<h2::Error>> {
    let mut sending = pin!(upload(stream, payload));
    let mut sent = false;
    let mut interim = 0;
    poll_fn(|cx| {
        if !sent && let Poll::Ready(result) = sending.as_mut().poll(cx) {
            sent = true;
            // Why an upstream wants no more of it, its answer says.
            if matches!(result, Err(Unsent::Ours)) {
                return Poll::Ready(Err(None));
            }
        }
        while let Poll::Ready(Some(Ok(_))) = response.poll_informational(cx) {
            interim += 1;
            if interim > INTERIM {
                return Poll::Ready(Err(None));
            }
        }
        Pin::new(&mut response).poll(cx).map_err(Some)
    })
    .await
}

/// Why a body was not sent to its end.
enum Unsent {
    /// The upstream takes no more.
    Theirs,
    /// It cannot be read.
    Ours,
}

/// Sends `payload` as fast as it is taken.
async fn upload(mut stream: SendStream<Bytes>, mut payload: Payload) -> Result<(), Unsent> {
    if payload.is_end_stream() {
        return Ok(());
    }
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut payload).poll_frame(cx)).await;
        let Some(frame) = frame else {
            return stream.send_data(Bytes::new(), true).map_err(|_| Unsent::Theirs);
        };
        let Ok(mut data) = frame.map_err(|_| Unsent::Ours)?.into_data() else { continue };
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
            let Some(Ok(room)) = room else { return Err(Unsent::Theirs) };
            let piece = data.split_to(room.min(data.len()));
            let last = data.is_empty() && payload.is_end_stream();
            stream.send_data(piece, last).map_err(|_| Unsent::Theirs)?;
            if last {
                return Ok(());
            }
        }
    }
}

fn is_refused(error: &h2::Error) -> bool {
    error.is_remote()
        && match error.reason() {
            Some(Reason::REFUSED_STREAM) => error.is_reset(),
            Some(Reason::NO_ERROR) => error.is_go_away(),
            _ => false,
        }
}

/// The next piece of `body`; `None` at its end. Trailers are not looked at.
pub(super) fn poll_data(
    body: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<io::Result<Bytes>>> {
    let Some(data) = ready!(body.poll_data(cx)) else { return Poll::Ready(None) };
    let data = data.map_err(io::Error::other).and_then(|data| {
        body.flow_control().release_capacity(data.len()).map_err(io::Error::other)?;
        Ok(data)
    });
    Poll::Ready(Some(data))
}
