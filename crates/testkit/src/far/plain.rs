//! A client's half of HTTP/1.1 without any care: it dials whatever it is told to.

use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::far::{Ask, Body, Failed, Reply};
use strongroom_model::ports::{BoxFuture, Far};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// Sends what it is given, on a connection of its own each time.
#[derive(Default)]
pub struct Plain {
    /// The verbs and targets that were asked for.
    asked: Mutex<Vec<String>>,
}

impl Plain {
    /// The verbs and targets that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Far for Plain {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, Failed>> {
        let target = ask.target.as_ref().unwrap_or(&ask.site.target).clone();
        let line = format!("{} {target}", ask.verb.as_str());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Box::pin(async move {
            let origin = &ask.site.service.origin;
            let unreachable = |_| failed("the upstream cannot be reached", false);
            #[expect(clippy::disallowed_methods, reason = "a client that vets nothing, for tests")]
            let stream =
                TcpStream::connect((&*origin.host, origin.port)).await.map_err(unreachable)?;
            let broken =
                |_| failed("the server closed the connection or does not speak HTTP", true);
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
            let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
            let mut request = Request::builder().method(ask.verb.as_str()).uri(target);
            request = request.header("host", origin.authority());
            for (name, value) in &ask.headers {
                request = request.header(name, value);
            }
            for (name, value) in &ask.site.headers {
                request = request.header(name, value.expose());
            }
            let request = request.body(Full::new(ask.body)).expect("a test's headers are headers");
            let mut pending = Pending { body: None, driver };
            let response = sender.send_request(request).await.map_err(broken)?;
            let (head, body) = response.into_parts();
            let wanted = |name: &str| Reply::HEADERS.contains(&name);
            let headers = head.headers.iter().filter(|(name, _)| wanted(name.as_str()));
            pending.body = Some(body);
            let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
            Ok(Reply {
                status: head.status.as_u16(),
                headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
                body: Box::new(pending),
                redactor: None,
            })
        })
    }
}

/// What is still to come, and the connection that it comes by.
struct Pending {
    body: Option<Incoming>,
    driver: AbortHandle,
}

impl Body for Pending {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Refusal>> {
        Box::pin(async move {
            let Some(body) = &mut self.body else { return Ok(None) };
            loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                    Some(Err(_)) => return Err(failed("the answer broke off", true).refusal),
                }
            }
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn failed(why: &'static str, sent: bool) -> Failed {
    Failed { refusal: Refusal::new(Code::UpstreamError, why), sent }
}
