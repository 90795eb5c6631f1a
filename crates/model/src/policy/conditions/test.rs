//! What is asked of one value: `<= 5000`, `in [eur, usd]`, `like *@acme.com`, `exists`.

use std::cmp::Ordering;
use std::fmt;

use super::decimal::Decimal;
use super::glob::Glob;
use super::truth::Truth;
use crate::json::Json;

/// A question about the values of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// `==` and `in`; with `not`, `!=` and `not in`.
    OneOf { not: bool, list: bool, literals: Vec<Literal> },
    /// `<`, `<=`, `>`, `>=`: of numbers.
    Order { order: Order, number: Box<str> },
    /// `like`, `not like`: of texts.
    Like { not: bool, glob: Glob },
    /// It is there.
    Exists,
    /// It is not.
    Absent,
}

/// A value that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    Flag(bool),
    /// In the grammar of JSON.
    Number(Box<str>),
    Text(Box<str>),
}

/// How two numbers should compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a request has in one place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// A typed value.
    Json(&'a Json<'a>),
    /// A value of a query or a form: everything is a text there.
    Text(&'a str),
    /// Nothing.
    Absent,
    /// Something that one reader takes for the field and another does not.
    Unclear,
}

impl Test {
    /// Whether `found` meets it. A value of another type than is asked for cannot be judged, and
    /// neither can the absence of one that should not be equal to something: what the other side puts
    /// in its place is not known.
    pub(super) fn judge(&self, found: Found<'_>) -> Truth {
        match (self, found) {
            (_, Found::Unclear)
            | (Self::Exists | Self::Absent, Found::Json(Json::Null))
            | (Self::OneOf { not: true, .. } | Self::Like { not: true, .. }, Found::Absent) => {
                Truth::Maybe
            }
            (Self::Exists, Found::Absent) | (Self::Absent, Found::Json(_) | Found::Text(_)) => {
                Truth::No
            }
            (Self::Exists, Found::Json(_) | Found::Text(_)) | (Self::Absent, Found::Absent) => {
                Truth::Yes
            }
            (_, Found::Absent) => Truth::No,
            (Self::OneOf { not, literals, .. }, _) => {
                let equal = literals.iter().map(|literal| literal.equals(found)).max();
                equal.unwrap_or(Truth::No).negated_if(*not)
            }
            (Self::Order { order, number }, _) => {
                compare(found, number).map_or(Truth::Maybe, |(exact, is_so_in_doubles)| {
                    // What a reader of doubles takes for equal may be either to him.
                    let ours = order.holds(exact);
                    if is_so_in_doubles || ours == order.holds(Ordering::Equal) {
                        Truth::of(ours)
                    } else {
                        Truth::Maybe
                    }
                })
            }
            (Self::Like { not, glob }, _) => match text(found) {
                Some(text) => Truth::of(glob.matches(text)).negated_if(*not),
                None => Truth::Maybe,
            },
        }
    }
}

impl Literal {
    fn equals(&self, found: Found<'_>) -> Truth {
        match (self, found) {
            (Self::Null, Found::Json(Json::Null)) => Truth::Yes,
            (Self::Flag(ours), Found::Json(Json::Flag(theirs))) => Truth::of(ours == theirs),
            (Self::Flag(ours), Found::Text(text @ ("true" | "false"))) => {
                Truth::of(*ours == (text == "true"))
            }
            (Self::Text(ours), _) => {
                text(found).map_or(Truth::Maybe, |text| Truth::of(**ours == *text))
            }
            (Self::Number(number), _) => match compare(found, number) {
                Some((Ordering::Equal, _)) => Truth::Yes,
                Some((_, true)) => Truth::No,
                // Not equal, but the same double.
                Some((_, false)) | None => Truth::Maybe,
            },
            _ => Truth::Maybe,
        }
    }
}

impl Order {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

fn text(found: Found<'_>) -> Option<&str> {
    match found {
        Found::Json(Json::Text(text)) => Some(text),
        Found::Text(text) => Some(text),
        _ => None,
    }
}

fn compare(found: Found<'_>, number: &str) -> Option<(Ordering, bool)> {
    let value = match found {
        Found::Json(Json::Number(text)) => Decimal::read(text),
        Found::Text(text) => Decimal::read_plain(text),
        _ => None,
    };
    Some(value?.compare(&Decimal::read(number)?))
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf { not, list: false, literals } => {
                f.write_str(if *not { "!=" } else { "==" })?;
                literals.iter().try_for_each(|literal| write!(f, " {literal}"))
            }
            Self::OneOf { not, literals, .. } => {
                f.write_str(if *not { "not in [" } else { "in [" })?;
                for (at, literal) in literals.iter().enumerate() {
                    write!(f, "{}{literal}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Order { order, number } => write!(f, "{} {number}", order.as_str()),
            Self::Like { not, glob } => {
                let glob = glob.to_string();
                write!(f, "{}like {}", if *not { "not " } else { "" }, quoted(&glob))
            }
            Self::Exists => f.write_str("exists"),
            Self::Absent => f.write_str("absent"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) if text.contains('*') => {
                write!(f, "{}", serde_json::Value::from(&**text))
            }
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

/// A text as it may stand in a rule: in quotes where it would be read as something else.
fn quoted(text: &str) -> std::borrow::Cow<'_, str> {
    if super::expression::is_bare(text) {
        text.into()
    } else {
        serde_json::Value::from(text).to_string().into()
    }
}
