//! The request of a client, as the servers behind see it: who asks, what the client can do, and where
//! what is said before the answer goes.

mod halts;

use std::sync::Arc;

use strongroom_model::json::{self, Members};
use strongroom_model::ports::BoxFuture;
use strongroom_model::principal::Caller;

use crate::prompt::Outbox;
use crate::protocol::tasks::TASKS;
use crate::protocol::{Era, Params};
use crate::wire::RpcError;
use crate::wire::write::Object;

pub(crate) use halts::Stood;

/// One request of a client.
pub struct Origin {
    /// Who asks.
    pub caller: Caller,
    /// How the client is talked to.
    pub(crate) era: Era,
    /// What the client can do.
    pub(crate) can: Abilities,
    /// The token that its progress is told under, as written.
    pub(crate) progress: Option<Box<str>>,
    /// The least severe message that the client wants to hear of; `None`: of a modern client that wants
    /// none, and of an older one that has left it to the server.
    pub(crate) level: Option<Level>,
    /// The members of `_meta` that are the client's own, each as written.
    pub(crate) meta: Vec<(Box<str>, Box<str>)>,
    /// `Mcp-Param-*` of an HTTP request of the modern era, names in lower case.
    pub(crate) headers: Option<Vec<(Box<str>, Box<str>)>>,
    /// To the client, for as long as its request lasts.
    pub(crate) line: Option<Arc<dyn Line>>,
    /// What is under the line of a modern client, where it reads what is said before the answer.
    pub(crate) out: Option<Arc<dyn Outbox>>,
    /// What the client brings back to a server that has asked it something.
    pub(crate) brings: Brings,
    /// How long the client was asked something meanwhile.
    pub(crate) stood: Arc<Stood>,
}

/// What a modern client brings back in a retry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brings {
    /// `inputResponses`, as written.
    pub(crate) responses: Option<Box<str>>,
    /// The server's own `requestState`.
    pub(crate) state: Option<Box<str>>,
}

/// To a client, while its request lasts.
pub(crate) trait Line: Send + Sync {
    /// Tells the client something. A client that is slow to read misses it.
    fn tell(&self, message: Vec<u8>);

    /// The token that progress is told under now, where it was `first` in the beginning.
    fn token(&self, first: &str) -> Option<Box<str>> {
        Some(first.into())
    }

    /// Asks the client all of `questions` and waits for what it says to each, as written.
    ///
    /// # Errors
    ///
    /// An error object: the client cannot be asked, or says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the questions back.
    fn ask(&self, questions: Vec<Asking>) -> BoxFuture<'_, Result<Vec<Box<str>>, Box<str>>>;
}

/// A request to a client.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    /// What its server calls it.
    pub(crate) key: Box<str>,
    /// The method.
    pub(crate) method: &'static str,
    /// The parameters, an object on one line.
    pub(crate) params: Box<str>,
}

/// What a client can do for servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub(crate) struct Abilities {
    pub(crate) sampling: bool,
    /// Sampling with tools.
    pub(crate) sampling_tools: bool,
    pub(crate) forms: bool,
    pub(crate) urls: bool,
    pub(crate) roots: bool,
    /// Waits for tasks (SEP-2663).
    pub(crate) tasks: bool,
}

impl Abilities {
    /// Reads `capabilities`, an object as written.
    pub(crate) fn read(capabilities: &str) -> Self {
        let all = Members::read(capabilities).unwrap_or_default();
        let has = |name: &str| all.get(name).is_some_and(|raw| raw.starts_with('{'));
        let sampling = all.get("sampling").and_then(Members::read);
        let modes = all.get("elicitation").and_then(Members::read);
        let extensions = all.get("extensions").and_then(Members::read);
        let mode = |name: &str| modes.as_ref().is_some_and(|modes| modes.get(name).is_some());
        Self {
            sampling: has("sampling"),
            sampling_tools: sampling.is_some_and(|parts| parts.get("tools").is_some()),
            // `{}` means forms, as long as there was nothing else.
            forms: modes.is_some() && (mode("form") || !mode("url")),
            urls: mode("url"),
            roots: has("roots"),
            tasks: extensions.is_some_and(|all| all.get(TASKS).is_some()),
        }
    }

    /// What both have.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            sampling: self.sampling && other.sampling,
            sampling_tools: self.sampling_tools && other.sampling_tools,
            forms: self.forms && other.forms,
            urls: self.urls && other.urls,
            roots: self.roots && other.roots,
            tasks: self.tasks && other.tasks,
        }
    }

    /// Writes them as capabilities.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let mut all = Object::open(out);
        if self.sampling {
            let mut parts = Object::open(all.name("sampling"));
            if self.sampling_tools {
                Object::open(parts.name("tools")).close();
            }
            parts.close();
        }
        if self.forms || self.urls {
            let mut modes = Object::open(all.name("elicitation"));
            for (mode, has) in [("form", self.forms), ("url", self.urls)] {
                if has {
                    Object::open(modes.name(mode)).close();
                }
            }
            modes.close();
        }
        if self.roots {
            Object::open(all.name("roots")).close();
        }
        if self.tasks {
            let mut extensions = Object::open(all.name("extensions"));
            Object::open(extensions.name(TASKS)).close();
            extensions.close();
        }
        all.close();
    }
}

/// How severe a message in a log is (RFC 5424).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(pub(crate) u8);

impl Level {
    const NAMES: [&str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

    /// The level of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        u8::try_from(at).ok().map(Self)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or("emergency")
    }

    /// Reads what a request says.
    pub(crate) fn read(raw: &str) -> Result<Self, RpcError> {
        let name = json::string(raw);
        name.and_then(|name| Self::of(&name))
            .ok_or_else(|| RpcError::invalid_params("there is no such level of a log"))
    }
}

const LEVEL: &str = "io.modelcontextprotocol/logLevel";

impl Origin {
    /// A request that says no more than who asks.
    pub fn of(caller: Caller) -> Self {
        Self {
            caller,
            era: Era::Legacy,
            can: Abilities::default(),
            progress: None,
            level: None,
            meta: Vec::new(),
            headers: None,
            line: None,
            out: None,
            brings: Brings::default(),
            stood: Arc::default(),
        }
    }

    /// The request whose parameters these are.
    pub(crate) fn read(caller: Caller, era: Era, params: &Params<'_>) -> Result<Self, RpcError> {
        let mut origin = Self { era, ..Self::of(caller) };
        for (name, raw) in params.meta() {
            match name {
                // Progress is told under an integer or a text.
                "progressToken" => {
                    origin.progress = crate::wire::Id::read(raw).map(|id| id.raw().into());
                }
                LEVEL => origin.level = Some(Level::read(raw)?),
                _ if name.starts_with("io.modelcontextprotocol/") => {}
                _ => origin.meta.push((name.into(), raw.into())),
            }
        }
        if era == Era::Modern {
            origin.can = Abilities::read(params.capabilities().unwrap_or("{}"));
        }
        Ok(origin)
    }

    /// Whether the client has said hello, and so can be sent requests.
    pub(crate) fn is_legacy(&self) -> bool {
        self.era == Era::Legacy
    }

    /// Whether the client wants to hear of a message of this level. A modern one hears of none that it has
    /// not asked for; an older one of whatever the server logs.
    pub(crate) fn hears(&self, level: Level) -> bool {
        self.level.map_or_else(|| self.is_legacy(), |least| level >= least)
    }

    /// Whether the client has members of `_meta` of its own.
    pub(crate) fn has_meta(&self) -> bool {
        !self.meta.is_empty()
    }

    /// Writes the members of `_meta` that are the client's own.
    pub(crate) fn write_meta(&self, meta: &mut Object<'_>) {
        for (name, raw) in &self.meta {
            crate::wire::write::on_one_line(meta.name(name), raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(abilities: Abilities) -> String {
        let mut out = Vec::new();
        abilities.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn abilities_are_what_the_capabilities_say_and_nothing_else_is_passed_on() {
        for (capabilities, expected) in [
            ("{}", "{}"),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
            (r#"{"elicitation":{"url":{}},"vendor":{}}"#, r#"{"elicitation":{"url":{}}}"#),
            (
                r#"{"roots":{"listChanged":true},"sampling":{"tools":{},"context":{}}}"#,
                r#"{"sampling":{"tools":{}},"roots":{}}"#,
            ),
            (r#"{"sampling":null,"roots":1}"#, "{}"),
        ] {
            assert_eq!(written(Abilities::read(capabilities)), expected, "{capabilities}");
        }
        let (one, other) = (r#"{"sampling":{},"roots":{}}"#, r#"{"roots":{},"elicitation":{}}"#);
        assert_eq!(written(Abilities::read(one).and(Abilities::read(other))), r#"{"roots":{}}"#);
    }

    #[test]
    fn levels_have_their_order_and_their_names() {
        assert!(
            Level::of("debug") < Level::of("info") && Level::of("alert") < Level::of("emergency")
        );
        assert_eq!(Level::of("loud"), None);
        assert_eq!(Level::of("notice").unwrap().name(), "notice");
    }
}
