//! `execute`: one HTTP call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::call::{Answer, Body, Execute, Finished, Truncated};

use super::arguments::{Arguments, wrong};
use super::output::{self, Output};
use crate::wire::RpcError;
use crate::wire::write::{self, Object};
use strongroom_model::json;

pub(super) const DEFINITION: &str = r#"{
  "name": "execute",
  "title": "Call an API",
  "description": "Makes one HTTP request to a service from `list_services` and returns its answer. The credential is added for you: send no Authorization header and no key. `status` is the API's own, so read it: 404 and 422 are answers. A request that the rules do not allow comes back as an error with a code (`policy_denied`, `not_found`, `rate_limited`, ...) and `retry`: `never` means do not repeat it, `after` means wait first, `ask` means that a person must approve it: tell the user, then make the very same call again. Secrets in the answer are replaced by [REDACTED:name]; `srh_...` in it is a handle for a new credential: send it back as it is, as a whole value, in one of the service's `handle_fields`. Examples: {\"service\": \"github\", \"method\": \"GET\", \"path\": \"/repos/acme/app/issues\", \"query\": {\"state\": \"open\", \"per_page\": 5}} and {\"service\": \"linear\", \"method\": \"POST\", \"path\": \"/graphql\", \"body\": {\"query\": \"{ viewer { id } }\"}, \"reason\": \"find my user id\"}",
  "inputSchema": {
    "type": "object",
    "properties": {
      "service": { "type": "string", "description": "A name from `list_services`. `capability` is accepted as another word for it." },
      "capability": { "type": "string", "description": "The same as `service`; give one of the two." },
      "method": { "type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] },
      "path": { "type": "string", "description": "Begins with `/`, relative to the service's base URL, percent-encoded; a query may follow." },
      "query": { "type": "object", "description": "Query parameters beside those in `path`: strings, numbers, booleans, or lists of them; a list repeats the name.", "additionalProperties": true },
      "headers": { "type": "object", "description": "accept*, content-type, if-*, idempotency-key and what `list_services` names; others are left out.", "additionalProperties": { "type": "string" } },
      "body": { "description": "A string is sent as it is; any other JSON value as JSON, or as a form where content-type is application/x-www-form-urlencoded." },
      "body_encoding": { "type": "string", "enum": ["base64"], "description": "`body` is base64 of the bytes to send." },
      "body_file": { "type": "string", "description": "The plain name of a file in your exchange folder that is sent as the body; an error tells you where that folder is." },
      "save": { "type": "boolean", "description": "Put the body of a good answer into a file: for large or binary ones. You get its path, size and SHA-256, and the file for a day." },
      "max_events": { "type": "integer", "minimum": 1, "description": "Of an event stream, stop after so many events." },
      "reason": { "type": "string", "description": "Why, in a few words; it stands in the audit log." }
    },
    "required": ["method", "path"],
    "additionalProperties": false
  },
  "outputSchema": {
    "type": "object",
    "properties": {
      "status": { "type": "integer" },
      "headers": { "type": "object", "additionalProperties": { "type": "string" } },
      "body": { "description": "JSON where the answer is JSON, else text, else base64." },
      "body_in": { "type": "string", "enum": ["text"], "description": "The body is large and stands in the first text block only." },
      "body_encoding": { "type": "string", "enum": ["base64"] },
      "file": { "type": "string", "description": "Where the body was saved." },
      "bytes": { "type": "integer" },
      "sha256": { "type": "string" },
      "truncated": { "type": "string", "enum": ["events", "idle", "total"], "description": "The event stream went on, and was left: after enough events, because nothing came for a while, or because the call had no time left." },
      "redactions": { "type": "integer" },
      "sealed": { "type": "integer", "description": "Handles in the answer, where there are any." },
      "duration_ms": { "type": "integer" },
      "audit_id": { "type": "string" },
      "dropped_headers": { "type": "array", "items": { "type": "string" } },
      "error": {
        "type": "object",
        "properties": {
          "code": { "type": "string" },
          "message": { "type": "string" },
          "audit_id": { "type": "string" },
          "retry": { "type": "string", "enum": ["never", "after", "ask"] },
          "retry_after_s": { "type": "integer" },
          "approval_id": { "type": "string", "description": "A person must approve this first; the very same call passes after that." }
        }
      }
    }
  },
  "annotations": { "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": true }
}"#;

/// A body of more bytes stands once, in the text block (decision 35).
const TWICE: usize = 64 << 10;

/// Levels of a body that is embedded as JSON; ours come on top.
const DEPTH: usize = 56;

const KNOWN: [&str; 12] = [
    "service",
    "capability",
    "method",
    "path",
    "query",
    "headers",
    "body",
    "body_encoding",
    "body_file",
    "save",
    "max_events",
    "reason",
];

pub(super) fn read(arguments: Option<&str>) -> Result<Execute, RpcError> {
    let arguments = Arguments::read(arguments, &KNOWN)?;
    let service = match (arguments.optional("service")?, arguments.optional("capability")?) {
        (Some(service), None) | (None, Some(service)) => service.into_owned(),
        (None, None) => return Err(wrong("`service` is required")),
        (Some(_), Some(_)) => return Err(wrong("give `service` or `capability`, not both")),
    };
    Ok(Execute {
        service,
        method: arguments.required("method")?,
        path: arguments.required("path")?,
        query: query(&arguments)?,
        headers: headers(&arguments)?,
        body: body(&arguments)?,
        body_file: arguments.optional("body_file")?.map(Into::into),
        save: arguments.flag("save")?,
        max_events: arguments.count("max_events")?,
        reason: arguments.optional("reason")?.map(Into::into),
    })
}

pub(super) fn query(arguments: &Arguments<'_>) -> Result<Vec<(String, String)>, RpcError> {
    let mut pairs = Vec::new();
    for (name, raw) in arguments.object("query")?.iter() {
        let mut add = |raw| match scalar(raw) {
            Some(value) => {
                pairs.push((name.to_owned(), value));
                Ok(())
            }
            None => Err(wrong(
                "a value in `query` is a string, a number, true or false, or a list of them",
            )),
        };
        if raw.starts_with('[') {
            let items: Vec<&serde_json::value::RawValue> =
                serde_json::from_str(raw).map_err(|_| wrong("`query` cannot be read"))?;
            items.into_iter().try_for_each(|item| add(item.get()))?;
        } else {
            add(raw)?;
        }
    }
    Ok(pairs)
}

/// A value that has one spelling in a query: a number keeps the one that it was written in.
fn scalar(raw: &str) -> Option<String> {
    match raw.bytes().next()? {
        b'"' => json::string(raw).map(Into::into),
        b'-' | b'0'..=b'9' | b't' | b'f' => Some(raw.to_owned()),
        _ => None,
    }
}

pub(super) fn headers(arguments: &Arguments<'_>) -> Result<Vec<(String, String)>, RpcError> {
    let pair = |(name, raw): (&str, _)| match json::string(raw) {
        Some(value) => Ok((name.to_owned(), value.into_owned())),
        None => Err(wrong("a value in `headers` is a string")),
    };
    arguments.object("headers")?.iter().map(pair).collect()
}

pub(super) fn body(arguments: &Arguments<'_>) -> Result<Body, RpcError> {
    let raw = arguments.raw("body");
    match arguments.optional("body_encoding")?.as_deref() {
        None => Ok(match raw {
            None => Body::Empty,
            Some(raw) => match json::string(raw) {
                Some(text) => Body::Text(text.into_owned()),
                None => Body::Json(raw.to_owned()),
            },
        }),
        Some("base64") => {
            let text = raw.and_then(json::string);
            let bytes = text.and_then(|text| STANDARD.decode(&*text).ok());
            bytes.map(Body::Bytes).ok_or_else(|| wrong("`body` is not base64 (RFC 4648 §4)"))
        }
        Some(_) => Err(wrong("`body_encoding` is `base64` or absent")),
    }
}

pub(super) fn output(finished: Finished) -> Output {
    let audit_id = finished.audit_id.as_deref();
    let answer = match finished.result {
        Ok(answer) => answer,
        Err(refusal) => return Output::refused(&refusal, audit_id),
    };
    let body = answer.body.get();
    let large = body.len() > TWICE;
    let binary = match std::str::from_utf8(body) {
        // Full of control characters: as a string it would take six times the room.
        Ok(text) => large && write::string_len(text) > 2 * text.len() + 2,
        Err(_) => true,
    };
    let structured = output::object(|result| {
        result.number("status", answer.status.into());
        combined(result, &answer);
        if let Some(file) = &answer.file {
            result.string("file", &file.path).number("bytes", file.bytes);
            result.string("sha256", &file.sha256);
        } else if large {
            result.string("body_in", "text");
        } else {
            small(result.name("body"), &answer);
        }
        result.optional("truncated", answer.truncated.map(Truncated::as_str));
        if binary {
            result.string("body_encoding", "base64");
        }
        result.number("redactions", answer.redactions);
        if answer.sealed > 0 {
            result.number("sealed", answer.sealed);
        }
        result.number("duration_ms", answer.duration_ms);
        result.optional("audit_id", audit_id);
        if !answer.dropped_headers.is_empty() {
            let dropped = answer.dropped_headers.iter().map(String::as_str);
            result.strings("dropped_headers", dropped);
        }
    });
    if large {
        Output::Large { structured, body: answer.body.into_inner(), binary }
    } else {
        Output::Structured(structured)
    }
}

/// The headers as one object; a name that came twice has its values joined (RFC 9110 §5.3).
fn combined(result: &mut Object<'_>, answer: &Answer) {
    let mut headers = Object::open(result.name("headers"));
    for (at, (name, first)) in answer.headers.iter().enumerate() {
        if answer.headers[..at].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        let mut value = first.get().clone();
        for (_, more) in answer.headers[at + 1..].iter().filter(|(later, _)| later == name) {
            value.push_str(", ");
            value.push_str(more.get());
        }
        headers.string(name, &value);
    }
    headers.close();
}

fn small(out: &mut Vec<u8>, answer: &Answer) {
    let body = answer.body.get();
    if is_json(answer)
        && let Ok(text) = json::check(body, DEPTH)
    {
        return write::on_one_line(out, text);
    }
    match std::str::from_utf8(body) {
        Ok(text) => write::string(out, text),
        Err(_) => output::base64(out, body),
    }
}

fn is_json(answer: &Answer) -> bool {
    let Some((_, value)) = answer.headers.iter().find(|(name, _)| name == "content-type") else {
        return false;
    };
    let essence = value.get().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence
            .get(essence.len().saturating_sub(5)..)
            .is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Execute, RpcError> {
        super::read(Some(arguments))
    }

    #[test]
    fn a_json_body_stays_as_it_was_written() {
        for raw in [r#"{"b":1, "a":1.50}"#, "[1e3]", "12345678901234567890.10", "true"] {
            let text = format!(r#"{{"service":"s","method":"POST","path":"/","body":{raw}}}"#);
            assert_eq!(read(&text).unwrap().body, Body::Json(raw.to_owned()));
        }
    }

    #[test]
    fn a_string_is_text_and_base64_is_bytes_where_it_is_called_so() {
        let base = r#""service":"s","method":"POST","path":"/""#;
        let body = |rest: &str| read(&format!("{{{base}{rest}}}")).map(|call| call.body);
        assert_eq!(body("").unwrap(), Body::Empty);
        assert_eq!(body(r#","body":"a\n\"""#).unwrap(), Body::Text("a\n\"".into()));
        assert_eq!(
            body(r#","body":"AAH/","body_encoding":"base64""#).unwrap(),
            Body::Bytes(vec![0, 1, 255])
        );
        for bad in [
            r#","body":"AAH/","body_encoding":"hex""#,
            r#","body":"A","body_encoding":"base64""#,
            r#","body":{},"body_encoding":"base64""#,
            r#","body_encoding":"base64""#,
        ] {
            assert_eq!(body(bad).unwrap_err().code, -32602, "{bad}");
        }
    }

    #[test]
    fn what_becomes_of_a_body_is_said_in_words_of_its_own() {
        let base = r#""service":"s","method":"POST","path":"/""#;
        let call = |rest: &str| read(&format!("{{{base}{rest}}}"));
        let plain = call("").unwrap();
        assert_eq!((plain.save, plain.max_events, plain.body_file), (false, None, None));
        let said = call(r#","save":true,"max_events":3,"body_file":"a.csv""#).unwrap();
        assert_eq!((said.save, said.max_events), (true, Some(3)));
        assert_eq!(said.body_file.as_deref(), Some("a.csv"));
        for bad in [
            r#","save":"yes""#,
            r#","save":1"#,
            r#","max_events":0"#,
            r#","max_events":-1"#,
            r#","max_events":1.5"#,
            r#","max_events":"3""#,
            r#","body_file":1"#,
        ] {
            assert_eq!(call(bad).unwrap_err().code, -32602, "{bad}");
        }
    }

    #[test]
    fn query_values_are_scalars_and_lists_of_them() {
        let query = |raw: &str| {
            read(&format!(r#"{{"service":"s","method":"GET","path":"/","query":{raw}}}"#))
                .map(|call| call.query)
        };
        let pairs = query(r#"{"a":"x y","n":1.50,"b":true,"l":["p",2],"e":[]}"#).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "x y"), ("n", "1.50"), ("b", "true"), ("l", "p"), ("l", "2")]);
        for bad in [r#"{"a":{}}"#, r#"{"a":null}"#, r#"{"a":[[1]]}"#, "[]", "\"a=b\""] {
            assert_eq!(query(bad).unwrap_err().code, -32602, "{bad}");
        }
    }

    #[test]
    fn the_service_has_two_names_and_is_given_once() {
        let call = |names: &str| read(&format!(r#"{{{names}"method":"GET","path":"/"}}"#));
        assert_eq!(call(r#""service":"a","#).unwrap().service, "a");
        assert_eq!(call(r#""capability":"a","#).unwrap().service, "a");
        assert!(call("").is_err());
        assert!(call(r#""service":"a","capability":"a","#).is_err());
    }
}
