//! Streamable HTTP on one endpoint, `/mcp`.
//!
//! Every request passes one [guard] before its body is read: the name it asks for, where it comes
//! from, who it is. There is no way around it and no page without it, loopback included.
//!
//! What was let in is answered at a [`Desk`], which another server can have too.
//!
//! Answers are plain JSON; a call that has to ask the client's user first becomes a stream of events. A
//! client that hangs up ends its call.

mod desk;
mod exchange;
mod guard;
mod refusals;
mod sent;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use strongroom_model::ports::Authenticator;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::behind::Behind;
use crate::wire::Limits;
pub use desk::{Desk, Visitor};
use exchange::{Exchange, Turns};
use guard::Guard;
use refusals::Refusals;
pub use sent::Sent;

/// What the endpoint accepts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size and depth of a message.
    pub limits: Limits,
    /// Values of `Host` beyond `127.0.0.1`, `localhost` and `[::1]` with our port.
    pub hosts: Vec<String>,
    /// Connections at one time.
    pub connections: usize,
    /// Connections at one time from one address.
    pub connections_per_peer: usize,
    /// How long the head of a request may take, from the end of the one before.
    pub head_timeout: Duration,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How long a session of the `initialize` era lives without a request.
    pub session_idle: Duration,
    /// Sessions of one principal.
    pub sessions: usize,
    /// Whether a client of the `initialize` era may list and call tools without having said hello.
    pub without_hello: bool,
    /// How long requests may go on after the end was announced.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            hosts: Vec::new(),
            connections: 1024,
            connections_per_peer: 512,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            session_idle: Duration::from_hours(1),
            sessions: 1000,
            without_hello: false,
            grace: Duration::from_secs(5),
        }
    }
}

/// Header lines of a request, and bytes of its head.
const HEADERS: usize = 100;
const HEAD: usize = 64 << 10;

/// How long calls that were told to end may take to do so.
const CANCELLED: Duration = Duration::from_secs(2);

/// Serves MCP on `listener` until `shutdown` completes, then lets what runs finish within the
/// grace.
///
/// # Errors
///
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    behind: impl Into<Behind>,
    authenticator: Arc<dyn Authenticator>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let (alive, mut ended) = mpsc::channel(1);
    let (phase, phases) = watch::channel(Phase::Serving);
    let exchange = Arc::new(Exchange {
        behind: behind.into(),
        authenticator,
        guard: Guard::new(port, &options.hosts),
        refusals: Refusals::new(),
        desk: Desk::new(&options),
        body_timeout: options.body_timeout,
        turns: Turns::default(),
    });
    let peers = Arc::new(Peers::default());
    let places = Arc::new(Semaphore::new(options.connections));
    let accept = async {
        loop {
            // While all places are taken, new connections wait in the system's queue. Idle ones
            // lose theirs after the head timeout.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, address)) => {
                    let Some(peer) = peers.admit(address.ip(), options.connections_per_peer) else {
                        continue;
                    };
                    let seat = Seat { _place: place, _peer: peer, alive: alive.clone() };
                    let exchange = Arc::clone(&exchange);
                    let phases = phases.clone();
                    tokio::spawn(connection(stream, exchange, seat, phases, options.head_timeout));
                }
                // Out of descriptors, or a connection that was gone before we took it.
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    drop(listener);
    drop(alive);
    phase.send_replace(Phase::Draining);
    if timeout(options.grace, ended.recv()).await.is_err() {
        phase.send_replace(Phase::Ended);
        let _ = timeout(CANCELLED, ended.recv()).await;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Ended,
}

/// What a connection holds while it lives.
struct Seat {
    _place: OwnedSemaphorePermit,
    _peer: Peer,
    alive: mpsc::Sender<()>,
}

async fn connection(
    stream: TcpStream,
    exchange: Arc<Exchange>,
    seat: Seat,
    mut phases: watch::Receiver<Phase>,
    head_timeout: Duration,
) {
    let _ = stream.set_nodelay(true);
    let alive = &seat.alive;
    let service = service_fn(|request| {
        let exchange = Arc::clone(&exchange);
        let alive = alive.clone();
        async move { Ok::<_, std::convert::Infallible>(exchange.answer(request, alive).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS)
        .max_buf_size(HEAD)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            // How a connection ends is the client's affair.
            _ = connection.as_mut() => return,
            changed = phases.changed() => match *phases.borrow_and_update() {
                Phase::Draining if changed.is_ok() => connection.as_mut().graceful_shutdown(),
                Phase::Serving if changed.is_ok() => {}
                // Dropping the connection drops its request, which ends the call.
                _ => return,
            },
        }
    }
}

/// How many connections each address has.
#[derive(Default)]
struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// One connection's entry among its address's.
struct Peer {
    peers: Arc<Peers>,
    address: IpAddr,
}

impl Peers {
    fn admit(self: &Arc<Self>, address: IpAddr, cap: usize) -> Option<Peer> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= cap {
            return None;
        }
        *count += 1;
        Some(Peer { peers: Arc::clone(self), address })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut counts = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
