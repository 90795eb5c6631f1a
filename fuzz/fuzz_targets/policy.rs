//! A rule that is read reads the same again, and denies at least what it would allow.
//!
//! Input: a byte of flags, a rule, a line break, a path.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_fuzz::{get, service};
use strongroom_model::policy::{Policy, Rule, Verdict};

fuzz_target!(|data: &[u8]| {
    let Some((flags, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (text, path) = text.split_once('\n').unwrap_or((text, "/"));
    let Ok(allow) = Rule::parse(Verdict::Allow, text) else { return };
    assert_eq!(Rule::parse(Verdict::Allow, allow.text()).as_ref(), Ok(&allow));

    let service = service(*flags);
    let Some(request) = get(&service, path) else { return };
    let fold = service.grammar.case_insensitive;
    let deny = Rule::parse(Verdict::Deny, text).expect("as before");
    let allows = Policy::new(vec![allow.clone()], fold).decide(request.clone()).is_ok();
    let denies = Policy::new(vec![deny.clone()], fold).explain(&request).rule.is_some();
    assert!(!allows || denies, "the reading of a rule that denies is the broader one");
    let both = Policy::new(vec![allow, deny], fold).decide(request);
    assert!(both.is_err(), "a rule that denies wins");
});
