//! One call at a time, with blocking sockets and pipes: the generator adds nothing that could hide
//! what the broker adds.

use std::{
    error::Error,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{numbers::Times, process};

/// Calls before the first that counts.
const WARM_UP: usize = 1000;
/// How many calls are one step of the series that shows growth.
const STEP: usize = 10_000;

/// The upstream without the broker.
pub(crate) fn direct(port: u16, key: &str, calls: usize) -> Result<Value, Box<dyn Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut times = Times::default();
    for call in 0..calls + WARM_UP {
        let path = format!("/items/{call}x");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        let start = Instant::now();
        stream.write_all(request.as_bytes())?;
        let body = response(&mut reader)?;
        let time = start.elapsed();
        if body != format!("{{\"path\":\"{path}\"}}").as_bytes() {
            return Err(format!("call {call} got another's answer").into());
        }
        if call >= WARM_UP {
            times.add(time);
        }
    }
    Ok(times.summary())
}

fn response(reader: &mut BufReader<TcpStream>) -> Result<Vec<u8>, Box<dyn Error>> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// `execute` over stdio: the whole, and each ten thousand calls.
pub(crate) fn stdio(
    calls: usize,
    service: &str,
    command: &[String],
) -> Result<Value, Box<dyn Error>> {
    let mut server = Server::start(command)?;
    server.greet()?;
    let (mut all, mut steps) = (Times::default(), Vec::new());
    for call in 0..WARM_UP {
        server.execute(service, call)?;
    }
    let pid = server.child.id();
    let before = process::processor(pid);
    let mut left = calls;
    while left > 0 {
        let (mut times, start) = (Times::default(), Instant::now());
        for _ in 0..left.min(STEP) {
            times.add(server.execute(service, calls - left)?);
            left -= 1;
        }
        let mut step = times.summary();
        step["seconds"] = start.elapsed().as_secs_f64().into();
        step["resident_kib"] = process::resident(pid).into();
        steps.push(step);
        all.join(times);
    }
    let mut summary = all.summary();
    summary["steps"] = steps.into();
    let used = process::processor(pid).saturating_sub(before).as_secs_f64();
    summary["cpu_seconds_per_10000"] = (used / all.all() * 1e4).into();
    server.end()?;
    Ok(summary)
}

/// Memory before and at most during calls for large bodies: `bytes` announced and unannounced, both
/// beyond the cap, and as much as just fits.
pub(crate) fn large(
    bytes: usize,
    service: &str,
    command: &[String],
) -> Result<Value, Box<dyn Error>> {
    let mut rows = Vec::new();
    for path in [format!("/large/{bytes}"), format!("/stream/{bytes}"), "/stream/9900000".into()] {
        let mut server = Server::start(command)?;
        server.greet()?;
        server.execute(service, 0)?;
        let pid = server.child.id();
        let before = process::resident(pid);
        let answer = server.ask("tools/call", &call(service, &path))?;
        let code = answer["result"]["structuredContent"]["error"]["code"].as_str();
        rows.push(json!({
            "path": path,
            "answer": code.unwrap_or("answered"),
            "added_kib": process::peak(pid).saturating_sub(before),
        }));
        server.end()?;
    }
    Ok(rows.into())
}

/// From start to the first answer to `tools/list`.
pub(crate) fn spawn(times: usize, command: &[String]) -> Result<Value, Box<dyn Error>> {
    let mut all = Times::default();
    for _ in 0..times {
        let start = Instant::now();
        let mut server = Server::start(command)?;
        server.greet()?;
        all.add(start.elapsed());
        server.end()?;
    }
    Ok(all.summary())
}

/// From start to end of a program that does nothing else.
pub(crate) fn bare(times: usize, command: &[String]) -> Result<Value, Box<dyn Error>> {
    let mut all = Times::default();
    for _ in 0..times {
        let start = Instant::now();
        program(command)?.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        all.add(start.elapsed());
    }
    Ok(all.summary())
}

/// From the start of a command that locks to the refusal of the running server's next call.
pub(crate) fn lock(times: usize, service: &str, words: &[String]) -> Result<Value, Box<dyn Error>> {
    let mut commands = words.split(|word| word == "+");
    let mut next = || commands.next().ok_or("three commands are needed");
    let (serve, lock, unlock) = (next()?, next()?, next()?);
    let done = |words: &[String]| -> Result<(), Box<dyn Error>> {
        let mut command = program(words)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(format!("{words:?}: {status}").into()) }
    };
    let mut server = Server::start(serve)?;
    server.greet()?;
    let mut all = Times::default();
    for round in 0..times {
        server.execute(service, round)?;
        let start = Instant::now();
        done(lock)?;
        let answer = server.ask("tools/call", &call(service, "/items/locked"))?;
        all.add(start.elapsed());
        if answer["result"]["structuredContent"]["error"]["code"] != "locked" {
            return Err(format!("the call after the lock got {answer}").into());
        }
        done(unlock)?;
    }
    server.end()?;
    Ok(all.summary())
}

/// Memory of a server that has said what it can do and nothing else.
pub(crate) fn idle(command: &[String]) -> Result<Value, Box<dyn Error>> {
    let mut server = Server::start(command)?;
    server.greet()?;
    thread::sleep(Duration::from_millis(300));
    let resident = process::resident(server.child.id());
    server.end()?;
    Ok(json!({ "resident_kib": resident }))
}

/// An MCP server on pipes.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
    id: u64,
}

impl Server {
    pub(crate) fn start(command: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut command = program(command)?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, input, output, line: String::new(), id: 0 })
    }

    /// Says hello, and waits for the answer.
    pub(crate) fn initialize(&mut self) -> Result<(), Box<dyn Error>> {
        let answer = self.ask("initialize", &hello())?;
        if answer["result"]["serverInfo"]["name"].is_string() {
            Ok(())
        } else {
            Err("it does not say who it is".into())
        }
    }

    /// Says hello and asks for the tools.
    fn greet(&mut self) -> Result<(), Box<dyn Error>> {
        self.initialize()?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        let tools = self.ask("tools/list", &json!({}))?;
        let tools = tools["result"]["tools"].as_array().ok_or("no list of tools")?;
        let found = tools.iter().any(|tool| tool["name"] == "execute");
        if found { Ok(()) } else { Err("there is no tool `execute`".into()) }
    }

    /// One call whose answer must be the one that was asked for.
    fn execute(&mut self, service: &str, number: usize) -> Result<Duration, Box<dyn Error>> {
        let path = format!("/items/{number}x");
        self.id += 1;
        let message = request(self.id, "tools/call", &call(service, &path));
        let mut line = serde_json::to_vec(&message)?;
        line.push(b'\n');
        let start = Instant::now();
        self.input.write_all(&line)?;
        self.line.clear();
        self.output.read_line(&mut self.line)?;
        let time = start.elapsed();
        check(&serde_json::from_str(&self.line)?, self.id, &path)?;
        Ok(time)
    }

    fn ask(&mut self, method: &str, params: &Value) -> Result<Value, Box<dyn Error>> {
        self.id += 1;
        self.send(&request(self.id, method, params))?;
        self.line.clear();
        self.output.read_line(&mut self.line)?;
        Ok(serde_json::from_str(&self.line)?)
    }

    fn send(&mut self, message: &Value) -> Result<(), Box<dyn Error>> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        Ok(self.input.write_all(&line)?)
    }

    pub(crate) fn end(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.input);
        self.child.wait()?;
        Ok(())
    }
}

/// The command of these words.
pub(crate) fn program(command: &[String]) -> Result<Command, Box<dyn Error>> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// A request as JSON-RPC has it.
pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// What opens a session of the initialize era.
pub(crate) fn hello() -> Value {
    json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": { "name": "strongroom-bench", "version": "0" },
    })
}

/// The call of `execute` for a path.
pub(crate) fn call(service: &str, path: &str) -> Value {
    json!({
        "name": "execute",
        "arguments": { "service": service, "method": "GET", "path": path },
    })
}

/// Whether `answer` is the upstream's to the call for `path`.
pub(crate) fn check(answer: &Value, id: u64, path: &str) -> Result<(), Box<dyn Error>> {
    let result = &answer["result"];
    let content = &result["structuredContent"];
    let right = answer["id"] == id && content["status"] == 200 && content["body"]["path"] == path;
    if right { Ok(()) } else { Err(format!("the call for {path} got {answer}").into()) }
}
