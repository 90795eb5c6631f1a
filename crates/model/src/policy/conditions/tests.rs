use super::*;
use crate::canonical::{CanonicalRequest, RawRequest, canonicalize};
use crate::code::Code;
use crate::policy::{Foresight, Policy, Rule, Verdict};
use crate::testing::service;

use Verdict::{Allow, Ask, Deny};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn post(content_type: &str, body: &[u8], path: &str) -> CanonicalRequest {
    let raw = RawRequest {
        method: "POST".into(),
        path: path.into(),
        headers: vec![("content-type".into(), content_type.into())],
        body: body.to_vec(),
        ..RawRequest::default()
    };
    canonicalize(&service(), raw).unwrap()
}

fn get(path: &str) -> CanonicalRequest {
    let raw = RawRequest { method: "GET".into(), path: path.into(), ..RawRequest::default() };
    canonicalize(&service(), raw).unwrap()
}

fn rule(verdict: Verdict, conditions: &[Condition]) -> Rule {
    Rule::parse(verdict, "* /x").unwrap().with_conditions(conditions.to_vec())
}

/// Whether a rule with `conditions` allows, and whether it denies what is allowed otherwise.
fn allows_and_denies(conditions: &[Condition], request: &CanonicalRequest) -> (bool, bool) {
    let allow = Policy::new(vec![rule(Allow, conditions)], false);
    let deny = Policy::new(vec![rule(Allow, &[]), rule(Deny, conditions)], false);
    (allow.decide(request.clone()).is_ok(), deny.decide(request.clone()).is_err())
}

const YES: (bool, bool) = (true, true);
const MAYBE: (bool, bool) = (false, true);
const NO: (bool, bool) = (false, false);

#[test]
fn a_field_of_a_json_body_is_judged_by_its_exact_value() {
    for (condition, body, expected) in [
        ("amount <= 5000", r#"{"amount":5000}"#, YES),
        ("amount <= 5000", r#"{"amount":5000.00}"#, YES),
        ("amount <= 5000", r#"{"amount":5e3}"#, YES),
        ("amount <= 5000", r#"{"amount":5001}"#, NO),
        ("amount <= 5000", r#"{"amount":5000.000000000000000000001}"#, MAYBE),
        ("amount < 9007199254740993", r#"{"amount":9007199254740992}"#, MAYBE),
        ("amount <= 5000", r#"{"amount":"5000"}"#, MAYBE),
        ("amount <= 5000", r#"{"amount":[1]}"#, MAYBE),
        ("amount <= 5000", r#"{"amount":null}"#, MAYBE),
        ("amount <= 5000", r"{}", NO),
        ("amount <= 5000", r#"{"amount":1,"Amount":9999}"#, MAYBE),
        ("amount <= 5000", r#"{"Amount":1}"#, MAYBE),
        ("amount <= 5000", r"[]", MAYBE),
        ("amount > 5000", r#"{"amount":1,"\u0061mounts":9999}"#, NO),
        ("amount > 5000", r#"{"\u0061mount":9999}"#, YES),
        ("amount == 5000", r#"{"amount":5.0e3}"#, YES),
        ("amount != 5000", r#"{"amount":1}"#, YES),
        ("amount != 5000", r"{}", MAYBE),
        ("currency in [eur, usd]", r#"{"currency":"usd"}"#, YES),
        ("currency in [eur, usd]", r#"{"currency":"USD"}"#, NO),
        ("currency not in [eur, usd]", r#"{"currency":"gbp"}"#, YES),
        ("currency not in [eur, usd]", r#"{"currency":"eur"}"#, NO),
        ("live == true", r#"{"live":true}"#, YES),
        ("live == true", r#"{"live":"true"}"#, MAYBE),
        ("live == true", r#"{"live":1}"#, MAYBE),
        ("note == null", r#"{"note":null}"#, YES),
        ("note == \"\"", r#"{"note":""}"#, YES),
        ("to.email like *@acme.com", r#"{"to":{"email":"a@acme.com"}}"#, YES),
        ("to.email like *@acme.com", r#"{"to":{"email":"a@acme.com.evil"}}"#, NO),
        ("to.email not like *@acme.com", r#"{"to":{"email":"a@evil"}}"#, YES),
        ("to.email exists", r#"{"to":{"email":1}}"#, YES),
        ("to.email exists", r#"{"to":{}}"#, NO),
        ("to.email exists", r#"{"to":"a"}"#, MAYBE),
        ("to.email absent", r#"{"to":{}}"#, YES),
        ("to absent", r#"{"to":null}"#, MAYBE),
        ("items[*].price < 10", r#"{"items":[{"price":1},{"price":9.99}]}"#, YES),
        ("items[*].price < 10", r#"{"items":[{"price":1},{"price":10}]}"#, MAYBE),
        ("items[*].price < 10", r#"{"items":[{"price":10}]}"#, NO),
        ("items[*].price < 10", r#"{"items":[{"price":1},{}]}"#, MAYBE),
        ("items[*].price < 10", r#"{"items":[]}"#, NO),
        ("items[1].price < 10", r#"{"items":[{"price":99},{"price":1}]}"#, YES),
        ("[*].id == a-1", r#"[{"id":"a-1"}]"#, YES),
        ("\"a.b\" == 1", r#"{"a.b":1}"#, YES),
        ("a<=1", r#"{"a":1}"#, YES),
    ] {
        let condition = Condition::body(condition).unwrap();
        let request = post(JSON, body.as_bytes(), "/x");
        let judged = allows_and_denies(std::slice::from_ref(&condition), &request);
        assert_eq!(judged, expected, "{condition} {body}");
    }
}

#[test]
fn a_field_of_a_form_is_judged_as_one_of_json() {
    for (condition, body, expected) in [
        ("amount <= 5000", "amount=5000&currency=eur", YES),
        ("amount <= 5000", "amount=5000.5", NO),
        ("amount <= 5000", "amount=5e2", MAYBE),
        ("amount <= 5000", "amount=05000", MAYBE),
        ("amount <= 5000", "amount=1&amount=9999", MAYBE),
        ("amount <= 5000", "amount=1&amount=2", YES),
        ("amount <= 5000", "amount=1&amount[]=9999", MAYBE),
        ("amount <= 5000", "amount=1&AMOUNT=9999", MAYBE),
        ("amount <= 5000", "", NO),
        ("amount <= 5000", "amount=1;amount=9999", MAYBE),
        ("amount <= 5000", "{\"amount\":1}", MAYBE),
        ("amount <= 5000", "amount=%zz", MAYBE),
        ("live == true", "live=true", YES),
        ("live == true", "live=1", MAYBE),
        ("metadata.order == a1", "metadata[order]=a1", YES),
        ("metadata.order == a1", "metadata%5Border%5D=a1", YES),
        ("metadata.order == a1", "metadata[order]=a2", NO),
        ("metadata.order == a1", "metadata.order=a1", MAYBE),
        ("name == \"a b\"", "name=a+b", YES),
        ("name absent", "x=1", YES),
    ] {
        let condition = Condition::body(condition).unwrap();
        let request = post(FORM, body.as_bytes(), "/x");
        let judged = allows_and_denies(std::slice::from_ref(&condition), &request);
        assert_eq!(judged, expected, "{condition} {body}");
    }
}

// PB-20
#[test]
fn every_value_of_a_query_key_must_meet_a_condition() {
    for (condition, path, expected) in [
        ("scope == read", "/x?scope=read", YES),
        ("scope == read", "/x?scope=admin", NO),
        ("scope == read", "/x?scope=read&scope=admin", MAYBE),
        ("scope == read", "/x?scope=read&scope=read", YES),
        ("scope == read", "/x?scope=read&scope[]=admin", MAYBE),
        ("scope == read", "/x?scope=read&SCOPE=admin", MAYBE),
        ("scope == read", "/x?scope=read&other=admin", YES),
        ("scope == read", "/x?%73cope=read", YES),
        ("scope == read", "/x?scope=read&a=1;scope=admin", MAYBE),
        ("scope == read", "/x", NO),
        ("limit <= 100", "/x?limit=100", YES),
        ("limit <= 100", "/x?limit=100.0", YES),
        ("limit <= 100", "/x?limit=101", NO),
        ("limit <= 100", "/x?limit=1e1", MAYBE),
        ("limit <= 100", "/x?limit=%31", YES),
        ("limit <= 100", "/x?limit=", MAYBE),
        ("filter[state] in [open, closed]", "/x?filter[state]=open", YES),
        ("filter[state] in [open, closed]", "/x?filter%5Bstate%5D=open", YES),
        ("filter[state] in [open, closed]", "/x?filter[state]=all", NO),
        ("filter[state] in [open, closed]", "/x?filter=all", MAYBE),
        ("\"a b\" exists", "/x?a+b=1", YES),
        ("admin absent", "/x?b=1", YES),
        ("admin absent", "/x?admin=1", NO),
    ] {
        let condition = Condition::query(condition).unwrap();
        let judged = allows_and_denies(std::slice::from_ref(&condition), &get(path));
        assert_eq!(judged, expected, "{condition} {path}");
    }
    let policy =
        Policy::new(vec![rule(Allow, &[Condition::query("scope == read").unwrap()])], false);
    let refusal = policy.decide(get("/x?scope=read&scope=admin")).unwrap_err().0;
    assert_eq!(refusal.code, Code::PolicyDenied);
}

// PB-21
#[test]
fn a_body_that_cannot_be_judged_is_refused_where_it_matters_and_only_there() {
    let padded =
        |n: usize| format!("{{\"pad\":\"{}\",\"amount\":9999}}", "x".repeat(n)).into_bytes();
    let limit = crate::policy::JUDGE_BYTES;
    let conditions = [Condition::body("amount <= 5000").unwrap()];
    let strict = Policy::new(vec![rule(Allow, &conditions)], false);
    let denying = Policy::new(
        vec![rule(Allow, &[]), rule(Deny, &[Condition::body("amount > 5000").unwrap()])],
        false,
    );
    let indifferent = Policy::new(vec![rule(Allow, &[]), rule(Allow, &conditions)], false);
    let code = |policy: &Policy, content_type: &str, body: &[u8]| {
        let denied = policy.decide(post(content_type, body, "/x")).err();
        denied.map(|denied| denied.0.code)
    };
    // Within the limit the field behind the padding is found.
    assert_eq!(code(&strict, JSON, &padded(limit - 100)), Some(Code::PolicyDenied));
    assert_eq!(code(&denying, JSON, &padded(limit - 100)), Some(Code::PolicyDenied));
    for (content_type, body) in [
        (JSON, padded(limit)),
        (JSON, br#"{"amount":1,"amount":2}"#.to_vec()),
        (JSON, br#"{"amount":1,"\u0061mount":2}"#.to_vec()),
        (JSON, b"\xef\xbb\xbf{\"amount\":1}".to_vec()),
        (JSON, b"{\"amount\":NaN}".to_vec()),
        (JSON, b"{amount:1}".to_vec()),
        (JSON, b"{\"amount\":1,}".to_vec()),
        (JSON, b"{\"amount\":1}//".to_vec()),
        (JSON, b"{\"amount\":0x1}".to_vec()),
        (JSON, b"amount=1".to_vec()),
        (JSON, format!("[{}1]", "1,".repeat(1 << 17)).into_bytes()),
        (JSON, "[".repeat(200).into_bytes()),
        ("application/json; charset=utf-16", br#"{"amount":1}"#.to_vec()),
        ("text/plain", br#"{"amount":1}"#.to_vec()),
        ("application/json5", br#"{"amount":1}"#.to_vec()),
        (FORM, br#"{"amount":1}"#.to_vec()),
        ("multipart/form-data; boundary=x", b"--x--".to_vec()),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let invalid = Some(Code::InvalidRequest);
        assert_eq!(code(&strict, content_type, &body), invalid, "{content_type} {shown}");
        assert_eq!(code(&denying, content_type, &body), invalid, "{content_type} {shown}");
        assert_eq!(code(&indifferent, content_type, &body), None, "{content_type} {shown}");
    }
    assert_eq!(code(&strict, JSON, br#"{"amount":1}"#), None);
    assert_eq!(code(&denying, JSON, br#"{"amount":1}"#), None);
    let small = strict.with_judge_bytes(8);
    assert_eq!(code(&small, JSON, br#"{"amount":1}"#), Some(Code::InvalidRequest));
}

#[test]
fn a_rule_that_asks_applies_to_what_may_be_meant() {
    let conditions = [Condition::body("amount > 5000").unwrap()];
    let policy = Policy::new(vec![rule(Allow, &[]), rule(Ask, &conditions)], false);
    for (body, verdict) in [
        (r#"{"amount":1}"#, Allow),
        (r#"{"amount":5001}"#, Ask),
        (r#"{"amount":"5001"}"#, Ask),
        (r#"{"amount":1,"amount":1}"#, Ask),
        ("{}", Allow),
    ] {
        assert_eq!(policy.explain(&post(JSON, body.as_bytes(), "/x")).verdict, verdict, "{body}");
    }
}

#[test]
fn the_type_that_the_service_sends_is_the_one_that_is_judged() {
    let mut service = service();
    service.fixed_headers = vec![("content-type".into(), FORM.into())];
    let raw = RawRequest {
        method: "POST".into(),
        path: "/x".into(),
        headers: vec![("content-type".into(), JSON.into())],
        body: br#"{"amount":1}"#.to_vec(),
        ..RawRequest::default()
    };
    let conditions = [Condition::body("amount <= 5000").unwrap()];
    let request = canonicalize(&service, raw.clone()).unwrap();
    assert_eq!(allows_and_denies(&conditions, &request), MAYBE);
    service.fixed_headers = vec![("content-encoding".into(), "gzip".into())];
    let request = canonicalize(&service, raw.clone()).unwrap();
    assert_eq!(allows_and_denies(&conditions, &request), MAYBE);
    service.fixed_headers = Vec::new();
    assert_eq!(allows_and_denies(&conditions, &canonicalize(&service, raw).unwrap()), YES);
}

#[test]
fn a_body_that_is_sent_unseen_is_never_certain_but_for_its_size() {
    let raw = RawRequest {
        method: "POST".into(),
        path: "/x".into(),
        headers: vec![("content-type".into(), JSON.into())],
        unseen: Some(5 << 20),
        ..RawRequest::default()
    };
    let request = canonicalize(&service(), raw).unwrap();
    let body = Condition::body("amount absent").unwrap();
    assert_eq!(allows_and_denies(&[body], &request), MAYBE);
    for (size, expected) in [("10MiB", YES), ("1MiB", NO), ("> 1MiB", YES)] {
        let size = Condition::body_size(size).unwrap();
        assert_eq!(allows_and_denies(&[size], &request), expected);
    }
}

#[test]
fn graphql_and_json_rpc_are_conditions_too() {
    let graphql = Condition::graphql(&["query", "mutation createIssue"]).unwrap();
    let rpc = Condition::jsonrpc(&["eth_get*", "eth_call"]).unwrap();
    for (condition, body, expected) in [
        (&graphql, r#"{"query":"{ viewer { id } }"}"#, YES),
        (&graphql, r#"{"query":"mutation { a: deleteIssue(id: 1) }"}"#, NO),
        (&graphql, r#"{"query":"mutation { createIssue deleteIssue }"}"#, MAYBE),
        (&graphql, r#"{"query":"query A { a } mutation B { b }"}"#, MAYBE),
        (&graphql, r#"{"query":1}"#, MAYBE),
        (&rpc, r#"{"jsonrpc":"2.0","method":"eth_getBalance"}"#, YES),
        (&rpc, r#"[{"method":"eth_call"},{"method":"eth_getCode"}]"#, YES),
        (&rpc, r#"[{"method":"eth_call"},{"method":"eth_sendTransaction"}]"#, MAYBE),
        (&rpc, r#"{"method":"eth_sendTransaction"}"#, NO),
        (&rpc, "[]", MAYBE),
    ] {
        let request = post(JSON, body.as_bytes(), "/x");
        assert_eq!(
            allows_and_denies(std::slice::from_ref(condition), &request),
            expected,
            "{body}"
        );
    }
    let path = "/x?query=%7Bviewer%7Bid%7D%7D";
    assert_eq!(allows_and_denies(std::slice::from_ref(&graphql), &get(path)), YES);
    assert_eq!(
        allows_and_denies(std::slice::from_ref(&graphql), &get("/x?query=mutation%7Bb%7D")),
        NO
    );
    assert_eq!(allows_and_denies(&[graphql], &get("/x?query=%7Ba%7D&query=%7Bb%7D")), MAYBE);
}

#[test]
fn a_rule_applies_where_all_its_conditions_are_met() {
    let conditions =
        [Condition::body("amount <= 5000").unwrap(), Condition::query("test == 1").unwrap()];
    for (path, body, expected) in [
        ("/x?test=1", r#"{"amount":1}"#, YES),
        ("/x?test=2", r#"{"amount":1}"#, NO),
        ("/x?test=1&test=2", r#"{"amount":1}"#, MAYBE),
        ("/x?test=2", r#"{"amount":"1"}"#, NO),
    ] {
        let request = post(JSON, body.as_bytes(), path);
        assert_eq!(allows_and_denies(&conditions, &request), expected, "{path} {body}");
    }
}

#[test]
fn a_condition_reads_the_same_again() {
    for (text, words) in [
        ("amount<=5000", "amount <= 5000"),
        (
            "currency in [eur,usd , \"a b\",true, 1.50]",
            "currency in [eur, usd, \"a b\", true, 1.50]",
        ),
        ("a.\"b c\"[0][*] not like \"x*\"", "a.\"b c\"[0][*] not like x*"),
        ("name == \"x*\"", "name == \"x*\""),
        ("name == \"true\"", "name == \"true\""),
        ("name == \"5\"", "name == \"5\""),
        ("[*].id exists", "[*].id exists"),
    ] {
        let condition = Condition::body(text).unwrap();
        assert_eq!(condition.to_string(), words);
        assert_eq!(Condition::body(words).unwrap(), condition);
    }
    assert_eq!(Condition::query("filter[a] != b").unwrap().to_string(), "?filter[a] != b");
    assert_eq!(Condition::query("\"a b\"==1").unwrap().to_string(), "?\"a b\" == 1");
}

#[test]
fn what_is_no_condition_is_named_and_never_repeated() {
    for bad in [
        "",
        "canary",
        "canary = 1",
        "canary === 1",
        "== canary",
        "canary == ",
        "canary < canary",
        "canary <= \"5\"",
        "canary in canary",
        "canary in []",
        "canary in [canary",
        "canary in [canary canary]",
        "canary == canary*",
        "canary == 01canary",
        "canary == 2026-01-01",
        "canary exists canary",
        "canary not exists",
        "canary notin [1]",
        "canary[ == 1",
        "canary[-1] == 1",
        "canary[+1] == 1",
        "canary..b == 1",
        ".canary == 1",
        "canary == \"canary",
        "canary == \"\\q\"",
        "can\u{e9}ry == 1",
        &format!("canary == {}", "1".repeat(2000)),
        &format!("canary{} == 1", ".a".repeat(40)),
    ] {
        let error = Condition::body(bad).unwrap_err();
        assert!(!format!("{} {error:?}", error.problem).contains("canary"), "{bad}: {error:?}");
    }
    for bad in ["", "canary", "canary canary == 1", "canary == ["] {
        let error = Condition::query(bad).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{bad}: {error:?}");
    }
    assert!(Condition::graphql(&[]).is_err() && Condition::jsonrpc(&[]).is_err());
    assert!(Condition::jsonrpc(&["a b"]).is_err());
}

#[test]
fn an_explanation_says_which_condition_is_not_met() {
    let conditions =
        [Condition::body("currency in [eur]").unwrap(), Condition::body("amount <= 5000").unwrap()];
    let policy = Policy::new(vec![rule(Allow, &conditions)], false);
    let explained = policy.explain(&post(JSON, br#"{"currency":"eur","amount":9}"#, "/x"));
    let text = "* /x where currency in [eur] and amount <= 5000";
    assert_eq!((explained.verdict, explained.rule.as_deref()), (Allow, Some(text)));
    let explained = policy.explain(&post(JSON, br#"{"currency":"eur","amount":9999}"#, "/x"));
    assert_eq!((explained.verdict, explained.rule), (Deny, None));
    assert_eq!(explained.unmet[0].rule, text);
    assert_eq!(explained.unmet[0].condition, "amount <= 5000");
    let explained = policy.explain(&post(JSON, b"{", "/x"));
    assert_eq!(explained.flaw, Some("the body says that it is JSON and is not"));
}

#[test]
fn what_depends_on_more_than_method_and_path_is_not_foreseen() {
    let big = [Condition::body("amount > 5000").unwrap()];
    let foresee = |rules: Vec<Rule>, known: Option<bool>| {
        let policy = Policy::new(rules, false);
        match policy.foresee(&post(JSON, b"{}", "/x"), |_| known) {
            Foresight::Certain(verdict, rule) => {
                Some((verdict, rule.map(|rule| rule.text().to_owned())))
            }
            Foresight::Depends => None,
        }
    };
    let certain = |verdict, rule: Option<&str>| Some((verdict, rule.map(str::to_owned)));
    let text = "* /x where amount > 5000";
    for (rules, met, expected) in [
        (vec![], None, certain(Deny, None)),
        (vec![rule(Allow, &[])], None, certain(Allow, Some("* /x"))),
        (vec![rule(Allow, &big)], None, None),
        (vec![rule(Allow, &big)], Some(true), certain(Allow, Some(text))),
        (vec![rule(Allow, &big)], Some(false), certain(Deny, None)),
        (vec![rule(Allow, &[]), rule(Deny, &big)], Some(false), certain(Allow, Some("* /x"))),
        (vec![rule(Deny, &big)], None, certain(Deny, None)),
        (vec![rule(Allow, &[]), rule(Allow, &big)], None, certain(Allow, Some("* /x"))),
        (vec![rule(Allow, &[]), rule(Deny, &big)], None, None),
        (vec![rule(Ask, &[]), rule(Allow, &big)], None, certain(Ask, Some("* /x"))),
        (vec![rule(Deny, &[]), rule(Ask, &big)], None, certain(Deny, Some("* /x"))),
    ] {
        assert_eq!(foresee(rules.clone(), met), expected, "{rules:?}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_reading_a_condition_panic(text in "[a-c.\\[\\]*0-9<>=! \"\\\\é,in]{0,24}") {
            for condition in [Condition::body(&text), Condition::query(&text)].into_iter().flatten() {
                let words = condition.to_string();
                let again = match words.strip_prefix('?') {
                    Some(words) => Condition::query(words),
                    None => Condition::body(&words),
                };
                prop_assert_eq!(again, Ok(condition));
            }
        }

        #[test]
        fn no_body_makes_judging_panic_and_what_would_be_allowed_is_denied(
            body in "[{}\\[\\]\":,a-c0-9.e=&%;-]{0,40}",
            condition in prop_oneof![
                Just("a <= 5"), Just("a == 5"), Just("a != b"), Just("a.b in [b, 1]"),
                Just("a[*] like b*"), Just("a exists"), Just("a absent"), Just("[*].a > 1"),
            ],
            form in any::<bool>(),
        ) {
            let condition = Condition::body(condition).unwrap();
            let request = post(if form { FORM } else { JSON }, body.as_bytes(), "/x");
            let (allows, denies) = allows_and_denies(&[condition], &request);
            prop_assert!(denies || !allows);
        }

        #[test]
        fn an_amount_is_allowed_if_and_only_if_it_is_small_enough(amount in any::<i64>(), most in any::<i32>()) {
            let conditions = [Condition::body(&format!("amount <= {most}")).unwrap()];
            let body = format!("{{\"amount\":{amount}}}");
            let allowed = allows_and_denies(&conditions, &post(JSON, body.as_bytes(), "/x")).0;
            prop_assert_eq!(allowed, amount <= i64::from(most));
            let body = format!("amount={amount}");
            let allowed = allows_and_denies(&conditions, &post(FORM, body.as_bytes(), "/x")).0;
            prop_assert_eq!(allowed, amount <= i64::from(most));
        }
    }
}
