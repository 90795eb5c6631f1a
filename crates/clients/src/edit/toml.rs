//! TOML, through a document that keeps its comments.

use serde_json::{Map, Value};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike};

use super::value::{NAME, ordered, wrapped};
use super::{DEEPEST, EditError, Step};

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    let document = parse(text)?;
    table_value(document.as_table(), 0)
}

pub(super) fn put(text: &str, path: &[Step], wanted: &Value) -> Result<String, EditError> {
    let mut document = editable(text)?;
    insert(document.as_item_mut(), path, wanted)?;
    Ok(render(text, &document))
}

pub(super) fn delete(text: &str, path: &[Step]) -> Result<String, EditError> {
    let mut document = editable(text)?;
    take(document.as_item_mut(), path)?;
    Ok(render(text, &document))
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse::<DocumentMut>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        EditError::Syntax {
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|&c| c != '\n').count() + 1,
            // The parser's words may quote a key.
            problem: "this is not TOML".to_owned(),
        }
    })
}

/// A document that is written back as it was read.
fn editable(text: &str) -> Result<DocumentMut, EditError> {
    let document = parse(text)?;
    if render(text, &document) == text { Ok(document) } else { Err(EditError::Unsafe) }
}

/// The text, with the line ends that the file had.
fn render(before: &str, document: &DocumentMut) -> String {
    let mut text = document.to_string();
    if before.contains("\r\n") {
        text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    if !before.is_empty() && !before.ends_with('\n') {
        let end = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(end);
    }
    text
}

fn insert(at: &mut Item, path: &[Step], wanted: &Value) -> Result<(), EditError> {
    let Some((step, rest)) = path.split_first() else {
        let inline = at.is_value();
        *at = item(wanted, inline)?;
        return Ok(());
    };
    match step {
        Step::Key(key) => {
            let inline = at.is_inline_table();
            let table = at.as_table_like_mut().ok_or(EditError::Unsafe)?;
            match table.get_mut(key) {
                // The comments around a value stay.
                Some(Item::Value(present)) if rest.is_empty() => {
                    let decor = present.decor().clone();
                    let mut value = inline_value(wanted)?;
                    *value.decor_mut() = decor;
                    *present = value;
                }
                Some(next) if !next.is_none() => return insert(next, rest, wanted),
                _ => {
                    let is_entry = wrapped(rest, wanted);
                    let mut new = item(&is_entry, inline)?;
                    if let (false, Item::Table(table)) = (rest.is_empty(), &mut new) {
                        table.set_implicit(true);
                    }
                    table.insert(key, new);
                }
            }
        }
        Step::Named(name) => match at {
            Item::ArrayOfTables(tables) => match position(tables, name) {
                Some(at) => within(tables, at, |table| insert(table, rest, wanted))?,
                None => tables.push(table(wanted)?),
            },
            Item::Value(toml_edit::Value::Array(array)) => {
                if !rest.is_empty() {
                    return Err(EditError::Unsafe);
                }
                array.push(inline_value(wanted)?);
            }
            _ => return Err(EditError::Unsafe),
        },
    }
    Ok(())
}

fn take(at: &mut Item, path: &[Step]) -> Result<(), EditError> {
    let Some((step, rest)) = path.split_first() else { return Err(EditError::Unsafe) };
    match step {
        Step::Key(key) => {
            let table = at.as_table_like_mut().ok_or(EditError::Unsafe)?;
            if rest.is_empty() {
                table.remove(key);
                Ok(())
            } else {
                take(table.get_mut(key).ok_or(EditError::Unsafe)?, rest)
            }
        }
        Step::Named(name) => match at {
            Item::ArrayOfTables(tables) => {
                let at = position(tables, name).ok_or(EditError::Unsafe)?;
                if rest.is_empty() {
                    tables.remove(at);
                    Ok(())
                } else {
                    within(tables, at, |table| take(table, rest))
                }
            }
            Item::Value(toml_edit::Value::Array(array)) if rest.is_empty() => {
                array.retain(|value| {
                    let found = value.as_inline_table().and_then(|table| table.get(NAME));
                    found.and_then(toml_edit::Value::as_str) != Some(name)
                });
                Ok(())
            }
            _ => Err(EditError::Unsafe),
        },
    }
}

fn position(tables: &ArrayOfTables, name: &str) -> Option<usize> {
    tables.iter().position(|table| table.get(NAME).and_then(Item::as_str) == Some(name))
}

/// Edits one of `tables`.
fn within(
    tables: &mut ArrayOfTables,
    at: usize,
    edit: impl FnOnce(&mut Item) -> Result<(), EditError>,
) -> Result<(), EditError> {
    let table = tables.get_mut(at).ok_or(EditError::Unsafe)?;
    let mut item = Item::Table(std::mem::take(table));
    let done = edit(&mut item);
    if let Item::Table(edited) = item {
        *table = edited;
    }
    done
}

/// A new item: an object is a table of its own, unless it stands within a line.
fn item(wanted: &Value, inline: bool) -> Result<Item, EditError> {
    match wanted {
        Value::Object(fields) if !inline => {
            // A table of tables only leads to them.
            let mut table = Table::new();
            for (key, value) in ordered(fields) {
                let leads = fields.len() == 1 && (value.is_object() || value.is_array());
                table.insert(key, item(value, !leads)?);
            }
            Ok(Item::Table(table))
        }
        Value::Array(elements) if !inline && elements.iter().all(Value::is_object) => {
            let mut tables = ArrayOfTables::new();
            for element in elements {
                tables.push(table(element)?);
            }
            Ok(Item::ArrayOfTables(tables))
        }
        other => Ok(Item::Value(inline_value(other)?)),
    }
}

fn table(wanted: &Value) -> Result<Table, EditError> {
    let fields = wanted.as_object().ok_or(EditError::Unsafe)?;
    let mut table = Table::new();
    for (key, value) in ordered(fields) {
        table.insert(key, Item::Value(inline_value(value)?));
    }
    Ok(table)
}

fn inline_value(wanted: &Value) -> Result<toml_edit::Value, EditError> {
    Ok(match wanted {
        // TOML has no such thing.
        Value::Null => return Err(EditError::Unsafe),
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => return Err(EditError::Unsafe),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => {
            let values = elements.iter().map(inline_value);
            toml_edit::Value::Array(values.collect::<Result<Array, _>>()?)
        }
        Value::Object(fields) => {
            let mut table = InlineTable::new();
            for (key, value) in ordered(fields) {
                table.insert(key, inline_value(value)?);
            }
            toml_edit::Value::InlineTable(table)
        }
    })
}

fn table_value(table: &dyn TableLike, depth: usize) -> Result<Value, EditError> {
    let mut fields = Map::new();
    for (key, item) in table.iter() {
        fields.insert(key.to_owned(), item_value(item, depth + 1)?);
    }
    Ok(Value::Object(fields))
}

fn item_value(item: &Item, depth: usize) -> Result<Value, EditError> {
    if depth > DEEPEST {
        return Err(EditError::TooMuch);
    }
    match item {
        Item::None => Ok(Value::Null),
        Item::Value(value) => to_value(value, depth),
        Item::Table(table) => table_value(table, depth),
        Item::ArrayOfTables(tables) => {
            let tables = tables.iter().map(|table| table_value(table, depth));
            Ok(Value::Array(tables.collect::<Result<_, _>>()?))
        }
    }
}

fn to_value(value: &toml_edit::Value, depth: usize) -> Result<Value, EditError> {
    if depth > DEEPEST {
        return Err(EditError::TooMuch);
    }
    Ok(match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => {
            let number = *number.value();
            serde_json::Number::from_f64(number)
                .map_or_else(|| Value::from(number.to_string()), Value::Number)
        }
        toml_edit::Value::Boolean(bool) => Value::from(*bool.value()),
        toml_edit::Value::Datetime(time) => Value::from(time.value().to_string()),
        toml_edit::Value::Array(array) => {
            let values = array.iter().map(|value| to_value(value, depth + 1));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        toml_edit::Value::InlineTable(table) => table_value(table, depth)?,
    })
}
