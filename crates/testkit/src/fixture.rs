//! An MCP server with everything that the official conformance suite looks for, in both eras, over
//! stdio and over HTTP.
//!
//! It is the upstream that the suite meets through the gateway; alone it passes the whole of it, so
//! that what fails through the gateway is the gateway's. Messages are raw JSON, and nothing of the
//! product's own protocol is in here.
//!
//! A tool that needs its user is written once, as rounds of questions: a client of the `initialize`
//! era is asked by requests of ours, a modern one by `input_required` (SEP-2322).

mod asks;
mod http;
mod prompts;
mod resources;
mod stdio;
mod tasks;
mod tools;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{broadcast, oneshot};

pub use http::Http;

/// The version without a handshake.
pub const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Where the program is: the example `mcp_fixture` of the program's package, which is built with
/// its tests.
///
/// # Panics
///
/// Where it was not built.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its program");
    let built = test.ancestors().nth(2).expect("tests are built into a folder of their own");
    let program = built.join("examples/mcp_fixture");
    assert!(program.exists(), "{} is missing: `cargo nextest run` builds it", program.display());
    program
}

/// Serves until the other side is gone: `stdio`, or `http [ADDRESS]`, which prints its URL; `echo` and
/// what follows is [`crate::echo`].
///
/// # Errors
///
/// What is wrong with `arguments`, or what the system said.
pub fn main(arguments: &[String]) -> Result<(), String> {
    if let Some(("echo", rest)) = arguments.split_first().map(|(word, rest)| (word.as_str(), rest))
    {
        return crate::echo::main(rest);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stdio"] => runtime.block_on(stdio::serve()),
        ["http"] => runtime.block_on(http::serve("127.0.0.1:0")),
        ["http", address] => runtime.block_on(http::serve(address)),
        _ => return Err("usage: mcp_fixture stdio | http [ADDRESS] | echo ..".to_owned()),
    }
    .map_err(|error| error.to_string())
}

/// What all clients share.
#[derive(Default)]
struct Server {
    key: RandomState,
    asked: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    changes: Changes,
    tasks: tasks::Tasks,
}

struct Changes(broadcast::Sender<&'static str>);

impl Default for Changes {
    fn default() -> Self {
        Self(broadcast::Sender::new(64))
    }
}

/// A request, and what is known of who makes it.
struct Call<'a> {
    method: &'a str,
    params: &'a Value,
    capabilities: &'a Value,
    modern: bool,
}

/// What a request can do before its answer.
#[derive(Clone, Copy)]
struct Way<'a> {
    /// Sends a message to the client of the request.
    send: &'a (dyn Fn(Value) + Send + Sync),
    /// Ends the stream on which the client waits, which it may then ask for again.
    cut: &'a (dyn Fn() + Send + Sync),
}

/// Why a request has no result.
#[derive(Debug)]
struct Fault {
    code: i64,
    message: String,
    data: Option<Value>,
}

impl Fault {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn with(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }
}

impl Server {
    /// The answer to `call`, as the message with this id.
    async fn reply(&self, id: &Value, call: &Call<'_>, way: Way<'_>) -> Value {
        match self.answer(call, way).await {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(fault) => {
                let mut error = json!({ "code": fault.code, "message": fault.message });
                if let Some(data) = fault.data {
                    error["data"] = data;
                }
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
        }
    }

    async fn answer(&self, call: &Call<'_>, way: Way<'_>) -> Result<Value, Fault> {
        let mut result = match (call.method, call.modern) {
            ("initialize", false) => hello(call.params),
            ("server/discover", true) => discovered(),
            (
                "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe",
                false,
            ) => {
                json!({})
            }
            ("tools/list", _) => tools::list(),
            ("tools/call", _) => tools::call(self, call, way).await?,
            ("resources/list", _) => resources::list(),
            ("resources/templates/list", _) => resources::templates(),
            ("resources/read", _) => resources::read(call.params)?,
            ("tasks/get" | "tasks/update" | "tasks/cancel", true) => self.task(call)?,
            ("prompts/list", _) => prompts::list(),
            ("prompts/get", _) => prompts::get(self, call, way).await?,
            ("completion/complete", _) => {
                json!({ "completion": { "values": ["paris", "park", "party"], "hasMore": false } })
            }
            _ => return Err(Fault::new(-32601, "method not found")),
        };
        if call.modern {
            if result.get("resultType").is_none() {
                result["resultType"] = json!("complete");
            }
            let cached = call.method.ends_with("/list")
                || ["resources/read", "server/discover"].contains(&call.method);
            if cached {
                result["ttlMs"] = json!(0);
                result["cacheScope"] = json!("private");
            }
        }
        Ok(result)
    }

    /// Asks the client of a legacy request, and waits for what it says.
    async fn ask(&self, way: Way<'_>, method: &Value, params: &Value) -> Result<Value, String> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
        (way.send)(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let mut answer = answered.await.map_err(|_| "the client is gone".to_owned())?;
        match answer.get("error") {
            Some(error) => Err(error["message"].as_str().unwrap_or("no reason").to_owned()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Takes what a client says to a request of ours.
    fn answered(&self, message: Value) {
        let id = message["id"].as_u64();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = id.and_then(|id| waiting.remove(&id)) {
            // Who asked may be gone.
            drop(answer.send(message));
        }
    }

    /// Tells all who listen that a list changed: `tools` or `prompts`.
    fn changed(&self, list: &'static str) {
        // Nobody may listen.
        drop(self.changes.0.send(list));
    }

    /// The state of a conversation after `round`, which only this server can have made.
    fn seal(&self, tool: &str, round: &str) -> String {
        format!("{round}.{:016x}", self.key.hash_one((tool, round)))
    }

    /// The round that `state` stands for.
    fn open<'a>(&self, tool: &str, state: &'a str) -> Result<&'a str, Fault> {
        state
            .split_once('.')
            .map(|(round, _)| round)
            .filter(|round| self.seal(tool, round) == state)
            .ok_or_else(|| Fault::new(-32602, "this requestState is not ours"))
    }
}

/// What the client of a modern request must have said in its `_meta`.
fn checked(params: &Value) -> Result<&Value, Fault> {
    let meta = |name: &str| params["_meta"].get(format!("io.modelcontextprotocol/{name}"));
    let missing = |name: &str| Fault::new(-32602, format!("`_meta` lacks {name}"));
    let version = meta("protocolVersion").and_then(Value::as_str);
    let version = version.ok_or_else(|| missing("protocolVersion"))?;
    let capabilities = meta("clientCapabilities").filter(|value| value.is_object());
    let capabilities = capabilities.ok_or_else(|| missing("clientCapabilities"))?;
    if version != MODERN {
        let data = json!({ "supported": [MODERN], "requested": version });
        return Err(Fault::new(-32022, "unsupported protocol version").with(data));
    }
    Ok(capabilities)
}

/// The notices that a subscription of a modern client wants, and the acknowledgement of it.
fn subscription(
    id: &Value,
    params: &Value,
) -> (impl Fn(&'static str) -> Option<Value> + use<>, Value) {
    let wanted = params["notifications"].clone();
    let id = json!({ "io.modelcontextprotocol/subscriptionId": id });
    let acknowledged = json!({
        "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": id, "notifications": wanted },
    });
    let notice = move |list: &'static str| {
        (wanted[format!("{list}ListChanged")] == true).then(|| {
            let mut notice = list_changed(list);
            notice["params"] = json!({ "_meta": id });
            notice
        })
    };
    (notice, acknowledged)
}

fn list_changed(list: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": format!("notifications/{list}/list_changed") })
}

fn hello(params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str().unwrap_or_default();
    let version = LEGACY.iter().find(|version| **version == asked).unwrap_or(&LEGACY[0]);
    json!({
        "protocolVersion": version, "capabilities": capabilities(false), "serverInfo": identity(),
    })
}

fn discovered() -> Value {
    json!({
        "supportedVersions": [MODERN], "capabilities": capabilities(true),
        "_meta": { "io.modelcontextprotocol/serverInfo": identity() },
    })
}

fn identity() -> Value {
    json!({ "name": "conformance-fixture", "version": "1.0.0" })
}

fn capabilities(modern: bool) -> Value {
    let mut capabilities = json!({
        "tools": { "listChanged": true }, "prompts": { "listChanged": true },
        "resources": { "subscribe": true }, "completions": {}, "logging": {},
    });
    if modern {
        capabilities["extensions"] = json!({ tasks::TASKS: {} });
    }
    capabilities
}
