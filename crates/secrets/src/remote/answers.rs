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

/// An answer that says no more than that it was done.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Done {}
