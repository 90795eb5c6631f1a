use std::fmt::Write as _;

use super::*;

fn operation(text: &str, name: Option<&str>) -> Option<(&'static str, String)> {
    let operation = document::operation(text, name).ok()?;
    Some((operation.kind.as_str(), operation.fields.join(" ")))
}

#[test]
fn the_kind_and_the_top_level_fields_are_found() {
    for (text, kind, fields) in [
        ("{ viewer { id } }", "query", "viewer"),
        ("query { a b: c(x: {y: [1, \"}\"]}) @skip(if: $d) { e } }", "query", "a c"),
        (
            "mutation Q($a: [Int!]! = [1] @x(y: 2)) @live { safe: deleteUser(id: 1) }",
            "mutation",
            "deleteUser",
        ),
        ("subscription S { s }", "subscription", "s"),
        ("# mutation { x }\rquery,,, { a # }\n b }", "query", "a b"),
        ("{ a(x: \"\"\"} \\\"\"\" { b \"\"\") }", "query", "a"),
        ("{ a(x: \"\\\"} b \\\\\") c }", "query", "a c"),
        (
            "query { ...F ...F } fragment F on Query { a ... on Query @x { b ... { c } } ...G } fragment G on Query { d ...F }",
            "query",
            "a b c d",
        ),
        ("{ query mutation on: fragment }", "query", "fragment mutation query"),
        ("{ ...on }", "", ""),
        ("{ __typename }", "query", "__typename"),
    ] {
        let expected = (!kind.is_empty()).then(|| (kind, fields.to_owned()));
        assert_eq!(operation(text, None), expected, "{text}");
    }
}

#[test]
fn which_operation_is_meant_is_clear_or_nothing_is_judged() {
    let two = "query A { a } mutation B { b }";
    assert_eq!(operation(two, Some("A")), Some(("query", "a".into())));
    assert_eq!(operation(two, Some("B")), Some(("mutation", "b".into())));
    assert_eq!(operation(two, None), None);
    assert_eq!(operation(two, Some("C")), None);
    assert_eq!(operation("query A { a }", None), Some(("query", "a".into())));
    assert_eq!(operation("query A { a }", Some("a")), None);
    for bad in [
        "",
        "query",
        "{}",
        "{",
        "{ a } { b }",
        "{ a } mutation M { b }",
        "query A { a } mutation A { b }",
        "{ ...F }",
        "{ ...F } fragment F on Q { a } fragment F on Q { b }",
        "fragment F on Q { a }",
        "fragment on on Q { a } { ...F }",
        "{ a ] }",
        "{ a( }) }",
        "{ a(x: \"\n\") }",
        "{ a(x: \"\"\"\") }",
        "{ a(x: 01) }",
        "{ a(x: 1a) }",
        "{ a. }",
        "{ a .. F }",
        "{ a: }",
        "{ a: $b }",
        "{ $a }",
        "type T { a: Int }",
        "extend type T { a: Int }",
        "{ a } schema { query: Q }",
        "\"about\" { a }",
        "\u{feff}{ a }",
        "{ a\u{a0}b }",
        "{ é }",
        "{ a # \u{2028} b\n }",
        "{ a # \u{b} b\n }",
    ] {
        assert_eq!(operation(bad, None), None, "{bad}");
    }
}

#[test]
fn nesting_ends_at_the_cap() {
    let deep = |n: usize| format!("{{ a {} }}", "{ b ".repeat(n) + &"}".repeat(n));
    assert!(operation(&deep(100), None).is_some());
    assert!(operation(&deep(100_000), None).is_none());
    let inline = |n: usize| format!("{{ {} a {} }}", "... { ".repeat(n), "}".repeat(n));
    assert!(operation(&inline(20), None).is_some());
    assert!(operation(&inline(100_000), None).is_none());
    let mut chain = "{ ...F0 }".to_owned();
    for n in 0..1000 {
        write!(chain, " fragment F{n} on Q {{ ...F{} }}", n + 1).unwrap();
    }
    assert!(operation(&chain, None).is_none());
}

fn judged(patterns: &[&str], body: &str, query: &[(&str, &str)]) -> Option<Truth> {
    let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let pairs = query.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let query = Pairs::new(pairs.collect());
    let operations = match body {
        "" => in_query(&query),
        _ => in_body(&Json::read(body.as_bytes(), 16, 1000).unwrap(), &query),
    };
    operations.ok().map(|operations| judge(&patterns, &operations))
}

#[test]
fn every_field_is_of_the_rule_or_it_is_not_certain() {
    let read = ["query", "mutation createIssue|update*"];
    for (document, expected) in [
        ("{ a b }", Truth::Yes),
        ("mutation { createIssue(x: 1) { id } updateIssue }", Truth::Yes),
        ("mutation { deleteIssue }", Truth::No),
        ("mutation { createIssue: deleteIssue }", Truth::No),
        ("mutation { createIssue deleteIssue }", Truth::Maybe),
        ("subscription { a }", Truth::No),
    ] {
        let body = format!("{{\"query\":\"{document}\"}}");
        assert_eq!(judged(&read, &body, &[]), Some(expected), "{document}");
        assert_eq!(judged(&read, "", &[("query", document)]), Some(expected), "{document}");
    }
    let batch = r#"[{"query":"{ a }"},{"query":"mutation { deleteIssue }"}]"#;
    assert_eq!(judged(&read, batch, &[]), Some(Truth::Maybe));
}

#[test]
fn a_request_that_says_it_in_two_ways_is_not_judged() {
    let plain = r#"{"query":"{ a }","variables":{"x":1},"operationName":null,"extensions":{}}"#;
    assert_eq!(judged(&["query"], plain, &[]), Some(Truth::Yes));
    assert_eq!(judged(&["query"], plain, &[("utm", "1")]), Some(Truth::Yes));
    for name in ["query", "Query", "query[]", "operationName", "operationname", "id"] {
        assert_eq!(judged(&["query"], plain, &[(name, "mutation { b }")]), None, "{name}");
    }
    for bad in [
        r#"{"variables":{}}"#,
        r#"{"query":null}"#,
        r#"{"query":["{ a }"]}"#,
        r#"{"query":"{ a }","Query":"mutation { b }"}"#,
        r#"{"query":"{ a }","OperationName":"B"}"#,
        r#"{"query":"{ a }","operationName":1}"#,
        r#"{"query":"{ a }","documentId":"x"}"#,
        r#"{"query":"{ a }","extensions":{"persistedQuery":{"sha256Hash":"x"}}}"#,
        r#"{"query":"{ a }","extensions":{"PersistedQuery":1}}"#,
        r#"{"query":"{ a }","variables":[1]}"#,
        "[]",
        "[[]]",
        "1",
    ] {
        assert_eq!(judged(&["query"], bad, &[]), None, "{bad}");
    }
    for bad in [
        &[("query", "{ a }"), ("query", "{ b }")][..],
        &[("query", "{ a }"), ("extensions", "{\"persistedQuery\":1}")],
        &[("query", "{ a }"), ("id", "1")],
        &[("variables", "{}")],
    ] {
        assert_eq!(judged(&["query"], "", bad), None, "{bad:?}");
    }
}

#[test]
fn a_pattern_is_a_kind_and_fields() {
    for good in ["query", "query a|b_*", "mutation *", "subscription x"] {
        assert_eq!(Pattern::parse(good).unwrap().to_string(), good);
    }
    for bad in
        ["", "canary", "Query", "query a b", "query a||b", "query a-b", "query |a", "query {a}"]
    {
        let error = Pattern::parse(bad).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"));
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_document_makes_it_panic(text in "[{}()\\[\\]\":.#@$a-c \\n\\\\…]{0,80}") {
            let _ = document::operation(&text, None);
        }

        #[test]
        fn comments_commas_and_blanks_mean_nothing(fields in prop::collection::vec("[a-z]{1,5}", 1..5), gap in "([ ,\\n\\t]|#[a-z{}]{0,4}\\n){1,4}") {
            let text = format!("mutation{gap}{{{gap}{}{gap}}}", fields.join(&gap));
            let mut fields = fields;
            fields.sort();
            fields.dedup();
            prop_assert_eq!(operation(&text, None), Some(("mutation", fields.join(" "))));
        }
    }
}
