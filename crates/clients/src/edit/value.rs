//! The same edits on values: what an edited text must say.

use serde_json::{Map, Value};

use super::Step;

/// The key by which elements of a list are found.
pub(super) const NAME: &str = "name";

/// Our fields in the order that people expect.
const FIRST: [&str; 14] = [
    "name",
    "source",
    "type",
    "transport",
    "command",
    "cmd",
    "args",
    "url",
    "serverUrl",
    "httpUrl",
    "uri",
    "headers",
    "http_headers",
    "env",
];

/// The fields of an entry in the order in which they are written.
pub(super) fn ordered(fields: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let first = FIRST.into_iter().filter_map(|key| Some((key, fields.get(key)?)));
    let others = fields.iter().map(|(key, value)| (key.as_str(), value));
    first.chain(others.filter(|(key, _)| !FIRST.contains(key)))
}

pub(super) fn at<'a>(document: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(document, child)
}

pub(super) fn child<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Key(key) => value.get(key),
        Step::Named(name) => value.as_array()?.iter().find(|element| is_named(element, name)),
    }
}

fn is_named(element: &Value, name: &str) -> bool {
    element.get(NAME).and_then(Value::as_str) == Some(name)
}

/// What stands at the end of a way of which `rest` is not there yet.
pub(super) fn wrapped(rest: &[Step], wanted: &Value) -> Value {
    rest.iter().rev().fold(wanted.clone(), |value, step| match step {
        Step::Key(key) => Value::Object([(key.clone(), value)].into_iter().collect()),
        Step::Named(_) => Value::Array(vec![value]),
    })
}

pub(super) fn put(document: &mut Value, path: &[Step], wanted: Value) {
    let Some((step, rest)) = path.split_first() else {
        *document = wanted;
        return;
    };
    match step {
        Step::Key(key) => {
            if !document.is_object() {
                *document = Value::Object(Map::new());
            }
            put(&mut document[key.as_str()], rest, wanted);
        }
        Step::Named(name) => {
            if !document.is_array() {
                *document = Value::Array(Vec::new());
            }
            let Some(elements) = document.as_array_mut() else { return };
            let at = elements.iter().position(|element| is_named(element, name));
            let at = at.unwrap_or_else(|| {
                elements.push(Value::Null);
                elements.len() - 1
            });
            put(&mut elements[at], rest, wanted);
        }
    }
}

pub(super) fn delete(document: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        match (step, document) {
            (Step::Key(key), Value::Object(fields)) => {
                fields.remove(key);
            }
            (Step::Named(name), Value::Array(elements)) => {
                elements.retain(|element| !is_named(element, name));
            }
            _ => {}
        }
        return;
    }
    let next = match step {
        Step::Key(key) => document.get_mut(key),
        Step::Named(name) => document
            .as_array_mut()
            .and_then(|elements| elements.iter_mut().find(|element| is_named(element, name))),
    };
    if let Some(next) = next {
        delete(next, rest);
    }
}

/// Whether two documents say the same. Nothing, an empty object and an empty list at a key are the
/// same there: what we emptied may be written in either way.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            keys.into_iter().all(|key| {
                is_same(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (a, b) => a == b || (is_nothing(a) && is_nothing(b)),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

/// What kind of value it is, in a message.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Object(_) => "an object",
        _ => "a single value",
    }
}
