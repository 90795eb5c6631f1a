//! JSON that holds secrets, read in place: a value is copied once, into the secret that it becomes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use super::Failure;

/// Bytes that may hold secrets. They are wiped on drop and never shown.
pub(crate) struct Body(Zeroizing<Vec<u8>>);

/// An object whose values stay where they are.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Fields<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

/// One string of JSON that is secret.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden<'a>(#[serde(borrow)] &'a RawValue);

impl Body {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes of a secret that was found inside of an answer.
    pub(crate) fn of(secret: &Secret) -> Self {
        Self(Zeroizing::new(secret.expose().to_vec()))
    }

    /// What the documentation of the API promises.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_slice(&self.0)
            .map_err(|_| Failure::unreachable("its answer is not one that its documentation knows"))
    }

    /// An object of secrets, which somebody has stored as one secret.
    pub(crate) fn object(&self) -> Result<Fields<'_>, Failure> {
        serde_json::from_slice(&self.0)
            .map_err(|_| Failure::Unusable("it is not a JSON object, so nothing in it has a name"))
    }

    /// Whether these words are in it.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.0.windows(words.len()).any(|window| window == words.as_bytes())
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Secret {
        Secret::new(self.0.to_vec())
    }

    /// All of it, or the field that `fragment` names.
    pub(crate) fn part(&self, fragment: Option<&str>) -> Result<Secret, Failure> {
        match fragment {
            None => Ok(self.whole()),
            Some(name) => self.object()?.secret(name),
        }
    }
}

impl Fields<'_> {
    /// The value of this name.
    pub(crate) fn secret(&self, name: &str) -> Result<Secret, Failure> {
        Hidden(self.0.get(name).ok_or(Failure::NotFound)?).secret()
    }
}

impl Hidden<'_> {
    /// The value: a text without its quotes, a number or truth value as it is written.
    pub(crate) fn secret(self) -> Result<Secret, Failure> {
        let raw = self.0.get();
        match raw.as_bytes() {
            [b'"', ..] => {
                let text: String = serde_json::from_str(raw)
                    .map_err(|_| Failure::Unusable("it is not well-formed text"))?;
                Ok(Secret::new(text.into_bytes()))
            }
            b"null" => Err(Failure::Unusable("it is empty")),
            [b'{' | b'[', ..] => Err(Failure::Unusable("it is an object or a list, not a text")),
            _ => Ok(Secret::new(raw.as_bytes().to_vec())),
        }
    }
}

/// An object of texts, some of which are secret, for the body of a request.
pub(crate) fn object(fields: &[(&str, Part<'_>)]) -> Zeroizing<Vec<u8>> {
    let mut json = Zeroizing::new(Vec::with_capacity(room(fields)));
    for (index, (name, part)) in fields.iter().enumerate() {
        json.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
        escape(name.as_bytes(), &mut json);
        json.extend_from_slice(b"\":\"");
        escape(part.bytes(), &mut json);
        json.push(b'"');
    }
    json.push(b'}');
    json
}

/// A form (`application/x-www-form-urlencoded`) of texts, some of which are secret.
pub(crate) fn form(fields: &[(&str, Part<'_>)]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut form = Zeroizing::new(Vec::with_capacity(room(fields)));
    let encode = |bytes: &[u8], form: &mut Vec<u8>| {
        for byte in bytes {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
                form.push(*byte);
            } else {
                let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                form.extend_from_slice(&[b'%', digits[0], digits[1]]);
            }
        }
    };
    for (index, (name, part)) in fields.iter().enumerate() {
        if index > 0 {
            form.push(b'&');
        }
        encode(name.as_bytes(), &mut form);
        form.push(b'=');
        encode(part.bytes(), &mut form);
    }
    form
}

/// A text in a body.
pub(crate) enum Part<'a> {
    /// One that is not secret.
    Text(&'a str),
    /// One that is.
    Secret(&'a Secret),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// Enough for every escape, so that the bytes never move.
fn room(fields: &[(&str, Part<'_>)]) -> usize {
    fields.iter().map(|(name, part)| 6 * (name.len() + part.bytes().len()) + 8).sum::<usize>() + 2
}

fn escape(text: &[u8], json: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in text {
        match byte {
            b'"' | b'\\' => json.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => {
                json.extend_from_slice(b"\\u00");
                json.push(DIGITS[usize::from(byte >> 4)]);
                json.push(DIGITS[usize::from(byte & 15)]);
            }
            _ => json.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn fields_are_texts_numbers_and_truth_values() {
        let body =
            body(r#"{"a":"x\n\u00e9\"","n":12.50,"b":true,"z":null,"o":{},"l":["a"],"e":""}"#);
        let fields = body.object().unwrap();
        for (name, expected) in [("a", "x\né\""), ("n", "12.50"), ("b", "true"), ("e", "")] {
            assert_eq!(fields.secret(name).unwrap().expose(), expected.as_bytes(), "{name}");
        }
        for name in ["z", "o", "l"] {
            assert!(matches!(fields.secret(name), Err(Failure::Unusable(_))), "{name}");
        }
        assert!(matches!(fields.secret("none"), Err(Failure::NotFound)));
    }

    #[test]
    fn what_is_not_an_object_has_no_fields() {
        for text in ["", "x", "[1]", "\"a\"", "{\"a\":", "null"] {
            assert!(matches!(body(text).part(Some("a")), Err(Failure::Unusable(_))), "{text}");
            assert_eq!(body(text).part(None).unwrap().expose(), text.as_bytes());
        }
    }

    #[test]
    fn bodies_are_well_formed_whatever_the_secret_is_and_never_move() {
        let awkward = "a\"b\\c\nd\u{1}é&=+% ~";
        let secret = Secret::new(awkward.as_bytes().to_vec());
        let fields = [("x", Part::Text("y")), ("s", Part::Secret(&secret))];
        let json = object(&fields);
        let read: BTreeMap<String, String> = serde_json::from_slice(&json).unwrap();
        assert_eq!((read["x"].as_str(), read["s"].as_str()), ("y", awkward));
        let form = form(&fields);
        let text = String::from_utf8(form.to_vec()).unwrap();
        assert_eq!(text, "x=y&s=a%22b%5Cc%0Ad%01%C3%A9%26%3D%2B%25%20~");
        assert!(json.len() <= room(&fields) && form.len() <= room(&fields));
    }
}
