//! `.env` files, read strictly (SC-06).
//!
//! Every program reads these files in its own way, so what they read differently is refused where it
//! matters: in a value that is asked for, and in one that is written. Everything else in the file is
//! the user's, and is kept byte for byte.
//!
//! ```text
//! # a comment
//! NAME=plain-text_without/blanks
//! export NAME='literally'
//! NAME="also over
//! several lines"
//! ```

use std::ops::Range;

use strongroom_model::secret::Secret;

/// The largest file.
pub const LARGEST: usize = 1 << 20;

/// A file of variables.
#[derive(Debug)]
pub struct EnvFile {
    text: Secret,
    pairs: Vec<Pair>,
}

/// One variable, by its places in the text.
#[derive(Debug)]
struct Pair {
    name: String,
    line: usize,
    /// From the start of its line to the start of the one behind it.
    whole: Range<usize>,
    /// Without quotes.
    value: Range<usize>,
    /// Whether programs may read it differently.
    doubtful: bool,
}

/// A file, or a value, that programs read differently. No text of it is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileError {
    /// The file is too large.
    #[error("it is larger than 1 MiB")]
    Large,
    /// The file is not text.
    #[error("line {line} is not UTF-8 text, or has a control character in it")]
    NotText {
        /// Counted from 1.
        line: usize,
    },
    /// A line that is neither a variable nor a comment.
    #[error("line {line} is neither `NAME=VALUE` nor a comment")]
    NotAPair {
        /// Counted from 1.
        line: usize,
    },
    /// A quote that is not closed, or has something behind it.
    #[error("a quote that begins in line {line} does not end, or has text behind it")]
    Quote {
        /// Counted from 1.
        line: usize,
    },
    /// The same variable twice: the first counts for some programs, the last for others.
    #[error("`{name}` stands in line {line} for the second time")]
    Twice {
        /// The variable.
        name: String,
        /// Counted from 1.
        line: usize,
    },
    /// A value that programs read differently.
    #[error("the value of `{name}` in line {line} is one that programs read differently")]
    Doubtful {
        /// The variable.
        name: String,
        /// Counted from 1.
        line: usize,
    },
    /// A value that no form of the file holds for every program.
    #[error("the value for `{name}` cannot be written so that every program reads the same")]
    Unwritable {
        /// The variable.
        name: String,
    },
    /// A name that is not one here.
    #[error("`{name}` cannot be the name of a variable in such a file")]
    Name {
        /// The name, from the server's definition.
        name: String,
    },
}

impl EnvFile {
    /// A file with nothing in it.
    pub fn empty() -> Self {
        Self { text: Secret::new(Vec::new()), pairs: Vec::new() }
    }

    /// Reads `text`.
    pub fn parse(text: Secret) -> Result<Self, EnvFileError> {
        let pairs = Scanner::new(text.expose())?.pairs()?;
        Ok(Self { text, pairs })
    }

    /// The text.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// The names in it, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|pair| pair.name.as_str())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Result<Option<Secret>, EnvFileError> {
        let Some(pair) = self.pairs.iter().find(|pair| pair.name == name) else { return Ok(None) };
        if pair.doubtful {
            return Err(EnvFileError::Doubtful { name: pair.name.clone(), line: pair.line });
        }
        Ok(Some(Secret::new(self.text.expose()[pair.value.clone()].to_vec())))
    }

    /// The file with `values` in the place of what it has under their names, or behind its end. All
    /// other lines stay as they are.
    pub fn with(&self, values: &[(&str, &Secret)]) -> Result<Self, EnvFileError> {
        let mut room = self.text.len() + 1;
        for (name, value) in values {
            check_name(name)?;
            room += name.len() + value.len() + 4;
        }
        // Sized once, so that no copy of a secret is left behind by growing.
        let mut out = Vec::with_capacity(room);
        let mut at = 0;
        for pair in &self.pairs {
            let Some((name, value)) = values.iter().find(|(name, _)| *name == pair.name) else {
                continue;
            };
            out.extend_from_slice(&self.text.expose()[at..pair.whole.start]);
            line(&mut out, name, value)?;
            at = pair.whole.end;
        }
        out.extend_from_slice(&self.text.expose()[at..]);
        for (name, value) in values {
            if self.pairs.iter().all(|pair| pair.name != *name) {
                if !out.is_empty() && out.last() != Some(&b'\n') {
                    out.push(b'\n');
                }
                line(&mut out, name, value)?;
            }
        }
        Self::parse(Secret::new(out))
    }

    /// The file without the variables `names`; says how many were in it.
    pub fn without(&self, names: &[&str]) -> Result<(Self, usize), EnvFileError> {
        let mut out = Vec::with_capacity(self.text.len());
        let (mut at, mut removed) = (0, 0);
        for pair in self.pairs.iter().filter(|pair| names.contains(&pair.name.as_str())) {
            out.extend_from_slice(&self.text.expose()[at..pair.whole.start]);
            at = pair.whole.end;
            removed += 1;
        }
        out.extend_from_slice(&self.text.expose()[at..]);
        Ok((Self::parse(Secret::new(out))?, removed))
    }
}

fn check_name(name: &str) -> Result<(), EnvFileError> {
    if is_name(name) { Ok(()) } else { Err(EnvFileError::Name { name: name.to_owned() }) }
}

/// A letter or `_`, then letters, digits and `_`.
fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What needs no quotes anywhere.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte)
}

/// Writes `NAME=VALUE` in the form that dotenv libraries and shells read alike.
fn line(out: &mut Vec<u8>, name: &str, value: &Secret) -> Result<(), EnvFileError> {
    let bytes = value.expose();
    let unwritable = || EnvFileError::Unwritable { name: name.to_owned() };
    if str::from_utf8(bytes).is_err() || bytes.iter().any(|byte| is_control(*byte)) {
        return Err(unwritable());
    }
    let has = |set: &[u8]| bytes.iter().any(|byte| set.contains(byte));
    let quote: &[u8] = if bytes.iter().all(|byte| is_plain(*byte)) && !bytes.is_empty() {
        b""
    } else if !has(b"'\\\n") {
        b"'"
    } else if !has(b"\"\\$`!") {
        b"\""
    } else {
        return Err(unwritable());
    };
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(quote);
    out.extend_from_slice(bytes);
    out.extend_from_slice(quote);
    out.push(b'\n');
    Ok(())
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\n') || byte == 0x7f
}

/// Walks the text from line to line.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8]) -> Result<Self, EnvFileError> {
        if text.len() > LARGEST {
            return Err(EnvFileError::Large);
        }
        let line_of = |end: usize| text[..end].split(|byte| *byte == b'\n').count();
        if let Err(error) = str::from_utf8(text) {
            return Err(EnvFileError::NotText { line: line_of(error.valid_up_to()) });
        }
        let odd = text.iter().enumerate().find(|(place, byte)| match **byte {
            b'\t' => false,
            // As a line end of Windows.
            b'\r' => text.get(place + 1) != Some(&b'\n'),
            byte => is_control(byte),
        });
        match odd {
            Some((place, _)) => Err(EnvFileError::NotText { line: line_of(place) }),
            None => Ok(Self { text, at: 0, line: 1 }),
        }
    }

    fn pairs(mut self) -> Result<Vec<Pair>, EnvFileError> {
        let mut pairs: Vec<Pair> = Vec::new();
        while self.at < self.text.len() {
            let (start, line) = (self.at, self.line);
            self.blanks();
            match self.peek() {
                None => break,
                Some(b'\n' | b'\r' | b'#') => self.rest_of_line(),
                Some(_) => {
                    let pair = self.pair(start, line)?;
                    if pairs.iter().any(|there| there.name == pair.name) {
                        return Err(EnvFileError::Twice { name: pair.name, line });
                    }
                    pairs.push(pair);
                }
            }
        }
        Ok(pairs)
    }

    fn pair(&mut self, start: usize, line: usize) -> Result<Pair, EnvFileError> {
        let not = || EnvFileError::NotAPair { line };
        let mut name = self.word();
        if name == "export" && self.peek() == Some(b' ') {
            self.blanks();
            name = self.word();
        }
        if !is_name(name) || self.peek() != Some(b'=') {
            return Err(not());
        }
        let name = name.to_owned();
        self.at += 1;
        let (value, doubtful) = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => self.quoted(quote, line)?,
            _ => self.unquoted(),
        };
        Ok(Pair { name, line, whole: start..self.at, value, doubtful })
    }

    /// Up to the end of the line, without blanks and a comment behind it.
    fn unquoted(&mut self) -> (Range<usize>, bool) {
        let start = self.at;
        self.rest_of_line();
        let line = self.text[start..self.at].trim_ascii_end();
        let comment = line.windows(2).position(|pair| matches!(pair, [b' ' | b'\t', b'#']));
        let value = line[..comment.unwrap_or(line.len())].trim_ascii_end();
        let doubtful = value.iter().any(|byte| b" \t'\"\\$`#;&|<>()*?!~".contains(byte));
        (start..start + value.len(), doubtful)
    }

    fn quoted(&mut self, quote: u8, line: usize) -> Result<(Range<usize>, bool), EnvFileError> {
        let open = EnvFileError::Quote { line };
        self.at += 1;
        let start = self.at;
        let mut doubtful = false;
        loop {
            match self.peek() {
                None => return Err(open),
                Some(byte) if byte == quote => break,
                // Some read an escape, some do not; some expand.
                Some(b'\\') => {
                    doubtful = true;
                    // An escaped quote ends nothing for those who know escapes, and the rest of the
                    // file would be another one for those who do not.
                    if self.text.get(self.at + 1) == Some(&quote) {
                        return Err(open);
                    }
                }
                Some(b'$' | b'`') if quote == b'"' => doubtful = true,
                Some(b'\r') => doubtful = true,
                Some(b'\n') => self.line += 1,
                Some(_) => {}
            }
            self.at += 1;
        }
        let value = start..self.at;
        self.at += 1;
        self.blanks();
        match self.peek() {
            None => {}
            Some(b'\n' | b'\r' | b'#') => self.rest_of_line(),
            Some(_) => return Err(open),
        }
        Ok((value, doubtful))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Letters, digits and `_`.
    fn word(&mut self) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        str::from_utf8(&self.text[start..self.at]).unwrap_or_default()
    }

    /// Behind the next line end.
    fn rest_of_line(&mut self) {
        let rest = &self.text[self.at..];
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.at += end + 1;
                self.line += 1;
            }
            None => self.at = self.text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(text: &str) -> Result<EnvFile, EnvFileError> {
        EnvFile::parse(Secret::new(text.as_bytes().to_vec()))
    }

    fn shown(file: &EnvFile) -> String {
        String::from_utf8(file.text().expose().to_vec()).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn what_every_program_reads_alike_is_read() {
        let text = "# c\n\nA=plain\r\n  B = x\n";
        assert_eq!(file(text).unwrap_err(), EnvFileError::NotAPair { line: 4 });
        let text =
            "# c\n\nA=plain\r\nexport B='a b $X'  # why\nC=\"x\ny\"\nD=\nE=a # c\nF=sk-a/b+c==";
        let file = file(text).unwrap();
        for (name, value) in [
            ("A", "plain"),
            ("B", "a b $X"),
            ("C", "x\ny"),
            ("D", ""),
            ("E", "a"),
            ("F", "sk-a/b+c=="),
        ] {
            let found = file.get(name).unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(found.expose()), value, "{name}");
        }
        assert!(file.get("G").unwrap().is_none());
    }

    // SC-06
    #[test]
    fn what_they_read_differently_is_refused_and_never_repeated() {
        use EnvFileError::{NotAPair, NotText, Quote, Twice};
        for (text, error) in [
            ("A=1\nA=2\n", Twice { name: "A".into(), line: 2 }),
            ("A='canary\n", Quote { line: 1 }),
            ("A='x'canary\n", Quote { line: 1 }),
            ("A=\"x\\\"canary\"\n", Quote { line: 1 }),
            ("canary\n", NotAPair { line: 1 }),
            ("1A=canary\n", NotAPair { line: 1 }),
            ("A-B=canary\n", NotAPair { line: 1 }),
            ("\nA=x\0canary\n", NotText { line: 2 }),
            ("A=\u{1b}[2J\n", NotText { line: 1 }),
            ("A=x\rB=y\n", NotText { line: 1 }),
        ] {
            assert_eq!(file(text).unwrap_err(), error, "{text:?}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        for value in ["$X", "a b", "`id`", "\"$X\"", "\"a\\nb\"", "'a\\nb'", "a\\b", "x;y", "~"] {
            let file = file(&format!("B=x\nA={value}\n")).unwrap();
            let error = file.get("A").unwrap_err();
            assert_eq!(error, EnvFileError::Doubtful { name: "A".into(), line: 2 }, "{value}");
            assert!(file.get("B").unwrap().is_some());
        }
        let large = "#".repeat(LARGEST + 1);
        assert_eq!(file(&large).unwrap_err(), EnvFileError::Large);
        assert!(EnvFile::parse(Secret::new(vec![b'A', b'=', 0xff])).is_err());
    }

    #[test]
    fn a_file_keeps_every_line_that_is_not_ours() {
        let text = "# mine\nX=$HOME/x # odd\nA=old\n\nB='b'";
        let file = file(text).unwrap();
        let new = file.with(&[("A", &secret("it is")), ("C", &secret("c"))]).unwrap();
        assert_eq!(shown(&new), "# mine\nX=$HOME/x # odd\nA='it is'\n\nB='b'\nC=c\n");
        let (back, removed) = new.without(&["A", "C", "Z"]).unwrap();
        assert_eq!((shown(&back).as_str(), removed), ("# mine\nX=$HOME/x # odd\n\nB='b'\n", 2));
        let first = EnvFile::empty().with(&[("A", &secret("x"))]).unwrap();
        assert_eq!(shown(&first), "A=x\n");
    }

    #[test]
    fn a_value_is_written_in_a_form_that_all_read_alike_or_not_at_all() {
        for (value, written) in [
            ("sk-abc_1/2+3==", "A=sk-abc_1/2+3==\n"),
            ("a b", "A='a b'\n"),
            ("$HOME `id` \"x\"", "A='$HOME `id` \"x\"'\n"),
            ("it's", "A=\"it's\"\n"),
            ("-----BEGIN KEY-----\nx\n", "A=\"-----BEGIN KEY-----\nx\n\"\n"),
            ("", "A=''\n"),
            ("#x", "A='#x'\n"),
        ] {
            let file = EnvFile::empty().with(&[("A", &secret(value))]).unwrap();
            assert_eq!(shown(&file), written);
            assert_eq!(file.get("A").unwrap().unwrap().expose(), value.as_bytes());
        }
        for value in ["it's \"x\"", "a\\b'", "back\\slash", "a\tb", "a\0b", "'$x\n"] {
            let error = EnvFile::empty().with(&[("A", &secret(value))]).unwrap_err();
            assert_eq!(error, EnvFileError::Unwritable { name: "A".into() }, "{value:?}");
        }
        assert!(EnvFile::empty().with(&[("A B", &secret("x"))]).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_what_was_read_can_be_rewritten(
            text in "([A-C]=[ -~]{0,6}\n|#[ -~]{0,4}\n|[ -~\n\t]{0,8}){0,6}",
        ) {
            if let Ok(file) = file(&text) {
                let names: Vec<String> = file.names().map(str::to_owned).collect();
                let values: Vec<_> = names.iter().map(|name| file.get(name)).collect();
                let new = file.with(&[("Z", &secret("zz"))]).unwrap();
                for (name, value) in names.iter().zip(values) {
                    let again = new.get(name);
                    let of = |v: Result<Option<Secret>, _>| v.map(|v| v.map(|v| v.expose().to_vec()));
                    if name != "Z" {
                        prop_assert_eq!(of(again).is_ok(), of(value).is_ok());
                    }
                }
                let all: Vec<&str> = names.iter().map(String::as_str).chain(["Z"]).collect();
                prop_assert_eq!(new.without(&all).unwrap().0.names().count(), 0);
            }
        }

        #[test]
        fn what_is_written_is_read_back(value in "[ -~\n]{0,24}") {
            if let Ok(file) = EnvFile::empty().with(&[("A", &secret(&value))]) {
                let found = file.get("A").unwrap().unwrap();
                prop_assert_eq!(found.expose(), value.as_bytes());
            }
        }
    }
}
