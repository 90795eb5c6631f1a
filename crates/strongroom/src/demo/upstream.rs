//! The API of the demo: plain HTTP on the loopback interface, which answers to one key and, at one
//! path, repeats the request that it got.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running upstream.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Listens on a free port and answers until it is stopped.
    pub async fn start(key: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request| {
                    seen.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok::<_, Infallible>(answer(&request, key)))
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    // A connection that breaks off is the other side's affair.
                    let _ = connection.await;
                });
            }
        });
        Ok(Self { address, requests, task })
    }

    /// How many requests have arrived.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Stops listening.
    pub async fn stop(self) {
        self.task.abort();
        // The task's own end is what was asked for.
        let _ = self.task.await;
    }
}

fn answer(request: &Request<Incoming>, key: &str) -> Response<Full<Bytes>> {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (status, body) = if given.and_then(|value| value.strip_prefix("Bearer ")) != Some(key) {
        (401, json!({"error": "the key is missing or wrong"}))
    } else if request.uri().path() == "/v1/echo" {
        let headers = request.headers().iter().map(|(name, value)| {
            (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes())))
        });
        let keep = |(name, _): &(String, Value)| name == AUTHORIZATION.as_str();
        (200, json!({"you_sent": headers.filter(keep).collect::<Map<_, _>>()}))
    } else {
        (200, json!({"charges": [{"id": "ch_1", "amount": 4200, "currency": "eur"}]}))
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
