//! Who the caller is: what a client asks first, to know whether its key is taken and for whom it acts.

use serde::Serialize;
use strongroom_model::team::Scope;

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Kind, Shape};

pub(crate) const ROUTES: &[Route] = &[Route {
    method: "GET",
    path: "/v1/whoami",
    access: Access::Anyone,
    act: "whoami",
    about: "Says for which tenant the caller acts, and what it may do.",
    answer: Shape::of(&[
        Field::required("tenant_id", Kind::UUID, "The tenant."),
        Field::required("tenant", Kind::NAME, "Its name."),
        Field::required("organization_id", Kind::UUID, "The organization that it belongs to."),
        Field::required("key_id", Kind::KEY_ID, "The public part of the caller's key."),
        Field::required("kernel", Kind::Flag, "Whether that is a kernel's."),
        Field::required(
            "scopes",
            Kind::List { item: &Kind::OneOf(super::keys::WORDS), least: 0, most: 6 },
            "What the caller may do.",
        ),
        Field::required("operator", Kind::Flag, "Whether it administers the installation."),
    ]),
    recorded: false,
    handle: Handle(|app, call| Box::pin(show(app, call))),
    ..super::BLANK
}];

#[derive(Serialize)]
struct View<'a> {
    tenant_id: &'a str,
    tenant: &'a str,
    organization_id: &'a str,
    key_id: &'a str,
    kernel: bool,
    scopes: Vec<&'static str>,
    operator: bool,
}

async fn show(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let caller = &call.caller;
    let found = app.backend.team.find_tenant(&caller.ctx.tenant).await.map_err(problem)?;
    let tenant = found.ok_or_else(Problem::not_found)?;
    Data::of(&View {
        tenant_id: tenant.id.as_str(),
        tenant: &tenant.name,
        organization_id: tenant.organization.as_str(),
        key_id: caller.key.as_str(),
        kernel: caller.kernel,
        scopes: caller.scopes.iter().map(Scope::as_str).collect(),
        operator: call.operator,
    })
}
