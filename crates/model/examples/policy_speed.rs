//! How long the policy takes to decide, with few rules and with many: one JSON line.
//!
//! `cargo run --release -p strongroom-model --example policy_speed`

#![expect(clippy::print_stdout, reason = "the line is what it is run for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::Instant;

use strongroom_model::canonical::{CanonicalRequest, RawRequest, canonicalize};
use strongroom_model::policy::{Condition, Policy, Rule, Verdict};
use strongroom_model::service::{Origin, Scheme, Service, Slots};

const RUNS: usize = 15;
const DECISIONS: u32 = 2_000;

fn main() {
    let service = service();
    let read = request(&service, "GET", "/v1/resource7/abc/items", None);
    let charge =
        request(&service, "POST", "/v1/charges", Some(r#"{"amount":4999,"currency":"eur"}"#));
    let rows = [1, 50, 2_000].map(|count| {
        let policy = policy(count);
        assert!(policy.decide(read.clone()).is_ok());
        assert!(policy.decide(charge.clone()).is_ok());
        serde_json::json!({
            "rules": policy.rules().len(),
            "ns": nanoseconds(&policy, &read),
            "ns_with_body": nanoseconds(&policy, &charge),
        })
    });
    println!("{}", serde_json::json!({ "policy_decision": rows }));
}

/// Rules as a large API has them: one prefix for all, a resource of its own for each, some that deny,
/// and one with conditions.
fn policy(count: usize) -> Policy {
    let mut rules: Vec<_> = (0..count)
        .map(|at| match at % 4 {
            0 => rule(Verdict::Allow, &format!("GET|HEAD /v1/resource{at}/**")),
            1 => rule(Verdict::Allow, &format!("POST /v1/resource{at}/*/items")),
            2 => rule(Verdict::Deny, &format!("DELETE /v1/resource{at}/**")),
            _ => rule(Verdict::Allow, &format!("GET /v1/resource{at}/*/items")),
        })
        .collect();
    rules.push(rule(Verdict::Allow, "GET /v1/resource7/*/items"));
    rules.push(rule(Verdict::Deny, "* /v1/keys/**"));
    let conditions = ["amount <= 5000", "currency in [eur, usd]"];
    let conditions = conditions.map(|text| Condition::body(text).expect("a condition"));
    rules.push(rule(Verdict::Allow, "POST /v1/charges").with_conditions(conditions.into()));
    Policy::new(rules, false)
}

fn rule(verdict: Verdict, text: &str) -> Rule {
    Rule::parse(verdict, text).expect("a rule")
}

/// Of the fastest of several runs: what else the machine does only ever adds. The request comes back
/// with the permit, so that nothing is copied.
fn nanoseconds(policy: &Policy, request: &CanonicalRequest) -> u128 {
    let runs = (0..RUNS).map(|_| {
        let mut request = request.clone();
        let start = Instant::now();
        for _ in 0..DECISIONS {
            let permit = policy.decide(black_box(request)).expect("it is allowed");
            request = permit.into_request();
        }
        start.elapsed().as_nanos() / u128::from(DECISIONS)
    });
    runs.min().unwrap_or_default()
}

fn request(service: &Service, method: &str, path: &str, body: Option<&str>) -> CanonicalRequest {
    let raw = RawRequest {
        method: method.into(),
        path: path.into(),
        headers: body
            .map(|_| ("content-type".into(), "application/json".into()))
            .into_iter()
            .collect(),
        body: body.unwrap_or_default().into(),
        ..RawRequest::default()
    };
    canonicalize(service, raw).expect("a request")
}

fn service() -> Service {
    Service {
        base_path: "/v1".into(),
        slots: Slots { headers: vec!["authorization".into()], query: vec!["api_key".into()] },
        ..Service::at(
            "acme".parse().expect("a name"),
            Origin { scheme: Scheme::Https, host: "api.test".into(), port: 8443 },
        )
    }
}
