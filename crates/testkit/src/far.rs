//! MCP servers at an address, of each era and with each fault, and a client's half of HTTP for tests that
//! have no executor.

mod plain;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::ca::Identity;
use crate::upstream::{Reply, Seen, Upstream};
pub use plain::Plain;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// 2026-07-28.
    Modern,
    /// 2025-11-25 with sessions; answers are streams of events.
    Sessions,
    /// 2025-03-26 without sessions; answers are JSON, in a list.
    Batches,
    /// 2024-11-05: an event stream at `/sse`, messages at `/messages`.
    Events,
}

/// A server. Its tools are methods of their own fault: see [`FarServer::tool`].
pub struct FarServer {
    /// What it has been sent.
    pub upstream: Upstream,
    scheme: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    speaks: Speaks,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: u64,
    sessions: BTreeSet<String>,
    /// The stream by which it speaks unasked.
    stream: Option<UnboundedSender<Bytes>>,
    /// Streams that wait for an answer of ours, by the id of the question: theirs, and the id of the call.
    asked: BTreeMap<u64, (UnboundedSender<Bytes>, Value)>,
    /// What goes on behind an event, by its id.
    rest: BTreeMap<String, String>,
    /// Streams that stay open.
    open: Vec<UnboundedSender<Bytes>>,
    /// Refuses what has no such header.
    key: Option<(String, String)>,
    /// Answers everything with this status.
    status: Option<u16>,
    /// Answers nothing.
    sulks: bool,
}

impl FarServer {
    /// One that speaks so.
    pub async fn new(speaks: Speaks) -> Self {
        Self::with(speaks, |_| None).await
    }

    /// The same, where `first` may answer before it does: what stands beside it.
    pub async fn with(
        speaks: Speaks,
        first: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared { speaks, state: Mutex::default() });
        let answering = Arc::clone(&shared);
        let answer = move |seen: &Seen| first(seen).unwrap_or_else(|| answering.answer(seen));
        Self { upstream: Upstream::http(answer).await, scheme: "http", shared }
    }

    /// The same over TLS.
    pub async fn https(speaks: Speaks, identity: Identity) -> Self {
        let shared = Arc::new(Shared { speaks, state: Mutex::default() });
        let answering = Arc::clone(&shared);
        let answer = move |seen: &Seen| answering.answer(seen);
        Self { upstream: Upstream::https(identity, answer).await, scheme: "https", shared }
    }

    /// Its address.
    pub fn url(&self) -> String {
        let path = if self.shared.speaks == Speaks::Events { "sse" } else { "mcp" };
        format!("{}://{}/{path}", self.scheme, self.upstream.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// Answers 401 to whoever does not send this header.
    pub fn require(&self, name: &str, value: &str) {
        self.shared.lock().key = Some((name.to_owned(), value.to_owned()));
    }

    /// Answers everything with `status` from now on.
    pub fn answer_with(&self, status: Option<u16>) {
        self.shared.lock().status = status;
    }

    /// Answers nothing any more.
    pub fn sulk(&self) {
        self.shared.lock().sulks = true;
    }

    /// Forgets all sessions, as one that was started again does.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.sessions.clear();
        state.stream = None;
    }

    /// Sends `message` on the stream by which it speaks unasked; says whether there is one.
    pub fn say(&self, message: &Value) -> bool {
        let state = self.shared.lock();
        state.stream.as_ref().is_some_and(|stream| stream.send(event(message)).is_ok())
    }

    /// Ends that stream.
    pub fn hang_up(&self) {
        self.shared.lock().stream = None;
    }

    /// How many sessions it has begun.
    pub fn begun(&self) -> u64 {
        self.shared.lock().begun
    }

    /// The sessions that it has.
    pub fn sessions(&self) -> usize {
        self.shared.lock().sessions.len()
    }

    /// The requests with this verb and, in their bodies, this method.
    pub fn seen(&self, verb: &str, method: &str) -> Vec<Seen> {
        let mut seen = self.upstream.seen();
        seen.retain(|seen| {
            let message: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
            seen.method == verb && message["method"].as_str().unwrap_or_default() == method
        });
        seen
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, seen: &Seen) -> Reply {
        if let Some(status) = self.lock().status {
            return Reply::status(status);
        }
        if self.lock().sulks {
            return Reply::status(200).header("content-type", "application/json").and_no_end();
        }
        if let Some((name, value)) = &self.lock().key
            && seen.values(name) != [value.clone()]
        {
            return Reply::status(401).header("www-authenticate", "Bearer");
        }
        match (self.speaks, seen.method.as_str()) {
            (Speaks::Events, _) => self.beside(seen),
            (Speaks::Sessions, "GET") => self.listen(seen),
            (Speaks::Sessions, "DELETE") => {
                let known = self.lock().sessions.remove(&seen.values("mcp-session-id").concat());
                Reply::status(if known { 204 } else { 404 })
            }
            (_, "POST") => self.message(seen),
            _ => Reply::status(405),
        }
    }

    fn message(&self, seen: &Seen) -> Reply {
        let Ok(message) = serde_json::from_slice::<Value>(&seen.body) else {
            return Reply::status(400);
        };
        match self.speaks {
            Speaks::Modern => modern(seen, &message).unwrap_or_else(|| self.result(&message)),
            Speaks::Sessions => {
                let session = seen.values("mcp-session-id").concat();
                if message["method"] == "initialize" {
                    let session = self.begin();
                    return self.result(&message).header("mcp-session-id", session);
                }
                if session.is_empty() {
                    let error = json!({ "code": -32000, "message": "Bad Request: no session" });
                    return json_reply(
                        400,
                        &json!({ "jsonrpc": "2.0", "id": null, "error": error }),
                    );
                }
                if !self.lock().sessions.contains(&session) {
                    return Reply::status(404);
                }
                if seen.values("mcp-protocol-version") != ["2025-11-25"] {
                    return Reply::status(400);
                }
                self.result(&message)
            }
            Speaks::Batches | Speaks::Events => self.result(&message),
        }
    }

    fn begin(&self) -> String {
        let mut state = self.lock();
        state.begun += 1;
        let session = format!("session-{}", state.begun);
        state.sessions.insert(session.clone());
        session
    }

    fn listen(&self, seen: &Seen) -> Reply {
        if !self.lock().sessions.contains(&seen.values("mcp-session-id").concat()) {
            return Reply::status(404);
        }
        if let Some(last) = seen.values("last-event-id").first() {
            let rest = self.lock().rest.remove(last);
            return rest.map_or(Reply::status(404), |rest| events(Reply::ok(rest)));
        }
        let (send, receive) = unbounded_channel();
        self.lock().stream = Some(send);
        fed(receive)
    }

    /// A server of 2024-11-05.
    fn beside(&self, seen: &Seen) -> Reply {
        let path = seen.target.split('?').next().unwrap_or_default();
        match (seen.method.as_str(), path) {
            ("GET", "/sse") => {
                let (send, receive) = unbounded_channel();
                let session = self.begin();
                let first = format!("event: endpoint\ndata: /messages?session={session}\n\n");
                drop(send.send(first.into()));
                self.lock().stream = Some(send);
                fed(receive)
            }
            ("POST", "/messages") => {
                let Ok(message) = serde_json::from_slice::<Value>(&seen.body) else {
                    return Reply::status(400);
                };
                let answer = message.get("id").is_some().then(|| self.tool(&message));
                if let (Some(answer), Some(stream)) = (answer, &self.lock().stream) {
                    drop(stream.send(event(&answer)));
                }
                Reply::status(202)
            }
            _ => Reply::status(404),
        }
    }

    /// The answer to `message`, in the way in which this server answers.
    fn result(&self, message: &Value) -> Reply {
        if message.get("method").is_none() {
            self.answered(message);
            return Reply::status(202);
        }
        if message.get("id").is_none() {
            return Reply::status(202);
        }
        if message["method"] == "tools/call"
            && let Some(reply) = self.fault(message)
        {
            return reply;
        }
        let answer = self.tool(message);
        match self.speaks {
            Speaks::Sessions => events(Reply::ok(event(&answer))),
            Speaks::Batches => json_reply(200, &json!([answer])),
            Speaks::Modern | Speaks::Events => json_reply(200, &answer),
        }
    }

    /// What the tools do that are called by their fault.
    fn fault(&self, message: &Value) -> Option<Reply> {
        let id = &message["id"];
        let done = || event(&result(id, &text("done")));
        let token = &message["params"]["_meta"]["progressToken"];
        let progress = |n: u64| {
            let params = json!({ "progressToken": token, "progress": n });
            event(
                &json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }),
            )
        };
        Some(match message["params"]["name"].as_str()? {
            "progress" => events(Reply::status(200).pieces([progress(1), progress(2), done()])),
            // Neither an answer nor an end.
            "hang" => {
                let (send, receive) = unbounded_channel();
                self.lock().open.push(send);
                fed(receive)
            }
            "silent" => Reply::status(200).header("content-type", "application/json").and_no_end(),
            "close" => events(Reply::ok(progress(1))),
            "break" => {
                let rest = format!("id: 2\n{}", String::from_utf8_lossy(&done()));
                self.lock().rest.insert("e1".to_owned(), rest);
                events(Reply::ok("retry: 1\nid: e1\ndata:\n\n"))
            }
            "ask" => {
                let (send, receive) = unbounded_channel();
                let params = json!({ "message": "?", "requestedSchema": { "type": "object" } });
                let question = json!({ "jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": params });
                drop(send.send(event(&question)));
                self.lock().asked.insert(7, (send, id.clone()));
                fed(receive)
            }
            "html" => Reply::ok("<html>").header("content-type", "text/html"),
            "garbage" => Reply::ok("{\"jsonrpc\":").header("content-type", "application/json"),
            "other" => json_reply(200, &result(&json!(4711), &text("of another"))),
            "status" => Reply::status(503),
            "teapot" => json_reply(
                418,
                &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32011, "message": "short" } }),
            ),
            "flood" => {
                let piece = progress(1).repeat(64);
                events(Reply::status(200).repeat(piece, u64::MAX, false))
            }
            "long" => {
                let line = format!("data: {}\n\n", "x".repeat(3 << 20));
                events(Reply::status(200).pieces([line.into_bytes().into(), done()]))
            }
            "huge" => Reply::status(200).header("content-type", "application/json").repeat(
                vec![b' '; 64 << 10],
                u64::MAX,
                false,
            ),
            "same" => Reply::status(307).header("location", "/elsewhere"),
            "away" => Reply::status(307).header("location", "http://evil.test/mcp"),
            _ => return None,
        })
    }

    /// The answer to a message that has one.
    fn tool(&self, message: &Value) -> Value {
        let id = &message["id"];
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => {
                let version = match self.speaks {
                    Speaks::Modern => {
                        let error = json!({ "code": -32022, "message": "no", "data": { "supported": ["2026-07-28"] } });
                        return json!({ "jsonrpc": "2.0", "id": id, "error": error });
                    }
                    Speaks::Sessions => "2025-11-25",
                    Speaks::Batches => "2025-03-26",
                    Speaks::Events => "2024-11-05",
                };
                result(id, &json!({ "protocolVersion": version, "capabilities": { "tools": {} } }))
            }
            "server/discover" if self.speaks == Speaks::Modern => result(
                id,
                &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
            ),
            "tools/list" => {
                let region = json!({ "type": "string", "x-mcp-header": "Region" });
                let schema = json!({ "type": "object", "properties": { "region": region } });
                let tools: Vec<Value> = NAMES
                    .iter()
                    .map(|name| json!({ "name": name, "inputSchema": schema }))
                    .collect();
                result(id, &json!({ "resultType": "complete", "tools": tools }))
            }
            "tools/call" => {
                let arguments = message["params"]["arguments"].to_string();
                result(id, &text(&arguments))
            }
            "ping" => result(id, &json!({})),
            _ => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no" } })
            }
        }
    }

    /// An answer to a question of its own: the call that waits for it is answered with what it is.
    fn answered(&self, message: &Value) {
        let asked = message["id"].as_u64().and_then(|id| self.lock().asked.remove(&id));
        if let Some((stream, id)) = asked {
            let said = message.get("result").or(message.get("error")).cloned().unwrap_or_default();
            drop(stream.send(event(&result(&id, &text(&said.to_string())))));
        }
    }
}

/// The tools.
const NAMES: [&str; 17] = [
    "echo", "progress", "hang", "silent", "close", "break", "ask", "html", "garbage", "other",
    "status", "teapot", "flood", "long", "huge", "same", "away",
];

/// What a modern server says to a request whose headers are not those of its body.
fn modern(seen: &Seen, message: &Value) -> Option<Reply> {
    let error = |code: i64| {
        let error =
            json!({ "code": code, "message": "no", "data": { "supported": ["2026-07-28"] } });
        json_reply(400, &json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }))
    };
    let version = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    let header = |name: &str| seen.values(name).first().cloned();
    if version != "2026-07-28" || header("mcp-protocol-version").as_deref() != version.as_str() {
        return Some(error(-32022));
    }
    let region = message["params"]["arguments"]["region"].as_str();
    let same = header("mcp-method").as_deref() == message["method"].as_str()
        && header("mcp-name").as_deref() == message["params"]["name"].as_str()
        && header("mcp-param-region").as_deref() == region
        && seen.values("mcp-session-id").is_empty();
    (!same).then(|| error(-32020))
}

fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

fn result(id: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

fn event(message: &Value) -> Bytes {
    format!("data: {message}\n\n").into()
}

fn events(reply: Reply) -> Reply {
    reply.header("content-type", "text/event-stream")
}

fn fed(receive: UnboundedReceiver<Bytes>) -> Reply {
    events(Reply::status(200).fed(receive))
}

fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::status(status).body(body.to_string()).header("content-type", "application/json")
}
