//! `test_service`: whether a service answers and takes the credential.

use strongroom_model::call::Tested;
use strongroom_model::code::Refusal;

use super::arguments::Arguments;
use super::output::Output;
use crate::wire::RpcError;

pub(super) const DEFINITION: &str = r#"{
  "name": "test_service",
  "title": "Test a service",
  "description": "Makes the one harmless request that is configured for the service and says whether it was reached and whether it took the credential. Use it when calls fail, to tell a broken credential from a wrong request. Example: {\"service\": \"github\"}",
  "inputSchema": {
    "type": "object",
    "properties": { "service": { "type": "string", "description": "A name from `list_services`." } },
    "required": ["service"],
    "additionalProperties": false
  },
  "outputSchema": {
    "type": "object",
    "properties": {
      "reachable": { "type": "boolean" },
      "authenticated": { "type": "boolean", "description": "False where the service answered 401 or 403." },
      "status": { "type": "integer" },
      "latency_ms": { "type": "integer" },
      "audit_id": { "type": "string" },
      "error": { "type": "object" }
    }
  },
  "annotations": { "readOnlyHint": true, "openWorldHint": true }
}"#;

pub(super) fn read(arguments: Option<&str>) -> Result<String, RpcError> {
    Arguments::read(arguments, &["service"])?.required("service")
}

pub(super) fn output(tested: Result<Tested, (Refusal, Option<String>)>) -> Output {
    match tested {
        Err((refusal, audit_id)) => Output::refused(&refusal, audit_id.as_deref()),
        Ok(tested) => Output::structured(|result| {
            result.flag("reachable", tested.reachable).flag("authenticated", tested.authenticated);
            result.number("status", tested.status.into());
            result.number("latency_ms", tested.latency_ms);
            result.string("audit_id", &tested.audit_id);
        }),
    }
}
