//! One call and its answer, as they cross between the MCP tools and the executor.

use bytes::Bytes;

use crate::code::Refusal;
use crate::policy::{Explanation, Verdict};
use crate::redact::Clean;

/// What the `execute` tool was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Execute {
    /// The service's name.
    pub service: String,
    /// The method.
    pub method: String,
    /// The path, relative to the service's base.
    pub path: String,
    /// Query parameters beside those in `path`.
    pub query: Vec<(String, String)>,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// A file of the exchange folder that is sent as the body.
    pub body_file: Option<String>,
    /// Whether the answer's body goes into a file of the exchange folder.
    pub save: bool,
    /// Events that are read of an event stream at the most; where it is not said, as many as the
    /// service allows.
    pub max_events: Option<u32>,
    /// Why, in the agent's words.
    pub reason: Option<String>,
}

/// A request body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// A string, sent as it is.
    Text(String),
    /// A JSON value as it was written: sent as JSON, or as a form where `content-type` says so.
    Json(String),
    /// Bytes (base64 in the call).
    Bytes(Vec<u8>),
}

impl Body {
    /// How many bytes were given. What is sent may differ: a form is longer than its JSON.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the `exec` tool was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// The service's name.
    pub service: String,
    /// The program's name and its arguments.
    pub command: Vec<String>,
    /// Standard input.
    pub stdin: Vec<u8>,
    /// Why, in the agent's words.
    pub reason: Option<String>,
}

/// How a run ended. Every ending has an audit id, but for one that could not be recorded.
#[derive(Debug)]
pub struct Executed {
    /// What it came to, or why it did not run to its end.
    pub result: Result<Ran, Refusal>,
    /// The audit record.
    pub audit_id: Option<String>,
}

/// What a program printed, redacted, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// What it ended with; 128 and the signal where it was one.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it printed.
    pub stdout: Clean<Bytes>,
    /// What it printed to descriptor 2.
    pub stderr: Clean<Bytes>,
    /// How many markers stand in both.
    pub redactions: u64,
    /// Milliseconds.
    pub duration_ms: u64,
}

/// What a server answered to the call of a tool, redacted.
#[derive(Debug)]
pub struct ToolAnswer {
    /// The result, or the error object, as JSON.
    pub text: Clean<Vec<u8>>,
    /// Whether it is an error object.
    pub is_error: bool,
    /// Whether it tells of a failure, as an error object does, and a result with `isError`.
    pub failed: bool,
    /// How many markers stand in it.
    pub redactions: u64,
}

/// How the call of a tool ended. Every ending has an audit id, but for one that could not be recorded.
#[derive(Debug)]
pub struct ToolCalled {
    /// The answer, or why there is none.
    pub result: Result<ToolAnswer, Refusal>,
    /// The audit record.
    pub audit_id: Option<String>,
}

/// How a call ended. Every ending has an audit id, but for one that could not be recorded.
#[derive(Debug)]
pub struct Finished {
    /// The answer, or why there is none.
    pub result: Result<Answer, Refusal>,
    /// The audit record.
    pub audit_id: Option<String>,
}

/// An upstream's answer, redacted.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The allow-listed headers, lower-case names.
    pub headers: Vec<(String, Clean<String>)>,
    /// The decoded body; empty where it is in a file.
    pub body: Clean<Bytes>,
    /// Where the body is, if it was to be saved.
    pub file: Option<Saved>,
    /// Why an event stream was left before its end.
    pub truncated: Option<Truncated>,
    /// How many markers stand in headers and body.
    pub redactions: u64,
    /// How many credentials in the body were kept, and handles given for them.
    pub sealed: u64,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Request headers that were left out because no list allows them.
    pub dropped_headers: Vec<String>,
}

/// A body in a file of the exchange folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// Why an event stream was left before its end. Whole events came until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncated {
    /// There were as many events as were asked for, or as the service allows.
    Events,
    /// Nothing came for a while.
    Idle,
    /// The call had taken all its time.
    Total,
}

impl Truncated {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Idle => "idle",
            Self::Total => "total",
        }
    }
}

/// A service as its users may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// The name.
    pub name: String,
    /// `http` or `command`.
    pub kind: &'static str,
    /// Origin and base path; empty for a program.
    pub base_url: String,
    /// What a command line begins with, for a program.
    pub program: Option<String>,
    /// The auth scheme's name.
    pub auth: String,
    /// Rules in plain words, as configured.
    pub rules: Vec<(Verdict, String)>,
    /// Calls a minute.
    pub calls_per_minute: u32,
    /// Bytes of a response.
    pub response_bytes: usize,
    /// Request headers the agent may set, beyond the usual ones.
    pub request_headers: Vec<String>,
    /// Names of the places where a handle is swapped for the credential that it stands for.
    pub handle_fields: Vec<String>,
}

/// What the policy says, and what the request was understood as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The canonical method and path.
    pub request: String,
    /// The policy's words.
    pub explanation: Explanation,
}

/// What `test_service` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The upstream answered.
    pub reachable: bool,
    /// It did not answer 401 or 403.
    pub authenticated: bool,
    /// Its status.
    pub status: u16,
    /// Milliseconds.
    pub latency_ms: u64,
    /// The audit record.
    pub audit_id: String,
}

/// Who the caller is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoAmI {
    /// The principal's name.
    pub principal: String,
    /// `stdio` or `token`.
    pub source: &'static str,
    /// The services that may be used.
    pub services: Vec<String>,
    /// What a person has granted for a while.
    pub grants: Vec<Granted>,
}

/// A grant as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its id.
    pub id: String,
    /// The service.
    pub service: String,
    /// The rule that would ask without it.
    pub rule: String,
    /// `read`, `write`, `delete`, `run`.
    pub class: &'static str,
    /// Whether it ends with the connection.
    pub session: bool,
    /// Seconds until it lapses at the latest.
    pub lapses_in_s: u64,
}

/// What the `request_access` tool was asked to put before a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestAccess {
    /// The service, whether or not there is one.
    pub service: String,
    /// What the agent wants: best a method and a path.
    pub what: String,
    /// Why.
    pub reason: Option<String>,
}

/// A request for access that a person can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Its id.
    pub id: String,
    /// The audit record.
    pub audit_id: Option<String>,
}
