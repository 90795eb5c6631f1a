//! A connection that is kept, for requests by the thousand.
#![expect(clippy::disallowed_methods, reason = "a test connects to the server that it started")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

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
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nX-API-Key: {key}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let head = self.head();
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.expect("answers of JSON say how long they are")];
        self.stream.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap())
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
