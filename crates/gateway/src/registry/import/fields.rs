//! The fields of a foreign tree, read leniently: what is not of the kind that is asked for is not there.

use super::{Node, Value};

/// Longest text of a source that is shown to a person.
const LONGEST_ABOUT: usize = 200;

/// The value at a key in camel case; older files have it in snake case.
pub(super) fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key)
        .or_else(|| {
            let mut snake = String::with_capacity(key.len() + 4);
            for c in key.chars() {
                if c.is_ascii_uppercase() {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            node.get(&snake)
        })
        .filter(|node| !matches!(node.value, Value::Null))
}

/// Whether the value at `key` is true.
pub(super) fn flag(node: &Node, key: &str) -> bool {
    field(node, key).is_some_and(Node::is_true)
}

/// The text at `key`.
pub(super) fn text_at<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    field(node, key).and_then(Node::as_text)
}

/// A value that stands for one text.
pub(super) fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Flag(flag) => Some(flag.to_string()),
        Value::Null | Value::List(_) | Value::Table(_) | Value::Other => None,
    }
}

pub(super) fn choices(node: &Node) -> Vec<String> {
    let choices = field(node, "choices").or_else(|| field(node, "enum"));
    choices.map(Node::items).unwrap_or_default().iter().filter_map(scalar).collect()
}

/// The description of an input.
pub(super) fn said(node: Option<&Node>) -> Option<String> {
    let text = node.and_then(|node| text_at(node, "description"))?;
    let text = clean(text);
    (!text.is_empty()).then_some(text)
}

/// A text of the source in one short line.
pub(super) fn clean(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().chars().take(LONGEST_ABOUT).collect()
}

pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// A piece of a text with holes, as catalogues write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut<'t> {
    /// What stands between the holes.
    Text(&'t str),
    /// What stands in one.
    Hole(&'t str),
    /// What stands behind an opening that nothing closes, with the opening.
    Open(&'t str),
}

/// `text` cut at its holes, which begin with `open` and end with `close`.
pub(super) fn cut<'t>(text: &'t str, open: &str, close: &str) -> Vec<Cut<'t>> {
    let mut cuts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(open) {
        cuts.push(Cut::Text(before));
        let Some((hole, after)) = behind.split_once(close) else {
            cuts.push(Cut::Open(&rest[before.len()..]));
            return cuts;
        };
        cuts.push(Cut::Hole(hole));
        rest = after;
    }
    cuts.push(Cut::Text(rest));
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_holes_and_nothing_of_it_is_lost() {
        use Cut::{Hole, Open, Text};
        for (text, cuts) in [
            ("", vec![Text("")]),
            ("a", vec![Text("a")]),
            ("${A}", vec![Text(""), Hole("A"), Text("")]),
            ("a ${A}b${C}", vec![Text("a "), Hole("A"), Text("b"), Hole("C"), Text("")]),
            ("a ${A} ${B", vec![Text("a "), Hole("A"), Text(" "), Open("${B")]),
        ] {
            assert_eq!(cut(text, "${", "}"), cuts, "{text}");
        }
    }
}
