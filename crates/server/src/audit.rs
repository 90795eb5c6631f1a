//! The records that requests leave in the audit of their tenant: no body, no header, no value.

use std::net::IpAddr;

use strongroom_model::audit::{Draft, Kind};
use strongroom_model::code::Code;

use crate::access;
use crate::app::App;
use crate::backend::Caller;
use crate::problem::{Problem, Reason};

/// Records what was done, or is about to be.
///
/// # Errors
///
/// `audit_unavailable`: what is not recorded is not done, or at least not acknowledged.
pub(crate) async fn done(
    app: &App,
    caller: &Caller,
    act: &str,
    subject: Option<&str>,
) -> Result<(), Problem> {
    let draft = Draft { decision: Some("allow"), ..draft(caller, Kind::Admin, act, subject) };
    append(app, caller, draft).await
}

/// Records the answer to a question.
///
/// # Errors
///
/// `audit_unavailable`.
pub(crate) async fn judged(
    app: &App,
    caller: &Caller,
    subject: Option<&str>,
    (decision, rule): (&'static str, Option<&str>),
) -> Result<(), Problem> {
    let draft = Draft {
        decision: Some(decision),
        rule: rule.map(str::to_owned),
        ..draft(caller, Kind::Admin, "authorize", subject)
    };
    append(app, caller, draft).await
}

/// Records that a request was refused. Where even that cannot be written the refusal stands, and the
/// log says so.
pub(crate) async fn refused(
    app: &App,
    caller: &Caller,
    act: &str,
    subject: Option<&str>,
    problem: &Problem,
) {
    let (code, rule) = match problem.reason {
        Reason::Code(code) => (code, None),
        Reason::Conflict => (Code::InvalidRequest, Some("conflict")),
        Reason::CommandNotAllowed => (Code::PolicyDenied, Some("command_not_allowed")),
    };
    let draft = Draft {
        decision: Some("deny"),
        code: Some(code),
        rule: rule.map(str::to_owned),
        ..draft(caller, Kind::Refusal, act, subject)
    };
    let _ = append(app, caller, draft).await;
}

/// Logs a request of nobody that is known: it belongs to no tenant's audit.
pub(crate) fn nobody(source: IpAddr, problem: &Problem) {
    tracing::warn!(
        target: "strongroom::audit",
        decision = "deny",
        code = problem.reason.as_str(),
        %source,
        "no valid key"
    );
}

async fn append(app: &App, caller: &Caller, draft: Draft) -> Result<(), Problem> {
    let written = app.backend.team.tenant(&caller.ctx).append_audit(vec![draft]).await;
    written.map(drop).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "no record could be written");
        let message = "the audit record could not be written: look whether it was done";
        Problem::unavailable(Code::AuditUnavailable, message)
    })
}

fn draft(caller: &Caller, kind: Kind, act: &str, subject: Option<&str>) -> Draft {
    Draft {
        kind,
        principal: Some(access::principal(caller)),
        act: Some(act.to_owned()),
        subject: subject.map(str::to_owned),
        ..Draft::default()
    }
}
