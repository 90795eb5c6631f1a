//! Where in a body a value stands: `amount`, `customer.address.country`, `items[*].price`.

use std::fmt;

use super::test::Found;
use crate::json::Json;

/// A way from the outside of a body to values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) steps: Vec<Step>,
}

/// One step inwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The member of an object.
    Name(Box<str>),
    /// An element of a list, counted from 0.
    Index(usize),
    /// Every element of a list.
    Each,
}

impl Field {
    /// Tells `each` of all that stands there.
    pub(super) fn visit<'j>(&self, json: &'j Json<'j>, each: &mut dyn FnMut(Found<'j>)) {
        visit(json, &self.steps, each);
    }
}

fn visit<'j>(json: &'j Json<'j>, steps: &[Step], each: &mut dyn FnMut(Found<'j>)) {
    let Some((step, rest)) = steps.split_first() else { return each(Found::Json(json)) };
    match (step, json) {
        (Step::Name(name), Json::Object(object)) => {
            let mut exact = None;
            for (is_exact, value) in object.like(name) {
                if is_exact {
                    exact = Some(value);
                } else {
                    each(Found::Unclear);
                }
            }
            match exact {
                Some(value) => visit(value, rest, each),
                None => each(Found::Absent),
            }
        }
        (Step::Index(index), Json::List(items)) => match items.get(*index) {
            Some(item) => visit(item, rest, each),
            None => each(Found::Absent),
        },
        (Step::Each, Json::List(items)) if items.is_empty() => each(Found::Absent),
        (Step::Each, Json::List(items)) => items.iter().for_each(|item| visit(item, rest, each)),
        _ => each(Found::Unclear),
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Name(name) => {
                    let dot = if at == 0 { "" } else { "." };
                    if super::expression::is_bare_name(name) {
                        write!(f, "{dot}{name}")?;
                    } else {
                        write!(f, "{dot}{}", serde_json::Value::from(&**name))?;
                    }
                }
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Each => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}
