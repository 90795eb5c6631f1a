//! `whoami`: who the caller is to us.

use strongroom_model::ports::Calls;
use strongroom_model::principal::Caller;

use super::arguments::Arguments;
use super::output::Output;
use crate::wire::RpcError;

pub(super) const DEFINITION: &str = r#"{
  "name": "whoami",
  "title": "Who am I",
  "description": "Says under which name Strongroom knows you, how it knows (`stdio`: the client's configuration selected it; `token`: your bearer token), and which services that name may use. Use it when access is not what you expected. Example: {}",
  "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
  "outputSchema": {
    "type": "object",
    "properties": {
      "principal": { "type": "string" },
      "source": { "type": "string", "enum": ["stdio", "token"] },
      "services": { "type": "array", "items": { "type": "string" } },
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
    let me = calls.whoami(caller);
    Ok(Output::structured(|result| {
        result.string("principal", &me.principal).string("source", me.source);
        result.strings("services", me.services.iter().map(String::as_str));
    }))
}
