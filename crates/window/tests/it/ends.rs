//! How else it ends, and what it leaves.

use std::fs;
use std::process::Command;

use crate::rig::{Asked, CONSENT, until};

const PASSWORD: &str =
    r#"{"title":"T","fields":[{"name":"key","label":"Key","field_type":"password"}]}"#;

#[test]
fn escape_and_closing_the_window_end_with_one_and_say_nothing() {
    for closed in [false, true] {
        for template in [PASSWORD, CONSENT] {
            let asked = Asked::with(template);
            let window = asked.window();
            if closed {
                // The button that the window manager draws above the window, at its right.
                let place = ["mousemove", "--window", &window, "--", "590", "-10", "click", "1"];
                asked.display.person(&place).unwrap();
            } else {
                asked.display.press("Escape");
            }
            let ended = asked.ended();
            assert_eq!(ended.code, Some(1), "{closed}");
            assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
        }
    }
}

#[test]
fn the_button_that_cancels_cancels() {
    let asked = Asked::with(PASSWORD);
    asked.window();
    asked.display.type_text("canary");
    // The button that reveals, the button that cancels.
    for key in ["Tab", "Tab", "Return"] {
        asked.display.press(key);
    }
    let ended = asked.ended();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
}

#[test]
fn when_nobody_reads_the_answers_any_more_the_window_goes() {
    let mut asked = Asked::with(PASSWORD);
    asked.window();
    drop(asked.child.stdout.take());
    until("the end of the program", || !asked.is_open());
    asked.display.wait_until_gone("Strongroom");
    assert_eq!(asked.ended().code, Some(1));
}

#[test]
fn a_program_that_is_killed_leaves_no_window_and_no_answer() {
    let asked = Asked::with(PASSWORD);
    asked.window();
    asked.display.type_text("canary");
    let pid = asked.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    asked.display.wait_until_gone("Strongroom");
    let ended = asked.ended();
    assert_eq!((ended.code, ended.stdout.as_str()), (None, ""));
}

#[test]
fn a_password_is_nowhere_but_on_stdout_and_the_program_has_no_network() {
    let asked = Asked::with(PASSWORD);
    asked.window();
    asked.display.type_text("canary");
    let of = |file: &str| {
        // Another user may not read them: that is as good.
        let bytes = fs::read(format!("/proc/{}/{file}", asked.child.id())).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for file in ["cmdline", "environ", "comm"] {
        assert!(!of(file).contains("canary"), "{file}");
    }
    let status = of("status");
    assert!(status.contains("Seccomp:\t2"), "a filter keeps it from the network: {status}");
    asked.submit();
    let ended = asked.ended();
    assert_eq!(ended.stdout, "{\"key\":\"canary\"}\n");
    assert_eq!(ended.stderr, "");
}
