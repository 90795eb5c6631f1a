//! What a server says of its tools, prompts and resources: kept as it was written, and known again by
//! its hash.
//!
//! A definition goes to clients byte for byte but for its name: a schema whose members come in another
//! order is another text to whoever caches prompts. Its hash is of what it means, so that a server that
//! writes the same members in another order has not changed anything (decision 31).

use std::borrow::Cow;
use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::value::RawValue;
use strongroom_model::json::{self, Members};
use strongroom_model::pin::{DefinitionHash, Offered, Why};

use crate::wire::write;

/// The longest description that is shown without a person's approval, in bytes.
const LONGEST: usize = 16 << 10;

/// One definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    name: Box<str>,
    /// On one line.
    text: Box<str>,
    /// Where the name is in the text, with its quotes.
    place: Range<usize>,
}

/// A list that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is not one of definitions with names")]
pub struct NoList;

/// Reads the page of a list: the definitions in its member `of`, and the cursor of the next page.
/// `result` has passed [`json::check`].
pub fn page(
    result: &str,
    of: &str,
    name: &str,
) -> Result<(Vec<Definition>, Option<String>), NoList> {
    let members = Members::read(result).ok_or(NoList)?;
    let items: Vec<&RawValue> =
        members.get(of).and_then(|raw| serde_json::from_str(raw).ok()).ok_or(NoList)?;
    let definitions: Option<Vec<_>> =
        items.into_iter().map(|item| Definition::read(item.get(), name)).collect();
    let next = match members.get("nextCursor") {
        None | Some("null") => None,
        Some(raw) => Some(json::string(raw).ok_or(NoList)?.into_owned()),
    };
    Ok((definitions.ok_or(NoList)?, next))
}

impl Definition {
    /// The definition that `text` is, with its name in the member `name`.
    fn read(text: &str, name: &str) -> Option<Self> {
        let mut line = Vec::with_capacity(text.len());
        write::on_one_line(&mut line, text);
        let text: Box<str> = String::from_utf8(line).ok()?.into();
        let raw = Members::read(&text)?.get(name)?;
        let name = json::string(raw)?.into();
        let from = raw.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let place = from..from + raw.len();
        Some(Self { name, text, place })
    }

    /// The name that its server gives it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As its server wrote it, on one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends it with another name, and with nothing else changed.
    pub fn write_as(&self, name: &str, out: &mut Vec<u8>) {
        let bytes = self.text.as_bytes();
        out.extend_from_slice(&bytes[..self.place.start]);
        write::string(out, name);
        out.extend_from_slice(&bytes[self.place.end..]);
    }

    /// The SHA-256 of what it means.
    pub fn hash(&self) -> DefinitionHash {
        let mut context = Context::new(&SHA256);
        digest(&self.text, &mut context);
        DefinitionHash(context.finish().as_ref().try_into().unwrap_or_default())
    }

    /// Why a person should read it first, if there is a reason.
    pub fn suspicion(&self) -> Option<Why> {
        let members = Members::read(&self.text)?;
        let description = members.get("description").and_then(json::string).unwrap_or_default();
        if strings(&self.text).iter().any(|text| hides(text)) {
            return Some(Why::Hidden);
        }
        (description.len() > LONGEST).then_some(Why::Long)
    }

    /// It, for whoever knows what is approved.
    pub fn offered(&self) -> Offered {
        Offered {
            tool: self.name.clone(),
            hash: self.hash(),
            text: self.text.clone(),
            suspicion: self.suspicion(),
        }
    }
}

/// Every text in `raw`, names of members included.
fn strings(raw: &str) -> Vec<Cow<'_, str>> {
    let mut found = Vec::new();
    let mut left = vec![raw];
    while let Some(raw) = left.pop() {
        match raw.as_bytes().first() {
            Some(b'{') => {
                for (name, value) in Members::read(raw).unwrap_or_default().iter() {
                    found.push(Cow::Owned(name.to_owned()));
                    left.push(value);
                }
            }
            Some(b'[') => left.extend(elements(raw)),
            Some(b'"') => found.extend(json::string(raw)),
            _ => {}
        }
    }
    found
}

/// Takes `raw` into a digest: the members of objects in the order of their names, texts by what they
/// say, each with its kind and length, so that no two values are taken in alike.
fn digest(raw: &str, context: &mut Context) {
    let head = |context: &mut Context, kind: u8, length: usize| {
        context.update(&[kind]);
        context.update(&(length as u64).to_be_bytes());
    };
    match raw.as_bytes().first() {
        Some(b'{') => {
            let members = Members::read(raw).unwrap_or_default();
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable();
            head(context, b'{', members.len());
            for (name, value) in members {
                head(context, b'"', name.len());
                context.update(name.as_bytes());
                digest(value, context);
            }
        }
        Some(b'[') => {
            let elements = elements(raw);
            head(context, b'[', elements.len());
            for element in elements {
                digest(element, context);
            }
        }
        Some(b'"') => {
            let text = json::string(raw).unwrap_or_default();
            head(context, b'"', text.len());
            context.update(text.as_bytes());
        }
        _ => {
            head(context, b'=', raw.len());
            context.update(raw.as_bytes());
        }
    }
}

fn elements(raw: &str) -> Vec<&str> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
    elements.into_iter().map(RawValue::get).collect()
}

/// Whether a reader does not see all that is in `text` (MC-05).
fn hides(text: &str) -> bool {
    let mut before = ' ';
    let mut after = text.chars().skip(1);
    text.chars().any(|c| {
        let next = after.next().unwrap_or(' ');
        let hidden = match c {
            // Joiners hold letters of some scripts, and the parts of an emoji, together: one at a time.
            '\u{200c}' | '\u{200d}' => !joins(before) || !joins(next),
            // It makes an emoji of what stands before it, once.
            '\u{fe0f}' => matches!(before, '\u{fe00}'..='\u{fe0f}'),
            _ => is_hidden(c),
        };
        before = c;
        hidden
    })
}

/// Whether a joiner may stand beside it.
fn joins(c: char) -> bool {
    !c.is_ascii() && !matches!(c, '\u{200c}' | '\u{200d}')
}

/// Control characters but for the ends of lines and tabs, what turns the direction of writing, what has
/// no width, and the tags and selectors that can spell out a hidden text.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Definition {
        Definition::read(text, "name").unwrap()
    }

    #[test]
    fn a_definition_keeps_every_byte_but_those_of_its_name() {
        let text = r#"{"z":{"b":1,"a":[1.0,{"q":"x"}]},"name":"or\u0064er","vendor":null,"a":2e3}"#;
        let definition = one(text);
        assert_eq!((definition.name(), definition.text()), ("order", text));
        let mut out = Vec::new();
        definition.write_as("amazon_order", &mut out);
        let expected = text.replace("or\\u0064er", "amazon_order");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_page_is_read_with_its_cursor_and_put_on_one_line() {
        let text =
            "{\"nextCursor\":\"n\", \"tools\": [ {\"name\" :\n \"a\"}, {\"x\":1,\"name\":\"b\"} ]}";
        let (definitions, next) = page(text, "tools", "name").unwrap();
        let texts: Vec<_> = definitions.iter().map(Definition::text).collect();
        assert_eq!(texts, [r#"{"name":"a"}"#, r#"{"x":1,"name":"b"}"#]);
        assert_eq!(next.as_deref(), Some("n"));
        assert_eq!(page(r#"{"tools":[],"nextCursor":null}"#, "tools", "name"), Ok((vec![], None)));
        for bad in [
            "[]",
            "{}",
            r#"{"tools":{}}"#,
            r#"{"tools":[1]}"#,
            r#"{"tools":[{"title":"x"}]}"#,
            r#"{"tools":[{"name":1}]}"#,
            r#"{"tools":[],"nextCursor":1}"#,
        ] {
            assert_eq!(page(bad, "tools", "name"), Err(NoList), "{bad}");
        }
    }

    #[test]
    fn the_hash_is_of_what_is_meant_and_of_all_of_it() {
        let hash = |text| one(text).hash();
        let first = hash(r#"{"name":"a","description":"d","inputSchema":{"x":[1,2],"y":"z"}}"#);
        let same = r#"{"inputSchema": {"y":"\u007a","x":[1, 2]},"description":"d","name":"a"}"#;
        assert_eq!(hash(same), first);
        for other in [
            r#"{"name":"a","description":"d ","inputSchema":{"x":[1,2],"y":"z"}}"#,
            r#"{"name":"a","description":"d","inputSchema":{"x":[2,1],"y":"z"}}"#,
            r#"{"name":"a","description":"d","inputSchema":{"x":["1",2],"y":"z"}}"#,
            r#"{"name":"a","description":"d","inputSchema":{"x":[[1],2],"y":"z"}}"#,
            r#"{"name":"a","description":"d","inputSchema":{"x":[1,2],"y":"z"},"v":null}"#,
            r#"{"name":"b","description":"d","inputSchema":{"x":[1,2],"y":"z"}}"#,
        ] {
            assert_ne!(hash(other), first, "{other}");
        }
    }

    // MC-05
    #[test]
    fn what_a_reader_does_not_see_is_suspicious_wherever_it_stands() {
        for hidden in [
            "\\u001b[2J",
            "\\u202e",
            "\\u200b",
            "\\udb40\\udc41",
            "\u{e0041}",
            "\\u0000",
            "\u{feff}",
            "\\u200d",
            "\u{e9}\\u200d\\u200c\u{e9}",
            "\\ufe0f\\ufe0f",
            "\\ufe01",
            "\\u00ad",
            "\\u2028",
        ] {
            for text in [
                format!(r#"{{"name":"a","description":"x{hidden}y"}}"#),
                format!(r#"{{"name":"a","inputSchema":{{"properties":{{"p{hidden}":{{}}}}}}}}"#),
                format!(r#"{{"name":"a","annotations":[["{hidden}"]]}}"#),
            ] {
                assert_eq!(one(&text).suspicion(), Some(Why::Hidden), "{text}");
            }
        }
        let long = format!(r#"{{"name":"a","description":"{}"}}"#, "x".repeat(LONGEST + 1));
        assert_eq!(one(&long).suspicion(), Some(Why::Long));
        for plain in [
            r#"{"name":"a","description":"Orders.\n\n\tTwo lines; \u00e9, \u6f22, \ud83d\udc69\u200d\ud83d\udcbb, \u2764\ufe0f\u200d\ud83d\udd25"}"#.to_owned(),
            format!(r#"{{"name":"a","description":"{}"}}"#, "x".repeat(LONGEST)),
        ] {
            assert_eq!(one(&plain).suspicion(), None, "{plain}");
        }
    }
}
