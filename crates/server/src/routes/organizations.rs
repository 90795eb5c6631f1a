//! Organizations: the operator's.

use serde::Serialize;
use strongroom_model::team::{Organization, OrganizationId};

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        act: "organization.create",
        about: "Makes an organization.",
        fields: Shape::of(&[NAME]),
        answer: Shape::of(VIEW),
        repeatable: true,
        recorded: true,
        handle: Handle(|app, call| Box::pin(create(app, call))),
        ..ALL
    },
    Route {
        act: "organization.list",
        about: "Lists the organizations, the oldest first.",
        answer: Shape::of(&[
            Field::required(
                "organizations",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1_000_000 },
                "",
            ),
            super::COUNT,
        ]),
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..ALL
    },
    Route {
        act: "organization.show",
        about: "Shows one organization.",
        answer: Shape::of(VIEW),
        handle: Handle(|app, call| Box::pin(show(app, call))),
        ..ONE
    },
    Route {
        method: "DELETE",
        act: "organization.delete",
        about: "Deletes an organization for good, with its tenants, their data and its kernel keys.",
        answer: super::DELETED,
        recorded: true,
        handle: Handle(|app, call| Box::pin(delete(app, call))),
        ..ONE
    },
];

const ALL: Route = Route {
    method: "GET",
    path: "/v1/organizations",
    access: Access::Operator,
    subject: &["id", "name"],
    recorded: false,
    ..super::BLANK
};

const ONE: Route = Route { path: "/v1/organizations/{id}", path_fields: super::BY_UUID, ..ALL };

const NAME: Field = Field::required("name", Kind::NAME, "Unique in the installation.");
const VIEW: &[Field] =
    &[Field::required("id", Kind::UUID, ""), NAME, Field::required("created_at", Kind::TIME, "")];

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    name: &'a str,
    created_at: String,
}

impl<'a> View<'a> {
    fn of(it: &'a Organization) -> Self {
        Self { id: it.id.as_str(), name: &it.name, created_at: when::write(it.created) }
    }
}

async fn create(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let name = call.input.text("name").unwrap_or_default();
    let made = app.backend.team.create_organization(name).await.map_err(problem)?;
    Data::of(&View::of(&made))
}

#[derive(Serialize)]
struct Listed<'a> {
    organizations: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, _: Call<'_>) -> Result<Data, Problem> {
    let all = app.backend.team.organizations().await.map_err(problem)?;
    Data::of(&Listed { organizations: all.iter().map(View::of).collect(), count: all.len() })
}

async fn show(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id: OrganizationId = call.id("id")?;
    let all = app.backend.team.organizations().await.map_err(problem)?;
    let found = all.iter().find(|it| it.id == id).ok_or_else(Problem::not_found)?;
    Data::of(&View::of(found))
}

async fn delete(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id: OrganizationId = call.id("id")?;
    let done = app.backend.team.delete_organization(&id).await.map_err(problem)?;
    super::deleted(done, id.as_str())
}
