//! Queries and forms: names with texts, and the many ways in which names are read.
//!
//! `amount[]`, `amount[0]`, ` amount`, `Amount` and, to some, `a.b` for `a[b]` are one name to one
//! framework and another name to the next. What is written exactly as a rule has it is judged; what
//! somebody may take for the same cannot be.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::field::{Field, Step};
use super::test::Found;
use crate::json::fold;

/// Pairs of a form that are looked at.
const MOST: usize = 10_000;

/// Names and values, in order, and where those with one beginning are.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    by_stem: BTreeMap<String, Vec<usize>>,
}

/// How a name of a request stands to the field of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Same,
    Unclear,
    Other,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Self {
        let mut by_stem = BTreeMap::<String, Vec<usize>>::new();
        for (at, (name, _)) in pairs.iter().enumerate() {
            by_stem.entry(stem(name)).or_default().push(at);
        }
        Self { pairs, by_stem }
    }

    /// Reads a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    ///
    /// Anything that is read as something else by some.
    pub(super) fn read_form(body: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(body).map_err(|_| "the form is not text")?;
        if text.trim_start().starts_with(['{', '[']) {
            return Err("the body says that it is a form and begins as JSON does");
        }
        if text.bytes().any(|byte| byte == b';' || !byte.is_ascii_graphic()) {
            return Err("the form has characters in it that stand encoded in a form");
        }
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MOST {
                return Err("the form has too many fields to be judged");
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self::new(pairs))
    }

    /// Tells `each` of all that stands at `field`.
    pub(super) fn visit(&self, field: &Field, each: &mut dyn FnMut(Found<'_>)) {
        let Some(Step::Name(first)) = field.steps.first() else { return each(Found::Unclear) };
        let mut is_absent = true;
        for at in self.by_stem.get(&stem(first)).into_iter().flatten() {
            let (name, value) = &self.pairs[*at];
            match relation(name, field) {
                Relation::Same => {
                    is_absent = false;
                    each(Found::Text(value));
                }
                Relation::Unclear => each(Found::Unclear),
                Relation::Other => {}
            }
        }
        if is_absent {
            each(Found::Absent);
        }
    }

    /// The one value of `name`; `Err` where there are several, or names that are like it.
    pub(super) fn only(&self, name: &str) -> Result<Option<&str>, ()> {
        let field = Field { steps: vec![Step::Name(name.into())] };
        let mut found = Ok(None);
        for at in self.by_stem.get(&stem(name)).into_iter().flatten() {
            let (there, value) = &self.pairs[*at];
            found = match (relation(there, &field), &found) {
                (Relation::Other, _) => continue,
                (Relation::Same, Ok(None)) => Ok(Some(&**value)),
                _ => Err(()),
            };
        }
        found
    }
}

/// `a[b][]` against the steps of a field.
fn relation(name: &str, field: &Field) -> Relation {
    if let [Step::Name(only)] = &*field.steps
        && **only == *name
    {
        return Relation::Same;
    }
    if is_spelt(name, &field.steps) {
        return Relation::Same;
    }
    if may_be(name, &field.steps) || flat(name) == flat_field(&field.steps) {
        Relation::Unclear
    } else {
        Relation::Other
    }
}

/// Whether `name` spells `steps` in brackets: `metadata[order]`, `items[0][price]`, `items[][price]`.
fn is_spelt(name: &str, steps: &[Step]) -> bool {
    let Some((Step::Name(first), rest)) = steps.split_first() else { return false };
    let Some(mut left) = name.strip_prefix(&**first) else { return false };
    for step in rest {
        let inside = left.strip_prefix('[').and_then(|left| left.split_once(']'));
        let Some((inside, after)) = inside else { return false };
        let is_digits = inside.bytes().all(|byte| byte.is_ascii_digit());
        let fits = match step {
            Step::Name(name) => **name == *inside,
            Step::Index(index) => inside.parse() == Ok(*index) && is_digits,
            Step::Each => is_digits,
        };
        if !fits {
            return false;
        }
        left = after;
    }
    left.is_empty()
}

/// Whether a reader may take `name` for the field, for what it is in, or for something in it.
fn may_be(name: &str, steps: &[Step]) -> bool {
    let parts = |name: &str| -> Vec<String> {
        name.split(['[', ']', '.']).map(flat).filter(|part| !part.is_empty()).collect()
    };
    let is_number = |part: &String| part.bytes().all(|byte| byte.is_ascii_digit());
    let mut theirs = parts(name).into_iter().peekable();
    for step in steps {
        match step {
            Step::Name(name) => {
                for ours in parts(name) {
                    match theirs.next() {
                        None => return true,
                        Some(theirs) if theirs != ours => return false,
                        Some(_) => {}
                    }
                }
            }
            // An element may go without its number.
            Step::Index(ours) => {
                if theirs.next_if(is_number).is_some_and(|theirs| theirs.parse() != Ok(*ours)) {
                    return false;
                }
            }
            Step::Each => drop(theirs.next_if(is_number)),
        }
    }
    true
}

/// A name without case, blanks and punctuation: `A.b`, ` a_b` and `a[b]` are `a_b`.
fn flat(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in fold(name).chars() {
        if c.is_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    if out.ends_with('_') {
        out.pop();
    }
    out
}

fn flat_field(steps: &[Step]) -> String {
    let names = steps.iter().map(|step| match step {
        Step::Name(name) => flat(name),
        Step::Index(index) => index.to_string(),
        Step::Each => String::new(),
    });
    flat(&names.collect::<Vec<_>>().join("_"))
}

/// What all the readings of a name begin with.
fn stem(name: &str) -> String {
    let flat = flat(name);
    flat.split('_').next().unwrap_or_default().to_owned()
}

/// Percent-decodes once, strictly.
fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let malformed = "the form is encoded wrongly";
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let octet = digit().zip(digit()).map(|(high, low)| high << 4 | low);
                octet.and_then(|octet| u8::try_from(octet).ok()).ok_or(malformed)?
            }
            other => other,
        });
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| malformed)
}

#[cfg(test)]
mod tests {
    use super::super::expression::of_body;
    use super::*;

    fn found(form: &str, field: &str) -> Vec<String> {
        let (field, _) = of_body(&format!("{field} exists")).unwrap();
        let mut found = Vec::new();
        Pairs::read_form(form.as_bytes()).unwrap().visit(&field, &mut |value| {
            found.push(match value {
                Found::Text(text) => text.to_owned(),
                Found::Unclear => "?".to_owned(),
                _ => "-".to_owned(),
            });
        });
        found
    }

    #[test]
    fn a_name_is_judged_as_it_is_written_and_what_may_be_taken_for_it_is_unclear() {
        for (form, field, expected) in [
            ("amount=5", "amount", &["5"][..]),
            ("amount=5&amount=6", "amount", &["5", "6"]),
            ("b=5", "amount", &["-"]),
            ("amount_capturable=5", "amount", &["-"]),
            ("amounts=5", "amount", &["-"]),
            ("Amount=5", "amount", &["?", "-"]),
            ("amount=5&amount[]=6", "amount", &["5", "?"]),
            ("amount[0]=6", "amount", &["?", "-"]),
            ("+amount=6", "amount", &["?", "-"]),
            ("%61mount=6", "amount", &["6"]),
            ("amount.value=6", "amount", &["?", "-"]),
            ("metadata[order]=7", "metadata.order", &["7"]),
            ("metadata[other]=7", "metadata.order", &["-"]),
            ("metadata.order=7", "metadata.order", &["?", "-"]),
            ("metadata_order=7", "metadata.order", &["?", "-"]),
            ("metadata=7", "metadata.order", &["?", "-"]),
            ("items[0][price]=7&items[][price]=8", "items[*].price", &["7", "8"]),
            ("items[0][price]=7&items[1][price]=8", "items[1].price", &["8"]),
            ("items[0][count]=7&items.0.price=8", "items[*].price", &["?", "-"]),
            ("a%5Bb%5D=7", "\"a[b]\"", &["7"]),
            ("=7", "amount", &["-"]),
        ] {
            assert_eq!(found(form, field), expected, "{form} {field}");
        }
    }

    #[test]
    fn a_form_that_may_be_something_else_is_not_read() {
        for bad in
            ["{\"amount\":1}", " [1]", "a=1;b=2", "a=%zz", "a=%f", "a=%ff", "a=1\nb=2", "a=\u{e9}"]
        {
            assert!(Pairs::read_form(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Pairs::read_form(&b"a&".repeat(10_001)).is_err());
        assert!(Pairs::read_form(b"&&a=%3B%7B&b").is_ok());
    }

    #[test]
    fn the_only_value_of_a_name_is_found() {
        let pairs = Pairs::read_form(b"query=1&variables=2&variables=3&Extensions=4").unwrap();
        assert_eq!(pairs.only("query"), Ok(Some("1")));
        assert_eq!(pairs.only("variables"), Err(()));
        assert_eq!(pairs.only("extensions"), Err(()));
        assert_eq!(pairs.only("operationName"), Ok(None));
    }
}
