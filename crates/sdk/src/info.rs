//! What a server's author writes about the secrets that the server needs.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use strongroom_model::form::{Field, FieldType, Form, FormError};
use strongroom_model::json;

use crate::error::Error;
use crate::names::SecretName;

/// The secrets to ask for, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsInfo(Vec<Field>);

/// An object of objects.
const DEPTH: usize = 3;

impl SecretsInfo {
    /// Reads a JSON object of names and what is known about each: `label`, `field_type` (`text`,
    /// `password`, `url`, `email`), `required`, `default`, `placeholder`, `help_text`. All of them may
    /// be missing or null.
    ///
    /// # Errors
    ///
    /// Everything else; nothing of it is quoted.
    pub fn read(json: &[u8]) -> Result<Self, Error> {
        let unreadable = |_| Error::Infos("they are no object of objects".to_owned());
        let text = json::check(json, DEPTH).map_err(|flaw| Error::Infos(flaw.to_string()))?;
        let Pairs(pairs) = serde_json::from_str(text).map_err(unreadable)?;
        let mut fields = Vec::with_capacity(pairs.len());
        for (number, (name, raw)) in (1..).zip(pairs) {
            let raw: Raw = serde_json::from_value(raw).map_err(|_| {
                Error::Infos(format!(
                    "secret {number} has a key that is not known, or a value of another type"
                ))
            })?;
            SecretName::parse(&name)?;
            fields.push(raw.field(name));
        }
        let info = Self(fields);
        // The same judge as the window's.
        match info.form("t", "", &info.names()).check() {
            Ok(()) => Ok(info),
            Err(error) => Err(of_form(error)),
        }
    }

    /// The names.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|field| field.name.as_str()).collect()
    }

    /// The question for `names` alone.
    pub(crate) fn form(&self, title: &str, description: &str, names: &[&str]) -> Form {
        let asked = |field: &&Field| names.contains(&field.name.as_str());
        Form {
            title: title.to_owned(),
            description: description.to_owned(),
            fields: self.0.iter().filter(asked).cloned().collect(),
            ..Form::default()
        }
    }
}

fn of_form(error: FormError) -> Error {
    match error {
        FormError::NoFields => Error::Infos("they name no secret".to_owned()),
        FormError::Reserved(_) => Error::Reserved,
        other => Error::Infos(other.to_string()),
    }
}

/// The pairs of an object in the order in which they stand there.
struct Pairs(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    label: Option<String>,
    field_type: Option<RawType>,
    required: Option<bool>,
    default: Option<String>,
    placeholder: Option<String>,
    help_text: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawType {
    Text,
    Password,
    Url,
    Email,
}

impl Raw {
    fn field(self, name: String) -> Field {
        Field {
            name,
            label: self.label.unwrap_or_default(),
            field_type: self.field_type.map_or(FieldType::Text, |of| match of {
                RawType::Text => FieldType::Text,
                RawType::Password => FieldType::Password,
                RawType::Url => FieldType::Url,
                RawType::Email => FieldType::Email,
            }),
            required: self.required.unwrap_or_default(),
            default: self.default.unwrap_or_default(),
            placeholder: self.placeholder.unwrap_or_default(),
            help_text: self.help_text.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SecretsInfo, Error> {
        SecretsInfo::read(text.as_bytes())
    }

    #[test]
    fn the_names_keep_their_order_and_the_form_has_those_that_are_asked_for() {
        let info = read(
            r#"{"username": {"label": "Username", "required": true},
                "password": {"field_type": "password", "help_text": null},
                "endpoint": {"field_type": "url", "default": "https://api.example.com"}}"#,
        )
        .unwrap();
        assert_eq!(info.names(), ["username", "password", "endpoint"]);
        let form = info.form("T", "D", &["endpoint", "username"]);
        let names: Vec<&str> = form.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["username", "endpoint"]);
        assert!(form.fields[0].required && !form.fields[1].required);
        assert_eq!(form.fields[1].default, "https://api.example.com");
    }

    #[test]
    fn what_is_not_a_description_of_secrets_is_refused_and_not_quoted() {
        let many: Vec<String> = (0..51).map(|n| format!(r#""n{n}": {{}}"#)).collect();
        let large = format!(r#"{{"a": {{"label": "{}"}}}}"#, "x".repeat(1 << 20));
        for (text, code) in [
            ("[]", "invalid_secrets_info"),
            ("{}", "invalid_secrets_info"),
            ("{\"a\": 1}", "invalid_secrets_info"),
            ("canary", "invalid_secrets_info"),
            (r#"{"a": {"canary": 1}}"#, "invalid_secrets_info"),
            (r#"{"a": {"field_type": "canary"}}"#, "invalid_secrets_info"),
            (r#"{"a": {"required": "canary"}}"#, "invalid_secrets_info"),
            (r#"{"a": {}, "a": {}}"#, "invalid_secrets_info"),
            (r#"{"a": {}, "A": {}}"#, "invalid_secrets_info"),
            (r#"{"a": {"field_type": "password", "default": "canary"}}"#, "invalid_secrets_info"),
            (&format!("{{{}}}", many.join(",")), "invalid_secrets_info"),
            (&large, "invalid_secrets_info"),
            (r#"{"": {}}"#, "invalid_name"),
            (r#"{"canary\n": {}}"#, "invalid_name"),
            (r#"{"__secret_index__": {}}"#, "reserved_name"),
            (r#"{"__proto__": {}}"#, "reserved_name"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.code(), code, "{text:.60}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{text:.60}");
        }
    }
}
