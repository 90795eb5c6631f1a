//! A condition that is read reads the same again, no body makes judging it panic, and a request that it
//! would allow is one that it denies.
//!
//! Input: a byte of flags, a condition, a line break, a body or a query.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_fuzz::{get, post, service};
use strongroom_model::policy::{Condition, Policy, Rule, Verdict};

fuzz_target!(|data: &[u8]| {
    let Some((flags, data)) = data.split_first() else { return };
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (text, rest) = (&data[..end], &data[end + 1..]);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let service = service(0);
    let (condition, request) = match flags % 3 {
        0 => {
            let Ok(query) = std::str::from_utf8(rest) else { return };
            (Condition::query(text), get(&service, &format!("/x?{query}")))
        }
        1 => (Condition::body(text), post(&service, "application/json", rest)),
        _ => (Condition::body(text), post(&service, "application/x-www-form-urlencoded", rest)),
    };
    let (Ok(condition), Some(request)) = (condition, request) else { return };
    let words = condition.to_string();
    let again = match flags % 3 {
        0 => Condition::query(&words[1..]),
        _ => Condition::body(&words),
    };
    assert_eq!(again.as_ref(), Ok(&condition), "{words}");

    let rule = |verdict| {
        let rule = Rule::parse(verdict, "* /x").expect("a rule");
        rule.with_conditions(vec![condition.clone()])
    };
    let allows = Policy::new(vec![rule(Verdict::Allow)], false).decide(request.clone()).is_ok();
    let denies = Policy::new(vec![rule(Verdict::Deny)], false).explain(&request).rule.is_some();
    assert!(!allows || denies, "what is certainly met may be met");
});
