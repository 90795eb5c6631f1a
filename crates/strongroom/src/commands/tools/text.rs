//! A definition as lines for a person, and what differs between two.
//!
//! What the JSON means is shown, its members by name, and every character that a terminal would act on,
//! or leave out, as `\u{..}`.

use serde_json::value::RawValue;
use similar::{ChangeTag, TextDiff};
use strongroom_model::display::DisplaySafe;
use strongroom_model::json::{self, Members};

/// Characters of one line of a text.
const WIDTH: usize = 96;

/// Levels that are shown; a definition that was kept has no more.
const DEPTH: usize = 64;

/// What stands in `old` and not in `new`, and the other way round, with so many lines around each change.
/// Lines begin with `-`, `+` or a blank; `@@` stands where lines are left out.
pub(super) fn diff(old: Option<&str>, new: &str, context: usize) -> Vec<String> {
    let (old, new) = (old.map(lines).unwrap_or_default(), lines(new));
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
    let diff = TextDiff::from_slices(&old, &new);
    let mut shown = Vec::new();
    for (at, group) in diff.grouped_ops(context).iter().enumerate() {
        if at > 0 {
            shown.push("@@".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            shown.push(format!("{sign} {}", change.value()));
        }
    }
    if shown.is_empty() {
        shown.push("  (the same but for what is shown alike)".to_owned());
    }
    shown
}

/// A definition, line by line.
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if json::check(text.as_bytes(), DEPTH).is_ok() {
        value("", text, 0, &mut lines);
    } else {
        block(text, 0, &mut lines);
    }
    lines
}

/// Appends `raw` behind `head`, with what is in it a step further in.
fn value(head: &str, raw: &str, step: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(step);
    match raw.as_bytes().first() {
        Some(b'{') => {
            let members = Members::read(raw).unwrap_or_default();
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable();
            let empty = if members.is_empty() { " {}" } else { "" };
            let below = opened(head, empty, &indent, step, lines);
            for (name, raw) in members {
                value(&format!("{}:", visible(name)), raw, below, lines);
            }
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
            let empty = if elements.is_empty() { " []" } else { "" };
            let below = opened(head, empty, &indent, step, lines);
            for element in elements {
                value("-", element.get(), below, lines);
            }
        }
        Some(b'"') => {
            let text = json::string(raw).unwrap_or_default();
            if text.contains('\n') || text.chars().count() > WIDTH {
                lines.push(format!("{indent}{head} |"));
                block(&text, step + 1, lines);
            } else {
                lines.push(format!("{indent}{head} \"{}\"", visible(&text)));
            }
        }
        _ => lines.push(format!("{indent}{head} {}", visible(raw))),
    }
}

/// The line of something with parts, if it needs one, and the step of the parts.
fn opened(head: &str, empty: &str, indent: &str, step: usize, lines: &mut Vec<String>) -> usize {
    if head.is_empty() {
        return step;
    }
    lines.push(format!("{indent}{head}{empty}"));
    step + 1
}

/// A text of several lines, or a long one, broken where it has blanks.
fn block(text: &str, step: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(step);
    for line in text.split('\n') {
        let mut rest = line;
        loop {
            let end = rest.char_indices().nth(WIDTH).map(|(at, _)| at);
            let Some(end) = end else { break };
            let cut = rest[..end].rfind(' ').map_or(end, |at| at + 1);
            lines.push(format!("{indent}{}", visible(&rest[..cut])));
            rest = &rest[cut..];
        }
        lines.push(format!("{indent}{}", visible(rest)));
    }
}

/// `\` is doubled, so that nothing that is written looks like what is escaped.
fn visible(text: &str) -> String {
    let doubled = text.replace('\\', "\\\\");
    DisplaySafe(&doubled).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_shown_by_its_members_whatever_their_order() {
        let text = r#"{"name":"x","inputSchema":{"required":["a"],"properties":{"a":{"type":"number"}}},"n":1.0,"e":{},"l":[]}"#;
        let expected = [
            "e: {}",
            "inputSchema:",
            "  properties:",
            "    a:",
            "      type: \"number\"",
            "  required:",
            "    - \"a\"",
            "l: []",
            "n: 1.0",
            "name: \"x\"",
        ];
        assert_eq!(lines(text), expected);
        let other = r#"{"l":[],"e":{},"inputSchema":{"properties":{"a":{"type":"number"}},"required":["a"]},"name":"x","n":1.0}"#;
        assert_eq!(lines(other), expected);
    }

    #[test]
    fn what_differs_is_marked_and_what_is_new_is_all_marked() {
        let old = r#"{"name":"x","description":"Adds.\nTwo numbers."}"#;
        let new = r#"{"name":"x","description":"Adds.\nTwo numbers, and reads ~/.ssh."}"#;
        let expected = [
            "  description: |",
            "    Adds.",
            "-   Two numbers.",
            "+   Two numbers, and reads ~/.ssh.",
            "  name: \"x\"",
        ];
        assert_eq!(diff(Some(old), new, 3), expected);
        assert_eq!(diff(Some(old), new, 0).len(), 2);
        assert_eq!(diff(None, r#"{"name":"x"}"#, 3), ["+ name: \"x\""]);
    }

    // MC-05, AL-01
    #[test]
    fn nothing_hidden_stays_hidden_and_nothing_acts_on_the_terminal() {
        let old = r#"{"name":"x","description":"a \\u{202e}b"}"#;
        let new = r#"{"name":"x","description":"a \u202eb\u001b[2J\udb40\udc41\r"}"#;
        let shown = diff(Some(old), new, 0);
        assert_eq!(shown[0], "- description: \"a \\\\u{202e}b\"");
        assert_eq!(shown[1], "+ description: \"a \\u{202e}b\\u{1b}[2J\\u{e0041}\\u{d}\"");
        let long = format!(r#"{{"d":"{}\u200b{}"}}"#, "word ".repeat(60), "x".repeat(300));
        let shown = lines(&long);
        assert!(shown.len() > 6 && shown.iter().any(|line| line.contains("\\u{200b}")));
        assert!(shown.iter().all(|line| line.chars().count() < WIDTH + 20), "{shown:?}");
    }

    #[test]
    fn what_differs_always_shows() {
        for (old, new) in [
            (r#"{"a":1}"#, r#"{"a":1.0}"#),
            (r#"{"a":"1"}"#, r#"{"a":1}"#),
            (r#"{"a":[]}"#, r#"{"a":{}}"#),
            (r#"{"a":"x"}"#, r#"{"a":"x "}"#),
        ] {
            let shown = diff(Some(old), new, 0);
            assert_eq!(shown.len(), 2, "{shown:?}");
        }
    }
}
