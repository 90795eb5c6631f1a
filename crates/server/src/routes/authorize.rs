//! `/functions/v1/authorize`: would it be allowed? Nothing happens but a record.

use strongroom_model::team::Scope;

use crate::app::App;
use crate::audit;
use crate::judge::Question;
use crate::problem::Problem;
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Field, Form, Kind, Shape};

pub(crate) const ROUTES: &[Route] = &[Route {
    method: "POST",
    path: "/functions/v1/authorize",
    aliases: &[],
    access: Access::Tenant(Scope::Use, None, true),
    act: "authorize",
    subject: &["resource", "action"],
    about: "Says what the policy says, without doing it.",
    path_fields: Shape::EMPTY,
    fields: Shape::of(&[
        Field::required(
            "action",
            Kind::text(1, 128, Form::Line),
            "What would be done: `tools/call`, or `http.` and a method.",
        ),
        Field::optional(
            "resource",
            Kind::text(1, 1024, Form::Line),
            "What it would be done to: a tool, a URL, or a service with a path.",
        ),
        Field::optional(
            "arguments",
            Kind::Any,
            "With which arguments: those of the tool, or `query`, `headers`, `body`, `reason`.",
        ),
    ]),
    answer: Shape::of(&[
        Field::required("decision", Kind::OneOf(&["allow", "ask", "deny"]), ""),
        Field::required("reason", Kind::SENTENCE, "For people."),
        Field::nullable("rule", Kind::SENTENCE, "The rule that decided."),
    ]),
    says_status: false,
    repeatable: false,
    // It records its answer itself.
    recorded: false,
    handle: Handle(|app, call| Box::pin(authorize(app, call))),
}];

async fn authorize(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let question = Question {
        action: call.input.text("action").unwrap_or_default().to_owned(),
        resource: call.input.text("resource").map(str::to_owned),
        arguments: call.input.value("arguments"),
    };
    let subject = question.resource.clone().unwrap_or_else(|| question.action.clone());
    let verdict = app.backend.judge.judge(&call.caller.ctx, question).await?;
    let decision = (verdict.decision.as_str(), verdict.rule.as_deref());
    audit::judged(app, &call.caller, Some(&subject), decision).await?;
    Data::of(&verdict)
}
