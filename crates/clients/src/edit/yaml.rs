//! YAML, by splicing lines: a parser says where everything stands, and only our own lines come and
//! go. Nothing is written from a tree, so that no comment and no blank of the others can move.

mod tree;

use serde_json::Value;

use self::tree::{Kind, Node, Tree};
use super::value::{NAME, ordered, wrapped};
use super::{EditError, Step};

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    Tree::parse(text)?.value()
}

pub(super) fn put(text: &str, path: &[Step], wanted: &Value) -> Result<String, EditError> {
    let tree = Tree::parse(text)?;
    let lines = Lines::of(text);
    let Some(root) = &tree.root else { return Ok(lines.append(&block(wanted, path, 0))) };
    let mut at = root;
    let mut above: Option<(&Node, usize)> = None;
    for (depth, step) in path.iter().enumerate() {
        if at.is_nothing() {
            let wanted = wrapped(&path[depth..], wanted);
            return match above {
                Some((parent, field)) => lines.fill(parent, field, &wanted),
                None => Ok(lines.append(&block(&wanted, &[], 0))),
            };
        }
        match find(at, step) {
            Some(found) => {
                above = Some((at, found));
                at = child(at, found).ok_or(EditError::Unsafe)?;
            }
            None => return lines.add(at, step, &wrapped(&path[depth + 1..], wanted)),
        }
    }
    let (parent, field) = above.ok_or(EditError::Unsafe)?;
    lines.replace(parent, field, wanted)
}

pub(super) fn delete(text: &str, path: &[Step]) -> Result<String, EditError> {
    let tree = Tree::parse(text)?;
    let mut at = tree.root.as_ref().ok_or(EditError::Unsafe)?;
    let mut above: Vec<(&Node, usize)> = Vec::new();
    for step in path {
        let found = find(at, step).ok_or(EditError::Unsafe)?;
        above.push((at, found));
        at = child(at, found).ok_or(EditError::Unsafe)?;
    }
    let lines = Lines::of(text);
    match above.as_slice() {
        [.., (holder, field), (parent, only)] if count(parent) == 1 && !is_flow(parent) => {
            lines.empty(holder, *field, parent, *only)
        }
        [.., (parent, field)] => lines.cut(parent, *field),
        [] => Err(EditError::Unsafe),
    }
}

fn find(node: &Node, step: &Step) -> Option<usize> {
    match (&node.kind, step) {
        (Kind::Map { fields, .. }, Step::Key(key)) => {
            fields.iter().position(|(name, _)| name.key() == Some(key))
        }
        (Kind::List { elements, .. }, Step::Named(name)) => elements.iter().position(|element| {
            let Kind::Map { fields, .. } = &element.kind else { return false };
            let mut fields = fields.iter();
            fields.any(|(key, value)| key.key() == Some(NAME) && value.key() == Some(name))
        }),
        _ => None,
    }
}

fn child(node: &Node, at: usize) -> Option<&Node> {
    match &node.kind {
        Kind::Map { fields, .. } => fields.get(at).map(|(_, value)| value),
        Kind::List { elements, .. } => elements.get(at),
        _ => None,
    }
}

fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::Map { fields, .. } => fields.len(),
        Kind::List { elements, .. } => elements.len(),
        _ => 0,
    }
}

fn is_flow(node: &Node) -> bool {
    matches!(node.kind, Kind::Map { flow: true, .. } | Kind::List { flow: true, .. })
}

/// The start of a field or an element, and the byte behind it.
fn extent(node: &Node, at: usize, text: &str) -> Option<(usize, usize)> {
    match &node.kind {
        Kind::Map { fields, .. } => {
            let (key, value) = fields.get(at)?;
            Some((key.start, key.end(text).max(value.end(text))))
        }
        Kind::List { elements, .. } => {
            let element = elements.get(at)?;
            Some((element.start, element.end(text)))
        }
        _ => None,
    }
}

/// A text and where its lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    end: &'static str,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1));
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { text, starts: starts.collect(), end }
    }

    fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// How far in `byte` stands, and what stands before it in its line.
    fn before(&self, byte: usize) -> (usize, &'a str) {
        let before = &self.text[self.starts[self.line(byte)]..byte];
        (before.chars().count(), before)
    }

    fn splice(&self, from: usize, to: usize, new: &str) -> String {
        format!("{}{new}{}", &self.text[..from], &self.text[to..])
    }

    /// `block` behind the last line.
    fn append(&self, block: &str) -> String {
        let block = block.replace('\n', self.end);
        if self.text.is_empty() || self.text.ends_with('\n') {
            format!("{}{block}", self.text)
        } else {
            format!("{}{}{}", self.text, self.end, block.trim_end())
        }
    }

    /// `block` below the line that holds `byte`.
    fn below(&self, byte: usize, block: &str) -> String {
        match self.starts.get(self.line(byte) + 1) {
            Some(next) => self.splice(*next, *next, &block.replace('\n', self.end)),
            None => self.append(block),
        }
    }

    /// Without the lines that hold `first` to `last`.
    fn without(&self, first: usize, last: usize) -> String {
        let from = self.starts[self.line(first)];
        match self.starts.get(self.line(last) + 1) {
            Some(next) => self.splice(from, *next, ""),
            None => self.text[..from].strip_suffix(self.end).unwrap_or_default().to_owned(),
        }
    }

    /// Adds a field or an element to `node`, behind the others.
    fn add(&self, node: &Node, step: &Step, wanted: &Value) -> Result<String, EditError> {
        let last = count(node).checked_sub(1).ok_or(EditError::Unsafe)?;
        if is_flow(node) {
            let field = match step {
                Step::Key(key) => format!("{}: {}", quoted(key), inline(wanted)),
                Step::Named(_) => inline(wanted),
            };
            return Ok(self.splice(node.start + 1, node.start + 1, &format!("{field}, ")));
        }
        let (start, _) = extent(node, 0, self.text).ok_or(EditError::Unsafe)?;
        let (_, end) = extent(node, last, self.text).ok_or(EditError::Unsafe)?;
        let (column, before) = self.before(start);
        let indent = match step {
            Step::Key(_) if before.chars().all(|c| matches!(c, ' ' | '-')) => column,
            Step::Named(_) => dash(before).ok_or(EditError::Unsafe)?,
            Step::Key(_) => return Err(EditError::Unsafe),
        };
        Ok(self.below(end.saturating_sub(1), &block(wanted, std::slice::from_ref(step), indent)))
    }

    /// Puts `wanted` where a key has nothing, `{}` or `[]`.
    fn fill(&self, node: &Node, at: usize, wanted: &Value) -> Result<String, EditError> {
        let Kind::Map { fields, flow: false } = &node.kind else { return Err(EditError::Unsafe) };
        let (key, value) = fields.get(at).ok_or(EditError::Unsafe)?;
        let colon = self.colon(key)?;
        let indent = self.before(key.start).0;
        let block = match wanted {
            Value::Object(_) => block(wanted, &[], indent + 2),
            Value::Array(elements) => {
                let named = Step::Named(String::new());
                let blocks = elements
                    .iter()
                    .map(|element| block(element, std::slice::from_ref(&named), indent + 2));
                blocks.collect::<Vec<_>>().concat()
            }
            _ => return self.replace(node, at, wanted),
        };
        let end = value.end(self.text).max(colon);
        let bare = self.splice(colon, end, "");
        Ok(Lines::of(&bare).below(colon - 1, &block))
    }

    /// The byte behind the colon of a key.
    fn colon(&self, key: &Node) -> Result<usize, EditError> {
        let end = key.end(self.text);
        let rest = self.text.get(end..).unwrap_or_default();
        let colon = rest.find(':').ok_or(EditError::Unsafe)?;
        if rest[..colon].trim().is_empty() { Ok(end + colon + 1) } else { Err(EditError::Unsafe) }
    }

    /// Another value for a field.
    fn replace(&self, node: &Node, at: usize, wanted: &Value) -> Result<String, EditError> {
        let Kind::Map { fields, .. } = &node.kind else { return Err(EditError::Unsafe) };
        let (key, value) = fields.get(at).ok_or(EditError::Unsafe)?;
        let is_inline = is_flow(value)
            || matches!(&value.kind, Kind::Scalar { block: false, .. } | Kind::Alias(_));
        let end = value.end(self.text);
        if is_inline && end > value.start {
            return Ok(self.splice(value.start, end, &inline(wanted)));
        }
        // What stands on lines of its own goes, and the new value stands behind the colon.
        let colon = self.colon(key)?;
        let text = if end > colon { self.without_below(colon, end - 1) } else { self.text.into() };
        let bare = Lines::of(&text);
        Ok(bare.splice(colon, colon, &format!(" {}", inline(wanted))))
    }

    /// Without the lines below that of `byte`, down to that of `last`; without what stands behind
    /// the colon, where that is a mark of a block.
    fn without_below(&self, colon: usize, last: usize) -> String {
        let line = self.line(colon);
        let text = match self.starts.get(line + 1) {
            Some(next) if *next <= last => self.without(*next, last),
            _ => self.text.to_owned(),
        };
        let rest = text.get(colon..).unwrap_or_default();
        let rest = rest.split(['\r', '\n']).next().unwrap_or_default();
        let mark = rest.split('#').next().unwrap_or_default().trim_end();
        format!("{}{}", &text[..colon], &text[colon + mark.len()..])
    }

    /// Without a field or an element, which is not the only one.
    fn cut(&self, node: &Node, at: usize) -> Result<String, EditError> {
        let (start, end) = extent(node, at, self.text).ok_or(EditError::Unsafe)?;
        let next = extent(node, at + 1, self.text).map(|(start, _)| start);
        let (_, before) = self.before(start);
        let is_element = matches!(node.kind, Kind::List { .. });
        if is_flow(node) {
            let (from, to) = match (next, at.checked_sub(1)) {
                (Some(next), _) => (start, next),
                (None, Some(previous)) => {
                    (extent(node, previous, self.text).ok_or(EditError::Unsafe)?.1, end)
                }
                (None, None) => (start, end),
            };
            return Ok(self.splice(from, to, ""));
        }
        if !is_element && before.contains('-') {
            // The dash of the element stays where it is.
            let next = next.ok_or(EditError::Unsafe)?;
            return Ok(self.splice(start, next, ""));
        }
        if !before.chars().all(|c| c == ' ' || (is_element && c == '-')) {
            return Err(EditError::Unsafe);
        }
        Ok(self.without(start, end.saturating_sub(1)))
    }

    /// Without the only field or element of `node`, which stands at a key of `holder`.
    fn empty(
        &self,
        holder: &Node,
        field: usize,
        node: &Node,
        only: usize,
    ) -> Result<String, EditError> {
        let Kind::Map { fields, .. } = &holder.kind else { return Err(EditError::Unsafe) };
        let (key, _) = fields.get(field).ok_or(EditError::Unsafe)?;
        let colon = self.colon(key)?;
        let (start, end) = extent(node, only, self.text).ok_or(EditError::Unsafe)?;
        if self.line(start) == self.line(colon) {
            return Err(EditError::Unsafe);
        }
        let nothing = if matches!(node.kind, Kind::List { .. }) { " []" } else { " {}" };
        let bare = self.without(start, end.saturating_sub(1));
        Ok(Lines::of(&bare).splice(colon, colon, nothing))
    }
}

/// How far in the dash stands that is all there is before an element.
fn dash(before: &str) -> Option<usize> {
    let blanks = before.len() - before.trim_start_matches(' ').len();
    (before.trim_start_matches(' ').trim_end() == "-").then_some(blanks)
}

/// Lines that say `wanted` at `steps`.
fn block(wanted: &Value, steps: &[Step], indent: usize) -> String {
    let blanks = " ".repeat(indent);
    match steps.split_first() {
        Some((Step::Key(key), rest)) => match wrapped(rest, wanted) {
            Value::Object(fields) if !fields.is_empty() => {
                let below = block(&Value::Object(fields), &[], indent + 2);
                format!("{blanks}{}:\n{below}", quoted(key))
            }
            other => format!("{blanks}{}: {}\n", quoted(key), inline(&other)),
        },
        Some((Step::Named(_), rest)) => {
            let below = block(&wrapped(rest, wanted), &[], indent + 2);
            format!("{blanks}- {}", below.trim_start_matches(' '))
        }
        None => match wanted {
            Value::Object(fields) => {
                let fields = ordered(fields)
                    .map(|(key, value)| block(value, &[Step::Key(key.to_owned())], indent));
                fields.collect::<Vec<_>>().concat()
            }
            other => format!("{blanks}{}\n", inline(other)),
        },
    }
}

/// A value within a line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(within).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields =
                ordered(fields).map(|(key, value)| format!("{}: {}", quoted(key), within(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A value within brackets.
fn within(value: &Value) -> String {
    match value {
        Value::String(text) => Value::from(text.as_str()).to_string(),
        other => inline(other),
    }
}

/// A text as it is where that cannot be misread, else in quotes as in JSON.
fn quoted(text: &str) -> String {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_./-".contains(&b);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && text.bytes().all(is_word)
        && !["yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str())
        && tree::plain(text).is_string();
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}
