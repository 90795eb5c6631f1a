//! A tree of values that know where they stand, whatever text they were read from.

use std::fmt;

use super::{Problem, Text};

/// No tree is nested deeper (SC-06).
pub const DEEPEST: usize = 64;

/// A value, and where it stands.
#[derive(Clone)]
pub struct Node {
    /// The offset of its first byte.
    pub at: usize,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Flag(bool),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys with their values, in the order of the text. No key stands twice.
    Table(Vec<Member>),
    /// What this kind of text has and no source of servers needs: a date.
    Other,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Member {
    /// The key.
    pub key: String,
    /// The offset of the key.
    pub at: usize,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value at `key`, where this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.members().iter().find(|member| member.key == key).map(|member| &member.value)
    }

    /// The members of a table; nothing else has any.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Table(members) => members,
            _ => &[],
        }
    }

    /// The elements of a list; nothing else has any.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text, where this is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is `true`.
    pub fn is_true(&self) -> bool {
        matches!(self.value, Value::Flag(true))
    }

    /// Refuses a key that stands twice. Whoever builds a table calls this once.
    pub(crate) fn table(text: &Text, at: usize, members: Vec<Member>) -> Result<Self, Problem> {
        if let Some(again) = twice(&members) {
            return Err(text
                .problem(again.at, "a key stands twice in one table")
                .hint("keep one of the two"));
        }
        Ok(Self { at, value: Value::Table(members) })
    }
}

/// The second of two members with one key.
fn twice(members: &[Member]) -> Option<&Member> {
    const FEW: usize = 16;
    if members.len() <= FEW {
        let mut seen = members.iter().enumerate();
        return seen
            .find(|(index, member)| members[..*index].iter().any(|other| other.key == member.key))
            .map(|(_, member)| member);
    }
    let mut seen = std::collections::HashSet::with_capacity(members.len());
    members.iter().find(|member| !seen.insert(member.key.as_str()))
}

/// Kinds and places only: a value may be a pasted secret.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.value {
            Value::Null => "null",
            Value::Flag(_) => "flag",
            Value::Number(_) => "number",
            Value::Text(_) => "text",
            Value::List(_) => "list",
            Value::Table(_) => "table",
            Value::Other => "other",
        };
        write!(f, "{kind}@{}", self.at)
    }
}
