//! Judges JSON text before anything else reads it.
//!
//! Two readers of one text must not come to two meanings (MC-11): a name that stands twice in an
//! object, half a surrogate pair, a byte-order mark, or text after the value is refused here, so
//! that it does not matter which reader comes next. Nothing is built and nothing recurses deeper
//! than the cap.

use std::cmp::Ordering;

use memchr::memchr2;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// It begins with a byte-order mark.
    #[error("the text begins with a byte-order mark")]
    Bom,
    /// It is not JSON (RFC 8259).
    #[error("the text is not JSON")]
    Syntax,
    /// It ends too early.
    #[error("the text ends inside a value")]
    Truncated,
    /// Something follows the value.
    #[error("something follows the value")]
    Trailing,
    /// Half a surrogate pair stands in a string (RFC 8259 §8.2).
    #[error("a string holds half a surrogate pair")]
    Surrogate,
    /// It is nested too deep.
    #[error("the text is nested too deep")]
    Depth,
    /// A name stands twice in one object (RFC 8259 §4).
    #[error("a name stands twice in one object")]
    Duplicate,
    /// It has more values than are looked at.
    #[error("the text has too many values")]
    Values,
}

/// The text of `bytes`, if it is one JSON value, nested at most `depth` deep, that every reader
/// understands the same way.
///
/// # Errors
///
/// The first flaw.
pub fn check(bytes: &[u8], depth: usize) -> Result<&str, Flaw> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Flaw::Bom);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::Utf8)?;
    let mut scanner = Scanner { text, bytes, at: 0, left: depth, names: Vec::new() };
    scanner.space();
    scanner.value()?;
    scanner.space();
    if scanner.at == bytes.len() { Ok(text) } else { Err(Flaw::Trailing) }
}

/// Up to this many names of one object are compared pairwise; more are sorted.
const FEW: usize = 12;

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    left: usize,
    /// The names of all objects that are open, innermost last.
    names: Vec<Name>,
}

/// A name as it stands in the text, without its quotes.
#[derive(Clone, Copy)]
struct Name {
    from: usize,
    to: usize,
    escaped: bool,
}

impl Scanner<'_> {
    fn value(&mut self) -> Result<(), Flaw> {
        match self.peek()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => Err(Flaw::Syntax),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), Flaw>) -> Result<(), Flaw> {
        self.left = self.left.checked_sub(1).ok_or(Flaw::Depth)?;
        self.at += 1;
        self.space();
        inner(self)?;
        self.left += 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), Flaw> {
        let first = self.names.len();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(Flaw::Syntax);
            }
            let name = self.string()?;
            self.names.push(name);
            if self.names.len() - first <= FEW {
                self.refuse_again(first)?;
            }
            self.space();
            self.expect(b':')?;
            self.space();
            self.value()?;
            self.space();
            if self.eat(b'}') {
                break;
            }
            self.expect(b',')?;
            self.space();
        }
        if self.names.len() - first > FEW {
            self.refuse_any_twice(first)?;
        }
        self.names.truncate(first);
        Ok(())
    }

    fn array(&mut self) -> Result<(), Flaw> {
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.value()?;
            self.space();
            if self.eat(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    /// Reads a string, from quote to quote.
    fn string(&mut self) -> Result<Name, Flaw> {
        self.at += 1;
        let from = self.at;
        let mut escaped = false;
        loop {
            self.plain()?;
            if self.peek()? == b'"' {
                let to = self.at;
                self.at += 1;
                return Ok(Name { from, to, escaped });
            }
            escaped = true;
            self.escape()?;
        }
    }

    /// Reads what stands for itself in a string, up to a quote or an escape.
    fn plain(&mut self) -> Result<(), Flaw> {
        let rest = &self.bytes[self.at..];
        let length = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        // The least of all, so that many bytes are looked at in one step.
        let least = rest[..length].iter().copied().fold(u8::MAX, u8::min);
        self.at += length;
        if least < 0x20 { Err(Flaw::Syntax) } else { Ok(()) }
    }

    fn escape(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                match self.hex4()? {
                    0xdc00..=0xdfff => return Err(Flaw::Surrogate),
                    0xd800..=0xdbff => {
                        if !self.bytes[self.at..].starts_with(b"\\u") {
                            return Err(Flaw::Surrogate);
                        }
                        self.at += 2;
                        if !matches!(self.hex4()?, 0xdc00..=0xdfff) {
                            return Err(Flaw::Surrogate);
                        }
                    }
                    _ => {}
                }
            }
            _ => return Err(Flaw::Syntax),
        }
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, Flaw> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Flaw::Truncated)?;
        self.at += 4;
        hex4(digits).ok_or(Flaw::Syntax)
    }

    fn number(&mut self) -> Result<(), Flaw> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Flaw> {
        if !self.peek()?.is_ascii_digit() {
            return Err(Flaw::Syntax);
        }
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Flaw> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            Ok(())
        } else if word.starts_with(rest) {
            Err(Flaw::Truncated)
        } else {
            Err(Flaw::Syntax)
        }
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Flaw> {
        self.bytes.get(self.at).copied().ok_or(Flaw::Truncated)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let here = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(Flaw::Syntax)
        }
    }

    /// Compares the newest name with those before it.
    fn refuse_again(&self, first: usize) -> Result<(), Flaw> {
        let Some((newest, before)) = self.names[first..].split_last() else { return Ok(()) };
        if before.iter().any(|name| compare(self.text, *name, *newest).is_eq()) {
            return Err(Flaw::Duplicate);
        }
        Ok(())
    }

    fn refuse_any_twice(&mut self, first: usize) -> Result<(), Flaw> {
        let text = self.text;
        let names = &mut self.names[first..];
        names.sort_unstable_by(|a, b| compare(text, *a, *b));
        if names.windows(2).any(|pair| compare(text, pair[0], pair[1]).is_eq()) {
            return Err(Flaw::Duplicate);
        }
        Ok(())
    }
}

/// Orders names by what they mean, not by how they are written: `"a"` is `"\u0061"`.
fn compare(text: &str, a: Name, b: Name) -> Ordering {
    let written = |name: Name| &text[name.from..name.to];
    if a.escaped || b.escaped {
        Decoded(written(a)).cmp(Decoded(written(b)))
    } else {
        // The order of UTF-8 bytes is the order of characters, so the two branches agree.
        written(a).cmp(written(b))
    }
}

/// The characters of a checked string.
struct Decoded<'a>(&'a str);

impl Iterator for Decoded<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut rest = self.0.chars();
        let mut decoded = rest.next()?;
        if decoded == '\\' {
            decoded = match rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => match unit(&mut rest)? {
                    high @ 0xd800..=0xdbff => {
                        rest = rest.as_str().strip_prefix("\\u")?.chars();
                        let low = unit(&mut rest)?.checked_sub(0xdc00)?;
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?
                    }
                    other => char::from_u32(other)?,
                },
                other => other,
            };
        }
        self.0 = rest.as_str();
        Some(decoded)
    }
}

/// The four hexadecimal digits that come next.
fn unit(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    let (digits, after) = rest.as_str().split_at_checked(4)?;
    *rest = after.chars();
    hex4(digits.as_bytes())
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_json_passes() {
        for good in [
            "{}",
            " [1, -0, 0.5, 1e9, 1E-7, 12.25e+3] ",
            r#"{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}"#,
            r#""\"\\\/\b\f\n\r\té😀""#,
            "true",
            "null",
            "\t\r\n false \n",
            r#"{"a":1,"A":2,"":3," ":4,"á":5,"a\u0301":6}"#,
        ] {
            assert_eq!(check(good.as_bytes(), 64), Ok(good));
        }
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let table: &[(&[u8], Flaw)] = &[
            (b"{\"a\":1,\"a\":2}", Flaw::Duplicate),
            (br#"{"a":1,"\u0061":2}"#, Flaw::Duplicate),
            (br#"{"\n":1,"\u000a":2}"#, Flaw::Duplicate),
            (br#"{"x":{"a":1,"b":2,"a":3}}"#, Flaw::Duplicate),
            ("{\"😀\":1,\"\\ud83d\\ude00\":2}".as_bytes(), Flaw::Duplicate),
            (br#""\ud800""#, Flaw::Surrogate),
            (br#""\udc00""#, Flaw::Surrogate),
            (br#""\ud800\u0041""#, Flaw::Surrogate),
            (br#""\ud800x""#, Flaw::Surrogate),
            (b"\xef\xbb\xbf{}", Flaw::Bom),
            (b"\"\xff\"", Flaw::Utf8),
            (b"\"\xed\xa0\x80\"", Flaw::Utf8),
            (b"\"\xc0\x80\"", Flaw::Utf8),
            (b"{} {}", Flaw::Trailing),
            (b"{}x", Flaw::Trailing),
            (b"NaN", Flaw::Syntax),
            (b"-Infinity", Flaw::Syntax),
            (b"01", Flaw::Trailing),
            (b"+1", Flaw::Syntax),
            (b".5", Flaw::Syntax),
            (b"1.", Flaw::Truncated),
            (b"[1,]", Flaw::Syntax),
            (b"{\"a\":1,}", Flaw::Syntax),
            (b"{a:1}", Flaw::Syntax),
            (b"'a'", Flaw::Syntax),
            (b"\"\n\"", Flaw::Syntax),
            (br#""\x41""#, Flaw::Syntax),
            (br#""\u00g0""#, Flaw::Syntax),
            (b"/**/1", Flaw::Syntax),
            (b"", Flaw::Truncated),
            (b"tru", Flaw::Truncated),
            (b"{\"a\"", Flaw::Truncated),
            (b"\"\\u12", Flaw::Truncated),
        ];
        for (bad, flaw) in table {
            assert_eq!(check(bad, 64), Err(*flaw), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_hundred_thousand_brackets_end_at_the_cap_and_not_at_the_end_of_the_stack() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check(deep(64).as_bytes(), 64).is_ok());
        assert_eq!(check(deep(65).as_bytes(), 64), Err(Flaw::Depth));
        assert_eq!(check("[".repeat(100_000).as_bytes(), 64), Err(Flaw::Depth));
        assert_eq!(check("{\"a\":".repeat(100_000).as_bytes(), 64), Err(Flaw::Depth));
        let wide = format!("[{}1]", "[],".repeat(1000));
        assert!(check(wide.as_bytes(), 2).is_ok(), "siblings do not add up");
    }

    #[test]
    fn a_name_is_found_twice_among_many() {
        let many = |extra: &str| {
            let names: Vec<_> = (0..5000).map(|n| format!("\"k{n}\":{n}")).collect();
            format!("{{{}{extra}}}", names.join(","))
        };
        assert!(check(many("").as_bytes(), 64).is_ok());
        assert_eq!(check(many(",\"k2500\":1").as_bytes(), 64), Err(Flaw::Duplicate));
        assert_eq!(check(many(",\"\\u006b7\":1").as_bytes(), 64), Err(Flaw::Duplicate));
    }

    /// JSON text with whitespace and escapes of all kinds.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|b| b.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_filter_map("finite", |f| f.is_finite().then(|| format!("{f:e}"))),
            any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
            any::<char>().prop_map(|c| {
                let mut units = [0; 2];
                let escape = |unit: &u16| format!("\\u{unit:04x}");
                let units: Vec<_> = c.encode_utf16(&mut units).iter().map(escape).collect();
                format!("\"{}\"", units.concat())
            }),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6)
                    .prop_map(|items| format!("[{}]", items.join(" ,\n"))),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| {
                    let members: Vec<_> = map
                        .iter()
                        .map(|(k, v)| format!("{}\t: {v}", serde_json::to_string(k).unwrap()))
                        .collect();
                    format!("{{ {} }}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes, 8);
        }

        #[test]
        fn no_json_like_text_makes_it_panic(text in "[\\[\\]{}\",:\\\\u0-9a-f. eE+-]{0,80}") {
            if check(text.as_bytes(), 8).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok()
                    || text.contains(['e', 'E']), "{text}");
            }
        }

        #[test]
        fn what_serde_writes_passes(text in json()) {
            prop_assert_eq!(check(text.as_bytes(), 64), Ok(text.as_str()));
        }

        #[test]
        fn every_cut_of_a_text_is_refused_or_is_a_number(text in json(), at in 0usize..100) {
            if at < text.len() && text.is_char_boundary(at) && !text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
                prop_assert!(check(&text.as_bytes()[..at], 64).is_err());
            }
        }
    }
}
