//! JSON that is JSON again after secrets were taken out of it.

use super::{Clean, Redactor};
use crate::json;

/// Levels that are looked into; whoever hands JSON in has checked as many.
const DEPTH: usize = 64;

impl Redactor {
    /// Replaces what is found in `text`, which is JSON; says how many markers stand in it.
    ///
    /// A marker in the place of a number, or of half an escape, would leave something that nobody can
    /// read: where that comes of it, each text is redacted by what it says, and a number that is a secret
    /// becomes a text.
    pub fn clean_json(&self, text: Vec<u8>) -> (Clean<Vec<u8>>, u64) {
        let Some((clean, markers)) = self.replaced(&text, usize::MAX) else {
            return (Clean(text), 0);
        };
        if json::check(&clean, DEPTH).is_ok() {
            return (Clean(clean), markers);
        }
        match json::check(&text, DEPTH) {
            Ok(text) => self.clean_tokens(text),
            Err(_) => (Clean(clean), markers),
        }
    }

    fn clean_tokens(&self, text: &str) -> (Clean<Vec<u8>>, u64) {
        let mut out = Vec::with_capacity(text.len());
        let mut markers = 0;
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            let length = match first {
                b'"' => string(rest),
                b'-' | b'0'..=b'9' | b'a'..=b'z' => word(rest),
                _ => 1,
            };
            let (token, behind) = rest.split_at(length);
            rest = behind;
            let said = if first == b'"' { json::string(token) } else { Some(token.into()) };
            let said = said.unwrap_or_default();
            let (clean, found) = self.clean_text(&said);
            markers += found;
            if found == 0 {
                out.extend_from_slice(token.as_bytes());
            } else {
                let quoted = serde_json::to_string(clean.get()).unwrap_or_default();
                out.extend_from_slice(quoted.as_bytes());
            }
        }
        (Clean(out), markers)
    }
}

/// Bytes of the string that `text` begins with, its quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Bytes of the number, or of the word, that `text` begins with.
fn word(text: &str) -> usize {
    let ends = |byte: u8| matches!(byte, b',' | b':' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
    text.bytes().position(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::super::Labelled;
    use super::*;
    use crate::secret::Secret;

    fn redactor(secret: &str) -> Redactor {
        let secret = Arc::new(Secret::new(secret.into()));
        Redactor::new(&[Labelled { label: "x".into(), secret }])
    }

    fn clean(secret: &str, text: &str) -> (String, u64) {
        let (clean, markers) = redactor(secret).clean_json(text.into());
        (String::from_utf8(clean.into_inner()).unwrap(), markers)
    }

    #[test]
    fn a_secret_that_is_a_number_becomes_a_text_and_the_rest_stays_as_it_was_written() {
        let text =
            r#"{ "n": 48151623, "m": [48151623 ,-1.0e2],"k48151623":"x48151623", "t":true }"#;
        let expected = r#"{ "n": "[REDACTED:x]", "m": ["[REDACTED:x]" ,-1.0e2],"k[REDACTED:x]":"x[REDACTED:x]", "t":true }"#;
        assert_eq!(clean("48151623", text), (expected.to_owned(), 4));
        let plain = r#"{ "n": 48151624, "s":"\u0034" }"#;
        assert_eq!(clean("48151623", plain), (plain.to_owned(), 0));
    }

    #[test]
    fn in_texts_a_marker_stands_where_the_secret_stood() {
        let text = r#"{"a":"t=k-canary-0123456789;","b":1.0}"#;
        let expected = r#"{"a":"t=[REDACTED:x];","b":1.0}"#;
        assert_eq!(clean("k-canary-0123456789", text), (expected.to_owned(), 1));
    }

    #[test]
    fn what_comes_out_is_json_however_the_secret_was_written() {
        let secret = "kä\"n\\ary-\u{1f511}-0123\n456789/äöü";
        let plain = serde_json::to_string(secret).unwrap();
        let units: Vec<String> =
            secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let escaped = units.concat();
        for written in [plain.trim_matches('"'), &plain[1..plain.len() - 9], &escaped] {
            let text = format!(r#"{{"a":["{written}"],"n":1}}"#);
            if serde_json::from_str::<Value>(&text).is_err() {
                continue;
            }
            let (clean, markers) = clean(secret, &text);
            let value: Value = serde_json::from_str(&clean).unwrap();
            assert!(markers > 0 && value["n"] == 1, "{clean}");
        }
    }
}
