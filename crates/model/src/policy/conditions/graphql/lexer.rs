//! The tokens of a document (GraphQL, October 2021, §2.1).

use super::Problem;

pub(super) const MALFORMED: Problem = "the GraphQL document cannot be read";

/// A token, as far as it matters for the shape of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name or a keyword.
    Name(&'a str),
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Sign(u8),
    /// `...`
    Spread,
    /// A string or a number.
    Value,
    /// There is no more.
    End,
}

/// A place in a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next token, left where it is.
    pub(super) fn peek(&self) -> Result<Token<'a>, Problem> {
        let mut ahead = *self;
        ahead.next()
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Problem> {
        self.ignored()?;
        let Some(byte) = self.byte(0) else { return Ok(Token::End) };
        match byte {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let rest = &self.text[self.at..];
                let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = rest.find(|c| !of_name(c)).unwrap_or(rest.len());
                self.at += end;
                Ok(Token::Name(&rest[..end]))
            }
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.at += 1;
                Ok(Token::Sign(byte))
            }
            b'.' if self.text[self.at..].starts_with("...") => {
                self.at += 3;
                Ok(Token::Spread)
            }
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(MALFORMED),
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// Blanks, commas and comments.
    fn ignored(&mut self) -> Result<(), Problem> {
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.at += 1,
                b'#' => {
                    let rest = &self.text[self.at..];
                    let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
                    // A reader may take one of these for the end of the line.
                    let odd =
                        |c: char| (c.is_control() && c != '\t') || "\u{2028}\u{2029}".contains(c);
                    if rest[..end].contains(odd) {
                        return Err(MALFORMED);
                    }
                    self.at += end;
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Token<'a>, Problem> {
        if self.text[self.at..].starts_with("\"\"\"") {
            return self.block();
        }
        self.at += 1;
        loop {
            match self.byte(0).ok_or(MALFORMED)? {
                b'"' => {
                    self.at += 1;
                    return Ok(Token::Value);
                }
                b'\\' => self.at += 2,
                0..=0x1f => return Err(MALFORMED),
                _ => self.at += 1,
            }
        }
    }

    fn block(&mut self) -> Result<Token<'a>, Problem> {
        self.at += 3;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let end = memchr::memmem::find(rest, b"\"\"\"").ok_or(MALFORMED)?;
            self.at += end + 3;
            // `\"""` is three quotes in the text.
            if end == 0 || rest[end - 1] != b'\\' {
                return Ok(Token::Value);
            }
        }
    }

    /// A number ends where no letter, digit or dot follows.
    fn number(&mut self) -> Result<Token<'a>, Problem> {
        let rest = &self.text[self.at..];
        let of_number = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        let end = rest.find(|c| !of_number(c)).unwrap_or(rest.len());
        if super::super::decimal::Decimal::read(&rest[..end]).is_none() {
            return Err(MALFORMED);
        }
        self.at += end;
        Ok(Token::Value)
    }
}
