//! What was typed, and what is wrong with it.

use strongroom_model::form::{Form, Wrong};
use zeroize::Zeroizing;

/// What was typed into one field: wiped when it goes, and shown by nothing.
pub(crate) struct Typed(Zeroizing<String>);

impl Typed {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Typed {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// The most characters that a field of the desktop takes; what is longer is cut by it without a word.
pub(crate) const LONGEST: usize = 65_535;

/// The fields that cannot be taken as they are, by their place, and why. The first is where the person
/// goes on.
pub(crate) fn mistakes(form: &Form, typed: &[Typed]) -> Vec<(usize, Wrong)> {
    let judged = form.fields.iter().zip(typed).enumerate();
    judged.filter_map(|(at, (field, typed))| Some((at, wrong(field, typed)?))).collect()
}

fn wrong(field: &strongroom_model::form::Field, typed: &Typed) -> Option<Wrong> {
    // A full field may have lost its end.
    if typed.as_str().chars().count() >= LONGEST {
        return Some(Wrong::TooLong);
    }
    field.check(typed.as_str()).err()
}

#[cfg(test)]
mod tests {
    use strongroom_model::form::{Field, FieldType};

    use super::*;

    fn form() -> Form {
        let field = |name: &str, field_type, required| Field {
            name: name.to_owned(),
            field_type,
            required,
            ..Field::default()
        };
        Form {
            title: "T".into(),
            fields: vec![
                field("a", FieldType::Text, false),
                field("b", FieldType::Password, true),
                field("c", FieldType::Url, false),
                field("d", FieldType::Email, true),
            ],
            ..Form::default()
        }
    }

    fn judged(texts: [&str; 4]) -> Vec<(usize, Wrong)> {
        mistakes(&form(), &texts.map(|text| Typed::from(text.to_owned())))
    }

    #[test]
    fn every_field_that_cannot_be_taken_is_named_with_its_reason() {
        assert_eq!(
            judged(["", "", "x", "y"]),
            [(1, Wrong::Missing), (2, Wrong::Url), (3, Wrong::Email)]
        );
        assert_eq!(judged(["", "p", "", ""]), [(3, Wrong::Missing)]);
        assert_eq!(judged(["", "p", "https://a.b", "a@b.c"]), []);
    }

    #[test]
    fn what_may_have_lost_its_end_is_not_taken() {
        let long = "x".repeat(LONGEST);
        assert_eq!(judged(["", &long, "", "a@b.c"]), [(1, Wrong::TooLong)]);
        assert_eq!(judged(["", &long[1..], "", "a@b.c"]), []);
    }
}
