//! What a variable is made of: text, and secrets by `{{field}}`.

use crate::injection::Credential;
use crate::secret::Secret;

/// Text with `{{field}}` in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

/// A part of a [`Value`], with its secret.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Itself.
    Text(&'a str),
    /// A secret.
    Secret(&'a Secret),
}

/// A text that is not one. The text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// `{{` without `}}`.
    #[error("a `{{{{` has no `}}}}` behind it")]
    Open,
    /// `{{x}}` where there is no secret `x`.
    #[error("a `{{{{...}}}}` names no field of `secrets`")]
    NoField,
    /// `{{credential}}` where there is more than one secret, or none.
    #[error("`{{{{credential}}}}` stands for the only secret, and there is not exactly one")]
    NotOne,
    /// A byte that no variable can hold.
    #[error("there is a NUL in it")]
    Nul,
}

/// What stands for the secret where a service has one only.
const ONLY: &str = "credential";

impl Value {
    /// Reads `text`. `fields` are the names of the service's secrets.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Self, ValueError> {
        if text.contains('\0') {
            return Err(ValueError::Nul);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (field, after) = after.split_once("}}").ok_or(ValueError::Open)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(named(field.trim(), fields)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The fields in it.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Field(field) => Some(&**field),
            Part::Text(_) => None,
        })
    }

    /// Its pieces, with the secrets of `credential`; `None` where one is missing.
    pub fn pieces<'a>(&'a self, credential: &'a Credential) -> Option<Vec<Piece<'a>>> {
        let piece = |part: &'a Part| match part {
            Part::Text(text) => Some(Piece::Text(text)),
            Part::Field(field) => credential.get(field).map(Piece::Secret),
        };
        self.0.iter().map(piece).collect()
    }
}

fn named(field: &str, fields: &[&str]) -> Result<String, ValueError> {
    match fields {
        _ if fields.contains(&field) => Ok(field.to_owned()),
        [only] if field == ONLY => Ok((*only).to_owned()),
        _ if field == ONLY => Err(ValueError::NotOne),
        _ => Err(ValueError::NoField),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn fields_stand_between_braces_and_all_else_is_itself() {
        let value = Value::parse("a{{token}}b{{ user }}", &["token", "user"]).unwrap();
        assert_eq!(value.fields().collect::<Vec<_>>(), ["token", "user"]);
        let secret = |text: &str| Arc::new(Secret::new(text.as_bytes().to_vec()));
        let fields = vec![("token".to_owned(), secret("T")), ("user".to_owned(), secret("U"))];
        let credential = Credential::new(fields);
        let pieces = value.pieces(&credential).unwrap();
        let shown: Vec<&[u8]> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Secret(secret) => secret.expose(),
            })
            .collect();
        assert_eq!(shown, [b"a", b"T", b"b", b"U"]);
        assert!(value.pieces(&Credential::default()).is_none());
        assert_eq!(Value::parse("{x} }}", &[]).unwrap().fields().count(), 0);
    }

    #[test]
    fn the_only_secret_has_a_second_name() {
        let value = Value::parse("{{credential}}", &["token"]).unwrap();
        assert_eq!(value.fields().collect::<Vec<_>>(), ["token"]);
        assert_eq!(Value::parse("{{credential}}", &["a", "b"]), Err(ValueError::NotOne));
        assert_eq!(Value::parse("{{credential}}", &[]), Err(ValueError::NotOne));
    }

    #[test]
    fn a_mistake_is_an_error_that_does_not_repeat_it() {
        for (text, error) in [
            ("{{canary", ValueError::Open),
            ("{{canary}}", ValueError::NoField),
            ("{{}}", ValueError::NoField),
            ("canary\0", ValueError::Nul),
        ] {
            let found = Value::parse(text, &["token"]).unwrap_err();
            assert_eq!(found, error);
            assert!(!found.to_string().contains("canary"));
        }
    }
}
