use proptest::prelude::*;
use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_model::policy::Policy;

use super::*;
use crate::config::Config;

/// Janee's own way to match, as its rules engine has it.
fn matches_there(pattern: &str, method: &str, path: &str) -> bool {
    let words: Vec<&str> = pattern.split_whitespace().collect();
    let [wanted, glob] = words[..] else { return false };
    (wanted == "*" || wanted.eq_ignore_ascii_case(method)) && glob_matches(glob, path)
}

fn glob_matches(glob: &str, text: &str) -> bool {
    match glob.split_once('*') {
        None => glob == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && glob_matches(rest, &text[at..]))
        }),
    }
}

fn verdict(verdict: Verdict, rules: &[String], method: &str, path: &str) -> bool {
    let text = "[services.x]\nbase_url = \"https://x.example\"\n\
                auth = { type = \"bearer\", token = \"local://x/token\" }\n";
    let config = Config::parse("x", text).unwrap();
    let service = config.service("x").unwrap();
    let raw = RawRequest { method: method.into(), path: path.into(), ..RawRequest::default() };
    let request = canonicalize(service, raw).unwrap();
    let rules = rules.iter().map(|rule| Rule::parse(verdict, rule).unwrap());
    let policy = Policy::new(rules.collect(), false);
    !policy.explain(&request).matched.is_empty()
}

#[test]
fn a_pattern_becomes_what_it_meant() {
    use Difference::{Left, Query, Same, Stricter};
    let allow = |pattern| translate(Verdict::Allow, pattern);
    for (pattern, rules, difference) in [
        ("GET *", &["GET /**"][..], Same),
        ("get /*", &["GET /**"], Same),
        ("* /v1/customers/*", &["* /v1/customers/*/**"], Same),
        ("GET /v1/balance", &["GET /v1/balance"], Query),
        ("GET /v1/customers*", &["GET /v1/customers/**"], Stricter),
        ("GET /repos/*/issues", &["GET /repos/*/issues"], Stricter),
        ("GET /repos/*/issues/*", &["GET /repos/*/issues/*/**"], Stricter),
        ("GET /search?q=*", &[], Left),
        ("GET /a*b/c", &[], Left),
        ("GET v1/x", &[], Left),
        ("GET", &[], Left),
        ("TRACE /x", &[], Left),
        ("GET|POST /x", &[], Left),
        ("GET /a//b", &[], Left),
    ] {
        let (line, found) = allow(pattern);
        assert_eq!(
            (&*found, line.difference),
            (&*rules.iter().map(ToString::to_string).collect::<Vec<_>>(), difference),
            "{pattern}"
        );
        assert!(!line.why.is_empty());
    }
    let deny = |pattern| translate(Verdict::Deny, pattern);
    for (pattern, rules, difference) in [
        ("DELETE *", &["DELETE /**"][..], Same),
        ("POST /v1/charges/*", &["POST /v1/charges/**"], Stricter),
        ("POST /v1/charges", &["POST /v1/charges"], Same),
        ("GET /v1/cust*", &["GET /v1/**"], Stricter),
        ("GET /search?q=*", &["GET /search"], Stricter),
        ("GET v1/x", &["GET /v1/x"], Same),
        ("GET *secret*", &["GET /**"], Stricter),
        ("GET|POST /x", &["GET|POST /x"], Same),
        ("GET /a b", &[], Left),
    ] {
        let (line, found) = deny(pattern);
        assert_eq!(
            (&*found, line.difference),
            (&*rules.iter().map(ToString::to_string).collect::<Vec<_>>(), difference),
            "{pattern}"
        );
    }
    let (_, rules) = deny("GET /repos/*/keys");
    assert_eq!(rules.len(), DEEPEST + 1, "{rules:?}");
    assert_eq!(rules[0], "GET /repos/*/keys");
    assert_eq!(rules[DEEPEST], "GET /repos/*/*/*/*/*/*/*/**");
}

fn segment() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "ab", "*", "*", "a*", "*b"]).prop_map(str::to_owned)
}

fn pattern() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(segment(), 1..5).prop_map(|parts| parts.join("/"));
    (prop::sample::select(vec!["/", ""]), path).prop_map(|(root, path)| format!("GET {root}{path}"))
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "x"]);
    (prop::collection::vec(segment, 0..9), any::<bool>()).prop_map(|(parts, slash)| {
        let slash = if slash && !parts.is_empty() { "/" } else { "" };
        format!("/{}{slash}", parts.join("/"))
    })
}

proptest! {
    #[test]
    fn what_is_allowed_here_was_allowed_there(pattern in pattern(), path in path()) {
        let (_, rules) = translate(Verdict::Allow, &pattern);
        if verdict(Verdict::Allow, &rules, "GET", &path) {
            prop_assert!(matches_there(&pattern, "GET", &path), "{rules:?}");
        }
    }

    #[test]
    fn what_was_denied_there_is_denied_here(pattern in pattern(), path in path()) {
        let (_, rules) = translate(Verdict::Deny, &pattern);
        if matches_there(&pattern, "GET", &path) {
            prop_assert!(verdict(Verdict::Deny, &rules, "GET", &path), "{rules:?}");
        }
    }
}
