//! What a person is asked, and what a yes is good for (decisions 15 and 28).
//!
//! A [`Question`] is one request in its one form, and who makes it under which rule. Its
//! [`digest`](Question::digest) binds the answer: a yes is good for exactly these bytes, once. A yes for
//! longer is a [`Grant`], which covers a [`Scope`]: a *timed* one is seen by every process, one *for the
//! session* stands with the connection that it was given to ([`SessionGrants`]) and ends with it.

mod question;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::canonical::Method;
use crate::ports::Prompt;
use crate::principal::Name;

pub use question::{Access, Digest, Excerpt, Matter, Question};
pub use session::SessionGrants;

/// How long a question stays open, and for how long after it was given a yes can be used.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// How long a request for access stays open: nobody waits for it.
pub const ACCESS_PATIENCE: Duration = Duration::from_hours(24);

/// The longest that a grant for the session lasts.
pub const LONGEST_SESSION: Duration = Duration::from_hours(8);

/// The longest that a timed grant lasts.
pub const LONGEST_GRANT: Duration = Duration::from_hours(30 * 24);

/// Questions of one principal that may be open at once: a person who is flooded says yes (DE-09).
pub const MOST_OPEN: usize = 16;

/// Requests for access that one principal may make in [`ACCESS_PATIENCE`].
pub const MOST_ACCESS: usize = 8;

/// That a person approved one request, or granted it for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// What covers it: the approval's own id (`a-...`), or the grant's (`g-...`, `s-...`).
    pub grant: Option<String>,
    /// How the person was asked: `cli`, `elicitation`, `dialog`, `api`.
    pub method: &'static str,
}

/// How a person was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// At the terminal, by `strongroom approvals`.
    Cli,
    /// By the window program.
    Dialog,
    /// By the agent's own client. A weak way: a client may answer without a person.
    Elicitation,
    /// Over the REST interface of a team, by the holder of a key other than the one that asks.
    Api,
}

impl By {
    /// The name in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Dialog => "dialog",
            Self::Elicitation => "elicitation",
            Self::Api => "api",
        }
    }

    /// The way of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Cli, Self::Dialog, Self::Elicitation, Self::Api]
            .into_iter()
            .find(|by| by.as_str() == name)
    }
}

/// What a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, to this one request.
    Once,
    /// Yes, for as long as the connection lasts.
    Session,
    /// Yes, for this long.
    For(Duration),
    /// No.
    Deny,
}

impl Answer {
    /// What a client's prompt says for yes, once.
    pub const ALLOW: &'static str = "Allow";
    /// What a client's prompt says for yes, for the session.
    pub const ALLOW_SESSION: &'static str = "Allow for Session";
    /// What a client's prompt says for no.
    pub const DENY: &'static str = "Deny";

    /// The answer that a client's prompt gave. Only the exact words count (decision 15).
    pub fn of_prompt(word: &str) -> Self {
        match word {
            Self::ALLOW => Self::Once,
            Self::ALLOW_SESSION => Self::Session,
            _ => Self::Deny,
        }
    }

    /// The answer as it is kept.
    pub fn text(self) -> String {
        match self {
            Self::Once => "once".into(),
            Self::Session => "session".into(),
            Self::For(time) => format!("for {}", time.as_secs()),
            Self::Deny => "deny".into(),
        }
    }

    /// The answer that was kept as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "once" => Some(Self::Once),
            "session" => Some(Self::Session),
            "deny" => Some(Self::Deny),
            _ => {
                let seconds = text.strip_prefix("for ")?.parse().ok()?;
                Some(Self::For(Duration::from_secs(seconds)))
            }
        }
    }

    /// The same, no longer than `ttl` where there is one and never longer than is ever granted.
    #[must_use]
    pub fn within(self, ttl: Option<Duration>) -> Self {
        match self {
            Self::For(time) => Self::For(time.min(ttl.unwrap_or(LONGEST_GRANT)).min(LONGEST_GRANT)),
            other => other,
        }
    }
}

/// What kind of thing a grant covers, so that a yes to reading is none to deleting (DE-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// GET, HEAD, OPTIONS.
    Read,
    /// POST, PUT, PATCH.
    Write,
    /// DELETE.
    Delete,
    /// A program is run.
    Run,
    /// A tool of a server is called.
    Tool,
}

impl Class {
    /// The class of a method.
    pub fn of(method: Method) -> Self {
        match method {
            Method::Get | Method::Head | Method::Options => Self::Read,
            Method::Post | Method::Put | Method::Patch => Self::Write,
            Method::Delete => Self::Delete,
        }
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Run => "run",
            Self::Tool => "tool",
        }
    }

    /// The class of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Delete, Self::Run, Self::Tool]
            .into_iter()
            .find(|class| class.as_str() == name)
    }
}

/// What a grant covers (decision 15).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Who asked.
    pub principal: Name,
    /// Of which service.
    pub service: Name,
    /// Under which rule.
    pub rule: String,
    /// To do what.
    pub class: Class,
    /// The revision of the service, its policy included: after any change of it nothing is granted.
    pub revision: u64,
}

/// A yes for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// `g-...`, or `s-...` where it is for a session.
    pub id: String,
    /// What it covers.
    pub scope: Scope,
    /// How the person was asked.
    pub by: By,
    /// When it was given.
    pub created: SystemTime,
    /// When it lapses.
    pub lapses: SystemTime,
}

impl Grant {
    /// Whether it is for a session.
    pub fn is_for_session(&self) -> bool {
        self.id.starts_with("s-")
    }

    /// Whether it stands at `now`. A clock that went back behind its beginning ends it.
    pub fn stands(&self, now: SystemTime) -> bool {
        self.created <= now && now < self.lapses
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has answered yet.
    Open,
    /// Yes, and it has not been used.
    Approved,
    /// No.
    Denied,
    /// Yes, and it has been used.
    Used,
    /// Whoever asked is gone.
    Withdrawn,
    /// Nobody answered in time, or the yes was not used in time.
    Expired,
}

impl State {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Open, Self::Approved, Self::Denied, Self::Used, Self::Withdrawn, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// A question as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `a-...`.
    pub id: String,
    /// What was asked.
    pub question: Question,
    /// What became of it.
    pub state: State,
    /// When it was asked.
    pub opened: SystemTime,
    /// When the question, or the answer, is good no longer.
    pub expires: SystemTime,
    /// How the person who answered was asked.
    pub by: Option<By>,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The question is open; `new`: it was not before.
    Asked {
        /// Its id.
        id: String,
        /// Whether it was opened just now.
        new: bool,
    },
    /// A person said yes to exactly this, and nobody has used it yet.
    Approved(String),
    /// A person said no to exactly this a moment ago.
    Denied(String),
    /// Too many questions of this principal are open.
    TooMany,
}

/// An approval that was used: nobody else can use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How the person was asked.
    pub by: By,
    /// The grant that the person gave with it: a timed one that stands already, or one for the session,
    /// to be kept with the connection.
    pub grant: Option<Grant>,
}

/// The connection that a caller came over: what was granted to it, and how its user can be asked.
#[derive(Clone, Default)]
pub struct Channel {
    /// What was granted for as long as it lasts; `None`: it ends with the call.
    pub session: Option<Arc<SessionGrants>>,
    /// The client's own prompt, where it has one.
    pub prompt: Option<Arc<dyn Prompt>>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("session", &self.session.is_some())
            .field("prompt", &self.prompt.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests;
