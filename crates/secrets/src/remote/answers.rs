//! What a team server answers: the fields that its document (`/openapi.json`) promises. Others are
//! passed over, so that a newer server can say more.
//!
//! Texts are the server's: whoever shows them makes them safe for a terminal first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `/v1/whoami`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Whoami {
    /// The tenant's id.
    pub tenant_id: String,
    /// Its name.
    pub tenant: String,
    /// The organization that it belongs to.
    pub organization_id: String,
    /// The public part of the key.
    pub key_id: String,
    /// What the holder of the key may do.
    pub scopes: Vec<String>,
    /// Whether it administers the installation.
    pub operator: bool,
}

/// `/v1/tools`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tools {
    /// They.
    pub tools: Vec<Tool>,
}

/// A tool that was seen, and how it stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tool {
    /// Its server, as the tenant calls it.
    pub server_id: String,
    /// Its name there.
    pub tool: String,
    /// `approved`, or why a definition waits: `changed`, `hidden`, `long`.
    pub state: String,
    /// When it came to stand so.
    pub since: Option<String>,
    /// Whether somebody approved what is approved.
    pub by_person: bool,
    /// The hash of what is approved.
    pub approved_hash: Option<String>,
    /// That of what waits.
    pub waiting_hash: Option<String>,
}

/// `/v1/tools/definition`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ToolDefinition {
    /// The tool.
    pub tool: Tool,
    /// What is approved, as its server wrote it.
    pub approved: Option<String>,
    /// What waits, likewise.
    pub waiting: Option<String>,
}

/// A registered MCP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Server {
    /// Its row.
    pub id: String,
    /// What the tenant calls it.
    pub server_id: String,
    /// What people call it.
    pub name: String,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// The address, where it runs elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Plain headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What each variable or header gets.
    #[serde(default)]
    pub secrets: BTreeMap<String, Binding>,
    /// What the names of its tools begin with.
    pub tool_prefix: String,
    /// Whether it is mounted.
    pub enabled: bool,
    /// When it was registered.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: Option<String>,
}

/// A field of a stored credential.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Binding {
    /// The credential's service.
    pub service: String,
    /// Its type.
    #[serde(default = "Binding::usual_type")]
    pub credential_type: String,
    /// The field.
    pub field: String,
}

impl Binding {
    /// The type of a credential that says no other.
    pub const TYPE: &'static str = "api_key";

    fn usual_type() -> String {
        Self::TYPE.to_owned()
    }

    /// `SERVICE/FIELD`, or `SERVICE/TYPE/FIELD` where the type is not the usual one.
    pub fn reference(&self) -> String {
        let Self { service, credential_type, field } = self;
        if credential_type == Self::TYPE {
            format!("local://{service}/{field}")
        } else {
            format!("local://{service}/{credential_type}/{field}")
        }
    }
}

/// A page of servers.
#[derive(Clone, Debug, Deserialize)]
pub struct Servers {
    /// The servers.
    pub servers: Vec<Server>,
}

/// An HTTP service.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// What agents call it.
    pub name: String,
    /// The fields that `strongroom.toml` has.
    pub definition: Map<String, Value>,
    /// Grows with every change.
    pub revision: u64,
}

/// The services.
#[derive(Clone, Debug, Deserialize)]
pub struct Services {
    /// The services.
    pub services: Vec<Service>,
}

/// A credential, without its values.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Credential {
    /// Its row.
    pub id: String,
    /// The service that it is for.
    pub service: String,
    /// What it is.
    pub credential_type: String,
    /// When it was first stored.
    pub created_at: String,
    /// When it was last stored.
    pub updated_at: String,
    /// When it was last given out.
    pub last_used_at: Option<String>,
}

/// The credentials.
#[derive(Clone, Debug, Deserialize)]
pub struct Credentials {
    /// The credentials.
    pub credentials: Vec<Credential>,
}

/// A credential that was stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Stored {
    /// Its row.
    pub credential_id: String,
    /// The service that it is for.
    pub service: String,
    /// What it is.
    pub credential_type: String,
    /// When it was first stored.
    pub created_at: String,
}

/// A part that is locked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Lock {
    /// `everything`, `service`, `principal` or `server`.
    pub part: String,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the operator locked it, for all tenants.
    pub by_operator: bool,
    /// Since when.
    pub since: String,
}

/// What is locked.
#[derive(Clone, Debug, Deserialize)]
pub struct Locks {
    /// What is locked.
    pub locks: Vec<Lock>,
}

/// A page of the audit, the newest record first.
#[derive(Clone, Debug, Deserialize)]
pub struct Records {
    /// The records, as they were written.
    pub records: Vec<Map<String, Value>>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// What an agent asks a person.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Approval {
    /// `a-` and eight characters.
    pub id: String,
    /// `open`, or what became of it.
    pub state: String,
    /// Whether no call waits for it.
    pub access: bool,
    /// Who asks.
    pub principal: String,
    /// What the agent's client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The service.
    pub service: String,
    /// The rule that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The request line, or a wish in the agent's words.
    pub what: String,
    /// Where it goes.
    pub place: String,
    /// Bytes of its body.
    pub bytes: u64,
    /// What the body says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The beginning of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Beginning>,
    /// The agent's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The longest yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// When it was asked.
    #[serde(rename(deserialize = "opened_at", serialize = "opened"))]
    pub opened_at: String,
    /// When the question, or the answer, ends.
    #[serde(rename(deserialize = "expires_at", serialize = "expires"))]
    pub expires_at: String,
    /// Who answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
}

/// The beginning of a body, as lines.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Beginning {
    /// The lines.
    pub lines: Vec<String>,
    /// Bytes that are not in them.
    pub missing: u64,
}

impl Approval {
    /// The question in words, for the person who answers it.
    pub fn lines(&self) -> Vec<String> {
        let client = self.client.iter().map(|it| format!(" (its client calls itself `{it}`)"));
        let who = format!("`{}`{}", self.principal, client.collect::<String>());
        let mut lines = Vec::new();
        if self.access {
            lines.push(format!("{who} asks for access to `{}`", self.service));
            lines.push(format!("in the agent's words: {}", self.what));
        } else {
            lines.push(format!("{who} wants to use `{}`", self.service));
            lines.push(self.what.clone());
            let kind = self.content_type.iter().map(|kind| format!(" ({kind})"));
            let body = format!(", with {} bytes{}", self.bytes, kind.collect::<String>());
            let body = if self.bytes == 0 { "" } else { &body };
            lines.push(format!("at {}{body}", self.place));
        }
        if let Some(body) = &self.body {
            lines.extend(body.lines.iter().map(|line| format!("| {line}")));
            if body.missing > 0 {
                lines.push(format!("({} more bytes are not shown)", body.missing));
            }
        } else if self.bytes > 0 && self.state == "open" {
            lines.push("what is sent is no text, and is not shown".to_owned());
        }
        lines.extend(self.rule.iter().map(|rule| format!("asked for by the rule `{rule}`")));
        lines.extend(self.reason.iter().map(|reason| format!("the agent says why: {reason}")));
        lines
    }
}

/// A page of questions.
#[derive(Clone, Debug, Deserialize)]
pub struct Approvals {
    /// The questions, the newest first.
    pub approvals: Vec<Approval>,
}

/// A question that was answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Answered {
    /// What a yes for longer became.
    pub grant: Option<Grant>,
}

/// What was granted for a while.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Grant {
    /// `g-` and eight characters; `s-` where it ends with the agent's connection.
    pub id: String,
    /// Whose.
    pub principal: String,
    /// The service.
    pub service: String,
    /// What it asks about is covered.
    pub rule: String,
    /// `read`, `write`, `delete` or `run`.
    pub class: String,
    /// Whether it ends with the agent's connection.
    pub session: bool,
    /// How the person was asked.
    pub by: String,
    /// When it was granted.
    #[serde(rename(deserialize = "created_at", serialize = "created"))]
    pub created_at: String,
    /// When it ends.
    #[serde(rename(deserialize = "lapses_at", serialize = "lapses"))]
    pub lapses_at: String,
}

/// What is granted.
#[derive(Clone, Debug, Deserialize)]
pub struct Grants {
    /// The grants.
    pub grants: Vec<Grant>,
}

/// How many grants were taken back.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Revoked {
    /// How many.
    pub revoked: usize,
}

/// An answer that says no more than that it was done.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Done {}
