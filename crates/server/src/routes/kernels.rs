//! Kernel keys: the operator's, since each reaches all tenants of an organization.

use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_model::team::{KernelKey, KeyId, OrganizationId};

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        act: "kernel.create",
        about: "Makes a kernel key. Its text is in this answer and nowhere else.",
        fields: Shape::of(&[ORGANIZATION, NAME, SIGNS.optionally()]),
        answer: Shape::of(NEW),
        repeatable: true,
        recorded: true,
        handle: Handle(|app, call| Box::pin(create(app, call))),
        ..ALL
    },
    Route {
        act: "kernel.list",
        about: "Lists the kernel keys of an organization, the oldest first. Never their texts.",
        fields: Shape::of(&[ORGANIZATION]),
        answer: Shape::of(&[
            Field::required(
                "kernels",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1_000_000 },
                "",
            ),
            super::COUNT,
        ]),
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..ALL
    },
    Route {
        act: "kernel.show",
        about: "Shows one kernel key. Never its text.",
        answer: Shape::of(VIEW),
        handle: Handle(|app, call| Box::pin(show(app, call))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/kernels/{id}/disable",
        act: "kernel.disable",
        about: "Refuses a kernel.",
        answer: Shape::of(VIEW),
        recorded: true,
        handle: Handle(|app, call| Box::pin(enable(app, call, false))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/kernels/{id}/enable",
        act: "kernel.enable",
        about: "Lets a kernel in again.",
        answer: Shape::of(VIEW),
        recorded: true,
        handle: Handle(|app, call| Box::pin(enable(app, call, true))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/kernels/{id}/rotate",
        act: "kernel.rotate",
        about: "Gives a kernel key a new text, which is in this answer and nowhere else; the old one \
                is refused from now on.",
        answer: Shape::of(NEW),
        repeatable: true,
        recorded: true,
        handle: Handle(|app, call| Box::pin(rotate(app, call))),
        ..ONE
    },
    Route {
        method: "DELETE",
        act: "kernel.delete",
        about: "Deletes a kernel key for good.",
        answer: super::DELETED,
        recorded: true,
        handle: Handle(|app, call| Box::pin(delete(app, call))),
        ..ONE
    },
];

const ALL: Route = Route {
    method: "GET",
    path: "/v1/kernels",
    access: Access::Operator,
    subject: &["id", "name"],
    recorded: false,
    ..super::BLANK
};

const ONE: Route = Route { path: "/v1/kernels/{id}", path_fields: super::BY_KEY, ..ALL };

const ORGANIZATION: Field = Field::required(
    "organization_id",
    Kind::UUID,
    "The organization whose tenants it may act for.",
);
const NAME: Field = Field::required("name", Kind::NAME, "What people call it.");
const SIGNS: Field = Field::required(
    "require_signature",
    Kind::Flag,
    "Whether its requests have to be signed; it then never sends its secret.",
);
const VIEW: &[Field] = &[ID, ORGANIZATION, NAME, CREATED, ENABLED, SIGNS, USED];
const NEW: &[Field] = &[ID, ORGANIZATION, NAME, CREATED, ENABLED, SIGNS, USED, KEY];
const ID: Field = Field::required("id", Kind::KEY_ID, "The public part of its text.");
const CREATED: Field = Field::required("created_at", Kind::TIME, "");
const ENABLED: Field = Field::required("enabled", Kind::Flag, "Whether it is let in.");
const USED: Field =
    Field::nullable("last_used_at", Kind::TIME, "When it was last let in; a minute or so behind.");
const KEY: Field =
    Field::required("key", Kind::text(64, 64, Form::Printable), "The text. It is shown this once.");

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    organization_id: &'a str,
    name: &'a str,
    created_at: String,
    enabled: bool,
    require_signature: bool,
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> View<'a> {
    fn of(it: &'a KernelKey) -> Self {
        Self {
            id: it.id.as_str(),
            organization_id: it.organization.as_str(),
            name: &it.name,
            created_at: when::write(it.created),
            enabled: it.enabled,
            require_signature: it.require_signature,
            last_used_at: it.last_used.map(when::write),
            key: None,
        }
    }

    fn with_text(it: &'a KernelKey, token: &'a Secret) -> Result<Data, Problem> {
        Data::of(&View { key: Some(super::shown_once(token)?), ..Self::of(it) })
    }
}

async fn create(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let organization = organization(app, &call).await?;
    let name = call.input.text("name").unwrap_or_default();
    let signs = call.input.flag("require_signature").unwrap_or_default();
    let made = app.backend.team.create_kernel_key(&organization, name, signs).await;
    let (key, token) = made.map_err(problem)?;
    View::with_text(&key, &token)
}

#[derive(Serialize)]
struct Listed<'a> {
    kernels: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let organization = organization(app, &call).await?;
    let all = app.backend.team.kernel_keys(&organization).await.map_err(problem)?;
    Data::of(&Listed { kernels: all.iter().map(View::of).collect(), count: all.len() })
}

async fn show(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id: KeyId = call.id("id")?;
    Data::of(&View::of(&one(app, &id).await?))
}

async fn enable(app: &App, call: Call<'_>, enabled: bool) -> Result<Data, Problem> {
    let id: KeyId = call.id("id")?;
    if !app.backend.team.enable_kernel_key(&id, enabled).await.map_err(problem)? {
        return Err(Problem::not_found());
    }
    Data::of(&View::of(&one(app, &id).await?))
}

async fn rotate(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id: KeyId = call.id("id")?;
    let (key, token) = app.backend.team.rotate_kernel_key(&id).await.map_err(problem)?;
    View::with_text(&key, &token)
}

async fn delete(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id: KeyId = call.id("id")?;
    let done = app.backend.team.delete_kernel_key(&id).await.map_err(problem)?;
    super::deleted(done, id.as_str())
}

/// The organization that is named, which has to be there.
async fn organization(app: &App, call: &Call<'_>) -> Result<OrganizationId, Problem> {
    let id: OrganizationId = call.id("organization_id")?;
    let all = app.backend.team.organizations().await.map_err(problem)?;
    if all.iter().any(|it| it.id == id) { Ok(id) } else { Err(Problem::not_found()) }
}

async fn one(app: &App, id: &KeyId) -> Result<KernelKey, Problem> {
    let team = &app.backend.team;
    for organization in team.organizations().await.map_err(problem)? {
        let keys = team.kernel_keys(&organization.id).await.map_err(problem)?;
        if let Some(key) = keys.into_iter().find(|key| key.id == *id) {
            return Ok(key);
        }
    }
    Err(Problem::not_found())
}
