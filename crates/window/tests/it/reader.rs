//! What a screen reader reads, and that it is the text of the template and nothing else.

use serde_json::{Value, json};

use crate::rig::Asked;

fn named<'a>(seen: &'a [Value], name: &str) -> Vec<&'a Value> {
    seen.iter().filter(|thing| thing["name"] == name).collect()
}

fn has(thing: &Value, state: &str) -> bool {
    thing["states"].as_array().unwrap().iter().any(|one| one == state)
}

#[test]
fn every_field_and_button_has_a_name_and_the_code_is_spelled() {
    let asked = Asked::read(
        r#"{"title":"Secrets for a test","description":"Verification Code: AB3F-9K2L\n\nWhy.",
            "fields":[
              {"name":"key","label":"API key","field_type":"password","required":true,
               "help_text":"From your account"},
              {"name":"mail","label":"Mail","field_type":"email"}]}"#,
    );
    asked.window();
    let seen = asked.seen_when("the form", |seen| !named(seen, "Submit").is_empty());
    for name in [
        "Secrets for a test",
        "Why.",
        "Verification code: A B 3 F - 9 K 2 L",
        "Submit",
        "Cancel",
        "Show what is typed for API key",
        "What you type goes to the program that opened this window, and nowhere else.",
    ] {
        let found = seen.iter().any(|thing| thing["name"].as_str().unwrap().contains(name));
        assert!(found, "{name}: {seen:#?}");
    }
    let key = named(&seen, "API key").into_iter().find(|thing| has(thing, "EDITABLE"));
    let key = key.unwrap_or_else(|| panic!("{seen:#?}"));
    assert_eq!(key["description"], "Required. From your account");
    let mail = named(&seen, "Mail").into_iter().find(|thing| has(thing, "EDITABLE")).unwrap();
    assert_eq!(mail["description"], "");
    asked.display.press("Escape");
    assert_eq!(asked.ended().code, Some(1));
}

// DE-05
#[test]
fn hostile_text_is_text_and_what_hides_is_seen() {
    let form = json!({
        "title": "<b>T</b> %s _x \u{202e}cod.exe",
        "description": "<span size='1'>small</span> &amp; \u{1b}[2J\u{e0041}\nsecond line",
        "fields": [{
            "name": "a",
            "label": "<i>l</i> _m \u{200b}\" & (do shell script \"id\")",
            "placeholder": "<p>\u{202e}",
            "help_text": "<a href='https://evil.test'>help</a>\u{7}"
        }]
    });
    let asked = Asked::read(&form.to_string());
    asked.window();
    let seen = asked.seen_when("the form", |seen| !named(seen, "Submit").is_empty());
    for text in [
        "<b>T</b> %s _x \\u{202e}cod.exe",
        "<span size='1'>small</span> &amp; \\u{1b}[2J\\u{e0041}\nsecond line",
        "<i>l</i> _m \\u{200b}\" & (do shell script \"id\")",
        "<a href='https://evil.test'>help</a>\\u{7}",
    ] {
        assert!(!named(&seen, text).is_empty(), "{text}: {seen:#?}");
    }
    let all = serde_json::to_string(&seen).unwrap();
    for hidden in ["\u{202e}", "\u{200b}", "\u{e0041}", "\\u001b", "\\u0007"] {
        assert!(!all.contains(hidden), "{hidden:?}");
    }
    asked.display.press("Escape");
    assert_eq!(asked.ended().code, Some(1));
}
