//! The services that `strongroom add NAME` knows: data, in `templates.toml`.

use toml_edit::{DocumentMut, Item, Table};

const DATA: &str = include_str!("templates.toml");

/// A known service.
#[derive(Debug)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Where its API is documented.
    pub docs: String,
    /// What to ask the person for.
    pub key: String,
    /// The type of its `auth`.
    pub auth: String,
    /// The fields of its `auth` that hold secrets.
    pub secrets: Vec<String>,
    /// What it puts into `[services.NAME]`, but for `auth`.
    pub table: Table,
}

/// The names of all templates, in order.
pub fn names() -> Vec<String> {
    document().iter().map(|(name, _)| name.to_owned()).collect()
}

/// The template `name`.
pub fn find(name: &str) -> Option<Template> {
    let document = document();
    let item = document.get(name)?.as_table()?;
    let text = |key: &str| item.get(key).and_then(Item::as_str).unwrap_or_default().to_owned();
    let auth = item.get("auth").and_then(Item::as_table_like)?;
    let secrets = auth.get("secrets").and_then(Item::as_array)?;
    let mut table = Table::new();
    for (key, value) in item.iter().filter(|(key, _)| is_of_services(key)) {
        let mut value = value.clone();
        if let Some(value) = value.as_value_mut() {
            value.decor_mut().clear();
        }
        table.insert(key, value);
    }
    Some(Template {
        name: name.to_owned(),
        about: text("about"),
        docs: text("docs"),
        key: text("key"),
        auth: auth.get("type").and_then(Item::as_str)?.to_owned(),
        secrets: secrets.iter().filter_map(|v| v.as_str()).map(str::to_owned).collect(),
        table,
    })
}

fn is_of_services(key: &str) -> bool {
    !matches!(key, "about" | "docs" | "key" | "auth")
}

fn document() -> DocumentMut {
    DATA.parse().expect("the templates are TOML, which a test holds")
}

#[cfg(test)]
mod tests {
    use strongroom_model::canonical::{RawRequest, canonicalize};
    use strongroom_model::policy::Verdict;
    use strongroom_model::service::Service;

    use super::*;
    use crate::config::Config;
    use crate::flags;

    fn service(template: &Template) -> std::sync::Arc<Service> {
        let mut table = template.table.clone();
        let secrets = template.secrets.iter().map(|field| {
            (field.clone(), format!("local://{}/key", template.name).parse().unwrap())
        });
        flags::put_auth(&mut table, &template.auth, None, &secrets.collect::<Vec<_>>());
        let text = format!("[services.{}]\n{table}", template.name);
        let config = Config::parse(&template.name, &text).unwrap();
        config.service(&template.name).unwrap().clone()
    }

    fn verdict(service: &Service, method: &str, path: &str) -> Verdict {
        let raw = RawRequest { method: method.into(), path: path.into(), ..RawRequest::default() };
        service.policy.explain(&canonicalize(service, raw).unwrap()).verdict
    }

    #[test]
    fn every_template_is_a_service_that_can_be_loaded() {
        let names = names();
        assert!(names.len() >= 10 && names.is_sorted(), "{names:?}");
        for name in &names {
            let template = find(name).unwrap();
            assert!(!template.about.is_empty() && !template.key.is_empty(), "{name}");
            assert!(template.docs.starts_with("https://"), "{name}");
            let service = service(&template);
            assert!(!service.policy.allows_everything(), "{name}");
            if let Some(path) = &service.test_path {
                assert_eq!(verdict(&service, "GET", path), Verdict::Allow, "{name} {path}");
            }
        }
    }

    // RR-12
    #[test]
    fn what_an_api_mints_is_redacted_should_somebody_allow_it() {
        for (name, field) in [("github", "token"), ("gitlab", "token"), ("stripe", "secret")] {
            let fields = &service(&find(name).unwrap()).redact_fields;
            assert!(fields.iter().any(|there| there == field), "{name}");
        }
    }

    #[test]
    fn nothing_is_deleted_moved_or_minted_by_default() {
        let of = |name| service(&find(name).unwrap());
        for (name, method, path) in [
            ("stripe", "POST", "/v1/charges"),
            ("stripe", "POST", "/v1/refunds"),
            ("stripe", "DELETE", "/v1/customers/cus_1"),
            ("stripe", "GET", "/v1/ephemeral_keys"),
            ("github", "POST", "/user/keys"),
            ("github", "GET", "/repos/a/b/keys"),
            ("github", "DELETE", "/repos/a/b"),
            ("gitlab", "POST", "/projects/a%2Fb/access_tokens"),
            ("gitlab", "GET", "/projects/a%2Fb/variables/KEY"),
            ("openai", "GET", "/v1/organization/admin_api_keys"),
            ("anthropic", "GET", "/v1/organizations/api_keys"),
            ("cloudflare", "POST", "/user/tokens"),
            ("slack", "POST", "/chat.delete"),
            ("sentry", "GET", "/api-tokens/"),
            ("linear", "POST", "/oauth/token"),
            ("notion", "DELETE", "/v1/blocks/1"),
        ] {
            assert_eq!(verdict(&of(name), method, path), Verdict::Deny, "{name} {method} {path}");
        }
        for (name, method, path) in [
            ("stripe", "GET", "/v1/charges"),
            ("github", "GET", "/repos/a/b/issues"),
            ("gitlab", "GET", "/projects/a%2Fb/issues"),
            ("openai", "POST", "/v1/responses"),
            ("anthropic", "POST", "/v1/messages"),
            ("cloudflare", "GET", "/zones"),
            ("slack", "GET", "/users.list"),
            ("sentry", "GET", "/projects/"),
            ("linear", "POST", "/graphql"),
            ("notion", "POST", "/v1/search"),
        ] {
            assert_eq!(verdict(&of(name), method, path), Verdict::Allow, "{name} {method} {path}");
        }
    }
}
