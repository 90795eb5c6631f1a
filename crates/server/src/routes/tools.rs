//! What servers say of their tools, and the yes to a change of whoever has the scope for it.
//!
//! The first definition of a tool that is seen counts as approved. A tool with another one, or with one
//! that hides something, is neither listed nor called until somebody whose key has the scope `approve` or
//! `admin` approves it, by the hash of what was looked at.

use serde::Serialize;
use strongroom_model::pin::{DefinitionHash, Version};
use strongroom_model::team::Scope;
use strongroom_store::team::TeamPin;

use crate::access::problem;
use crate::app::App;
use crate::problem::{Problem, Reason};
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        act: "tool.list",
        about: "Lists the tools of servers that were seen, and how each stands, without the definitions.",
        fields: Shape::of(&[
            SERVER_ID.optionally(),
            Field::optional("waiting", Kind::Flag, "Only those that wait for somebody."),
        ]),
        answer: Shape::of(&[
            Field::required(
                "tools",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1 << 20 },
                "",
            ),
            super::COUNT,
        ]),
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..GET
    },
    Route {
        path: "/v1/tools/definition",
        act: "tool.show",
        about: "Shows the definition of a tool that was approved, and the one that waits.",
        fields: Shape::of(&[SERVER_ID, TOOL]),
        answer: Shape::of(SHOWN),
        handle: Handle(|app, call| Box::pin(show(app, call))),
        ..GET
    },
    Route {
        method: "POST",
        path: "/v1/tools/approve",
        act: "tool.approve",
        about: "Approves the definition that waits. Where it is not the one of this hash any more: `conflict`.",
        fields: Shape::of(&[SERVER_ID, TOOL, HASH]),
        answer: Shape::of(VIEW),
        recorded: true,
        handle: Handle(|app, call| Box::pin(approve(app, call))),
        ..GET
    },
];

const GET: Route = Route {
    method: "GET",
    path: "/v1/tools",
    access: Access::Tenant(Scope::Approve, Some(Scope::Admin), false),
    subject: &["server_id", "tool"],
    recorded: false,
    ..super::BLANK
};

const STATES: &[&str] = &["approved", "changed", "hidden", "long"];
const SERVER_ID: Field =
    Field::required("server_id", Kind::LABEL, "What the tenant calls the server.");
const TOOL: Field = Field::required(
    "tool",
    Kind::text(1, 256, Form::NoNul),
    "The tool, by the name that its server gives it.",
);
const HASH: Field = Field::required(
    "hash",
    Kind::text(64, 64, Form::Digest),
    "The SHA-256 of what the definition means, in hexadecimal.",
);
const APPROVED_HASH: Field = Field::optional(
    "approved_hash",
    Kind::text(64, 64, Form::Digest),
    "That of the approved definition.",
);
const WAITING_HASH: Field = Field::optional(
    "waiting_hash",
    Kind::text(64, 64, Form::Digest),
    "That of the one that waits.",
);
const VIEW: &[Field] = &[
    SERVER_ID,
    TOOL,
    Field::required(
        "state",
        Kind::OneOf(STATES),
        "`approved`, or why a definition waits for somebody.",
    ),
    Field::optional("since", Kind::TIME, "When it came to stand so."),
    Field::required(
        "by_person",
        Kind::Flag,
        "Whether somebody approved what is approved; otherwise it was the first that was seen.",
    ),
    APPROVED_HASH,
    WAITING_HASH,
];
/// As a server wrote it: any character that JSON has.
const DEFINITION: Kind = Kind::text(0, 1 << 18, Form::NoNul);
const SHOWN: &[Field] = &[
    Field::required("tool", Kind::Object(&Shape::of(VIEW)), ""),
    Field::optional("approved", DEFINITION, "The approved definition, as its server wrote it."),
    Field::optional("waiting", DEFINITION, "The one that waits, likewise."),
];

#[derive(Serialize)]
struct View<'a> {
    server_id: &'a str,
    tool: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    by_person: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_hash: Option<String>,
}

impl<'a> View<'a> {
    fn of(TeamPin { server_id, pin }: &'a TeamPin) -> Self {
        let (state, since) = match (&pin.waiting, &pin.approved) {
            (Some((version, why)), _) => (why.as_str(), Some(version)),
            (None, Some(version)) => ("approved", Some(version)),
            // A row that others wrote: it waits for the next definition.
            (None, None) => ("changed", None),
        };
        let hash = |version: &Version| version.hash.to_string();
        Self {
            server_id,
            tool: &pin.tool,
            state,
            since: since.map(|version| when::write(version.at)),
            by_person: pin.by_person,
            approved_hash: pin.approved.as_ref().map(hash),
            waiting_hash: pin.waiting.as_ref().map(|(version, _)| hash(version)),
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    tools: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let server = call.input.text("server_id");
    let only = call.input.flag("waiting").unwrap_or_default();
    let mut pins = app.backend.team.tenant(&call.caller.ctx).pins().await.map_err(problem)?;
    pins.retain(|pin| {
        server.is_none_or(|server| server == pin.server_id) && (!only || pin.pin.waiting.is_some())
    });
    let tools: Vec<View<'_>> = pins.iter().map(View::of).collect();
    Data::of(&Listed { count: tools.len(), tools })
}

#[derive(Serialize)]
struct Shown<'a> {
    tool: View<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<&'a str>,
}

async fn show(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let found = find(app, &call).await?;
    let pin = &found.pin;
    Data::of(&Shown {
        tool: View::of(&found),
        approved: pin.approved.as_ref().map(|version| version.text.as_str()),
        waiting: pin.waiting.as_ref().map(|(version, _)| version.text.as_str()),
    })
}

async fn approve(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let hash = call.input.text("hash").and_then(DefinitionHash::parse);
    let hash = hash.ok_or_else(|| Problem::field("hash", "`hash` is 64 hexadecimal digits"))?;
    let found = find(app, &call).await?;
    let store = app.backend.team.tenant(&call.caller.ctx);
    let server = store.server(&found.server_id).await.map_err(problem)?;
    let server = server.ok_or_else(Problem::not_found)?.id;
    if !store.approve_pin(server, &found.pin.tool, hash).await.map_err(problem)? {
        let message = "the definition of this hash is not the one that waits: look at it again";
        return Err(Problem::new(Reason::Conflict, message));
    }
    let now = find(app, &call).await?;
    Data::of(&View::of(&now))
}

/// The tool that is named.
async fn find(app: &App, call: &Call<'_>) -> Result<TeamPin, Problem> {
    let (server, tool) = (call.input.text("server_id"), call.input.text("tool"));
    let pins = app.backend.team.tenant(&call.caller.ctx).pins().await.map_err(problem)?;
    let found = pins
        .into_iter()
        .find(|pin| Some(pin.server_id.as_str()) == server && Some(pin.pin.tool.as_str()) == tool);
    found.ok_or_else(Problem::not_found)
}
