//! One question, what it is bound to, and the words that a person reads.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{Class, LONGEST_SESSION, Scope};
use crate::canonical::CanonicalRequest;
use crate::command::{Command, Invocation};
use crate::display::{escape_line, escape_lines};
use crate::policy::{AskMethod, Terms};
use crate::principal::{Caller, Name};
use crate::service::Service;
use crate::tool::{Served, ToolCall};

/// Characters of what the agent gives as its reason.
const REASON: usize = 500;
/// Characters of a request line or a command line, as it is kept: all of any target.
const WHAT: usize = 64 << 10;
/// Characters of it in a prompt of the agent's client.
const WHAT_SHORT: usize = 1_000;
/// Characters of a body that is text, as it is kept.
const BODY: usize = 4 << 10;
/// Characters of it in a prompt of the agent's client.
const BODY_SHORT: usize = 1_000;
/// Characters of a label.
const LABEL: usize = 128;

/// SHA-256 of something, every part of it with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these parts, of which none can pass for two.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What is to be done, in its one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matter {
    /// The service.
    pub service: Name,
    /// Its revision.
    pub revision: u64,
    /// Of everything that is sent, but for the credential.
    pub digest: Digest,
    /// What kind of thing it is.
    pub class: Class,
    /// `POST /v1/charges?limit=1`, or a command line.
    pub what: String,
    /// The origin, or the program.
    pub place: String,
    /// Bytes of the body or of stdin.
    pub bytes: u64,
    /// What the body says it is.
    pub content_type: Option<String>,
    /// The body or stdin, where it is text.
    pub text: Option<String>,
    /// Whether the body is sent without being looked at, so that no answer can be bound to it.
    pub unseen: bool,
}

impl Matter {
    /// The request `request` to `service`.
    pub fn request(service: &Service, request: &CanonicalRequest) -> Self {
        let place = service.origin.to_string();
        let method = request.method();
        let headers = request.headers();
        let count = (headers.len() as u64).to_be_bytes();
        let parts: [&[u8]; 5] = [
            b"request",
            method.as_str().as_bytes(),
            place.as_bytes(),
            request.target().as_bytes(),
            &count,
        ];
        let pairs = headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let digest = Digest::of(parts.into_iter().chain(pairs).chain([request.body()]));
        let content_type = headers.iter().find(|(name, _)| name == "content-type");
        Self {
            service: service.name.clone(),
            revision: service.revision,
            digest,
            class: Class::of(method),
            what: format!("{} {}", method.as_str(), request.target()),
            place,
            bytes: request.body_bytes(),
            content_type: content_type.map(|(_, value)| value.clone()),
            text: text_of(request.body()),
            unseen: request.unseen().is_some(),
        }
    }

    /// Running `invocation` of the command service `command`.
    pub fn command(command: &Command, invocation: &Invocation) -> Self {
        let program = &command.program;
        let parts: [&[u8]; 4] = [
            b"command",
            program.path.as_os_str().as_encoded_bytes(),
            program.sha256.as_bytes(),
            &invocation.canonical(),
        ];
        Self {
            service: command.name.clone(),
            revision: command.revision,
            digest: Digest::of(parts),
            class: Class::Run,
            what: format!("run {}", invocation.line()),
            place: program.path.display().to_string(),
            bytes: invocation.stdin().len() as u64,
            content_type: None,
            text: text_of(invocation.stdin()),
            unseen: false,
        }
    }

    /// The call `call` of a tool of `served`.
    pub fn tool(served: &Served, call: &ToolCall) -> Self {
        let arguments = call.arguments();
        let name = served.name.as_str();
        let parts: [&[u8]; 4] =
            [b"tool", name.as_bytes(), call.tool().as_bytes(), arguments.as_bytes()];
        Self {
            service: served.name.clone(),
            revision: served.revision,
            digest: Digest::of(parts),
            class: Class::Tool,
            what: format!("call the tool {}", call.tool().escape_debug()),
            place: format!("the server {name}"),
            bytes: arguments.len() as u64,
            content_type: Some("application/json".to_owned()),
            text: text_of(arguments.as_bytes()),
            unseen: false,
        }
    }
}

/// A body that a person can read: UTF-8, whatever it says it is.
fn text_of(body: &[u8]) -> Option<String> {
    str::from_utf8(body).ok().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The beginning of a body, in lines that are safe to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The lines.
    pub lines: Vec<String>,
    /// Bytes of the body that are not in them.
    pub missing: u64,
}

impl Excerpt {
    fn of(text: &str) -> Self {
        let (lines, taken) = escape_lines(text, BODY);
        Self { lines, missing: (text.len() - taken) as u64 }
    }

    /// Its lines, marked as what they are; `whole` as in [`Question::lines`].
    fn marked(&self, whole: bool) -> Vec<String> {
        let joined = self.lines.join("\n");
        let (shown, taken) = escape_lines(&joined, if whole { usize::MAX } else { BODY_SHORT });
        let mut lines: Vec<String> = shown.iter().map(|line| format!("| {line}")).collect();
        if taken < joined.len() {
            lines.push("... (cut: `strongroom approvals show` has more)".to_owned());
        } else if self.missing > 0 {
            lines.push(format!("... (cut: {} more bytes)", self.missing));
        }
        lines
    }
}

/// What an agent asks to be let do, beside any call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The service, whether or not there is one.
    pub service: Name,
    /// What the agent wants, in its words.
    pub what: String,
    /// Why, in its words.
    pub reason: Option<String>,
    /// The rule that asks for it, the class and the revision: with these a person can grant it.
    pub covered: Option<(String, Terms, Class, u64)>,
}

/// What a person is asked.
///
/// Every text in it that an agent chose is escaped and capped: it is shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whether no call waits for it.
    pub access: bool,
    /// Who asks.
    pub principal: Name,
    /// What its client calls itself.
    pub client: Option<String>,
    /// The service.
    pub service: Name,
    /// Its revision.
    pub revision: u64,
    /// The rule that asks; a request for access may have none.
    pub rule: Option<String>,
    /// What kind of thing it is.
    pub class: Option<Class>,
    /// What is to be done.
    pub what: String,
    /// Where.
    pub place: String,
    /// Bytes of the body.
    pub bytes: u64,
    /// What the body says it is.
    pub content_type: Option<String>,
    /// The beginning of the body, where that is text, for as long as nobody has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Excerpt>,
    /// The agent's reason.
    pub reason: Option<String>,
    /// Whether the agent's own client may not answer it.
    pub outside: bool,
    /// Whether the code that the agent's client shows must be typed in the window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub typed: bool,
    /// For how long a yes is good at the most, in seconds.
    pub ttl_s: Option<u64>,
    /// What the answer is bound to.
    digest: Digest,
}

impl Question {
    /// Whether `caller` may do `matter`, which `rule` asks for under `terms`.
    pub fn new(
        matter: Matter,
        caller: &Caller,
        rule: &str,
        terms: &Terms,
        reason: Option<&str>,
    ) -> Self {
        let principal = caller.principal.name.clone();
        let digest = Digest::of([
            b"question".as_slice(),
            principal.as_str().as_bytes(),
            matter.service.as_str().as_bytes(),
            rule.as_bytes(),
            matter.class.as_str().as_bytes(),
            &matter.revision.to_be_bytes(),
            matter.digest.bytes(),
        ]);
        Self {
            access: false,
            principal,
            client: caller.claimed_client.as_deref().map(|client| escape_line(client, LABEL).0),
            service: matter.service,
            revision: matter.revision,
            rule: Some(rule.to_owned()),
            class: Some(matter.class),
            what: shortened(&matter.what, WHAT),
            place: escape_line(&matter.place, WHAT).0,
            bytes: matter.bytes,
            content_type: matter.content_type.map(|text| escape_line(&text, LABEL).0),
            body: matter.text.map(|text| Excerpt::of(&text)),
            reason: words(reason),
            outside: terms.method == AskMethod::Dialog || terms.typed,
            typed: terms.typed,
            ttl_s: terms.ttl.map(|ttl| ttl.as_secs()),
            digest,
        }
    }

    /// Whether `caller` may have `access`.
    pub fn access(access: &Access, caller: &Caller) -> Self {
        let principal = caller.principal.name.clone();
        let (rule, terms, class, revision) = match &access.covered {
            Some((rule, terms, class, revision)) => {
                (Some(rule.clone()), terms.clone(), Some(*class), *revision)
            }
            None => (None, Terms::default(), None, 0),
        };
        let digest = Digest::of([
            b"access".as_slice(),
            principal.as_str().as_bytes(),
            access.service.as_str().as_bytes(),
            access.what.as_bytes(),
            &revision.to_be_bytes(),
        ]);
        Self {
            access: true,
            principal,
            client: caller.claimed_client.as_deref().map(|client| escape_line(client, LABEL).0),
            service: access.service.clone(),
            revision,
            rule,
            class,
            what: escape_line(&access.what, REASON).0,
            place: String::new(),
            bytes: 0,
            content_type: None,
            body: None,
            reason: words(access.reason.as_deref()),
            outside: true,
            typed: false,
            ttl_s: terms.ttl.map(|ttl| ttl.as_secs()),
            digest,
        }
    }

    /// What the answer is bound to: the request with its body, who makes it, the rule and the revision.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// For how long a yes is good at the most.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl_s.map(Duration::from_secs)
    }

    /// What a grant would cover, where there can be one.
    pub fn scope(&self) -> Option<Scope> {
        Some(Scope {
            principal: self.principal.clone(),
            service: self.service.clone(),
            rule: self.rule.clone()?,
            class: self.class?,
            revision: self.revision,
        })
    }

    /// What it is about, a line each, every line with what may stand on it. `whole`: a long request is
    /// not cut.
    pub fn lines(&self, whole: bool) -> Vec<String> {
        let mut lines = Vec::with_capacity(6);
        let who = match &self.client {
            Some(client) => {
                format!("`{}` (its client calls itself `{client}`)", self.principal)
            }
            None => format!("`{}`", self.principal),
        };
        let what = if whole { self.what.clone() } else { shortened(&self.what, WHAT_SHORT) };
        if self.access {
            lines.push(format!("{who} asks for access to `{}`", self.service));
            lines.push(format!("in the agent's words: {what}"));
        } else {
            lines.push(format!("{who} wants to use `{}`", self.service));
            lines.push(what);
            lines.push(self.at());
            lines.extend(self.body.iter().flat_map(|body| body.marked(whole)));
        }
        if let Some(rule) = &self.rule {
            lines.push(format!("asked for by the rule `{rule}`"));
        }
        if let Some(reason) = &self.reason {
            lines.push(format!("the agent says why: {reason}"));
        }
        lines
    }

    /// What each yes is good for, by the names that the two have where they are offered.
    pub fn good_for(&self, once: &str, session: Option<&str>) -> String {
        let mut text = format!("`{once}` is for exactly this, once.");
        if let Some(session) = session {
            let most = self.ttl().unwrap_or(LONGEST_SESSION).min(LONGEST_SESSION);
            let class = self.class.map_or("", Class::as_str);
            let rule = self.rule.as_deref().unwrap_or_default();
            let _ = write!(
                text,
                " `{session}` is for everything that the rule `{rule}` asks about ({class}), until \
                 this connection ends, {} at the most.",
                minutes(most)
            );
        }
        text
    }

    /// `at https://api.stripe.com, with a body of 120 bytes (application/json)`
    fn at(&self) -> String {
        let mut text = format!("at {}", self.place);
        if self.bytes == 0 {
            return text;
        }
        let part = match self.class {
            Some(Class::Run) => "stdin",
            Some(Class::Tool) => "arguments",
            _ => "a body",
        };
        let amount = match self.bytes {
            1 => "1 byte".to_owned(),
            bytes => format!("{bytes} bytes"),
        };
        let _ = write!(text, ", with {part} of {amount}");
        if let Some(kind) = &self.content_type {
            let _ = write!(text, " ({kind})");
        }
        text
    }
}

fn minutes(time: Duration) -> String {
    match time.as_secs() / 60 {
        0 => format!("{} seconds", time.as_secs()),
        minutes if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

/// What the agent wrote, in quotes that it cannot close.
fn words(reason: Option<&str>) -> Option<String> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty())?;
    let (line, cut) = escape_line(&reason.replace('"', "'"), REASON);
    Some(format!("\"{line}\"{}", if cut { " (cut)" } else { "" }))
}

/// One safe line that says how much of it is missing, so that nothing hides behind the cut.
fn shortened(text: &str, cap: usize) -> String {
    let (line, cut) = escape_line(text, cap);
    if cut {
        let missing = text.chars().count().saturating_sub(line.chars().count());
        format!("{line} ... (cut: about {missing} more characters)")
    } else {
        line
    }
}
