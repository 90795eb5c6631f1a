//! A question to a person: what the window program reads, what may be answered, and how untrusted text
//! is shown.
//!
//! [`Form::read`] takes the template from the wire and refuses what is not exactly a template; nothing is
//! repaired, and no error quotes what was written. [`Field::check`] judges one answer; [`Choice`] is the
//! answer to a question of consent, where only the exact words count and everything else is a no.
//! [`visible`] is how every text of a form is shown.

mod answer;
mod wire;

use std::collections::BTreeSet;

pub use answer::{Choice, Wrong};

use crate::display::DisplaySafe;
use crate::json::Flaw;

/// At most so many fields are asked for.
pub const FIELDS: usize = 50;
/// At most so many bytes are in a title, a label, a placeholder, a default or a help text.
pub const LABEL: usize = 4 * 1024;
/// At most so many bytes are in a name.
pub const NAME: usize = 256;
/// At most so many bytes are in a description.
pub const DESCRIPTION: usize = 64 * 1024;
/// At most so many bytes are in an answer.
pub const ANSWER: usize = 64 * 1024;
/// At most so many bytes are in a template: more than a good one can have, whatever is escaped in it.
pub const TEMPLATE: usize = 8 * 1024 * 1024;

/// What stands before the code in the line of a description that has one.
pub const CODE_LINE: &str = "Verification Code: ";

/// One question: fields to fill in, or a consent to give. Its text may have a code in it, which only the
/// window shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Who asks, and for whom. Never empty.
    pub title: String,
    /// What it is about; lines end with `\n`. One of them may be [`CODE_LINE`] with a code.
    pub description: String,
    /// What is to be answered.
    pub kind: Kind,
    /// What is to be filled in; none in a question of consent, else at least one.
    pub fields: Vec<Field>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|field| &field.name).collect();
        let mut form = f.debug_struct("Form");
        form.field("kind", &self.kind).field("fields", &names).finish_non_exhaustive()
    }
}

/// What is to be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The fields.
    #[default]
    Fields,
    /// A [`Choice`].
    Consent,
}

/// One thing to fill in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// The name of the answer. Unique in its form.
    pub name: String,
    /// What the person is asked for; where it is empty, the name is shown.
    pub label: String,
    /// What kind of answer it is.
    pub field_type: FieldType,
    /// Whether the form cannot be answered without it.
    pub required: bool,
    /// What is filled in already. Always empty for a password.
    pub default: String,
    /// What stands in the field while it is empty.
    pub placeholder: String,
    /// What stands below the field.
    pub help_text: String,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut field = f.debug_struct("Field");
        field
            .field("name", &self.name)
            .field("field_type", &self.field_type)
            .finish_non_exhaustive()
    }
}

/// What kind of answer a field takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldType {
    /// Anything, shown while it is typed.
    #[default]
    Text,
    /// Anything, hidden while it is typed.
    Password,
    /// An address with a scheme and a host.
    Url,
    /// An address for mail.
    Email,
}

/// Why a form is not asked. Fields are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// More than [`TEMPLATE`] bytes.
    #[error("the template is too large")]
    TooLarge,
    /// It is no JSON, or two readers could read it differently.
    #[error("the template cannot be read: {0}")]
    Json(#[from] Flaw),
    /// A key that templates do not have, one that is missing, or a value of another type.
    #[error(
        "the template has a key that templates do not have, lacks one, or has a value of another \
         type, at line {line}, column {column}"
    )]
    Shape {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// Nobody would know who asks.
    #[error("the template has no title")]
    NoTitle,
    /// The title or the description is over its limit.
    #[error("the title or the description is too long")]
    TextTooLong,
    /// Nobody would know which one to compare.
    #[error("the description has more than one verification code")]
    Codes,
    /// There is nothing to fill in.
    #[error("the template has no fields")]
    NoFields,
    /// More than [`FIELDS`].
    #[error("the template has more than 50 fields")]
    TooManyFields,
    /// A question of consent with fields.
    #[error("a question of consent has fields")]
    ConsentFields,
    /// The name is empty, too long, begins or ends with a space, or holds characters that hide.
    #[error("the name of field {0} cannot be used")]
    Name(usize),
    /// The name means something to what keeps or reads answers.
    #[error("the name of field {0} is reserved")]
    Reserved(usize),
    /// A name before it is the same, or differs in capitals only.
    #[error("the name of field {0} stands twice")]
    Duplicate(usize),
    /// A text of the field is over its limit.
    #[error("a text of field {0} is too long")]
    FieldTooLong(usize),
    /// A password that somebody else has filled in.
    #[error("field {0} is a password and has a default")]
    Default(usize),
}

impl Form {
    /// Reads the template that `bytes` are.
    ///
    /// # Errors
    ///
    /// Everything that is not exactly a template, or over a limit.
    pub fn read(bytes: &[u8]) -> Result<Self, FormError> {
        let form = wire::read(bytes)?;
        form.check()?;
        Ok(form)
    }

    /// The template as it goes over the wire. [`read`](Self::read) takes it back where
    /// [`check`](Self::check) has let it through.
    pub fn to_json(&self) -> String {
        wire::write(self)
    }

    /// Whether this may be asked. Who makes a form calls it before anything is started.
    ///
    /// # Errors
    ///
    /// The first limit or rule that it does not keep.
    pub fn check(&self) -> Result<(), FormError> {
        if self.title.trim().is_empty() {
            return Err(FormError::NoTitle);
        }
        if self.title.len() > LABEL || self.description.len() > DESCRIPTION {
            return Err(FormError::TextTooLong);
        }
        if self.description.lines().filter_map(code_of).count() > 1 {
            return Err(FormError::Codes);
        }
        match self.kind {
            Kind::Consent if !self.fields.is_empty() => return Err(FormError::ConsentFields),
            Kind::Fields if self.fields.is_empty() => return Err(FormError::NoFields),
            Kind::Consent | Kind::Fields => {}
        }
        if self.fields.len() > FIELDS {
            return Err(FormError::TooManyFields);
        }
        let mut names = BTreeSet::new();
        for (index, field) in self.fields.iter().enumerate() {
            let number = index + 1;
            field.check_itself(number)?;
            // The Credential Manager of Windows does not tell capitals apart.
            if !names.insert(field.name.to_lowercase()) {
                return Err(FormError::Duplicate(number));
            }
        }
        Ok(())
    }

    /// The verification code that a line of the description states, `XXXX-XXXX`.
    pub fn verification_code(&self) -> Option<&str> {
        self.description.lines().find_map(code_of)
    }

    /// The description as it is shown: [`visible`], and without the line of the code, which stands apart.
    pub fn shown_description(&self) -> String {
        let lines = self.description.split('\n').filter(|line| code_of(line).is_none());
        visible(lines.collect::<Vec<_>>().join("\n").trim_matches('\n'))
    }
}

impl FormError {
    /// The stable word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Json(_) => "json",
            Self::Shape { .. } => "shape",
            Self::NoTitle => "no_title",
            Self::TextTooLong => "text_too_long",
            Self::Codes => "codes",
            Self::NoFields => "no_fields",
            Self::TooManyFields => "too_many_fields",
            Self::ConsentFields => "consent_fields",
            Self::Name(_) => "name",
            Self::Reserved(_) => "reserved",
            Self::Duplicate(_) => "duplicate",
            Self::FieldTooLong(_) => "field_too_long",
            Self::Default(_) => "default",
        }
    }
}

impl Field {
    /// What the person is asked for, on one line.
    pub fn shown_label(&self) -> String {
        let label = if self.label.trim().is_empty() { &self.name } else { &self.label };
        visible_line(label)
    }

    fn check_itself(&self, number: usize) -> Result<(), FormError> {
        let name = self.name.as_str();
        if name.is_empty()
            || name.len() > NAME
            || name.trim() != name
            || DisplaySafe(name).to_string() != name
        {
            return Err(FormError::Name(number));
        }
        if is_reserved(name) {
            return Err(FormError::Reserved(number));
        }
        let texts = [&self.label, &self.default, &self.placeholder, &self.help_text];
        if texts.into_iter().any(|text| text.len() > LABEL) {
            return Err(FormError::FieldTooLong(number));
        }
        if self.field_type == FieldType::Password && !self.default.is_empty() {
            return Err(FormError::Default(number));
        }
        Ok(())
    }
}

/// `text` with everything visible that would reorder or hide what is read. Line ends stay.
pub fn visible(text: &str) -> String {
    let lines = text.split('\n').map(|line| DisplaySafe(line).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

/// As [`visible`], on one line: line ends are made visible too.
pub fn visible_line(text: &str) -> String {
    DisplaySafe(text).to_string()
}

/// Whether a name means something to what keeps or reads answers: the index of a keychain and
/// everything else that begins with two underscores, and what every object of JavaScript has.
fn is_reserved(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with("__") || matches!(name.as_str(), "constructor" | "prototype")
}

/// The code that a line states: two groups of four capital letters and digits.
fn code_of(line: &str) -> Option<&str> {
    let code = line.strip_prefix(CODE_LINE)?;
    let (left, right) = code.split_once('-')?;
    let group = |text: &str| {
        text.len() == 4
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    (group(left) && group(right)).then_some(code)
}

#[cfg(test)]
mod tests;
