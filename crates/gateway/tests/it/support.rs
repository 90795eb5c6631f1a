//! A stand-in for the broker, a stdio client and an HTTP client that can say anything.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_gateway::http::Options;
use strongroom_gateway::wire::Limits;
use strongroom_gateway::{Behind, Servers, http, stdio};
use strongroom_model::approval::{self, Class, Digest, Matter, Question};
use strongroom_model::audit::Draft;
use strongroom_model::call::{
    Answer, Exec, Execute, Executed, Explained, Finished, Ran, RequestAccess, Requested,
    ServiceView, Tested, WhoAmI,
};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::policy::{Explanation, Terms, Verdict};
use strongroom_model::ports::{Authenticator, BoxFuture, Calls, Prompted};
use strongroom_model::principal::{Caller, Principal, Source};
use strongroom_model::redact::Redactor;
use strongroom_model::secret::Secret;
use tokio::sync::oneshot;

/// What the modern era wants in `_meta`.
pub(crate) fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "modern-client", "version": "1"},
    })
}

pub(crate) fn principal(name: &str, source: Source) -> Principal {
    Principal { name: name.parse().unwrap(), source }
}

/// Answers by the name of the service that is asked for, and remembers.
#[derive(Default)]
pub(crate) struct Fake {
    seen: Mutex<Vec<(Caller, Execute)>>,
    events: Mutex<Vec<&'static str>>,
    changed: Condvar,
    audit: AtomicU64,
    /// Somebody answers a question at the terminal.
    pub(crate) elsewhere: tokio::sync::Notify,
}

impl Fake {
    /// The calls so far.
    pub(crate) fn seen(&self) -> Vec<(Caller, Execute)> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until `event` has happened `times` times.
    pub(crate) fn wait(&self, event: &str, times: usize) {
        let events = self.events.lock().unwrap();
        let enough =
            |events: &mut Vec<&str>| events.iter().filter(|e| **e == event).count() < times;
        let (_events, timeout) =
            self.changed.wait_timeout_while(events, Duration::from_secs(10), enough).unwrap();
        assert!(!timeout.timed_out(), "{event} did not happen");
    }

    fn happen(&self, event: &'static str) {
        self.events.lock().unwrap().push(event);
        self.changed.notify_all();
    }

    fn audit_id(&self) -> String {
        format!("{:032x}", self.audit.fetch_add(1, Ordering::Relaxed))
    }

    /// What a broker does where a rule asks: the prompt, or the question's id.
    async fn asked(
        &self,
        caller: &Caller,
        call: &Execute,
        cancel: BoxFuture<'_, ()>,
    ) -> Result<Answer, Refusal> {
        let denied = |message: &'static str| Refusal::new(Code::ApprovalDenied, message);
        let waits = Refusal { approval: Some("a-1".into()), ..denied("a person must approve") };
        let question = question(caller, &call.path);
        let session = caller.channel.session.is_some();
        let Some(prompt) = &caller.channel.prompt else { return Err(waits) };
        let prompted = tokio::select! {
            prompted = prompt.ask("a-1", &question, session, None) => prompted,
            () = cancel => {
                self.happen("cancelled");
                return Err(denied("the caller is gone"));
            }
            () = self.elsewhere.notified() => Prompted::Answered(approval::Answer::Once),
        };
        match prompted {
            Prompted::Answered(approval::Answer::Deny)
            | Prompted::Brought(approval::Answer::Deny, _) => Err(denied("a person said no")),
            Prompted::Answered(answer) | Prompted::Brought(answer, _) => {
                Ok(Self::answer("text/plain", format!("{answer:?}").into()))
            }
            Prompted::Later | Prompted::Unable | Prompted::Seen => Err(waits),
        }
    }

    fn answer(content_type: &str, body: Vec<u8>) -> Answer {
        let redactor = Redactor::default();
        Answer {
            status: 200,
            headers: vec![
                ("content-type".into(), redactor.clean_text(content_type).0),
                ("link".into(), redactor.clean_text("<a>").0),
                ("link".into(), redactor.clean_text("<b>").0),
            ],
            body: redactor.clean(body).0.into(),
            redactions: 0,
            sealed: 0,
            duration_ms: 7,
            ..Answer::default()
        }
    }
}

fn question(caller: &Caller, what: &str) -> Question {
    let matter = Matter {
        service: "ask".parse().unwrap(),
        revision: 1,
        digest: Digest::of([what.as_bytes()]),
        class: Class::Write,
        what: format!("POST {what}"),
        place: "https://api.test".into(),
        bytes: 0,
        content_type: None,
        text: None,
        unseen: false,
    };
    Question::new(matter, caller, "POST /**", &Terms::default(), None)
}

fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such service")
}

impl Calls for Fake {
    fn execute<'a>(
        &'a self,
        caller: &'a Caller,
        call: Execute,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Finished> {
        Box::pin(async move {
            // Whoever kept the channel would keep the client's stream open.
            let seen = Caller { channel: approval::Channel::default(), ..caller.clone() };
            self.seen.lock().unwrap().push((seen, call.clone()));
            let json = "application/json; charset=utf-8";
            let result = match call.service.as_str() {
                "acme" => Ok(Self::answer(json, b"{ \"ok\" :\n true, \"n\": 1.50 }".to_vec())),
                "twice" => Ok(Self::answer(json, br#"{"a":1,"a":2}"#.to_vec())),
                "text" => Ok(Self::answer("text/plain", "é \"quoted\"\n".into())),
                "binary" => Ok(Self::answer("image/png", vec![0, 159, 255])),
                "empty" => Ok(Self::answer("text/plain", Vec::new())),
                "large" => {
                    Ok(Self::answer(json, format!("[\"{}\"]", "x\\n".repeat(40_000)).into()))
                }
                "large-controls" => Ok(Self::answer("text/plain", vec![1; 100_000])),
                "large-binary" => Ok(Self::answer("image/png", vec![255; 100_000])),
                "secret-service" | "acme2" => {
                    Err(Refusal::new(Code::PolicyDenied, "no rule allows this"))
                }
                "slow-down" => Err(Refusal {
                    retry_after_s: Some(3),
                    ..Refusal::new(Code::RateLimited, "too many calls")
                }),
                "hang" => {
                    self.happen("started");
                    cancel.await;
                    self.happen("cancelled");
                    Err(Refusal::new(Code::UpstreamTimeout, "cancelled"))
                }
                "panic" => panic!("a bug"),
                "ask" => self.asked(caller, &call, cancel).await,
                _ => Err(not_found()),
            };
            Finished { result, audit_id: Some(self.audit_id()) }
        })
    }

    fn list_services(&self, caller: &Caller) -> Vec<ServiceView> {
        let view = ServiceView {
            name: "acme".into(),
            kind: "http",
            base_url: "https://api.test/v1".into(),
            program: None,
            auth: "bearer".into(),
            rules: vec![(Verdict::Allow, "GET /**".into()), (Verdict::Deny, "* /keys/**".into())],
            calls_per_minute: 600,
            response_bytes: 10 << 20,
            request_headers: vec!["x-foo".into()],
            handle_fields: Vec::new(),
        };
        let program = ServiceView {
            name: "git".into(),
            kind: "command",
            base_url: String::new(),
            program: Some("git".into()),
            auth: "secrets".into(),
            rules: vec![(Verdict::Allow, "git push **".into())],
            request_headers: Vec::new(),
            ..view.clone()
        };
        if caller.principal.name.as_str() == "nobody" { Vec::new() } else { vec![view, program] }
    }

    fn exec<'a>(
        &'a self,
        _: &'a Caller,
        call: Exec,
        _: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Executed> {
        Box::pin(async move {
            let printed = |bytes: Vec<u8>| Redactor::default().clean(bytes).0.into();
            let said = format!("{:?} {:?}\n", call.command, String::from_utf8_lossy(&call.stdin));
            let ran = Ran {
                exit_code: 3,
                signal: None,
                stdout: printed(said.into_bytes()),
                stderr: printed(vec![0, 159, 255]),
                redactions: 1,
                duration_ms: 5,
            };
            let result = match call.service.as_str() {
                "git" => Ok(ran),
                "killed" => Ok(Ran { exit_code: 137, signal: Some(9), ..ran }),
                "large" => Ok(Ran { stdout: printed(vec![b'x'; 100_000]), ..ran }),
                _ => Err(not_found()),
            };
            Executed { result, audit_id: Some(self.audit_id()) }
        })
    }

    fn explain_command(
        &self,
        _: &Caller,
        service: &str,
        command: Vec<String>,
    ) -> Result<Explained, Refusal> {
        if service != "git" {
            return Err(not_found());
        }
        let explanation = Explanation::new(
            Verdict::Allow,
            Some("git push **".into()),
            vec![(Verdict::Allow, "git push **".into())],
        );
        Ok(Explained { request: command.join(" "), explanation })
    }

    fn explain(&self, caller: &Caller, call: Execute) -> Result<Explained, Refusal> {
        if call.service != "acme" || caller.principal.name.as_str() == "nobody" {
            return Err(not_found());
        }
        Ok(Explained {
            request: format!("{} {}", call.method, call.path),
            explanation: Explanation::new(
                Verdict::Allow,
                Some("GET /**".into()),
                vec![(Verdict::Allow, "GET /**".into())],
            ),
        })
    }

    fn test_service<'a>(
        &'a self,
        _caller: &'a Caller,
        service: &'a str,
        _cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<Tested, (Refusal, Option<String>)>> {
        Box::pin(async move {
            if service != "acme" {
                return Err((not_found(), Some(self.audit_id())));
            }
            Ok(Tested {
                reachable: true,
                authenticated: false,
                status: 401,
                latency_ms: 3,
                audit_id: self.audit_id(),
            })
        })
    }

    fn whoami<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, WhoAmI> {
        let me = WhoAmI {
            principal: caller.principal.name.to_string(),
            source: match caller.principal.source {
                Source::Stdio => "stdio",
                Source::Token => "token",
            },
            services: self.list_services(caller).into_iter().map(|view| view.name).collect(),
            grants: Vec::new(),
        };
        Box::pin(std::future::ready(me))
    }

    fn request_access<'a>(
        &'a self,
        _caller: &'a Caller,
        request: RequestAccess,
    ) -> BoxFuture<'a, Result<Requested, (Refusal, Option<String>)>> {
        Box::pin(async move {
            if request.service != "acme" {
                return Err((not_found(), Some(self.audit_id())));
            }
            Ok(Requested { id: "a-12345678".into(), audit_id: Some(self.audit_id()) })
        })
    }
}

/// Knows three tokens.
#[derive(Default)]
pub(crate) struct Door {
    pub(crate) refused: Mutex<Vec<Draft>>,
}

impl Authenticator for Door {
    fn authenticate(&self, token: &Secret) -> Option<Principal> {
        let name = match token.expose() {
            b"sr_alice" => "alice",
            b"sr_bob" => "bob",
            b"sr_nobody" => "nobody",
            _ => return None,
        };
        Some(principal(name, Source::Token))
    }

    fn refused(&self, draft: Draft) {
        self.refused.lock().unwrap().push(draft);
    }
}

/// A client on a pair of pipes.
pub(crate) struct Stdio {
    pub(crate) fake: Arc<Fake>,
    to: Option<PipeWriter>,
    from: BufReader<PipeReader>,
    server: Option<JoinHandle<()>>,
}

impl Stdio {
    pub(crate) fn start() -> Self {
        Self::with(Limits::default())
    }

    /// A client with a session of the newest revision that has sessions.
    pub(crate) fn initialized() -> Self {
        let mut client = Self::start();
        let hello = client.call("initialize", &initialize("2025-11-25"));
        assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{hello}");
        client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self::before(None, limits)
    }

    /// A client before these servers, with a session of the newest revision that has sessions.
    pub(crate) fn before_servers(servers: Arc<dyn Servers>) -> Self {
        let mut client = Self::before(Some(servers), Limits::default());
        client.call("initialize", &initialize("2025-11-25"));
        client
    }

    /// A client before these servers that has not said hello.
    pub(crate) fn before_servers_unsaid(servers: Arc<dyn Servers>) -> Self {
        Self::before(Some(servers), Limits::default())
    }

    fn before(servers: Option<Arc<dyn Servers>>, limits: Limits) -> Self {
        let (stdin, to) = std::io::pipe().unwrap();
        let (from, stdout) = std::io::pipe().unwrap();
        let fake = Arc::new(Fake::default());
        let calls = Behind { calls: fake.clone(), servers };
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let me = principal("claude-code", Source::Stdio);
            runtime.unwrap().block_on(stdio::serve(calls, me, stdin, stdout, limits)).unwrap();
        });
        Self { fake, to: Some(to), from: BufReader::new(from), server: Some(server) }
    }

    /// Sends one line, whatever it is.
    pub(crate) fn send(&mut self, line: impl AsRef<[u8]>) {
        self.send_raw([line.as_ref(), b"\n"].concat());
    }

    /// Sends bytes.
    pub(crate) fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.to.as_mut().unwrap().write_all(bytes.as_ref()).unwrap();
    }

    /// The next line.
    pub(crate) fn receive(&mut self) -> Value {
        let line = self.receive_line();
        serde_json::from_str(&line).expect(&line)
    }

    /// The next line, as it came.
    pub(crate) fn receive_line(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the server said no more: {line:?}");
        line
    }

    /// Sends a request with the id 7 and returns its answer.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.send(request(7, method, params));
        let answer = self.receive();
        assert_eq!(answer["id"], 7, "{answer}");
        answer
    }

    /// Calls a tool.
    pub(crate) fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        self.call("tools/call", &json!({"name": name, "arguments": arguments}))
    }

    /// Closes standard input and returns what else is said until the end.
    pub(crate) fn close(&mut self) -> String {
        drop(self.to.take());
        let mut rest = String::new();
        self.from.read_to_string(&mut rest).unwrap();
        self.server.take().unwrap().join().unwrap();
        rest
    }
}

pub(crate) fn request(id: impl Into<Value>, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params}).to_string()
}

pub(crate) fn initialize(version: &str) -> Value {
    let client = json!({"name": "legacy-client", "version": "1"});
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client})
}

/// A server on a port of its own.
pub(crate) struct Http {
    pub(crate) fake: Arc<Fake>,
    pub(crate) door: Arc<Door>,
    pub(crate) address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} {:?}", self.head, self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

impl Http {
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::before(None, options)
    }

    /// An endpoint before these servers.
    pub(crate) fn before_servers(servers: Arc<dyn Servers>) -> Self {
        Self::before(Some(servers), Options::default())
    }

    fn before(servers: Option<Arc<dyn Servers>>, options: Options) -> Self {
        let (fake, door) = (Arc::new(Fake::default()), Arc::new(Door::default()));
        let (calls, authenticator) = (Behind { calls: fake.clone(), servers }, Arc::clone(&door));
        let (shutdown, stop) = oneshot::channel();
        let (tell, port) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let stop = async { drop(stop.await) };
                http::serve(listener, calls, authenticator, options, stop).await.unwrap();
            });
        });
        let address = port.recv().unwrap();
        Self { fake, door, address, shutdown: Some(shutdown), server: Some(server) }
    }

    #[expect(clippy::disallowed_methods, reason = "the tests dial their own server")]
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Announces the end.
    pub(crate) fn stop(&mut self) {
        drop(self.shutdown.take());
    }

    /// Waits for it.
    pub(crate) fn join(&mut self) {
        self.stop();
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }

    /// The header lines that every good request of alice has.
    pub(crate) fn lines(&self) -> Vec<String> {
        vec![
            format!("Host: {}", self.address),
            "Authorization: Bearer sr_alice".into(),
            "Content-Type: application/json".into(),
            "Accept: application/json, text/event-stream".into(),
        ]
    }

    /// Sends `start` (method and target), these header lines and this body.
    pub(crate) fn raw(&self, start: &str, lines: &[String], body: &[u8]) -> Got {
        let mut stream = self.connect();
        stream.write_all(&head(start, lines, body.len())).unwrap();
        // The server may answer and close without having read the body.
        let _ = stream.write_all(body);
        receive(&mut stream)
    }

    /// Posts a message of the `initialize` era.
    pub(crate) fn post(&self, more: &[String], body: &str) -> Got {
        self.raw("POST /mcp", &[self.lines(), more.to_vec()].concat(), body.as_bytes())
    }

    /// Opens a session for the bearer of `token` and returns the header line that names it.
    pub(crate) fn session(&self, token: &str) -> String {
        let mut lines = self.lines();
        lines[1] = format!("Authorization: Bearer {token}");
        let body = request(1, "initialize", &initialize("2025-06-18"));
        let got = self.raw("POST /mcp", &lines, body.as_bytes());
        assert_eq!(got.status, 200, "{}", got.head);
        format!("Mcp-Session-Id: {}", got.header("mcp-session-id").expect("a session"))
    }

    /// Posts a modern request with the headers that it needs.
    pub(crate) fn modern(&self, method: &str, params: &Value) -> Got {
        let mut more = modern_lines(method);
        if let Some(name) = params["name"].as_str() {
            more.push(format!("Mcp-Name: {name}"));
        }
        self.post(&more, &request(7, method, params))
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.join();
        }
    }
}

pub(crate) fn modern_lines(method: &str) -> Vec<String> {
    vec!["MCP-Protocol-Version: 2026-07-28".into(), format!("Mcp-Method: {method}")]
}

pub(crate) fn head(start: &str, lines: &[String], length: usize) -> Vec<u8> {
    let lines = lines.join("\r\n");
    format!("{start} HTTP/1.1\r\n{lines}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

/// Reads one response.
pub(crate) fn receive(stream: &mut TcpStream) -> Got {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
    }
    let status = head[9..12].parse().unwrap();
    let got = Got { status, head, body: Vec::new() };
    let length = got.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Got { body, ..got }
}
