//! Upstreams on 127.0.0.1: well-behaved ones that answer by a closure, and ones that send any bytes.

mod reply;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::ca::Identity;
pub use reply::Reply;
use reply::UnderWay;

/// A server. It ends when it is dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target of the request line, byte for byte.
    pub target: String,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
}

/// What an ill-behaved upstream does, on each connection from the beginning.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads to the end of a request's head.
    ReadHead,
    /// Sends bytes.
    Write(Vec<u8>),
    /// Reads to the end of a request's head, in HTTP/2.
    ReadHead2,
    /// Sends bytes over and over, until nobody takes them.
    Flood(Vec<u8>),
    /// Sends nothing more and waits until the other side is gone.
    Hang,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicUsize,
    open: watch::Sender<usize>,
    requests: watch::Sender<usize>,
    answers: watch::Sender<usize>,
    seen: Mutex<Vec<Seen>>,
    raw: Mutex<Vec<u8>>,
}

#[derive(Clone)]
enum Manner {
    Answer(Arc<dyn Fn(&Seen) -> Reply + Send + Sync>),
    Script(Arc<[Step]>),
}

impl Upstream {
    /// Answers over plain HTTP.
    pub async fn http(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, &[], Manner::Answer(Arc::new(answer))).await
    }

    /// Answers over TLS.
    pub async fn https(
        identity: Identity,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(identity), &[], Manner::Answer(Arc::new(answer))).await
    }

    /// Answers over HTTP/2, which it says in the TLS handshake.
    pub async fn http2(
        identity: Identity,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(identity), &[HTTP2], Manner::Answer(Arc::new(answer))).await
    }

    /// Answers over TLS, in the first of the versions `alpn` that the other side speaks too.
    pub async fn https_with(
        identity: Identity,
        alpn: &[&[u8]],
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(identity), alpn, Manner::Answer(Arc::new(answer))).await
    }

    /// Follows a script on each connection, then closes it.
    pub async fn raw(steps: impl Into<Arc<[Step]>>) -> Self {
        Self::start(None, &[], Manner::Script(steps.into())).await
    }

    /// The same over TLS, where it says that it speaks HTTP/2.
    pub async fn raw_http2(identity: Identity, steps: impl Into<Arc<[Step]>>) -> Self {
        Self::start(Some(identity), &[HTTP2], Manner::Script(steps.into())).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many requests have arrived, with head and body.
    pub fn requests(&self) -> usize {
        *self.shared.requests.borrow()
    }

    /// Waits until so many requests have arrived.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        let enough = requests.wait_for(|requests| *requests >= count).await;
        enough.expect("the sender lives as long as we do");
    }

    /// The requests that a well-behaved upstream has had.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bytes that have arrived on all connections, without TLS.
    pub fn raw_bytes(&self) -> Vec<u8> {
        self.shared.raw.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until no connection is open.
    pub async fn wait_until_closed(&self) {
        let mut open = self.shared.open.subscribe();
        open.wait_for(|open| *open == 0).await.expect("the sender lives as long as we do");
    }

    /// Waits until no answer of a well-behaved upstream is under way.
    pub async fn wait_until_answered(&self) {
        let mut answers = self.shared.answers.subscribe();
        answers.wait_for(|answers| *answers == 0).await.expect("the sender lives as long as we do");
    }

    async fn start(identity: Option<Identity>, alpn: &[&[u8]], manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let acceptor =
            identity.map(|identity| TlsAcceptor::from(Arc::new(server_config(identity, alpn))));
        let accepting = tokio::spawn(accept(listener, acceptor, manner, Arc::clone(&shared)));
        Self { address, shared, accepting: accepting.abort_handle() }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Seen {
    /// The values of a header.
    pub fn values(&self, name: &str) -> Vec<String> {
        let named = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    manner: Manner,
    shared: Arc<Shared>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.send_modify(|open| *open += 1);
        let (acceptor, manner, shared) = (acceptor.clone(), manner.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            // That the other side goes away is what many tests are about.
            let _ = serve(stream, acceptor, manner, &shared).await;
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    manner: Manner,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match acceptor {
        None => speak(stream, false, manner, shared).await,
        Some(acceptor) => {
            let stream = acceptor.accept(stream).await?;
            let two = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
            speak(stream, two, manner, shared).await
        }
    }
}

async fn speak<S>(stream: S, two: bool, manner: Manner, shared: &Arc<Shared>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = Recorder { stream, shared: Arc::clone(shared) };
    match manner {
        Manner::Answer(answer) => speak_http(stream, two, answer, shared).await,
        Manner::Script(steps) => follow(stream, &steps, shared).await,
    }
}

async fn speak_http<S>(
    stream: Recorder<S>,
    two: bool,
    answer: Arc<dyn Fn(&Seen) -> Reply + Send + Sync>,
    shared: &Arc<Shared>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let (answer, shared) = (Arc::clone(&answer), Arc::clone(shared));
        async move {
            let seen = see(request).await?;
            let reply = answer(&seen);
            shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            shared.requests.send_modify(|requests| *requests += 1);
            let mut response = Response::builder().status(reply.status);
            for (name, value) in &reply.headers {
                response = response.header(name.as_str(), value.as_slice());
            }
            response.body(UnderWay::new(reply.body, shared)).map_err(io::Error::other)
        }
    });
    if two {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let serving = server.serve_connection(TokioIo::new(stream), service);
        return serving.await.map_err(io::Error::other);
    }
    let server = hyper::server::conn::http1::Builder::new();
    server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

async fn see(request: Request<Incoming>) -> io::Result<Seen> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter();
    Ok(Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body: body.collect().await.map_err(io::Error::other)?.to_bytes(),
    })
}

async fn follow<S>(mut stream: Recorder<S>, steps: &[Step], shared: &Shared) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    for step in steps {
        match step {
            Step::ReadHead => {
                let mut last = [0; 4];
                while &last != b"\r\n\r\n" {
                    last.rotate_left(1);
                    last[3] = stream.read_u8().await?;
                }
                shared.requests.send_modify(|requests| *requests += 1);
            }
            Step::ReadHead2 => {
                read_head_2(&mut stream).await?;
                shared.requests.send_modify(|requests| *requests += 1);
            }
            Step::Write(bytes) => stream.write_all(bytes).await?,
            Step::Flood(bytes) => loop {
                stream.write_all(bytes).await?;
            },
            Step::Hang => while stream.read(&mut [0; 4096]).await? > 0 {},
        }
    }
    stream.shutdown().await
}

/// Reads frames up to one that ends a head (RFC 9113 §4.1): of the kinds 1 and 9, with flag 4.
/// The preface, where it stands, looks like the head of a request.
async fn read_head_2<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        if &head == b"PRI * HTT" {
            stream.read_exact(&mut [0; 15]).await?;
            continue;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let length = usize::try_from(length).expect("24 bits fit");
        stream.read_exact(&mut vec![0; length]).await?;
        if matches!(head[3], 1 | 9) && head[4] & 4 != 0 {
            return Ok(());
        }
    }
}

/// What ALPN calls it (RFC 9113 §11.1).
const HTTP2: &[u8] = b"h2";

fn server_config(identity: Identity, alpn: &[&[u8]]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions");
    let builder = match identity.clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority).expect("an authority can be trusted");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("there is an authority"))
        }
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .expect("certificate and key belong together");
    config.alpn_protocols = alpn.iter().map(|version| version.to_vec()).collect();
    config
}

/// Keeps a copy of what is read.
struct Recorder<S> {
    stream: S,
    shared: Arc<Shared>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorder<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let mut raw = self.shared.raw.lock().unwrap_or_else(PoisonError::into_inner);
        raw.extend_from_slice(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorder<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
