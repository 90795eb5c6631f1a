//! What a client's entry says, whatever the client calls its fields.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Client;

/// A server as a client declares it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The program that it starts.
    pub program: Option<String>,
    /// The program's arguments.
    pub args: Vec<String>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub cwd: Option<String>,
    /// The address that it calls.
    pub url: Option<String>,
    /// The headers that it sends.
    pub headers: BTreeMap<String, String>,
}

impl Declared {
    /// The server that this entry starts through us: `strongroom run NAME`.
    pub fn runs(&self) -> Option<&str> {
        match (self.is_strongroom(), self.args.as_slice()) {
            (true, [run, name, ..]) if run == "run" => Some(name),
            _ => None,
        }
    }

    /// Whether this is what we write: nothing was added by hand.
    pub fn is_plain_run(&self) -> bool {
        self.runs().is_some() && self.args.len() == 2
    }

    fn is_strongroom(&self) -> bool {
        let stem = self.program.as_deref().and_then(|program| {
            // A path of the other platform has no parts here.
            let last = program.rsplit(['/', '\\']).next()?;
            Path::new(last).file_stem()
        });
        stem.is_some_and(|stem| stem == "strongroom")
    }
}

impl Client {
    /// What `entry` says.
    pub fn declared(&self, entry: &Value) -> Declared {
        let fields = &self.raw.fields;
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let mut words = strings(entry.get(&fields.command));
        let (program, args) = match text(&fields.command) {
            Some(program) => (Some(program), strings(entry.get(&fields.args))),
            None if words.is_empty() => (None, Vec::new()),
            None => (Some(words.remove(0)), words),
        };
        let headers = fields.headers.keys().iter().try_fold(entry, |at, key| at.get(key));
        Declared {
            program,
            args,
            env: table(entry.get(&fields.env)),
            cwd: text("cwd"),
            url: text(&fields.url).or_else(|| text("url")),
            headers: table(headers),
        }
    }

    /// What the fields of an entry are called; parts of a path are joined by dots.
    pub fn field_names(&self) -> FieldNames {
        let fields = &self.raw.fields;
        FieldNames {
            command: fields.command.clone(),
            args: fields.args.clone(),
            env: fields.env.clone(),
            url: fields.url.clone(),
            headers: fields.headers.keys().join("."),
        }
    }
}

/// What the fields of a client's entries are called.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is named for what it holds")]
pub struct FieldNames {
    pub command: String,
    pub args: String,
    pub env: String,
    pub url: String,
    pub headers: String,
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let words = value.and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// Names and texts; a number or a truth value is what it looks like.
fn table(value: Option<&Value>) -> BTreeMap<String, String> {
    let fields = value.and_then(Value::as_object).into_iter().flat_map(Map::iter);
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    };
    fields.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}
