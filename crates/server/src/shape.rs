//! The shapes of bodies, queries and answers: one table that requests are checked against and that the
//! `OpenAPI` document is made of, so that the two cannot differ.
//!
//! What passes has exactly the fields of its shape, each of its kind and within its bounds. Errors name
//! the field and never its value.

mod read;

pub(crate) use read::{Input, query};
use strongroom_model::json::Json;

use crate::problem::Problem;

/// The members of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// In the order in which they are written.
    pub(crate) fields: &'static [Field],
    /// Which of them go together; one of the alternatives holds. None: any of them.
    pub(crate) one_of: &'static [Alternative],
}

/// One member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    /// What it means, for the document.
    pub(crate) about: &'static str,
}

/// Whether a member has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
    /// Required, and may be `null`. Answers only.
    Nullable,
    /// May be absent, and may be `null`. Answers only.
    Perhaps,
}

impl Need {
    /// Whether it has to be there.
    pub(crate) fn is_due(self) -> bool {
        matches!(self, Self::Required | Self::Nullable)
    }

    /// Whether it may be `null`.
    pub(crate) fn may_be_null(self) -> bool {
        matches!(self, Self::Nullable | Self::Perhaps)
    }
}

/// Fields that are there together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alternative {
    pub(crate) with: &'static [&'static str],
    pub(crate) without: &'static [&'static str],
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text(Text),
    Flag,
    Number {
        least: u64,
        most: u64,
    },
    OneOf(&'static [&'static str]),
    List {
        item: &'static Kind,
        least: usize,
        most: usize,
    },
    Map {
        name: Text,
        value: &'static Kind,
        least: usize,
        most: usize,
    },
    Object(&'static Shape),
    /// Any JSON.
    Any,
}

/// A text and its bounds, in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) form: Form,
}

/// What characters a text has, said three times: for the document, for the check, for a person. A test
/// holds them together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// No NUL.
    NoNul,
    /// No control characters.
    Line,
    /// A rule about tools; no control characters.
    Rule,
    /// Printable ASCII, and spaces.
    Printable,
    /// No control characters, no space at either end.
    Name,
    /// Letters, digits, `.`, `_` and `-`.
    Label,
    /// The same with a `.` at its end and no other place of it at the beginning.
    Prefix,
    /// Lower-case letters, digits and `-`, which is at neither end.
    Word,
    /// The name of a header (RFC 9110 §5.1).
    Token,
    /// The name of an environment variable, or of a header that could nearly be one.
    Place,
    /// An address: what else it has to be is looked at elsewhere.
    Url,
    /// A random UUID in lower case.
    Uuid,
    /// The public id of a key.
    KeyId,
    /// A SHA-256 in lower-case hexadecimal digits.
    Digest,
    /// RFC 3339 in UTC.
    Time,
}

impl Shape {
    /// A shape with no fields.
    pub(crate) const EMPTY: Self = Self::of(&[]);

    /// A shape whose fields do not depend on each other.
    pub(crate) const fn of(fields: &'static [Field]) -> Self {
        Self { fields, one_of: &[] }
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Alternative {
    fn says(&self) -> String {
        match self.with {
            [] => "neither".to_owned(),
            with => format!("`{}`", with.join("` with `")),
        }
    }
}

impl Field {
    pub(crate) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, need: Need::Required, about }
    }

    pub(crate) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, need: Need::Optional, about }
    }

    /// The same, and it may be absent.
    pub(crate) const fn optionally(self) -> Self {
        Self { need: Need::Optional, ..self }
    }

    /// The same, and it may be absent or `null`.
    pub(crate) const fn perhaps(self) -> Self {
        Self { need: Need::Perhaps, ..self }
    }

    /// The same, and it has to be there.
    pub(crate) const fn always(self) -> Self {
        Self { need: Need::Required, ..self }
    }

    pub(crate) const fn nullable(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, need: Need::Nullable, about }
    }
}

impl Kind {
    pub(crate) const UUID: Self = Self::text(36, 36, Form::Uuid);
    pub(crate) const KEY_ID: Self = Self::text(16, 16, Form::KeyId);
    pub(crate) const TIME: Self = Self::text(20, 30, Form::Time);
    pub(crate) const NAME: Self = Self::text(1, 200, Form::Name);
    pub(crate) const LABEL: Self = Self::text(1, 64, Form::Label);
    pub(crate) const SENTENCE: Self = Self::text(0, 1000, Form::Line);

    pub(crate) const fn text(least: usize, most: usize, form: Form) -> Self {
        Self::Text(Text { least, most, form })
    }

    /// Whether `json` is one. `name` is what an error calls it.
    fn check(&self, name: &str, json: &Json<'_>) -> Result<(), Problem> {
        let wrong = |what: &str| Err(Problem::field(name, format!("`{name}` {what}")));
        match (self, json) {
            (Self::Any, _) | (Self::Flag, Json::Flag(_)) => Ok(()),
            (Self::Text(text), Json::Text(value)) => text.check(name, value),
            (Self::Number { least, most }, Json::Number(digits)) => match read::whole(digits) {
                Some(number) if (*least..=*most).contains(&number) => Ok(()),
                _ => wrong(&format!("is a whole number from {least} to {most}")),
            },
            (Self::OneOf(values), Json::Text(value)) if values.contains(&&**value) => Ok(()),
            (Self::List { item, least, most }, Json::List(items)) => {
                if !(*least..=*most).contains(&items.len()) {
                    return wrong(&format!("has {least} to {most} entries"));
                }
                items.iter().try_for_each(|value| item.check(name, value))
            }
            (Self::Map { name: text, value, least, most }, Json::Object(object)) => {
                if !(*least..=*most).contains(&object.iter().count()) {
                    return wrong(&format!("has {least} to {most} entries"));
                }
                object.iter().try_for_each(|(key, json)| {
                    text.check(name, key)?;
                    value.check(name, json)
                })
            }
            (Self::Object(shape), Json::Object(object)) => shape.check(Some(name), object.iter()),
            _ => wrong(&format!("is {}", self.says())),
        }
    }

    fn says(&self) -> String {
        match self {
            Self::Text(_) => "a text".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Number { least, most } => format!("a whole number from {least} to {most}"),
            Self::OneOf(values) => format!("one of `{}`", values.join("`, `")),
            Self::List { .. } => "a list".to_owned(),
            Self::Map { .. } | Self::Object(_) => "an object".to_owned(),
            Self::Any => "any value".to_owned(),
        }
    }
}

impl Text {
    fn check(&self, name: &str, value: &str) -> Result<(), Problem> {
        let length = value.chars().count();
        if !(self.least..=self.most).contains(&length) {
            let bounds = if self.least == self.most {
                format!("`{name}` has {} characters", self.least)
            } else {
                format!("`{name}` has {} to {} characters", self.least, self.most)
            };
            return Err(Problem::field(name, bounds));
        }
        if !self.form.allows(value) {
            return Err(Problem::field(name, format!("`{name}` {}", self.form.says())));
        }
        Ok(())
    }
}

impl Form {
    /// The pattern in the dialect of JSON Schema (ECMA-262).
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::NoNul => r"^[^\u0000]*$",
            Self::Line => r"^[^\u0000-\u001f\u007f-\u009f]*$",
            Self::Printable => "^[ -~]*$",
            Self::Token => "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
            Self::Place => "^[A-Za-z_][A-Za-z0-9_-]*$",
            Self::Url => concat!(
                r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])",
                "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
                "(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$"
            ),
            Self::Rule => concat!(
                r"^(allow|ask|deny) [A-Za-z0-9_.*-]{1,64}(\|[A-Za-z0-9_.*-]{1,64})*",
                "( where [A-Za-z_]{1,32} (<|<=|>|>=) (0|[1-9][0-9]{0,8})( and [A-Za-z_]{1,32} (<|<=|>|>=) (0|[1-9][0-9]{0,8}))*)?$"
            ),
            Self::Name => {
                r"^[^\s\u0000-\u001f\u007f-\u009f\u0085]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$"
            }
            Self::Word => "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            Self::Label => "^[A-Za-z0-9][A-Za-z0-9._-]*$",
            Self::Prefix => r"^[A-Za-z0-9][A-Za-z0-9._-]*\.$",
            Self::Uuid => "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
            Self::KeyId => "^[0-9a-f]{16}$",
            Self::Digest => "^[0-9a-f]{64}$",
            Self::Time => r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$",
        }
    }

    fn allows(self, text: &str) -> bool {
        let label = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match self {
            Self::NoNul => !text.contains('\0'),
            Self::Printable => text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            Self::Token => text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)),
            Self::Place => {
                text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            }
            Self::Url => {
                let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
                rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_graphic()))
            }
            // What it means is judged where it is read: conditions may say more than the pattern does.
            Self::Line | Self::Rule => !text.chars().any(char::is_control),
            Self::Name => !text.chars().any(char::is_control) && text.trim() == text,
            Self::Label => {
                text.chars().all(label) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            }
            Self::Word => text.parse::<strongroom_model::principal::Name>().is_ok(),
            Self::Prefix => text.ends_with('.') && text.len() > 1 && Self::Label.allows(text),
            Self::Uuid => text.parse::<strongroom_model::team::TenantId>().is_ok(),
            Self::KeyId => text.parse::<strongroom_model::team::KeyId>().is_ok(),
            Self::Digest => strongroom_model::pin::DefinitionHash::parse(text).is_some(),
            Self::Time => crate::when::read(text).is_some(),
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::NoNul => "has no NUL",
            Self::Printable => "has printable ASCII only",
            Self::Token => "has names of headers",
            Self::Place => "has names of environment variables, or of headers",
            Self::Url => "is an address, `https://HOST[:PORT][/PATH]`",
            Self::Line => "has no control characters",
            Self::Rule => "is a rule, such as `allow get_*` or `ask pay where amount > 100`",
            Self::Name => "has no control characters and no space at its ends",
            Self::Label => {
                "has letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"
            }
            Self::Prefix => "has letters, digits, `.`, `_` and `-`, and ends with `.`",
            Self::Word => "has lower-case letters, digits and `-`, which is at neither end",
            Self::Uuid => "is a random UUID in lower case",
            Self::KeyId => "has 16 hexadecimal digits in lower case",
            Self::Digest => "has 64 hexadecimal digits in lower case",
            Self::Time => "is a time in UTC, as in `2026-11-21T10:00:00Z`",
        }
    }
}

impl Shape {
    /// Whether `json` may stand in the field `name`.
    pub(crate) fn fits(&self, name: &str, json: &Json<'_>) -> bool {
        self.field(name).is_some_and(|field| field.kind.check(name, json).is_ok())
    }

    /// Whether `members` are those of the shape. `within` is the field whose value they are.
    pub(crate) fn check<'a, 'b: 'a>(
        &self,
        within: Option<&str>,
        members: impl Iterator<Item = (&'a str, &'a Json<'b>)>,
    ) -> Result<(), Problem> {
        let members: Vec<_> = members.collect();
        let path = |name: &str| match within {
            Some(within) => format!("{within}.{name}"),
            None => name.to_owned(),
        };
        for &(name, json) in &members {
            let Some(field) = self.field(name) else {
                let name = path(&strongroom_model::display::escape_line(name, 64).0);
                let message = format!("there is no field `{name}` here");
                return Err(Problem::field(name, message));
            };
            if field.need.may_be_null() && *json == Json::Null {
                continue;
            }
            field.kind.check(&path(name), json)?;
        }
        let has = |name: &str| members.iter().any(|(member, _)| *member == name);
        for field in self.fields {
            if field.need.is_due() && !has(field.name) {
                let name = path(field.name);
                let message = format!("`{name}` is missing");
                return Err(Problem::field(name, message));
            }
        }
        let holds = |alternative: &Alternative| {
            alternative.with.iter().all(|name| has(name))
                && !alternative.without.iter().any(|name| has(name))
        };
        if !self.one_of.is_empty() && !self.one_of.iter().any(holds) {
            let ways: Vec<_> = self.one_of.iter().map(Alternative::says).collect();
            return Err(Problem::invalid(format!("send either {}", ways.join(" or "))));
        }
        Ok(())
    }
}
