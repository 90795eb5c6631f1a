//! Credentials: written by those who have them, read by executors and kernels and by nobody else
//! (decision 12).

use serde::Serialize;
use serde_json::value::RawValue;
use strongroom_model::json::Members;
use strongroom_model::secret::Secret;
use strongroom_model::team::{CredentialId, Scope};
use strongroom_store::team::{Credential, CredentialValues, DEFAULT_TYPE, Which};

use super::locks;
use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Alternative, Field, Form, Kind, Shape, Text};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        path: "/functions/v1/credentials/store",
        act: "credential.store",
        about: "Stores a credential, in the place of the one of the same service and type.",
        fields: Shape::of(&[SERVICE, VALUES, TYPE]),
        answer: Shape::of(&[ID, SERVICE, TYPE.always(), CREATED]),
        repeatable: true,
        handle: Handle(|app, call| Box::pin(store(app, call))),
        ..POST
    },
    Route {
        method: "GET",
        path: "/functions/v1/credentials/list",
        act: "credential.list",
        about: "Lists the credentials, without their values.",
        fields: Shape::of(&[SERVICE.optionally()]),
        answer: Shape::of(&[
            Field::required(
                "credentials",
                Kind::List { item: &Kind::Object(&Shape::of(LISTED)), least: 0, most: 1_000_000 },
                "",
            ),
            super::COUNT,
        ]),
        recorded: false,
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..POST
    },
    Route {
        path: "/functions/v1/credentials/retrieve",
        access: Access::Tenant(Scope::Executor, None, true),
        act: "credential.retrieve",
        about: "Gives the values to whoever executes calls. Every request is recorded.",
        fields: WHICH,
        answer: Shape::of(&[ID, SERVICE, TYPE.always(), VALUES]),
        handle: Handle(|app, call| Box::pin(retrieve(app, call))),
        ..POST
    },
    Route {
        path: "/functions/v1/credentials/delete",
        act: "credential.delete",
        about: "Deletes a credential for good.",
        fields: WHICH,
        answer: Shape::of(&[ID, Field::required("deleted", Kind::Flag, "")]),
        handle: Handle(|app, call| Box::pin(delete(app, call))),
        ..POST
    },
];

const POST: Route = Route {
    access: Access::Tenant(Scope::CredentialsWrite, None, true),
    subject: &["credential_id", "service"],
    says_status: true,
    ..super::BLANK
};

const ID: Field = Field::required("credential_id", Kind::UUID, "Its row.");
const SERVICE: Field = Field::required("service", Kind::LABEL, "The service that it is for.");
const TYPE: Field =
    Field::optional("credential_type", Kind::LABEL, "What it is; `api_key` by default.");
const VALUES: Field = Field::required(
    "credentials",
    Kind::Map {
        name: Text { least: 1, most: 64, form: Form::Label },
        value: &Kind::Any,
        least: 1,
        most: 64,
    },
    "The values, by the names of their fields.",
);
const CREATED: Field = Field::required("created_at", Kind::TIME, "");
const LISTED: &[Field] = &[
    Field::required("id", Kind::UUID, "Its row."),
    SERVICE,
    TYPE.always(),
    CREATED,
    Field::required("updated_at", Kind::TIME, ""),
    Field::nullable("last_used_at", Kind::TIME, "When it was last given out."),
];
const WHICH: Shape = Shape {
    fields: &[ID.optionally(), SERVICE.optionally(), TYPE],
    one_of: &[
        Alternative { with: &["credential_id"], without: &["service", "credential_type"] },
        Alternative { with: &["service"], without: &["credential_id"] },
    ],
};

#[derive(Serialize)]
struct Stored<'a> {
    credential_id: &'a str,
    service: &'a str,
    credential_type: &'a str,
    created_at: String,
}

async fn store(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    // As it was sent, and copied once: what the body and its reading hold is wiped with them.
    let text = std::str::from_utf8(call.body).unwrap_or_default();
    let members = Members::read(text).unwrap_or_default();
    let values = members.get("credentials").unwrap_or_default();
    let values = CredentialValues::new(Secret::new(values.as_bytes().to_vec()))?;
    let service = call.input.text("service").unwrap_or_default();
    let kind = call.input.text("credential_type").unwrap_or(DEFAULT_TYPE);
    let store = app.backend.team.tenant(&call.caller.ctx);
    let stored = store.store_credential(service, kind, values).await.map_err(problem)?;
    Data::of(&Stored {
        credential_id: stored.id.as_str(),
        service: &stored.service,
        credential_type: &stored.credential_type,
        created_at: when::write(stored.created_at),
    })
}

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    service: &'a str,
    credential_type: &'a str,
    created_at: String,
    updated_at: String,
    last_used_at: Option<String>,
}

impl<'a> View<'a> {
    fn of(it: &'a Credential) -> Self {
        Self {
            id: it.id.as_str(),
            service: &it.service,
            credential_type: &it.credential_type,
            created_at: when::write(it.created_at),
            updated_at: when::write(it.updated_at),
            last_used_at: it.last_used_at.map(when::write),
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    credentials: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let store = app.backend.team.tenant(&call.caller.ctx);
    let all = store.credentials(call.input.text("service")).await.map_err(problem)?;
    Data::of(&Listed { credentials: all.iter().map(View::of).collect(), count: all.len() })
}

#[derive(Serialize)]
struct Retrieved<'a> {
    credential_id: &'a str,
    service: &'a str,
    credential_type: &'a str,
    credentials: &'a RawValue,
}

async fn retrieve(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let which = which(&call)?;
    let store = app.backend.team.tenant(&call.caller.ctx);
    let found = store.retrieve_credential(which).await.map_err(problem)?;
    let (credential, values) = found.ok_or_else(Problem::not_found)?;
    locks::open(&app.backend.team, &call.caller.ctx, Some(&credential.service), None).await?;
    let damaged = |_| Problem::not_found();
    Data::of(&Retrieved {
        credential_id: credential.id.as_str(),
        service: &credential.service,
        credential_type: &credential.credential_type,
        credentials: serde_json::from_slice(values.json().expose()).map_err(damaged)?,
    })
}

#[derive(Serialize)]
struct Deleted<'a> {
    credential_id: &'a str,
    deleted: bool,
}

async fn delete(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let which = which(&call)?;
    let store = app.backend.team.tenant(&call.caller.ctx);
    let id = store.delete_credential(which).await.map_err(problem)?;
    let id = id.ok_or_else(Problem::not_found)?;
    Data::of(&Deleted { credential_id: id.as_str(), deleted: true })
}

/// Which credential is meant.
fn which<'a>(call: &'a Call<'_>) -> Result<Which<'a>, Problem> {
    if call.input.has("credential_id") {
        let id: CredentialId = call.id("credential_id")?;
        return Ok(Which::Id(id));
    }
    Ok(Which::Named {
        service: call.input.text("service").unwrap_or_default(),
        credential_type: call.input.text("credential_type").unwrap_or(DEFAULT_TYPE),
    })
}
