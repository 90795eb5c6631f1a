//! A client that a test leads, and the server that it has started.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::project::{Project, installed, node_program};

/// Nothing here takes as long on a machine that has time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A client with a server.
pub(crate) struct Client {
    child: Child,
    orders: ChildStdin,
    events: Receiver<Value>,
    /// The server.
    pub(crate) server: u64,
}

impl Client {
    /// Starts `server`, a file of `project`, with a client that can ask its user, or cannot.
    pub(crate) fn start(project: &Project, elicits: bool, server: &Path) -> Self {
        let file = project.copy("bindings/node/tests/it/scripts/client.cjs");
        let mut node = project.node();
        node.arg(file).arg(if elicits { "elicits" } else { "does-not" });
        node.arg(node_program()).arg(server).env("NODE_PATH", installed("node/node_modules"));
        let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap();
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut client = Self { child, orders, events, server: 0 };
        client.server = client.event("ready").as_u64().unwrap();
        client
    }

    /// Calls a tool, and does not wait.
    pub(crate) fn call(&mut self, tool: &str) {
        self.order(&json!({ "call": tool }));
    }

    /// Answers the open question.
    pub(crate) fn answer(&mut self, answer: &Value) {
        self.order(&json!({ "answer": answer }));
    }

    /// Accepts the open question with this choice.
    pub(crate) fn choose(&mut self, choice: &str) {
        self.answer(&json!({ "action": "accept", "content": { "value": choice } }));
    }

    /// Gives up the open call.
    pub(crate) fn cancel(&mut self) {
        self.order(&json!({ "cancel": true }));
    }

    /// Ends the client, and its connection.
    pub(crate) fn leave(mut self) {
        self.order(&json!({ "leave": true }));
        assert!(self.child.wait().unwrap().success());
    }

    /// What the next event of this name has; others before it are passed over.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.events.recv_timeout(PATIENCE);
            let mut event = event.unwrap_or_else(|_| panic!("`{name}` did not happen"));
            if let Some(value) = event.get_mut(name) {
                return value.take();
            }
        }
    }

    /// The text of the next result, and whether it is an error.
    pub(crate) fn result(&mut self) -> (String, bool) {
        let result = self.event("result");
        let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        (text, result["isError"] == true)
    }

    fn order(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
