//! Who asks, and whether he may.

use http::request::Parts;
use strongroom_model::code::Code;
use strongroom_model::team::{Scope, Scopes};
use strongroom_store::team::{SignedKernel, TeamError};

use crate::app::{App, named};
use crate::backend::Caller;
use crate::credential::Credential;
use crate::problem::{Problem, Reason};
use crate::route::{Access, Route};
use crate::shape::Input;

/// The field in which a kernel names its tenant.
pub(crate) const TENANT: &str = "tenant_id";

/// What a kernel may do for the tenants of its organization.
fn kernel_scopes() -> Scopes {
    [Scope::Use, Scope::Register, Scope::CredentialsWrite, Scope::Executor].into_iter().collect()
}

/// Finds out who asks.
///
/// # Errors
///
/// `unauthenticated`, with the same bytes for every key that is not valid; `not_found` for a tenant
/// that is not there or is another organization's.
pub(crate) async fn authenticate(
    app: &App,
    credential: Credential,
    input: &Result<Input<'_>, Problem>,
    parts: &Parts,
    body: &[u8],
) -> Result<Caller, Problem> {
    let team = &app.backend.team;
    let (key, ctx) = match credential {
        Credential::ApiKey(token) => {
            let found = team.authenticate_api_key(&token).await.map_err(problem)?;
            let (key, ctx) = found.ok_or_else(Problem::unauthenticated)?;
            return Ok(Caller { ctx, key: key.id, scopes: key.scopes, kernel: false });
        }
        Credential::Kernel(token) => {
            let found = team.authenticate_kernel_key(&token).await.map_err(problem)?;
            let key = found.ok_or_else(Problem::unauthenticated)?;
            let ctx = team.acts_for(&key, &tenant(input)?).await.map_err(problem)?;
            (key, ctx.ok_or_else(Problem::not_found)?)
        }
        Credential::Signed(id, signature) => {
            let found = team.signed_kernel(&id, &tenant(input)?).await.map_err(problem)?;
            let SignedKernel { key, signing_key, ctx } =
                found.ok_or_else(Problem::unauthenticated)?;
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let fresh = signature.is_fresh(app.backend.clock.now());
            if !signature.is_of(&signing_key, parts.method.as_str(), target, body) || !fresh {
                return Err(Problem::unauthenticated());
            }
            let new = team.use_signature(signature.mark(id), signature.expires()).await;
            if !new.map_err(problem)? {
                return Err(Problem::unauthenticated());
            }
            (key, ctx.ok_or_else(Problem::not_found)?)
        }
    };
    Ok(Caller { ctx, key: key.id, scopes: kernel_scopes(), kernel: true })
}

/// The tenant that a kernel has to name.
fn tenant(input: &Result<Input<'_>, Problem>) -> Result<strongroom_model::team::TenantId, Problem> {
    let input = input.as_ref().map_err(Clone::clone)?;
    named(input)?.ok_or_else(|| {
        let message =
            "a kernel names its tenant: `tenant_id` in the body, or in the query of a GET";
        Problem::field(TENANT, message)
    })
}

/// Whether `caller` may use `route`; says whether he administers the installation.
pub(crate) fn check(app: &App, route: &Route, caller: &Caller) -> Result<bool, Problem> {
    let has = |scope: Scope| caller.scopes.contains(scope);
    let operator =
        has(Scope::Admin) && !caller.kernel && app.options.operators.contains(&caller.ctx.tenant);
    match route.access {
        Access::Tenant(scope, other, kernels) => {
            if caller.kernel && !kernels || !has(scope) && !other.is_some_and(has) {
                return Err(lacks(scope));
            }
        }
        Access::Admin if caller.kernel || !has(Scope::Admin) => return Err(lacks(Scope::Admin)),
        Access::Operator if !operator => {
            return Err(Problem::denied("only an operator's key may do this"));
        }
        Access::Anyone | Access::Admin | Access::Operator => {}
    }
    Ok(operator)
}

/// Whether the tenant that a request names, if it does, is the caller's: a key names no other.
pub(crate) fn own(input: &Input<'_>, caller: &Caller) -> Result<(), Problem> {
    match named(input)? {
        Some(tenant) if tenant != caller.ctx.tenant => Err(Problem::not_found()),
        _ => Ok(()),
    }
}

/// Whether `caller` may call tools.
pub(crate) fn may_use(caller: &Caller) -> Result<(), Problem> {
    if caller.scopes.contains(Scope::Use) { Ok(()) } else { Err(lacks(Scope::Use)) }
}

fn lacks(scope: Scope) -> Problem {
    Problem::denied(format!("the key has no scope `{scope}`"))
}

/// Who that is, for the audit.
pub(crate) fn principal(caller: &Caller) -> String {
    caller.ctx.actor.to_string()
}

/// What the store says, as an answer. Nothing that a database said goes out.
pub(crate) fn problem(error: TeamError) -> Problem {
    match error {
        TeamError::Conflict { field } => Problem {
            field: Some(field.to_owned()),
            ..Problem::new(Reason::Conflict, format!("`{field}` is taken"))
        },
        TeamError::Invalid(error) => error.into(),
        TeamError::TooMany { what, most } => {
            Problem::denied(format!("there are {most} {what} already, and no more are allowed"))
        }
        // Somebody else's cursor is like one that was never there.
        TeamError::NotFound | TeamError::Cursor => Problem::not_found(),
        TeamError::Integrity { what } => {
            tracing::error!(what, "what is stored does not verify");
            let message = "something that is stored does not verify";
            Problem::new(Reason::Code(Code::IntegrityError), message)
        }
        error => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store does not answer");
            Problem::unavailable(Code::SecretUnavailable, "the store cannot be reached")
        }
    }
}
impl From<TeamError> for Problem {
    fn from(error: TeamError) -> Self {
        problem(error)
    }
}
