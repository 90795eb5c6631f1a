//! JSON with comments into [`Node`]s: strict about everything else.
//!
//! Size and depth are capped, a key that stands twice is an error, and no message repeats what
//! stands in the text (SC-06).

use jsonc_parser::ast;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::node::{DEEPEST, Member, Node, Value};
use super::{Problem, Text};

/// No text is larger.
pub const LARGEST: usize = 10 << 20;

/// The tree of `text`.
///
/// # Errors
///
/// It is not JSON, or one of the caps is passed, or a key stands twice.
pub fn read(text: &Text) -> Result<Node, Problem> {
    node(text, 0, parse(text, &text.text)?, 0)
}

/// The tree of a part of `text` that is a value of its own.
pub(super) fn read_part(text: &Text, start: usize, end: usize) -> Result<Node, Problem> {
    let part = text.text.get(start..end).unwrap_or_default();
    node(text, start, parse(text, part)?, 1)
}

/// The syntax tree of `part`, which is `text` or stood in a text that was parsed before.
pub(super) fn parse<'a>(text: &Text, part: &'a str) -> Result<ast::Value<'a>, Problem> {
    if part.len() > LARGEST {
        return Err(text.problem(0, "the file is larger than 10 MiB"));
    }
    if part.starts_with('\u{feff}') {
        return Err(text.problem(0, "the file begins with a byte-order mark"));
    }
    let parsed = parse_to_ast(part, &CollectOptions::default(), &options())
        .map_err(|error| text.problem(error.range().start, said(&error)))?;
    parsed.value.ok_or_else(|| text.problem(0, "the file is empty").hint("write `{}`"))
}

/// Only what a person writes for a person is added to JSON: comments, and a comma at the end.
fn options() -> ParseOptions {
    ParseOptions {
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
    }
}

/// What the parser says, where that is fixed words.
fn said(error: &ParseError) -> String {
    match error.kind() {
        ParseErrorKind::String(_) => {
            "this is not JSON: a string is not closed, or has an escape that JSON does not know"
                .to_owned()
        }
        ParseErrorKind::NestingDepthExceeded => too_deep(),
        ParseErrorKind::UnexpectedWord | ParseErrorKind::UnexpectedToken => {
            "this is not JSON: something stands where a value is expected".to_owned()
        }
        kind => {
            let words = kind.to_string();
            let mut letters = words.chars();
            let first = letters.next().map(|c| c.to_ascii_lowercase());
            format!("this is not JSON: {}{}", first.unwrap_or_default(), letters.as_str())
        }
    }
}

fn too_deep() -> String {
    format!("the text is nested more than {DEEPEST} deep")
}

/// `value` as a tree; its offsets count from `base`.
fn node(text: &Text, base: usize, value: ast::Value<'_>, depth: usize) -> Result<Node, Problem> {
    let at = base + value.start();
    if depth > DEEPEST {
        return Err(text.problem(at, too_deep()));
    }
    let value = match value {
        ast::Value::StringLit(text) => Value::Text(text.value.into_owned()),
        ast::Value::NumberLit(number) => Value::Number(number.value.to_owned()),
        ast::Value::BooleanLit(flag) => Value::Flag(flag.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(array) => Value::List(
            array
                .elements
                .into_iter()
                .map(|element| node(text, base, element, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        ast::Value::Object(object) => {
            let members = object.properties.into_iter().map(|property| {
                Ok(Member {
                    at: base + property.range.start,
                    key: property.name.into_string(),
                    value: node(text, base, property.value, depth + 1)?,
                })
            });
            let members = members.collect::<Result<_, Problem>>()?;
            return Node::table(text, at, members);
        }
    };
    Ok(Node { at, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: &str) -> String {
        let problem = read(&Text::new("f.json", source)).unwrap_err();
        problem.to_string()
    }

    #[test]
    fn comments_and_a_last_comma_are_for_people() {
        let text =
            Text::new("f.json", "// a\n{\"a\": [1, true, null,], /* b */ \"b\": \"\\u0041\",}");
        let node = read(&text).unwrap();
        assert_eq!(node.get("b").unwrap().as_text(), Some("A"));
        assert_eq!(node.get("a").unwrap().items().len(), 3);
        assert_eq!(text.place(node.get("b").unwrap().at), (2, 38));
    }

    // SC-06
    #[test]
    fn what_a_parser_could_read_in_two_ways_or_not_bear_is_an_error() {
        for (source, words) in [
            ("", "f.json:1:1: the file is empty"),
            ("{'a': 1}", "f.json:1:2: this is not JSON: single-quoted"),
            ("{a: 1}", "f.json:1:2: this is not JSON"),
            ("{\"a\": 0x10}", "f.json:1:7: this is not JSON: hexadecimal"),
            ("{\"a\": NaN}", "f.json:1:7: this is not JSON"),
            ("{\"a\": 1 \"b\": 2}", "f.json:1:8: this is not JSON: expected comma"),
            ("{} {}", "f.json:1:4: this is not JSON: text cannot contain"),
            ("{\"a\": 1,\n \"a\": 2}", "f.json:2:2: a key stands twice in one table"),
            ("{\"a\": 1, \"\\u0061\": 2}", "f.json:1:10: a key stands twice in one table"),
            ("\u{feff}{}", "f.json:1:1: the file begins with a byte-order mark"),
            ("{\"canary\": \"canary", "f.json:1:12: this is not JSON: a string is not closed"),
            ("{\"a\": canary}", "f.json:1:7: this is not JSON"),
        ] {
            let said = problem(source);
            assert!(said.starts_with(words), "{source:?}: {said}");
            assert!(!said.contains("canary"), "{said}");
        }
        let many: Vec<_> = (0..40).map(|n| format!("\"k{n}\": 0")).collect();
        assert!(
            problem(&format!("{{{}, \"k7\": 1}}", many.join(", "))).contains("a key stands twice")
        );
        for depth in [DEEPEST + 2, 500, 30_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert!(problem(&deep).contains("nested more than 64 deep"));
        }
        let fits = format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert!(read(&Text::new("f", fits)).is_ok());
        let large = format!("\"{}\"", "x".repeat(LARGEST));
        assert!(problem(&large).contains("larger than 10 MiB"));
    }
}
