//! JSON with comments, through a concrete syntax tree.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use serde_json::{Map, Value};

use super::value::{self, ordered};
use super::{EditError, Step};

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    let root = parse(text)?;
    let Some(root) = root_object(&root)? else { return Ok(Value::Object(Map::new())) };
    Ok(root.to_serde_value().unwrap_or(Value::Null))
}

pub(super) fn put(text: &str, path: &[Step], wanted: &Value) -> Result<String, EditError> {
    let root = parse(text)?;
    let Some((last, above)) = path.split_last() else { return Err(EditError::Unsafe) };
    let mut at = match root_object(&root)? {
        Some(object) => object,
        None => root.object_value_or_set(),
    };
    for step in above {
        let key = key(step)?;
        at = match object(&at, key)? {
            Some(object) => object,
            None => at.object_value_or_set(key),
        };
    }
    let key = key(last)?;
    match single(&at, key)? {
        Some(property) => property.set_value(input(wanted)),
        None => {
            at.append(key, input(wanted));
        }
    }
    Ok(root.to_string())
}

pub(super) fn delete(text: &str, path: &[Step]) -> Result<String, EditError> {
    let root = parse(text)?;
    let Some((last, above)) = path.split_last() else { return Err(EditError::Unsafe) };
    let mut at = root_object(&root)?;
    for step in above {
        at = match &at {
            Some(object_here) => object(object_here, key(step)?)?,
            None => None,
        };
    }
    let property = at.map(|at| single(&at, key(last)?)).transpose()?.flatten();
    if let Some(property) = property {
        property.remove();
    }
    Ok(root.to_string())
}

/// No client keeps a list of servers in JSON.
fn key(step: &Step) -> Result<&str, EditError> {
    match step {
        Step::Key(key) => Ok(key),
        Step::Named(_) => Err(EditError::Unsafe),
    }
}

fn parse(text: &str) -> Result<CstRootNode, EditError> {
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
    CstRootNode::parse(text, &options).map_err(|error| EditError::Syntax {
        line: error.line_display(),
        column: error.column_display(),
        problem: error.kind().to_string().to_lowercase(),
    })
}

fn root_object(root: &CstRootNode) -> Result<Option<CstObject>, EditError> {
    match root.value() {
        None => Ok(None),
        Some(value) => as_object(&value, || "the file".into()),
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
    let found = || value.to_serde_value().as_ref().map_or("a single value", value::kind);
    value.as_object().map(Some).ok_or_else(|| EditError::Shape {
        what: what(),
        found: found(),
        expected: "an object",
    })
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

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(bool) => CstInputValue::Bool(*bool),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(fields) => {
            let fields = ordered(fields).map(|(key, value)| (key.to_owned(), input(value)));
            CstInputValue::Object(fields.collect())
        }
    }
}
