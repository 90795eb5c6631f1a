//! A service of a tenant: JSON on the wire, a table of TOML where flags change it, and what it means.

use serde_json::{Map, Value, json};
use strongroom_model::principal::Name;
use strongroom_model::service::Service;
use strongroom_secrets::remote::answers;
use toml_edit::{DocumentMut, Table};

use super::Remote;
use crate::config::tenant::{self, TenantRules};
use crate::failure::{Exit, Failure};
use crate::near;
use crate::view::ServiceView;

/// Where services are.
pub const PATH: &str = "/v1/services";

/// The service `name` of the tenant, as it is stored.
pub fn find(remote: &Remote, name: &str) -> Result<answers::Service, Failure> {
    let all: answers::Services = remote.get_exact(PATH, &[])?;
    let names: Vec<String> = all.services.iter().map(|service| service.name.clone()).collect();
    let found = all.services.into_iter().find(|service| service.name == name);
    found.ok_or_else(|| {
        let near = near::nearest(name, names.iter().map(String::as_str));
        let near = near.filter(|near| near.parse::<Name>().is_ok());
        Failure::failed(near::there_is_no("service", name)).hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("run `strongroom list --remote {}`", remote.name),
        })
    })
}

/// Stores `definition` as the service `name`.
pub fn put(
    remote: &Remote,
    name: &str,
    definition: &Map<String, Value>,
) -> Result<ServiceView, Failure> {
    let body = json!({ "name": name, "definition": definition });
    let stored: answers::Service = remote.put(PATH, &body)?;
    Ok(ServiceView::new(&of(&stored)?))
}

/// The table that a definition is.
pub fn table(definition: &Map<String, Value>) -> Result<Table, Failure> {
    let text = toml::to_string(definition).map_err(|_| unreadable())?;
    let document: DocumentMut = text.parse().map_err(|_| unreadable())?;
    Ok(document.as_table().clone())
}

/// The definition that a table is.
pub fn json(table: Table) -> Result<Map<String, Value>, Failure> {
    let text = DocumentMut::from(table).to_string();
    toml::from_str(&text).map_err(|_| unreadable())
}

/// What the service `name` means. The operator's rules are the server's to judge: here everything is
/// read that can be.
pub fn service(name: &str, definition: &Map<String, Value>) -> Result<Service, Failure> {
    let networks = definition.get("allow_ips").and_then(Value::as_array);
    let networks = networks.into_iter().flatten().filter_map(Value::as_str);
    let rules = TenantRules {
        networks: networks.filter_map(|range| range.parse().ok()).collect(),
        insecure_transport: true,
    };
    let name = name.parse().map_err(|_| unreadable())?;
    let definition = Value::Object(definition.clone());
    tenant::read(name, &definition, &rules).map_err(|error| {
        let hint = error.hint.clone();
        Failure::failed(error.problem).maybe_hint(hint)
    })
}

/// The same of what the server answers.
pub fn of(answer: &answers::Service) -> Result<Service, Failure> {
    service(&answer.name, &answer.definition)
}

fn unreadable() -> Failure {
    Failure::new(Exit::Unavailable, "the server's service has fields that this version cannot read")
        .hint("use the version of Strongroom that the server has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_comes_back_from_its_table_as_it_was() {
        let definition = json!({
            "base_url": "http://127.0.0.1:8080",
            "insecure_transport": true,
            "allow_ips": ["127.0.0.1/32"],
            "auth": { "type": "bearer", "token": "local://shop/token" },
            "allow": ["GET /**", { "rule": "POST /a", "rate": "1/s" }],
            "limits": { "calls_per_minute": 60 },
        });
        let Value::Object(definition) = definition else { unreachable!() };
        assert_eq!(json(table(&definition).unwrap()).unwrap(), definition);
        assert_eq!(service("shop", &definition).unwrap().name.as_str(), "shop");
        assert!(service("no name", &definition).is_err());
    }
}
