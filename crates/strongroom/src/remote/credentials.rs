//! The credentials of a team's tenant: stored, listed and deleted from here, and read by nobody
//! (decision 12).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::remote::NewField;
use strongroom_secrets::remote::answers::{Binding, Credentials, Done, Servers, Services};

use super::{Remote, definition};
use crate::config::tenant::CredentialField;
use crate::failure::Failure;

/// Where they are listed.
pub const LIST: &str = "/functions/v1/credentials/list";
const DELETE: &str = "/functions/v1/credentials/delete";
/// Where servers are listed.
pub const SERVERS: &str = "/functions/v1/mcp-servers/list";

/// `local://SERVICE`, or `local://SERVICE/TYPE` where the type is not the usual one.
pub fn reference(service: &str, kind: &str) -> String {
    if kind == Binding::TYPE {
        format!("local://{service}")
    } else {
        format!("local://{service}/{kind}")
    }
}

/// Stores each secret where its reference says, a credential for each service and type.
///
/// # Errors
///
/// What the server says, and a reference that is none of a tenant's.
pub fn store(remote: &Remote, secrets: &[(SecretRef, &Secret)]) -> Result<(), Failure> {
    let mut all = BTreeMap::<(&str, &str), Vec<NewField<'_>>>::new();
    for (reference, value) in secrets {
        let Some(place) = CredentialField::of(reference) else {
            return Err(Failure::failed("the service takes its key from another place")
                .hint("write its `auth` anew: `--auth TYPE` with `--key-stdin`"));
        };
        let fields = all.entry((place.service, place.credential_type)).or_default();
        fields.push(NewField { name: place.field, value });
    }
    for ((service, kind), fields) in &all {
        remote.store(service, kind, fields)?;
    }
    Ok(())
}

/// Deletes the credential of this id.
pub fn delete(remote: &Remote, id: &str) -> Result<(), Failure> {
    remote.post::<Done>(DELETE, &json!({ "credential_id": id })).map(drop)
}

/// Deletes the credentials of `service`, which is gone itself; says how many there were. `None`:
/// another service or a server uses one, so all stay.
pub fn remove_unused(remote: &Remote, service: &str) -> Result<Option<usize>, Failure> {
    let there: Credentials = remote.get_exact(LIST, &[("service", service)])?;
    if there.credentials.is_empty() {
        return Ok(Some(0));
    }
    if is_used(remote, service)? {
        return Ok(None);
    }
    for credential in &there.credentials {
        delete(remote, &credential.id)?;
    }
    Ok(Some(there.credentials.len()))
}

fn is_used(remote: &Remote, service: &str) -> Result<bool, Failure> {
    let services: Services = remote.get_exact(definition::PATH, &[])?;
    let prefix = format!("local://{service}/");
    if services.services.iter().any(|other| other.definition.values().any(|v| names(v, &prefix))) {
        return Ok(true);
    }
    let servers: Servers = remote.get_exact(SERVERS, &[])?;
    Ok(servers.servers.iter().any(|server| {
        // Without `secrets` a server gets the credential that is called like its prefix.
        let by_name = server.secrets.is_empty() && server.tool_prefix == format!("{service}.");
        by_name || server.secrets.values().any(|from| from.service == service)
    }))
}

/// Whether a text in `value` begins with `prefix`.
fn names(value: &Value, prefix: &str) -> bool {
    match value {
        Value::String(text) => text.starts_with(prefix),
        Value::Array(items) => items.iter().any(|item| names(item, prefix)),
        Value::Object(fields) => fields.values().any(|value| names(value, prefix)),
        _ => false,
    }
}
