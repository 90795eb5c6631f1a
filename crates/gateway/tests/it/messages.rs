//! What is not one message (MC-09 to MC-11), on both transports.

use serde_json::json;
use strongroom_gateway::http::Options;
use strongroom_gateway::wire::Limits;

use crate::support::{Http, Stdio, request};

fn bad() -> Vec<(Vec<u8>, i64)> {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let text = |text: &str, code| (text.as_bytes().to_vec(), code);
    vec![
        text("[]", -32600),
        text("[[]]", -32600),
        text(&format!("[{ping},{ping}]"), -32600),
        text(&format!("[{ping}{}]", format!(",{ping}").repeat(9_999)), -32600),
        text(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        text(r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#, -32600),
        text(r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        text(
            &format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(1 << 20)),
            -32600,
        ),
        text(r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#, -32700),
        text(&format!("{ping}{ping}"), -32700),
        text(&format!("{ping} x"), -32700),
        text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":NaN}", -32700),
        text(r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#, -32700),
        text(&format!("\u{feff}{ping}"), -32700),
        text("Content-Length: 40", -32700),
        text("\u{1b}[2J", -32700),
        text(&"[".repeat(100_000), -32600),
        text(
            &format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{}1{}}}}}"#,
                "[".repeat(99_999),
                "]".repeat(99_999)
            ),
            -32600,
        ),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xffng\"}".to_vec(), -32700),
    ]
}

#[test]
fn on_stdio_each_is_one_error_and_the_next_message_is_served() {
    let mut client = Stdio::initialized();
    for (bytes, code) in bad() {
        client.send(&bytes);
        let answer = client.receive();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!(answer["error"]["code"], code, "{shown}");
        assert!(answer["id"].is_null(), "{shown}");
        assert_eq!(client.call("ping", &json!({}))["result"], json!({}), "{shown}");
    }
    assert!(client.fake.seen().is_empty());
}

#[test]
fn over_http_each_is_a_bad_request() {
    let server = Http::start();
    for (bytes, code) in bad() {
        let got = server.raw("POST /mcp", &server.lines(), &bytes);
        assert_eq!((got.status, got.json()["error"]["code"].as_i64()), (400, Some(code)));
    }
    server.session("sr_alice");
}

#[test]
fn a_line_without_an_end_is_refused_at_the_cap_and_the_stream_goes_on_after_it() {
    let mut client = Stdio::with(Limits { message_bytes: 10_000, ..Limits::default() });
    client.send("x".repeat(1 << 20));
    assert_eq!(client.receive()["error"]["code"], -32600);
    let padded = |size: usize| {
        let bare = request(7, "ping", &json!({}));
        format!("{bare}{}", " ".repeat(size - bare.len()))
    };
    client.send(padded(10_001));
    assert_eq!(client.receive()["error"]["code"], -32600);
    client.send(padded(10_000));
    assert_eq!(client.receive()["result"], json!({}));
}

#[test]
fn a_body_over_the_cap_is_refused_whether_it_says_so_or_not() {
    let limits = Limits { message_bytes: 10_000, ..Limits::default() };
    let server = Http::with(Options { limits, ..Options::default() });
    let body = vec![b' '; 10_001];
    assert_eq!(server.raw("POST /mcp", &server.lines(), &body).status, 413);
    assert_eq!(server.raw("POST /mcp", &server.lines(), &body[1..]).status, 400, "read, and empty");

    let mut stream = server.connect();
    let lines = server.lines().join("\r\n");
    let mut message =
        format!("POST /mcp HTTP/1.1\r\n{lines}\r\nTransfer-Encoding: chunked\r\n\r\n2711\r\n")
            .into_bytes();
    message.extend_from_slice(&body);
    message.extend_from_slice(b"\r\n0\r\n\r\n");
    std::io::Write::write_all(&mut stream, &message).unwrap();
    assert_eq!(crate::support::receive(&mut stream).status, 413);
}

#[test]
fn empty_lines_and_carriage_returns_do_not_matter() {
    let mut client = Stdio::start();
    client.send("\n  \n\r");
    client.send(format!("{}\r", request(7, "ping", &json!({}))));
    assert_eq!(client.receive()["id"], 7);
}

#[test]
fn an_id_in_flight_cannot_be_used_again() {
    let mut client = Stdio::initialized();
    let hang = json!({"name": "execute",
        "arguments": {"service": "hang", "method": "GET", "path": "/"}});
    client.send(request(1, "tools/call", &hang));
    client.fake.wait("started", 1);
    client.send(request(1, "tools/call", &hang));
    let refused = client.receive();
    assert_eq!(refused["error"]["code"], -32600);
    assert!(refused["id"].is_null(), "or it would pass for the answer to the first");
    // `"1"` is another id.
    client.send(request("1", "tools/call", &hang));
    client.fake.wait("started", 2);
    assert_eq!(client.fake.seen().len(), 2);
}
