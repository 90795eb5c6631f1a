//! API keys: an admin's own tenant's, an operator's any tenant's.

use std::time::Duration;

use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_model::team::{ApiKey, KeyId, Scope, Scopes, TenantId};

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        act: "key.create",
        about: "Makes an API key. Its text is in this answer and nowhere else.",
        fields: Shape::of(&[
            NAME,
            SCOPES.optionally(),
            Field::optional(
                "expires_in_s",
                Kind::Number { least: 60, most: 10 * 365 * 86_400 },
                "After how many seconds it is refused; never by default.",
            ),
            TENANT,
        ]),
        answer: Shape::of(NEW),
        repeatable: true,
        recorded: true,
        handle: Handle(|app, call| Box::pin(create(app, call))),
        ..ALL
    },
    Route {
        act: "key.list",
        about: "Lists the API keys of a tenant, the oldest first. Never their texts.",
        fields: Shape::of(&[TENANT]),
        answer: Shape::of(&[
            Field::required(
                "api_keys",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1_000_000 },
                "",
            ),
            super::COUNT,
        ]),
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..ALL
    },
    Route {
        act: "key.show",
        about: "Shows one API key. Never its text.",
        answer: Shape::of(VIEW),
        handle: Handle(|app, call| Box::pin(show(app, call))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/api-keys/{id}/disable",
        act: "key.disable",
        about: "Refuses the holder of an API key.",
        answer: Shape::of(VIEW),
        recorded: true,
        handle: Handle(|app, call| Box::pin(enable(app, call, false))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/api-keys/{id}/enable",
        act: "key.enable",
        about: "Lets the holder of an API key in again.",
        answer: Shape::of(VIEW),
        recorded: true,
        handle: Handle(|app, call| Box::pin(enable(app, call, true))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/api-keys/{id}/rotate",
        act: "key.rotate",
        about: "Gives an API key a new text, which is in this answer and nowhere else; the old one is \
                refused from now on.",
        answer: Shape::of(NEW),
        repeatable: true,
        recorded: true,
        handle: Handle(|app, call| Box::pin(rotate(app, call))),
        ..ONE
    },
    Route {
        method: "DELETE",
        act: "key.delete",
        about: "Deletes an API key for good.",
        answer: super::DELETED,
        recorded: true,
        handle: Handle(|app, call| Box::pin(delete(app, call))),
        ..ONE
    },
];

const ALL: Route = Route {
    method: "GET",
    path: "/v1/api-keys",
    access: Access::Admin,
    subject: &["id", "name"],
    recorded: false,
    ..super::BLANK
};

const ONE: Route = Route {
    path: "/v1/api-keys/{id}",
    path_fields: super::BY_KEY,
    fields: Shape::of(&[TENANT]),
    ..ALL
};

const NAME: Field = Field::required("name", Kind::NAME, "What people call it.");
const SCOPES: Field = Field::required(
    "scopes",
    Kind::List { item: &Kind::OneOf(WORDS), least: 1, most: 6 },
    "What its holder may do; `use` by default.",
);
pub(super) const WORDS: &[&str] =
    &["use", "register", "credentials:write", "executor", "approve", "admin"];
const TENANT: Field = Field::optional(
    "tenant_id",
    Kind::UUID,
    "The tenant; the caller's own by default. Another one is an operator's to name.",
);
const KEY: Field =
    Field::required("key", Kind::text(64, 64, Form::Printable), "The text. It is shown this once.");
const VIEW: &[Field] = &[ID, TENANT_ID, NAME, SCOPES, CREATED, EXPIRES, ENABLED, USED];
const NEW: &[Field] = &[ID, TENANT_ID, NAME, SCOPES, CREATED, EXPIRES, ENABLED, USED, KEY];
const ID: Field = Field::required("id", Kind::KEY_ID, "The public part of its text.");
const TENANT_ID: Field = Field::required("tenant_id", Kind::UUID, "");
const CREATED: Field = Field::required("created_at", Kind::TIME, "");
const EXPIRES: Field = Field::nullable("expires_at", Kind::TIME, "From when on it is refused.");
const ENABLED: Field = Field::required("enabled", Kind::Flag, "Whether its holder is let in.");
const USED: Field =
    Field::nullable("last_used_at", Kind::TIME, "When it was last let in; a minute or so behind.");

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    tenant_id: &'a str,
    name: &'a str,
    scopes: Vec<&'static str>,
    created_at: String,
    expires_at: Option<String>,
    enabled: bool,
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> View<'a> {
    fn of(it: &'a ApiKey) -> Self {
        Self {
            id: it.id.as_str(),
            tenant_id: it.tenant.as_str(),
            name: &it.name,
            scopes: it.scopes.iter().map(Scope::as_str).collect(),
            created_at: when::write(it.created),
            expires_at: it.expires.map(when::write),
            enabled: it.enabled,
            last_used_at: it.last_used.map(when::write),
            key: None,
        }
    }

    fn with_text(it: &'a ApiKey, token: &'a Secret) -> Result<Data, Problem> {
        Data::of(&View { key: Some(super::shown_once(token)?), ..Self::of(it) })
    }
}

/// The tenant that is meant: the caller's own, unless an operator names another.
fn tenant(call: &Call<'_>) -> Result<TenantId, Problem> {
    let own = call.caller.ctx.tenant;
    if !call.input.has("tenant_id") {
        return Ok(own);
    }
    let named = call.id("tenant_id")?;
    if named == own || call.operator { Ok(named) } else { Err(Problem::not_found()) }
}

async fn create(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let tenant = tenant(&call)?;
    let words = call.input.texts("scopes").unwrap_or_else(|| vec!["use".to_owned()]);
    let scopes: Scopes = words.iter().filter_map(|word| word.parse::<Scope>().ok()).collect();
    // Otherwise the scope `admin` would be every scope, plaintext included.
    if !call.operator && scopes.iter().any(|scope| !call.caller.scopes.contains(scope)) {
        return Err(Problem::denied("a key gives only scopes that it has itself"));
    }
    let name = call.input.text("name").unwrap_or_default();
    let lasts = call.input.number("expires_in_s").map(Duration::from_secs);
    let expires = lasts.map(|lasts| app.backend.clock.now() + lasts);
    let team = &app.backend.team;
    if team.find_tenant(&tenant).await.map_err(problem)?.is_none() {
        return Err(Problem::not_found());
    }
    let made = team.create_api_key(&tenant, name, scopes, expires).await;
    let (key, token) = made.map_err(problem)?;
    View::with_text(&key, &token)
}

#[derive(Serialize)]
struct Listed<'a> {
    api_keys: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let tenant = tenant(&call)?;
    let all = app.backend.team.api_keys(&tenant).await.map_err(problem)?;
    Data::of(&Listed { api_keys: all.iter().map(View::of).collect(), count: all.len() })
}

async fn show(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let (tenant, id): (TenantId, KeyId) = (tenant(&call)?, call.id("id")?);
    Data::of(&View::of(&one(app, &tenant, &id).await?))
}

async fn enable(app: &App, call: Call<'_>, enabled: bool) -> Result<Data, Problem> {
    let (tenant, id): (TenantId, KeyId) = (tenant(&call)?, call.id("id")?);
    widens(app, &call, &tenant, &id).await?;
    if !app.backend.team.enable_api_key(&tenant, &id, enabled).await.map_err(problem)? {
        return Err(Problem::not_found());
    }
    Data::of(&View::of(&one(app, &tenant, &id).await?))
}

async fn rotate(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let (tenant, id): (TenantId, KeyId) = (tenant(&call)?, call.id("id")?);
    widens(app, &call, &tenant, &id).await?;
    let (key, token) = app.backend.team.rotate_api_key(&tenant, &id).await.map_err(problem)?;
    View::with_text(&key, &token)
}

async fn delete(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let (tenant, id): (TenantId, KeyId) = (tenant(&call)?, call.id("id")?);
    let done = app.backend.team.delete_api_key(&tenant, &id).await.map_err(problem)?;
    super::deleted(done, id.as_str())
}

async fn one(app: &App, tenant: &TenantId, id: &KeyId) -> Result<ApiKey, Problem> {
    let all = app.backend.team.api_keys(tenant).await.map_err(problem)?;
    all.into_iter().find(|key| key.id == *id).ok_or_else(Problem::not_found)
}

/// A key with more scopes than the caller's is neither let in again nor given a new text by it: the
/// text would be the caller's to use.
async fn widens(app: &App, call: &Call<'_>, tenant: &TenantId, id: &KeyId) -> Result<(), Problem> {
    let key = one(app, tenant, id).await?;
    if !call.operator && key.scopes.iter().any(|scope| !call.caller.scopes.contains(scope)) {
        return Err(Problem::denied("the key has scopes that yours has not"));
    }
    Ok(())
}
