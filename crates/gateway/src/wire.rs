//! JSON-RPC 2.0 as MCP uses it: bytes in, one message out.
//!
//! The wire stays raw. The method, the id and the names that we route by are read; `params` is
//! kept as it was written, because a typed model would drop what it does not know and cost ten
//! times as much. [`parse`] is a pure function.

pub mod error;
pub(crate) mod write;

use std::borrow::Cow;

pub use error::RpcError;
use strongroom_model::json::{self, Members};

/// How large and how deep one message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Levels of arrays and objects.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 16 << 20, depth: 64 }
    }
}

/// One message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Wants none.
    Notification(Notification<'a>),
    /// Answers a question of ours.
    Response(Response<'a>),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The id, to be echoed.
    pub id: Id<'a>,
    /// The method.
    pub method: Cow<'a, str>,
    /// The parameters, an object, as written.
    pub params: Option<&'a str>,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The method.
    pub method: Cow<'a, str>,
    /// The parameters, an object, as written.
    pub params: Option<&'a str>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The id of what it answers, where it says one.
    pub id: Option<Id<'a>>,
    /// The result, as written; `None`: it is an error.
    pub result: Option<&'a str>,
    /// The error, as written, where there is no result.
    pub error: Option<&'a str>,
}

/// A request's id: a string of at most 256 bytes or an integer, as it was written.
///
/// `1` and `"1"` are two ids, and 2^53+1 comes back as 2^53+1 (MC-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<'a>(&'a str);

/// A message that is not one, and what may be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// What is wrong.
    pub error: RpcError,
    /// The id, where one could be read.
    pub id: Option<Id<'a>>,
}

/// Reads one message.
///
/// # Errors
///
/// Anything that is not exactly one JSON-RPC message within the limits.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Message<'_>, Rejected<'_>> {
    let reject = |id, error| Err(Rejected { error, id });
    if bytes.len() > limits.message_bytes {
        return reject(None, RpcError::invalid_request("the message is too large"));
    }
    let text = match json::check(bytes, limits.depth) {
        Ok(text) => text,
        Err(flaw) => return reject(None, RpcError::unreadable(flaw)),
    };
    let Some(members) = Members::read(text) else {
        let what = if text.trim_start().starts_with('[') {
            "batches are not supported"
        } else {
            "a message is an object"
        };
        return reject(None, RpcError::invalid_request(what));
    };
    let id = match members.get("id").map(Id::read) {
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => {
            return reject(None, RpcError::invalid_request("an id is a string or an integer"));
        }
    };
    match Envelope::read(&members) {
        Err(error) => reject(id, error),
        Ok(None) => {
            let (result, error) = (members.get("result"), members.get("error"));
            Ok(Message::Response(Response { id, result, error }))
        }
        Ok(Some(Envelope { method, params })) => Ok(match id {
            Some(id) => Message::Request(Request { id, method, params }),
            None => Message::Notification(Notification { method, params }),
        }),
    }
}

struct Envelope<'a> {
    method: Cow<'a, str>,
    params: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// What a request and a notification have in common; `None` for a response.
    fn read(members: &Members<'a>) -> Result<Option<Self>, RpcError> {
        let invalid = |why| Err(RpcError::invalid_request(why));
        if members.get("jsonrpc").and_then(json::string).as_deref() != Some("2.0") {
            return invalid("`jsonrpc` is \"2.0\"");
        }
        let (result, error) = (members.get("result"), members.get("error"));
        if result.is_some() && error.is_some() {
            return invalid("a response has a result or an error");
        }
        let answers = result.is_some() || error.is_some();
        let method = match members.get("method") {
            None if answers => return Ok(None),
            None => return invalid("`method` is missing"),
            Some(_) if answers => return invalid("a message is a request or a response"),
            Some(raw) => match json::string(raw) {
                Some(method) if method.len() <= 256 => method,
                _ => return invalid("`method` is a short string"),
            },
        };
        let params = match members.get("params") {
            None | Some("null") => None,
            Some(raw) if raw.starts_with('{') => Some(raw),
            Some(_) => return invalid("`params` is an object"),
        };
        Ok(Some(Self { method, params }))
    }
}

impl<'a> Id<'a> {
    /// The id that `raw` is, if it is one.
    pub(crate) fn read(raw: &'a str) -> Option<Self> {
        let fits = if raw.starts_with('"') {
            raw.len() <= 258
        } else {
            // No fraction and no exponent: readers disagree on whether 1.0 is 1.
            raw.parse::<i64>().is_ok()
        };
        fits.then_some(Self(raw))
    }

    /// As it was written.
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// The same text for every way to write the same id.
    pub(crate) fn key(self) -> Box<str> {
        if self.0.contains('\\')
            && let Some(text) = json::string(self.0)
        {
            let mut out = Vec::new();
            write::string(&mut out, &text);
            return String::from_utf8(out).unwrap_or_default().into();
        }
        if self.0 == "-0" { "0".into() } else { self.0.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Message<'_>, Rejected<'_>> {
        parse(text.as_bytes(), Limits::default())
    }

    fn code(text: &str) -> i32 {
        read(text).expect_err(text).error.code
    }

    #[test]
    fn a_request_a_notification_and_a_response_are_told_apart() {
        let text =
            r#" {"method":"tools\/list","params":{"b":1, "a":[2]},"id":"x","jsonrpc":"2.0"}"#;
        let Ok(Message::Request(request)) = read(text) else { panic!() };
        assert_eq!((request.id.raw(), &*request.method), ("\"x\"", "tools/list"));
        assert_eq!(request.params, Some(r#"{"b":1, "a":[2]}"#), "kept as written");

        let text = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert!(matches!(read(text), Ok(Message::Notification(_))));
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{"a": 1}}"#;
        let Ok(Message::Response(response)) = read(text) else { panic!() };
        assert_eq!((response.id.map(Id::raw), response.result), (Some("1"), Some(r#"{"a": 1}"#)));
        let text = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#;
        let Ok(Message::Response(response)) = read(text) else { panic!() };
        assert_eq!((response.result, response.error), (None, Some(r#"{"code":1,"message":""}"#)));
    }

    #[test]
    fn ids_are_strings_and_integers_and_nothing_else() {
        let with = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let long = format!("\"{}\"", "x".repeat(256));
        for good in ["1", "\"1\"", "0", "-7", "9007199254740993", "\"\"", &long] {
            let text = with(good);
            let Ok(Message::Request(request)) = read(&text) else { panic!("{good}") };
            assert_eq!(request.id.raw(), good);
        }
        let longer = format!("\"{}\"", "x".repeat(257));
        let huge = format!("\"{}\"", "x".repeat(1 << 20));
        for bad in ["null", "1.0", "1e3", "{}", "[]", "true", "9223372036854775808", &longer, &huge]
        {
            assert_eq!(code(&with(bad)), -32600, "{}", &bad[..bad.len().min(20)]);
        }
    }

    #[test]
    fn one_id_written_in_two_ways_is_one_id() {
        let key = |raw| Id::read(raw).unwrap().key();
        assert_eq!(key("\"a\""), key("\"\\u0061\""));
        assert_eq!(key("0"), key("-0"));
        assert_ne!(key("1"), key("\"1\""));
    }

    #[test]
    fn a_batch_is_one_error_and_nothing_is_carried_out() {
        let one = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let many = format!("[{}{one}]", format!("{one},").repeat(9_999));
        for batch in ["[]", "[[]]", &format!("[{one}]"), &format!(" [{one},{one}]"), &many] {
            let rejected = read(batch).unwrap_err();
            assert_eq!((rejected.error.code, rejected.id), (-32600, None));
        }
        assert!(read(one).is_ok());
    }

    #[test]
    fn what_is_not_json_is_a_parse_error_and_what_is_not_a_message_an_invalid_request() {
        for bad in [
            "",
            "x",
            "{",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":NaN,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(code(bad), -32700, "{bad}");
        }
        for bad in [
            "1",
            "\"x\"",
            "null",
            "{}",
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
        ] {
            assert_eq!(code(bad), -32600, "{bad}");
        }
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{}}}}}"#,
            "[".repeat(100_000)
        );
        assert_eq!(code(&deep), -32600);
    }

    #[test]
    fn the_id_of_a_refused_request_is_echoed_where_it_could_be_read() {
        let rejected = read(r#"{"jsonrpc":"2.0","id":7,"method":[]}"#).unwrap_err();
        assert_eq!(rejected.id.map(Id::raw), Some("7"));
    }

    #[test]
    fn a_message_over_the_cap_is_refused_unread() {
        let limits = Limits { message_bytes: 60, ..Limits::default() };
        let fits = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        assert!(parse(fits, limits).is_ok());
        let long = [fits.as_slice(), &[b' '; 40]].concat();
        assert_eq!(parse(&long, limits).unwrap_err().error.code, -32600);
    }

    proptest! {
        #[test]
        fn no_bytes_make_parse_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, Limits::default());
        }

        #[test]
        fn what_is_accepted_means_the_same_to_serde(
            method in any::<String>().prop_filter("short", |m| m.len() <= 256),
            id in prop_oneof![any::<i64>().prop_map(|n| n.to_string()),
                "[a-z\\u{e9}\"\\\\]{0,20}".prop_map(|s| serde_json::to_string(&s).unwrap())],
            keys in prop::collection::btree_map(any::<String>(), any::<String>(), 0..5),
            mangle in prop::option::of((0usize..200, any::<u8>())),
        ) {
            let params = serde_json::to_string(&keys).unwrap();
            let method = serde_json::to_string(&method).unwrap();
            let mut bytes = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#
            ).into_bytes();
            if let Some((at, byte)) = mangle {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            match parse(&bytes, Limits::default()) {
                Ok(Message::Request(request)) => {
                    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    prop_assert_eq!(value["method"].as_str().unwrap(), &*request.method);
                    let id: serde_json::Value = serde_json::from_str(request.id.raw()).unwrap();
                    prop_assert_eq!(&value["id"], &id);
                    let params: serde_json::Value =
                        request.params.map_or(serde_json::Value::Null, |p| serde_json::from_str(p).unwrap());
                    prop_assert_eq!(&value["params"], &params);
                }
                Ok(_) => prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok()),
                Err(_) => prop_assert!(mangle.is_some()),
            }
        }
    }
}
