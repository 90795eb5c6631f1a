//! The clients: one on pipes, and many over HTTP.

use std::{
    error::Error,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::runtime;

use super::{
    Plan,
    place::{Serving, Words},
};
use crate::{
    http::{Connection, Run, Session, each_worker},
    one::{hello, request},
};

/// A client of the `initialize` era on the pipes of the process that it starts.
pub(super) struct Pipe {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
    id: u64,
}

impl Pipe {
    pub(super) fn start(words: &Words) -> Result<Self, Box<dyn Error>> {
        let mut child = words
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::with_capacity(1 << 16, child.stdout.take().ok_or("no stdout")?);
        let mut pipe = Self { child, input, output, line: Vec::new(), id: 0 };
        pipe.ask(&request(0, "initialize", &hello()))?;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        writeln!(pipe.input, "{ready}")?;
        Ok(pipe)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One call whose answer must be what was sent, with so many bytes behind it.
    pub(super) fn echo(
        &mut self,
        tool: &str,
        message: &str,
        bytes: usize,
    ) -> Result<Duration, Box<dyn Error>> {
        self.id += 1;
        let time = self.ask(&request(self.id, "tools/call", &call(tool, message, bytes)))?;
        if bytes == 0 {
            check(&serde_json::from_slice(&self.line)?, self.id, message)?;
        } else {
            let right = self.says(message.as_bytes()) && self.line.len() > bytes;
            right.then_some(()).ok_or("a large answer is not the one that was asked for")?;
        }
        Ok(time)
    }

    fn ask(&mut self, message: &Value) -> Result<Duration, Box<dyn Error>> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let start = Instant::now();
        self.input.write_all(&line)?;
        loop {
            self.line.clear();
            if self.output.read_until(b'\n', &mut self.line)? == 0 {
                return Err("it has ended".into());
            }
            let took = start.elapsed();
            // What it says in between is for others.
            if !self.says(b"\"method\":") {
                return Ok(took);
            }
        }
    }

    fn says(&self, part: &[u8]) -> bool {
        memchr::memmem::find(&self.line, part).is_some()
    }

    pub(super) fn end(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.input);
        self.child.wait()?;
        Ok(())
    }
}

/// Clients over HTTP, each in a session and on a connection of its own.
pub(super) struct Many {
    authority: Rc<str>,
    path: Rc<str>,
    bearer: Rc<str>,
    tool: Rc<str>,
}

impl Many {
    /// Clients of the server itself.
    pub(super) fn direct(url: &str) -> Self {
        Self::new(url, "", "echo")
    }

    /// Clients of the gateway.
    pub(super) fn through(serving: &Serving, tool: &str) -> Self {
        Self::new(serving.url(), serving.token(), tool)
    }

    pub(super) fn new(url: &str, token: &str, tool: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self {
            authority: authority.into(),
            path: format!("/{path}").into(),
            bearer: format!("Bearer {token}").into(),
            tool: tool.into(),
        }
    }

    /// So many calls in flight, for the time that is planned.
    pub(super) fn at_once(&self, workers: usize, plan: &Plan) -> Result<Value, Box<dyn Error>> {
        let run = Run::new(plan.warm_up, plan.length);
        let times = each_worker(workers, |worker| {
            let (session, tool) = (self.session(), Rc::clone(&self.tool));
            async move {
                let (mut session, mut times) = (session.await?, crate::numbers::Times::default());
                for id in 1_u64.. {
                    let message = format!("w{worker}m{id}x");
                    let call = request(id, "tools/call", &call(&tool, &message, 0));
                    let start = Instant::now();
                    let answer = session.ask(&call).await?;
                    let on = run.goes_on(start, &mut times);
                    check(&answer, id, &message)?;
                    if !on {
                        break;
                    }
                }
                Ok(times)
            }
        })?;
        let all = times.all();
        let mut summary = run.summary(times);
        summary["all"] = all.into();
        Ok(summary)
    }

    /// Lists of the tools, one at a time.
    pub(super) fn lists(&self, plan: &Plan) -> Result<Value, Box<dyn Error>> {
        let run = Run::new(plan.warm_up, plan.length);
        let times = each_worker(1, |_| {
            let (session, tool) = (self.session(), Rc::clone(&self.tool));
            async move {
                let (mut session, mut times) = (session.await?, crate::numbers::Times::default());
                for id in 1_u64.. {
                    let list = request(id, "tools/list", &json!({}));
                    let start = Instant::now();
                    let answer = session.ask_for_text(&list).await?;
                    let on = run.goes_on(start, &mut times);
                    if !answer.contains(&format!("\"{tool}\"")) {
                        return Err(format!("a list without {tool}: {answer}").into());
                    }
                    if !on {
                        break;
                    }
                }
                Ok(times)
            }
        })?;
        let all = times.all();
        let mut summary = run.summary(times);
        summary["all"] = all.into();
        Ok(summary)
    }

    /// Opens so many sessions, which stay open without a connection.
    pub(super) fn open(&self, count: usize) -> Result<(), Box<dyn Error>> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut session = self.session().await?;
            for _ in 1..count {
                session.begin_another().await?;
            }
            Ok(())
        })
    }

    fn session(&self) -> impl Future<Output = Result<Session, Box<dyn Error>>> + use<> {
        let (authority, path) = (Rc::clone(&self.authority), Rc::clone(&self.path));
        let bearer = Rc::clone(&self.bearer);
        async move {
            let connection = Connection::open(&authority).await?;
            let mut session = Session::new(connection, path, bearer);
            session.start().await?;
            Ok(session)
        }
    }
}

fn call(tool: &str, message: &str, bytes: usize) -> Value {
    json!({ "name": tool, "arguments": { "message": message, "bytes": bytes } })
}

/// Whether `answer` is the one to the call that sent `message`.
fn check(answer: &Value, id: u64, message: &str) -> Result<(), Box<dyn Error>> {
    let right = answer["id"] == id && answer["result"]["content"][0]["text"] == message;
    if right { Ok(()) } else { Err(format!("the call with {message} got {answer}").into()) }
}
