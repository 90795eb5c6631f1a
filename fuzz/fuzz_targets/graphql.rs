//! A document is of one kind or is not judged, its comments mean nothing, and what a rule would allow
//! the same rule denies.
//!
//! Input: a document.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_fuzz::{get, service};
use strongroom_model::policy::{Condition, Policy, Rule, Verdict};

fuzz_target!(|document: &str| {
    let patterns = [&["query"][..], &["mutation"], &["subscription"], &["query a*", "mutation *b"]];
    let allowed = patterns.map(|patterns| allows(patterns, document));
    assert!(allowed[..3].iter().filter(|allowed| **allowed).count() <= 1, "{document}");
    let commented = format!("# comment\n{document}\n# }} {{\n");
    // What is too long for a query is too long with comments before it is without.
    if allows(&["query"], &commented) {
        assert!(allowed[0], "{document}");
    }
});

fn allows(patterns: &[&str], document: &str) -> bool {
    use std::fmt::Write as _;

    let mut path = String::from("/x?query=");
    for byte in document.bytes() {
        write!(path, "%{byte:02X}").expect("a string takes everything");
    }
    let Some(request) = get(&service(0), &path) else { return false };
    let rule = |verdict| {
        let condition = Condition::graphql(patterns).expect("patterns");
        Rule::parse(verdict, "GET /x").expect("a rule").with_conditions(vec![condition])
    };
    let allows = Policy::new(vec![rule(Verdict::Allow)], false).decide(request.clone()).is_ok();
    let denies = Policy::new(vec![rule(Verdict::Deny)], false).explain(&request).rule.is_some();
    assert!(!allows || denies, "what is certainly met may be met");
    allows
}
