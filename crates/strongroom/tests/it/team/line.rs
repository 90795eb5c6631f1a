//! A connection that is kept, for requests by the thousand.
#![expect(clippy::disallowed_methods, reason = "a test connects to the server that it started")]

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

pub(super) struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    /// To the server at `url`.
    pub(super) fn to(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Posts JSON and reads JSON; the status besides.
    pub(super) fn post(&mut self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let (head, answer) = self.exchange(path, key, body);
        (head[0].split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    /// Says hello, and gives the session that it opens.
    pub(super) fn hello(&mut self, key: &str) -> String {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        });
        let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let (head, answer) = self.exchange("/mcp", key, &hello);
        assert_eq!(answer["result"]["capabilities"]["tools"]["listChanged"], true, "{answer}");
        let session = head.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        session.expect("a session")
    }

    /// The stream of what is said without being asked; its lines end when it does.
    pub(super) fn listen(url: &str, key: &str, session: &str) -> Lines<BufReader<TcpStream>> {
        let mut line = Self::to(url);
        let request = format!(
            "GET /mcp HTTP/1.1\r\nHost: test\r\nX-API-Key: {key}\r\nAccept: text/event-stream\r\n\
             Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n\
             Connection: close\r\n\r\n"
        );
        line.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let head = line.head();
        assert!(head[0].contains(" 200 "), "{head:?}");
        line.stream.get_ref().set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        line.stream.lines()
    }

    fn exchange(&mut self, path: &str, key: &str, body: &Value) -> (Vec<String>, Value) {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nX-API-Key: {key}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let head = self.head();
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.expect("answers of JSON say how long they are")];
        self.stream.read_exact(&mut body).unwrap();
        (head, serde_json::from_slice(&body).unwrap())
    }

    fn head(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).unwrap(), 0, "the server went away");
            if line == "\r\n" {
                return lines;
            }
            lines.push(line.trim_end().to_owned());
        }
    }
}
