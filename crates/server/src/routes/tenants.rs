//! Tenants: the operator's to make and to delete; an admin sees his own.

use serde::Serialize;
use strongroom_model::team::{OrganizationId, Tenant, TenantId};

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        access: Access::Operator,
        act: "tenant.create",
        about: "Makes a tenant of an organization.",
        fields: Shape::of(&[ORGANIZATION, NAME]),
        answer: Shape::of(VIEW),
        repeatable: true,
        recorded: true,
        handle: Handle(|app, call| Box::pin(create(app, call))),
        ..ALL
    },
    Route {
        act: "tenant.list",
        about: "Lists the tenants of an organization, the oldest first; an admin's own is listed alone.",
        fields: Shape::of(&[ORGANIZATION.optionally()]),
        answer: Shape::of(&[
            Field::required(
                "tenants",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1_000_000 },
                "",
            ),
            super::COUNT,
        ]),
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..ALL
    },
    Route {
        act: "tenant.show",
        about: "Shows one tenant.",
        answer: Shape::of(VIEW),
        handle: Handle(|app, call| Box::pin(show(app, call))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/tenants/{id}/disable",
        access: Access::Operator,
        act: "tenant.disable",
        about: "Refuses all callers of a tenant.",
        answer: Shape::of(VIEW),
        recorded: true,
        handle: Handle(|app, call| Box::pin(enable(app, call, false))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/tenants/{id}/enable",
        access: Access::Operator,
        act: "tenant.enable",
        about: "Lets the callers of a tenant in again.",
        answer: Shape::of(VIEW),
        recorded: true,
        handle: Handle(|app, call| Box::pin(enable(app, call, true))),
        ..ONE
    },
    Route {
        method: "DELETE",
        access: Access::Operator,
        act: "tenant.delete",
        about: "Deletes a tenant for good, its key first: what was sealed opens nowhere again.",
        answer: super::DELETED,
        recorded: true,
        handle: Handle(|app, call| Box::pin(delete(app, call))),
        ..ONE
    },
];

const ALL: Route = Route {
    method: "GET",
    path: "/v1/tenants",
    access: Access::Admin,
    subject: &["id", "name"],
    recorded: false,
    ..super::BLANK
};

const ONE: Route = Route { path: "/v1/tenants/{id}", path_fields: super::BY_UUID, ..ALL };

const ORGANIZATION: Field =
    Field::required("organization_id", Kind::UUID, "The organization that it belongs to.");
const NAME: Field = Field::required("name", Kind::NAME, "Unique in its organization.");
const VIEW: &[Field] = &[
    Field::required("id", Kind::UUID, ""),
    ORGANIZATION,
    NAME,
    Field::required("enabled", Kind::Flag, "Whether its callers are let in."),
    Field::required("created_at", Kind::TIME, ""),
];

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    organization_id: &'a str,
    name: &'a str,
    enabled: bool,
    created_at: String,
}

impl<'a> View<'a> {
    fn of(it: &'a Tenant) -> Self {
        Self {
            id: it.id.as_str(),
            organization_id: it.organization.as_str(),
            name: &it.name,
            enabled: it.enabled,
            created_at: when::write(it.created),
        }
    }
}

async fn create(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let organization: OrganizationId = call.id("organization_id")?;
    let name = call.input.text("name").unwrap_or_default();
    let made = app.backend.team.create_tenant(&organization, name).await.map_err(problem)?;
    Data::of(&View::of(&made))
}

#[derive(Serialize)]
struct Listed<'a> {
    tenants: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let own = one(app, &call.caller.ctx.tenant).await?;
    let organization = if call.input.has("organization_id") {
        call.id("organization_id")?
    } else {
        own.organization
    };
    let all = if call.operator {
        app.backend.team.tenants(&organization).await.map_err(problem)?
    } else if organization == own.organization {
        vec![own]
    } else {
        return Err(Problem::not_found());
    };
    Data::of(&Listed { tenants: all.iter().map(View::of).collect(), count: all.len() })
}

async fn show(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id: TenantId = call.id("id")?;
    if !call.operator && id != call.caller.ctx.tenant {
        return Err(Problem::not_found());
    }
    Data::of(&View::of(&one(app, &id).await?))
}

async fn enable(app: &App, call: Call<'_>, enabled: bool) -> Result<Data, Problem> {
    let id: TenantId = call.id("id")?;
    if !enabled && id == call.caller.ctx.tenant {
        return Err(Problem::denied("a key does not disable its own tenant"));
    }
    if !app.backend.team.enable_tenant(&id, enabled).await.map_err(problem)? {
        return Err(Problem::not_found());
    }
    Data::of(&View::of(&one(app, &id).await?))
}

async fn delete(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id: TenantId = call.id("id")?;
    if id == call.caller.ctx.tenant {
        return Err(Problem::denied("a key does not delete its own tenant"));
    }
    let done = app.backend.team.delete_tenant(&id).await.map_err(problem)?;
    super::deleted(done, id.as_str())
}

async fn one(app: &App, id: &TenantId) -> Result<Tenant, Problem> {
    let found = app.backend.team.find_tenant(id).await.map_err(problem)?;
    found.ok_or_else(Problem::not_found)
}
