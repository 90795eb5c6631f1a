//! `request_access`: puts a wish before a person.

use strongroom_model::call::{RequestAccess, Requested};
use strongroom_model::code::Refusal;

use super::arguments::Arguments;
use super::output::Output;
use crate::wire::RpcError;

pub(super) const DEFINITION: &str = r#"{
  "name": "request_access",
  "title": "Ask for access",
  "description": "Puts a wish before a person: a service or a request that the rules do not let you use. It changes nothing by itself. The answer is an id that the user sees in `strongroom approvals`; tell them, go on with other work, and use `whoami` or `list_services` later to see whether it was granted. Not needed for what `list_services` shows under `ask`: just call that. Example: {\"service\": \"stripe\", \"what\": \"POST /v1/refunds\", \"reason\": \"the user asked me to refund order 1042\"}",
  "inputSchema": {
    "type": "object",
    "properties": {
      "service": { "type": "string", "description": "The service, whether or not `list_services` has it." },
      "what": { "type": "string", "description": "Best a method and a path, `POST /v1/refunds`; otherwise a few words." },
      "reason": { "type": "string", "description": "Why, in a few words; the person reads it as yours." }
    },
    "required": ["service", "what"],
    "additionalProperties": false
  },
  "outputSchema": {
    "type": "object",
    "properties": {
      "id": { "type": "string" },
      "status": { "type": "string", "enum": ["waiting"] },
      "audit_id": { "type": "string" },
      "error": { "type": "object" }
    }
  },
  "annotations": { "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false }
}"#;

/// Bytes of what is wanted; more is no wish that a person reads.
const LONGEST: usize = 4 << 10;

pub(super) fn read(arguments: Option<&str>) -> Result<RequestAccess, RpcError> {
    let arguments = Arguments::read(arguments, &["service", "what", "reason"])?;
    let what = arguments.required("what")?;
    if what.len() > LONGEST {
        return Err(super::arguments::wrong("`what` is too long"));
    }
    Ok(RequestAccess {
        service: arguments.required("service")?,
        what,
        reason: arguments.optional("reason")?.map(Into::into),
    })
}

pub(super) fn output(requested: Result<Requested, (Refusal, Option<String>)>) -> Output {
    match requested {
        Ok(requested) => Output::structured(|result| {
            result.string("id", &requested.id).string("status", "waiting");
            result.optional("audit_id", requested.audit_id.as_deref());
        }),
        Err((refusal, audit_id)) => Output::refused(&refusal, audit_id.as_deref()),
    }
}
