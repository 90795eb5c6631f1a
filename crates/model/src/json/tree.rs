//! A checked text as a value whose numbers are still text.

use std::borrow::Cow;

use super::{Flaw, check, string};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Flag(bool),
    /// As it was written: no double has rounded it.
    Number(&'a str),
    /// Decoded.
    Text(Cow<'a, str>),
    /// In order.
    List(Vec<Json<'a>>),
    /// By name.
    Object(Object<'a>),
}

/// The members of an object, by their names without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<'a>(Vec<Member<'a>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member<'a> {
    folded: Cow<'a, str>,
    name: Cow<'a, str>,
    value: Json<'a>,
}

impl<'a> Json<'a> {
    /// Reads `bytes`: one value, nested at most `depth` deep, of at most `values` values in all, that
    /// every reader understands the same way.
    ///
    /// # Errors
    ///
    /// The first flaw.
    pub fn read(bytes: &'a [u8], depth: usize, values: usize) -> Result<Self, Flaw> {
        let text = check(bytes, depth)?;
        let mut reader = Reader { text, bytes, at: 0, left: values };
        reader.space();
        reader.value()
    }
}

impl<'a> Object<'a> {
    /// The values of the members that a reader may take for `name`, and whether the name is exactly
    /// that: there are readers that do not look at case.
    pub fn like(&self, name: &str) -> impl Iterator<Item = (bool, &Json<'a>)> {
        let folded = fold(name);
        let from = self.0.partition_point(|member| member.folded < folded);
        let name = name.to_owned();
        self.0[from..]
            .iter()
            .take_while(move |member| member.folded == folded)
            .map(move |member| (member.name == name, &member.value))
    }

    /// Every name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|member| (&*member.name, &member.value))
    }
}

/// The members, their values by value: what was decoded can then be wiped by who takes it.
impl<'a> IntoIterator for Object<'a> {
    type Item = (Cow<'a, str>, Json<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let members = self.0.into_iter().map(|member| (member.name, member.value));
        members.collect::<Vec<_>>().into_iter()
    }
}

/// `text` without case, also where Unicode has more than two of them: `ſ` is `s`, the Kelvin sign `k`.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect())
}

/// Reads a text that [`check`] has let through; on any other it stops with a flaw.
struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Json<'a>, Flaw> {
        self.left = self.left.checked_sub(1).ok_or(Flaw::Values)?;
        Ok(match self.peek()? {
            b'{' => self.object()?,
            b'[' => self.list()?,
            b'"' => Json::Text(self.string()?),
            b't' => self.word("true", Json::Flag(true)),
            b'f' => self.word("false", Json::Flag(false)),
            b'n' => self.word("null", Json::Null),
            _ => {
                let from = self.at;
                let of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                while self.bytes.get(self.at).is_some_and(of_number) {
                    self.at += 1;
                }
                Json::Number(self.text.get(from..self.at).ok_or(Flaw::Syntax)?)
            }
        })
    }

    fn object(&mut self) -> Result<Json<'a>, Flaw> {
        let mut members = Vec::new();
        self.at += 1;
        self.space();
        while self.peek()? != b'}' {
            let name = self.string()?;
            self.space();
            self.eat(b':')?;
            self.space();
            let value = self.value()?;
            let folded = match &name {
                Cow::Borrowed(name) => fold(name),
                Cow::Owned(name) => Cow::Owned(fold(name).into_owned()),
            };
            members.push(Member { folded, name, value });
            self.comma(b'}')?;
        }
        self.at += 1;
        members.sort_by(|a, b| a.folded.cmp(&b.folded));
        Ok(Json::Object(Object(members)))
    }

    fn list(&mut self) -> Result<Json<'a>, Flaw> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        while self.peek()? != b']' {
            items.push(self.value()?);
            self.comma(b']')?;
        }
        self.at += 1;
        Ok(Json::List(items))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Flaw> {
        let from = self.at;
        self.eat(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        string(self.text.get(from..self.at).ok_or(Flaw::Syntax)?).ok_or(Flaw::Syntax)
    }

    fn word(&mut self, word: &str, json: Json<'a>) -> Json<'a> {
        self.at += word.len();
        json
    }

    /// A comma, or the end of what is open.
    fn comma(&mut self, end: u8) -> Result<(), Flaw> {
        self.space();
        if self.peek()? != end {
            self.eat(b',')?;
            self.space();
        }
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Flaw> {
        self.bytes.get(self.at).copied().ok_or(Flaw::Truncated)
    }

    fn eat(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.peek()? != byte {
            return Err(Flaw::Syntax);
        }
        self.at += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_stay_as_they_were_written_and_names_are_found_in_any_case() {
        let json = Json::read(br#" {"a":1.50,"A":[null,true],"b\u0061":"\u00e9"} "#, 8, 100);
        let Ok(Json::Object(object)) = json else { panic!("an object") };
        let found: Vec<_> = object.like("a").collect();
        assert_eq!(found.len(), 2);
        assert!(found.contains(&(true, &Json::Number("1.50"))));
        assert!(found.contains(&(false, &Json::List(vec![Json::Null, Json::Flag(true)]))));
        assert_eq!(object.like("ba").next(), Some((true, &Json::Text("é".into()))));
        assert_eq!(object.like("c").next(), None);
        assert_eq!((fold("ſtatus"), fold("\u{212a}ey")), ("status".into(), "key".into()));
    }

    #[test]
    fn values_are_counted() {
        assert!(Json::read(b"[1,2,{\"a\":3}]", 8, 5).is_ok());
        assert_eq!(Json::read(b"[1,2,{\"a\":3}]", 8, 4), Err(Flaw::Values));
    }

    fn same(json: &Json<'_>, value: &serde_json::Value) -> bool {
        use serde_json::Value;
        match (json, value) {
            (Json::Null, Value::Null) => true,
            (Json::Flag(a), Value::Bool(b)) => a == b,
            (Json::Number(a), Value::Number(b)) => a.parse::<f64>().ok() == b.as_f64(),
            (Json::Text(a), Value::String(b)) => a == b,
            (Json::List(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Object(a), Value::Object(b)) => {
                a.iter().count() == b.len() && a.iter().all(|(name, a)| same(a, &b[name]))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_reads(text in "[\\[\\]{}\",:\\\\u0-9a-cnul. -]{0,60}") {
            if let Ok(json) = Json::read(text.as_bytes(), 16, 1000) {
                let value = serde_json::from_str(&text).unwrap();
                prop_assert!(same(&json, &value), "{text}");
            }
        }
    }
}
