//! Questions in the real window, on a display of the test's own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use strongroom_dialog::{Asking, Ended, Places, Window, ask};
use strongroom_model::form::{FieldType, Form, Kind};
use strongroom_model::paths::{Environment, Os};
use strongroom_testkit::display::Display;
use tempfile::TempDir;

use crate::room::{LONG, answer, example, form, private};

/// What the windows of these questions have in their titles.
const TITLE: &str = "Strongroom";

/// Where `cargo xtask dist --profile dev`, which `cargo xtask test` does first, leaves the window.
fn dist() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(3).unwrap().join("dist")
}

fn window(display: &Display, home: &TempDir) -> Window {
    let home = ("HOME", home.path().to_str().unwrap().to_owned());
    let variables = display.variables().into_iter().chain([home]);
    let places = Places::within(dist(), &Environment::new(Os::CURRENT, variables));
    Window::find(&places).expect("the window is there: `cargo xtask dist --profile dev` builds it")
}

/// Waits until the window of `asking` is shown, and takes what is typed.
async fn shown(display: &Display, asking: &mut Asking) {
    let look = async {
        while display.find(TITLE).is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = look => drop(display.window(TITLE)),
        ended = asking.answers() => panic!("no window is shown: {ended:?}"),
    }
}

#[tokio::test]
async fn what_a_person_types_into_the_window_comes_back_as_a_secret() {
    let (display, home) = (Display::start(), private());
    let mut asked = form("Secrets for a test", "Say what is asked for.", "");
    asked.fields[0].field_type = FieldType::Password;
    let mut asking = ask(&window(&display, &home), &asked, LONG);
    let typed = "p4ss \"word\" \\ <b>";
    shown(&display, &mut asking).await;
    display.type_text(typed);
    display.submit(TITLE);
    let answers = asking.answers().await.unwrap();
    assert_eq!(answer(&answers), typed);
    display.wait_until_gone(TITLE);
}

#[tokio::test]
async fn closing_the_window_cancels_a_question_of_either_kind() {
    let (display, home) = (Display::start(), private());
    let window = window(&display, &home);
    let consent = Form {
        title: "A server wants to use a key".into(),
        description: "Reason: a test".into(),
        kind: Kind::Consent,
        fields: Vec::new(),
    };
    for asked in [consent, form("Secrets for a test", "", "")] {
        let mut asking = ask(&window, &asked, LONG);
        shown(&display, &mut asking).await;
        display.press("Escape");
        assert!(matches!(asking.answers().await, Err(Ended::Cancelled)));
        display.wait_until_gone(TITLE);
    }
}

#[tokio::test]
async fn the_window_goes_with_its_question_and_the_next_one_comes() {
    let (display, home) = (Display::start(), private());
    let window = window(&display, &home);
    let mut first = ask(&window, &form("The first question", "", ""), LONG);
    shown(&display, &mut first).await;
    let mut second = ask(&window, &form("The second question", "", ""), LONG);
    first.cancel().await;
    shown(&display, &mut second).await;
    display.type_text("second");
    display.submit(TITLE);
    assert_eq!(answer(&second.answers().await.unwrap()), "second");
}

#[test]
fn the_window_of_an_asker_that_is_killed_goes() {
    let (display, home) = (Display::start(), private());
    let mut asker = Command::new(example("asker"));
    asker.arg("window").args([dist().as_path(), home.path()]).args(["A question", "to be lost"]);
    asker.arg(&display.variables()[0].1).stdout(Stdio::null());
    let mut asker = asker.spawn().unwrap();
    let _shown = display.window(TITLE);
    asker.kill().unwrap();
    asker.wait().unwrap();
    display.wait_until_gone(TITLE);
}
