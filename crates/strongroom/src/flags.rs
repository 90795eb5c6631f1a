//! The flags that describe a service: what `add` starts with and `edit` changes.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use strongroom_model::base_url::BaseUrl;
use strongroom_model::command;
use strongroom_model::network::Cidr;
use strongroom_model::policy::{Rule, RuleError, Verdict};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use toml_edit::{Array, InlineTable, Item, Table, TableLike, Value, value};

use crate::config::{ALLOW_ALL, ALLOW_ALL_RULE, AuthShape, Secrets};
use crate::failure::Failure;

/// What a service is.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The service")]
pub struct Flags {
    /// Where it is; the key goes nowhere else
    #[arg(long, value_name = "URL", value_parser = base_url)]
    pub base_url: Option<String>,
    /// How it takes the key
    #[arg(long, value_name = "TYPE", value_parser = auth_types())]
    pub auth: Option<String>,
    /// The user of `--auth basic`
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// A header of `--auth headers` (repeatable)
    #[arg(long, value_name = "NAME")]
    pub auth_header: Vec<String>,
    /// A parameter of `--auth query` (repeatable)
    #[arg(long, value_name = "NAME")]
    pub auth_param: Vec<String>,
    /// A cookie of `--auth cookie` (repeatable)
    #[arg(long, value_name = "NAME")]
    pub auth_cookie: Vec<String>,
    /// What `--auth` has to know besides (repeatable): preset=bybit, region=eu-central-1
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub auth_set: Vec<(String, String)>,
    /// A secret that `--auth` can do without (repeatable): passphrase, `session_token`
    #[arg(long, value_name = "NAME")]
    pub auth_secret: Vec<String>,
    /// A header that is sent with every request (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub header: Vec<(String, String)>,
    /// What `test_service` gets
    #[arg(long, value_name = "PATH")]
    pub test_path: Option<String>,
    /// An address range that would be refused: a local upstream (repeatable)
    #[arg(long, value_name = "CIDR")]
    pub allow_ip: Vec<Cidr>,
    /// Allow plain http, which shows the key to the network
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub insecure_transport: Option<bool>,
    /// Trust these certificate authorities instead of the built-in ones
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,

    /// Let agents make such requests (repeatable): 'GET /v1/**'
    #[arg(long, value_name = "METHOD PATH", value_parser = rule, help_heading = "The policy")]
    pub allow: Vec<String>,
    /// Ask a person first (repeatable)
    #[arg(long, value_name = "METHOD PATH", value_parser = rule, help_heading = "The policy")]
    pub ask: Vec<String>,
    /// Never (repeatable); beats allow and ask
    #[arg(long, value_name = "METHOD PATH", value_parser = rule, help_heading = "The policy")]
    pub deny: Vec<String>,
    /// Let agents make every request
    #[arg(long, help_heading = "The policy")]
    pub allow_all: bool,
    /// Only this principal may use it (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "The policy")]
    pub principal: Vec<Name>,
}

impl Flags {
    /// Whether any says what is allowed.
    pub fn has_rules(&self) -> bool {
        self.allow_all || !(self.allow.is_empty() && self.ask.is_empty() && self.deny.is_empty())
    }

    /// Whether any is about APIs, and says nothing of a program.
    pub fn is_about_apis(&self) -> bool {
        let without = Self {
            allow: Vec::new(),
            ask: Vec::new(),
            deny: Vec::new(),
            principal: Vec::new(),
            user: None,
            ..self.clone()
        };
        !without.is_empty()
    }

    /// Writes the policy of a program into the table of a service.
    pub fn apply_policy(&self, table: &mut dyn TableLike) {
        append(table, "allow", &self.allow);
        append(table, "ask", &self.ask);
        append(table, "deny", &self.deny);
        append(table, "principals", self.principal.iter().map(Name::as_str));
    }

    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        !self.has_rules()
            && !self.is_about_auth()
            && self.base_url.is_none()
            && self.header.is_empty()
            && self.test_path.is_none()
            && self.allow_ip.is_empty()
            && self.insecure_transport.is_none()
            && self.ca_file.is_none()
            && self.principal.is_empty()
    }

    /// Whether any says how the key is sent.
    pub fn is_about_auth(&self) -> bool {
        self.auth.is_some()
            || self.user.is_some()
            || !self.auth_set.is_empty()
            || !self.auth_secret.is_empty()
            || !self.named().is_empty()
    }

    /// What `--auth-set` gave.
    pub fn auth_settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.auth_set.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names of headers, parameters or cookies.
    fn named(&self) -> Vec<String> {
        [&self.auth_header, &self.auth_param, &self.auth_cookie]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The auth type and its secret fields: as the flags say, else as it is now.
    pub fn auth_fields(
        &self,
        now: Option<(&str, &[String])>,
    ) -> Result<(String, Vec<String>), Failure> {
        let by_name = [
            ("headers", &self.auth_header),
            ("query", &self.auth_param),
            ("cookie", &self.auth_cookie),
        ];
        let implied = by_name.iter().find(|(_, names)| !names.is_empty()).map(|(kind, _)| *kind);
        let kind = self.auth.as_deref().or(implied).or(now.map(|(kind, _)| kind));
        let Some(shape) = kind.and_then(AuthShape::of) else {
            return Err(Failure::usage("how the service takes its key is missing")
                .hint("add `--auth bearer`, or another type: see `--help`"));
        };
        if by_name.iter().any(|(kind, names)| *kind != shape.name && !names.is_empty()) {
            return Err(Failure::usage(format!("a flag does not go with `--auth {}`", shape.name)));
        }
        let same = now.filter(|(kind, _)| *kind == shape.name).map(|(_, fields)| fields.to_vec());
        let fields = match (shape.secrets, self.named(), same) {
            (Secrets::Table(_), named, _) if !named.is_empty() => named,
            (Secrets::Table(_), _, Some(fields)) => fields,
            (Secrets::Keys { asked, others }, _, same) => {
                self.keys_of(shape.name, asked, others, same)?
            }
            (Secrets::Table(_), ..) => {
                let flag = match shape.name {
                    "headers" => "--auth-header",
                    "query" => "--auth-param",
                    _ => "--auth-cookie",
                };
                return Err(Failure::usage(format!("`{flag}` is missing"))
                    .hint(format!("`--auth {}` needs `{flag} NAME`", shape.name)));
            }
        };
        Ok((shape.name.to_owned(), fields))
    }

    /// The secrets of a type that has such by name: those that it is asked for, in order.
    fn keys_of(
        &self,
        kind: &str,
        asked: &[&str],
        others: &[&str],
        same: Option<Vec<String>>,
    ) -> Result<Vec<String>, Failure> {
        let given = |name: &str| self.auth_settings().find(|(there, _)| *there == name);
        let mut wanted = same.unwrap_or_else(|| {
            let mut wanted: Vec<String> = asked.iter().map(|field| (*field).to_owned()).collect();
            if kind == "hmac" {
                // A text of the service's own may do without a key beside the secret.
                let signs_key = given("sign").is_none_or(|(_, text)| text.contains("{key}"));
                if !signs_key && given("key_header").or(given("key_query")).is_none() {
                    wanted.retain(|field| field != "key");
                }
                let sent = given("passphrase_header").or(given("passphrase_query"));
                if given("preset").is_some_and(|(_, name)| name == "okx") || sent.is_some() {
                    wanted.push("passphrase".to_owned());
                }
            }
            wanted
        });
        wanted.extend(self.auth_secret.iter().cloned());
        let known = [asked, others].concat();
        if wanted.iter().any(|field| !known.contains(&field.as_str())) {
            return Err(Failure::usage(format!("`--auth {kind}` has no such secret"))
                .hint(format!("it has {}", known.join(", "))));
        }
        let in_order = known.iter().filter(|field| wanted.iter().any(|wanted| wanted == *field));
        Ok(in_order.map(|field| (*field).to_owned()).collect())
    }

    /// Writes what was given, but for `auth`, into the table of a service.
    pub fn apply(&self, table: &mut dyn TableLike, directory: &Path) {
        if let Some(url) = &self.base_url {
            set(table, "base_url", url.as_str());
        }
        for (name, text) in &self.header {
            put_header(table, name, text);
        }
        if self.allow_all {
            append(table, "allow", [ALLOW_ALL_RULE]);
            set(table, "i_understand", ALLOW_ALL);
        }
        append(table, "allow", &self.allow);
        append(table, "ask", &self.ask);
        append(table, "deny", &self.deny);
        append(table, "allow_ips", self.allow_ip.iter().map(ToString::to_string));
        if let Some(insecure) = self.insecure_transport {
            set(table, "insecure_transport", insecure);
        }
        if let Some(path) = &self.ca_file {
            set(table, "ca_file", directory.join(path).display().to_string());
        }
        append(table, "principals", self.principal.iter().map(Name::as_str));
        if let Some(path) = &self.test_path {
            set(table, "test_path", path.as_str());
        }
    }
}

/// Writes `auth`.
pub fn put_auth(
    table: &mut dyn TableLike,
    kind: &str,
    user: Option<&str>,
    secrets: &[(String, SecretRef)],
) {
    let mut auth = InlineTable::new();
    auth.insert("type", kind.into());
    if let Some(user) = user {
        auth.insert("user", user.into());
    }
    match AuthShape::of(kind).map(|shape| shape.secrets) {
        Some(Secrets::Table(name)) => {
            let mut fields = InlineTable::new();
            for (field, reference) in secrets {
                fields.insert(field, reference.as_str().into());
            }
            auth.insert(name, fields.into());
        }
        _ => {
            for (field, reference) in secrets {
                auth.insert(field, reference.as_str().into());
            }
        }
    }
    set(table, "auth", auth);
}

/// Writes what the way to authenticate has to know besides its secrets.
pub fn put_auth_settings<'a>(
    table: &mut dyn TableLike,
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let Some(auth) = table.get_mut("auth").and_then(Item::as_table_like_mut) else { return };
    for (name, text) in settings {
        auth.insert(name, value(text));
    }
}

/// Sets `key`, keeping the comments around what was there.
pub fn set(table: &mut dyn TableLike, key: &str, new: impl Into<Value>) {
    let mut new = new.into();
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            table.insert(key, value(new));
        }
    }
}

/// Appends to the list `key` what it does not have.
pub fn append(
    table: &mut dyn TableLike,
    key: &str,
    words: impl IntoIterator<Item = impl AsRef<str>>,
) {
    for word in words {
        let word = word.as_ref();
        let list = table.entry(key).or_insert_with(|| value(Array::new()));
        if let Some(list) = list.as_array_mut() {
            if !list.iter().any(|there| there.as_str() == Some(word)) {
                push(list, word);
            }
        } else if let Some(list) = list.as_array_of_tables_mut() {
            // `[[services.NAME.allow]]`
            let mut rule = Table::new();
            rule.insert("rule", value(word));
            list.push(rule);
        }
    }
}

/// Appends `word`, on a line of its own where the first element has one.
fn push(list: &mut Array, word: &str) {
    let first = list.get(0).and_then(|first| first.decor().prefix()?.as_str());
    let indent = first.and_then(|prefix| Some(prefix.rsplit_once('\n')?.1.to_owned()));
    let Some(indent) = indent else { return list.push(word) };
    // A comment behind the last comma belongs to the element before it.
    let comment = list.trailing().as_str().unwrap_or_default().trim_end().to_owned();
    list.push_formatted(Value::from(word).decorated(format!("{comment}\n{indent}"), ""));
    list.set_trailing("\n");
    list.set_trailing_comma(true);
}

/// Takes from the list `key` the words that `unwanted` names, and the tables that have them as their
/// `rule`; says whether any was there.
pub fn take(table: &mut dyn TableLike, key: &str, unwanted: &str) -> bool {
    let Some(item) = table.get_mut(key) else { return false };
    if let Some(list) = item.as_array_of_tables_mut() {
        let before = list.len();
        list.retain(|there| there.get("rule").and_then(Item::as_str) != Some(unwanted));
        return before != list.len();
    }
    let Some(list) = item.as_array_mut() else { return false };
    let before = list.len();
    list.retain(|there| {
        let rule = || there.as_inline_table()?.get("rule")?.as_str();
        there.as_str().or_else(rule) != Some(unwanted)
    });
    before != list.len()
}

fn put_header(table: &mut dyn TableLike, name: &str, text: &str) {
    let headers = table.entry("headers").or_insert_with(|| value(InlineTable::new()));
    if let Some(headers) = headers.as_table_like_mut() {
        let same = headers
            .iter()
            .map(|(there, _)| there.to_owned())
            .find(|there| there.eq_ignore_ascii_case(name));
        headers.insert(same.as_deref().unwrap_or(name), value(text));
    }
}

fn setting(text: &str) -> Result<(String, String), Wrong> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Wrong("a setting is given as `NAME=VALUE`".to_owned())),
    }
}

fn auth_types() -> PossibleValuesParser {
    PossibleValuesParser::new(AuthShape::names())
}

/// What a flag's value should have been; the value is not repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

fn base_url(text: &str) -> Result<String, Wrong> {
    // Whether plain http is meant is another flag's word.
    match BaseUrl::parse(text, true) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Wrong(match error.hint() {
            Some(hint) => format!("{error}: {hint}"),
            None => error.to_string(),
        })),
    }
}

fn pair(text: &str) -> Result<(String, String), Wrong> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Wrong("a header is given as `NAME=VALUE`".to_owned()))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A rule about requests, or about a program: which of the two it has to be is checked with the service
/// that it is for.
fn rule(text: &str) -> Result<String, Wrong> {
    let RuleError { problem, hint } = match Rule::parse(Verdict::Allow, text) {
        Ok(rule) => return Ok(rule.text().to_owned()),
        Err(error) => error,
    };
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    let is_method = word.chars().all(|c| c.is_ascii_uppercase() || c == '|' || c == '*');
    if !is_method && let Ok(rule) = command::Rule::parse(Verdict::Allow, word, text) {
        return Ok(rule.text().to_owned());
    }
    Err(match hint {
        Some(hint) => Wrong(format!("{problem}: {hint}")),
        None => Wrong(problem),
    })
}

#[cfg(test)]
mod tests {
    use toml_edit::DocumentMut;

    use super::*;

    #[test]
    fn a_change_keeps_comments_and_repeats_nothing() {
        let text = "# mine\nbase_url = \"https://a.example\" # here\nallow = [\n    \"GET /a\", # why\n]\n";
        let mut document: DocumentMut = text.parse().unwrap();
        let flags = Flags {
            base_url: Some("https://b.example".into()),
            allow: vec!["GET /a".into(), "GET /b".into()],
            ..Flags::default()
        };
        flags.apply(document.as_table_mut(), Path::new("/"));
        let expected = "# mine\nbase_url = \"https://b.example\" # here\nallow = [\n    \"GET /a\", # why\n    \"GET /b\",\n]\n";
        assert_eq!(document.to_string(), expected);
    }

    #[test]
    fn rules_that_are_tables_are_added_to_and_taken_away_too() {
        let text = "allow = [\"GET /a\", { rule = \"GET /b\", rate = \"1/s\" }]\n\n[[ask]]\nrule = \"GET /c\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        let table = document.as_table_mut();
        assert!(take(table, "allow", "GET /b") && !take(table, "allow", "GET /b"));
        append(table, "ask", ["GET /d"]);
        assert!(take(table, "ask", "GET /c") && !take(table, "ask", "GET /c"));
        assert_eq!(document.to_string(), "allow = [\"GET /a\"]\n\n[[ask]]\nrule = \"GET /d\"\n");
    }

    #[test]
    fn the_flags_say_which_fields_hold_secrets() {
        let fields =
            |flags: Flags| flags.auth_fields(None).map_err(|f| f.error.unwrap().to_string());
        let auth = |kind: &str| Flags { auth: Some(kind.into()), ..Flags::default() };
        assert_eq!(fields(auth("bearer")).unwrap(), ("bearer".into(), vec!["token".into()]));
        assert_eq!(fields(auth("basic")).unwrap(), ("basic".into(), vec!["password".into()]));
        assert_eq!(fields(auth("query")).unwrap_err(), "`--auth-param` is missing");
        let headers = Flags { auth_header: vec!["X-A".into(), "X-B".into()], ..Flags::default() };
        assert_eq!(fields(headers).unwrap(), ("headers".into(), vec!["X-A".into(), "X-B".into()]));
        let mixed = Flags { auth_header: vec!["X-A".into()], ..auth("bearer") };
        assert_eq!(fields(mixed).unwrap_err(), "a flag does not go with `--auth bearer`");
        assert!(fields(Flags::default()).is_err());
        let hmac = |flags: Flags| fields(Flags { auth: Some("hmac".into()), ..flags });
        assert_eq!(hmac(Flags::default()).unwrap().1, ["key", "secret"]);
        let okx = Flags { auth_set: vec![("preset".into(), "okx".into())], ..Flags::default() };
        assert_eq!(hmac(okx).unwrap().1, ["key", "secret", "passphrase"]);
        let own = Flags { auth_set: vec![("sign".into(), "{body}".into())], ..Flags::default() };
        assert_eq!(hmac(own).unwrap().1, ["secret"]);
        let more = Flags { auth_secret: vec!["passphrase".into()], ..Flags::default() };
        assert_eq!(hmac(more).unwrap().1, ["key", "secret", "passphrase"]);
        let none = Flags { auth_secret: vec!["canary".into()], ..Flags::default() };
        assert_eq!(hmac(none).unwrap_err(), "`--auth hmac` has no such secret");
    }
}
