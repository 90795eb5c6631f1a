//! JSON-RPC: which methods a body calls.

use super::facts::Problem;
use crate::json::Json;

pub(super) const NOT_A_CALL: Problem = "the body is not one that calls methods by JSON-RPC";

/// The method of a call, or those of a batch.
pub(super) fn methods(json: &Json<'_>) -> Result<Vec<Box<str>>, Problem> {
    match json {
        Json::List(calls) if !calls.is_empty() => calls.iter().map(method).collect(),
        single => Ok(vec![method(single)?]),
    }
}

fn method(call: &Json<'_>) -> Result<Box<str>, Problem> {
    let Json::Object(call) = call else { return Err(NOT_A_CALL) };
    let mut methods = call.like("method");
    match (methods.next(), methods.next()) {
        (Some((true, Json::Text(method))), None) => Ok(Box::from(&**method)),
        _ => Err(NOT_A_CALL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<Box<str>>> {
        methods(&Json::read(text.as_bytes(), 8, 100).unwrap()).ok()
    }

    #[test]
    fn every_call_of_a_batch_has_a_method_and_only_one() {
        assert_eq!(read(r#"{"jsonrpc":"2.0","method":"a","id":1}"#), Some(vec!["a".into()]));
        assert_eq!(read(r#"[{"method":"a"},{"method":"b"}]"#), Some(vec!["a".into(), "b".into()]));
        for bad in [
            "[]",
            "{}",
            "1",
            r#"[{"method":"a"},1]"#,
            r#"[[{"method":"a"}]]"#,
            r#"{"method":1}"#,
            r#"{"Method":"a"}"#,
            r#"{"method":"a","METHOD":"b"}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
