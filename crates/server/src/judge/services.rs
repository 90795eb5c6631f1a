//! What the policy of a tenant's service says to a request that is not made.
//!
//! Pure: a catalogue and a request go in, a verdict comes out. It is read and judged by what reads and
//! judges a call, so that the two cannot differ; limits are not counted.

use serde_json::{Map, Value};
use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_model::policy::{Explanation, Verdict as Says};
use strongroom_model::principal::Name;
use strongroom_model::service::{Catalog, Scheme, Service};

use super::{Decision, Verdict, denied};

const ABSENT: &str = "no service is at this place";

/// Judges `method` on `resource`: an absolute URL, or the name of a service with a path behind it.
/// Where several services are at a URL, whichever allows most is meant: an agent would name that one.
pub(super) fn judged(
    catalog: &Catalog,
    principal: &Name,
    method: &str,
    resource: &str,
    arguments: Option<&Value>,
) -> (Option<Name>, Verdict) {
    let arguments = match Arguments::read(arguments) {
        Ok(arguments) => arguments,
        Err(problem) => return (None, denied(problem)),
    };
    let served = catalog
        .services
        .values()
        .filter(|service| catalog.serves(principal, &service.name, service.principals.as_deref()));
    served
        .filter_map(|service| Some((service, path_within(service, resource)?)))
        .map(|(service, path)| {
            (Some(service.name.clone()), of_service(service, method, path, &arguments))
        })
        .reduce(|best, next| if next.1.decision < best.1.decision { next } else { best })
        .unwrap_or_else(|| (None, denied(ABSENT)))
}

/// What a call of the tool `execute` with these arguments would request.
pub(super) fn executed(arguments: Option<&Value>) -> Result<(String, String), &'static str> {
    let text = |name| arguments.and_then(|it| it.get(name)).and_then(Value::as_str);
    let missing = "`execute` takes `service`, `method` and `path`";
    let (service, path) = (text("service").ok_or(missing)?, text("path").ok_or(missing)?);
    let path = path.strip_prefix('/').ok_or("`path` begins with `/`")?;
    let name: Name = service.parse().map_err(|_| ABSENT)?;
    Ok((text("method").ok_or(missing)?.to_owned(), format!("{name}/{path}")))
}

/// The path of `resource` within `service`, with its `/`; `None` where it is another's.
fn path_within<'a>(service: &Service, resource: &'a str) -> Option<&'a str> {
    let Some((scheme, rest)) = resource.split_once("://") else {
        let rest = resource.strip_prefix(service.name.as_str())?;
        return rest.starts_with('/').then_some(rest);
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let origin = &service.origin;
    let same_scheme = scheme.eq_ignore_ascii_case(origin.scheme.as_str());
    let default = match origin.scheme {
        Scheme::Https => ":443",
        Scheme::Http => ":80",
    };
    let authority = authority.strip_suffix(default).unwrap_or(authority);
    if !same_scheme || !authority.eq_ignore_ascii_case(&origin.authority()) {
        return None;
    }
    let path = if path.is_empty() { "/" } else { path };
    path.strip_prefix(&*service.base_path).filter(|path| path.starts_with('/'))
}

fn of_service(service: &Service, method: &str, path: &str, arguments: &Arguments) -> Verdict {
    let raw = RawRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: arguments.query.clone(),
        headers: arguments.headers.clone(),
        body: arguments.body.clone(),
        unseen: None,
    };
    let request = match canonicalize(service, raw) {
        Ok(request) => request,
        Err(refusal) => return denied(refusal.message),
    };
    let Explanation { verdict, rule, flaw, terms, .. } = service.policy.explain(&request);
    let rule = rule.map(|rule| format!("{}: {rule}", service.name));
    if terms.reason && verdict != Says::Deny && !arguments.has_reason {
        let reason = "the rule wants a reason: say why in `reason`".into();
        return Verdict { decision: Decision::Deny, reason, rule };
    }
    let (decision, reason) = match (verdict, &rule) {
        (Says::Allow, _) => (Decision::Allow, "a rule of the service allows this request"),
        (Says::Ask, _) => (Decision::Ask, "a person must approve this request"),
        (Says::Deny, Some(_)) => (Decision::Deny, "a rule of the service denies this request"),
        (Says::Deny, None) => (Decision::Deny, flaw.unwrap_or("no rule allows this request")),
    };
    Verdict { decision, reason: reason.into(), rule }
}

/// The parts of a request beside its method and path, by the names that the tool `execute` has for them.
#[derive(Default)]
struct Arguments {
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    has_reason: bool,
}

impl Arguments {
    /// What cannot be judged is said and not passed over: the answer would be about another request.
    fn read(arguments: Option<&Value>) -> Result<Self, &'static str> {
        let empty = Map::new();
        let members = match arguments {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(members)) => members,
            Some(_) => return Err("the arguments of a request are an object"),
        };
        let mut read = Self::default();
        let mut json = None;
        for (name, value) in members {
            match name.as_str() {
                "query" => read.query = pairs(value, "`query` is an object of values or lists")?,
                "headers" => read.headers = pairs(value, "`headers` is an object of texts")?,
                "body" => match value {
                    Value::Null => {}
                    Value::String(text) => read.body = text.clone().into_bytes(),
                    value => json = Some(value),
                },
                "reason" => {
                    let text = value.as_str().ok_or("`reason` is a text")?;
                    read.has_reason = !text.trim().is_empty();
                }
                "service" | "method" | "path" => {}
                _ => return Err("a request is judged by `query`, `headers`, `body` and `reason`"),
            }
        }
        if let Some(json) = json {
            let kind = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("content-type");
            match read.headers.iter().find(kind).map(|(_, value)| value.contains("json")) {
                None => read.headers.push(("content-type".into(), "application/json".into())),
                Some(true) => {}
                Some(false) => return Err("write a body that is not JSON as a text"),
            }
            read.body = json.to_string().into_bytes();
        }
        Ok(read)
    }
}

fn pairs(value: &Value, wrong: &'static str) -> Result<Vec<(String, String)>, &'static str> {
    let mut pairs = Vec::new();
    for (name, value) in value.as_object().ok_or(wrong)? {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => return Err(wrong),
            };
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use strongroom_model::policy::{Policy, Rule};
    use strongroom_model::service::Origin;

    use super::*;

    fn service(name: &str, host: &str, base: &str, rules: &[(Says, &str)]) -> Service {
        let origin = Origin { scheme: Scheme::Https, host: host.into(), port: 443 };
        let rules = rules.iter().map(|(verdict, text)| Rule::parse(*verdict, text).unwrap());
        let mut service = Service::at(name.parse().unwrap(), origin);
        service.base_path = base.into();
        service.policy = Policy::new(rules.collect(), false);
        service
    }

    fn catalog() -> Catalog {
        use Says::{Allow, Ask, Deny};
        let narrow = [(Allow, "GET /v1/**"), (Ask, "POST /v1/refunds"), (Deny, "GET /v1/keys/**")];
        let mut own = service("own", "api.acme.test", "", &[(Allow, "* /**")]);
        own.principals = Some(vec!["somebody-else".parse().unwrap()]);
        let all = [
            service("acme", "api.acme.test", "", &narrow),
            service("based", "based.test", "/api", &[(Allow, "GET /users")]),
            service("wide", "api.acme.test", "", &[(Allow, "GET /v1/keys/**")]),
            own,
        ];
        let services = all.into_iter().map(|one| (one.name.clone(), Arc::new(one)));
        Catalog { services: services.collect(), ..Catalog::default() }
    }

    fn ask(method: &str, resource: &str, arguments: Option<&Value>) -> (Decision, Option<String>) {
        let principal = "key-1".parse().unwrap();
        let (_, verdict) = judged(&catalog(), &principal, method, resource, arguments);
        (verdict.decision, verdict.rule)
    }

    #[test]
    fn a_request_is_what_the_strictest_rule_of_its_service_says() {
        for (method, resource, decision, rule) in [
            ("GET", "acme/v1/orders", Decision::Allow, Some("acme: GET /v1/**")),
            ("POST", "acme/v1/refunds", Decision::Ask, Some("acme: POST /v1/refunds")),
            ("GET", "acme/v1/keys/1", Decision::Deny, Some("acme: GET /v1/keys/**")),
            ("DELETE", "acme/v1/orders", Decision::Deny, None),
            ("GET", "https://api.acme.test/v1/orders", Decision::Allow, Some("acme: GET /v1/**")),
            ("GET", "HTTPS://API.acme.test:443/v1/x", Decision::Allow, Some("acme: GET /v1/**")),
            ("GET", "https://based.test/api/users", Decision::Allow, Some("based: GET /users")),
            ("GET", "based/users", Decision::Allow, Some("based: GET /users")),
            // One of two services at this origin allows it, as a call that names it would find.
            (
                "GET",
                "https://api.acme.test/v1/keys/1",
                Decision::Allow,
                Some("wide: GET /v1/keys/**"),
            ),
        ] {
            let expected = (decision, rule.map(str::to_owned));
            assert_eq!(ask(method, resource, None), expected, "{method} {resource}");
        }
    }

    #[test]
    fn what_is_not_a_place_of_a_service_is_denied() {
        for resource in [
            "https://based.test/users",
            "https://based.test/apiusers",
            "https://based.test.evil/api/users",
            "https://based.test:444/api/users",
            "http://based.test/api/users",
            "https://x@based.test/api/users",
            "https://based.test/api/../api/users",
            "https://based.test/api/%75sers/..",
            "based",
            "basedusers",
            "bas/edusers",
            "own/v1/x",
            "none/x",
            "",
            "/",
        ] {
            assert_eq!(ask("GET", resource, None), (Decision::Deny, None), "{resource}");
        }
        for method in ["get", "TRACE", "", "GET /", "CONNECT"] {
            assert_eq!(ask(method, "based/users", None), (Decision::Deny, None), "{method}");
        }
    }

    #[test]
    fn arguments_that_cannot_be_judged_are_not_passed_over() {
        let users = |arguments: Value| ask("GET", "based/users", Some(&arguments)).0;
        for fine in [
            json!(null),
            json!({}),
            json!({"query": {"a": 1, "b": ["x", true]}, "headers": {"accept": "text/plain"}}),
            json!({"reason": "why not"}),
        ] {
            assert_eq!(users(fine.clone()), Decision::Allow, "{fine}");
        }
        for bad in [
            json!([]),
            json!("x"),
            json!({"body_file": "x"}),
            json!({"query": {"a": {}}}),
            json!({"query": []}),
            json!({"headers": {"accept": null}}),
            json!({"body": {}, "headers": {"content-type": "text/plain"}}),
        ] {
            assert_eq!(users(bad.clone()), Decision::Deny, "{bad}");
        }
    }

    #[test]
    fn a_call_of_execute_names_its_service() {
        let full = json!({"service": "based", "method": "GET", "path": "/users"});
        assert_eq!(executed(Some(&full)), Ok(("GET".into(), "based/users".into())));
        for bad in [
            json!({"service": "based", "path": "/users"}),
            json!({"service": "a/b", "method": "GET", "path": "/users"}),
            json!({"service": "based", "method": "GET", "path": "users"}),
            json!(null),
        ] {
            assert!(executed(Some(&bad)).is_err(), "{bad}");
        }
    }
}
