//! From a socket to requests: who may connect, how long they may dawdle, and how it all ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use crate::app::App;
use crate::backend::Backend;
use crate::options::{Limits, Options};
use crate::tls::{Certificates, HTTP2, TlsError};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Keys would cross a network in the clear.
    #[error("{address} is not this machine alone, and there is no TLS")]
    Plaintext {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address cannot be listened on: something else does, or it is not ours.
    #[error("{address} cannot be listened on")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ServeError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Plaintext { .. } => {
                "give a certificate and a key, or say `--behind-tls-proxy` if a proxy before this \
                 server ends TLS"
                    .to_owned()
            }
            Self::Bind { .. } => "choose another address with `--listen ADDR:PORT`".to_owned(),
            Self::Tls(_) => return None,
        })
    }
}

/// A server that has its address and takes no request yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    certificates: Option<Arc<Certificates>>,
    limits: Limits,
    app: Arc<App>,
}

/// Header lines of a request, and bytes of its head.
const HEADERS: usize = 100;
const HEAD: usize = 64 << 10;

/// How long requests that were told to end may take to do so.
const CANCELLED: Duration = Duration::from_secs(2);

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// It is taken, it is beyond loopback and there is no TLS, or the certificate is not usable.
    pub async fn bind(backend: Backend, options: Options) -> Result<Self, ServeError> {
        let address = options.listen;
        let covered = options.tls.is_some() || options.behind_tls_proxy;
        if !covered && !address.ip().to_canonical().is_loopback() {
            return Err(ServeError::Plaintext { address });
        }
        let certificates = options.tls.clone().map(Certificates::load).transpose()?;
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) =
            bound.await.map_err(|source| ServeError::Bind { address, source })?;
        Ok(Self {
            listener,
            address,
            certificates: certificates.map(Arc::new),
            limits: options.limits,
            app: Arc::new(App::new(backend, options)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a client writes it.
    pub fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `shutdown` completes, then lets what runs finish within the grace.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (alive, mut ended) = mpsc::channel(1);
        let (phase, phases) = watch::channel(Phase::Serving);
        let watching = self.certificates.clone().map(|it| tokio::spawn(it.watch()));
        info!(address = %self.address, tls = self.certificates.is_some(), "listening");
        tokio::select! {
            () = self.accept(&alive, &phases) => {}
            () = shutdown => {}
        }
        let grace = self.limits.grace;
        drop(self.listener);
        drop(alive);
        info!("no more connections are taken");
        phase.send_replace(Phase::Draining);
        if timeout(grace, ended.recv()).await.is_err() {
            phase.send_replace(Phase::Ended);
            let _ = timeout(CANCELLED, ended.recv()).await;
        }
        if let Some(watching) = watching {
            watching.abort();
        }
    }

    async fn accept(&self, alive: &mpsc::Sender<()>, phases: &watch::Receiver<Phase>) {
        let peers = Arc::new(Peers::default());
        let places = Arc::new(Semaphore::new(self.limits.connections));
        // Behind a proxy all connections are the proxy's.
        let cap = if self.app.behind_tls_proxy() {
            self.limits.connections
        } else {
            self.limits.connections_per_peer
        };
        loop {
            // While all places are taken, new connections wait in the system's queue. Idle ones
            // lose theirs after the head timeout.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let Some(peer) = peers.admit(address.ip(), cap) else {
                        self.app.metrics().turned_away();
                        continue;
                    };
                    self.app.metrics().connected();
                    let connection = Connection {
                        app: Arc::clone(&self.app),
                        peer: address.ip(),
                        limits: self.limits,
                        phases: phases.clone(),
                        seat: Seat { _place: place, _peer: peer, alive: alive.clone() },
                    };
                    let certificates = self.certificates.clone();
                    tokio::spawn(connection.serve(stream, certificates));
                }
                // Out of descriptors, or a connection that was gone before we took it.
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
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

struct Connection {
    app: Arc<App>,
    peer: IpAddr,
    limits: Limits,
    phases: watch::Receiver<Phase>,
    seat: Seat,
}

impl Connection {
    async fn serve(self, stream: TcpStream, certificates: Option<Arc<Certificates>>) {
        let _ = stream.set_nodelay(true);
        let Some(certificates) = certificates else {
            return self.http1(TokioIo::new(stream)).await;
        };
        let handshake = TlsAcceptor::from(certificates.current()).accept(stream);
        match timeout(self.limits.head_timeout, handshake).await {
            Ok(Ok(stream)) => {
                let two = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
                let stream = TokioIo::new(stream);
                if two { self.http2(stream).await } else { self.http1(stream).await }
            }
            // Scanners and people who forgot the `s` of https: no reason to wake anybody.
            Ok(Err(error)) => debug!(peer = %self.peer, %error, "no TLS came about"),
            Err(_) => debug!(peer = %self.peer, "the handshake of TLS took too long"),
        }
    }

    async fn http1(mut self, stream: impl Read + Write + Unpin + Send + 'static) {
        let (app, peer, alive) = (Arc::clone(&self.app), self.peer, self.seat.alive.clone());
        let service = service_fn(move |request| {
            let (app, alive) = (Arc::clone(&app), alive.clone());
            async move { Ok::<_, Infallible>(app.answer(request, peer, alive).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_headers(HEADERS)
            .max_buf_size(HEAD)
            .pipeline_flush(true)
            .serve_connection(stream, service);
        let connection = std::pin::pin!(connection);
        self.drive(connection, http1::Connection::graceful_shutdown, None).await;
    }

    async fn http2(mut self, stream: impl Read + Write + Unpin + Send + 'static) {
        let busy = Arc::new(Busy::new());
        let (app, peer, alive) = (Arc::clone(&self.app), self.peer, self.seat.alive.clone());
        let at_work = Arc::clone(&busy);
        let service = service_fn(move |request| {
            let (app, alive) = (Arc::clone(&app), alive.clone());
            let working = Busy::enter(&at_work);
            async move {
                let answer = app.answer(request, peer, alive).await;
                drop(working);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(100)
            .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(self.limits.head_timeout)
            .keep_alive_timeout(self.limits.head_timeout)
            .serve_connection(stream, service);
        let connection = std::pin::pin!(connection);
        self.drive(connection, http2::Connection::graceful_shutdown, Some(&busy)).await;
    }

    /// Runs a connection to its end, which may be ours: the server stops, or nobody asks anything.
    async fn drive<C: Future>(
        &mut self,
        mut connection: Pin<&mut C>,
        end: fn(Pin<&mut C>),
        busy: Option<&Busy>,
    ) {
        // HTTP/1.1 has its own timer for the pause between two requests.
        let pause = self.limits.head_timeout;
        let mut told = false;
        loop {
            tokio::select! {
                // How a connection ends is the client's affair.
                _ = connection.as_mut() => return,
                changed = self.phases.changed() => match *self.phases.borrow_and_update() {
                    Phase::Draining if changed.is_ok() => end(connection.as_mut()),
                    Phase::Serving if changed.is_ok() => {}
                    // Requests go on in tasks of their own; their answers reach nobody.
                    _ => return,
                },
                () = sleep(pause), if busy.is_some() => {
                    if busy.is_some_and(|busy| busy.idle_for(pause)) {
                        if told {
                            return;
                        }
                        told = true;
                        end(connection.as_mut());
                    }
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.app.metrics().disconnected();
    }
}

/// Whether anything is being asked on a connection, and since when not.
struct Busy {
    requests: AtomicUsize,
    since: Mutex<Instant>,
}

struct Working(Arc<Busy>);

impl Busy {
    fn new() -> Self {
        Self { requests: AtomicUsize::new(0), since: Mutex::new(Instant::now()) }
    }

    fn enter(this: &Arc<Self>) -> Working {
        this.requests.fetch_add(1, Ordering::AcqRel);
        Working(Arc::clone(this))
    }

    fn idle_for(&self, pause: Duration) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.requests.load(Ordering::Acquire) == 0 && since.elapsed() >= pause
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
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
