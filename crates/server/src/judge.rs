//! What `/functions/v1/authorize` answers: would it be allowed?

use std::borrow::Cow;

use serde::Serialize;
use strongroom_model::code::Code;
use strongroom_model::ports::BoxFuture;
use strongroom_model::team::{TenantCtx, advertised};
use strongroom_store::team::Team;

use crate::problem::{Problem, Reason};
use crate::routes::{locks, servers};

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// What would be done: `tools/call`, or what another judge knows.
    pub action: String,
    /// What it would be done to: the full name of a tool.
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

/// Whether something would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// Judges by what the tenant has registered: a tool may be called where an enabled server has its
/// prefix, and nothing else is allowed.
pub struct Registered {
    team: Team,
}

impl Registered {
    /// A judge on the tenants of `team`.
    pub fn new(team: Team) -> Self {
        Self { team }
    }

    async fn decide(&self, ctx: &TenantCtx, question: Question) -> Result<Verdict, Problem> {
        let (Question { action, .. }, Some(tool)) = (&question, &question.resource) else {
            return Ok(denied("the action needs a resource"));
        };
        if action != "tools/call" {
            return Ok(denied("no rule speaks of this action"));
        }
        let enabled = servers::all(&self.team, ctx, true).await?;
        // Prefixes are unique in their advertised form, and the longest is the one that is meant.
        let owner = enabled
            .iter()
            .filter(|server| {
                tool.strip_prefix(&server.tool_prefix)
                    .or_else(|| tool.strip_prefix(&*advertised(&server.tool_prefix)))
                    .is_some_and(|name| !name.is_empty())
            })
            .max_by_key(|server| server.tool_prefix.len());
        Ok(match owner {
            None => denied("no enabled server has a tool of this name"),
            Some(server) => {
                match locks::open(&self.team, ctx, None, Some(&server.server_id)).await {
                    Ok(()) => Verdict {
                        decision: Decision::Allow,
                        reason: "an enabled server has the tool's prefix".into(),
                        rule: Some(format!("server {}", server.server_id)),
                    },
                    Err(problem) if problem.reason == Reason::Code(Code::Locked) => {
                        denied("the kill switch is on")
                    }
                    Err(problem) => return Err(problem),
                }
            }
        })
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

fn denied(reason: &'static str) -> Verdict {
    Verdict { decision: Decision::Deny, reason: reason.into(), rule: None }
}
