//! `POST /mcp` of a team: the broker's tools, each tenant's on its own services and credentials.
//!
//! A tenant has a broker of its own: its catalogue, its matcher, its connections, its limits. Nothing is
//! keyed by less than the tenant (TN-08). Brokers are made when they are needed; of more than [`MOST`]
//! the one that was used the longest ago goes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use serde_json::Value;
use strongroom_gateway::http::{Desk, Options, Visitor};
use strongroom_model::ports::{BoxFuture, Clock, Dns};
use strongroom_model::principal::{Name, NameError, Principal, Source};
use strongroom_model::team::TenantId;
use strongroom_server::{Caller, Mount, Problem, Services, Visit};
use strongroom_store::team::Team;

use super::tenant::Tenant;
use crate::config::ConfigError;
use crate::config::tenant::{self, TenantRules};

/// What a page answers.
type Answer = BoxBody<Bytes, Infallible>;

/// Brokers that are kept.
const MOST: usize = 1_000;

/// The tenants that are served here.
pub struct Tenants {
    pub(super) team: Team,
    pub(super) rules: TenantRules,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) dns: Arc<dyn Dns>,
    desk: Desk,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    tenants: HashMap<TenantId, (Arc<Tenant>, u64)>,
    uses: u64,
}

impl Tenants {
    /// The tenants of `team`.
    pub fn new(team: Team, rules: TenantRules, clock: Arc<dyn Clock>, dns: Arc<dyn Dns>) -> Self {
        let desk = Desk::new(&Options { without_hello: true, ..Options::default() });
        Self { team, rules, clock, dns, desk, open: Mutex::default() }
    }

    /// The tenant of `caller`, as it is now.
    pub(super) async fn current(&self, caller: &Caller) -> Result<Arc<Tenant>, Problem> {
        let tenant = self.open(&caller.ctx.tenant, || Tenant::new(self, &caller.ctx));
        tenant.refresh(&self.team.tenant(&caller.ctx), &self.rules).await?;
        Ok(tenant)
    }

    fn open(&self, id: &TenantId, make: impl FnOnce() -> Tenant) -> Arc<Tenant> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let now = open.uses;
        if let Some((tenant, used)) = open.tenants.get_mut(id) {
            *used = now;
            return Arc::clone(tenant);
        }
        if open.tenants.len() >= MOST {
            let oldest = open.tenants.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(id, _)| *id);
            oldest.map(|id| open.tenants.remove(&id));
        }
        let tenant = Arc::new(make());
        open.tenants.insert(*id, (Arc::clone(&tenant), now));
        tenant
    }

    async fn visit(&self, visit: Visit) -> Result<Response<Answer>, Problem> {
        let tenant = self.current(&visit.caller).await?;
        let principal = Principal { name: principal(&visit.caller), source: Source::Token };
        let visitor = Visitor { calls: tenant.calls(), principal };
        let (method, headers) = (&visit.parts.method, &visit.parts.headers);
        let response = self.desk.answer(visitor, method, headers, visit.body.to_vec()).await;
        Ok(response.map(BodyExt::boxed))
    }
}

impl Mount for Tenants {
    fn answer(&self, visit: Visit) -> BoxFuture<'_, Result<Response<Answer>, Problem>> {
        Box::pin(self.visit(visit))
    }
}

impl Services for Tenants {
    fn check(&self, name: &str, definition: &Value) -> Result<(), Problem> {
        let wrong = |error: NameError| Problem::field("name", error.to_string());
        tenant::read(name.parse().map_err(wrong)?, definition, &self.rules).map(drop).map_err(
            |ConfigError { problem, hint, .. }| {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                Problem::field("definition", format!("{problem}{hint}"))
            },
        )
    }
}

/// The name of whoever holds a key, in rules and records. It has the tenant in it where one key is good
/// for several, because sessions are found by it.
fn principal(caller: &Caller) -> Name {
    let Caller { ctx, key, kernel, .. } = caller;
    let name = if *kernel { format!("kernel-{key}-{}", ctx.tenant) } else { format!("key-{key}") };
    name.parse().expect("ids have hexadecimal digits and hyphens: 60 characters at most")
}

#[cfg(test)]
mod tests {
    use strongroom_model::team::{Actor, KeyId, Scopes, TenantCtx};

    use super::*;

    #[test]
    fn a_kernel_is_somebody_else_for_each_tenant_and_an_api_key_has_one() {
        let key: KeyId = "0123456789abcdef".parse().unwrap();
        let caller = |byte, kernel| Caller {
            ctx: TenantCtx { tenant: TenantId::from_random([byte; 16]), actor: Actor::Kernel(key) },
            key,
            scopes: Scopes::default(),
            kernel,
        };
        assert_eq!(principal(&caller(1, false)).as_str(), "key-0123456789abcdef");
        assert_ne!(principal(&caller(1, true)), principal(&caller(2, true)));
    }
}
