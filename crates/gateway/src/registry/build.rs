//! The tree of one server into a checked [`Server`]: the rules, once for every source.

mod beyond;
mod isolate;
mod offer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use strongroom_model::pin::Pinning;
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::server::{Delivery, Server, Stdio, Template, Transport};

use super::node::{Member, Node, Value};
use super::{Problem, Text, near, words};
pub use offer::RULE_KEYS;

/// The keys of a server; the published schema has the same.
pub const KEYS: &[&str] = &[
    "command",
    "args",
    "env",
    "secrets",
    "cwd",
    "url",
    "headers",
    "allow_ips",
    "ca_file",
    "type",
    "description",
    "delivery",
    "ttl",
    "pin",
    "asks",
    "pass_env",
    "allow_visible_secrets",
    "tools",
    "idle",
    "lifetime",
    "calls_per_minute",
    "naming",
    "isolate",
];

/// The keys that only a program has.
const PROGRAM_KEYS: &[&str] = &["args", "env", "secrets", "cwd", "pass_env", "isolate"];

/// The keys that only an address has.
const ADDRESS_KEYS: &[&str] = &["headers", "allow_ips", "ca_file"];

/// Variables that decide what code a program loads, or where it sends what it knows. A secret has no
/// business in them (LM-12).
const HIJACKS: &[&str] = &[
    "PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "RUBYLIB",
    "PERL5LIB",
    "PERL5OPT",
    "JAVA_TOOL_OPTIONS",
    "CLASSPATH",
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "IFS",
    "GIT_SSH_COMMAND",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// How `cwd` is written.
const AS_CWD: &str = "write it from `/` or `~/` on; without it the server starts where you are";

/// Longest description that is kept for people to read.
const LONGEST_ABOUT: usize = 1000;

/// A server, and what it would need leave for.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) server: Server,
    /// A secret would stand where others see it, and the source does not say that this is meant.
    pub(super) shows: Option<Problem>,
}

/// Whether a variable decides what code a program loads.
pub fn is_hijack(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.starts_with("LD_") || name.starts_with("DYLD_") || HIJACKS.contains(&name.as_str())
}

/// Reads the server `name` from its tree.
pub(super) fn build(text: &Text, name: &Name, node: &Node) -> Result<Built, Problem> {
    let reader = Reader { text, node };
    if !matches!(node.value, Value::Table(_)) {
        return Err(text.problem(node.at, format!("`{name}` is not a table of a server's keys")));
    }
    reader.only(KEYS)?;
    reader.kind()?;
    let transport = match (node.get("command"), node.get("url")) {
        (Some(_), Some(url)) => {
            return Err(text
                .problem(url.at, "a server has a `command` or a `url`, not both")
                .hint("give one of them a server of its own"));
        }
        (Some(command), None) => {
            reader.none_of(ADDRESS_KEYS, "`url`")?;
            Transport::Stdio(reader.stdio(command)?)
        }
        (None, Some(url)) => {
            reader.none_of(PROGRAM_KEYS, "`command`")?;
            let (url, headers) = (reader.url(url)?, reader.headers()?);
            Transport::Http { url, headers, beyond: reader.beyond()? }
        }
        (None, None) => {
            return Err(text
                .problem(node.at, format!("the server `{name}` has neither `command` nor `url`"))
                .hint("write how it is started: `\"command\": \"npx some-server\"`"));
        }
    };
    let server = Server {
        name: name.clone(),
        description: reader.description()?,
        transport,
        delivery: reader.delivery()?,
        ttl: reader.ttl()?,
        pin: reader.pin()?,
        offer: reader.offer()?,
    };
    let allowed = match node.get("allow_visible_secrets") {
        None => false,
        Some(Node { value: Value::Flag(flag), .. }) => *flag,
        Some(other) => {
            return Err(reader.is_not("allow_visible_secrets", other, "`true` or `false`"));
        }
    };
    let shows = if allowed { None } else { reader.shows(&server) };
    Ok(Built { server, shows })
}

struct Reader<'a> {
    text: &'a Text,
    node: &'a Node,
}

impl Reader<'_> {
    /// Refuses every key that is not one of `known`. One that is near no known one is not repeated:
    /// it may be a secret.
    fn only(&self, known: &[&'static str]) -> Result<(), Problem> {
        let Some(member) = self.node.members().iter().find(|m| !known.contains(&m.key.as_str()))
        else {
            return Ok(());
        };
        Err(near::unknown_key(self.text, member, known))
    }

    fn none_of(&self, keys: &[&str], with: &str) -> Result<(), Problem> {
        match self.node.members().iter().find(|member| keys.contains(&member.key.as_str())) {
            Some(member) => {
                Err(self.text.problem(member.at, format!("`{}` goes with {with}", member.key)))
            }
            None => Ok(()),
        }
    }

    /// `type`, as other formats have it: what it says is found out, but it must fit.
    fn kind(&self) -> Result<(), Problem> {
        let Some(node) = self.node.get("type") else { return Ok(()) };
        let (needed, what) = match self.plain("type", node)? {
            "stdio" => ("command", "a program"),
            "http" | "streamable-http" | "sse" => ("url", "an address"),
            _ => {
                let words = "`stdio`, `http`, `streamable-http` or `sse`";
                return Err(self.is_not("type", node, words));
            }
        };
        if self.node.get(needed).is_none() {
            let problem = format!("`type` says {what}, and there is no `{needed}`");
            return Err(self.text.problem(node.at, problem));
        }
        Ok(())
    }

    fn stdio(&self, command: &Node) -> Result<Stdio, Problem> {
        let (program, mut args) = self.command(command)?;
        for argument in self.list("args")? {
            args.push(self.template("args", argument)?);
        }
        let mut env = self.variables()?;
        for (variable, reference) in self.secrets()? {
            if env.contains_key(&variable) {
                let at = self.node.get("secrets").map_or(self.node.at, |node| node.at);
                return Err(self
                    .text
                    .problem(at, "a variable stands in `env` and in `secrets`")
                    .hint("keep the one in `secrets`"));
            }
            env.insert(variable, Template::secret(reference));
        }
        let (pass_env, cwd, isolate) = (self.pass_env()?, self.cwd()?, self.isolate()?);
        Ok(Stdio { program, args, env, pass_env, cwd, isolate })
    }

    fn command<'n>(&self, node: &'n Node) -> Result<(String, Vec<Template>), Problem> {
        let line;
        let mut parts: Vec<(usize, &str)> = match &node.value {
            Value::Text(text) => {
                line = words::split(text).map_err(|error| {
                    self.text.problem(node.at, format!("`command`: {error}")).hint(error.hint())
                })?;
                line.iter().map(|word| (node.at, word.as_str())).collect()
            }
            Value::List(items) => {
                let part = |item: &'n Node| Ok((item.at, self.plain("command", item)?));
                items.iter().map(part).collect::<Result<_, Problem>>()?
            }
            _ => return Err(self.is_not("command", node, "a string or a list of strings")),
        };
        if parts.first().is_none_or(|(_, program)| program.is_empty()) {
            return Err(self.text.problem(node.at, "`command` is empty"));
        }
        let (at, program) = parts.remove(0);
        if program.starts_with('-') || parse(program).is_none_or(|template| template.is_secret()) {
            return Err(self.text.problem(at, "`command` does not begin with a program"));
        }
        let args = parts.into_iter().map(|(at, word)| self.read("command", at, word));
        Ok((program.to_owned(), args.collect::<Result<_, _>>()?))
    }

    /// `env`: literal texts, and texts with references in them.
    fn variables(&self) -> Result<BTreeMap<String, Template>, Problem> {
        let mut env = BTreeMap::new();
        for member in self.table("env")? {
            let name = self.variable("env", member)?;
            let template = self.template("env", &member.value)?;
            if template.is_secret() && is_hijack(name) {
                return Err(self.hijack("env", name, member));
            }
            env.insert(name.to_owned(), template);
        }
        Ok(env)
    }

    /// `secrets`: references, and nothing else.
    fn secrets(&self) -> Result<Vec<(String, SecretRef)>, Problem> {
        let mut secrets = Vec::new();
        for member in self.table("secrets")? {
            let name = self.variable("secrets", member)?;
            if is_hijack(name) {
                return Err(self.hijack("secrets", name, member));
            }
            let text = self.plain("secrets", &member.value)?;
            let reference = text.parse::<SecretRef>().map_err(|error| {
                self.text
                    .problem(member.value.at, format!("`secrets`: {error}"))
                    .hint("write where the secret is, not the secret: `op://VAULT/ITEM/FIELD`")
                    .maybe_hint(error.hint())
            })?;
            secrets.push((name.to_owned(), reference));
        }
        Ok(secrets)
    }

    fn variable<'m>(&self, key: &str, member: &'m Member) -> Result<&'m str, Problem> {
        if is_variable(&member.key) {
            Ok(&member.key)
        } else {
            Err(self
                .text
                .problem(member.at, format!("`{key}` has a name that is none of a variable"))
                .hint("write letters, digits and `_`, and no digit first"))
        }
    }

    fn hijack(&self, key: &str, name: &str, member: &Member) -> Problem {
        let name = name.to_ascii_uppercase();
        self.text
            .problem(member.at, format!("`{key}`: `{name}` decides what code the program loads"))
            .hint("no secret belongs there; a plain text may stand in `env`")
    }

    fn pass_env(&self) -> Result<Vec<String>, Problem> {
        let mut names = Vec::new();
        for item in self.list("pass_env")? {
            let name = self.plain("pass_env", item)?;
            if !is_variable(name) {
                return Err(self
                    .text
                    .problem(item.at, "`pass_env`: this is no name of a variable"));
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }

    fn cwd(&self) -> Result<Option<PathBuf>, Problem> {
        let Some(node) = self.node.get("cwd") else { return Ok(None) };
        self.absolute("cwd", node).map(Some).map_err(|problem| problem.hint(AS_CWD))
    }

    /// A path from `/` or `~/` on.
    fn absolute(&self, key: &str, node: &Node) -> Result<PathBuf, Problem> {
        let text = self.plain(key, node)?;
        let drive = matches!(text.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic());
        if let (Some(below), Some(home)) = (text.strip_prefix("~/"), &self.text.home) {
            return Ok(home.join(below));
        }
        if text.starts_with('/') || drive || text.starts_with("\\\\") {
            Ok(PathBuf::from(text))
        } else {
            Err(self
                .text
                .problem(node.at, format!("`{key}` is not an absolute path"))
                .hint("write it from `/` or `~/` on"))
        }
    }

    fn url(&self, node: &Node) -> Result<Template, Problem> {
        let template = self.template("url", node)?;
        let shown = template.to_string();
        let refuse = |problem: &str| Err(self.text.problem(node.at, format!("`url`: {problem}")));
        let Some(("https" | "http", rest)) = shown.split_once("://") else {
            return refuse("it does not begin with `https://` or `http://`");
        };
        if shown.chars().any(|c| c.is_control() || (c == ' ' && !template.is_secret())) {
            return refuse("it has a blank or a control character in it");
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains(['@', '{']) {
            return Err(self
                .text
                .problem(node.at, "`url`: a name or a secret stands before the path")
                .hint("send it in `headers`"));
        }
        let host = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let host = host.map_or(authority.split(':').next().unwrap_or_default(), |(host, _)| host);
        let here =
            host.eq_ignore_ascii_case("localhost") || host == "::1" || host.starts_with("127.");
        if host.is_empty() {
            return refuse("it has no host");
        }
        if shown.starts_with("http://") && !here {
            return refuse("plain http shows everything to the network; write `https://`");
        }
        Ok(template)
    }

    fn headers(&self) -> Result<BTreeMap<String, Template>, Problem> {
        let mut headers = BTreeMap::new();
        for member in self.table("headers")? {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if member.key.is_empty() || !member.key.bytes().all(token) {
                return Err(self.text.problem(member.at, "`headers` has a name that is none"));
            }
            let template = self.template("headers", &member.value)?;
            if headers.insert(member.key.to_ascii_lowercase(), template).is_some() {
                return Err(self.text.problem(member.at, "`headers` has a name twice"));
            }
        }
        Ok(headers)
    }

    fn description(&self) -> Result<Option<String>, Problem> {
        let Some(node) = self.node.get("description") else { return Ok(None) };
        let text = self.string("description", node)?;
        Ok(Some(text.chars().take(LONGEST_ABOUT).collect()))
    }

    fn delivery(&self) -> Result<Delivery, Problem> {
        let Some(node) = self.node.get("delivery") else { return Ok(Delivery::default()) };
        let word = self.plain("delivery", node)?;
        let known = [Delivery::Cached, Delivery::Runtime, Delivery::EnvFile];
        known.into_iter().find(|delivery| delivery.as_str() == word).ok_or_else(|| {
            let words = known.map(Delivery::as_str);
            let near = near::nearest(word, words).map(|near| format!("did you mean `{near}`?"));
            let problem = "`delivery` is not one of the ways there are";
            let all = format!("write one of `{}`", words.join("`, `"));
            self.text.problem(node.at, problem).hint(near.unwrap_or(all))
        })
    }

    fn ttl(&self) -> Result<Option<Duration>, Problem> {
        self.time("ttl")
    }

    /// A duration at `key`.
    fn time(&self, key: &str) -> Result<Option<Duration>, Problem> {
        let Some(node) = self.node.get(key) else { return Ok(None) };
        let time = duration(self.plain(key, node)?).ok_or_else(|| {
            self.text
                .problem(node.at, format!("`{key}` is not a duration of at most 30 days"))
                .hint("write a number and a unit: `30s`, `15m`, `4h`, `7d`")
        })?;
        Ok(Some(time))
    }

    fn pin(&self) -> Result<Pinning, Problem> {
        let Some(node) = self.node.get("pin") else { return Ok(Pinning::default()) };
        Pinning::parse(self.plain("pin", node)?).ok_or_else(|| {
            let problem = self.text.problem(node.at, "`pin` is none of what can be pinned");
            problem.hint("write `definition`, `warn` or `off`")
        })
    }

    /// A secret that would stand in the process list or in logs.
    fn shows(&self, server: &Server) -> Option<Problem> {
        let key = match &server.transport {
            _ if !server.shows_secrets() => return None,
            Transport::Http { .. } => "url",
            Transport::Stdio(_) if self.node.get("args").is_some() => "args",
            Transport::Stdio(_) => "command",
        };
        let (seen, instead) = if key == "url" {
            ("in logs", "`headers`")
        } else {
            ("in the list of processes", "`secrets` or `env`")
        };
        let at = self.node.get(key).map_or(self.node.at, |node| node.at);
        Some(self.text.problem(at, format!("`{key}` has a reference: others see the secret {seen}")).hint(
            format!("write it in {instead}, or say that this is meant: `allow_visible_secrets = true`"),
        ))
    }

    fn table(&self, key: &str) -> Result<&[Member], Problem> {
        match self.node.get(key) {
            None => Ok(&[]),
            Some(Node { value: Value::Table(members), .. }) => Ok(members),
            Some(other) => Err(self.is_not(key, other, "a table of names and texts")),
        }
    }

    fn list(&self, key: &str) -> Result<&[Node], Problem> {
        match self.node.get(key) {
            None => Ok(&[]),
            Some(Node { value: Value::List(items), .. }) => Ok(items),
            Some(other) => Err(self.is_not(key, other, "a list of strings")),
        }
    }

    fn string<'n>(&self, key: &str, node: &'n Node) -> Result<&'n str, Problem> {
        node.as_text().ok_or_else(|| {
            self.text
                .problem(node.at, format!("`{key}`: this is not a string"))
                .hint("write it between quotes")
        })
    }

    /// A string that can be an argument, a variable or a header: in it there is no NUL, and a
    /// control character only where it is a line end or a tab.
    fn plain<'n>(&self, key: &str, node: &'n Node) -> Result<&'n str, Problem> {
        let text = self.string(key, node)?;
        let odd = |c: char| {
            c.is_control()
                && !(matches!(c, '\n' | '\r' | '\t') && matches!(key, "env" | "args" | "command"))
        };
        if text.chars().any(odd) {
            return Err(self
                .text
                .problem(node.at, format!("`{key}`: a control character stands in it")));
        }
        Ok(text)
    }

    fn template(&self, key: &str, node: &Node) -> Result<Template, Problem> {
        self.read(key, node.at, self.plain(key, node)?)
    }

    fn read(&self, key: &str, at: usize, text: &str) -> Result<Template, Problem> {
        use strongroom_model::server::TemplateError;

        text.parse().map_err(|error| {
            let hint = match error {
                TemplateError::Reference(error) => error.hint(),
                TemplateError::Open => None,
            };
            self.text.problem(at, format!("`{key}`: {error}")).maybe_hint(hint)
        })
    }

    fn is_not(&self, key: &str, node: &Node, what: &str) -> Problem {
        self.text.problem(node.at, format!("`{key}` is not {what}"))
    }
}

fn parse(text: &str) -> Option<Template> {
    text.parse().ok()
}

fn is_variable(name: &str) -> bool {
    name.len() <= 256
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `30s`, `15m`, `4h`, `7d`.
pub fn duration(text: &str) -> Option<Duration> {
    const LONGEST: u64 = 30 * 24 * 60 * 60;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit)?;
    (1..=LONGEST).contains(&seconds).then(|| Duration::from_secs(seconds))
}
