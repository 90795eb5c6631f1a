//! The audit of a tenant, for its admin.

use serde::Serialize;
use serde_json::value::RawValue;
use strongroom_model::team::Scope;
use strongroom_store::team::AuditQuery;

use crate::access::problem;
use crate::app::App;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[Route {
    method: "GET",
    path: "/v1/audit",
    access: Access::Tenant(Scope::Admin, None, false),
    act: "audit.list",
    about: "Lists the tenant's audit records, the newest first.",
    fields: Shape::of(&[
        Field::optional(
            "audit_id",
            Kind::text(32, 32, Form::Label),
            "Only the records of this call.",
        ),
        Field::optional("since", Kind::TIME, "Only those from then on."),
        Field::optional(
            "limit",
            Kind::Number { least: 1, most: 1000 },
            "How many; 100 by default.",
        ),
        super::CURSOR,
        Field::optional(
            "installation",
            Kind::Flag,
            "An operator's: the records that are no tenant's.",
        ),
    ]),
    answer: Shape::of(&[
        Field::required(
            "records",
            Kind::List { item: &Kind::Any, least: 0, most: 1000 },
            "As they were written.",
        ),
        super::NEXT_CURSOR,
    ]),
    recorded: false,
    handle: Handle(|app, call| Box::pin(list(app, call))),
    ..super::BLANK
}];

#[derive(Serialize)]
struct Listed<'a> {
    records: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let wanted = AuditQuery {
        audit_id: call.input.text("audit_id").map(str::to_owned),
        since: call.input.text("since").and_then(when::read),
        limit: call.input.number("limit").and_then(|limit| u32::try_from(limit).ok()),
        cursor: call.input.text("cursor").map(str::to_owned),
    };
    let page = if call.input.flag("installation") == Some(true) {
        if !call.operator {
            return Err(Problem::denied("only an operator's key may do this"));
        }
        app.backend.team.audit_of_installation(&wanted).await
    } else {
        app.backend.team.tenant(&call.caller.ctx).audit(&wanted).await
    };
    let page = page.map_err(problem)?;
    let records = page.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Data::of(&Listed { records, next_cursor: page.next_cursor.as_deref() })
}
