//! What of a message stands in the headers of its request too, so that whoever stands between need not
//! read bodies: the method, what is named, and the arguments that a tool wants there (2026-07-28).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;
use strongroom_model::json::{self, Members};

/// Tools that are remembered at the most; more than one server may have.
const MOST: usize = 2_000;

/// Arguments of one tool that stand in headers, at the most.
const MOST_OF_ONE: usize = 64;

/// How deep an argument may lie.
const DEEPEST: usize = 16;

/// The member of a property's schema that names its header.
const WISH: &str = "x-mcp-header";

/// The version that a message of the modern era is of.
pub(super) fn version_of(params: Option<&str>) -> Option<String> {
    let meta = Members::read(params?)?.get("_meta")?;
    let version = Members::read(meta)?.get("io.modelcontextprotocol/protocolVersion")?;
    json::string(version).map(std::borrow::Cow::into_owned)
}

/// The argument of a tool that stands in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    /// Its name and those of the objects that it lies in, from the outside.
    path: Vec<String>,
    /// Behind `mcp-param-`, lower case.
    name: String,
}

/// What the tools of one server want in headers, by tool.
#[derive(Default)]
pub(super) struct Mirrors(Mutex<HashMap<String, Arc<[Mirror]>>>);

impl Mirrors {
    /// The headers of a modern message beside its version.
    pub(super) fn of(&self, method: &str, params: Option<&str>) -> Vec<(String, String)> {
        let mut headers = vec![("mcp-method".to_owned(), encoded(method))];
        let named = match method {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            // An extension (SEP-2663).
            "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
            _ => return headers,
        };
        let Some(params) = params.and_then(Members::read) else { return headers };
        let Some(name) = params.get(named).and_then(json::string) else { return headers };
        headers.push(("mcp-name".to_owned(), encoded(&name)));
        let mirrors = if method == "tools/call" { self.lock().get(&*name).cloned() } else { None };
        let arguments = params.get("arguments").and_then(|raw| serde_json::from_str(raw).ok());
        if let (Some(mirrors), Some(arguments)) = (mirrors, arguments) {
            headers.extend(mirrors.iter().filter_map(|mirror| mirror.of(&arguments)));
        }
        headers
    }

    /// Notes what the tools of an answer to `tools/list` want. Tools whose wish cannot be met are taken
    /// out of it, as the protocol says; the others stay as they were written.
    pub(super) fn learn(&self, message: Vec<u8>) -> Vec<u8> {
        let has_wish = message.windows(WISH.len()).any(|part| part == WISH.as_bytes());
        if !has_wish {
            return message;
        }
        let Ok(text) = json::check(&message, 64) else { return message };
        let tools = Members::read(text).and_then(|message| message.get("result"));
        let tools = tools.and_then(Members::read).and_then(|result| result.get("tools"));
        let Some(tools) = tools else { return message };
        let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(tools) else { return message };
        let good: Vec<&str> =
            all.iter().map(|tool| tool.get()).filter(|tool| self.learn_one(tool)).collect();
        if good.len() == all.len() {
            return message;
        }
        let start = tools.as_ptr().addr() - message.as_ptr().addr();
        let list = format!("[{}]", good.join(","));
        let (before, after) = (&message[..start], &message[start + tools.len()..]);
        [before, list.as_bytes(), after].concat()
    }

    /// Says whether the tool can be called as it wants.
    fn learn_one(&self, tool: &str) -> bool {
        let Some(members) = Members::read(tool) else { return true };
        let Some(name) = members.get("name").and_then(json::string) else { return true };
        let schema = members.get("inputSchema").filter(|schema| schema.contains(WISH));
        let mut mirrors = Vec::new();
        let fits = schema
            .and_then(|schema| serde_json::from_str(schema).ok())
            .is_none_or(|schema: Value| collect(&schema, &mut Vec::new(), &mut mirrors));
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        if fits && !mirrors.is_empty() {
            known.insert(name.into_owned(), mirrors.into());
        } else {
            known.remove(&*name);
        }
        fits
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<[Mirror]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mirror {
    /// The header; none for an argument that is not there.
    fn of(&self, arguments: &Value) -> Option<(String, String)> {
        let value = self.path.iter().try_fold(arguments, |value, name| value.get(name))?;
        let text = match value {
            Value::String(text) => encoded(text),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((format!("mcp-param-{}", self.name), text))
    }
}

/// Collects the wishes of `schema`; `false` if one cannot be met.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirror>) -> bool {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return true };
    for (name, property) in properties {
        path.push(name.clone());
        let fits = path.len() <= DEEPEST
            && match property.get(WISH) {
                None => true,
                Some(wish) => wished(property, wish, path, found),
            }
            && collect(property, path, found);
        path.pop();
        if !fits {
            return false;
        }
    }
    true
}

fn wished(property: &Value, wish: &Value, path: &[String], found: &mut Vec<Mirror>) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = wish.as_str().filter(|name| (1..=128).contains(&name.len()));
    let Some(name) = name.filter(|name| name.bytes().all(token)) else { return false };
    let kind = property.get("type").and_then(Value::as_str);
    let name = name.to_ascii_lowercase();
    let is_primitive = matches!(kind, Some("string" | "integer" | "boolean" | "number"));
    let is_new = found.iter().all(|other| other.name != name);
    if !is_primitive || !is_new || found.len() >= MOST_OF_ONE {
        return false;
    }
    found.push(Mirror { path: path.to_vec(), name });
    true
}

/// `text` as the value of a header: as it is, or in base64 where it could not stand there.
fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && text.trim_ascii().len() == text.len()
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(tools: &[Value]) -> Vec<u8> {
        json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": tools, "zebra": 1 } })
            .to_string()
            .into_bytes()
    }

    fn tool(name: &str, properties: &Value) -> Value {
        json!({ "name": name, "inputSchema": { "type": "object", "properties": properties } })
    }

    fn headers(mirrors: &Mirrors, params: &Value) -> Vec<String> {
        let headers = mirrors.of("tools/call", Some(&params.to_string()));
        headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_encoded() {
        for (text, expected) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("", ""),
        ] {
            assert_eq!(encoded(text), expected);
        }
    }

    #[test]
    fn arguments_stand_in_the_headers_that_a_tool_names() {
        let mirrors = Mirrors::default();
        let properties = json!({
            "region": { "type": "string", "x-mcp-header": "Region" },
            "deep": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } },
            "plain": { "type": "string" },
            "flag": { "type": "boolean", "x-mcp-header": "Flag" },
        });
        let message = list(&[tool("sql", &properties), tool("other", &json!({}))]);
        assert_eq!(mirrors.learn(message.clone()), message);
        let params = json!({ "name": "sql", "arguments": { "region": "é", "deep": { "n": -7 }, "plain": "x", "flag": null } });
        assert_eq!(
            headers(&mirrors, &params),
            [
                "mcp-method: tools/call",
                "mcp-name: sql",
                "mcp-param-n: -7",
                "mcp-param-region: =?base64?w6k=?="
            ]
        );
        let other = json!({ "name": "other", "arguments": { "region": "x" } });
        assert_eq!(headers(&mirrors, &other), ["mcp-method: tools/call", "mcp-name: other"]);
    }

    #[test]
    fn a_tool_whose_wish_cannot_be_met_is_left_out_and_the_others_stay_as_they_are() {
        for wish in [
            json!({ "a": { "type": "string", "x-mcp-header": "" } }),
            json!({ "a": { "type": "string", "x-mcp-header": "A B" } }),
            json!({ "a": { "type": "string", "x-mcp-header": "A\r\nB" } }),
            json!({ "a": { "type": "string", "x-mcp-header": 1 } }),
            json!({ "a": { "type": "object", "x-mcp-header": "A" } }),
            json!({ "a": { "x-mcp-header": "A" } }),
            json!({ "a": { "type": "string", "x-mcp-header": "A" }, "b": { "type": "string", "x-mcp-header": "a" } }),
        ] {
            let mirrors = Mirrors::default();
            let (bad, good) = (tool("bad", &wish), tool("good", &json!({ "z": {}, "a": {} })));
            assert_eq!(mirrors.learn(list(&[bad, good.clone()])), list(&[good]), "{wish}");
        }
        let text = br#"{"x-mcp-header": [}"#.to_vec();
        assert_eq!(Mirrors::default().learn(text.clone()), text);
    }

    #[test]
    fn what_is_read_or_got_is_named_too() {
        let mirrors = Mirrors::default();
        for (method, params, name) in [
            ("resources/read", json!({ "uri": "file:///a" }), Some("file:///a")),
            ("prompts/get", json!({ "name": "p" }), Some("p")),
            ("tasks/get", json!({ "taskId": "t-1" }), Some("t-1")),
            ("tasks/update", json!({ "taskId": "t-1", "inputResponses": {} }), Some("t-1")),
            ("tasks/cancel", json!({ "taskId": "t-1" }), Some("t-1")),
            ("tools/list", json!({ "name": "x" }), None),
            ("tools/call", json!({}), None),
        ] {
            let headers = mirrors.of(method, Some(&params.to_string()));
            let found = headers.iter().find(|(header, _)| header == "mcp-name");
            assert_eq!(found.map(|(_, value)| value.as_str()), name, "{method}");
        }
    }

    #[test]
    fn a_message_of_the_modern_era_says_its_version() {
        let modern =
            json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } });
        assert_eq!(version_of(Some(&modern.to_string())).as_deref(), Some("2026-07-28"));
        for legacy in [None, Some("{}"), Some(r#"{"_meta":{}}"#), Some(r#"{"_meta":1}"#)] {
            assert_eq!(version_of(legacy), None);
        }
    }
}
