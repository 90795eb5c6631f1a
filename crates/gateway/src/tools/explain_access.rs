//! `explain_access`: what the policy says to a request that is not made.

use strongroom_model::call::{Execute, Explained};
use strongroom_model::ports::Calls;
use strongroom_model::principal::Caller;

use super::arguments::{Arguments, wrong};
use super::execute;
use super::output::Output;
use crate::wire::RpcError;
use crate::wire::write::{self, Object};

pub(super) const DEFINITION: &str = r#"{
  "name": "explain_access",
  "title": "Explain access",
  "description": "Says whether a request would be allowed, and which rules lead to that, without making it. Use it before a call that you are unsure of, or after `policy_denied`. Give `method` and `path` for an API, with `query` and `body` where a rule has conditions on them (`where ...`), `command` for a program, `tool` for a tool of a server that is mounted here (`shop_order` is the tool `order` of the server `shop`). Examples: {\"service\": \"github\", \"method\": \"GET\", \"path\": \"/user/repos\"} and {\"service\": \"git\", \"command\": [\"git\", \"push\", \"origin\"]}",
  "inputSchema": {
    "type": "object",
    "properties": {
      "service": { "type": "string", "description": "A name from `list_services`." },
      "method": { "type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] },
      "path": { "type": "string", "description": "Begins with `/`, relative to the service's base URL; a query may follow." },
      "query": { "type": "object", "description": "As for `execute`.", "additionalProperties": true },
      "headers": { "type": "object", "description": "As for `execute`.", "additionalProperties": { "type": "string" } },
      "body": { "description": "As for `execute`." },
      "body_encoding": { "type": "string", "enum": ["base64"], "description": "As for `execute`." },
      "command": { "type": "array", "items": { "type": "string" }, "description": "The program and its arguments." },
      "tool": { "type": "string", "description": "A tool of the server that is named in `service`." },
      "arguments": { "type": "object", "description": "The tool's arguments, where a rule has conditions on them.", "additionalProperties": true }
    },
    "required": ["service"],
    "additionalProperties": false
  },
  "outputSchema": {
    "type": "object",
    "properties": {
      "decision": { "type": "string", "enum": ["allow", "ask", "deny"] },
      "request": { "type": "string", "description": "What the request was understood as." },
      "rule": { "type": "string", "description": "The rule that decided; absent where no rule matched, which means deny." },
      "matched": {
        "type": "array",
        "items": { "type": "object", "properties": { "decision": { "type": "string" }, "rule": { "type": "string" } } }
      },
      "unmet": {
        "type": "array",
        "description": "Rules for this method and path whose conditions the request does not meet, each with one that it does not.",
        "items": { "type": "object", "properties": { "decision": { "type": "string" }, "rule": { "type": "string" }, "condition": { "type": "string" } } }
      },
      "note": { "type": "string", "description": "Why query or body could not be judged, or what has to be said in `reason`." },
      "error": { "type": "object" }
    }
  },
  "annotations": { "readOnlyHint": true, "openWorldHint": false }
}"#;

const OF_A_REQUEST: [&str; 6] = ["method", "path", "query", "headers", "body", "body_encoding"];
const OF_A_TOOL: [&str; 2] = ["tool", "arguments"];
const KNOWN: [&str; 10] = [
    "service",
    "method",
    "path",
    "query",
    "headers",
    "body",
    "body_encoding",
    "command",
    "tool",
    "arguments",
];

pub(super) fn call(
    arguments: Option<&str>,
    calls: &dyn Calls,
    caller: &Caller,
) -> Result<Output, RpcError> {
    let arguments = Arguments::read(arguments, &KNOWN)?;
    let service = arguments.required("service")?;
    let any = |names: &[&str]| names.iter().any(|name| arguments.raw(name).is_some());
    let command = arguments.texts("command")?;
    let ways = [any(&OF_A_REQUEST), command.is_some(), any(&OF_A_TOOL)];
    if ways.iter().filter(|given| **given).count() > 1 {
        return Err(wrong("give `method` and `path`, or `command`, or `tool`"));
    }
    let explained = match command {
        None if any(&OF_A_TOOL) => {
            let tool = arguments.required("tool")?;
            calls.explain_tool(caller, &service, &tool, arguments.raw("arguments"))
        }
        Some(command) => calls.explain_command(caller, &service, command),
        None => {
            let call = Execute {
                service,
                method: arguments.required("method")?,
                path: arguments.required("path")?,
                query: execute::query(&arguments)?,
                headers: execute::headers(&arguments)?,
                body: execute::body(&arguments)?,
                ..Execute::default()
            };
            calls.explain(caller, call)
        }
    };
    Ok(match explained {
        Ok(explained) => output(&explained),
        Err(refusal) => Output::refused(&refusal, None),
    })
}

fn output(explained: &Explained) -> Output {
    let explanation = &explained.explanation;
    Output::structured(|result| {
        result
            .string("decision", explanation.verdict.as_str())
            .string("request", &explained.request);
        result.optional("rule", explanation.rule.as_deref());
        write::list(result.name("matched"), &explanation.matched, |out, (verdict, rule)| {
            let mut matched = Object::open(out);
            matched.string("decision", verdict.as_str()).string("rule", rule);
            matched.close();
        });
        if !explanation.unmet.is_empty() {
            write::list(result.name("unmet"), &explanation.unmet, |out, rule| {
                let mut unmet = Object::open(out);
                unmet.string("decision", rule.verdict.as_str()).string("rule", &rule.rule);
                unmet.string("condition", &rule.condition);
                unmet.close();
            });
        }
        let reason = explanation.terms.reason.then_some("the rule wants a `reason`");
        result.optional("note", explanation.flaw.or(reason));
    })
}
