//! As much of an MCP client as the demo needs: one request at a time, over lines of JSON.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

/// The newest version with an `initialize` handshake, which most clients speak.
const VERSION: &str = "2025-11-25";

/// A conversation with an MCP server.
pub struct Client<R, W> {
    reader: R,
    writer: W,
    next: u64,
}

/// The server did not behave as one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It ended.
    #[error("the broker ended before it answered")]
    Ended,
    /// Its answer is not JSON, or not an answer.
    #[error("the broker's answer to `{method}` is not one")]
    Malformed {
        /// What was asked.
        method: &'static str,
    },
    /// It answered with a protocol error.
    #[error("the broker refused `{method}` with the error {code}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// The error's number.
        code: i64,
    },
    /// The pipe broke.
    #[error("the pipe to the broker broke")]
    Pipe(#[from] io::Error),
}

impl<R: BufRead, W: Write> Client<R, W> {
    /// A client over a server's standard streams.
    pub fn new(reader: R, writer: W) -> Self {
        Self { reader, writer, next: 1 }
    }

    /// Shakes hands and returns the names of the tools.
    pub fn start(&mut self, name: &str) -> Result<Vec<String>, ClientError> {
        let hello = json!({
            "protocolVersion": VERSION,
            "capabilities": {},
            "clientInfo": {"name": name, "version": env!("CARGO_PKG_VERSION")},
        });
        self.request("initialize", &hello)?;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        let listed = self.request("tools/list", &json!({}))?;
        let tools = listed["tools"].as_array().into_iter().flatten();
        Ok(tools.filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect())
    }

    /// Calls a tool and returns its structured content.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value, ClientError> {
        let params = json!({"name": tool, "arguments": arguments});
        let mut result = self.request("tools/call", &params)?;
        Ok(result["structuredContent"].take())
    }

    fn request(&mut self, method: &'static str, params: &Value) -> Result<Value, ClientError> {
        let id = self.next;
        self.next += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(ClientError::Ended);
            }
            let malformed = |_| ClientError::Malformed { method };
            let mut message: Value = serde_json::from_str(&line).map_err(malformed)?;
            if message["id"] != id {
                continue;
            }
            if let Some(code) = message["error"]["code"].as_i64() {
                return Err(ClientError::Refused { method, code });
            }
            return match message["result"].take() {
                Value::Null => Err(ClientError::Malformed { method }),
                result => Ok(result),
            };
        }
    }

    fn send(&mut self, message: &Value) -> Result<(), ClientError> {
        self.writer.write_all(format!("{message}\n").as_bytes())?;
        Ok(self.writer.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against(answers: &str) -> Result<Vec<String>, ClientError> {
        Client::new(answers.as_bytes(), io::sink()).start("demo")
    }

    #[test]
    fn answers_are_matched_by_their_id_and_errors_are_told_apart() {
        let hello = r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{}}}"#;
        let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
        let tools = r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"execute"}]}}"#;
        let refused = r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"canary"}}"#;

        assert_eq!(against(&format!("{hello}\n{note}\n{tools}\n")).unwrap(), ["execute"]);
        let error = against(&format!("{hello}\n{refused}\n")).unwrap_err();
        assert_eq!(error.to_string(), "the broker refused `tools/list` with the error -32601");
        assert!(matches!(against(hello).unwrap_err(), ClientError::Ended));
        assert!(matches!(against("canary\n").unwrap_err(), ClientError::Malformed { .. }));
    }
}
