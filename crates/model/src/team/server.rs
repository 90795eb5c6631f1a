//! MCP servers that a tenant registers, and what may stand in their fields.
//!
//! Whether the operator allows a command, and whether an address may be dialled, is decided elsewhere.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::ServerId;
use crate::tool;

/// A registered server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// Its row.
    pub id: ServerId,
    /// What the tenant calls it, unique in the tenant.
    pub server_id: String,
    /// What people call it.
    pub name: String,
    /// The program that is started; `None` where there is a `url`.
    pub command: Option<String>,
    /// The program's arguments.
    pub args: Vec<String>,
    /// The address that is called; `None` where there is a `command`.
    pub url: Option<String>,
    /// Headers of every request to `url`; no secrets.
    pub headers: BTreeMap<String, String>,
    /// The environment variable or header that gets a field of a credential. Where there are none,
    /// the credential of the service that is named like the prefix is bound.
    pub secrets: BTreeMap<String, SecretField>,
    /// Whether it was registered with no secrets at all, in so many words: nothing is bound.
    pub bare: bool,
    /// Which of its tools may be called: lines of [`tool::Rule::read`].
    pub tools: Vec<String>,
    /// What its tools' names start with; ends with `.`, unique in the tenant.
    pub tool_prefix: String,
    /// Whether it is mounted.
    pub enabled: bool,
    /// When it was registered.
    pub created_at: SystemTime,
    /// When it was last changed.
    pub updated_at: SystemTime,
    /// Grows with every change.
    pub config_rev: u64,
}

impl McpServer {
    /// The server that `spec` describes, in the row `id`, as it is registered `now`.
    pub fn new(spec: &ServerSpec, id: ServerId, now: SystemTime) -> Self {
        let ServerSpec {
            server_id,
            name,
            command,
            args,
            url,
            headers,
            secrets,
            bare,
            tools,
            tool_prefix,
            enabled,
        } = spec.clone();
        Self {
            id,
            server_id,
            name,
            command,
            args,
            url,
            headers,
            secrets,
            bare,
            tools,
            tool_prefix,
            enabled,
            created_at: now,
            updated_at: now,
            config_rev: 1,
        }
    }

    /// Which of its tools may be called. What cannot be read allows nothing.
    pub fn policy(&self) -> tool::Policy {
        tool::Policy::read(&self.tools).unwrap_or_default()
    }
}

/// One field of a stored credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretField {
    /// The credential's service.
    pub service: String,
    /// The credential's type.
    #[serde(default = "default_type")]
    pub credential_type: String,
    /// The field in it.
    pub field: String,
}

/// What a server's tools are called by where its registration says nothing (decision 31).
fn every_tool() -> Vec<String> {
    vec!["allow *".to_owned()]
}

fn default_type() -> String {
    "api_key".to_owned()
}

/// A registration, or the fields of a change, as they were sent, before anything is checked. What they
/// mean stands at [`McpServer`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawServer {
    /// Its name among the tenant's servers.
    pub server_id: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// The program.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// The address, in the place of a program.
    pub url: Option<String>,
    /// Headers.
    pub headers: Option<BTreeMap<String, String>>,
    /// Which field of which credential goes where.
    pub secrets: Option<BTreeMap<String, SecretField>>,
    /// Which tools may be called.
    pub tools: Option<Vec<String>>,
    /// Ends with `.`.
    pub tool_prefix: Option<String>,
    /// Whether it is mounted.
    pub enabled: Option<bool>,
}

/// What a server is, as its tenant says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Its name among the tenant's servers.
    pub server_id: String,
    /// What people call it.
    pub name: String,
    /// The program.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// The address, in the place of a program.
    pub url: Option<String>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Which field of which credential goes where.
    pub secrets: BTreeMap<String, SecretField>,
    /// Whether it has no secrets, in so many words.
    pub bare: bool,
    /// Which tools may be called.
    pub tools: Vec<String>,
    /// Ends with `.`.
    pub tool_prefix: String,
    /// Whether it is mounted.
    pub enabled: bool,
}

/// A server whose every field was checked: what may be stored. Only [`NewServer::new`] and
/// [`ServerChange::apply`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewServer(ServerSpec);

/// A change of a server. Its fields are checked together with those that stay.
#[derive(Clone, Debug)]
pub struct ServerChange(RawServer);

/// A field that may not stand as it is. The value is not repeated: it may be a pasted secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct FieldError {
    /// The field.
    pub field: &'static str,
    /// What it should be.
    pub problem: &'static str,
}

impl FieldError {
    /// `field` is not as it should be, which is `problem`.
    pub fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }
}

impl NewServer {
    /// Checks every field. A server is enabled unless it says otherwise.
    pub fn new(raw: RawServer) -> Result<Self, FieldError> {
        check(ServerSpec {
            server_id: raw.server_id.ok_or(missing("server_id"))?,
            name: raw.name.ok_or(missing("name"))?,
            command: raw.command,
            args: raw.args.unwrap_or_default(),
            url: raw.url,
            headers: raw.headers.unwrap_or_default(),
            bare: raw.secrets.as_ref().is_some_and(BTreeMap::is_empty),
            secrets: raw.secrets.unwrap_or_default(),
            tools: raw.tools.unwrap_or_else(every_tool),
            tool_prefix: raw.tool_prefix.ok_or(missing("tool_prefix"))?,
            enabled: raw.enabled.unwrap_or(true),
        })
    }

    /// What was checked.
    pub fn spec(&self) -> &ServerSpec {
        &self.0
    }
}

impl ServerChange {
    /// A change of the fields that are there. `server_id` says which server is meant and is not
    /// changed: it has to be absent here.
    pub fn new(raw: RawServer) -> Result<Self, FieldError> {
        if raw.server_id.is_some() {
            return Err(FieldError::new("server_id", "names the server and cannot be changed"));
        }
        if raw.command.is_some() && raw.url.is_some() {
            return Err(either());
        }
        Ok(Self(raw))
    }

    /// The fields that change.
    pub fn fields(&self) -> &RawServer {
        &self.0
    }

    /// The server as it is after the change. A `url` takes the place of a command and its arguments,
    /// a `command` that of an address and its headers.
    pub fn apply(&self, old: &McpServer) -> Result<NewServer, FieldError> {
        let change = self.0.clone();
        let (to_url, to_command) = (change.url.is_some(), change.command.is_some());
        let kept_args = if to_url { Vec::new() } else { old.args.clone() };
        let kept_headers = if to_command { BTreeMap::new() } else { old.headers.clone() };
        check(ServerSpec {
            server_id: old.server_id.clone(),
            name: change.name.unwrap_or_else(|| old.name.clone()),
            command: change.command.or_else(|| old.command.clone().filter(|_| !to_url)),
            args: change.args.unwrap_or(kept_args),
            url: change.url.or_else(|| old.url.clone().filter(|_| !to_command)),
            headers: change.headers.unwrap_or(kept_headers),
            bare: change.secrets.as_ref().map_or(old.bare, BTreeMap::is_empty),
            secrets: change.secrets.unwrap_or_else(|| old.secrets.clone()),
            tools: change.tools.unwrap_or_else(|| old.tools.clone()),
            tool_prefix: change.tool_prefix.unwrap_or_else(|| old.tool_prefix.clone()),
            enabled: change.enabled.unwrap_or(old.enabled),
        })
    }
}

/// A prefix or name as clients are shown it: every model API takes it (decision 13).
pub fn advertised(name: &str) -> String {
    let shown = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().map(shown).collect()
}

/// Whether `text` can name a server, a service or a field of a credential: 1 to 64 letters, digits,
/// `.`, `_` and `-`, of which the first is a letter or digit.
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(inner)
}

const MOST_ARGS: usize = 64;
const MOST_ENTRIES: usize = 32;
const MOST_RULES: usize = 100;
const LONGEST_TEXT: usize = 4096;
const LONGEST_PATH: usize = 1024;
const LONGEST_URL: usize = 2048;

fn check(spec: ServerSpec) -> Result<NewServer, FieldError> {
    let wrong = |field, problem| Err(FieldError::new(field, problem));
    if !is_label(&spec.server_id) {
        return wrong("server_id", LABEL);
    }
    super::check_name(&spec.name)?;
    let Some(stem) = spec.tool_prefix.strip_suffix('.') else {
        return wrong("tool_prefix", "must end with `.`");
    };
    if !is_label(stem) {
        return wrong(
            "tool_prefix",
            "has 1 to 64 letters, digits, `.`, `_` and `-` before its `.`",
        );
    }
    match (&spec.command, &spec.url) {
        (Some(command), None) => check_command(command, &spec)?,
        (None, Some(url)) => check_url(url, &spec)?,
        _ => return Err(either()),
    }
    check_secrets(&spec)?;
    check_tools(&spec.tools)?;
    Ok(NewServer(spec))
}

fn check_command(command: &str, spec: &ServerSpec) -> Result<(), FieldError> {
    if command.is_empty() || command.len() > LONGEST_PATH || command.chars().any(char::is_control) {
        return Err(FieldError::new("command", "has 1 to 1024 bytes and no control characters"));
    }
    if spec.args.is_empty() || spec.args.len() > MOST_ARGS {
        return Err(FieldError::new("args", "has 1 to 64 entries"));
    }
    if spec.args.iter().any(|arg| arg.len() > LONGEST_TEXT || arg.contains('\0')) {
        return Err(FieldError::new("args", "has entries of at most 4096 bytes, without NUL"));
    }
    if !spec.headers.is_empty() {
        return Err(FieldError::new("headers", "belongs to a server with a `url`"));
    }
    Ok(())
}

fn check_url(url: &str, spec: &ServerSpec) -> Result<(), FieldError> {
    let scheme = url.starts_with("https://") || url.starts_with("http://");
    if !scheme || url.len() > LONGEST_URL || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(FieldError::new("url", "is an https address of at most 2048 characters"));
    }
    if !spec.args.is_empty() {
        return Err(FieldError::new("args", "belongs to a server with a `command`"));
    }
    if spec.headers.len() > MOST_ENTRIES || !spec.headers.keys().all(|name| is_header(name)) {
        return Err(FieldError::new("headers", "has at most 32 header names"));
    }
    let plain = |value: &str| value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if spec.headers.values().any(|value| value.len() > LONGEST_TEXT || !plain(value)) {
        return Err(FieldError::new("headers", "has values of at most 4096 printable characters"));
    }
    Ok(())
}

fn check_secrets(spec: &ServerSpec) -> Result<(), FieldError> {
    if spec.secrets.len() > MOST_ENTRIES {
        return Err(FieldError::new("secrets", "has at most 32 entries"));
    }
    for (place, from) in &spec.secrets {
        let fits = if spec.url.is_some() { is_header(place) } else { is_variable(place) };
        if !fits {
            let problem = "names environment variables, or headers where there is a `url`";
            return Err(FieldError::new("secrets", problem));
        }
        if ![&from.service, &from.credential_type, &from.field].into_iter().all(|s| is_label(s)) {
            let problem = "names a service, a credential_type and a field of a credential";
            return Err(FieldError::new("secrets", problem));
        }
    }
    Ok(())
}

fn check_tools(tools: &[String]) -> Result<(), FieldError> {
    let wrong = |problem| Err(FieldError::new("tools", problem));
    if tools.len() > MOST_RULES || tools.iter().any(|line| line.len() > LONGEST_PATH) {
        return wrong("has at most 100 rules of at most 1024 bytes");
    }
    if tool::Policy::read(tools).is_err() {
        return wrong(
            "has rules such as `allow get_*`, `ask pay where amount > 100`, `deny delete_*`",
        );
    }
    Ok(())
}

const LABEL: &str =
    "has 1 to 64 letters, digits, `.`, `_` and `-` and starts with a letter or digit";

fn either() -> FieldError {
    FieldError::new("command", "or `url` has to be there, and not both")
}

fn missing(field: &'static str) -> FieldError {
    FieldError::new(field, "is missing")
}

/// RFC 9110 §5.1: a token.
fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=128).contains(&name.len()) && name.bytes().all(token)
}

fn is_variable(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&name.len())
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_registration_of_the_documentation_is_taken() {
        let server = NewServer::new(stdio()).unwrap();
        assert!(server.spec().enabled);
        assert_eq!(server.spec().tool_prefix, "amazon.");
        assert!(NewServer::new(remote()).is_ok());
    }

    #[test]
    fn a_field_that_may_not_stand_is_named_and_never_repeated() {
        type Spoil = fn(&mut RawServer);
        let table: [(&str, Spoil); 22] = [
            ("server_id", |raw| raw.server_id = None),
            ("server_id", |raw| raw.server_id = Some("canary canary".into())),
            ("server_id", |raw| raw.server_id = Some("c".repeat(65))),
            ("name", |raw| raw.name = Some(String::new())),
            ("name", |raw| raw.name = Some("canary\u{1b}[2J".into())),
            ("tool_prefix", |raw| raw.tool_prefix = None),
            ("tool_prefix", |raw| raw.tool_prefix = Some("canary".into())),
            ("tool_prefix", |raw| raw.tool_prefix = Some(".".into())),
            ("tool_prefix", |raw| raw.tool_prefix = Some("can%ary.".into())),
            ("command", |raw| raw.command = None),
            ("command", |raw| raw.command = Some(String::new())),
            ("command", |raw| raw.url = Some("https://canary.example".into())),
            ("args", |raw| raw.args = Some(Vec::new())),
            ("args", |raw| raw.args = Some(vec!["can\0ary".into()])),
            ("args", |raw| raw.args = Some(vec!["canary".into(); 65])),
            ("headers", |raw| raw.headers = Some([("canary".into(), "x".into())].into())),
            ("secrets", |raw| raw.secrets = Some([("1CANARY".into(), field("amazon"))].into())),
            ("secrets", |raw| raw.secrets = Some([("CANARY".into(), field("a b"))].into())),
            ("secrets", |raw| raw.secrets = Some([("CAN=ARY".into(), field("amazon"))].into())),
            ("secrets", |raw| raw.secrets = Some([("X-Canary".into(), field("amazon"))].into())),
            ("tools", |raw| raw.tools = Some(vec!["permit canary".into()])),
            ("tools", |raw| raw.tools = Some(vec!["allow x".into(); 101])),
        ];
        for (name, spoil) in table {
            let mut raw = stdio();
            spoil(&mut raw);
            let error = NewServer::new(raw).unwrap_err();
            assert_eq!(error.field, name, "{error}");
            assert!(!error.to_string().to_lowercase().contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_remote_server_has_an_address_and_headers_and_no_arguments() {
        for (name, url, header) in [
            ("url", "ftp://canary.example", "x-a"),
            ("url", "https://canary.example/\n", "x-a"),
            ("headers", "https://canary.example", "x a"),
        ] {
            let headers = Some([(header.to_owned(), "v".to_owned())].into());
            let raw = RawServer { url: Some(url.into()), headers, ..remote() };
            assert_eq!(NewServer::new(raw).unwrap_err().field, name);
        }
        let raw = RawServer { args: Some(vec!["x".into()]), ..remote() };
        assert_eq!(NewServer::new(raw).unwrap_err().field, "args");
    }

    #[test]
    fn what_a_change_does_not_name_stays() {
        let old = stored(&NewServer::new(stdio()).unwrap());
        let raw = RawServer { enabled: Some(false), ..RawServer::default() };
        let new = ServerChange::new(raw).unwrap().apply(&old).unwrap();
        assert_eq!(new.spec().args, old.args);
        assert!(!new.spec().enabled);

        let raw = RawServer { url: remote().url, ..RawServer::default() };
        let new = ServerChange::new(raw).unwrap().apply(&old).unwrap();
        assert_eq!((&new.spec().command, new.spec().args.len()), (&None, 0));

        let raw = RawServer { args: Some(Vec::new()), ..RawServer::default() };
        assert_eq!(ServerChange::new(raw).unwrap().apply(&old).unwrap_err().field, "args");
        assert_eq!(ServerChange::new(stdio()).unwrap_err().field, "server_id");
    }

    #[test]
    fn no_secrets_and_nothing_said_of_secrets_are_two_things() {
        let with = |secrets| NewServer::new(RawServer { secrets, ..stdio() }).unwrap();
        assert!(!with(None).spec().bare);
        let old = stored(&with(Some(BTreeMap::new())));
        assert!(old.bare && old.secrets.is_empty());
        let change = |secrets| {
            let raw = RawServer { secrets, ..RawServer::default() };
            ServerChange::new(raw).unwrap().apply(&old).unwrap().spec().bare
        };
        assert!(change(None), "what a change does not name stays");
        assert!(!change(Some([("A".to_owned(), field("amazon"))].into())));
    }

    #[test]
    fn every_tool_may_be_called_unless_the_registration_says_which() {
        let old = stored(&NewServer::new(stdio()).unwrap());
        assert_eq!(old.tools, ["allow *"]);
        assert!(old.policy().may_allow("anything"));
        let tools = Some(vec!["allow get_*".to_owned(), "deny get_secret".to_owned()]);
        let raw = RawServer { tools, ..RawServer::default() };
        let new = ServerChange::new(raw).unwrap().apply(&old).unwrap();
        let policy = stored(&new).policy();
        let may = ["get_order", "get_secret", "order"].map(|tool| policy.may_allow(tool));
        assert_eq!(may, [true, false, false]);
        let broken = McpServer { tools: vec!["?".to_owned()], ..old };
        assert!(!broken.policy().may_allow("anything"));
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let text = r#"{"server_id": "a", "tenant_id": "b"}"#;
        let error = serde_json::from_str::<RawServer>(text).unwrap_err().to_string();
        assert!(error.contains("tenant_id"), "{error}");
    }

    #[test]
    fn prefixes_that_clients_cannot_tell_apart_are_advertised_alike() {
        assert_eq!(advertised("amazon."), "amazon_");
        assert_eq!(advertised("a.b."), advertised("a_b."));
        assert_ne!(advertised("a-b."), advertised("a_b."));
    }

    fn stdio() -> RawServer {
        RawServer {
            server_id: Some("my-amazon-server".into()),
            name: Some("My Amazon MCP Server".into()),
            command: Some("node".into()),
            args: Some(vec!["@mycompany/amazon-mcp-server".into()]),
            tool_prefix: Some("amazon.".into()),
            secrets: Some([("AMAZON_API_KEY".into(), field("amazon"))].into()),
            ..RawServer::default()
        }
    }

    fn remote() -> RawServer {
        let secrets = Some([("authorization".into(), field("amazon"))].into());
        let url = Some("https://mcp.example/v1".into());
        RawServer { command: None, args: None, url, secrets, ..stdio() }
    }

    fn field(service: &str) -> SecretField {
        let (credential_type, field) = ("api_key".into(), "token".into());
        SecretField { service: service.into(), credential_type, field }
    }

    fn stored(server: &NewServer) -> McpServer {
        McpServer::new(server.spec(), ServerId::from_random([7; 16]), UNIX_EPOCH)
    }
}
