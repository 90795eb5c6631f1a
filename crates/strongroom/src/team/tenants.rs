//! `POST /mcp` of a team: the broker's tools, each tenant's on its own services and credentials.
//!
//! A tenant has a broker of its own: its catalogue, its matcher, its connections, its limits. Nothing is
//! keyed by less than the tenant (TN-08). Brokers are made when they are needed; of more than [`MOST`]
//! the one that was used the longest ago goes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use serde_json::Value;
use strongroom_gateway::http::{Desk, Options, Visitor};
use strongroom_model::ports::{BoxFuture, Clock, Dns};
use strongroom_model::principal::{NameError, Principal, Source};
use strongroom_model::service::Catalog;
use strongroom_model::team::{TenantCtx, TenantId};
use strongroom_server::{Caller, Mount, Problem, Rules, Services, Visit};
use strongroom_store::team::Team;

use super::tenant::Tenant;
use crate::config::ConfigError;
use crate::config::tenant::{self, TenantRules};

/// What a page answers.
type Answer = BoxBody<Bytes, Infallible>;

/// Brokers that are kept.
const MOST: usize = 1_000;

/// How often is looked whether whoever waits for an answer is still let in.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The tenants that are served here.
pub struct Tenants {
    pub(super) team: Team,
    pub(super) rules: TenantRules,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) dns: Arc<dyn Dns>,
    /// How long a call waits for a person.
    pub(super) approval_wait: Duration,
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
        let (approval_wait, open) = (Duration::ZERO, Mutex::default());
        Self { team, rules, clock, dns, approval_wait, desk, open }
    }

    /// The same, in which a call that a rule asks about waits so long for a person's answer.
    #[must_use]
    pub fn waiting(self, approval_wait: Duration) -> Self {
        Self { approval_wait, ..self }
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
        let name = visit.caller.ctx.principal().ok_or_else(Problem::unauthenticated)?;
        let principal = Principal { name, source: Source::Token };
        let visitor = Visitor { behind: tenant.calls().into(), principal };
        let (method, headers) = (&visit.parts.method, &visit.parts.headers);
        let answer = self.desk.answer(visitor, method, headers, visit.body.to_vec());
        tokio::select! {
            response = answer => Ok(response.map(BodyExt::boxed)),
            () = self.no_longer(&visit.caller.ctx) => Err(Problem::unauthenticated()),
        }
    }

    /// Ends when whoever calls would not be let in any more: what runs for him is dropped (TN-11).
    async fn no_longer(&self, ctx: &TenantCtx) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            // Where the store cannot be asked, what runs goes on and nothing new begins.
            if let Ok(false) = self.team.still_lets_in(ctx).await {
                return;
            }
        }
    }
}

impl Mount for Tenants {
    fn answer(&self, visit: Visit) -> BoxFuture<'_, Result<Response<Answer>, Problem>> {
        Box::pin(self.visit(visit))
    }
}

impl Rules for Tenants {
    fn catalog<'a>(&'a self, ctx: &'a TenantCtx) -> BoxFuture<'a, Result<Arc<Catalog>, Problem>> {
        Box::pin(async move {
            let tenant = self.open(&ctx.tenant, || Tenant::new(self, ctx));
            tenant.catalog(&self.team.tenant(ctx), &self.rules).await
        })
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
