//! The kill switch: an admin's for his tenant, an operator's for all.

use serde::Serialize;
use strongroom_model::code::Code;
use strongroom_model::lock::Part;
use strongroom_model::team::{Scope, TenantCtx};
use strongroom_store::team::{Team, TeamLock};

use crate::access::problem;
use crate::app::App;
use crate::problem::{Problem, Reason};
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Alternative, Field, Form, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        act: "lock.list",
        about: "Lists what is locked for the tenant, by itself or by the operator.",
        answer: Shape::of(&[
            Field::required(
                "locks",
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
        act: "lock",
        about: "Stops all calls and starts, or those of one service or server, until it is unlocked.",
        fields: PART,
        answer: Shape::of(&[Field::required("locked", Kind::Flag, "")]),
        handle: Handle(|app, call| Box::pin(lock(app, call, true))),
        ..ALL
    },
    Route {
        path: "/v1/locks/unlock",
        act: "unlock",
        about: "Takes a lock of the tenant back; one of the operator stays.",
        fields: PART,
        answer: Shape::of(&[Field::required("locked", Kind::Flag, "")]),
        handle: Handle(|app, call| Box::pin(lock(app, call, false))),
        ..ALL
    },
];

const ALL: Route = Route {
    path: "/v1/locks",
    access: Access::Tenant(Scope::Admin, None, false),
    subject: &["service", "server"],
    ..super::BLANK
};

const SERVICE: Field = Field::optional("service", NAME, "Only the calls to this service.");
const SERVER: Field = Field::optional("server", NAME, "Only the starts of this server.");
const NAME: Kind = Kind::text(1, 64, Form::Word);
const PART: Shape = Shape {
    fields: &[SERVICE, SERVER],
    one_of: &[
        Alternative { with: &[], without: &["service", "server"] },
        Alternative { with: &["service"], without: &["server"] },
        Alternative { with: &["server"], without: &["service"] },
    ],
};
const VIEW: &[Field] = &[
    Field::required("part", Kind::OneOf(&["everything", "service", "principal", "server"]), ""),
    Field::optional("name", NAME, "Which service or server."),
    Field::required("by_operator", Kind::Flag, "Whether the operator locked it for all tenants."),
    Field::required("since", Kind::TIME, ""),
];

#[derive(Serialize)]
struct View<'a> {
    part: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    by_operator: bool,
    since: String,
}

impl<'a> View<'a> {
    fn of(it: &'a TeamLock) -> Self {
        let (part, name) = match &it.part {
            Part::Everything => ("everything", None),
            Part::Service(name) => ("service", Some(name.as_str())),
            Part::Principal(name) => ("principal", Some(name.as_str())),
            Part::Server(name) => ("server", Some(name.as_str())),
        };
        Self { part, name, by_operator: it.installation, since: when::write(it.since) }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    locks: Vec<View<'a>>,
    count: usize,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let all = app.backend.team.tenant(&call.caller.ctx).locks().await.map_err(problem)?;
    Data::of(&Listed { locks: all.iter().map(View::of).collect(), count: all.len() })
}

#[derive(Serialize)]
struct Locked {
    locked: bool,
}

async fn lock(app: &App, call: Call<'_>, on: bool) -> Result<Data, Problem> {
    let part = part(&call)?;
    let store = app.backend.team.tenant(&call.caller.ctx);
    let changed = if on { store.lock(&part).await } else { store.unlock(&part).await };
    if !changed.map_err(problem)? && !on {
        return Err(Problem::not_found());
    }
    Data::of(&Locked { locked: on })
}

/// Whether nothing that is asked for is locked.
///
/// # Errors
///
/// `locked`.
pub(crate) async fn open(
    team: &Team,
    ctx: &TenantCtx,
    service: Option<&str>,
    server: Option<&str>,
) -> Result<(), Problem> {
    let locked = team.tenant(ctx).locked().await.map_err(problem)?;
    let stops = |part: &Part| match part {
        Part::Everything => true,
        Part::Service(name) => service == Some(name.as_str()),
        Part::Server(name) => server == Some(name.as_str()),
        Part::Principal(_) => false,
    };
    if locked.iter().any(|lock| stops(&lock.part)) {
        return Err(Problem::new(Reason::Code(Code::Locked), "the kill switch is on"));
    }
    Ok(())
}

fn part(call: &Call<'_>) -> Result<Part, Problem> {
    Ok(if call.input.has("service") {
        Part::Service(call.id("service")?)
    } else if call.input.has("server") {
        Part::Server(call.id("server")?)
    } else {
        Part::Everything
    })
}
