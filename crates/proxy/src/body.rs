//! From the body of a tool call to the bytes that are sent.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use strongroom_model::call::Body;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::json;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The bytes of `body`. Adds a `content-type` to `headers` where a JSON value has none.
///
/// # Errors
///
/// `invalid_request`: JSON that two parsers may read differently, a form of anything but scalars, or
/// of more than `cap` bytes.
pub(crate) fn bytes(
    body: Body,
    headers: &mut Vec<(String, String)>,
    cap: usize,
) -> Result<Vec<u8>, Refusal> {
    let content_type = content_type(headers);
    let is_form = content_type.as_deref() == Some(FORM);
    Ok(match body {
        Body::Empty => Vec::new(),
        Body::Text(text) => text.into_bytes(),
        Body::Bytes(bytes) => bytes,
        Body::Json(text) => {
            check_json(&text)?;
            if is_form {
                form(&text, cap)?.into_bytes()
            } else {
                if content_type.is_none() {
                    headers.push(("content-type".into(), JSON.into()));
                }
                text.into_bytes()
            }
        }
    })
}

/// The media type of the agent's `content-type`, lower case, without parameters.
fn content_type(headers: &[(String, String)]) -> Option<String> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Levels of a JSON body.
const DEPTH: usize = 128;

/// Refuses what is not JSON (RFC 8259), nests too deep, or names a member twice: of two such members
/// one parser takes the first and another the last (PB-21).
fn check_json(text: &str) -> Result<(), Refusal> {
    json::check(text.as_bytes(), DEPTH)
        .map(drop)
        .map_err(|_| invalid("the JSON body is malformed, nests too deep, or names a member twice"))
}

/// An object of scalars as a form; a list repeats its name.
///
/// It is written while the JSON is read and never longer than `cap`: a long name and a long list,
/// each within its bounds, would multiply.
fn form(text: &str, cap: usize) -> Result<String, Refusal> {
    let mut form = Form { text: String::new(), cap };
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(&mut form).map_err(|_| {
        invalid(
            "a form body is an object of texts, numbers, truth values and lists of these, and no \
             larger than this service allows",
        )
    })?;
    Ok(form.text)
}

struct Form {
    text: String,
    cap: usize,
}

impl Form {
    fn push<E: serde::de::Error>(&mut self, name: &str, value: &str) -> Result<(), E> {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        push_encoded(&mut self.text, name);
        self.text.push('=');
        push_encoded(&mut self.text, value);
        if self.text.len() > self.cap { Err(E::custom("too large")) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for &mut Form {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            members.next_value_seed(Member { form: self, name: &name, list: true })?;
        }
        Ok(())
    }
}

/// A value of a form, or a list of them where that is allowed.
struct Member<'a> {
    form: &'a mut Form,
    name: &'a str,
    list: bool,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar or a list of scalars")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.form.push(self.name, if value { "true" } else { "false" })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.form.push(self.name, &value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.form.push(self.name, &value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.form.push(self.name, &Value::from(value).to_string())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.form.push(self.name, value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.form.push(self.name, "")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let Self { form, name, list } = self;
        if !list {
            return Err(A::Error::custom("a list in a list"));
        }
        while values.next_element_seed(Member { form, name, list: false })?.is_some() {}
        Ok(())
    }
}

fn push_encoded(form: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                form.push(char::from(byte));
            }
            b' ' => form.push('+'),
            _ => {
                form.push('%');
                form.push(char::from(HEX[usize::from(byte >> 4)]));
                form.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

fn invalid(text: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 1 << 20;

    fn sent(body: Body, content_type: Option<&str>) -> Result<(String, Option<String>), Code> {
        let mut headers: Vec<_> =
            content_type.map(|value| ("Content-Type".into(), value.into())).into_iter().collect();
        let bytes = bytes(body, &mut headers, CAP).map_err(|refusal| refusal.code)?;
        let content_type = headers.pop().map(|(_, value)| value);
        Ok((String::from_utf8(bytes).unwrap(), content_type))
    }

    #[test]
    fn json_goes_out_byte_for_byte_and_says_what_it_is() {
        let text = "{ \"b\": 1.0, \"a\": [1e3, null, \"\\u00e9\"] }";
        assert_eq!(
            sent(Body::Json(text.into()), None),
            Ok((text.into(), Some("application/json".into())))
        );
        assert_eq!(
            sent(Body::Json(text.into()), Some("application/vnd.api+json")),
            Ok((text.into(), Some("application/vnd.api+json".into())))
        );
    }

    #[test]
    fn text_goes_out_as_it_is() {
        assert_eq!(sent(Body::Text("{{".into()), None), Ok(("{{".into(), None)));
    }

    // PB-21
    #[test]
    fn json_that_two_parsers_may_read_differently_is_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in [
            "{\"a\":1,\"a\":2}",
            "[{\"x\":{\"a\":1,\"\\u0061\":2}}]",
            "\u{feff}{}",
            "{a:1}",
            "{} {}",
            "",
            &deep,
        ] {
            assert_eq!(sent(Body::Json(text.into()), None), Err(Code::InvalidRequest), "{text}");
        }
        assert!(sent(Body::Json("{\"a\":1,\"A\":{\"a\":2}}".into()), None).is_ok());
    }

    #[test]
    fn a_json_object_becomes_a_form_where_the_content_type_says_so() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let body = "{\"a\":\"x y&z\",\"b\":[1,true],\"c\":null,\"é\":\"~\"}";
        let (text, _) = sent(Body::Json(body.into()), Some(form)).unwrap();
        assert_eq!(text, "a=x+y%26z&b=1&b=true&c=&%C3%A9=%7E");
        for nested in ["{\"a\":{\"b\":1}}", "[1]", "{\"a\":[[1]]}"] {
            assert_eq!(sent(Body::Json(nested.into()), Some(form)), Err(Code::InvalidRequest));
        }
    }

    #[test]
    fn a_form_that_grows_beyond_the_cap_is_refused_before_it_does() {
        // A list repeats its name: half a megabyte of each would make a form of 100 GB.
        let form = "application/x-www-form-urlencoded";
        let name = "n".repeat(CAP / 2);
        let body = format!("{{\"{name}\":[1{}]}}", ",1".repeat(CAP / 5));
        assert!(body.len() <= CAP);
        assert_eq!(sent(Body::Json(body), Some(form)), Err(Code::InvalidRequest));
        let body = format!("{{\"{name}\":[1]}}");
        assert_eq!(sent(Body::Json(body), Some(form)).unwrap().0, format!("{name}=1"));
    }
}
