//! What `/functions/v1/authorize` answers: would it be allowed?

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use strongroom_model::code::Code;
use strongroom_model::ports::BoxFuture;
use strongroom_model::service::Catalog;
use strongroom_model::team::{McpServer, ServerId, TenantCtx, advertised};
use strongroom_store::team::Team;

use crate::problem::{Problem, Reason};
use crate::routes::{locks, servers};

mod services;
mod tools;

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// What would be done: `tools/call`, `http.GET` with any method, `exec`, or what another judge knows.
    pub action: String,
    /// What it would be done to: a tool, a URL, the path of a service.
    pub resource: Option<String>,
    /// With which arguments.
    pub arguments: Option<serde_json::Value>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it would be done.
    pub decision: Decision,
    /// Why, for a person. Our own text.
    pub reason: Cow<'static, str>,
    /// The rule that decided; `None` where none speaks of it.
    pub rule: Option<String>,
}

/// Whether something would be done. Ordered by strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// At once.
    Allow,
    /// After a person said so.
    Ask,
    /// Not at all.
    Deny,
}

impl Decision {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// Judges without doing anything. What no rule speaks of is denied.
pub trait Judge: Send + Sync {
    /// Judges `question` of whoever `ctx` is.
    ///
    /// # Errors
    ///
    /// The store cannot be asked: then nothing is allowed.
    fn judge<'a>(
        &'a self,
        ctx: &'a TenantCtx,
        question: Question,
    ) -> BoxFuture<'a, Result<Verdict, Problem>>;
}

/// The services of tenants, as they are served.
pub trait Rules: Send + Sync {
    /// Those of the tenant of `ctx`, as they are now.
    ///
    /// # Errors
    ///
    /// The store cannot be asked.
    fn catalog<'a>(&'a self, ctx: &'a TenantCtx) -> BoxFuture<'a, Result<Arc<Catalog>, Problem>>;

    /// The server, and its own name for the tool, that a client means by `tool`, where that is known without
    /// asking a server. Names that were too long to be shown are known to nobody else.
    fn route(&self, ctx: &TenantCtx, tool: &str) -> Option<(ServerId, String)>;
}

/// Judges by what the tenant has registered: a tool may be called where an enabled server has its prefix and
/// its rules allow it, a request is what the policy of a service says, and nothing else is allowed.
pub struct Registered {
    team: Team,
    rules: Option<Arc<dyn Rules>>,
}

impl Registered {
    /// A judge on the tenants of `team`, whose services are not served here.
    pub fn new(team: Team) -> Self {
        Self { team, rules: None }
    }

    /// A judge on the tenants of `team` and their services.
    pub fn with_services(team: Team, rules: Arc<dyn Rules>) -> Self {
        Self { team, rules: Some(rules) }
    }

    async fn decide(&self, ctx: &TenantCtx, question: Question) -> Result<Verdict, Problem> {
        let Question { action, resource, arguments } = question;
        let Some(resource) = resource else {
            return Ok(denied("the action needs a resource"));
        };
        match action.as_str() {
            "tools/call" if resource == "execute" => match services::executed(arguments.as_ref()) {
                Ok((method, resource)) => {
                    self.request(ctx, &method, &resource, arguments.as_ref()).await
                }
                Err(problem) => Ok(denied(problem)),
            },
            "tools/call" => self.tool(ctx, &resource, arguments.as_ref()).await,
            "exec" => Ok(denied("a tenant has no programs")),
            action => match action.strip_prefix("http.") {
                Some(method) => self.request(ctx, method, &resource, arguments.as_ref()).await,
                None => Ok(denied("no rule speaks of this action")),
            },
        }
    }

    async fn tool(
        &self,
        ctx: &TenantCtx,
        tool: &str,
        arguments: Option<&serde_json::Value>,
    ) -> Result<Verdict, Problem> {
        let enabled = servers::all(&self.team, ctx, true).await?;
        let routed = self.rules.as_ref().and_then(|rules| rules.route(ctx, tool));
        let known = routed
            .and_then(|(id, tool)| Some((enabled.iter().find(|server| server.id == id)?, tool)));
        let Some((server, tool)) = known.or_else(|| owner(&enabled, tool)) else {
            return Ok(denied("no enabled server has a tool of this name"));
        };
        let verdict = tools::judged(server, &tool, arguments);
        if verdict.decision == Decision::Deny {
            return Ok(verdict);
        }
        self.unless_locked(ctx, (None, Some(&server.server_id)), verdict).await
    }

    async fn request(
        &self,
        ctx: &TenantCtx,
        method: &str,
        resource: &str,
        arguments: Option<&serde_json::Value>,
    ) -> Result<Verdict, Problem> {
        let Some(rules) = &self.rules else { return Ok(denied("no services are served here")) };
        let Some(principal) = ctx.principal() else { return Ok(denied("nobody asks")) };
        let catalog = rules.catalog(ctx).await?;
        let (service, verdict) =
            services::judged(&catalog, &principal, method, resource, arguments);
        match service {
            Some(service) if verdict.decision != Decision::Deny => {
                self.unless_locked(ctx, (Some(service.as_str()), None), verdict).await
            }
            _ => Ok(verdict),
        }
    }

    async fn unless_locked(
        &self,
        ctx: &TenantCtx,
        (service, server): (Option<&str>, Option<&str>),
        verdict: Verdict,
    ) -> Result<Verdict, Problem> {
        match locks::open(&self.team, ctx, service, server).await {
            Ok(()) => Ok(verdict),
            Err(problem) if problem.reason == Reason::Code(Code::Locked) => {
                Ok(denied("the kill switch is on"))
            }
            Err(problem) => Err(problem),
        }
    }
}

impl Judge for Registered {
    fn judge<'a>(
        &'a self,
        ctx: &'a TenantCtx,
        question: Question,
    ) -> BoxFuture<'a, Result<Verdict, Problem>> {
        Box::pin(self.decide(ctx, question))
    }
}

/// The server whose prefix `tool` has, and the rest of it.
fn owner<'a>(enabled: &'a [McpServer], tool: &str) -> Option<(&'a McpServer, String)> {
    let rest = |server: &'a McpServer| {
        let by_id = || tool.split_once('/').filter(|(id, _)| *id == server.server_id);
        let name = tool
            .strip_prefix(&*server.tool_prefix)
            .or_else(|| tool.strip_prefix(&*advertised(&server.tool_prefix)))
            .or_else(|| by_id().map(|(_, name)| name));
        name.filter(|name| !name.is_empty()).map(|name| (server, name.to_owned()))
    };
    // Prefixes are unique in their advertised form, and the longest is the one that is meant.
    enabled.iter().filter_map(rest).max_by_key(|(server, _)| server.tool_prefix.len())
}

fn denied(reason: impl Into<Cow<'static, str>>) -> Verdict {
    Verdict { decision: Decision::Deny, reason: reason.into(), rule: None }
}
