//! Puts what a person says about their account into the places that a template leaves open.

use std::collections::BTreeMap;

use toml_edit::{Item, Value};

use super::{Setting, Template};
use crate::near;

/// What is left open, or said wrongly. No value is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The template has no such setting.
    #[error("the template `{template}` has no such setting")]
    Unknown {
        /// The template.
        template: String,
        /// The setting that is nearest.
        near: Option<String>,
        /// The settings that there are.
        known: Vec<String>,
    },
    /// There is no value and no default.
    #[error("`{template}` needs to know {}", asked(.missing))]
    Missing {
        /// The template.
        template: String,
        /// What is missing.
        missing: Vec<Setting>,
        /// Whether a base URL says as much.
        is_address: bool,
    },
    /// The value cannot stand where the template has it.
    #[error("`{name}` is {what}")]
    Unfit {
        /// The setting.
        name: String,
        /// What a value of it is.
        what: &'static str,
        /// How one looks.
        example: String,
    },
}

impl FillError {
    /// What to type instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::Unknown { known, .. } if known.is_empty() => "leave `--set` out".to_owned(),
            Self::Unknown { known, .. } => format!("it has {}", known.join(", ")),
            Self::Missing { missing, is_address, .. } => {
                let flag =
                    |setting: &Setting| format!("--set {}={}", setting.name, setting.example);
                let flags = missing.iter().map(flag).collect::<Vec<_>>().join(" ");
                let other = if *is_address { ", or the whole address by `--base-url`" } else { "" };
                format!("add `{flags}`{other}")
            }
            Self::Unfit { name, example, .. } => format!("as in `--set {name}={example}`"),
        }
    }
}

fn asked(missing: &[Setting]) -> String {
    let one = |setting: &Setting| format!("`{}` ({})", setting.name, setting.about);
    missing.iter().map(one).collect::<Vec<_>>().join(" and ")
}

/// Where a value stands, which says what it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// One label of the host.
    Label,
    /// The end of the host, or all of it.
    Host,
    /// Anywhere else.
    Text,
}

impl Template {
    /// Fills in what is `given`, and the defaults. What is not needed, since its place was taken out
    /// before, is not asked for.
    ///
    /// # Errors
    ///
    /// A value is missing, unknown, or cannot stand where it would.
    pub fn fill(mut self, given: &[(String, String)]) -> Result<Self, FillError> {
        let known = || self.settings.iter().map(|setting| setting.name.as_str());
        if let Some((name, _)) = given.iter().find(|(name, _)| !known().any(|known| known == name))
        {
            return Err(FillError::Unknown {
                near: near::nearest(name, known()).map(str::to_owned),
                known: known().map(str::to_owned).collect(),
                template: self.name,
            });
        }
        let given: BTreeMap<&str, &str> =
            given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (mut values, mut missing) = (Vec::new(), Vec::new());
        for setting in self.settings.iter().filter(|setting| self.has(&setting.name)) {
            let value = given.get(setting.name.as_str()).copied().or(setting.default.as_deref());
            let Some(value) = value else {
                missing.push(setting.clone());
                continue;
            };
            check(setting, value, self.position(&setting.name))?;
            values.push((format!("{{{}}}", setting.name), value.to_owned()));
        }
        if !missing.is_empty() {
            let is_address = missing.iter().any(|one| self.position(&one.name) != Position::Text);
            return Err(FillError::Missing { template: self.name, missing, is_address });
        }
        for (_, item) in self.table.iter_mut() {
            replace(item, &values);
        }
        for (_, value) in &mut self.auth_settings {
            replace_in(value, &values);
        }
        Ok(self)
    }

    fn has(&self, name: &str) -> bool {
        let hole = format!("{{{name}}}");
        self.table.iter().any(|(_, item)| item.to_string().contains(&hole))
            || self.auth_settings.iter().any(|(_, value)| value.to_string().contains(&hole))
    }

    fn position(&self, name: &str) -> Position {
        let url = self.text("base_url").unwrap_or_default();
        match url.split_once(&format!("{{{name}}}")) {
            None => Position::Text,
            Some((_, rest)) if rest.starts_with('.') => Position::Label,
            Some(_) => Position::Host,
        }
    }
}

fn check(setting: &Setting, value: &str, position: Position) -> Result<(), FillError> {
    let label = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let what = match position {
        Position::Label if !label(value) => "one part of a host name: letters, digits and `-`",
        Position::Host if !value.split('.').all(label) => "a host name, without `https://`",
        Position::Text if value.is_empty() => "not empty",
        Position::Text if value.chars().any(char::is_control) => "one line of text",
        _ => return Ok(()),
    };
    Err(FillError::Unfit { name: setting.name.clone(), what, example: setting.example.clone() })
}

fn replace(item: &mut Item, values: &[(String, String)]) {
    match item {
        Item::Value(value) => replace_in(value, values),
        Item::Table(table) => table.iter_mut().for_each(|(_, item)| replace(item, values)),
        Item::None | Item::ArrayOfTables(_) => {}
    }
}

fn replace_in(value: &mut Value, values: &[(String, String)]) {
    match value {
        Value::String(text) if text.value().contains('{') => {
            let mut new = text.value().clone();
            for (hole, value) in values {
                new = new.replace(hole, value);
            }
            let decor = value.decor().clone();
            *value = new.into();
            *value.decor_mut() = decor;
        }
        Value::Array(list) => list.iter_mut().for_each(|value| replace_in(value, values)),
        Value::InlineTable(table) => {
            table.iter_mut().for_each(|(_, value)| replace_in(value, values));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_said_stands_where_the_template_left_it_open() {
        let jira = find("jira").unwrap();
        let filled = jira.fill(&given(&[("site", "acme"), ("user", "me@acme.example")])).unwrap();
        assert_eq!(filled.text("base_url"), Some("https://acme.atlassian.net"));
        assert_eq!(filled.auth_settings[0].1.as_str(), Some("me@acme.example"));
        let site = |pairs: &[_]| {
            let filled = find("datadog").unwrap().fill(&given(pairs)).unwrap();
            filled.text("base_url").unwrap().to_owned()
        };
        assert_eq!(site(&[]), "https://api.datadoghq.com");
        assert_eq!(site(&[("site", "datadoghq.eu")]), "https://api.datadoghq.eu");
    }

    #[test]
    fn what_is_missing_is_named_with_the_words_to_type() {
        let error = find("jira").unwrap().fill(&given(&[("site", "acme")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`jira` needs to know `user` (the e-mail address of the account)"
        );
        assert_eq!(error.hint(), "add `--set user=me@acme.example`");
        let error = find("supabase").unwrap().fill(&[]).unwrap_err();
        assert!(error.hint().ends_with(", or the whole address by `--base-url`"), "{error:?}");
        let error = find("jira").unwrap().fill(&given(&[("sites", "acme")])).unwrap_err();
        assert_eq!(error.hint(), "did you mean `site`?");
    }

    #[test]
    fn what_is_not_written_is_not_asked_for() {
        let mut jira = find("jira").unwrap();
        jira.table.remove("base_url");
        jira.auth_settings.clear();
        assert!(jira.fill(&[]).is_ok());
    }

    #[test]
    fn a_value_cannot_turn_the_address_into_another_one() {
        for value in ["", "a.b", "evil.example/", "a@evil.example", "a#", "{user}", "a b"] {
            let error = find("jira").unwrap().fill(&given(&[("site", value), ("user", "u")]));
            assert!(matches!(error, Err(FillError::Unfit { .. })), "{value}");
        }
        for value in ["", "https://datadoghq.eu", "a/b", "a:80", ".eu"] {
            let error = find("datadog").unwrap().fill(&given(&[("site", value)])).unwrap_err();
            assert!(error.to_string().starts_with("`site` is a host name"), "{error}");
        }
    }
}
