//! What is not asked at all.

use serde_json::{Value, json};

use crate::rig::{ended, program};

fn refused(arguments: &[&str], variables: &[(&str, String)], template: &str) -> String {
    let ended = ended(program(arguments, variables, template));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.starts_with("strongroom-dialog: "), "{ended:?}");
    assert!(!ended.stderr.contains("canary"), "{ended:?}");
    ended.stderr
}

fn fields(fields: &[Value]) -> String {
    json!({"title": "T", "fields": fields}).to_string()
}

// DE-05, DE-11
#[test]
fn a_template_that_is_none_ends_with_two_and_one_line_that_quotes_nothing() {
    let many: Vec<Value> = (0..1_000).map(|at| json!({"name": format!("canary{at}")})).collect();
    let big = "canary".repeat(200_000);
    for (template, word) in [
        (String::new(), "(json)"),
        ("canary".to_owned(), "(json)"),
        ("[]".to_owned(), "(shape)"),
        (r#"{"title":"T","fields":[{"name":"a"}]} canary"#.to_owned(), "(json)"),
        (r#"{"title":"T","canary":1,"fields":[{"name":"a"}]}"#.to_owned(), "(shape)"),
        (fields(&many), "(too_many_fields)"),
        (fields(&[]), "(no_fields)"),
        (fields(&[json!({"name": "a", "label": big})]), "(field_too_long)"),
        (fields(&[json!({"name": "canary"}), json!({"name": "canary"})]), "(duplicate)"),
        (fields(&[json!({"name": "__proto__"})]), "(reserved)"),
        (fields(&[json!({"name": "__secret_index__"})]), "(reserved)"),
        (
            fields(&[json!({"name": "a", "field_type": "password", "default": "canary"})]),
            "(default)",
        ),
        (" ".repeat(9 << 20), "(too_large)"),
    ] {
        let line = refused(&[], &[], &template);
        assert!(line.trim().ends_with(word), "{word}: {line}");
    }
}

#[test]
fn without_a_display_it_says_so() {
    let template = r#"{"title":"T","fields":[{"name":"a"}]}"#;
    let nowhere = [("DISPLAY", ":65000".to_owned())];
    for variables in [[].as_slice(), &nowhere] {
        let line = refused(&[], variables, template);
        assert_eq!(line, "strongroom-dialog: there is no display to show a window on\n");
    }
}

// DE-05
#[test]
fn arguments_are_not_options_of_the_desktop() {
    for words in
        [["--display=:1"].as_slice(), &["--gtk-debug=canary"], &["canary"], &["--help", "x"]]
    {
        let line = refused(words, &[], "");
        assert!(line.contains("--help"), "{line}");
    }
    for (word, said) in [("--help", "Exit codes"), ("--version", "strongroom-dialog ")] {
        let ended = ended(program(&[word], &[], ""));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains(said));
    }
}
