//! Many calls in flight over HTTP, each worker on a connection of its own.

use std::{
    error::Error,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime, task::LocalSet};

use crate::{numbers::Times, one, process};

/// How long the workers run before calls count.
const WARM_UP: Duration = Duration::from_secs(1);

/// A broker, and how it is asked.
pub(crate) struct Target<'a> {
    pub(crate) url: &'a str,
    pub(crate) token: &'a str,
    pub(crate) service: &'a str,
}

/// The upstream's own rate.
pub(crate) fn direct(
    port: u16,
    key: &str,
    seconds: u64,
    workers: usize,
) -> Result<Value, Box<dyn Error>> {
    let authority = format!("127.0.0.1:{port}");
    let bearer = format!("Bearer {key}");
    let run = Run::new(WARM_UP, Duration::from_secs(seconds));
    let times = each_worker(workers, |worker| {
        let (authority, bearer) = (authority.clone(), bearer.clone());
        async move {
            let mut connection = Connection::open(&authority).await?;
            let mut times = Times::default();
            for call in 0_u64.. {
                let path = format!("/items/{worker}-{call}x");
                let request = Request::get(&path).header("authorization", &bearer);
                let start = Instant::now();
                let (_, body) = connection.send(request, Bytes::new()).await?;
                if body != format!("{{\"path\":\"{path}\"}}") {
                    return Err(format!("the call for {path} got another's answer").into());
                }
                if !run.goes_on(start, &mut times) {
                    break;
                }
            }
            Ok(times)
        }
    })?;
    Ok(run.summary(times))
}

/// `execute` through the broker whose process is `pid`.
pub(crate) fn broker(
    target: &Target<'_>,
    pid: u32,
    seconds: u64,
    workers: usize,
) -> Result<Value, Box<dyn Error>> {
    let rest = target.url.strip_prefix("http://").ok_or("only http:// is spoken")?;
    let (authority, path) = rest.split_once('/').ok_or("the URL has no path")?;
    let (authority, path): (Rc<str>, Rc<str>) = (authority.into(), format!("/{path}").into());
    let bearer: Rc<str> = format!("Bearer {}", target.token).into();
    let service: Rc<str> = target.service.into();
    let run = Run::new(WARM_UP, Duration::from_secs(seconds));
    let before = process::processor(pid);
    let times = each_worker(workers, |worker| {
        let (authority, path) = (authority.clone(), path.clone());
        let (bearer, service) = (bearer.clone(), service.clone());
        async move {
            let connection = Connection::open(&authority).await?;
            let mut session = Session::new(connection, path, bearer);
            session.start().await?;
            let mut times = Times::default();
            for number in 1_u64.. {
                let path = format!("/items/{worker}-{number}x");
                let call = one::request(number, "tools/call", &one::call(&service, &path));
                let start = Instant::now();
                let answer = session.ask(&call).await?;
                let on = run.goes_on(start, &mut times);
                one::check(&answer, number, &path)?;
                if !on {
                    break;
                }
            }
            Ok(times)
        }
    })?;
    let all = times.all();
    let mut summary = run.summary(times);
    let used = process::processor(pid).saturating_sub(before).as_secs_f64();
    summary["cpu_seconds_per_10000"] = (used / all * 1e4).into();
    summary["resident_kib"] = process::resident(pid).into();
    Ok(summary)
}

/// When a run counts: after a while, and for a while.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    begin: Instant,
    warm_up: Duration,
    length: Duration,
}

impl Run {
    pub(crate) fn new(warm_up: Duration, length: Duration) -> Self {
        Self { begin: Instant::now(), warm_up, length }
    }

    /// Counts a call that began at `start` and ended now; says whether another is due: on a machine that
    /// has much else to do, until one has counted.
    pub(crate) fn goes_on(&self, start: Instant, times: &mut Times) -> bool {
        if start.duration_since(self.begin) >= self.warm_up {
            times.add(start.elapsed());
        } else {
            times.skip();
        }
        self.begin.elapsed() < self.warm_up + self.length || times.counted() < 1.0
    }

    pub(crate) fn summary(&self, mut times: Times) -> Value {
        let per_second = times.counted() / self.length.as_secs_f64();
        let mut summary = times.summary();
        summary["per_second"] = json!(per_second.round());
        summary
    }
}

/// Runs the workers side by side on one thread.
pub(crate) fn each_worker<F: Future<Output = Result<Times, Box<dyn Error>>> + 'static>(
    workers: usize,
    work: impl Fn(usize) -> F,
) -> Result<Times, Box<dyn Error>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let running: Vec<_> =
            (0..workers).map(|worker| tokio::task::spawn_local(work(worker))).collect();
        let mut times = Times::default();
        for worker in running {
            times.join(worker.await??);
        }
        Ok(times)
    })
}

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: Rc<str>,
}

impl Connection {
    pub(crate) async fn open(authority: &str) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: authority.into() })
    }

    pub(crate) async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<(Response<()>, Bytes), Box<dyn Error>> {
        self.sender.ready().await?;
        let request = request.header("host", &*self.authority).body(Full::new(body))?;
        let (head, body): (_, Incoming) = self.sender.send_request(request).await?.into_parts();
        Ok((Response::from_parts(head, ()), body.collect().await?.to_bytes()))
    }
}

/// A session of the initialize era.
pub(crate) struct Session {
    connection: Connection,
    path: Rc<str>,
    bearer: Rc<str>,
    id: Option<String>,
}

impl Session {
    pub(crate) fn new(connection: Connection, path: Rc<str>, bearer: Rc<str>) -> Self {
        Self { connection, path, bearer, id: None }
    }

    pub(crate) async fn start(&mut self) -> Result<(), Box<dyn Error>> {
        self.ask(&one::request(0, "initialize", &one::hello())).await?;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.ask(&ready).await.map(drop)
    }

    /// Leaves this session open, and begins another one.
    pub(crate) async fn begin_another(&mut self) -> Result<(), Box<dyn Error>> {
        self.id = None;
        self.start().await
    }

    pub(crate) async fn ask(&mut self, message: &Value) -> Result<Value, Box<dyn Error>> {
        let text = self.ask_for_text(message).await?;
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    /// The answer as it is written; nothing where there is none.
    pub(crate) async fn ask_for_text(&mut self, message: &Value) -> Result<String, Box<dyn Error>> {
        let mut request = Request::post(&*self.path)
            .header("authorization", &*self.bearer)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if message["method"] != "initialize" {
            request = request.header("mcp-protocol-version", "2025-11-25");
        }
        if let Some(id) = &self.id {
            request = request.header("mcp-session-id", id);
        }
        let (head, body) =
            self.connection.send(request, serde_json::to_vec(message)?.into()).await?;
        if !head.status().is_success() {
            return Err(format!("{}: {}", head.status(), String::from_utf8_lossy(&body)).into());
        }
        if let Some(id) = head.headers().get("mcp-session-id") {
            self.id = Some(id.to_str()?.to_owned());
        }
        if message["id"].is_null() {
            return Ok(String::new());
        }
        // An event stream carries the answer in its last line of data.
        let text = std::str::from_utf8(&body)?;
        let data = text.lines().rev().find_map(|line| line.strip_prefix("data:"));
        Ok(data.unwrap_or(text).to_owned())
    }
}
