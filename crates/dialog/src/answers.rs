//! What a person answered: read from the program's pipe into secrets.
//!
//! The usual readers of JSON keep copies of what they unescape. This one knows an object of strings and
//! nothing else, and everything that it holds on the way is wiped.

use std::io::{self, Read};

use strongroom_model::form::{ANSWER, Choice, Form, Kind};
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

/// The name of the answer to a question of consent.
const CONSENT: &str = "answer";

/// What was answered, by the names of the fields. All of it counts as secret.
#[derive(Debug, Default)]
pub struct Answers(Vec<(String, Secret)>);

/// What the program printed is no answer to the question. Nothing of it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnswers {
    /// It is no JSON object of strings.
    #[error("what the window program printed is no object of answers")]
    Shape,
    /// There is a name that was not asked for, one stands twice, or one is missing.
    #[error("what the window program printed answers another question")]
    Names,
    /// One is longer than an answer can be, or all are.
    #[error("an answer is too long")]
    TooLong,
}

impl Answers {
    /// Reads what the program printed about `form`.
    ///
    /// # Errors
    ///
    /// Everything but an object with a string for each field that was asked for: a field that is not
    /// required may be missing.
    pub(crate) fn read(printed: &Secret, form: &Form) -> Result<Self, NotAnswers> {
        let answers = Self(Reader { rest: printed.expose() }.object()?);
        answers.check(form)?;
        Ok(answers)
    }

    /// Answers that came another way than by the window program.
    pub(crate) fn of(answers: Vec<(String, Secret)>) -> Self {
        Self(answers)
    }

    /// The answer to a question of consent.
    pub(crate) fn consent(choice: Choice) -> Self {
        Self(vec![(CONSENT.to_owned(), Secret::new(choice.as_str().into()))])
    }

    fn check(&self, form: &Form) -> Result<(), NotAnswers> {
        let names: Vec<&str> = match form.kind {
            Kind::Consent => vec![CONSENT],
            Kind::Fields => form.fields.iter().map(|field| field.name.as_str()).collect(),
        };
        let times = |name: &str| self.0.iter().filter(|(other, _)| other == name).count();
        let known = self.0.iter().all(|(name, _)| names.contains(&name.as_str()));
        if !known || names.iter().any(|name| times(name) > 1) {
            return Err(NotAnswers::Names);
        }
        if self.0.iter().any(|(_, answer)| answer.len() > ANSWER) {
            return Err(NotAnswers::TooLong);
        }
        let given = |name: &str| self.get(name).is_some_and(|answer| !answer.is_empty());
        let wanted = form.fields.iter().filter(|field| field.required);
        if wanted.map(|field| field.name.as_str()).all(given)
            && (form.kind == Kind::Fields || given(CONSENT))
        {
            Ok(())
        } else {
            Err(NotAnswers::Names)
        }
    }

    /// The names, in the order in which they came.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The answer to the field `name`. One that was left empty is there, and empty.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, answer)| answer)
    }

    /// What was chosen where consent was asked for. Everything but the exact words is a no.
    pub fn choice(&self) -> Choice {
        let is = |choice: &Choice| {
            let word = Secret::new(choice.as_str().into());
            self.get(CONSENT).is_some_and(|answer| answer.ct_eq(&word))
        };
        [Choice::Allow, Choice::AllowSession].into_iter().find(is).unwrap_or(Choice::Deny)
    }
}

impl IntoIterator for Answers {
    type Item = (String, Secret);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// All that `stream` has, at most `most` bytes; `None` where there is more. No copy is left behind,
/// neither by growing nor where reading fails.
pub(crate) fn read_secret(mut stream: impl Read, most: usize) -> io::Result<Option<Secret>> {
    const FIRST: usize = 16 << 10;
    let mut bytes = Zeroizing::new(vec![0; FIRST.min(most + 1)]);
    let mut length = 0;
    loop {
        if length == bytes.len() {
            if length > most {
                return Ok(None);
            }
            // A new buffer: the old one is wiped when it is dropped.
            let mut larger = Zeroizing::new(vec![0; (length * 2).min(most + 1)]);
            larger[..length].copy_from_slice(&bytes);
            bytes = larger;
        }
        match stream.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if length > most {
        return Ok(None);
    }
    bytes.truncate(length);
    Ok(Some(Secret::new(std::mem::take(&mut *bytes))))
}

/// Reads an object of strings (RFC 8259), and nothing after it.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn object(&mut self) -> Result<Vec<(String, Secret)>, NotAnswers> {
        let mut members = Vec::new();
        self.expect(b'{')?;
        if self.take(b'}') {
            return self.end(members);
        }
        loop {
            let name = self.string()?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| NotAnswers::Shape)?;
            self.expect(b':')?;
            let mut answer = self.string()?;
            members.push((name, Secret::new(std::mem::take(&mut *answer))));
            if self.take(b'}') {
                return self.end(members);
            }
            self.expect(b',')?;
        }
    }

    fn end<T>(&mut self, members: T) -> Result<T, NotAnswers> {
        self.skip();
        if self.rest.is_empty() { Ok(members) } else { Err(NotAnswers::Shape) }
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip();
        let Some(rest) = self.rest.strip_prefix(&[byte]) else { return false };
        self.rest = rest;
        true
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotAnswers> {
        if self.take(byte) { Ok(()) } else { Err(NotAnswers::Shape) }
    }

    fn next(&mut self) -> Result<u8, NotAnswers> {
        let (first, rest) = self.rest.split_first().ok_or(NotAnswers::Shape)?;
        self.rest = rest;
        Ok(*first)
    }

    /// A string's text, in a buffer that never grows: unescaped it is no longer than it stands there.
    fn string(&mut self) -> Result<Zeroizing<Vec<u8>>, NotAnswers> {
        self.expect(b'"')?;
        let mut escaped = false;
        let closes = |byte: &u8| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        };
        let length = self.rest.iter().position(closes).ok_or(NotAnswers::Shape)?;
        let mut text = Zeroizing::new(Vec::with_capacity(length));
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape(&mut text)?,
                0..=0x1f => return Err(NotAnswers::Shape),
                byte => text.push(byte),
            }
        }
        std::str::from_utf8(&text).map_err(|_| NotAnswers::Shape)?;
        Ok(text)
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), NotAnswers> {
        let plain = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = self.character()?;
                let mut buffer = Zeroizing::new([0; 4]);
                text.extend_from_slice(c.encode_utf8(&mut *buffer).as_bytes());
                return Ok(());
            }
            _ => return Err(NotAnswers::Shape),
        };
        text.push(plain);
        Ok(())
    }

    fn character(&mut self) -> Result<char, NotAnswers> {
        let first = self.unit()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if self.next()? != b'\\' || self.next()? != b'u' {
                return Err(NotAnswers::Shape);
            }
            let second = self.unit()?;
            let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
            0x1_0000 + ((first - 0xd800) << 10) + low.ok_or(NotAnswers::Shape)?
        } else {
            first
        };
        char::from_u32(code).ok_or(NotAnswers::Shape)
    }

    fn unit(&mut self) -> Result<u32, NotAnswers> {
        (0..4).try_fold(0, |unit, _| {
            let digit = char::from(self.next()?).to_digit(16).ok_or(NotAnswers::Shape)?;
            Ok(unit << 4 | digit)
        })
    }
}

#[cfg(test)]
mod tests;
