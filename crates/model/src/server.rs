//! MCP servers: what is started or called, and the secrets that it needs.
//!
//! A [`Server`] is what every source of servers (a registry file, `strongroom.toml`, an import) is
//! turned into. Its texts are [`Template`]s: literal text with references in it. Nothing in them is
//! ever expanded, and no shell reads them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::network::Cidr;
use crate::pin::Pinning;
use crate::policy::Verdict;
use crate::principal::Name;
use crate::reference::{RefError, SecretRef};
use crate::tool::{Policy, Rule};

/// An MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The name that a person types.
    pub name: Name,
    /// What it is, for people.
    pub description: Option<String>,
    /// How it is reached.
    pub transport: Transport,
    /// How its secrets reach it.
    pub delivery: Delivery,
    /// How long its secrets are good, where it says so itself.
    pub ttl: Option<Duration>,
    /// What happens to a tool of it whose definition is not the approved one.
    pub pin: Pinning,
    /// How it is offered behind the gateway.
    pub offer: Offer,
}

/// How a server is offered behind the gateway. Where it is started by itself this means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which of its tools may be called, and how: all of them where nobody says otherwise (decision 31).
    pub tools: Policy,
    /// How long it runs without being used.
    pub idle: Duration,
    /// How long it runs at the most; then it is started anew, once nobody waits for an answer.
    pub lifetime: Option<Duration>,
    /// What it may ask of the clients that call it.
    pub asks: Asks,
    /// Calls of its tools a minute, all principals together, where it says so itself.
    pub calls_per_minute: Option<u32>,
    /// Where no other server is mounted, its tools keep the names that it gives them (decision 13).
    pub plain_names: bool,
}

/// What a server may ask of clients, beyond its answers. Nothing, unless somebody has said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is allowed by itself")]
pub struct Asks {
    /// That the client's model answers it: `sampling/createMessage`.
    pub sampling: bool,
    /// That the client's user fills in a form or opens an address: `elicitation/create`.
    pub elicitation: bool,
    /// Which folders the client works in: `roots/list`.
    pub roots: bool,
    /// That the client shows pages of the server's own, which act in its user's name (`ui://`).
    pub ui: bool,
}

impl Asks {
    /// The same and what `word` stands for; `None`: it is none that a server may ask for.
    #[must_use]
    pub fn with(self, word: &str) -> Option<Self> {
        match word {
            "sampling" => Some(Self { sampling: true, ..self }),
            "elicitation" => Some(Self { elicitation: true, ..self }),
            "roots" => Some(Self { roots: true, ..self }),
            "ui" => Some(Self { ui: true, ..self }),
            _ => None,
        }
    }
}

impl Default for Offer {
    fn default() -> Self {
        let everything = Rule::parse(Verdict::Allow, "*");
        Self {
            tools: Policy::new(everything.into_iter().collect()),
            idle: Duration::from_mins(30),
            lifetime: None,
            asks: Asks::default(),
            calls_per_minute: None,
            plain_names: false,
        }
    }
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A program that speaks on its standard input and output.
    Stdio(Stdio),
    /// An address (streamable HTTP).
    Http {
        /// The address.
        url: Template,
        /// Headers of every request, in order.
        headers: BTreeMap<String, Template>,
        /// What it may have beyond the public network.
        beyond: Beyond,
    },
}

/// What a server at an address may have beyond the public network and the authorities that everybody
/// trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Addresses that would be refused but for this server.
    pub allow_ips: Vec<Cidr>,
    /// A file with PEM of the certificate authorities to trust instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
}

/// A program and what it is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stdio {
    /// The program: a name to be looked for in `PATH`, or a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<Template>,
    /// Variables of its own.
    pub env: BTreeMap<String, Template>,
    /// Variables of the caller's environment that it gets beside the usual ones.
    pub pass_env: Vec<String>,
    /// Where it starts; where the caller is, if there is none.
    pub cwd: Option<PathBuf>,
    /// The room of its own that it is to have, if any (decision 53).
    pub isolate: Option<Isolation>,
}

/// What a server in a room of its own has beside its program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// What it may read: absolute paths.
    pub read: Vec<PathBuf>,
    /// What it may write to: absolute paths.
    pub write: Vec<PathBuf>,
    /// Whether it has the machine's network.
    pub network: bool,
}

/// How secrets reach a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// From the cache, which asks the provider when it must.
    #[default]
    Cached,
    /// From the provider, at each start; nothing is kept.
    Runtime,
    /// From a file of variables in the project, which `strongroom env --write` makes.
    EnvFile,
}

/// A text with references in it.
///
/// A text that is a reference as a whole stands for its secret. Within other text a reference
/// stands between braces: `Bearer {{op://Vault/Item/field}}`. In the whole-text form `file:` is not
/// a reference: programs take such URLs as ordinary settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Itself.
    Text(String),
    /// The secret.
    Reference(SecretRef),
}

/// Not a template. The input is never repeated: it may be a pasted secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("a `{{{{` has no `}}}}` behind it")]
    Open,
    /// What stands between the braces, or the whole text, is nearly a reference.
    #[error(transparent)]
    Reference(#[from] RefError),
}

impl Server {
    /// Every reference that it needs, each once, in order.
    pub fn references(&self) -> Vec<&SecretRef> {
        let templates: Vec<&Template> = match &self.transport {
            Transport::Stdio(stdio) => stdio.env.values().chain(&stdio.args).collect(),
            Transport::Http { url, headers, .. } => headers.values().chain([url]).collect(),
        };
        let mut found: Vec<&SecretRef> = Vec::new();
        for reference in templates.into_iter().flat_map(Template::references) {
            if !found.contains(&reference) {
                found.push(reference);
            }
        }
        found
    }

    /// Whether what is started is the same: rules and words about it may differ.
    pub fn starts_as(&self, other: &Self) -> bool {
        let of = |server: &Self| (server.offer.idle, server.offer.lifetime);
        self.name == other.name
            && self.transport == other.transport
            && self.delivery == other.delivery
            && of(self) == of(other)
    }

    /// Whether a secret would stand where others see it: in an argument (process lists) or in the
    /// address (logs).
    pub fn shows_secrets(&self) -> bool {
        match &self.transport {
            Transport::Stdio(stdio) => stdio.args.iter().any(Template::is_secret),
            Transport::Http { url, .. } => url.is_secret(),
        }
    }
}

impl Delivery {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Runtime => "runtime",
            Self::EnvFile => "env-file",
        }
    }
}

impl Template {
    /// Text in which nothing is a reference.
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// One secret and nothing else.
    pub fn secret(reference: SecretRef) -> Self {
        Self(vec![Piece::Reference(reference)])
    }

    /// Its parts, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = &SecretRef> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Text(_) => None,
        })
    }

    /// Whether there is a reference in it.
    pub fn is_secret(&self) -> bool {
        self.references().next().is_some()
    }

    /// The text, where there is no reference in it.
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if !text.contains("{{") {
            return whole(text);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            let (inner, after) = behind.split_once("}}").ok_or(TemplateError::Open)?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Reference(inner.parse()?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

/// A text without braces. `https://x` is a text: its scheme is none of ours.
fn whole(text: &str) -> Result<Template, TemplateError> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if scheme != "file" && crate::reference::is_scheme(scheme) => {
            Ok(Template::secret(text.parse()?))
        }
        _ => Ok(Template::literal(text)),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Reference(reference)
                    if self.0.len() == 1 && reference.scheme() != "file" =>
                {
                    reference.fmt(f)?;
                }
                Piece::Reference(reference) => write!(f, "{{{{{reference}}}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    #[test]
    fn a_text_is_a_reference_as_a_whole_or_between_braces() {
        for (text, count) in [
            ("", 0),
            ("plain", 0),
            ("https://example.com/x", 0),
            ("file:///var/log", 0),
            ("postgres://me@db/x", 0),
            ("op://V/I/f", 1),
            ("{{file:///run/key}}", 1),
            ("Bearer {{op://V/I/f}}", 1),
            ("{{op://V/I/a}}:{{local://b}}!", 2),
        ] {
            let template = template(text);
            assert_eq!(template.references().count(), count, "{text}");
            assert_eq!(template.to_string(), text);
            assert_eq!(template.as_literal().is_some(), count == 0, "{text}");
        }
    }

    #[test]
    fn what_is_nearly_a_reference_is_refused() {
        for text in
            ["op://V", "Bearer {{op://V}}", "{{", "{{x}}", "{{op://V/I/f}", "{{ op://V/I/f }}"]
        {
            let error = text.parse::<Template>().unwrap_err();
            assert!(!error.to_string().contains("op://V/"), "{error}");
        }
    }

    #[test]
    fn a_server_lists_each_reference_once_and_says_where_one_shows() {
        let stdio = Stdio {
            args: vec![template("--flag")],
            env: [("A".into(), template("op://V/I/f")), ("B".into(), template("x{{op://V/I/f}}"))]
                .into(),
            ..Stdio::default()
        };
        let mut server = Server {
            name: "x".parse().unwrap(),
            description: None,
            transport: Transport::Stdio(stdio),
            delivery: Delivery::default(),
            ttl: None,
            pin: Pinning::default(),
            offer: Offer::default(),
        };
        assert_eq!(server.references().len(), 1);
        assert!(!server.shows_secrets());
        let url = template("https://h/{{local://k}}");
        server.transport =
            Transport::Http { url, headers: BTreeMap::new(), beyond: Beyond::default() };
        assert!(server.shows_secrets());
    }
}
