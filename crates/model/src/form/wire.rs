//! Templates as they go over the wire.

use serde::{Deserialize, Serialize};

use super::{Field, FieldType, Form, FormError, Kind, TEMPLATE};
use crate::json;

/// A template is nested three deep; what is deeper is not one.
const DEPTH: usize = 4;

pub(super) fn read(bytes: &[u8]) -> Result<Form, FormError> {
    if bytes.len() > TEMPLATE {
        return Err(FormError::TooLarge);
    }
    let text = json::check(bytes, DEPTH)?;
    // What serde says may quote the text: only the place is kept of it.
    let raw: RawForm = serde_json::from_str(text)
        .map_err(|error| FormError::Shape { line: error.line(), column: error.column() })?;
    Ok(raw.into())
}

pub(super) fn write(form: &Form) -> String {
    let fields = form.fields.iter().map(|field| RawField {
        name: field.name.clone(),
        label: field.label.clone(),
        field_type: field.field_type.into(),
        required: field.required,
        default: field.default.clone(),
        placeholder: field.placeholder.clone(),
        help_text: field.help_text.clone(),
    });
    let raw = RawForm {
        title: form.title.clone(),
        description: form.description.clone(),
        kind: match form.kind {
            Kind::Fields => RawKind::Fields,
            Kind::Consent => RawKind::Consent,
        },
        fields: fields.collect(),
    };
    serde_json::to_string(&raw).expect("text, words and truth values are JSON")
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawForm {
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    kind: RawKind,
    #[serde(default)]
    fields: Vec<RawField>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum RawKind {
    #[default]
    Fields,
    Consent,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    name: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    field_type: RawFieldType,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    default: String,
    #[serde(default)]
    placeholder: String,
    #[serde(default)]
    help_text: String,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum RawFieldType {
    #[default]
    Text,
    Password,
    Url,
    Email,
}

impl From<RawForm> for Form {
    fn from(raw: RawForm) -> Self {
        let fields = raw.fields.into_iter().map(|field| Field {
            name: field.name,
            label: field.label,
            field_type: match field.field_type {
                RawFieldType::Text => FieldType::Text,
                RawFieldType::Password => FieldType::Password,
                RawFieldType::Url => FieldType::Url,
                RawFieldType::Email => FieldType::Email,
            },
            required: field.required,
            default: field.default,
            placeholder: field.placeholder,
            help_text: field.help_text,
        });
        Self {
            title: raw.title,
            description: raw.description,
            kind: match raw.kind {
                RawKind::Fields => Kind::Fields,
                RawKind::Consent => Kind::Consent,
            },
            fields: fields.collect(),
        }
    }
}

impl From<FieldType> for RawFieldType {
    fn from(kind: FieldType) -> Self {
        match kind {
            FieldType::Text => Self::Text,
            FieldType::Password => Self::Password,
            FieldType::Url => Self::Url,
            FieldType::Email => Self::Email,
        }
    }
}
