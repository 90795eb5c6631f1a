//! Edits of a client's configuration, as text: comments, order, indentation, line ends and a byte
//! order mark survive.
//!
//! Pure: text in, text out. A file that is not what the client itself would accept is refused with
//! its place and never repaired; nothing of its content is quoted, since it may hold secrets.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use serde_json::{Map, Value};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The fields of an entry that Strongroom writes. All others are the user's and stay.
const OURS: [&str; 6] = ["type", "command", "args", "url", "headers", "env"];

/// Why a file cannot be edited.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not JSON, comments and trailing commas allowed.
    #[error("line {line}, column {column}: {problem}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong there, in fixed words.
        problem: String,
    },
    /// Something that should be an object is not.
    #[error("{what} is {found} and not an object")]
    Shape {
        /// Which one.
        what: String,
        /// What stands there instead.
        found: &'static str,
    },
    /// A key stands twice, and readers disagree about which one counts.
    #[error("`{key}` stands there twice")]
    Twice {
        /// The key: one of ours or the client's, never a value.
        key: String,
    },
}

/// Sets the entry `name` under `key`. The same text comes back where it already is what it
/// should be.
///
/// Fields of an existing entry that are not ours are kept; `env` keeps the user's variables.
pub fn set(
    text: &str,
    key: &str,
    name: &str,
    entry: &Map<String, Value>,
) -> Result<String, EditError> {
    let document = Document::parse(text)?;
    let root = match document.root_object()? {
        Some(root) => root,
        None => document.root.object_value_or_set(),
    };
    let servers = match object(&root, key)? {
        Some(servers) => servers,
        None => root.object_value_or_set(key),
    };
    match single(&servers, name)? {
        None => {
            servers.append(name, whole(entry));
        }
        Some(present) => match present.object_value() {
            None => present.set_value(whole(entry)),
            Some(present) => merge(&present, entry),
        },
    }
    Ok(document.text())
}

/// Removes the entry `name` under `key`; the same text comes back where there is none.
pub fn remove(text: &str, key: &str, name: &str) -> Result<String, EditError> {
    let document = Document::parse(text)?;
    let Some(root) = document.root_object()? else { return Ok(text.to_owned()) };
    let Some(servers) = object(&root, key)? else { return Ok(text.to_owned()) };
    let Some(entry) = single(&servers, name)? else { return Ok(text.to_owned()) };
    entry.remove();
    Ok(document.text())
}

/// The document as a value, to look at. `{}` for an empty one.
pub fn read(text: &str) -> Result<Value, EditError> {
    let document = Document::parse(text)?;
    let Some(root) = document.root_object()? else { return Ok(Value::Object(Map::new())) };
    Ok(root.to_serde_value().unwrap_or(Value::Null))
}

struct Document {
    root: CstRootNode,
    mark: bool,
}

impl Document {
    fn parse(text: &str) -> Result<Self, EditError> {
        let options = ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let (mark, text) = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let root = CstRootNode::parse(text, &options).map_err(|error| EditError::Syntax {
            line: error.line_display(),
            column: error.column_display(),
            problem: error.kind().to_string().to_lowercase(),
        })?;
        Ok(Self { root, mark })
    }

    fn root_object(&self) -> Result<Option<CstObject>, EditError> {
        match self.root.value() {
            None => Ok(None),
            Some(value) => as_object(&value, || "the file".into()),
        }
    }

    fn text(&self) -> String {
        if self.mark { format!("{BYTE_ORDER_MARK}{}", self.root) } else { self.root.to_string() }
    }
}

/// The object at `key`; `None` where there is nothing or `null`.
fn object(parent: &CstObject, key: &str) -> Result<Option<CstObject>, EditError> {
    let value = single(parent, key)?.and_then(|property| property.value());
    value.map_or(Ok(None), |value| as_object(&value, || format!("`{key}`")))
}

fn as_object(value: &CstNode, what: impl Fn() -> String) -> Result<Option<CstObject>, EditError> {
    if value.as_null_keyword().is_some() {
        return Ok(None);
    }
    let found = if value.as_array().is_some() {
        "an array"
    } else if value.as_string_lit().is_some() {
        "a string"
    } else {
        "a single value"
    };
    value.as_object().map(Some).ok_or_else(|| EditError::Shape { what: what(), found })
}

fn single(parent: &CstObject, key: &str) -> Result<Option<CstObjectProp>, EditError> {
    let named = |property: &CstObjectProp| property.decoded_name().as_deref() == Some(key);
    let mut found = parent.properties().into_iter().filter(named);
    let first = found.next();
    if found.next().is_some() {
        return Err(EditError::Twice { key: key.to_owned() });
    }
    Ok(first)
}

/// Makes the entry say what `entry` says, and touches nothing that already does.
fn merge(present: &CstObject, entry: &Map<String, Value>) {
    for key in keys(entry) {
        let property = present.get(key);
        let value = property.as_ref().and_then(CstObjectProp::to_serde_value);
        match (property, entry.get(key)) {
            (Some(_), Some(wanted)) if value.as_ref() == Some(wanted) => {}
            (Some(property), Some(wanted)) if key == "env" => {
                let environment = property.object_value_or_set();
                for (name, wanted) in wanted.as_object().into_iter().flatten() {
                    put(&environment, name, wanted);
                }
            }
            (_, Some(wanted)) => put(present, key, wanted),
            // The user's variables stay, less the one that we once set.
            (Some(property), None) if key == "env" => {
                let ours = |object: CstObject| object.get("STRONGROOM_HOME");
                if let Some(home) = property.object_value().and_then(ours) {
                    home.remove();
                }
            }
            (Some(property), None) => property.remove(),
            (None, None) => {}
        }
    }
}

/// Our keys in the order that people expect, then whatever else the client wants.
fn keys(entry: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let others = entry.keys().map(String::as_str).filter(|key| !OURS.contains(key));
    OURS.into_iter().chain(others)
}

fn whole(entry: &Map<String, Value>) -> CstInputValue {
    let fields = keys(entry).filter_map(|key| Some((key.to_owned(), input(entry.get(key)?))));
    CstInputValue::Object(fields.collect())
}

fn put(object: &CstObject, key: &str, wanted: &Value) {
    match object.get(key) {
        Some(property) if property.to_serde_value().as_ref() == Some(wanted) => {}
        Some(property) => property.set_value(input(wanted)),
        None => {
            object.append(key, input(wanted));
        }
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(bool) => CstInputValue::Bool(*bool),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(fields) => {
            CstInputValue::Object(fields.iter().map(|(k, v)| (k.clone(), input(v))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> Map<String, Value> {
        let entry = json!({"type": "stdio", "command": "/b/strongroom", "args": ["serve"]});
        entry.as_object().unwrap().clone()
    }

    fn set_in(text: &str) -> Result<String, EditError> {
        set(text, "mcpServers", "strongroom", &entry())
    }

    #[test]
    fn whatever_else_stands_in_the_file_survives_byte_for_byte() {
        let files = [
            "{\n  // my servers\n  \"mcpServers\": {\n    \"a\": { \"command\": \"x\" } /* keep */\n  },\n  \"theme\": \"dark\" // mine\n}\n",
            "{\n\t\"mcpServers\": {\n\t\t\"a\": {\"command\": \"x\"},\n\t},\n}\n",
            "{\r\n  \"mcpServers\": {\r\n    \"a\": {}\r\n  }\r\n}\r\n",
            "\u{feff}{\n  \"mcpServers\": {}\n}\n",
            "{\"mcpServers\":{\"a\":{\"env\":{\"K\":\"\\u00e9\\/\"}}},\"n\":1.50}",
            "{\n    \"numStartups\": 12,\n    \"projects\": {\"/p\": {\"mcpServers\": {}}}\n}",
            "// only a comment\n",
            "{}",
        ];
        for before in files {
            let after = set_in(before).unwrap();
            let value = read(&after).unwrap();
            assert_eq!(value["mcpServers"]["strongroom"], Value::Object(entry()), "{after}");
            assert_eq!(set_in(&after).unwrap(), after, "a second time changes nothing");
            // Everything is there still, but for commas and braces that had to move.
            for part in before.split([',', '{', '}', '\n']) {
                assert!(after.contains(part.trim()), "lost {part:?} in {after:?}");
            }
            assert_eq!(before.contains("\r\n"), after.contains("\r\n"));
            if before.contains("\r\n") {
                assert_eq!(after.matches('\n').count(), after.matches("\r\n").count(), "{after:?}");
            }
            assert_eq!(before.starts_with('\u{feff}'), after.starts_with('\u{feff}'));
            let gone = remove(&after, "mcpServers", "strongroom").unwrap();
            assert!(read(&gone).unwrap()["mcpServers"].get("strongroom").is_none());
        }
    }

    #[test]
    fn the_indentation_of_the_file_is_taken_up() {
        let text = "{\n\t\"mcpServers\": {\n\t\t\"a\": {}\n\t}\n}\n";
        let after = set_in(text).unwrap();
        assert!(after.contains("\n\t\t\"strongroom\": {\n\t\t\t\"type\""), "{after}");
        assert!(!after.contains("  "), "{after}");
    }

    #[test]
    fn setting_and_removing_gives_the_file_back() {
        let text = "{\n  \"mcpServers\": {\n    // first\n    \"a\": {\n      \"command\": \"x\"\n    }\n  }\n}\n";
        let after = set_in(text).unwrap();
        assert_eq!(remove(&after, "mcpServers", "strongroom").unwrap(), text);
    }

    #[test]
    fn an_empty_file_becomes_one_with_one_entry() {
        for text in ["", "\n", "null", "{\"mcpServers\": null}", "  \t\r\n"] {
            let after = set_in(text).unwrap();
            let expected = json!({"mcpServers": {"strongroom": entry()}});
            assert_eq!(read(&after).unwrap(), expected, "{text:?} became {after:?}");
        }
    }

    #[test]
    fn an_entry_that_is_already_there_is_corrected_and_keeps_what_the_user_added() {
        let text = r#"{"mcpServers": {"strongroom": {
            "url": "http://127.0.0.1/mcp", "headers": {"Authorization": "Bearer canary"}, // old
            "env": {"RUST_LOG": "debug", "STRONGROOM_HOME": "/old"},
            "disabled": false
        }}}"#;
        let after = set_in(text).unwrap();
        let value = read(&after).unwrap();
        let mut expected = Value::Object(entry());
        expected["disabled"] = json!(false);
        expected["env"] = json!({"RUST_LOG": "debug"});
        assert_eq!(value["mcpServers"]["strongroom"], expected, "{after}");

        let mut with_home = entry();
        with_home.insert("env".into(), json!({"STRONGROOM_HOME": "/new"}));
        let after = set(text, "mcpServers", "strongroom", &with_home).unwrap();
        let environment = &read(&after).unwrap()["mcpServers"]["strongroom"]["env"];
        assert_eq!(*environment, json!({"RUST_LOG": "debug", "STRONGROOM_HOME": "/new"}));
    }

    #[test]
    fn a_file_that_the_client_would_not_read_is_refused_with_its_place() {
        let table = [
            ("{\n  \"mcpServers\": {\n", "line 2, column 17: unterminated object"),
            ("{\"a\": 1 \"b\": 2}", "line 1, column 8: expected comma"),
            ("{'a': 1}", "line 1, column 2: single-quoted strings are not allowed"),
            ("[]", "the file is an array and not an object"),
            ("\"canary\"", "the file is a string and not an object"),
            ("{\"mcpServers\": []}", "`mcpServers` is an array and not an object"),
            ("{\"mcpServers\": \"canary\"}", "`mcpServers` is a string and not an object"),
            ("{\"mcpServers\": 7}", "`mcpServers` is a single value and not an object"),
            ("{\"mcpServers\": {}, \"mcpServers\": {}}", "`mcpServers` stands there twice"),
        ];
        for (text, expected) in table {
            assert_eq!(set_in(text).unwrap_err().to_string(), expected, "{text}");
            assert_eq!(remove(text, "mcpServers", "x").unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_error_never_repeats_what_the_file_holds() {
        for text in
            ["{\"k\": canary}", "{canary: 1}", "{\"k\": \"\\canary\"}", "canary", "{\"canary"]
        {
            let error = set_in(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }
}
