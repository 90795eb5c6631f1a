//! Walks a TOML document and says where a mistake is.
//!
//! The parser's own messages are fixed words about syntax. Everything about types, keys and values
//! is checked and said here, so that no message ever quotes what stands in the file.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::Range;

use strongroom_gateway::registry::{self, Member, Node};
use strongroom_model::near::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// The text, for turning offsets into places.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

/// One table, and where it is.
#[derive(Clone)]
pub(super) struct Section<'a> {
    reader: Reader<'a>,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// A string of the file (a key or a value), and where it is.
#[derive(Clone)]
pub(super) struct Text<'a> {
    reader: Reader<'a>,
    words: &'a str,
    span: Range<usize>,
}

/// Any value, and where it is.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    reader: Reader<'a>,
    key: &'a str,
    node: &'a Spanned<DeValue<'a>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text }
    }

    /// A problem at `offset`.
    pub(super) fn at(&self, offset: usize, problem: impl Display) -> ConfigError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        ConfigError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|&c| c != '\n').count() + 1,
            problem: problem.to_string(),
            hint: None,
        }
    }

    pub(super) fn document(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(self.text)
            .map_err(|error| self.at(error.span().map_or(0, |span| span.start), error.message()))
    }

    pub(super) fn root(&self, document: &'a Spanned<DeTable<'a>>) -> Section<'a> {
        Section { reader: *self, table: document.get_ref(), span: document.span() }
    }
}

impl<'a> Section<'a> {
    /// Refuses every key that is not one of `known`.
    pub(super) fn only(&self, known: &[&'static str]) -> Result<(), ConfigError> {
        for key in self.table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(self.unknown(key, known));
            }
        }
        Ok(())
    }

    /// A key that is near no known one is not repeated: it may be a secret.
    fn unknown(&self, key: &Spanned<Cow<'_, str>>, known: &[&'static str]) -> ConfigError {
        let start = key.span().start;
        match nearest(key.get_ref(), known.iter().copied()) {
            Some(near) => self
                .reader
                .at(start, format!("unknown key `{}`", key.get_ref()))
                .hint(format!("did you mean `{near}`?")),
            None => self
                .reader
                .at(start, "unknown key")
                .hint(format!("the keys here are {}", quoted(known))),
        }
    }

    /// A problem with the table itself, or with something missing in it.
    pub(super) fn problem(&self, problem: impl Display) -> ConfigError {
        self.reader.at(self.span.start, problem)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn value(&self, key: &'static str) -> Option<Value<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(Value { reader: self.reader, key: key.get_ref(), node: value })
    }

    pub(super) fn table(&self, key: &'static str) -> Result<Option<Section<'a>>, ConfigError> {
        self.value(key).map(Value::section).transpose()
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<Text<'a>>, ConfigError> {
        self.value(key).map(Value::text).transpose()
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        self.value(key).map(Value::flag).transpose()
    }

    /// The elements of a list; an absent list is empty.
    pub(super) fn list(&self, key: &'static str) -> Result<Vec<Value<'a>>, ConfigError> {
        self.value(key).map_or(Ok(Vec::new()), Value::list)
    }

    /// The elements of a list of strings.
    pub(super) fn texts(&self, key: &'static str) -> Result<Vec<Text<'a>>, ConfigError> {
        self.list(key)?.into_iter().map(Value::text).collect()
    }

    /// Every key with its table, where every value is one.
    pub(super) fn tables(&self) -> Result<Vec<(Text<'a>, Section<'a>)>, ConfigError> {
        self.entries().into_iter().map(|(key, value)| Ok((key, value.section()?))).collect()
    }

    /// Every key with its string, where every value is one.
    pub(super) fn pairs(&self) -> Result<Vec<(Text<'a>, Text<'a>)>, ConfigError> {
        self.entries().into_iter().map(|(key, value)| Ok((key, value.text()?))).collect()
    }

    /// Every key and value, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(Text<'a>, Value<'a>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let text = Text { reader: self.reader, words: key.get_ref(), span: key.span() };
                // A key that the user chose may be anything: messages about its value do not name it.
                (text, Value { reader: self.reader, key: "", node: value })
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }
}

impl<'a> Text<'a> {
    pub(super) fn text(&self) -> &'a str {
        self.words
    }

    /// A problem with it. `problem` must not repeat it.
    pub(super) fn problem(&self, problem: impl Display) -> ConfigError {
        self.reader.at(self.span.start, problem)
    }
}

impl<'a> Value<'a> {
    pub(super) fn problem(self, problem: impl Display) -> ConfigError {
        self.reader.at(self.node.span().start, problem)
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self.node.get_ref(), DeValue::String(_))
    }

    pub(super) fn text(self) -> Result<Text<'a>, ConfigError> {
        match self.node.get_ref() {
            DeValue::String(text) => {
                Ok(Text { reader: self.reader, words: text, span: self.node.span() })
            }
            _ => Err(self.is_not("a string").hint("write it between quotes")),
        }
    }

    pub(super) fn flag(self) -> Result<bool, ConfigError> {
        match self.node.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.is_not("`true` or `false`")),
        }
    }

    pub(super) fn section(self) -> Result<Section<'a>, ConfigError> {
        match self.node.get_ref() {
            DeValue::Table(table) => {
                Ok(Section { reader: self.reader, table, span: self.node.span() })
            }
            _ => Err(self.is_not("a table")),
        }
    }

    pub(super) fn list(self) -> Result<Vec<Value<'a>>, ConfigError> {
        match self.node.get_ref() {
            DeValue::Array(list) => Ok(list
                .iter()
                .map(|value| Value { reader: self.reader, key: self.key, node: value })
                .collect()),
            _ => Err(self.is_not("a list").hint("write it between `[` and `]`")),
        }
    }

    /// A whole number, or a string; nothing else.
    pub(super) fn number_or_text(self) -> Result<Result<u64, &'a str>, ConfigError> {
        match self.node.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map(Ok)
                .map_err(|_| self.is_not("a number of that size")),
            DeValue::String(text) => Ok(Err(text)),
            _ => Err(self.is_not("a number or a string")),
        }
    }

    /// The value as a tree, for the registry.
    pub(super) fn tree(self) -> Node {
        tree(self.node)
    }

    fn is_not(self, what: &str) -> ConfigError {
        if self.key.is_empty() {
            self.problem(format!("the value is not {what}"))
        } else {
            self.problem(format!("`{}` is not {what}", self.key))
        }
    }
}

/// Keys stand in the order of the file; TOML itself refuses one that stands twice.
fn tree(node: &Spanned<DeValue<'_>>) -> Node {
    let value = match node.get_ref() {
        DeValue::String(text) => registry::Value::Text(text.to_string()),
        DeValue::Integer(number) => registry::Value::Number(number.as_str().to_owned()),
        DeValue::Float(number) => registry::Value::Number(number.as_str().to_owned()),
        DeValue::Boolean(flag) => registry::Value::Flag(*flag),
        DeValue::Datetime(_) => registry::Value::Other,
        DeValue::Array(list) => registry::Value::List(list.iter().map(tree).collect()),
        DeValue::Table(table) => {
            let mut members: Vec<Member> = table
                .iter()
                .map(|(key, value)| Member {
                    key: key.get_ref().to_string(),
                    at: key.span().start,
                    value: tree(value),
                })
                .collect();
            members.sort_by_key(|member| member.at);
            registry::Value::Table(members)
        }
    };
    Node { at: node.span().start, value }
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
