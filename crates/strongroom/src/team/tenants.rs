//! `POST /mcp` of a team: the broker's tools, each tenant's on its own services and credentials.
//!
//! A tenant has a broker and a fleet of its own: its catalogue, its matcher, its connections, its servers,
//! its limits. Nothing is keyed by less than the tenant (TN-08). Brokers are made when they are needed; of
//! more than [`MOST`] the one that was used the longest ago goes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use serde_json::Value;
use strongroom_gateway::http::{Desk, Options, Sent, Visitor};
use strongroom_model::code::Code;
use strongroom_model::ports::{BoxFuture, Clock, Dns};
use strongroom_model::principal::{NameError, Principal, Source};
use strongroom_model::service::Catalog;
use strongroom_model::team::{McpServer, ServerId, TenantCtx, TenantId};
use strongroom_server::{Caller, Fleet, Health, Mount, Problem, Reason, Rules, Services, Visit};
use strongroom_store::team::Team;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::binding;
use super::start::Ground;
use super::tenant::Tenant;
use crate::config::ConfigError;
use crate::config::tenant::{self, TenantRules};

/// What a page answers.
type Answer = BoxBody<Bytes, Infallible>;

/// Brokers that are kept.
const MOST: usize = 1_000;

/// How often is looked whether whoever waits for an answer is still let in.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Whoever got his answer sooner was let in a moment ago.
const A_WHILE: Duration = Duration::from_millis(20);

/// The same for whoever reads a stream: there may be many, and they stand for hours.
const LOOK_AT_STREAMS: Duration = Duration::from_millis(750);

/// The tenants that are served here.
pub struct Tenants {
    pub(super) team: Team,
    pub(super) rules: TenantRules,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) dns: Arc<dyn Dns>,
    /// How long a call waits for a person.
    pub(super) approval_wait: Duration,
    /// What servers are started with.
    pub(super) ground: Arc<Ground>,
    desk: Desk,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    tenants: HashMap<TenantId, (Arc<Tenant>, u64)>,
    uses: u64,
}

impl Tenants {
    /// The tenants of `team`, whose servers are started as `ground` says.
    pub fn new(
        team: Team,
        rules: TenantRules,
        ground: Ground,
        clock: Arc<dyn Clock>,
        dns: Arc<dyn Dns>,
    ) -> Self {
        let sessions = ground.caps.sessions;
        let desk = Desk::new(&Options { without_hello: true, sessions, ..Options::default() });
        let (approval_wait, open) = (Duration::ZERO, Mutex::default());
        let ground = Arc::new(ground);
        Self { team, rules, clock, dns, approval_wait, ground, desk, open }
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
            // One whose servers run, or whose clients listen, stays.
            let quiet = open.tenants.iter().filter(|(_, (tenant, _))| !tenant.fleet.is_watched());
            let oldest = quiet.min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
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
        let visitor = Visitor { behind: tenant.behind(), principal };
        let (method, headers) = (&visit.parts.method, &visit.parts.headers);
        let answer = self.desk.answer(visitor, method, headers, visit.body.to_vec());
        let ctx = visit.caller.ctx;
        let began = Instant::now();
        let response = tokio::select! {
            response = answer => response,
            () = no_longer(&self.team, ctx, LOOK_AGAIN) => return Err(Problem::unauthenticated()),
        };
        // What took a while may have ended because its tenant did.
        let long = began.elapsed() >= A_WHILE;
        if long && matches!(self.team.still_lets_in(&ctx).await, Ok(false)) {
            return Err(Problem::unauthenticated());
        }
        Ok(response.map(|body| self.until_no_longer(ctx, body)))
    }

    /// A stream ends when whoever reads it would not be let in any more.
    fn until_no_longer(&self, ctx: TenantCtx, body: Sent) -> Answer {
        if body.size_hint().exact().is_some() {
            return body.boxed();
        }
        let team = self.team.clone();
        let (mut reads, end) = oneshot::channel::<Infallible>();
        // Until one of the two goes: dropped, its end of the line ends the body.
        tokio::spawn(async move {
            tokio::select! {
                () = no_longer(&team, ctx, LOOK_AT_STREAMS) => {}
                () = reads.closed() => {}
            }
        });
        Cut { body, end }.boxed()
    }

    /// The tenants that are open now.
    pub(super) fn all(&self) -> Vec<(TenantId, Arc<Tenant>)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.tenants.iter().map(|(id, (tenant, _))| (*id, Arc::clone(tenant))).collect()
    }

    /// The tenant `id`, where it is open.
    pub(super) fn opened(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.tenants.get(id).map(|(tenant, _)| Arc::clone(tenant))
    }

    /// Forgets the tenant `id`, and ends what runs for it.
    pub(super) fn close(&self, id: &TenantId, why: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = open.tenants.remove(id);
        drop(open);
        if let Some((tenant, _)) = gone {
            tenant.fleet.end(why);
        }
    }
}

/// Ends when whoever calls would not be let in any more: what runs for him is dropped (TN-11).
async fn no_longer(team: &Team, ctx: TenantCtx, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        // Where the store cannot be asked, what runs goes on and nothing new begins.
        if let Ok(false) = team.still_lets_in(&ctx).await {
            return;
        }
    }
}

/// A body that ends early when the other end of `end` is gone.
struct Cut {
    body: Sent,
    end: oneshot::Receiver<Infallible>,
}

impl Body for Cut {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if Pin::new(&mut self.end).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
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

    fn route(&self, ctx: &TenantCtx, tool: &str) -> Option<(ServerId, String)> {
        self.opened(&ctx.tenant)?.fleet.route(tool)
    }
}

impl Fleet for Tenants {
    fn health<'a>(&'a self, ctx: &'a TenantCtx, server: &'a McpServer) -> BoxFuture<'a, Health> {
        // One that nobody has called is not open for it.
        let health = self.opened(&ctx.tenant).map(|tenant| tenant.fleet.health(server.id));
        Box::pin(std::future::ready(health.unwrap_or_default()))
    }

    fn check(&self, program: bool, variables: &[&str]) -> Result<(), Problem> {
        if let Some(why) = self.ground.confine.missing().filter(|_| program) {
            return Err(Problem::new(Reason::Code(Code::CommandNotAllowed), why));
        }
        variables.iter().try_for_each(|name| {
            let wrong = |why| Problem::field("secrets", format!("a place in `secrets` {why}"));
            binding::may_be_set(name).map_err(wrong)
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
