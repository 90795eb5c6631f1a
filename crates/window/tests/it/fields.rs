//! Forms that are filled in.

use serde_json::{Value, json};

use crate::rig::{Asked, Ended, until};

const FORM: &str = r#"{
    "title": "Secrets for a test",
    "description": "Verification Code: AB3F-9K2L\n\nSay what is asked for.",
    "fields": [
        { "name": "user", "label": "User", "required": true },
        { "name": "key", "label": "Key", "field_type": "password", "required": true },
        { "name": "place", "label": "Place", "field_type": "url", "default": "https://a.test" },
        { "name": "mail", "label": "Mail", "field_type": "email" }
    ]
}"#;

fn answers(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.stdout.lines().count(), 1);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn what_is_typed_comes_out_with_what_was_filled_in_already() {
    let asked = Asked::with(FORM);
    asked.window();
    asked.display.type_text("ann");
    asked.display.press("Return");
    asked.display.type_text("p4ss \"word\" \\ <b>");
    asked.display.press("Return");
    asked.display.press("Return");
    asked.display.type_text("ann@a.test");
    asked.submit();
    assert_eq!(
        answers(&asked.ended()),
        json!({
            "user": "ann",
            "key": "p4ss \"word\" \\ <b>",
            "place": "https://a.test",
            "mail": "ann@a.test"
        })
    );
}

#[test]
fn tab_goes_from_field_to_field_by_the_button_that_reveals_and_on_to_the_buttons() {
    let mut asked = Asked::with(FORM);
    asked.window();
    asked.display.type_text("ann");
    asked.display.press("Tab");
    asked.display.type_text("pass");
    // The button that reveals stands between.
    for key in ["Tab", "Tab", "ctrl+a"] {
        asked.display.press(key);
    }
    asked.display.type_text("https://b.test");
    // The mail, the button that cancels, the one that submits.
    for key in ["Tab", "Tab", "Tab"] {
        asked.display.press(key);
    }
    until("the button sends", || {
        if asked.is_open() {
            asked.display.press("space");
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        !asked.is_open()
    });
    let answers = answers(&asked.ended());
    assert_eq!(
        answers,
        json!({"user": "ann", "key": "pass", "place": "https://b.test", "mail": ""})
    );
}

#[test]
fn a_required_field_that_is_empty_keeps_the_window_open_and_is_where_typing_goes_on() {
    let mut asked = Asked::read(FORM);
    asked.settled_window();
    asked.display.press("Return");
    asked.display.type_text("pass");
    for _ in 0..2 {
        asked.display.press("Return");
    }
    let seen = asked.seen_when("the complaint", |seen| {
        let complains =
            |thing: &Value| thing["name"].as_str().unwrap().contains("This is required.");
        let complained = seen.iter().any(complains);
        if !complained {
            asked.display.press("Return");
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        complained
    });
    assert!(asked.is_open());
    let user =
        seen.iter().find(|thing| thing["name"] == "User" && thing["role"] != "label").unwrap();
    assert!(user["description"].as_str().unwrap().contains("This is required."), "{user}");
    let complaints =
        seen.iter().filter(|thing| thing["name"].as_str().unwrap().contains("This is required."));
    assert_eq!(complaints.count(), 1, "only the one that is missing");

    asked.display.type_text("ann");
    for _ in 0..3 {
        asked.display.press("Return");
    }
    asked.submit();
    let answers = answers(&asked.ended());
    assert_eq!((&answers["user"], &answers["key"]), (&json!("ann"), &json!("pass")));
}

#[test]
fn an_address_that_is_none_keeps_the_window_open_until_it_is_mended() {
    for (kind, wrong, right) in
        [("url", "a.test", "https://a.test/x?y=z"), ("email", "ann at a.test", "ann@a.test")]
    {
        let mut asked = Asked::with(&format!(
            r#"{{"title":"T","fields":[{{"name":"a","field_type":"{kind}"}}]}}"#
        ));
        asked.settled_window();
        asked.display.type_text(wrong);
        asked.display.press("Return");
        asked.display.press("ctrl+a");
        assert!(asked.is_open(), "{kind}");
        asked.display.type_text(right);
        asked.submit();
        assert_eq!(answers(&asked.ended()), json!({ "a": right }));
    }
}

#[test]
fn enter_before_the_last_field_sends_nothing() {
    let mut asked = Asked::with(
        r#"{"title":"T","fields":[{"name":"a"},{"name":"b","field_type":"password"}]}"#,
    );
    asked.window();
    asked.display.type_text("x");
    asked.display.press("Return");
    asked.display.type_text("y");
    assert!(asked.is_open());
    asked.display.press("Escape");
    assert_eq!(asked.ended().code, Some(1));
}

/// Where the button that sends is: from the left of the window, and from its bottom.
const SUBMIT: (i32, i32) = (548, 38);

// DE-09
#[test]
fn presses_that_came_with_the_window_send_nothing_and_typing_and_a_press_after_a_pause_do() {
    for by_click in [true, false] {
        let mut asked = Asked::with(r#"{"title":"T","fields":[{"name":"a"}]}"#);
        let window = asked.window();
        // Another window in front, and back: the dead time has just begun when the presses come.
        asked.display.person(&["windowminimize", &window]).unwrap();
        until("it is behind", || asked.display.find("Strongroom").is_none());
        let back = ["windowmap", &window, "windowactivate", "--sync", &window];
        if by_click {
            asked.display.person(&back).unwrap();
            asked.click(&window, SUBMIT.0, SUBMIT.1, 3);
        } else {
            asked
                .display
                .person(&[&back[..], &["type", "--delay", "1", "yyyyy"]].concat())
                .unwrap();
            asked.display.press("Return");
        }
        assert!(asked.is_open(), "it was sent at once");
        until("a press that counts", || {
            std::thread::sleep(std::time::Duration::from_millis(1_200));
            if asked.is_open() && by_click {
                asked.click(&window, SUBMIT.0, SUBMIT.1, 1);
            } else if asked.is_open() {
                asked.display.press("Return");
            }
            !asked.is_open()
        });
        let answers = answers(&asked.ended());
        // Where the machine is busy, the first letters come before the window has the focus again.
        let typed =
            answers["a"].as_str().unwrap().strip_prefix('y').map(|rest| rest.trim_matches('y'));
        assert_eq!(typed, (!by_click).then_some(""), "{answers}");
    }
}

#[test]
fn a_password_is_copied_only_while_it_is_revealed_and_is_never_on_the_bus() {
    let asked = Asked::read(
        r#"{"title":"T","fields":[
            {"name":"key","label":"Key","field_type":"password"},
            {"name":"copy","label":"Copy"}]}"#,
    );
    asked.window();
    asked.display.type_text("canary");
    // What is hidden cannot be carried over to a field that shows.
    for key in ["ctrl+a", "ctrl+c", "Tab", "Tab", "ctrl+v", "minus"] {
        asked.display.press(key);
    }
    let seen = asked.seen_when("what was typed", |seen| seen.iter().any(|one| one["text"] == "-"));
    assert!(!serde_json::to_string(&seen).unwrap().contains("canary"), "{seen:#?}");
    // The button that reveals stands between.
    for key in
        ["shift+Tab", "space", "shift+Tab", "ctrl+a", "ctrl+c", "Tab", "Tab", "End", "ctrl+v"]
    {
        asked.display.press(key);
    }
    asked.seen_when("what is revealed", |seen| seen.iter().any(|one| one["text"] == "-canary"));
    asked.submit();
    assert_eq!(answers(&asked.ended()), json!({"key": "canary", "copy": "-canary"}));
}

// DE-11
#[test]
fn fifty_fields_with_the_longest_texts_are_all_reached() {
    let long = "word ".repeat(800);
    let fields: Vec<Value> = (0..50)
        .map(|at| json!({"name": format!("f{at}"), "label": long, "help_text": long}))
        .collect();
    let form = json!({"title": long, "description": "y ".repeat(30_000), "fields": fields});
    let asked = Asked::with(&form.to_string());
    asked.window();
    for _ in 0..49 {
        asked.display.press("Return");
    }
    asked.display.type_text("end");
    asked.submit();
    let answers = answers(&asked.ended());
    assert_eq!(answers["f49"], "end");
    assert_eq!(answers.as_object().unwrap().len(), 50);
}
