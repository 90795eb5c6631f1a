//! The two files of a home: `config.yaml` says what there is, `credentials.json` has it sealed.
//!
//! A home of 0.2 has the master key and the sealed values in `config.yaml` itself. Nothing is written
//! there, and no message repeats a value.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_clients::file::ConfigFile;
use strongroom_gateway::registry::{Node, Text, Value, json, yaml};
use strongroom_model::secret::Secret;
use strongroom_seal::{IntegrityError, Key, open_tag_first};

use super::Left;
use crate::failure::Failure;
use crate::servers::of_problem;

const CONFIG: &str = "config.yaml";
const CREDENTIALS: &str = "credentials.json";
const LARGEST: u64 = 10 << 20;

/// What a home says, its secrets opened.
#[derive(Debug, Default)]
pub struct Home {
    /// Its version, as it says.
    pub version: String,
    /// Its services, in their order.
    pub services: Vec<Service>,
    /// What agents could use of them.
    pub capabilities: Vec<Capability>,
    /// Whether a capability without a list of agents was for nobody.
    pub is_restricted: bool,
    /// What does not come over.
    pub left: Vec<Left>,
}

/// A service.
#[derive(Debug, Default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub base_url: String,
    /// How it takes its key.
    pub auth: String,
    /// The secret fields of that, in the order of the names.
    pub secrets: BTreeMap<String, Secret>,
    /// The other fields of that.
    pub settings: BTreeMap<String, String>,
    /// What was got to test it.
    pub test_path: Option<String>,
    /// Whose it is: `None` is everybody's.
    pub owners: Option<Vec<String>>,
    /// The blocks that Janee ignored: a path, and its methods.
    pub blocks: Vec<(String, Vec<String>)>,
}

/// What agents could use.
#[derive(Clone, Debug, Default)]
pub struct Capability {
    /// Its name, by which agents called it.
    pub name: String,
    /// Its service.
    pub service: String,
    /// For how long a session was good.
    pub ttl: Option<String>,
    /// Whether it said that a person is asked: `Some(false)` is "do not approve by itself".
    pub auto_approve: Option<bool>,
    /// Whether the agent had to say why.
    pub requires_reason: bool,
    /// The patterns that allow; `None` where there is no list.
    pub allow: Option<Vec<String>>,
    /// The patterns that deny.
    pub deny: Option<Vec<String>>,
    /// The agents that could use it; an empty list is everybody.
    pub agents: Vec<String>,
    /// The blocks that Janee ignored.
    pub blocks: Vec<(String, Vec<String>)>,
    /// Where it ran programs: which, and how.
    pub exec: Option<Exec>,
}

/// A capability that ran programs.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// The names of programs.
    pub commands: Vec<String>,
    /// Variables, with `{{credential}}` for the key.
    pub env: BTreeMap<String, String>,
    /// Where they ran.
    pub directory: Option<String>,
    /// For how long at most, in milliseconds.
    pub timeout: Option<String>,
}

/// Reads the home in `directory`.
///
/// # Errors
///
/// It is none, a file is not what it should be, or a value does not open. Nothing is half read.
pub fn read(directory: &Path) -> Result<Home, Failure> {
    let Some(config) = text(directory, CONFIG)? else {
        let failure = Failure::failed(format!(
            "`{}` is no home of Janee: there is no `{CONFIG}`",
            directory.display()
        ));
        return Err(if directory.join("config.json").exists() {
            failure.hint("it is one of an older Janee: start a newer one once, which converts it")
        } else {
            failure.hint("it is usually `~/.janee`")
        });
    };
    let root = yaml::read(&config).map_err(|problem| of_problem(&problem))?;
    let mut home = Home {
        version: root.get("version").and_then(scalar).unwrap_or_default(),
        ..Home::default()
    };
    let server = root.get("server");
    let is_strict = !server.and_then(|s| s.get("strictDecryption")).is_some_and(is_false);
    home.is_restricted = server
        .and_then(|server| server.get("defaultAccess"))
        .and_then(Node::as_text)
        .is_some_and(|access| access == "restricted");
    note_server(&root, &mut home.left);
    let sealed = Sealed::read(directory, &root, is_strict)?;
    for member in named(root.get("services")) {
        home.services.push(service(member, &sealed, &mut home.left)?);
    }
    for (name, node) in named(root.get("capabilities")) {
        home.capabilities.push(capability(name, node, &mut home.left));
    }
    for name in sealed.names().filter(|name| !home.services.iter().any(|s| s.name == *name)) {
        home.left.push(Left::new(
            format!("the secrets of `{name}` in {CREDENTIALS}"),
            format!("{CONFIG} has no such service"),
        ));
    }
    Ok(home)
}

/// What belongs to Janee's own server.
fn note_server(root: &Node, left: &mut Vec<Left>) {
    let known = ["version", "masterKey", "server", "services", "capabilities", "llm"];
    for member in root.members().iter().filter(|member| !known.contains(&member.key.as_str())) {
        left.push(Left::new(format!("`{}`", member.key), "it means nothing here"));
    }
    for member in root.get("server").into_iter().flat_map(Node::members) {
        let why = match member.key.as_str() {
            "strictDecryption" | "defaultAccess" => continue,
            "port" | "host" => "`strongroom serve --http` says where it listens",
            "logBodies" => "the audit never holds bodies",
            _ => "it means nothing here",
        };
        left.push(Left::new(format!("`server.{}`", member.key), why));
    }
    if root.get("llm").is_some() {
        let why = "no model has a say here; its key stays in the file";
        left.push(Left::new("`llm`", why));
    }
}

/// Sealed values, and what opens them.
struct Sealed {
    /// `None`: the values stand in the configuration as they are.
    key: Option<Key>,
    /// The file that they stand in.
    file: &'static str,
    /// Sealed values of services, by name; none in a home of 0.2.
    services: Option<Node>,
    is_strict: bool,
}

impl Sealed {
    fn read(directory: &Path, root: &Node, is_strict: bool) -> Result<Self, Failure> {
        if let Some(inline) = root.get("masterKey") {
            let key = Some(master(inline, CONFIG)?);
            return Ok(Self { key, file: CONFIG, services: None, is_strict });
        }
        let Some(text) = text(directory, CREDENTIALS)? else {
            return Err(Failure::failed(format!("there is no `{CREDENTIALS}` beside `{CONFIG}`"))
                .hint("the secrets are in it: copy the home as a whole"));
        };
        let credentials = json::read(&text).map_err(|problem| of_problem(&problem))?;
        let Some(inline) = credentials.get("masterKey") else {
            return Err(Failure::failed(format!("`{CREDENTIALS}` has no `masterKey`")));
        };
        let key = Some(master(inline, CREDENTIALS)?);
        let services = credentials.get("secrets").cloned();
        Ok(Self { key, file: CREDENTIALS, services, is_strict })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.services.iter().flat_map(Node::members).map(|member| member.key.as_str())
    }

    fn of(&self, service: &str) -> Option<&Node> {
        self.services.as_ref()?.get(service)
    }

    /// Opens `value`, which is the field `field` of `service`.
    fn open(&self, service: &str, field: &str, value: &str) -> Result<Secret, Failure> {
        let Some(key) = &self.key else { return Ok(Secret::new(value.as_bytes().to_vec())) };
        let sealed = STANDARD.decode(value).ok();
        let opened = match &sealed {
            Some(sealed) => open_tag_first(key, sealed),
            None => Err(IntegrityError::Length),
        };
        match opened {
            Ok(secret) => Ok(secret),
            // A home that is not strict takes what cannot be a sealed value for the value itself.
            Err(IntegrityError::Length) if !self.is_strict => {
                Ok(Secret::new(value.as_bytes().to_vec()))
            }
            Err(error) => {
                let what = match error {
                    IntegrityError::Length => "is no sealed value",
                    _ => "does not open",
                };
                Err(Failure::failed(format!(
                    "`{}`: the field `{field}` of the service `{service}` {what}",
                    self.file
                ))
                .hint("the master key is that of another home, or the file is damaged; nothing was imported"))
            }
        }
    }
}

fn master(node: &Node, file: &str) -> Result<Key, Failure> {
    let bytes = node.as_text().and_then(|text| STANDARD.decode(text).ok()).map(Secret::new);
    bytes.and_then(|bytes| Key::from_secret(&bytes).ok()).ok_or_else(|| {
        Failure::failed(format!("`masterKey` in `{file}` is not the base64 of 32 bytes"))
            .hint("the file is damaged; nothing was imported")
    })
}

fn service(
    (name, node): (&str, &Node),
    sealed: &Sealed,
    left: &mut Vec<Left>,
) -> Result<Service, Failure> {
    let known = ["name", "baseUrl", "auth", "testPath", "ownership", "policies"];
    unknown(node, &known, &format!("services.{name}"), left);
    let text = |key: &str| node.get(key).and_then(scalar);
    let mut service = Service {
        name: name.to_owned(),
        base_url: text("baseUrl").unwrap_or_default(),
        test_path: text("testPath"),
        owners: node.get("ownership").and_then(owners),
        blocks: blocks(node),
        ..Service::default()
    };
    let Some(auth) = node.get("auth") else { return Ok(service) };
    let stored = sealed.of(name);
    for member in auth.members() {
        let field = member.key.as_str();
        match (field, scalar(&member.value)) {
            ("type", Some(kind)) => service.auth = kind,
            ("headers", None) => {
                for header in member.value.members() {
                    let secret = inline(sealed, name, &header.key, &header.value, left)?;
                    service.secrets.insert(header.key.clone(), secret);
                }
            }
            (field, Some(_)) if super::auth::is_secret(field) => {
                let secret = inline(sealed, name, field, &member.value, left)?;
                service.secrets.insert(field.to_owned(), secret);
            }
            (field, Some(value)) => {
                service.settings.insert(field.to_owned(), value);
            }
            (field, None) => {
                let words = member.value.items().iter().filter_map(scalar);
                let words = words.collect::<Vec<_>>().join(" ");
                service.settings.insert(field.to_owned(), words);
            }
        }
    }
    for member in stored.into_iter().flat_map(Node::members) {
        match &member.value.value {
            Value::Text(value) => {
                let secret = sealed.open(name, &member.key, value)?;
                service.secrets.insert(member.key.clone(), secret);
            }
            _ => {
                for header in member.value.members() {
                    let value = header.value.as_text().unwrap_or_default();
                    let secret = sealed.open(name, &header.key, value)?;
                    service.secrets.insert(header.key.clone(), secret);
                }
            }
        }
    }
    Ok(service)
}

/// A value that stands in `config.yaml` itself: sealed in a home of 0.2, otherwise as it is.
fn inline(
    sealed: &Sealed,
    service: &str,
    field: &str,
    node: &Node,
    left: &mut Vec<Left>,
) -> Result<Secret, Failure> {
    let value = scalar(node).unwrap_or_default();
    if sealed.services.is_none() && sealed.file == CONFIG {
        return sealed.open(service, field, &value);
    }
    left.push(Left::new(
        format!("the plain text of `services.{service}.auth.{field}`"),
        format!("its value is imported; in {CONFIG} anybody can read it: remove it there"),
    ));
    Ok(Secret::new(value.into_bytes()))
}

fn capability(name: &str, node: &Node, left: &mut Vec<Left>) -> Capability {
    let known = [
        "name",
        "service",
        "ttl",
        "autoApprove",
        "requiresReason",
        "rules",
        "allowedAgents",
        "access",
        "mode",
        "allowCommands",
        "env",
        "envMap",
        "workDir",
        "timeout",
        "policies",
    ];
    unknown(node, &known, &format!("capabilities.{name}"), left);
    let text = |key: &str| node.get(key).and_then(scalar);
    let rules = |key: &str| node.get("rules").and_then(|rules| rules.get(key)).map(words);
    let env = node.get("env").or_else(|| node.get("envMap"));
    let env = env.into_iter().flat_map(Node::members);
    let exec = Exec {
        commands: node.get("allowCommands").map(words).unwrap_or_default(),
        env: env.map(|m| (m.key.clone(), scalar(&m.value).unwrap_or_default())).collect(),
        directory: text("workDir"),
        timeout: text("timeout"),
    };
    if let Some(rules) = node.get("rules") {
        unknown(rules, &["allow", "deny"], &format!("capabilities.{name}.rules"), left);
    }
    let is_closed = text("access").is_some_and(|access| access == "restricted");
    let mut agents = node.get("allowedAgents").map(words).unwrap_or_default();
    if is_closed && agents.is_empty() {
        // Not the name of any agent: nobody.
        agents.push(String::new());
    }
    Capability {
        name: name.to_owned(),
        service: text("service").unwrap_or_default(),
        ttl: text("ttl"),
        auto_approve: node.get("autoApprove").map(Node::is_true),
        requires_reason: node.get("requiresReason").is_some_and(Node::is_true),
        allow: rules("allow"),
        deny: rules("deny"),
        agents,
        blocks: blocks(node),
        exec: (text("mode").as_deref() == Some("exec")).then_some(exec),
    }
}

/// The agents that a service belongs to; `None`: it is everybody's.
fn owners(node: &Node) -> Option<Vec<String>> {
    let text = |key: &str| node.get(key).and_then(scalar);
    match text("accessPolicy")?.as_str() {
        "all-agents" => None,
        policy => {
            let shared = node.get("sharedWith").filter(|_| policy == "shared").map(words);
            Some(text("createdBy").into_iter().chain(shared.unwrap_or_default()).collect())
        }
    }
}

fn blocks(node: &Node) -> Vec<(String, Vec<String>)> {
    let blocks = node.get("policies").map(Node::items).unwrap_or_default();
    let block = |block: &Node| {
        let path = block.get("path").and_then(scalar).unwrap_or_default();
        (path, block.get("methods").map(words).unwrap_or_default())
    };
    blocks.iter().map(block).collect()
}

fn unknown(node: &Node, known: &[&str], place: &str, left: &mut Vec<Left>) {
    for member in node.members().iter().filter(|member| !known.contains(&member.key.as_str())) {
        left.push(Left::new(format!("`{place}.{}`", member.key), "it means nothing here"));
    }
}

/// The members of a table, or the elements of a list that have a `name`.
fn named(node: Option<&Node>) -> Vec<(&str, &Node)> {
    let Some(node) = node else { return Vec::new() };
    let members = node.members().iter().map(|member| (member.key.as_str(), &member.value));
    let items = node.items().iter().filter_map(|item| Some((item.get("name")?.as_text()?, item)));
    members.chain(items).collect()
}

/// The words of a list, or the one word that stands in its place.
fn words(node: &Node) -> Vec<String> {
    match scalar(node) {
        Some(word) => vec![word],
        None => node.items().iter().filter_map(scalar).collect(),
    }
}

fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Flag(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn is_false(node: &Node) -> bool {
    matches!(node.value, Value::Flag(false))
}

fn text(directory: &Path, name: &str) -> Result<Option<Text>, Failure> {
    let path = directory.join(name);
    let file = ConfigFile::read_at_most(&path, LARGEST)?;
    Ok(file.text.map(|text| Text::new(path.display().to_string(), text)))
}
