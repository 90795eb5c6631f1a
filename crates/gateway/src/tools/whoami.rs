//! `whoami`: who the caller is to us.

use strongroom_model::call::WhoAmI;

use super::arguments::Arguments;
use super::output::Output;
use crate::wire::RpcError;
use crate::wire::write::{self, Object};

pub(super) const DEFINITION: &str = r#"{
  "name": "whoami",
  "title": "Who am I",
  "description": "Says under which name Strongroom knows you, how it knows (`stdio`: the client's configuration selected it; `token`: your bearer token), which services that name may use, and what a person has granted for a while: `lapses_in_s` seconds at the most, or until this connection ends where `session` is true. Use it when access is not what you expected. Example: {}",
  "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
  "outputSchema": {
    "type": "object",
    "properties": {
      "principal": { "type": "string" },
      "source": { "type": "string", "enum": ["stdio", "token"] },
      "services": { "type": "array", "items": { "type": "string" } },
      "grants": {
        "type": "array",
        "items": {
          "type": "object",
          "properties": {
            "id": { "type": "string" },
            "service": { "type": "string" },
            "rule": { "type": "string" },
            "class": { "type": "string", "enum": ["read", "write", "delete", "run", "tool"] },
            "session": { "type": "boolean" },
            "lapses_in_s": { "type": "integer" }
          }
        }
      },
      "error": { "type": "object" }
    }
  },
  "annotations": { "readOnlyHint": true, "openWorldHint": false }
}"#;

pub(super) fn read(arguments: Option<&str>) -> Result<(), RpcError> {
    Arguments::read(arguments, &[]).map(drop)
}

pub(super) fn output(me: &WhoAmI) -> Output {
    Output::structured(|result| {
        result.string("principal", &me.principal).string("source", me.source);
        result.strings("services", me.services.iter().map(String::as_str));
        write::list(result.name("grants"), &me.grants, |out, granted| {
            let mut grant = Object::open(out);
            grant.string("id", &granted.id).string("service", &granted.service);
            grant.string("rule", &granted.rule).string("class", granted.class);
            grant.flag("session", granted.session).number("lapses_in_s", granted.lapses_in_s);
            grant.close();
        });
    })
}
