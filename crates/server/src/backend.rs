//! What the server stands before: the store, and what others plug in.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::combinators::BoxBody;
use serde::Serialize;
use strongroom_model::ports::{BoxFuture, Clock};
use strongroom_model::team::{KeyId, McpServer, Scopes, TenantCtx};
use strongroom_store::team::Team;

use crate::judge::Judge;
use crate::problem::Problem;

/// What the server stands before.
#[derive(Clone)]
pub struct Backend {
    /// Tenants, their keys, and all that is theirs.
    pub team: Team,
    /// Decides what `/functions/v1/authorize` answers.
    pub judge: Arc<dyn Judge>,
    /// What answers at `/mcp`; without it there is no such page.
    pub mcp: Option<Arc<dyn Mount>>,
    /// Knows how the servers do that run; without it none runs.
    pub fleet: Option<Arc<dyn Fleet>>,
    /// Knows which services can be served; without it none is taken.
    pub services: Option<Arc<dyn Services>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Who asks: made by authentication and by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose data, on whose behalf.
    pub ctx: TenantCtx,
    /// The key's public id.
    pub key: KeyId,
    /// What the key may do.
    pub scopes: Scopes,
    /// Whether it is a kernel's.
    pub kernel: bool,
}

/// A request that was authenticated, limited and read, for somebody else to answer.
pub struct Visit {
    /// Who asks; has the scope `use`.
    pub caller: Caller,
    /// The head. It no longer shows the key.
    pub parts: Parts,
    /// The whole body.
    pub body: Bytes,
    /// The id of the request, for logs.
    pub request_id: String,
}

/// The services that can be served.
pub trait Services: Send + Sync {
    /// Whether a service `name` with this `definition` can be.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by its keys and never by its values.
    fn check(&self, name: &str, definition: &serde_json::Value) -> Result<(), Problem>;
}

/// The servers that run.
pub trait Fleet: Send + Sync {
    /// How `server`, which is the caller's, does.
    fn health<'a>(&'a self, ctx: &'a TenantCtx, server: &'a McpServer) -> BoxFuture<'a, Health>;

    /// Whether a server can be registered that starts a `program`, whose secrets are these `variables`.
    ///
    /// # Errors
    ///
    /// `command_not_allowed`: no program is started here. A variable that none may be given.
    fn check(&self, program: bool, variables: &[&str]) -> Result<(), Problem>;
}

/// How a server does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// What it is doing.
    pub state: State,
    /// For how many seconds it has been running.
    pub uptime_s: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it ended last, in our own words.
    pub last_error: Option<String>,
    /// The names under which its tools are shown.
    pub tools: Vec<String>,
}

/// What a server is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing: it is started when a tool of it is called.
    #[default]
    Stopped,
    /// It was started and has not answered yet.
    Starting,
    /// It answers.
    Running,
    /// It ends as often as it is started.
    Failed,
}

/// Pages that are answered elsewhere.
pub trait Mount: Send + Sync {
    /// Answers one request.
    ///
    /// # Errors
    ///
    /// A problem becomes the usual envelope.
    fn answer(
        &self,
        visit: Visit,
    ) -> BoxFuture<'_, Result<Response<BoxBody<Bytes, Infallible>>, Problem>>;
}
