//! Questions of consent.

use serde_json::Value;
use strongroom_model::form::Choice;

use crate::rig::{Asked, CONSENT, Ended, until};

/// Where the buttons are: from the left of the window, and from its bottom.
const DENY: (i32, i32) = (186, 38);
const ALLOW: (i32, i32) = (344, 38);
const SESSION: (i32, i32) = (502, 38);

fn choice(ended: &Ended) -> Choice {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    Choice::read(ended.stdout.as_bytes())
}

fn is(thing: &Value, name: &str, state: &str) -> bool {
    thing["name"] == name && thing["states"].as_array().unwrap().iter().any(|one| one == state)
}

// DE-09
#[test]
fn enter_and_space_deny_as_long_as_nobody_goes_to_another_button() {
    for key in ["Return", "space", "KP_Enter"] {
        let asked = Asked::with(CONSENT);
        asked.window();
        asked.display.press(key);
        let ended = asked.ended();
        assert_eq!(choice(&ended), Choice::Deny, "{key}");
        assert_eq!(ended.stdout, "{\"answer\":\"deny\"}\n");
    }
}

// DE-09
#[test]
fn clicks_that_came_with_the_window_allow_nothing_and_one_after_a_pause_does() {
    for (place, chosen) in [(ALLOW, Choice::Allow), (SESSION, Choice::AllowSession)] {
        let mut asked = Asked::with(CONSENT);
        let window = asked.window();
        // To and fro, so that the dead time has just begun when they come.
        asked.click(&window, 100, 120, 1);
        asked.click(&window, place.0, place.1, 8);
        assert!(asked.is_open(), "a click allowed at once");
        until("a click that counts", || {
            std::thread::sleep(std::time::Duration::from_millis(1_500));
            if asked.is_open() {
                asked.click(&window, place.0, place.1, 1);
            }
            !asked.is_open()
        });
        assert_eq!(choice(&asked.ended()), chosen);
    }
}

// DE-09
#[test]
fn deny_and_escape_work_at_once() {
    let asked = Asked::with(CONSENT);
    let window = asked.window();
    asked.click(&window, DENY.0, DENY.1, 1);
    assert_eq!(choice(&asked.ended()), Choice::Deny);

    let asked = Asked::with(CONSENT);
    asked.window();
    asked.display.press("Escape");
    let ended = asked.ended();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(Choice::read(ended.stdout.as_bytes()), Choice::Deny, "no answer is a no");
}

// DE-09
#[test]
fn with_the_keyboard_another_button_is_chosen_on_purpose() {
    // A machine that stalls lets the dead time begin anew: then Deny keeps the focus.
    let chosen = (0..10).map(|_| {
        let asked = Asked::with(CONSENT);
        asked.window();
        std::thread::sleep(std::time::Duration::from_secs(2));
        asked.display.press("Tab");
        asked.display.press("space");
        choice(&asked.ended())
    });
    let mut chosen = chosen.skip_while(|choice| *choice == Choice::Deny);
    assert_eq!(chosen.next(), Some(Choice::Allow));
}

// DE-09
#[test]
fn deny_has_the_focus_and_the_others_wait() {
    let asked = Asked::read(CONSENT);
    asked.window();
    let seen = asked.seen_when("the buttons", |seen| {
        seen.iter().any(|thing| is(thing, "Allow once", "SENSITIVE"))
    });
    assert!(seen.iter().any(|thing| is(thing, "Deny", "FOCUSED")), "{seen:#?}");
    asked.display.press("Escape");
    assert_eq!(asked.ended().code, Some(1));
}

#[test]
fn tab_goes_round_the_buttons_and_back_and_a_screen_reader_sees_where_it_is() {
    let asked = Asked::read(CONSENT);
    asked.window();
    // The label on the button has its name too, and is always so.
    let is_button = |thing: &Value| thing["role"] == "push button";
    asked.seen_when("the buttons", |seen| {
        let mut buttons = seen.iter().filter(|thing| is_button(thing));
        buttons.any(|thing| is(thing, "Allow once", "SENSITIVE"))
    });
    for (key, button) in [
        ("Tab", "Allow once"),
        ("Tab", "Allow for session"),
        ("Tab", "Deny"),
        ("Tab", "Allow once"),
        ("shift+Tab", "Deny"),
        ("shift+Tab", "Allow for session"),
    ] {
        asked.display.press(key);
        asked.seen_when(button, |seen| seen.iter().any(|thing| is(thing, button, "FOCUSED")));
    }
    asked.display.press("Escape");
    assert_eq!(asked.ended().code, Some(1));
}

// DE-09
#[test]
fn a_key_that_goes_on_being_pressed_never_gets_to_allow() {
    let mut asked = Asked::with(CONSENT);
    let window = asked.window();
    asked.click(&window, 100, 120, 1);
    // Held, it repeats: the dead time does not end.
    asked.display.person(&["keydown", "x"]).unwrap();
    asked.click(&window, ALLOW.0, ALLOW.1, 4);
    assert!(asked.is_open());
    asked.display.person(&["keyup", "x"]).unwrap();
    asked.display.press("Escape");
    assert_eq!(asked.ended().code, Some(1));
}

// DE-09: what decides must not stand where nobody looks.
#[test]
fn a_long_question_is_allowed_when_its_end_has_been_in_sight_and_not_before() {
    let lines = "one line of many\\n".repeat(200);
    let template =
        format!(r#"{{"title": "Allow it?", "description": "{lines}the end", "kind": "consent"}}"#);
    let mut asked = Asked::with(&template);
    let window = asked.window();
    std::thread::sleep(std::time::Duration::from_secs(2));
    asked.click(&window, ALLOW.0, ALLOW.1, 3);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(asked.is_open(), "it was allowed unread");
    until("a click that counts", || {
        // The wheel, over the text.
        let wheel =
            ["mousemove", "--window", &window, "200", "240", "click", "--repeat", "60", "5"];
        if asked.is_open() {
            asked.display.person(&wheel).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1_500));
        }
        if asked.is_open() {
            asked.click(&window, ALLOW.0, ALLOW.1, 1);
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        !asked.is_open()
    });
    assert_eq!(choice(&asked.ended()), Choice::Allow);
}
