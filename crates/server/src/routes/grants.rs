//! What people granted a tenant's agents for a while, and taking it back.

use serde::Serialize;
use strongroom_model::approval::Grant;
use strongroom_model::team::Scope;

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        act: "grant.list",
        about: "Lists what is granted now, by principal.",
        answer: Shape::of(&[
            Field::required(
                "grants",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1_000_000 },
                "",
            ),
            super::COUNT,
        ]),
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..ALL
    },
    Route {
        method: "DELETE",
        act: "grant.revoke_all",
        about: "Takes every grant back, from the next call on and on every node.",
        answer: Shape::of(&[Field::required(
            "revoked",
            Kind::Number { least: 0, most: u32::MAX as u64 },
            "How many there were.",
        )]),
        handle: Handle(|app, call| Box::pin(revoke_all(app, call))),
        ..ALL
    },
    Route {
        method: "DELETE",
        path: "/v1/grants/{id}",
        path_fields: Shape::of(&[ID]),
        act: "grant.revoke",
        about: "Takes a grant back, from the next call on and on every node.",
        answer: Shape::of(&[ID, Field::required("revoked", Kind::Flag, "")]),
        handle: Handle(|app, call| Box::pin(revoke(app, call))),
        ..ALL
    },
];

const ALL: Route = Route {
    path: "/v1/grants",
    access: Access::Tenant(Scope::Approve, Some(Scope::Admin), false),
    subject: &["id"],
    // Recorded before it is done, and not behind it.
    recorded: false,
    ..super::BLANK
};

pub(super) const CLASSES: &[&str] = &["read", "write", "delete", "run", "tool"];
pub(super) const WAYS: &[&str] = &["api", "cli", "dialog", "elicitation"];

const ID: Field = Field::required(
    "id",
    Kind::text(10, 10, Form::Word),
    "`g-` and eight characters; `s-` where it ends with the agent's connection.",
);
pub(super) const VIEW: &[Field] = &[
    ID,
    Field::required("principal", Kind::text(1, 64, Form::Word), "Whose: `key-` and its id."),
    Field::required("service", Kind::text(1, 64, Form::Word), ""),
    Field::required("rule", Kind::text(0, 1 << 16, Form::NoNul), "What it asks about is covered."),
    Field::required("class", Kind::OneOf(CLASSES), ""),
    Field::required("session", Kind::Flag, "Whether it ends with the agent's connection."),
    Field::required("by", Kind::OneOf(WAYS), "How the person was asked."),
    Field::required("created_at", Kind::TIME, ""),
    Field::required("lapses_at", Kind::TIME, ""),
];

#[derive(Serialize)]
pub(super) struct View<'a> {
    id: &'a str,
    principal: &'a str,
    service: &'a str,
    rule: &'a str,
    class: &'static str,
    session: bool,
    by: &'static str,
    created_at: String,
    lapses_at: String,
}

impl<'a> View<'a> {
    pub(super) fn of(grant: &'a Grant) -> Self {
        let scope = &grant.scope;
        Self {
            id: &grant.id,
            principal: scope.principal.as_str(),
            service: scope.service.as_str(),
            rule: &scope.rule,
            class: scope.class.as_str(),
            session: grant.is_for_session(),
            by: grant.by.as_str(),
            created_at: when::write(grant.created),
            lapses_at: when::write(grant.lapses),
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    grants: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let all = app.backend.team.tenant(&call.caller.ctx).grants().await.map_err(problem)?;
    Data::of(&Listed { grants: all.iter().map(View::of).collect(), count: all.len() })
}

async fn revoke(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    #[derive(Serialize)]
    struct Revoked<'a> {
        id: &'a str,
        revoked: bool,
    }
    let id = call.input.text("id").unwrap_or_default();
    let store = app.backend.team.tenant(&call.caller.ctx);
    if !store.revoke_grant(id).await.map_err(problem)? {
        return Err(Problem::not_found());
    }
    Data::of(&Revoked { id, revoked: true })
}

async fn revoke_all(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    #[derive(Serialize)]
    struct Revoked {
        revoked: u64,
    }
    let store = app.backend.team.tenant(&call.caller.ctx);
    let revoked = store.revoke_grants().await.map_err(problem)?;
    Data::of(&Revoked { revoked })
}
