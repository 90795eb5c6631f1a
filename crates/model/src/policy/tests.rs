use super::*;
use crate::canonical::{Grammar, RawRequest, canonicalize};
use crate::testing::service;

use Verdict::{Allow, Ask, Deny};

fn rule(verdict: Verdict, text: &str) -> Rule {
    Rule::parse(verdict, text).unwrap()
}

fn request(method: &str, path: &str) -> CanonicalRequest {
    let mut service = service();
    service.grammar = Grammar { encoded_slash: true, path_params: true, ..Grammar::default() };
    let raw = RawRequest { method: method.into(), path: path.into(), ..RawRequest::default() };
    canonicalize(&service, raw).unwrap()
}

fn verdict(policy: &Policy, method: &str, path: &str) -> Verdict {
    policy.explain(&request(method, path)).verdict
}

/// The corpus's `acme`.
fn acme() -> Vec<Rule> {
    vec![
        rule(Deny, "* /public/secret/**"),
        rule(Allow, "GET /public/**"),
        rule(Allow, "POST /items"),
        rule(Ask, "GET|HEAD /public/*/hooks"),
    ]
}

// PB-08, PB-14, PB-22
#[test]
fn the_strictest_matching_rule_wins_in_any_order() {
    let table = [
        ("GET", "/public/x", Allow),
        ("GET", "/public", Allow),
        ("GET", "/public/", Allow),
        ("GET", "/public/a/b/c", Allow),
        ("POST", "/items", Allow),
        ("GET", "/public/a/hooks", Ask),
        ("GET", "/public/a/hooks/", Ask),
        ("GET", "/public/secret/a", Deny),
        ("GET", "/public/secret", Deny),
        ("GET", "/public/secret/", Deny),
        ("GET", "/public/%73ecret/x", Deny), // PB-14
        ("GET", "/public/secret;x=1/a", Deny),
        ("HEAD", "/public/x", Deny), // no rule speaks of HEAD here
        ("POST", "/items/", Deny),   // an allow rule means its own bytes only
        ("GET", "/publicity", Deny), // segments, not prefixes
        ("GET", "/admin?x=/public/y", Deny), // PB-11
        ("GET", "/PUBLIC/x", Deny),  // PB-13
        ("GET", "/public/Secret/x", Allow), // PB-13: allowed by grammar, which the docs say
        ("GET", "/public/secret%2Fx", Allow), // PB-04: `%2F` separates nothing
    ];
    let mut rules = acme();
    for _ in 0..rules.len() {
        rules.rotate_left(1);
        let policy = Policy::new(rules.clone(), false);
        for (method, path, expected) in table {
            assert_eq!(verdict(&policy, method, path), expected, "{method} {path}");
        }
    }
}

// PB-23
#[test]
fn without_a_rule_nothing_is_allowed() {
    let refusal = Policy::default().decide(request("GET", "/x")).unwrap_err().0;
    assert_eq!((refusal.code, refusal.rule), (Code::PolicyDenied, None));
    assert_eq!(verdict(&Policy::default(), "GET", "/"), Deny);
}

// PB-13
#[test]
fn case_counts_unless_the_service_says_otherwise() {
    let policy = Policy::new(acme(), true);
    assert_eq!(verdict(&policy, "GET", "/public/Secret/x"), Deny);
    assert_eq!(verdict(&policy, "GET", "/PUBLIC/x"), Allow);
}

#[test]
fn a_rule_that_denies_covers_every_spelling_and_one_that_allows_only_its_own() {
    let spellings = [
        ("/v1/x:delete", "/v1/x%3Adelete"),
        ("/v1/x:delete", "/v1/x:delete/"),
        ("/v1/x:delete/", "/v1/x:delete"),
        ("/a", "/a;v=1"),
        ("/a", "/a%3Bv=1"),
        ("/a%2Bb", "/a+b"),
        ("/a/*", "/a/b/"),
    ];
    for (pattern, path) in spellings {
        let everything = rule(Allow, "* /**");
        let text = format!("* {pattern}");
        let denied = Policy::new(vec![rule(Deny, &text), everything.clone()], false);
        assert_eq!(verdict(&denied, "GET", path), Deny, "{pattern} {path}");
        let asked = Policy::new(vec![rule(Ask, &text), everything], false);
        assert_eq!(verdict(&asked, "GET", path), Ask, "{pattern} {path}");
        let allowed = Policy::new(vec![rule(Allow, &text)], false);
        assert_eq!(verdict(&allowed, "GET", path), Deny, "{pattern} {path}");
        let plain = pattern.replace("/*", "/b");
        assert_eq!(verdict(&allowed, "GET", &plain), Allow, "{pattern} {plain}");
    }
}

#[test]
fn wildcards_stand_for_whole_segments() {
    for (pattern, yes, no) in [
        ("/**", &["/", "/a", "/a/", "/a/b"][..], &[][..]),
        ("/a/**", &["/a", "/a/", "/a/b", "/a/b/c"], &["/", "/b", "/ab", "/b/a"]),
        ("/a/*", &["/a/b"], &["/a", "/a/", "/a/b/c", "/a/b/"]),
        ("/*/b", &["/a/b", "/c/b"], &["/b", "/a/b/c", "/a/c"]),
        ("/*/**", &["/a", "/a/b/c"], &["/"]),
        ("/", &["/"], &["/a"]),
        ("/a", &["/a"], &["/", "/a/", "/a/b", "/A", "/aa"]),
        ("/a/", &["/a/"], &["/a", "/a/b"]),
        ("/a.b", &["/a.b"], &["/axb"]),
    ] {
        let policy = Policy::new(vec![rule(Allow, &format!("GET {pattern}"))], false);
        for path in yes {
            assert_eq!(verdict(&policy, "GET", path), Allow, "{pattern} {path}");
        }
        for path in no {
            assert_eq!(verdict(&policy, "GET", path), Deny, "{pattern} {path}");
        }
    }
}

// PB-12, PB-23
#[test]
fn a_rule_that_means_something_else_than_it_says_is_refused() {
    for bad in [
        "",
        "GET",
        "/x",
        "GET /x /y",
        "GET */readonly",
        "GET readonly",
        "* **",
        "* *",
        "get /x",
        "GeT /x",
        "TRACE /x",
        "CONNECT /x",
        "GET,POST /x",
        "GET| /x",
        "|GET /x",
        "GET //x",
        "GET /a//b",
        "GET /a/../b",
        "GET /a/./b",
        "GET /a/%2e%2e/b",
        "GET /**/x",
        "GET /a/**/b",
        "GET /a*",
        "GET /*a/b",
        "GET /a***",
        "GET /a?b=c",
        "GET /a#b",
        "GET /a\\b",
        "GET /%61",
        "GET /a%2fb",
        "GET /a%zz",
        "GET /é",
        "GET https://api.test/x",
        "GET ^/x$",
        "GET /[a-z]+",
        "GET /{id}",
    ] {
        let error = Rule::parse(Allow, bad).unwrap_err();
        assert!(!error.problem.is_empty(), "{bad:?}");
    }
    for good in ["GET /x", "GET|HEAD /**", "* /a/*/b/**", "PUT /a%2Fb", "GET /a:b;c", "GET /.*x"] {
        // the last one is a wildcard mixed with other characters
        assert_eq!(Rule::parse(Allow, good).is_ok(), good != "GET /.*x", "{good}");
    }
}

#[test]
fn no_error_repeats_a_rule() {
    for bad in
        ["canary", "canary /x", "GET canary", "GET /canary*", "GET /canary//", "GET /%canary"]
    {
        let error = Rule::parse(Allow, bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[test]
fn the_block_form_allows_its_methods_on_its_path() {
    let policy =
        Policy::new(vec![Rule::from_block("/v1/charges", &["GET", "HEAD"]).unwrap()], false);
    assert_eq!(policy.rules()[0].text(), "GET|HEAD /v1/charges");
    assert_eq!(verdict(&policy, "HEAD", "/v1/charges"), Allow);
    assert_eq!(verdict(&policy, "POST", "/v1/charges"), Deny);
    assert!(Rule::from_block::<&str>("/v1/charges", &[]).is_err());
    assert!(Rule::from_block("/v1 /x", &["GET"]).is_err());
}

// PB-23
#[test]
fn a_rule_that_allows_everything_is_noticed() {
    for (text, everything) in [
        ("* /**", true),
        ("GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS /**", true),
        ("GET /**", false),
        ("* /a/**", false),
        ("* /*", false),
    ] {
        assert_eq!(Policy::new(vec![rule(Allow, text)], false).allows_everything(), everything);
    }
    assert!(!Policy::new(vec![rule(Deny, "* /**")], false).allows_everything());
}

#[test]
fn a_decision_names_its_rule_and_the_request_comes_back() {
    let policy = Policy::new(acme(), false);
    let permit = policy.decide(request("GET", "/public/x")).unwrap();
    assert_eq!(permit.rule(), "GET /public/**");
    assert_eq!(permit.into_request(), request("GET", "/public/x"));

    let (refusal, back) = *policy.decide(request("GET", "/public/secret/x")).unwrap_err();
    assert_eq!(refusal.code, Code::PolicyDenied);
    assert_eq!(refusal.rule.as_deref(), Some("* /public/secret/**"));
    assert_eq!(back, request("GET", "/public/secret/x"));

    let refusal = policy.decide(request("GET", "/public/a/hooks")).unwrap_err().0;
    assert_eq!(refusal.code, Code::ApprovalDenied);
    assert_eq!(refusal.rule.as_deref(), Some("GET|HEAD /public/*/hooks"));

    let explained = policy.explain(&request("GET", "/public/a/hooks"));
    assert_eq!(explained.rule.as_deref(), Some("GET|HEAD /public/*/hooks"));
    assert_eq!(explained.matched.len(), 2, "the allow rule is shown too");
}

// RX-07
#[test]
fn a_hundred_thousand_rules_and_a_long_path_take_no_time_to_speak_of() {
    let mut rules = vec![rule(Allow, "GET /a/*/a/**"); 100_000];
    rules.extend(vec![rule(Allow, &format!("GET {}/b", "/*".repeat(1000))); 100]);
    let policy = Policy::new(rules, false);
    assert_eq!(verdict(&policy, "GET", &format!("/b{}", "/a".repeat(4094))), Deny);
    assert_eq!(verdict(&policy, "GET", &format!("/b{}", "/a".repeat(1000))), Deny);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reading_a_rule_never_panics_and_a_rule_reads_the_same_again(
            text in "([A-Z*|]{0,8} )?(/|[a-z%2-5eEfF*./;:]){0,24}",
        ) {
            if let Ok(rule) = Rule::parse(Deny, &text) {
                prop_assert_eq!(Rule::parse(Deny, rule.text()).unwrap(), rule);
            }
        }

        #[test]
        fn a_literal_rule_allows_exactly_the_path_it_spells(path in "(/[a-z0-9.:%3A-]{1,6}){1,4}/?") {
            let raw = RawRequest { method: "GET".into(), path, ..RawRequest::default() };
            if let Ok(request) = canonicalize(&service(), raw) {
                let allow = rule(Allow, &format!("GET {}", request.path()));
                let deny = rule(Deny, &format!("GET {}", request.path()));
                prop_assert_eq!(Policy::new(vec![allow.clone()], false).explain(&request).verdict, Allow);
                prop_assert_eq!(Policy::new(vec![allow, deny], false).explain(&request).verdict, Deny);
            }
        }

        #[test]
        fn the_index_finds_the_rules_that_asking_each_of_them_finds(
            patterns in prop::collection::vec(
                ("(GET|POST|\\*) (/([abA]|a;b|a%3Bb|\\*)){0,3}(/|/\\*\\*)?", 0..3_usize), 0..12,
            ),
            path in "(/([abcAB]|a;b|a%3Bb|a%3bB)){0,4}/?",
            fold in any::<bool>(),
        ) {
            let rules: Vec<_> = patterns
                .iter()
                .filter_map(|(text, verdict)| Rule::parse([Allow, Ask, Deny][*verdict], text).ok())
                .collect();
            let request = request("GET", if path.is_empty() { "/" } else { &path });
            let subject = Subject::new(request.path(), fold);
            let naive: Vec<_> =
                rules.iter().filter(|rule| rule.matches(request.method(), &subject)).collect();
            let policy = Policy::new(rules.clone(), fold);
            prop_assert_eq!(policy.speaking(&request).collect::<Vec<_>>(), naive);
        }

        #[test]
        fn what_a_rule_would_allow_the_same_rule_denies(
            pattern in "(/([ab]|\\*)){0,3}(/|/\\*\\*)?", path in "(/[ab]){0,4}/?",
        ) {
            let (pattern, path) = (format!("GET {pattern}"), if path.is_empty() { "/".into() } else { path });
            if let Ok(allow) = Rule::parse(Allow, &pattern) {
                let request = request("GET", &path);
                if Policy::new(vec![allow], false).explain(&request).rule.is_some() {
                    let deny = Policy::new(vec![rule(Deny, &pattern)], false);
                    prop_assert!(deny.explain(&request).rule.is_some(), "{} {}", pattern, path);
                }
            }
        }
    }
}

// DE-10
#[test]
fn a_broad_rule_takes_nothing_away_from_what_a_narrow_one_demands_in_any_order() {
    let broad = rule(Ask, "POST /**");
    let strict = Terms {
        reason: true,
        method: AskMethod::Dialog,
        typed: true,
        ttl: Some(std::time::Duration::from_mins(5)),
        ..Terms::default()
    };
    let narrow = rule(Ask, "POST /charges").with_terms(strict.clone());
    for rules in [[broad.clone(), narrow.clone()], [narrow, broad]] {
        let policy = Policy::new(rules.to_vec(), false);
        let judge = |path: &str| match policy.judge(request("POST", path)) {
            Judgement::Asks(awaiting) => (awaiting.rule().to_owned(), awaiting.terms().clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(judge("/charges"), ("POST /charges".to_owned(), strict.clone()));
        assert_eq!(judge("/items"), ("POST /**".to_owned(), Terms::default()));
    }
}
