//! An MCP server that answers at once: what is measured through the gateway, less the gateway.
//!
//! Every tool says its `message`, and as many `bytes` behind it as it is told to. It is of the
//! `initialize` era, as most servers are.

use std::convert::Infallible;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves until the other side is gone: `stdio [TOOLS]`, or `http [TOOLS]`, which prints its URL.
/// `TOOLS` is how many tools there are.
///
/// # Errors
///
/// What is wrong with `arguments`, or what the system said.
pub fn main(arguments: &[String]) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let (how, tools) = arguments.split_first().ok_or("echo stdio|http [TOOLS]")?;
    let tools = tools.first().map_or(Ok(1), |tools| tools.parse()).map_err(|_| "how many?")?;
    match how.as_str() {
        "stdio" => stdio(&Echo::new(tools)).map_err(text),
        "http" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(text)?.block_on(http(Echo::new(tools))).map_err(text)
        }
        _ => Err("echo stdio|http [TOOLS]".to_owned()),
    }
}

struct Echo {
    tools: Value,
    /// What large answers are cut from.
    filling: String,
}

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";

/// The longest answer, in bytes.
const LARGEST: usize = 8 << 20;

impl Echo {
    fn new(tools: usize) -> Self {
        let tools: Vec<Value> = (0..tools)
            .map(|number| {
                let name = if number == 0 { "echo".to_owned() } else { format!("tool_{number}") };
                let (about, message) = (format!("Says what it is told, as {name}"), "What to say");
                let message = json!({ "type": "string", "description": message });
                let schema = json!({
                    "type": "object", "properties": { "message": message },
                    "required": ["message"],
                });
                json!({ "name": name, "description": about, "inputSchema": schema })
            })
            .collect();
        // Words of letters and digits, which no secret is.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(LETTERS[usize::try_from(state >> 59).unwrap_or_default()])
        };
        let filling = (0..LARGEST).map(|at| if at % 11 == 10 { ' ' } else { next() }).collect();
        Self { tools: json!({ "tools": tools }), filling }
    }

    /// The answer to a message, where it wants one.
    fn answer(&self, message: &Value) -> Option<String> {
        let id = message.get("id")?;
        let result = match message["method"].as_str()? {
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "echo", "version": "1" },
            }),
            "ping" => json!({}),
            "tools/list" => self.tools.clone(),
            "tools/call" => return Some(self.call(id, &message["params"])),
            _ => {
                let error = json!({ "code": -32601, "message": "method not found" });
                return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
            }
        };
        Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string())
    }

    /// The filling is copied once and needs no escapes: the time of a large answer is to be the pipe's.
    fn call(&self, id: &Value, params: &Value) -> String {
        let arguments = &params["arguments"];
        let message = arguments["message"].as_str().unwrap_or_default();
        let bytes = arguments["bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
        let more = self.filling.get(..bytes.unwrap_or_default()).unwrap_or_default();
        let content = json!([{ "type": "text", "text": message }]).to_string();
        let content = content.strip_suffix("\"}]").unwrap_or_default();
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":{content}"#);
        [&head, more, "\"}]}}"].concat()
    }
}

fn stdio(echo: &Echo) -> io::Result<()> {
    let (mut input, mut line) = (BufReader::new(io::stdin().lock()), String::new());
    let mut output = BufWriter::new(io::stdout().lock());
    while input.read_line(&mut line)? > 0 {
        let answer = serde_json::from_str(&line).ok().and_then(|message| echo.answer(&message));
        if let Some(answer) = answer {
            output.write_all(answer.as_bytes())?;
            output.write_all(b"\n")?;
        }
        if input.buffer().is_empty() {
            output.flush()?;
        }
        line.clear();
    }
    Ok(())
}

async fn http(echo: Echo) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let echo: &Echo = Box::leak(Box::new(echo));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let answer =
                service_fn(|request| async { Ok::<_, Infallible>(reply(echo, request).await) });
            let http = hyper::server::conn::http1::Builder::new();
            // A client that goes away has its reasons.
            drop(http.serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

async fn reply(echo: &Echo, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let post = request.method() == Method::POST;
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let message = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let answer = echo.answer(&message);
    let wanted = answer.is_some();
    let mut response = Response::new(Full::from(answer.unwrap_or_default()));
    *response.status_mut() = match (post, wanted) {
        (false, _) => StatusCode::METHOD_NOT_ALLOWED,
        (true, false) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::OK,
    };
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", kind);
    response
}
