//! What the rules of a registered server say to a call.

use strongroom_model::policy;
use strongroom_model::team::McpServer;
use strongroom_model::tool::ToolCall;

use super::{Decision, Verdict, denied};

/// What becomes of the call of `tool` with these `arguments`, as the broker would judge it.
pub(super) fn judged(
    server: &McpServer,
    tool: &str,
    arguments: Option<&serde_json::Value>,
) -> Verdict {
    // Rules say nothing of the server: any name stands for it.
    let Ok(name) = "server".parse() else { return denied("no rule speaks of this action") };
    let arguments = arguments.map(serde_json::Value::to_string);
    let call = match ToolCall::read(name, tool, arguments.as_deref()) {
        Ok(call) => call,
        Err(refusal) => return denied(refusal.message),
    };
    let explained = server.policy().explain(&call);
    let (decision, reason) = match explained.verdict {
        policy::Verdict::Allow => (Decision::Allow, "an enabled server has the tool's prefix"),
        policy::Verdict::Ask => (Decision::Ask, "a person must approve it"),
        policy::Verdict::Deny if explained.rule.is_none() => {
            return denied("no rule of the server allows this call of the tool");
        }
        policy::Verdict::Deny => (Decision::Deny, "a rule of the server denies it"),
    };
    let rule = explained.rule.filter(|rule| rule != "*");
    let rule = rule.map(|rule| format!(": {rule}")).unwrap_or_default();
    let rule = Some(format!("server {}{rule}", server.server_id));
    Verdict { decision, reason: reason.into(), rule }
}
