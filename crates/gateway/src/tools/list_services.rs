//! `list_services`: what the caller may use.

use strongroom_model::call::ServiceView;
use strongroom_model::policy::Verdict;
use strongroom_model::ports::Calls;
use strongroom_model::principal::Caller;

use super::arguments::Arguments;
use super::output::Output;
use crate::wire::RpcError;
use crate::wire::write::{self, Object};

pub(super) const DEFINITION: &str = r#"{
  "name": "list_services",
  "title": "List services",
  "description": "Lists the HTTP APIs (kind `http`) that you may call with `execute` and the programs (kind `command`) that you may run with `exec`: each service's name, base URL or program, the rules for methods and paths or for command lines (what is allowed, what a person is asked about first, what is denied; `*` is one path segment or argument, `**` the rest; `where ...` are conditions on the body, `?x ...` on the query; what no rule allows is denied) and its limits. Call it first, and again when a service is not found. Example: {}",
  "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
  "outputSchema": {
    "type": "object",
    "properties": {
      "services": {
        "type": "array",
        "items": {
          "type": "object",
          "properties": {
            "name": { "type": "string", "description": "Pass it to `execute` or `exec` as `service`." },
            "kind": { "type": "string", "enum": ["http", "command"] },
            "base_url": { "type": "string", "description": "Paths are relative to it." },
            "program": { "type": "string", "description": "The first word of `command`." },
            "auth": { "type": "string", "description": "How Strongroom authenticates; you send nothing." },
            "allow": { "type": "array", "items": { "type": "string" } },
            "ask": { "type": "array", "items": { "type": "string" } },
            "deny": { "type": "array", "items": { "type": "string" } },
            "request_headers": { "type": "array", "items": { "type": "string" }, "description": "Request headers that you may set beyond accept*, content-type, if-* and idempotency-key." },
            "handle_fields": { "type": "array", "items": { "type": "string" }, "description": "Fields, query parameters and headers of a request in which a handle (`srh_...`) from an answer stands for its credential, as the whole value." },
            "limits": { "type": "object", "properties": { "calls_per_minute": { "type": "integer" }, "response_bytes": { "type": "integer" } } }
          }
        }
      },
      "error": { "type": "object" }
    }
  },
  "annotations": { "readOnlyHint": true, "openWorldHint": false }
}"#;

pub(super) fn call(
    arguments: Option<&str>,
    calls: &dyn Calls,
    caller: &Caller,
) -> Result<Output, RpcError> {
    Arguments::read(arguments, &[])?;
    let services = calls.list_services(caller);
    Ok(Output::structured(|result| {
        write::list(result.name("services"), &services, service);
    }))
}

fn service(out: &mut Vec<u8>, view: &ServiceView) {
    let rules = |wanted| {
        view.rules.iter().filter(move |(verdict, _)| *verdict == wanted).map(|(_, rule)| &**rule)
    };
    let mut service = Object::open(out);
    service.string("name", &view.name).string("kind", view.kind);
    match &view.program {
        Some(program) => service.string("program", program),
        None => service.string("base_url", &view.base_url),
    };
    service.string("auth", &view.auth);
    service.strings("allow", rules(Verdict::Allow));
    service.strings("ask", rules(Verdict::Ask));
    service.strings("deny", rules(Verdict::Deny));
    if view.program.is_none() {
        service.strings("request_headers", view.request_headers.iter().map(String::as_str));
        if !view.handle_fields.is_empty() {
            service.strings("handle_fields", view.handle_fields.iter().map(String::as_str));
        }
    }
    let mut limits = Object::open(service.name("limits"));
    limits.number("calls_per_minute", view.calls_per_minute.into());
    limits.number("response_bytes", view.response_bytes as u64);
    limits.close();
    service.close();
}
