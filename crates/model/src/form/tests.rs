use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Form, FormError> {
    Form::read(text.as_bytes())
}

/// A template whose only field has these members.
fn one(field: &str) -> Result<Form, FormError> {
    read(&format!(r#"{{"title":"T","fields":[{{{field}}}]}}"#))
}

fn field(field_type: FieldType, required: bool) -> Field {
    Field { name: "n".into(), field_type, required, ..Field::default() }
}

#[test]
fn the_template_of_the_documentation_is_read() {
    let form = read(
        r#"{ "title": "MCP Secrets for MyServer",
             "description": "Verification Code: AB3F-9K2L\n\nConfirm this code matches.",
             "fields": [ { "name": "api_key", "label": "API Key", "field_type": "password",
                           "required": true, "default": "", "placeholder": "",
                           "help_text": "Your secret API key" } ] }"#,
    )
    .unwrap();
    assert_eq!(form.kind, Kind::Fields);
    assert_eq!(form.verification_code(), Some("AB3F-9K2L"));
    assert_eq!(form.shown_description(), "Confirm this code matches.");
    let field = &form.fields[0];
    assert_eq!((field.name.as_str(), field.field_type), ("api_key", FieldType::Password));
    assert!(field.required && field.default.is_empty());
}

#[test]
fn what_is_left_out_has_its_default() {
    let form = one(r#""name":"user""#).unwrap();
    assert_eq!(form.fields[0].field_type, FieldType::Text);
    assert!(!form.fields[0].required);
    assert_eq!(form.fields[0].shown_label(), "user", "a field without a label shows its name");
    let consent = read(r#"{"title":"T","kind":"consent"}"#).unwrap();
    assert_eq!((consent.kind, consent.fields.len()), (Kind::Consent, 0));
}

// DE-11
#[test]
fn what_is_not_exactly_a_template_is_refused_and_never_quoted() {
    for text in [
        "",
        "canary",
        "[]",
        "null",
        r#"{"title":"T","fields":[{"name":"a"}]} canary"#,
        r#"{"title":"T","title":"canary","fields":[{"name":"a"}]}"#,
        r#"{"title":"T","canary":1,"fields":[{"name":"a"}]}"#,
        r#"{"title":null,"fields":[{"name":"a"}]}"#,
        r#"{"title":"T","fields":"canary"}"#,
        r#"{"title":"T","kind":"canary","fields":[{"name":"a"}]}"#,
        r#"{"title":"T","kind":"Consent"}"#,
        r#"{"fields":[{"name":"a"}]}"#,
        r#"{"title":" ","fields":[{"name":"a"}]}"#,
        r#"{"title":"T"}"#,
        r#"{"title":"T","fields":[]}"#,
        r#"{"title":"T","kind":"consent","fields":[{"name":"a"}]}"#,
        "{\"title\":\"T\\ud800\",\"fields\":[{\"name\":\"a\"}]}",
    ] {
        let error = read(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        assert!(!error.as_str().is_empty());
    }
    for field in [
        r#""label":"canary""#,
        r#""name":"a","canary":"x""#,
        r#""name":"a","required":"canary""#,
        r#""name":"a","field_type":"canary""#,
        r#""name":"a","field_type":"PASSWORD""#,
        r#""name":"a","default":["canary"]"#,
    ] {
        let error = one(field).unwrap_err();
        assert_eq!(error.as_str(), "shape", "{field}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

// DE-11
#[test]
fn names_that_mean_something_else_hide_something_or_stand_twice_are_refused() {
    for (name, word) in [
        ("__secret_index__", "reserved"),
        ("__proto__", "reserved"),
        ("__PROTO__", "reserved"),
        ("__anything", "reserved"),
        ("constructor", "reserved"),
        ("Prototype", "reserved"),
        ("", "name"),
        (" api_key", "name"),
        ("api\\nkey", "name"),
        ("api\\u202ekey", "name"),
        ("api\\u200bkey", "name"),
        ("api\\u0000key", "name"),
    ] {
        let error = one(&format!(r#""name":"{name}""#)).unwrap_err();
        assert_eq!(error.as_str(), word, "{name}");
    }
    for name in ["api_key", "API-KEY", "_x", "proto", "Schlüssel", "a b", "a.b/c:d"] {
        assert!(one(&format!(r#""name":"{name}""#)).is_ok(), "{name}");
    }
    let twice = |second: &str| {
        read(&format!(r#"{{"title":"T","fields":[{{"name":"a"}},{{"name":"{second}"}}]}}"#))
    };
    assert_eq!(twice("a"), Err(FormError::Duplicate(2)));
    assert_eq!(twice("A"), Err(FormError::Duplicate(2)));
    assert!(twice("b").is_ok());
}

// DE-11
#[test]
fn limits_are_held_exactly() {
    let named = |count: usize| -> Vec<Field> {
        (0..count).map(|at| Field { name: format!("f{at}"), ..Field::default() }).collect()
    };
    let with = |fields| Form { title: "T".into(), fields, ..Form::default() };
    assert_eq!(with(named(FIELDS)).check(), Ok(()));
    assert_eq!(with(named(FIELDS + 1)).check(), Err(FormError::TooManyFields));
    assert_eq!(with(named(1_000)).check(), Err(FormError::TooManyFields));
    for set in [
        (|field, text| Field { label: text, ..field }) as fn(Field, String) -> Field,
        |field, text| Field { default: text, ..field },
        |field, text| Field { placeholder: text, ..field },
        |field, text| Field { help_text: text, ..field },
    ] {
        let field = field(FieldType::Text, false);
        let long = |bytes| with(vec![set(field.clone(), "x".repeat(bytes))]).check();
        assert_eq!(long(LABEL), Ok(()));
        assert_eq!(long(LABEL + 1), Err(FormError::FieldTooLong(1)));
        assert_eq!(long(1 << 20), Err(FormError::FieldTooLong(1)));
    }
    let named = |bytes| one(&format!(r#""name":"{}""#, "n".repeat(bytes)));
    assert!(named(NAME).is_ok());
    assert_eq!(named(NAME + 1), Err(FormError::Name(1)));
    let described =
        |bytes| Form { description: "x".repeat(bytes), ..with(named(1).unwrap().fields) };
    assert_eq!(described(DESCRIPTION).check(), Ok(()));
    assert_eq!(described(DESCRIPTION + 1).check(), Err(FormError::TextTooLong));
    assert_eq!(Form::read(&vec![b' '; TEMPLATE + 1]), Err(FormError::TooLarge));
}

#[test]
fn a_password_is_never_filled_in_already() {
    assert_eq!(
        one(r#""name":"a","field_type":"password","default":"x""#),
        Err(FormError::Default(1))
    );
    assert!(one(r#""name":"a","field_type":"password","default":"""#).is_ok());
    assert!(one(r#""name":"a","field_type":"text","default":"x""#).is_ok());
}

#[test]
fn only_a_whole_line_states_a_code_and_only_one_may() {
    let of = |description: &str| Form {
        title: "T".into(),
        description: description.into(),
        kind: Kind::Consent,
        fields: Vec::new(),
    };
    assert_eq!(of("a\nVerification Code: AB3F-9K2L\nb").verification_code(), Some("AB3F-9K2L"));
    for none in [
        "Verification Code: AB3F-9K2",
        "Verification Code: ab3f-9k2l",
        " Verification Code: AB3F-9K2L",
        "Verification Code: AB3F-9K2L ",
        "| Verification Code: AB3F-9K2L",
        "Verification Code: AB3F9-K2L",
    ] {
        assert_eq!(of(none).verification_code(), None, "{none}");
        assert_eq!(of(none).shown_description(), none);
    }
    let two = of("Verification Code: AB3F-9K2L\nVerification Code: CCCC-CCCC");
    assert_eq!(two.check(), Err(FormError::Codes));
}

// DE-05
#[test]
fn hostile_text_is_shown_as_it_is_written() {
    assert_eq!(visible("<b>x</b> &amp; %s _y\nz"), "<b>x</b> &amp; %s _y\nz");
    assert_eq!(
        visible("a\u{202e}b\u{1b}[2J\r\nc\u{e0041}"),
        "a\\u{202e}b\\u{1b}[2J\\u{d}\nc\\u{e0041}"
    );
    assert_eq!(visible_line("a\nb"), "a\\u{a}b");
}

#[test]
fn a_required_field_wants_an_answer_and_another_does_not() {
    for kind in [FieldType::Text, FieldType::Password, FieldType::Url, FieldType::Email] {
        assert_eq!(field(kind, true).check(""), Err(Wrong::Missing));
        assert_eq!(field(kind, true).check(" \t"), Err(Wrong::Missing));
        assert_eq!(field(kind, false).check(""), Ok(()));
    }
    assert_eq!(field(FieldType::Password, true).check(" x "), Ok(()));
}

#[test]
fn an_answer_has_at_most_64_kib() {
    for kind in [FieldType::Text, FieldType::Password] {
        assert_eq!(field(kind, true).check(&"x".repeat(ANSWER)), Ok(()));
        assert_eq!(field(kind, true).check(&"x".repeat(ANSWER + 1)), Err(Wrong::TooLong));
    }
}

#[test]
fn an_address_has_a_scheme_and_a_host() {
    let check = |text: &str| field(FieldType::Url, false).check(text);
    for good in [
        "https://api.example.com",
        "http://localhost:8080/x?y=z#f",
        "https://[::1]:8443/",
        "postgres://user:p%40ss@db.internal:5432/name",
        "https://bücher.example/ü",
        "wss://a.b/c",
        "https://example.com.",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "x",
        " ",
        "api.example.com",
        "https://",
        "https:///path",
        "https:/example.com",
        "://example.com",
        "1http://example.com",
        "https://exa mple.com",
        "https://example.com ",
        " https://example.com",
        "https://example.com/\u{202e}x",
        "https://example.com\n",
        "https://-a.com",
        "https://a..b",
        "https://a:0",
        "https://a:65536",
        "https://a:",
        "https://a:+1",
        "https://[::1",
        "https://[x]",
        "javascript:alert(1)",
    ] {
        assert_eq!(check(bad), Err(Wrong::Url), "{bad}");
    }
}

#[test]
fn an_email_address_has_a_name_and_a_host() {
    let check = |text: &str| field(FieldType::Email, false).check(text);
    for good in ["a@b.c", "first.last+tag@example.com", "root@localhost", "ü@bücher.example"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "x",
        "@b.c",
        "a@",
        "a@b@c",
        "a b@c.d",
        "a@b c",
        "a@.c",
        "a@b..c",
        ".a@b.c",
        "a.@b.c",
        "a..b@c.d",
        "<a@b.c>",
        "a,b@c.d",
        "a@b.c\n",
        "a\u{200b}@b.c",
    ] {
        assert_eq!(check(bad), Err(Wrong::Email), "{bad}");
    }
    assert_eq!(check(&format!("{}@b.c", "a".repeat(65))), Err(Wrong::Email));
}

#[test]
fn only_the_exact_answers_allow() {
    for choice in [Choice::Allow, Choice::AllowSession, Choice::Deny] {
        assert_eq!(Choice::of(choice.as_str()), choice);
        assert_eq!(Choice::read(choice.to_json().as_bytes()), choice);
    }
    assert_eq!(Choice::read(b"{\"answer\":\"allow\"}\n"), Choice::Allow);
    for word in ["", "Allow", "ALLOW", "allow ", " allow", "allow\n", "yes", "DENY ", "allow_once"]
    {
        assert_eq!(Choice::of(word), Choice::Deny, "{word:?}");
    }
    for bytes in [
        "",
        "allow",
        "\"allow\"",
        "[\"allow\"]",
        r#"{"answer":["allow"]}"#,
        r#"{"answer":"allow","answer":"allow"}"#,
        r#"{"answer":"deny","x":"allow"}"#,
        r#"{"answer":"allow","x":1}"#,
        r#"{"Answer":"allow"}"#,
        r#"{"answer":"allow"} x"#,
        r#"{"answer":"allow""#,
        r#"{"answer":true}"#,
    ] {
        assert_eq!(Choice::read(bytes.as_bytes()), Choice::Deny, "{bytes}");
    }
}

fn any_field() -> impl Strategy<Value = Field> {
    let kinds = [FieldType::Text, FieldType::Password, FieldType::Url, FieldType::Email];
    (
        "\\PC{0,12}",
        ".{0,20}",
        prop::sample::select(kinds.to_vec()),
        any::<bool>(),
        ".{0,9}",
        ".{0,9}",
    )
        .prop_map(|(name, label, field_type, required, default, help_text)| Field {
            name,
            label,
            field_type,
            required,
            default: if field_type == FieldType::Password { String::new() } else { default },
            placeholder: String::new(),
            help_text,
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same_or_was_no_form(
        title in ".{0,20}",
        description in ".{0,40}",
        consent in any::<bool>(),
        fields in prop::collection::vec(any_field(), 0..6),
    ) {
        let kind = if consent { Kind::Consent } else { Kind::Fields };
        let fields = if consent { Vec::new() } else { fields };
        let form = Form { title, description, kind, fields };
        let read = Form::read(form.to_json().as_bytes());
        prop_assert_eq!(read, form.check().map(|()| form));
    }

    #[test]
    fn nothing_that_is_shown_can_hide_or_reorder(text in any::<String>()) {
        let shown = visible(&text);
        prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
        prop_assert!(shown.chars().all(|c| c == '\n' || visible_line(&c.to_string()) == c.to_string()));
        prop_assert_eq!(visible(&shown), shown.clone(), "what is visible stays as it is");
    }

    #[test]
    fn any_bytes_are_refused_or_a_form_within_the_limits(bytes in any::<Vec<u8>>()) {
        if let Ok(form) = Form::read(&bytes) {
            prop_assert_eq!(form.check(), Ok(()));
        }
        let _ = Choice::read(&bytes);
    }
}
