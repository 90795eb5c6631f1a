//! YAML into [`Node`]s: as strict as [`json`](super::json).
//!
//! One document; no anchors, aliases or tags; no key twice; and caps on size, depth and the number of
//! values. No message repeats what stands in the text (SC-06).

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::json::LARGEST;
use super::node::{DEEPEST, Member, Node, Value};
use super::{Problem, Text};

/// The most values in a text.
const MOST: usize = 1_000_000;

/// The tree of `text`.
///
/// # Errors
///
/// It is not YAML of the strict kind, or one of the caps is passed, or a key stands twice.
pub fn read(text: &Text) -> Result<Node, Problem> {
    if text.text.len() > LARGEST {
        return Err(text.problem(0, "the file is larger than 10 MiB"));
    }
    let parser = Parser::new_from_str(&text.text);
    let mut reader = Reader { text, parser, offsets: offsets(&text.text), left: MOST };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if root.is_some() => {
                return Err(reader.problem(&span, "there is more than one document in the file"));
            }
            Event::DocumentStart(_) => {
                let (event, span) = reader.next()?;
                root = Some(reader.node(event, &span, 0)?);
            }
            _ => {}
        }
    }
    root.ok_or_else(|| text.problem(0, "the file is empty"))
}

struct Reader<'a> {
    text: &'a Text,
    parser: Parser<'a, StrInput<'a>>,
    offsets: Option<Vec<usize>>,
    left: usize,
}

/// The byte of each character, for texts that are not ASCII: the parser counts characters.
fn offsets(text: &str) -> Option<Vec<usize>> {
    (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The parser's words quote the text in places: ours do not.
    fn syntax(&self, error: &ScanError) -> Problem {
        self.text.problem(self.byte(error.marker().index()), "this is not YAML")
    }

    fn byte(&self, index: usize) -> usize {
        let end = self.text.text.len();
        match &self.offsets {
            Some(offsets) => offsets.get(index).copied().unwrap_or(end),
            None => index.min(end),
        }
    }

    fn problem(&self, span: &Span, problem: &str) -> Problem {
        self.text.problem(self.byte(span.start.index()), problem)
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Problem> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return Err(self.problem(span, "there are too many values in the file"));
        }
        if depth > DEEPEST {
            let problem = format!("the text is nested more than {DEEPEST} deep");
            return Err(self.problem(span, &problem));
        }
        let at = self.byte(span.start.index());
        match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag)
                if anchor > 0 || tag.is_some() =>
            {
                Err(self
                    .problem(span, "anchors and tags are not understood")
                    .hint("write the value out"))
            }
            Event::Alias(_) => {
                Err(self.problem(span, "aliases are not understood").hint("write the value out"))
            }
            Event::Scalar(text, style, ..) => {
                let text = text.into_owned();
                let value =
                    if style == ScalarStyle::Plain { plain(text) } else { Value::Text(text) };
                Ok(Node { at, value })
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        return Ok(Node { at, value: Value::List(items) });
                    }
                    items.push(self.node(event, &span, depth + 1)?);
                }
            }
            Event::MappingStart(..) => {
                let mut members = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::MappingEnd {
                        return Node::table(self.text, at, members);
                    }
                    members.push(self.member(event, &span, depth)?);
                }
            }
            _ => Err(self.problem(span, "a value is missing")),
        }
    }

    fn member(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Member, Problem> {
        let at = self.byte(span.start.index());
        let Event::Scalar(key, _, 0, None) = event else {
            return Err(self.problem(span, "a key is not a plain text"));
        };
        let (event, span) = self.next()?;
        Ok(Member { key: key.into_owned(), at, value: self.node(event, &span, depth + 1)? })
    }
}

/// The core schema of YAML 1.2, as far as servers need it.
fn plain(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Flag(true),
        "false" | "False" | "FALSE" => Value::Flag(false),
        word if is_number(word) => Value::Number(text),
        _ => Value::Text(text),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits(whole) && is_digits(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: &str) -> String {
        read(&Text::new("f.yaml", source)).unwrap_err().to_string()
    }

    #[test]
    fn values_are_read_with_their_places() {
        let text = "# é\na: 1\nb:\n  - x y\n  - 'true'\nc: {d: null, e: yes, f: 1.50}\n";
        let root = read(&Text::new("f.yaml", text)).unwrap();
        assert_eq!(root.members().len(), 3);
        assert!(matches!(&root.get("a").unwrap().value, Value::Number(n) if n == "1"));
        let items = root.get("b").unwrap().items();
        assert_eq!((items[0].as_text(), items[1].as_text()), (Some("x y"), Some("true")));
        assert_eq!(&text[items[0].at..items[0].at + 3], "x y");
        let c = root.get("c").unwrap();
        assert!(matches!(c.get("d").unwrap().value, Value::Null));
        assert_eq!(c.get("e").unwrap().as_text(), Some("yes"));
        assert!(matches!(&c.get("f").unwrap().value, Value::Number(n) if n == "1.50"));
    }

    // SC-06
    #[test]
    fn what_makes_yaml_a_trap_is_an_error_without_the_text() {
        for (source, words) in [
            ("", "f.yaml:1:1: the file is empty"),
            ("a: &canary x\nb: *canary\n", "f.yaml:1:4: anchors and tags are not understood"),
            ("a: *canary\n", "f.yaml:1:4: this is not YAML"),
            ("a: !!python/object:canary x\n", "f.yaml:1:"),
            ("a: 1\n---\nb: 2\n", "f.yaml:2:1: there is more than one document"),
            ("canary: 1\nb: 2\ncanary: 3\n", "f.yaml:3:1: a key stands twice"),
            ("? [canary]\n: 1\n", "f.yaml:1:"),
            ("a:\n\t- canary\n", "f.yaml:2:"),
            ("a: [canary", "f.yaml:"),
            ("a: \"canary", "f.yaml:"),
        ] {
            let said = problem(source);
            assert!(said.starts_with(words), "{source:?}: {said}");
            assert!(!said.contains("canary"), "{said}");
        }
        let deep = format!("{}1{}", "[".repeat(DEEPEST + 2), "]".repeat(DEEPEST + 2));
        assert!(problem(&deep).contains("nested more than 64 deep"));
        assert!(problem(&"x".repeat(LARGEST + 1)).contains("larger than 10 MiB"));
        let line =
            |n: usize| format!("a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 9].join(", "));
        let bomb: Vec<String> = (1..9).map(line).collect();
        assert!(problem(&format!("a0: &a0 x\n{}", bomb.join("\n"))).contains("anchors"));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "[a-z:\\- \\[\\]{}\"'&*!#\n\té]{0,80}") {
            let _ = read(&Text::new("f", text));
        }
    }
}
