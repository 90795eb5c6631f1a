//! What the tenant's agents ask a person, and the answers of whoever has the scope for it.
//!
//! A rule that says `ask` stops a call until somebody whose key has the scope `approve` or `admin`, and is
//! not the key that asks, has said yes. The record is written before the answer counts.

use std::time::Duration;

use serde::Serialize;
use strongroom_model::approval::{Answer, By, Class, Excerpt, State};
use strongroom_model::team::Scope;
use strongroom_store::team::{ApprovalQuery, TeamApproval, TeamSettled};

use super::grants;
use crate::access::problem;
use crate::app::App;
use crate::problem::{Problem, Reason};
use crate::route::{Access, Call, Data, Handle, Route};
use crate::shape::{Alternative, Field, Form, Kind, Shape};
use crate::when;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        path: "/v1/approvals",
        path_fields: Shape::EMPTY,
        act: "approval.list",
        about: "Lists what agents ask a person, the newest first, without the bodies that would be sent.",
        fields: Shape::of(&[
            Field::optional("state", Kind::OneOf(STATES), "Only what is in this state now."),
            Field::optional(
                "limit",
                Kind::Number { least: 1, most: 1000 },
                "How many; 100 by default.",
            ),
            super::CURSOR,
        ]),
        answer: Shape::of(&[
            Field::required(
                "approvals",
                Kind::List { item: &Kind::Object(&Shape::of(VIEW)), least: 0, most: 1000 },
                "",
            ),
            super::NEXT_CURSOR,
        ]),
        handle: Handle(|app, call| Box::pin(list(app, call))),
        ..ONE
    },
    Route {
        act: "approval.show",
        about: "Shows one question, with the beginning of the body that would be sent while it is open.",
        answer: Shape::of(VIEW),
        handle: Handle(|app, call| Box::pin(show(app, call))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/approvals/{id}/approve",
        act: "approval.approve",
        about: "Says yes: to exactly this request, once, unless more is said. The key that asks cannot; \
                of two who answer one gets `conflict`.",
        fields: Shape {
            fields: &[SESSION, FOR],
            one_of: &[
                Alternative { with: &[], without: &["session", "for_s"] },
                Alternative { with: &["session"], without: &["for_s"] },
                Alternative { with: &["for_s"], without: &["session"] },
            ],
        },
        answer: Shape::of(&[APPROVAL, GRANT]),
        repeatable: true,
        handle: Handle(|app, call| Box::pin(approve(app, call))),
        ..ONE
    },
    Route {
        method: "POST",
        path: "/v1/approvals/{id}/deny",
        act: "approval.deny",
        about: "Says no. The same is not asked again for two minutes.",
        fields: Shape::of(&[BECAUSE]),
        answer: Shape::of(&[APPROVAL]),
        repeatable: true,
        handle: Handle(|app, call| Box::pin(deny(app, call))),
        ..ONE
    },
];

const ONE: Route = Route {
    method: "GET",
    path: "/v1/approvals/{id}",
    path_fields: Shape::of(&[ID]),
    access: Access::Tenant(Scope::Approve, Some(Scope::Admin), false),
    subject: &["id"],
    // Answers are recorded before they count, and not behind it.
    recorded: false,
    ..super::BLANK
};

const STATES: &[&str] = &["open", "approved", "denied", "used", "withdrawn", "expired"];
const SESSION: Field = Field::optional(
    "session",
    Kind::Flag,
    "To everything that the same rule asks this principal about, of the same class, until its \
     connection ends, 8 hours at the most.",
);
const FOR: Field = Field::optional(
    "for_s",
    Kind::Number { least: 1, most: 30 * 86_400 },
    "The same for so many seconds, no longer than the rule's `ttl`. It becomes a grant.",
);
const BECAUSE: Field = Field::optional("because", Kind::text(1, 500, Form::Line), "Why not.");
const ID: Field =
    Field::required("id", Kind::text(10, 10, Form::Word), "`a-` and eight characters.");
const APPROVAL: Field = Field::required("approval", Kind::Object(&Shape::of(VIEW)), "");
const GRANT: Field = Field::optional("grant", Kind::Object(&Shape::of(grants::VIEW)), "");
/// What an agent wrote, escaped: it may be shown as it is.
const ESCAPED: Kind = Kind::text(0, 1 << 18, Form::NoNul);
const VIEW: &[Field] = &[
    ID,
    Field::required("state", Kind::OneOf(STATES), "As it is now."),
    Field::required("access", Kind::Flag, "Whether it is `request_access`: no call waits for it."),
    Field::required("principal", Kind::text(1, 64, Form::Word), "Who asks: `key-` and its id."),
    Field::optional("client", ESCAPED, "What the agent's client calls itself."),
    Field::required("service", Kind::text(1, 64, Form::Word), ""),
    Field::optional("rule", ESCAPED, "The rule that asks."),
    Field::optional("class", Kind::OneOf(grants::CLASSES), "What kind of thing it is."),
    Field::required("what", ESCAPED, "The request line, or a wish in the agent's words."),
    Field::required("place", ESCAPED, "The origin that it goes to."),
    Field::required("bytes", Kind::Number { least: 0, most: u64::MAX }, "Of its body."),
    Field::optional("content_type", ESCAPED, "What the body says it is."),
    Field::optional(
        "body",
        Kind::Object(&Shape::of(&[
            Field::required("lines", Kind::List { item: &ESCAPED, least: 0, most: 1 << 16 }, ""),
            Field::required(
                "missing",
                Kind::Number { least: 0, most: u64::MAX },
                "Bytes that are not in them.",
            ),
        ])),
        "The beginning of the body, where it is text, in lines that are safe to be shown.",
    ),
    Field::optional("reason", ESCAPED, "The agent's reason, in quotes."),
    Field::optional("ttl_s", Kind::Number { least: 0, most: u64::MAX }, "The longest yes."),
    Field::required("opened_at", Kind::TIME, ""),
    Field::required("expires_at", Kind::TIME, "When the question, or the answer, ends."),
    Field::optional("answer", Kind::OneOf(&["once", "session", "for", "deny"]), ""),
    Field::optional("by", Kind::OneOf(grants::WAYS), "How the person was asked."),
    Field::optional("answered_by", Kind::text(1, 64, Form::Line), "`key ID`, or `operator`."),
    Field::optional("answered_at", Kind::TIME, ""),
    BECAUSE,
];

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    state: &'static str,
    access: bool,
    principal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    what: &'a str,
    place: &'a str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a Excerpt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_s: Option<u64>,
    opened_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
}

impl<'a> View<'a> {
    fn of(it: &'a TeamApproval) -> Self {
        let (entry, question) = (&it.entry, &it.entry.question);
        Self {
            id: &entry.id,
            state: entry.state.as_str(),
            access: question.access,
            principal: question.principal.as_str(),
            client: question.client.as_deref(),
            service: question.service.as_str(),
            rule: question.rule.as_deref(),
            class: question.class.map(Class::as_str),
            what: &question.what,
            place: &question.place,
            bytes: question.bytes,
            content_type: question.content_type.as_deref(),
            body: question.body.as_ref(),
            reason: question.reason.as_deref(),
            ttl_s: question.ttl_s,
            opened_at: when::write(entry.opened),
            expires_at: when::write(entry.expires),
            answer: it.answer.map(|answer| match answer {
                Answer::Once => "once",
                Answer::Session => "session",
                Answer::For(_) => "for",
                Answer::Deny => "deny",
            }),
            by: entry.by.map(By::as_str),
            answered_by: it.answered_by.as_deref(),
            answered_at: it.answered_at.map(when::write),
            because: it.because.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    approvals: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

async fn list(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let query = ApprovalQuery {
        state: call.input.text("state").and_then(State::parse),
        limit: call.input.number("limit").and_then(|limit| u32::try_from(limit).ok()),
        cursor: call.input.text("cursor").map(str::to_owned),
    };
    let store = app.backend.team.tenant(&call.caller.ctx);
    let page = store.approvals(&query).await.map_err(problem)?;
    let approvals = page.approvals.iter().map(|it| View { body: None, ..View::of(it) });
    let next_cursor = page.next_cursor.as_deref();
    Data::of(&Listed { approvals: approvals.collect(), next_cursor })
}

async fn show(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let id = call.input.text("id").unwrap_or_default();
    let store = app.backend.team.tenant(&call.caller.ctx);
    let found = store.approval(id).await.map_err(problem)?;
    Data::of(&View::of(&found.ok_or_else(Problem::not_found)?))
}

#[derive(Serialize)]
struct Answered<'a> {
    approval: View<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<grants::View<'a>>,
}

async fn approve(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    let answer = match call.input.number("for_s") {
        Some(seconds) => Answer::For(Duration::from_secs(seconds)),
        None if call.input.flag("session") == Some(true) => Answer::Session,
        None => Answer::Once,
    };
    settle(app, &call, answer, None).await
}

async fn deny(app: &App, call: Call<'_>) -> Result<Data, Problem> {
    settle(app, &call, Answer::Deny, call.input.text("because")).await
}

async fn settle(
    app: &App,
    call: &Call<'_>,
    answer: Answer,
    because: Option<&str>,
) -> Result<Data, Problem> {
    let id = call.input.text("id").unwrap_or_default();
    let store = app.backend.team.tenant(&call.caller.ctx);
    let conflict = |message| Err(Problem::new(Reason::Conflict, message));
    match store.answer_approval(id, answer, By::Api, because).await.map_err(problem)? {
        TeamSettled::Done(approval, grant) => {
            let grant = grant.as_ref().map(grants::View::of);
            Data::of(&Answered { approval: View::of(&approval), grant })
        }
        TeamSettled::Unknown => Err(Problem::not_found()),
        TeamSettled::Own => Err(Problem::denied("the key that asks cannot answer")),
        TeamSettled::NotOpen(state) => conflict(match state {
            State::Open | State::Expired => "nobody answered in time",
            State::Approved | State::Used => "somebody said yes to this already",
            State::Denied => "somebody said no to this already",
            State::Withdrawn => "whoever asked does not wait any more",
        }),
        TeamSettled::Uncovered => {
            conflict("no rule asks about this, so that a yes would change nothing")
        }
        TeamSettled::TooManyGrants => conflict("too many grants stand: take one back first"),
        TeamSettled::NeedsTime => {
            Err(Problem::field("for_s", "no call waits for this: say for how long with `for_s`"))
        }
    }
}
