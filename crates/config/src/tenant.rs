//! A service of a tenant: the same fields as in `strongroom.toml`, sent over the wire as JSON.
//!
//! What a tenant writes down is judged more strictly than what the owner of a machine does: it names no
//! file and no program of the machine, no network of the operator's, and no secret but the tenant's own
//! (decision 11).

use strongroom_model::network::Cidr;
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::service::Service;

use super::reader::{Reader, Section};
use super::{ConfigError, service};

/// Keys of a service that only the owner of a machine may write.
const OWNER_ONLY: [&str; 2] = ["command", "ca_file"];

/// The scheme of a tenant's own credentials: `local://SERVICE/FIELD` or `local://SERVICE/TYPE/FIELD`.
const SCHEME: &str = "local";

/// What the operator allows the services of tenants beyond the public network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantRules {
    /// Address ranges that may stand in `allow_ips`, exactly as they stand here.
    pub networks: Vec<Cidr>,
    /// Whether `insecure_transport` may be said.
    pub insecure_transport: bool,
}

/// A credential that a tenant's service names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialField<'a> {
    /// The service that the credential was stored for.
    pub service: &'a str,
    /// Its type; `api_key` where the reference does not say.
    pub credential_type: &'a str,
    /// The field in it.
    pub field: &'a str,
}

impl<'a> CredentialField<'a> {
    /// The type of a credential that does not say another.
    pub const DEFAULT_TYPE: &'static str = "api_key";

    /// What `reference` stands for; `None` where it is none of a tenant's.
    pub fn of(reference: &'a SecretRef) -> Option<Self> {
        if reference.scheme() != SCHEME {
            return None;
        }
        let mut parts = reference.path().split('/');
        let (service, second, third) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let (credential_type, field) =
            third.map_or((Self::DEFAULT_TYPE, second), |field| (second, field));
        Some(Self { service, credential_type, field })
    }
}

/// Reads the service `name` of a tenant from `definition`, a JSON object with the fields that a
/// `[services.NAME]` of `strongroom.toml` has.
///
/// # Errors
///
/// A mistake in it, by its key and never by its value; its place means nothing.
pub fn read(
    name: Name,
    definition: &serde_json::Value,
    rules: &TenantRules,
) -> Result<Service, ConfigError> {
    // TOML has no null and no number beyond 64 bits: what it cannot say, no service can.
    let text =
        toml::to_string(definition).map_err(|_| wrong("the service is not a table of TOML"))?;
    let reader = Reader::new("", &text);
    let document = reader.document()?;
    let section = reader.root(&document);
    judge(&section, rules)?;
    let service = service::read(name, &section, &|_| Err(std::io::ErrorKind::NotFound.into()))?;
    if service.auth.secrets.values().any(|reference| CredentialField::of(reference).is_none()) {
        return Err(wrong("`auth` names a secret that is not the tenant's")
            .hint("write `local://SERVICE/FIELD`, or `local://SERVICE/TYPE/FIELD`"));
    }
    Ok(service)
}

fn judge(section: &Section<'_>, rules: &TenantRules) -> Result<(), ConfigError> {
    if let Some(key) = OWNER_ONLY.iter().find(|key| section.has(key)) {
        return Err(section.problem(format!("`{key}` is not for the services of tenants")));
    }
    if !rules.insecure_transport && section.flag("insecure_transport")? == Some(true) {
        return Err(section.problem("`insecure_transport` is not allowed by the operator"));
    }
    for range in section.texts("allow_ips")? {
        let allowed = range.text().parse().is_ok_and(|range: Cidr| rules.networks.contains(&range));
        if !allowed {
            return Err(range.problem("`allow_ips` has a range that the operator does not allow"));
        }
    }
    Ok(())
}

fn wrong(problem: &str) -> ConfigError {
    Reader::new("", "").at(0, problem)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_tenants_service_has_the_fields_of_the_file() {
        let definition = json!({
            "base_url": "https://api.stripe.com",
            "auth": {"type": "bearer", "token": "local://stripe/api_key"},
            "allow": ["GET /v1/**"],
            "policies": [{"path": "/v1/charges", "methods": ["POST"]}],
            "limits": {"calls_per_minute": 60},
        });
        let service = service(&definition, &TenantRules::default()).unwrap();
        assert_eq!(service.origin.to_string(), "https://api.stripe.com");
        assert_eq!(service.policy.rules().len(), 2);
        let misspelt = with("base_ulr", json!("https://x.example"));
        let error = self::service(&misspelt, &TenantRules::default()).unwrap_err();
        assert_eq!(error.problem, "unknown key `base_ulr`");
    }

    #[test]
    fn a_tenant_names_nothing_of_the_machine() {
        for (key, value) in [
            ("command", json!("/bin/sh")),
            ("ca_file", json!("/etc/shadow")),
            ("insecure_transport", json!(true)),
            ("allow_ips", json!(["10.0.0.0/8"])),
            ("allow_ips", json!(["127.0.0.1/32"])),
            ("test_path", Value::Null),
            ("limits", json!({"calls_per_minute": 1.0e300})),
        ] {
            let definition = with(key, value);
            assert!(service(&definition, &TenantRules::default()).is_err(), "{key}");
        }
        assert!(service(&with("allow_ips", json!([])), &TenantRules::default()).is_ok());
    }

    #[test]
    fn a_network_is_a_tenants_where_the_operator_says_so_word_for_word() {
        let rules = TenantRules {
            networks: vec!["127.0.0.1/32".parse().unwrap()],
            insecure_transport: true,
        };
        let mut definition = with("allow_ips", json!(["127.0.0.1/32"]));
        definition["insecure_transport"] = json!(true);
        definition["base_url"] = json!("http://127.0.0.1:8080");
        assert!(service(&definition, &rules).is_ok());
        definition["allow_ips"] = json!(["127.0.0.0/8"]);
        assert!(service(&definition, &rules).is_err());
    }

    #[test]
    fn a_secret_is_the_tenants_own_or_it_is_refused() {
        for (reference, expected) in [
            ("local://stripe/api_key", Some(("stripe", "api_key", "api_key"))),
            ("local://stripe/oauth/access_token", Some(("stripe", "oauth", "access_token"))),
            ("local://stripe", None),
            ("local://a/b/c/d", None),
            ("env://PATH", None),
            ("file:///etc/shadow", None),
            ("op://vault/item/field", None),
        ] {
            let parsed: SecretRef = reference.parse().unwrap();
            let field = CredentialField::of(&parsed);
            let parts = field.map(|field| (field.service, field.credential_type, field.field));
            assert_eq!(parts, expected, "{reference}");
            let auth = json!({"type": "bearer", "token": reference});
            let read = service(&with("auth", auth), &TenantRules::default());
            assert_eq!(read.is_ok(), expected.is_some(), "{reference}");
        }
    }

    fn with(key: &str, value: Value) -> Value {
        let mut definition = json!({
            "base_url": "https://x.example",
            "auth": {"type": "bearer", "token": "local://x/token"},
        });
        definition[key] = value;
        definition
    }

    fn service(definition: &Value, rules: &TenantRules) -> Result<Service, ConfigError> {
        read("x".parse().unwrap(), definition, rules)
    }
}
