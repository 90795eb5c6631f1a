//! YAML as a tree that knows where everything stands.
//!
//! Strict: one document, no tags, no key twice, no more depth and no more nodes (those that aliases
//! stand for included) than a person writes (SC-06).

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Number, Value};

use super::super::{DEEPEST, EditError};

/// The most values in a file, counting those that an alias repeats.
const MOST: usize = 100_000;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The first byte.
    pub(super) start: usize,
    /// The byte behind the last one, for what stands on its own; see [`Node::end`].
    end: usize,
    anchor: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar { text: String, plain: bool, block: bool },
    List { elements: Vec<Node>, flow: bool },
    Map { fields: Vec<(Node, Node)>, flow: bool },
    Alias(usize),
}

impl Node {
    /// The byte behind the last one that is not white space.
    pub(super) fn end(&self, text: &str) -> usize {
        match &self.kind {
            Kind::List { elements, flow: false } => {
                elements.last().map_or(self.start, |last| last.end(text))
            }
            Kind::Map { fields, flow: false } => {
                fields.last().map_or(self.start, |(key, value)| key.end(text).max(value.end(text)))
            }
            // Nothing stands where it ends.
            Kind::Scalar { text, plain: true, .. } if text.is_empty() => 0,
            _ => self.start + text.get(self.start..self.end).map_or(0, |own| own.trim_end().len()),
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_nothing(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, plain, .. } => *plain && is_null(text),
            Kind::List { elements, .. } => elements.is_empty(),
            Kind::Map { fields, .. } => fields.is_empty(),
            Kind::Alias(_) => false,
        }
    }

    /// The text of a key.
    pub(super) fn key(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A document, or nothing but comments.
pub(super) struct Tree {
    pub(super) root: Option<Node>,
}

impl Tree {
    pub(super) fn parse(text: &str) -> Result<Self, EditError> {
        let mut reader =
            Reader { text, parser: Parser::new_from_str(text), bytes: places(text), left: MOST };
        let mut root = None;
        loop {
            let (event, span) = reader.next()?;
            match event {
                Event::StreamEnd => return Ok(Self { root }),
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(problem(&span, "there is more than one document"));
                }
                Event::DocumentStart(_) => {
                    let (event, span) = reader.next()?;
                    root = Some(reader.node(event, &span, 0)?);
                }
                _ => {}
            }
        }
    }

    pub(super) fn value(&self) -> Result<Value, EditError> {
        let Some(root) = &self.root else { return Ok(Value::Object(Map::new())) };
        let mut anchors = BTreeMap::new();
        collect(root, &mut anchors);
        let mut left = MOST;
        let value = value(root, &anchors, &mut left, 0)?;
        Ok(if value.is_null() { Value::Object(Map::new()) } else { value })
    }
}

fn problem(span: &Span, problem: &str) -> EditError {
    EditError::Syntax {
        line: span.start.line(),
        column: span.start.col() + 1,
        problem: problem.to_owned(),
    }
}

/// The byte of each character, for texts that are not ASCII.
fn places(text: &str) -> Option<Vec<usize>> {
    let places = || text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    (!text.is_ascii()).then(places)
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    bytes: Option<Vec<usize>>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), EditError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn byte(&self, index: usize) -> usize {
        match &self.bytes {
            Some(bytes) => bytes.get(index).copied().unwrap_or(self.text.len()),
            None => index.min(self.text.len()),
        }
    }

    /// The byte behind a bracket.
    fn behind(&self, span: &Span) -> usize {
        let start = self.byte(span.start.index());
        if self.text[start..].starts_with([']', '}']) { start + 1 } else { start }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, EditError> {
        self.left = self.left.saturating_sub(1);
        if depth > DEEPEST || self.left == 0 {
            return Err(EditError::TooMuch);
        }
        let start = self.byte(span.start.index());
        let mut end = self.byte(span.end.index());
        let (kind, anchor) = match event {
            Event::Alias(anchor) => (Kind::Alias(anchor), 0),
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    return Err(problem(span, "tags are not understood"));
                }
                let plain = style == ScalarStyle::Plain;
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                (Kind::Scalar { text: text.into_owned(), plain, block }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                if tag.is_some() {
                    return Err(problem(span, "tags are not understood"));
                }
                let flow = self.text[start..].starts_with('[');
                let mut elements = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        end = self.behind(&span);
                        break;
                    }
                    elements.push(self.node(event, &span, depth + 1)?);
                }
                (Kind::List { elements, flow }, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                if tag.is_some() {
                    return Err(problem(span, "tags are not understood"));
                }
                let flow = self.text[start..].starts_with('{');
                let (fields, behind) = self.fields(depth)?;
                end = behind;
                (Kind::Map { fields, flow }, anchor)
            }
            _ => return Err(problem(span, "a value is missing")),
        };
        Ok(Node { kind, start, end, anchor })
    }

    fn fields(&mut self, depth: usize) -> Result<(Vec<(Node, Node)>, usize), EditError> {
        let mut fields: Vec<(Node, Node)> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok((fields, self.behind(&span)));
            }
            let key = self.node(event, &span, depth + 1)?;
            let name = key.key().ok_or_else(|| problem(&span, "a key is not a text"))?;
            if !seen.insert(name.to_owned()) {
                return Err(problem(&span, "a key stands there twice"));
            }
            let (event, span) = self.next()?;
            fields.push((key, self.node(event, &span, depth + 1)?));
        }
    }
}

/// The parser's words quote the text in places: ours do not.
fn syntax(error: &ScanError) -> EditError {
    EditError::Syntax {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        problem: "this is not YAML".to_owned(),
    }
}

fn collect<'a>(node: &'a Node, anchors: &mut BTreeMap<usize, &'a Node>) {
    if node.anchor > 0 {
        anchors.insert(node.anchor, node);
    }
    match &node.kind {
        Kind::List { elements, .. } => {
            for element in elements {
                collect(element, anchors);
            }
        }
        Kind::Map { fields, .. } => {
            for (key, value) in fields {
                collect(key, anchors);
                collect(value, anchors);
            }
        }
        Kind::Scalar { .. } | Kind::Alias(_) => {}
    }
}

fn value(
    node: &Node,
    anchors: &BTreeMap<usize, &Node>,
    left: &mut usize,
    depth: usize,
) -> Result<Value, EditError> {
    *left = left.saturating_sub(1);
    if depth > DEEPEST || *left == 0 {
        return Err(EditError::TooMuch);
    }
    match &node.kind {
        Kind::Scalar { text, plain: true, .. } => Ok(plain(text)),
        Kind::Scalar { text, .. } => Ok(Value::from(text.as_str())),
        Kind::List { elements, .. } => {
            let elements = elements.iter().map(|element| value(element, anchors, left, depth + 1));
            Ok(Value::Array(elements.collect::<Result<_, _>>()?))
        }
        Kind::Map { fields, .. } => {
            let mut map = Map::new();
            for (key, field) in fields {
                let name = key.key().unwrap_or_default().to_owned();
                map.insert(name, value(field, anchors, left, depth + 1)?);
            }
            Ok(Value::Object(map))
        }
        Kind::Alias(anchor) => match anchors.get(anchor) {
            Some(node) => value(node, anchors, left, depth + 1),
            None => Err(EditError::Unsafe),
        },
    }
}

/// The core schema of YAML 1.2.
pub(super) fn plain(text: &str) -> Value {
    match text {
        _ if is_null(text) => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits(unsigned) {
        return text.strip_prefix('+').unwrap_or(text).parse::<i64>().ok().map(Number::from);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    let is_float = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().any(|b| b.is_ascii_digit())
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if is_float { text.parse::<f64>().ok().and_then(Number::from_f64) } else { None }
}
