//! Adds a bearer token to every request, for clients that send none.
//!
//! Nothing else is changed: headers go through as they came, bodies as they come, and a client that goes
//! away takes its request along. Only where `Host` and `Origin` name the shim do they name who is behind.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

type Answer = BoxBody<Bytes, hyper::Error>;

/// A listener on 127.0.0.1 before another one, until it is dropped.
pub struct Shim {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Shim {
    /// Stands before `behind`, and says that it is whoever has `token`.
    ///
    /// # Panics
    ///
    /// Where there is no port left, or a token is no header's value.
    pub fn start(behind: SocketAddr, token: &str) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a token");
        let names = (address.to_string(), behind.to_string());
        runtime.spawn(accept(listener, behind, Arc::new((bearer, names))));
        Self { address, _runtime: runtime }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(
    listener: TcpListener,
    behind: SocketAddr,
    ours: Arc<(HeaderValue, (String, String))>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let ours = Arc::clone(&ours);
        tokio::spawn(async move {
            let pass = service_fn(|mut request: Request<Incoming>| {
                let (bearer, (shim, behind_it)) = &*ours;
                let headers = request.headers_mut();
                headers.insert("authorization", bearer.clone());
                for name in ["host", "origin"] {
                    let value = headers.get(name).and_then(|value| value.to_str().ok());
                    let value = value.map(|value| value.replace(shim, behind_it));
                    if let Some(value) = value.and_then(|value| value.try_into().ok()) {
                        headers.insert(name, value);
                    }
                }
                async move { Ok::<_, Infallible>(passed(behind, request).await) }
            });
            let http = server::conn::http1::Builder::new();
            // Who goes away has its reasons.
            drop(http.serve_connection(TokioIo::new(stream), pass).await);
        });
    }
}

/// What the one behind says, or that it says nothing.
async fn passed(behind: SocketAddr, request: Request<Incoming>) -> Response<Answer> {
    let sent = async {
        #[expect(clippy::disallowed_methods, reason = "an address of this machine, from a test")]
        let stream = TcpStream::connect(behind).await.ok()?;
        let (mut sender, connection) =
            client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        sender.send_request(request).await.ok()
    };
    sent.await.map_or_else(
        || {
            let mut answer = Response::new(Answer::default());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        },
        |answer| answer.map(Incoming::boxed),
    )
}
