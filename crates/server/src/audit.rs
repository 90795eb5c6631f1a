//! The records that requests leave in the audit of their tenant, and of the installation: no body, no
//! header, no value.

use std::net::IpAddr;

use strongroom_model::audit::{AuditId, AuditSink as _, Draft, Kind};
use strongroom_model::code::Code;
use strongroom_model::team::{KeyKind, TenantCtx, TenantId};

use crate::access;
use crate::app::App;
use crate::backend::Caller;
use crate::problem::{Problem, Reason};
use crate::route::{Access, Route};
use crate::shape::Input;

/// What is about to be done, as it was recorded.
pub(crate) struct Recorded {
    /// Whose audit has it.
    audit: TenantId,
    /// Under which a refusal of it follows.
    id: AuditId,
}

/// Records what is about to be done: in the audit of the tenant that it is done to, or else of the
/// installation where only an operator may do it.
///
/// # Errors
///
/// `audit_unavailable`: what cannot be recorded is not done.
pub(crate) async fn begins(
    app: &App,
    route: &Route,
    call: (&Caller, bool),
    input: &Input<'_>,
    subject: Option<&str>,
) -> Result<Recorded, Problem> {
    let (caller, operator) = call;
    let audit = if operator { about(app, route, caller, input).await? } else { caller.ctx.tenant };
    let draft = Draft { decision: Some("allow"), ..draft(caller, Kind::Admin, route.act, subject) };
    let id = append(app, TenantCtx { tenant: audit, ..caller.ctx }, draft).await?;
    Ok(Recorded { audit, id })
}

/// Whose audit has what an operator does.
async fn about(
    app: &App,
    route: &Route,
    caller: &Caller,
    input: &Input<'_>,
) -> Result<TenantId, Problem> {
    let field = if route.path.starts_with("/v1/tenants/") { "id" } else { access::TENANT };
    let own = caller.ctx.tenant;
    match input.text(field).and_then(|text| text.parse().ok()) {
        Some(id) if id == own => Ok(own),
        // A tenant that is not there has no audit.
        Some(id) if app.backend.team.find_tenant(&id).await?.is_some() => Ok(id),
        _ if route.access == Access::Operator => Ok(TenantId::INSTALLATION),
        _ => Ok(own),
    }
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
    append(app, caller.ctx, draft).await.map(drop)
}

/// Records that a request was refused. Where even that cannot be written the refusal stands, and the
/// log says so.
pub(crate) async fn refused(
    app: &App,
    caller: &Caller,
    act: &str,
    subject: Option<&str>,
    problem: &Problem,
    begun: Option<Recorded>,
) {
    let (code, rule) = match problem.reason {
        Reason::Code(code) => (code, None),
        Reason::Conflict => (Code::InvalidRequest, Some("conflict")),
    };
    let ctx = begun.as_ref().map_or(caller.ctx, |it| TenantCtx { tenant: it.audit, ..caller.ctx });
    let draft = Draft {
        decision: Some("deny"),
        code: Some(code),
        rule: rule.map(str::to_owned),
        audit_id: begun.map(|it| it.id),
        ..draft(caller, Kind::Refusal, act, subject)
    };
    let _ = append(app, ctx, draft).await;
}

/// Records a request without a valid key, in the audit of the installation. `before`: how many before it
/// were not recorded. Nobody waits for it, so that it takes as long as any other; what was shown is not
/// in it.
pub(crate) fn nobody(app: &App, source: IpAddr, before: u64) {
    let draft = Draft {
        kind: Kind::Refusal,
        decision: Some("deny"),
        code: Some(Code::Unauthenticated),
        act: Some("authenticate".to_owned()),
        subject: Some(source.to_string()),
        count: (before > 0).then_some(before),
        ..Draft::default()
    };
    if let Err(error) = app.backend.team.installation_audit().append(draft) {
        tracing::error!(%source, error = &error as &dyn std::error::Error, "not recorded: no valid key");
    }
}

async fn append(app: &App, ctx: TenantCtx, draft: Draft) -> Result<AuditId, Problem> {
    let written = app.backend.team.tenant(&ctx).append_audit(vec![draft]).await;
    let ids = written.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "no record could be written");
        unavailable()
    })?;
    ids.into_iter().next().ok_or_else(unavailable)
}

fn unavailable() -> Problem {
    let message = "the audit record could not be written, so nothing was done";
    Problem::unavailable(Code::AuditUnavailable, message)
}

fn draft(caller: &Caller, kind: Kind, act: &str, subject: Option<&str>) -> Draft {
    Draft {
        kind,
        principal: Some(access::principal(caller)),
        act: Some(act.to_owned()),
        subject: subject.map(without_keys),
        ..Draft::default()
    }
}

/// `text` with the public part alone of every key of ours that stands in it.
fn without_keys(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let key = rest.get(..LENGTH).filter(|part| {
            let part = part.as_bytes();
            [KeyKind::Api, KeyKind::Kernel].iter().any(|kind| kind.parse(part).is_some())
        });
        let (part, next) = match key {
            Some(key) => (format!("{}[REDACTED]", &key[..PUBLIC]), LENGTH),
            None => (first.to_string(), first.len_utf8()),
        };
        kept.push_str(&part);
        rest = &rest[next..];
    }
    kept
}

/// Of the text of a key, and of its public part with what separates it.
const LENGTH: usize = 64;
const PUBLIC: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_pasted_is_not_recorded() {
        let key = "mcp_0123456789abcdef_AAAAAAAAAAbbbbbbbbbbCCCCCCCCCCdddddddddd-_E";
        let pasted = format!("é{key}, {}", key.replace("mcp", "krn"));
        let recorded = "émcp_0123456789abcdef_[REDACTED], krn_0123456789abcdef_[REDACTED]";
        assert_eq!(without_keys(&pasted), recorded);
        for other in ["", "mcp_", "my-amazon-server", &key[1..], "mcp_0123456789abcdef"] {
            assert_eq!(without_keys(other), other);
        }
    }
}
