//! The services that `strongroom add NAME` knows: data, in `templates.toml`.

mod fill;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

pub use fill::FillError;

const DATA: &str = include_str!("templates.toml");

/// A known service.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Other words to find it by.
    pub tags: Vec<String>,
    /// Where its API is documented.
    pub docs: String,
    /// What to ask the person for.
    pub key: String,
    /// The type of its `auth`.
    pub auth: String,
    /// The fields of its `auth` that hold secrets.
    pub secrets: Vec<String>,
    /// The other fields of its `auth`.
    pub auth_settings: Vec<(String, Value)>,
    /// What a person says about their own account.
    pub settings: Vec<Setting>,
    /// What it puts into `[services.NAME]`, but for `auth`.
    pub table: Table,
}

/// What a person says about their own account: `{NAME}` stands for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// What it is where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// How one looks.
    pub example: String,
}

/// The names of all templates, in order.
pub fn names() -> Vec<String> {
    document().iter().map(|(name, _)| name.to_owned()).collect()
}

/// All templates, in order.
pub fn all() -> Vec<Template> {
    document().iter().filter_map(|(name, item)| read(name, item)).collect()
}

/// The template `name`.
pub fn find(name: &str) -> Option<Template> {
    read(name, document().get(name)?)
}

impl Template {
    /// The text at `key` of the service's table.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key).and_then(Item::as_str)
    }

    /// The entries of the list `key` of the service's table, as a person reads them.
    pub fn list(&self, key: &str) -> Vec<String> {
        let list = self.table.get(key).and_then(Item::as_array);
        list.into_iter().flatten().map(shown).collect()
    }

    /// Those of the list `key` that are texts: rules without conditions.
    pub fn plain(&self, key: &str) -> Vec<String> {
        texts(self.table.get(key))
    }

    /// The text of a field of its `auth` that is not secret.
    pub fn auth_text(&self, key: &str) -> Option<&str> {
        let found = self.auth_settings.iter().find(|(there, _)| there == key);
        found.and_then(|(_, value)| value.as_str())
    }
}

/// A text, or a rule with what else has to hold: `POST /graphql where graphql ["query"]`.
fn shown(entry: &Value) -> String {
    let Some(table) = entry.as_inline_table() else {
        return entry.as_str().unwrap_or_default().to_owned();
    };
    let rule = table.get("rule").and_then(Value::as_str).unwrap_or_default();
    let conditions = table.iter().filter(|(key, _)| *key != "rule");
    let conditions: Vec<_> =
        conditions.map(|(key, value)| format!("{key} {}", value.to_string().trim())).collect();
    format!("{rule} where {}", conditions.join(" and "))
}

fn read(name: &str, item: &Item) -> Option<Template> {
    let item = item.as_table()?;
    let text = |key: &str| item.get(key).and_then(Item::as_str).unwrap_or_default().to_owned();
    let auth = item.get("auth").and_then(Item::as_table_like)?;
    let mut table = Table::new();
    for (key, value) in item.iter().filter(|(key, _)| is_of_services(key)) {
        table.insert(key, bare(value));
    }
    let auth_settings = auth.iter().filter(|(key, _)| !matches!(*key, "type" | "secrets"));
    Some(Template {
        name: name.to_owned(),
        about: text("about"),
        tags: texts(item.get("tags")),
        docs: text("docs"),
        key: text("key"),
        auth: auth.get("type").and_then(Item::as_str)?.to_owned(),
        secrets: texts(auth.get("secrets")),
        auth_settings: auth_settings
            .filter_map(|(key, value)| Some((key.to_owned(), bare(value).into_value().ok()?)))
            .collect(),
        settings: settings(item.get("settings").and_then(Item::as_table_like)),
        table,
    })
}

fn settings(table: Option<&dyn TableLike>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, item) in table.into_iter().flat_map(TableLike::iter) {
        let text = |key: &str| item.get(key).and_then(Item::as_str).map(str::to_owned);
        settings.push(Setting {
            name: name.to_owned(),
            about: text("about").unwrap_or_default(),
            default: text("default"),
            example: text("example").unwrap_or_default(),
        });
    }
    settings
}

fn texts(list: Option<&Item>) -> Vec<String> {
    let list = list.and_then(Item::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The same, without the comments about it.
fn bare(item: &Item) -> Item {
    let mut item = item.clone();
    if let Some(value) = item.as_value_mut() {
        value.decor_mut().clear();
    }
    item
}

fn is_of_services(key: &str) -> bool {
    !matches!(key, "about" | "tags" | "docs" | "key" | "auth" | "settings")
}

fn document() -> DocumentMut {
    DATA.parse().expect("the templates are TOML, which a test holds")
}

#[cfg(test)]
mod tests;
