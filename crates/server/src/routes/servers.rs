//! The registry: MCP servers that a tenant registers.

mod incoming;

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_model::team::{
    McpServer, NewServer, RawServer, Scope, SecretField, ServerChange, TenantCtx,
};
use strongroom_store::team::{Page, Servers, Team, TeamError};

use crate::access::problem;
use crate::app::App;
use crate::backend::Health;
use crate::problem::{Problem, Reason};
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Alternative, Field, Form, Kind, Shape, Text};
use crate::when;
use incoming::{permitted, raw};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        path: "/functions/v1/mcp-servers/register",
        aliases: &["/mcp/servers/register"],
        act: "server.register",
        about: "Registers a server.",
        fields: Shape { fields: REGISTER, one_of: EITHER },
        answer: Shape::of(REGISTERED),
        repeatable: true,
        handle: Handle(|app, call| Box::pin(register(app, call))),
        ..POST
    },
    Route {
        method: "GET",
        path: "/functions/v1/mcp-servers/list",
        aliases: &["/mcp/servers/list"],
        access: Access::Tenant(Scope::Use, None, true),
        act: "server.list",
        about: "Lists the servers, in the order of their registration.",
        fields: Shape::of(LIST),
        answer: Shape::of(LISTED),
        recorded: false,
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..POST
    },
    Route {
        method: "GET",
        path: "/functions/v1/mcp-servers/health",
        aliases: &["/mcp/servers/health"],
        access: Access::Tenant(Scope::Use, None, true),
        act: "server.health",
        about: "Says how a server does, or how all of them do.",
        fields: Shape::of(&[SERVER_ID.optionally()]),
        answer: Shape { fields: HEALTH, one_of: ONE_OR_ALL },
        recorded: false,
        handle: Handle(|app, call| Box::pin(health(app, call))),
        ..POST
    },
    Route {
        path: "/functions/v1/mcp-servers/update",
        aliases: &["/mcp/servers/update"],
        act: "server.update",
        about: "Changes the fields that are there; the others stay.",
        fields: Shape { fields: UPDATE, one_of: NOT_BOTH },
        answer: Shape::of(UPDATED),
        handle: Handle(|app, call| Box::pin(update(app, call))),
        ..POST
    },
    Route {
        path: "/functions/v1/mcp-servers/delete",
        aliases: &["/mcp/servers/delete"],
        act: "server.delete",
        about: "Deletes a server for good.",
        fields: Shape::of(&[SERVER_ID]),
        answer: Shape::of(&[SERVER_ID, Field::required("deleted", Kind::Flag, "")]),
        handle: Handle(|app, call| Box::pin(delete(app, call))),
        ..POST
    },
];

/// What most of them have in common.
const POST: Route = Route {
    access: Access::Tenant(Scope::Register, None, true),
    subject: &["server_id"],
    ..super::BLANK
};

const SERVER_ID: Field =
    Field::required("server_id", Kind::LABEL, "What the tenant calls it; unique in the tenant.");
const NAME: Field = Field::required("name", Kind::NAME, "What people call it.");
const COMMAND: Field = Field::optional(
    "command",
    Kind::text(1, 256, Form::Line),
    "The program that is started. The operator's list has to allow it.",
);
const ARGS: Field = Field::optional(
    "args",
    Kind::List { item: &Kind::text(0, 1000, Form::NoNul), least: 1, most: 64 },
    "The program's arguments.",
);
const URL: Field = Field::optional(
    "url",
    Kind::text(9, 2000, Form::Url),
    "The address of a server that runs elsewhere, in the place of a command.",
);
const HEADERS: Field = Field::optional(
    "headers",
    Kind::Map {
        name: Text { least: 1, most: 128, form: Form::Token },
        value: &Kind::text(0, 4000, Form::Printable),
        least: 0,
        most: 32,
    },
    "Headers of every request to the address. No secrets: those go into `secrets`.",
);
const SECRETS: Field = Field::optional(
    "secrets",
    Kind::Map {
        name: Text { least: 1, most: 128, form: Form::Place },
        value: &Kind::Object(&SECRET),
        least: 0,
        most: 32,
    },
    "The environment variable, or the header, that gets a field of a stored credential.",
);
const SECRET: Shape = Shape::of(&[
    Field::required("service", Kind::LABEL, "The credential's service."),
    Field::optional("credential_type", Kind::LABEL, "The credential's type; `api_key` by default."),
    Field::required("field", Kind::LABEL, "The field of the credential."),
]);
const TOOLS: Field = Field::optional(
    "tools",
    Kind::List { item: &Kind::text(1, 1024, Form::Rule), least: 0, most: 100 },
    "Which of its tools may be called: `allow get_*`, `ask pay where amount > 100`, `deny delete_*`. The \
     strictest rule counts, and what none allows is denied; every tool is allowed by default.",
);
const TOOL_PREFIX: Field = Field::required(
    "tool_prefix",
    Kind::text(2, 65, Form::Prefix),
    "What the names of its tools begin with; ends with `.`, unique in the tenant.",
);
const ENABLED: Field = Field::required("enabled", Kind::Flag, "Whether it is mounted.");
const ID: Field = Field::required("id", Kind::UUID, "Its row.");
const CREATED: Field = Field::required("created_at", Kind::TIME, "");
const UPDATED_AT: Field = Field::required("updated_at", Kind::TIME, "");

const REGISTER: &[Field] = &[
    SERVER_ID,
    NAME,
    COMMAND,
    ARGS,
    URL,
    HEADERS,
    SECRETS,
    TOOLS,
    TOOL_PREFIX,
    ENABLED.optionally(),
];
const REGISTERED: &[Field] = &[
    ID,
    SERVER_ID,
    NAME,
    COMMAND,
    ARGS,
    URL,
    HEADERS,
    SECRETS,
    TOOLS,
    TOOL_PREFIX,
    ENABLED,
    CREATED,
];
const EITHER: &[Alternative] = &[
    Alternative { with: &["command", "args"], without: &["url", "headers"] },
    Alternative { with: &["url"], without: &["command", "args"] },
];
const NOT_BOTH: &[Alternative] = &[
    Alternative { with: &["server_id"], without: &["url", "headers"] },
    Alternative { with: &["url"], without: &["command", "args"] },
    Alternative { with: &["headers"], without: &["command", "args", "url"] },
];
const UPDATE: &[Field] = &[
    SERVER_ID,
    NAME.optionally(),
    COMMAND,
    ARGS,
    URL,
    HEADERS,
    SECRETS,
    TOOLS,
    TOOL_PREFIX.optionally(),
    ENABLED.optionally(),
];
const UPDATED: &[Field] = &[
    ID,
    SERVER_ID,
    NAME.optionally(),
    COMMAND,
    ARGS,
    URL,
    HEADERS,
    SECRETS,
    TOOLS,
    TOOL_PREFIX.optionally(),
    ENABLED.optionally(),
    UPDATED_AT,
];
const LIST: &[Field] = &[
    Field::optional("enabled_only", Kind::Flag, "Leaves out those that are not mounted."),
    Field::optional("limit", Kind::Number { least: 1, most: 1000 }, "How many; all by default."),
    super::CURSOR,
];
const LISTED: &[Field] = &[
    Field::required(
        "servers",
        Kind::List { item: &Kind::Object(&Shape::of(SERVER)), least: 0, most: 1_000_000 },
        "",
    ),
    Field::required(
        "count",
        Kind::Number { least: 0, most: u32::MAX as u64 },
        "How many there are, on this page or not.",
    ),
    super::NEXT_CURSOR,
];
const SERVER: &[Field] = &[
    ID,
    SERVER_ID,
    NAME,
    COMMAND,
    ARGS,
    URL,
    HEADERS,
    SECRETS,
    TOOLS,
    TOOL_PREFIX,
    ENABLED,
    CREATED,
    UPDATED_AT,
];
const STATE: Field = Field::required(
    "state",
    Kind::OneOf(&["stopped", "starting", "running", "failed"]),
    "`stopped`: it is started when a tool of it is called.",
);
const UPTIME: Field =
    Field::nullable("uptime_s", Kind::Number { least: 0, most: u32::MAX as u64 }, "");
const RESTARTS: Field =
    Field::required("restarts", Kind::Number { least: 0, most: u32::MAX as u64 }, "");
const LAST_ERROR: Field = Field::nullable("last_error", Kind::SENTENCE, "Our own words.");
const TOOL_NAMES: Field = Field::required(
    "tools",
    Kind::List { item: &Kind::text(1, 256, Form::Line), least: 0, most: 10_000 },
    "The names under which its tools are shown.",
);
const HEALTH_OF_ONE: &[Field] = &[SERVER_ID, STATE, UPTIME, RESTARTS, LAST_ERROR, TOOL_NAMES];
const HEALTH: &[Field] = &[
    SERVER_ID.optionally(),
    STATE.optionally(),
    UPTIME.perhaps(),
    RESTARTS.optionally(),
    LAST_ERROR.perhaps(),
    TOOL_NAMES.optionally(),
    Field::optional(
        "servers",
        Kind::List { item: &Kind::Object(&Shape::of(HEALTH_OF_ONE)), least: 0, most: 1_000_000 },
        "All of them, where none was named.",
    ),
    super::COUNT.optionally(),
];
const ONE_OR_ALL: &[Alternative] = &[
    Alternative { with: &["server_id", "state"], without: &["servers", "count"] },
    Alternative { with: &["servers", "count"], without: &["server_id"] },
];

/// A server as it is answered. Fields are written in this order.
#[derive(Default, Serialize)]
struct View<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    server_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<&'a BTreeMap<String, SecretField>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl<'a> View<'a> {
    /// All of it, as a registration is answered.
    fn of(server: &'a McpServer) -> Self {
        Self {
            id: Some(server.id.as_str()),
            server_id: &server.server_id,
            name: Some(&server.name),
            command: server.command.as_deref(),
            args: server.command.is_some().then_some(&*server.args),
            url: server.url.as_deref(),
            headers: (!server.headers.is_empty()).then_some(&server.headers),
            secrets: (server.bare || !server.secrets.is_empty()).then_some(&server.secrets),
            tools: None,
            tool_prefix: Some(&server.tool_prefix),
            enabled: Some(server.enabled),
            created_at: Some(when::write(server.created_at)),
            updated_at: None,
        }
    }

    /// All of it, as it is listed.
    fn listed(server: &'a McpServer) -> Self {
        let updated_at = Some(when::write(server.updated_at));
        Self { tools: Some(&server.tools), updated_at, ..Self::of(server) }
    }

    /// What a change named, and what follows from it.
    fn changed(server: &'a McpServer, change: &RawServer) -> Self {
        let all = Self::listed(server);
        Self {
            name: all.name.filter(|_| change.name.is_some()),
            command: all.command.filter(|_| change.command.is_some()),
            args: change.args.is_some().then_some(&*server.args),
            url: all.url.filter(|_| change.url.is_some()),
            headers: change.headers.is_some().then_some(&server.headers),
            secrets: change.secrets.is_some().then_some(&server.secrets),
            tools: change.tools.is_some().then_some(&*server.tools),
            tool_prefix: all.tool_prefix.filter(|_| change.tool_prefix.is_some()),
            enabled: all.enabled.filter(|_| change.enabled.is_some()),
            created_at: None,
            ..all
        }
    }
}

async fn register(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let raw = raw(&call.input);
    permitted(app, raw.command.as_deref(), raw.args.as_deref(), raw.url.as_deref())?;
    startable(app, raw.command.is_some(), &raw, raw.url.is_none())?;
    let says_tools = raw.tools.is_some();
    let new = NewServer::new(raw)?;
    let server = app.backend.team.tenant(&call.caller.ctx).register_server(new).await;
    let server = server.map_err(problem)?;
    let tools = says_tools.then_some(&*server.tools);
    Data::of(&View { tools, ..View::of(&server) })
}

#[derive(Serialize)]
struct Listed<'a> {
    servers: Vec<View<'a>>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let page = Page {
        enabled_only: call.input.flag("enabled_only").unwrap_or_default(),
        limit: call.input.number("limit").and_then(|limit| u32::try_from(limit).ok()),
        cursor: call.input.text("cursor").map(str::to_owned),
    };
    let found = app.backend.team.tenant(&call.caller.ctx).servers(&page).await;
    let Servers { servers, total: count, next_cursor } = found.map_err(problem)?;
    let servers = servers.iter().map(View::listed).collect();
    Data::of(&Listed { servers, count, next_cursor })
}

async fn update(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id = call.input.text("server_id").unwrap_or_default();
    let raw = RawServer { server_id: None, ..raw(&call.input) };
    let store = app.backend.team.tenant(&call.caller.ctx);
    let old = store.server(id).await.map_err(problem)?.ok_or_else(Problem::not_found)?;
    let mut whole = raw.clone();
    let program = raw.url.is_none() && (raw.command.is_some() || old.command.is_some());
    if whole.command.is_some() || whole.args.is_some() {
        // The two are written together as they are judged together: otherwise two changes at the same
        // time could join a command that is allowed with arguments that another one is allowed with.
        whole.command = whole.command.or(old.command);
        whole.args = whole.args.or(Some(old.args));
    }
    permitted(app, whole.command.as_deref(), whole.args.as_deref(), whole.url.as_deref())?;
    startable(app, whole.command.is_some(), &whole, program)?;
    let changed = store.update_server(id, ServerChange::new(whole)?).await;
    let server = changed.map_err(|error| match error {
        // By itself it was good: what is stored does not go with it.
        TeamError::Invalid(error) => Problem::from(error).with_reason(Reason::Conflict),
        error => problem(error),
    })?;
    Data::of(&View::changed(&server, &raw))
}

#[derive(Serialize)]
struct Deleted<'a> {
    server_id: &'a str,
    deleted: bool,
}

async fn delete(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let server_id = call.input.text("server_id").unwrap_or_default();
    let store = app.backend.team.tenant(&call.caller.ctx);
    if !store.delete_server(server_id).await.map_err(problem)? {
        return Err(Problem::not_found());
    }
    Data::of(&Deleted { server_id, deleted: true })
}

#[derive(Serialize)]
struct Answer<'a> {
    server_id: &'a str,
    #[serde(flatten)]
    health: Health,
}

/// Whether what is registered could be started: `command` is new here, and its secrets are variables where
/// it is a `program`.
fn startable(app: &App, command: bool, raw: &RawServer, program: bool) -> Result<(), Problem> {
    let Some(fleet) = &app.backend.fleet else { return Ok(()) };
    let places = raw.secrets.iter().flatten().map(|(place, _)| &**place);
    let variables: Vec<&str> = places.filter(|_| program).collect();
    fleet.check(command, &variables)
}

#[derive(Serialize)]
struct All<'a> {
    servers: Vec<Answer<'a>>,
    count: usize,
}

async fn health(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let ctx = &call.caller.ctx;
    if let Some(server_id) = call.input.text("server_id") {
        let server = app.backend.team.tenant(ctx).server(server_id).await.map_err(problem)?;
        let server = server.ok_or_else(Problem::not_found)?;
        return Data::of(&health_of(app, ctx, &server).await);
    }
    let registered = all(&app.backend.team, ctx, false).await?;
    let mut servers = Vec::with_capacity(registered.len());
    for server in &registered {
        servers.push(health_of(app, ctx, server).await);
    }
    Data::of(&All { count: servers.len(), servers })
}

async fn health_of<'a>(app: &App, ctx: &TenantCtx, server: &'a McpServer) -> Answer<'a> {
    let health = match &app.backend.fleet {
        Some(fleet) => fleet.health(ctx, server).await,
        None => Health::default(),
    };
    Answer { server_id: &server.server_id, health }
}

/// Every server of a tenant.
pub(crate) async fn all(
    team: &Team,
    ctx: &TenantCtx,
    enabled_only: bool,
) -> Result<Vec<McpServer>, Problem> {
    let page = Page { enabled_only, ..Page::default() };
    let found = team.tenant(ctx).servers(&page).await.map_err(problem)?;
    Ok(found.servers)
}
