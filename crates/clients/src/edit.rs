//! Edits of a client's configuration, as text: comments, order, indentation, line ends and a byte
//! order mark survive.
//!
//! Pure: text in, text out. A file that is not what the client itself would accept is refused with
//! its place and never repaired; nothing of its content is quoted, since it may hold secrets. What
//! was written is read again and compared with what it should say: an edit that would change
//! anything else is refused, too.

mod json;
mod toml;
mod value;
mod yaml;

use serde::Deserialize;
use serde_json::{Map, Value};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The most that is nested in a file that a person wrote.
const DEEPEST: usize = 64;

/// The language of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, comments and trailing commas allowed.
    #[default]
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

/// A step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value at this key.
    Key(String),
    /// The element of a list whose `name` this is.
    Named(String),
}

/// Where the entry of a server stands, or would stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The language of the file.
    pub format: Format,
    /// The way to the entry.
    pub path: Vec<Step>,
    /// What a new file begins with.
    pub start: String,
}

/// What an entry is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Fields, in no order.
    pub fields: Map<String, Value>,
    /// Fields that a new entry has, and that are the user's after that.
    pub fresh: Map<String, Value>,
    /// Fields that must not be there.
    pub without: Vec<String>,
    /// The field with the variables. The user's stay in it, less those of `own_variables` that
    /// `fields` does not name.
    pub environment: String,
    /// Whether the user's variables go: Strongroom has them.
    pub takes_over: bool,
}

/// The variables in an entry that are ours.
const OWN_VARIABLES: [&str; 1] = ["STRONGROOM_HOME"];

/// Why a file cannot be edited.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not in its language.
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
    #[error("{what} is {found} and not {expected}")]
    Shape {
        /// Which one.
        what: String,
        /// What stands there instead.
        found: &'static str,
        /// What should.
        expected: &'static str,
    },
    /// A key stands twice, and readers disagree about which one counts.
    #[error("`{key}` stands there twice")]
    Twice {
        /// The key: one of ours or the client's, never a value.
        key: String,
    },
    /// It is nested deeper, or holds more, than a person would write.
    #[error("there is more in it than a person writes")]
    TooMuch,
    /// The way it is written, we cannot change it without changing more.
    #[error("it is written in a way that cannot be edited without changing something else")]
    Unsafe,
}

/// Makes the entry at `place` say what `entry` says. The same text comes back where it does.
pub fn set(text: &str, place: &Place, entry: &Entry) -> Result<String, EditError> {
    let document = read(place.format, text)?;
    check_way(&document, &place.path)?;
    let Some(present) = value::at(&document, &place.path).and_then(Value::as_object) else {
        let text = if text.trim().is_empty() && !place.start.is_empty() {
            place.start.as_str()
        } else {
            text
        };
        let mut fields = entry.fresh.clone();
        fields.extend(entry.fields.clone());
        return put(text, place.format, &place.path, &Value::Object(fields));
    };
    let mut text = text.to_owned();
    let below = |key: &str| {
        let mut path = place.path.clone();
        path.push(Step::Key(key.to_owned()));
        path
    };
    for (key, wanted) in value::ordered(&entry.fields) {
        if key == entry.environment && !entry.takes_over {
            continue;
        }
        if present.get(key) != Some(wanted) {
            text = put(&text, place.format, &below(key), wanted)?;
        }
    }
    for key in &entry.without {
        text = delete(&text, place.format, &below(key))?;
    }
    match (entry.takes_over, entry.fields.contains_key(&entry.environment)) {
        (true, true) => Ok(text),
        (true, false) => delete(&text, place.format, &below(&entry.environment)),
        (false, _) => set_variables(text, place, entry, present),
    }
}

/// The user's variables stay, less those that we once set.
fn set_variables(
    mut text: String,
    place: &Place,
    entry: &Entry,
    present: &Map<String, Value>,
) -> Result<String, EditError> {
    let environment = || Step::Key(entry.environment.clone());
    let wanted = entry.fields.get(&entry.environment).and_then(Value::as_object);
    let there = present.get(&entry.environment);
    let mut path = place.path.clone();
    path.push(environment());
    let Some(there) = there.and_then(Value::as_object) else {
        let Some(wanted) = wanted else { return Ok(text) };
        return put(&text, place.format, &path, &Value::Object(wanted.clone()));
    };
    for (name, value) in wanted.into_iter().flatten() {
        if there.get(name) != Some(value) {
            let path = [path.as_slice(), &[Step::Key(name.clone())]].concat();
            text = put(&text, place.format, &path, value)?;
        }
    }
    for name in OWN_VARIABLES {
        if there.contains_key(name) && wanted.is_none_or(|wanted| !wanted.contains_key(name)) {
            let path = [path.as_slice(), &[Step::Key(name.to_owned())]].concat();
            text = delete(&text, place.format, &path)?;
        }
    }
    Ok(text)
}

/// Removes the entry at `place`; the same text comes back where there is none.
pub fn remove(text: &str, place: &Place) -> Result<String, EditError> {
    delete(text, place.format, &place.path)
}

/// The document as a value, to look at. `{}` for an empty one.
pub fn read(format: Format, text: &str) -> Result<Value, EditError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    match format {
        Format::Json => json::read(text),
        Format::Toml => toml::read(text),
        Format::Yaml => yaml::read(text),
    }
}

/// The value at `path`.
pub fn at<'a>(document: &'a Value, path: &[Step]) -> Option<&'a Value> {
    value::at(document, path)
}

fn put(text: &str, format: Format, path: &[Step], wanted: &Value) -> Result<String, EditError> {
    check_way(&read(format, text)?, path)?;
    let edit = |text: &str| match format {
        Format::Json => json::put(text, path, wanted),
        Format::Toml => toml::put(text, path, wanted),
        Format::Yaml => yaml::put(text, path, wanted),
    };
    checked(text, format, edit, |document| value::put(document, path, wanted.clone()))
}

fn delete(text: &str, format: Format, path: &[Step]) -> Result<String, EditError> {
    let document = read(format, text)?;
    check_way(&document, path)?;
    // JSON says by itself whether a key stands there twice.
    if format != Format::Json && value::at(&document, path).is_none() {
        return Ok(text.to_owned());
    }
    let edit = |text: &str| match format {
        Format::Json => json::delete(text, path),
        Format::Toml => toml::delete(text, path),
        Format::Yaml => yaml::delete(text, path),
    };
    checked(text, format, edit, |document| value::delete(document, path))
}

/// Edits, and refuses where the text then says something else than it should.
fn checked(
    text: &str,
    format: Format,
    edit: impl Fn(&str) -> Result<String, EditError>,
    change: impl Fn(&mut Value),
) -> Result<String, EditError> {
    let (mark, bare) = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let edited = edit(bare)?;
    let mut expected = read(format, bare)?;
    change(&mut expected);
    let found = read(format, &edited).map_err(|_| EditError::Unsafe)?;
    if !value::is_same(&found, &expected) {
        return Err(EditError::Unsafe);
    }
    Ok(if mark { format!("{BYTE_ORDER_MARK}{edited}") } else { edited })
}

/// Refuses where something on the way to an entry is not what it should be.
fn check_way(document: &Value, path: &[Step]) -> Result<(), EditError> {
    let mut at = document;
    let mut what = "the file".to_owned();
    for step in path {
        let (fits, expected) = match step {
            Step::Key(_) => (at.is_object() || at.is_null(), "an object"),
            Step::Named(_) => (at.is_array() || at.is_null(), "a list"),
        };
        if !fits {
            let found = value::kind(at);
            return Err(EditError::Shape { what, found, expected });
        }
        let Some(next) = value::child(at, step) else { return Ok(()) };
        at = next;
        if let Step::Key(key) = step {
            what = format!("`{key}`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
