//! The fields of a credential.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use strongroom_model::secret::Secret;
use strongroom_model::team::{FieldError, is_label};

use crate::team::TeamError;

/// The fields of a credential and their values: a JSON object, kept byte for byte as it was given.
#[derive(Debug)]
pub struct CredentialValues(Secret);

/// Bytes of a credential.
const LARGEST: usize = 64 * 1024;

impl CredentialValues {
    /// Checks `json`: an object with a field or more, each of which is named once and by a name.
    pub fn new(json: Secret) -> Result<Self, FieldError> {
        let problem = |problem| FieldError::new("credentials", problem);
        if json.len() > LARGEST {
            return Err(problem("has at most 64 KiB"));
        }
        let names = names(&json).map_err(|_| {
            problem("is an object of fields and values, in which no field stands twice")
        })?;
        if names.is_empty() {
            return Err(problem("has a field or more"));
        }
        if names.iter().all(|name| is_label(name)) {
            Ok(Self(json))
        } else {
            Err(problem("has fields whose names have 1 to 64 letters, digits, `.`, `_` and `-`"))
        }
    }

    /// What was sealed once was checked before.
    pub(super) fn of_store(json: Secret) -> Result<Self, TeamError> {
        Self::new(json).map_err(|_| TeamError::damaged("the fields of a credential"))
    }

    /// The object.
    pub fn json(&self) -> &Secret {
        &self.0
    }

    /// The names of the fields.
    pub fn names(&self) -> BTreeSet<String> {
        names(&self.0).unwrap_or_default()
    }

    /// The value of a field: a text without its quotes, everything else as it is written.
    pub fn field(&self, name: &str) -> Option<Secret> {
        let mut found = None;
        visit(&self.0, &mut |field, value| {
            if field == name {
                found = secret_of(value);
            }
        })
        .ok()?;
        found
    }
}

fn names(json: &Secret) -> Result<BTreeSet<String>, serde_json::Error> {
    let mut names = BTreeSet::new();
    let mut twice = false;
    visit(json, &mut |name, _| twice |= !names.insert(name.to_owned()))?;
    if twice { Err(serde_json::Error::custom("a field stands twice")) } else { Ok(names) }
}

/// A text becomes the one copy of itself.
fn secret_of(value: &RawValue) -> Option<Secret> {
    let text = value.get();
    if !text.starts_with('"') {
        return Some(Secret::new(text.as_bytes().to_vec()));
    }
    let text: String = serde_json::from_str(text).ok()?;
    Some(Secret::new(text.into_bytes()))
}

/// Goes through the fields. Values stay where they are.
fn visit(json: &Secret, see: &mut dyn FnMut(&str, &RawValue)) -> Result<(), serde_json::Error> {
    struct Fields<'a>(&'a mut dyn FnMut(&str, &RawValue));
    impl<'de> Visitor<'de> for Fields<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(name) = map.next_key::<String>()? {
                let value: &RawValue = map.next_value()?;
                // What is no well-formed value is found here, and not when somebody wants it.
                serde_json::from_str::<IgnoredAny>(value.get()).map_err(A::Error::custom)?;
                (self.0)(&name, value);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(json.expose());
    reader.deserialize_map(Fields(see))?;
    reader.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Result<CredentialValues, FieldError> {
        CredentialValues::new(Secret::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_credential_is_an_object_whose_fields_have_names() {
        let all = values(r#" {"api_key": "a\n\u00e9", "n": 12.50, "o": {"x":["y"]}, "z": null}"#);
        let all = all.unwrap();
        assert_eq!(all.names().into_iter().collect::<Vec<_>>(), ["api_key", "n", "o", "z"]);
        for (name, value) in
            [("api_key", "a\né"), ("n", "12.50"), ("o", r#"{"x":["y"]}"#), ("z", "null")]
        {
            assert_eq!(all.field(name).unwrap().expose(), value.as_bytes(), "{name}");
        }
        assert!(all.field("none").is_none());
        assert_eq!(format!("{all:?}"), "CredentialValues(Secret(..))");
    }

    #[test]
    fn what_is_no_such_object_is_refused_without_being_repeated() {
        let large = format!(r#"{{"a":"{}"}}"#, "canary".repeat(11_000));
        for text in [
            "",
            "canary",
            "\"canary\"",
            "[\"canary\"]",
            "{}",
            r#"{"a":"canary""#,
            r#"{"a":"canary"} x"#,
            r#"{"a":canary}"#,
            r#"{"a":"canary","a":"canary"}"#,
            r#"{"a":"canary","\u0061":"canary"}"#,
            r#"{"":"canary"}"#,
            r#"{"a b":"canary"}"#,
            r#"{"é":"canary"}"#,
            &large,
        ] {
            let error = values(text).unwrap_err();
            assert_eq!(error.field, "credentials", "{text}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
