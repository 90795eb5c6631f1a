//! How long a policy decision takes, by the number of rules of the service: one JSON line.
//!
//! `cargo run --release -p strongroom-proxy --example decide`

#![expect(clippy::print_stdout, reason = "the line is what it is run for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use strongroom_model::canonical::{CanonicalRequest, RawRequest, canonicalize};
use strongroom_model::policy::Judgement;
use strongroom_model::service::Service;
use strongroom_proxy::inject;
use strongroom_testkit::fakes::{auth, service};

const RUNS: usize = 15;
const REQUESTS: usize = 1_000;

fn main() {
    // 2,000 rules are 40 for each of 50 services; or all of one service.
    let rows = [1, 40, 2_000].map(|rules| {
        let service = with_rules(rules);
        let requests: Vec<_> = (0..REQUESTS).map(|number| request(&service, number)).collect();
        let us = best(&service, &requests);
        serde_json::json!({ "rules": rules, "us": (us * 1_000.0).round() / 1_000.0 })
    });
    println!("{}", serde_json::json!({ "decisions": rows }));
}

/// Microseconds of a decision in the fastest of several runs: what else the machine does only adds.
fn best(service: &Service, requests: &[CanonicalRequest]) -> f64 {
    let times = (0..RUNS).map(|_| {
        let requests = requests.to_vec();
        let mut decided = Vec::with_capacity(requests.len());
        let start = Instant::now();
        for request in requests {
            decided.push(service.policy.judge(black_box(request)));
        }
        let time = start.elapsed();
        let allowed = |judgement: &Judgement<_>| matches!(judgement, Judgement::Allowed(_));
        assert!(decided.iter().all(allowed), "every request is one that the last rule allows");
        time.as_secs_f64() * 1e6 / decided.len() as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Rules such as people write, of which the last one allows what is asked for.
fn with_rules(count: usize) -> Service {
    let mut rules = String::new();
    for number in 1..count {
        let (verdict, path) = match number % 4 {
            0 => ("deny", "*/keys/**"),
            1 => ("allow", "*/issues/*"),
            2 => ("ask", "releases/**"),
            _ => ("allow", "**"),
        };
        writeln!(rules, "{verdict} POST /repos/team-{number}/{path}").unwrap();
    }
    rules.push_str("allow GET /repos/*/*/issues/**\n");
    let auth = auth("acme", "bearer", &["token"]);
    let slots = inject::slots(&auth).unwrap();
    service("acme", ([127, 0, 0, 1], 1).into(), auth, slots, &rules)
}

fn request(service: &Service, number: usize) -> CanonicalRequest {
    let raw = RawRequest {
        method: "GET".into(),
        path: format!("/repos/team-{number}/app/issues/{number}/comments?per_page=100"),
        headers: vec![("accept".into(), "application/json".into())],
        ..RawRequest::default()
    };
    canonicalize(service, raw).unwrap()
}
