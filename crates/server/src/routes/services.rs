//! The HTTP services of a tenant, with the fields and the policy that `strongroom.toml` gives them.

use serde::Serialize;
use strongroom_model::team::Scope;
use strongroom_store::team::TenantService;

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape, Text};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        act: "service.list",
        about: "Lists the services. A definition names credentials and holds none.",
        answer: Shape::of(&[
            Field::required(
                "services",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1_000_000 },
                "",
            ),
            super::COUNT,
        ]),
        recorded: false,
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..ALL
    },
    Route {
        method: "PUT",
        act: "service.put",
        about: "Stores a service, in the place of the one of its name.",
        fields: Shape::of(&[NAME, DEFINITION]),
        answer: Shape::of(VIEW),
        handle: Handle(|app, call| Box::pin(put(app, call))),
        ..ALL
    },
    Route {
        method: "DELETE",
        act: "service.delete",
        about: "Deletes a service for good.",
        fields: Shape::of(&[NAME]),
        answer: Shape::of(&[NAME, Field::required("deleted", Kind::Flag, "")]),
        handle: Handle(|app, call| Box::pin(delete(app, call))),
        ..ALL
    },
];

const ALL: Route = Route {
    path: "/v1/services",
    access: Access::Tenant(Scope::Admin, None, false),
    subject: &["name"],
    ..super::BLANK
};

const NAME: Field =
    Field::required("name", Kind::text(1, 64, Form::Word), "What it is called in calls and rules.");
const DEFINITION: Field = Field::required(
    "definition",
    Kind::Map {
        name: Text { least: 1, most: 64, form: Form::Label },
        value: &Kind::Any,
        least: 1,
        most: 100,
    },
    "The fields of a service in strongroom.toml; secrets are `local://SERVICE/FIELD`.",
);
const VIEW: &[Field] = &[
    Field::required("id", Kind::UUID, ""),
    NAME,
    DEFINITION,
    Field::required(
        "revision",
        Kind::Number { least: 1, most: u64::MAX },
        "Grows with every change.",
    ),
    Field::required("created_at", Kind::TIME, ""),
    Field::required("updated_at", Kind::TIME, ""),
];

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    name: &'a str,
    definition: &'a serde_json::Value,
    revision: u64,
    created_at: String,
    updated_at: String,
}

impl<'a> View<'a> {
    fn of(it: &'a TenantService) -> Self {
        Self {
            id: it.id.as_str(),
            name: &it.name,
            definition: &it.definition,
            revision: it.revision,
            created_at: when::write(it.created_at),
            updated_at: when::write(it.updated_at),
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    services: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let all = app.backend.team.tenant(&call.caller.ctx).services().await.map_err(problem)?;
    Data::of(&Listed { services: all.iter().map(View::of).collect(), count: all.len() })
}

async fn put(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let name = call.input.text("name").unwrap_or_default();
    let definition = call.input.value("definition").unwrap_or_default();
    let Some(services) = &app.backend.services else {
        return Err(Problem::denied("no services are served here"));
    };
    services.check(name, &definition)?;
    let store = app.backend.team.tenant(&call.caller.ctx);
    let stored = store.put_service(name, &definition).await.map_err(problem)?;
    Data::of(&View::of(&stored))
}

#[derive(Serialize)]
struct Deleted<'a> {
    name: &'a str,
    deleted: bool,
}

async fn delete(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let name = call.input.text("name").unwrap_or_default();
    let store = app.backend.team.tenant(&call.caller.ctx);
    if !store.delete_service(name).await.map_err(problem)? {
        return Err(Problem::not_found());
    }
    Data::of(&Deleted { name, deleted: true })
}
