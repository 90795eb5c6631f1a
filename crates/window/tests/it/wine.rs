//! The window of Windows, built here and run under Wine: `cargo xtask cross` does both. Wine is not Windows:
//! what is seen here is that our code drives the system's controls as it should.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_model::form::Choice;

use crate::rig::{Asked, CONSENT, Ended, ended, spawn, until};

/// Where the buttons are: from the left of the window, and from its bottom.
const DENY: (i32, i32) = (194, 35);
const ALLOW: (i32, i32) = (334, 35);
const SESSION: (i32, i32) = (474, 35);

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

/// A Windows with nothing running on it, until the value ends.
struct Wine {
    folder: PathBuf,
}

impl Wine {
    fn start() -> Self {
        let folder = std::env::var_os("STRONGROOM_WINE").expect("`cargo xtask cross` runs this");
        let wine = Self { folder: folder.into() };
        wine.end();
        wine
    }

    fn ask(&self, template: &str) -> Asked {
        Asked::by(|variables| self.program(&[], variables, template))
    }

    fn program(&self, arguments: &[&str], variables: &[(&str, String)], template: &str) -> Child {
        let mut command = Command::new("wine");
        command.arg(self.folder.join("strongroom-dialog.exe")).args(arguments);
        let mut all = self.variables();
        all.extend_from_slice(variables);
        spawn(&mut command, &all, template)
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("WINEPREFIX", self.folder.join("prefix").display().to_string()),
            ("WINEDEBUG", "-all".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
        ]
    }

    /// Ends whatever runs on it: a desktop stays on the screen that it began on.
    fn end(&self) {
        let mut server = Command::new("wineserver");
        server.arg("--kill").env_clear().envs(self.variables());
        drop(server.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        self.end();
    }
}

fn answers(ended: &Ended) -> Value {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

fn choice(ended: &Ended) -> Choice {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    Choice::read(ended.stdout.as_bytes())
}

#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn what_is_typed_comes_out_with_what_was_filled_in_already_under_wine() {
    let wine = Wine::start();
    let asked = wine.ask(FORM);
    asked.window();
    asked.display.type_text("ann");
    asked.display.press("Return");
    asked.display.type_text("p4ss \"word\" \\ <b>");
    // The box that shows it stands between.
    for key in ["Tab", "Tab", "Tab"] {
        asked.display.press(key);
    }
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
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn what_is_missing_or_wrong_keeps_the_window_open_until_it_is_mended_under_wine() {
    let wine = Wine::start();
    let mut asked = wine.ask(FORM);
    asked.settled_window();
    // Nothing, twice; no address; nothing.
    for typed in ["", "", "nowhere", ""] {
        asked.display.press("ctrl+a");
        asked.display.type_text(typed);
        asked.display.press("Return");
    }
    assert!(asked.is_open());
    // Typing goes on in the first that is wrong.
    for typed in ["ann", "pass", "https://b.test", "no mail"] {
        asked.display.press("ctrl+a");
        asked.display.type_text(typed);
        asked.display.press("Return");
    }
    assert!(asked.is_open());
    asked.display.press("ctrl+a");
    asked.display.type_text("ann@a.test");
    asked.submit();
    let answers = answers(&asked.ended());
    let mended =
        json!({"user": "ann", "key": "pass", "place": "https://b.test", "mail": "ann@a.test"});
    assert_eq!(answers, mended);
}

#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn the_description_is_no_trap_for_the_keyboard_under_wine() {
    let wine = Wine::start();
    let asked = wine.ask(FORM);
    asked.window();
    // Into the description, and out of it again.
    for key in ["shift+Tab", "Tab"] {
        asked.display.press(key);
    }
    for typed in ["ann", "pass", ""] {
        asked.display.type_text(typed);
        asked.display.press("Return");
    }
    asked.submit();
    assert_eq!(answers(&asked.ended())["user"], "ann");

    wine.end();
    let asked = wine.ask(FORM);
    asked.window();
    for key in ["shift+Tab", "Escape"] {
        asked.display.press(key);
    }
    let ended = asked.ended();
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(1), "", ""));
}

// DE-09
#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn enter_and_space_deny_as_long_as_nobody_goes_to_another_button_under_wine() {
    let wine = Wine::start();
    for key in ["Return", "space"] {
        let asked = wine.ask(CONSENT);
        asked.window();
        asked.display.press(key);
        assert_eq!(choice(&asked.ended()), Choice::Deny, "{key}");
        wine.end();
    }
    let asked = wine.ask(CONSENT);
    let window = asked.window();
    asked.click(&window, DENY.0, DENY.1, 1);
    assert_eq!(choice(&asked.ended()), Choice::Deny);
}

// DE-09
#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn clicks_that_came_with_the_window_allow_nothing_and_one_after_a_pause_does_under_wine() {
    let wine = Wine::start();
    for (place, chosen) in [(ALLOW, Choice::Allow), (SESSION, Choice::AllowSession)] {
        let mut asked = wine.ask(CONSENT);
        let window = asked.window();
        asked.click(&window, 100, 120, 1);
        asked.click(&window, place.0, place.1, 8);
        assert!(asked.is_open(), "a click allowed at once");
        until("a click that counts", || {
            std::thread::sleep(Duration::from_millis(1_500));
            if asked.is_open() {
                asked.click(&window, place.0, place.1, 1);
                std::thread::sleep(Duration::from_millis(300));
            }
            !asked.is_open()
        });
        assert_eq!(choice(&asked.ended()), chosen);
        wine.end();
    }
}

// DE-09
#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn a_long_question_is_allowed_when_its_end_has_been_in_sight_and_not_before_under_wine() {
    let wine = Wine::start();
    let lines = "one line of many\\n".repeat(200);
    let template =
        format!(r#"{{"title": "Allow it?", "description": "{lines}the end", "kind": "consent"}}"#);
    let mut asked = wine.ask(&template);
    let window = asked.window();
    std::thread::sleep(Duration::from_secs(2));
    asked.click(&window, ALLOW.0, ALLOW.1, 3);
    std::thread::sleep(Duration::from_millis(500));
    assert!(asked.is_open(), "it was allowed unread");
    until("a click that counts", || {
        // The wheel, over the text.
        let wheel =
            ["mousemove", "--window", &window, "200", "240", "click", "--repeat", "90", "5"];
        if asked.is_open() {
            asked.display.person(&wheel).unwrap();
            std::thread::sleep(Duration::from_millis(1_500));
        }
        if asked.is_open() {
            asked.click(&window, ALLOW.0, ALLOW.1, 1);
            std::thread::sleep(Duration::from_millis(300));
        }
        !asked.is_open()
    });
    assert_eq!(choice(&asked.ended()), Choice::Allow);
}

#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn escape_closing_the_window_and_the_button_end_with_one_and_say_nothing_under_wine() {
    let wine = Wine::start();
    for (template, end) in
        [(FORM, "Escape"), (CONSENT, "Escape"), (FORM, "alt+F4"), (CONSENT, "alt+F4"), (FORM, "")]
    {
        let asked = wine.ask(template);
        let window = asked.window();
        asked.display.type_text("canary");
        match end {
            "" => asked.click(&window, SESSION.0, SESSION.1, 1),
            key => asked.display.press(key),
        }
        let ended = asked.ended();
        let said = (ended.code, ended.stdout.as_str(), ended.stderr.as_str());
        assert_eq!(said, (Some(1), "", ""), "{end:?}");
        wine.end();
    }
}

#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn a_program_that_is_killed_leaves_no_window_and_no_answer_under_wine() {
    let wine = Wine::start();
    let mut asked = wine.ask(FORM);
    asked.window();
    asked.display.type_text("canary");
    asked.child.kill().unwrap();
    asked.display.wait_until_gone("Strongroom");
    assert_eq!(asked.ended().stdout, "");
}

// DE-05, DE-11
#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn fifty_fields_with_the_longest_texts_are_all_reached_and_hostile_ones_are_shown_under_wine() {
    let wine = Wine::start();
    let hostile = "<b>T</b> %s &x \u{202e}cod.exe \u{1b}[2J\u{e0041}\u{7}";
    let long = format!("{hostile}{}", "word ".repeat(700));
    let fields: Vec<Value> = (0..50)
        .map(|at| {
            let name = format!("f{at}");
            json!({"name": name, "label": long, "help_text": long, "placeholder": hostile})
        })
        .collect();
    let form = json!({"title": long, "description": "y ".repeat(30_000), "fields": fields});
    let asked = wine.ask(&form.to_string());
    let window = asked.window();
    let title = asked.display.person(&["getwindowname", &window]).unwrap();
    assert!(title.starts_with("<b>T</b> %s &x \\u{202e}cod.exe \\u{1b}[2J"), "{title}");
    for _ in 0..49 {
        asked.display.press("Return");
    }
    asked.display.type_text("end");
    asked.display.press("Return");
    let answers = answers(&asked.ended());
    assert_eq!(answers["f49"], "end");
    assert_eq!(answers.as_object().unwrap().len(), 50);
}

#[test]
#[ignore = "wants the program for Windows: `cargo xtask cross` builds it and runs this"]
fn what_cannot_be_asked_ends_with_two_and_one_line_under_wine() {
    let wine = Wine::start();
    for (arguments, template, word) in [
        ([].as_slice(), "canary", "(json)"),
        (&[], r#"{"title":"T","fields":[]}"#, "(no_fields)"),
        (&["canary"], "", "--help"),
        // There is no screen here.
        (&[], r#"{"title":"T","fields":[{"name":"a"}]}"#, "the window cannot be made"),
    ] {
        let ended = ended(wine.program(arguments, &[], template));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(ended.stderr.contains(word) && !ended.stderr.contains("canary"), "{ended:?}");
    }
    let ended = ended(wine.program(&["--version"], &[], ""));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "strongroom-dialog 0.1.0\n"));
}
