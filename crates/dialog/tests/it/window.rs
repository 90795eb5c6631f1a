//! One question, from asking to its end.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use strongroom_dialog::{Ended, Failure, NotAnswers, ask};
use strongroom_model::form::{Choice, Field, FieldType, Form, FormError, Kind};

use crate::room::{LONG, Room, answer, example, form, lines, until};

#[tokio::test]
async fn what_is_typed_comes_back_as_a_secret_from_a_stand_in() {
    let room = Room::new();
    let typed = "caña \"r\\y\" \u{1f511}";
    let answers = room.ask("answer", typed).answers().await.unwrap();
    assert_eq!(answer(&answers), typed);
    assert!(!format!("{answers:?}").contains("caña"));
    assert_eq!(answers.names().collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn a_consent_of_a_stand_in_is_the_exact_word_and_everything_else_a_no() {
    let room = Room::new();
    let ask = |script: &str| {
        let form = Form {
            title: "t".into(),
            description: script.into(),
            kind: Kind::Consent,
            fields: Vec::new(),
        };
        ask(&room.window(), &form, LONG)
    };
    for (printed, choice) in [
        ("allow", Choice::Allow),
        ("allow_session", Choice::AllowSession),
        ("deny", Choice::Deny),
        ("DENY ", Choice::Deny),
        ("Allow", Choice::Deny),
        ("allow ", Choice::Deny),
        ("yes", Choice::Deny),
    ] {
        let answers = ask(&format!("print {{\"answer\":\"{printed}\"}}")).answers().await.unwrap();
        assert_eq!(answers.choice(), choice, "{printed}");
    }
    for printed in
        ["", "[\"allow\"]", "allow", "{}", "{\"answer\":true}", "{\"answer\":[\"allow\"]}"]
    {
        let ended = ask(&format!("print {printed}")).answers().await.unwrap_err();
        assert!(matches!(ended, Ended::Failed(Failure::NotAnswers(_))), "{printed}: {ended}");
    }
}

#[tokio::test]
async fn the_codes_of_a_stand_in_are_answers_cancelling_and_failing() {
    let room = Room::new();
    assert!(matches!(room.outcome("cancel").await, Err(Ended::Cancelled)));
    let refused = room.outcome("refuse there is no display").await.unwrap_err();
    assert_eq!(refused.to_string(), "the window program could not ask: there is no display");
    for script in ["code 3", "code 101", "die"] {
        let ended = room.outcome(script).await.unwrap_err();
        assert!(matches!(ended, Ended::Failed(Failure::Died { .. })), "{script}: {ended}");
    }
}

// AL-01
#[tokio::test]
async fn what_a_stand_in_complains_of_is_one_visible_short_line_and_never_an_answer() {
    let room = Room::new();
    let script = format!("refuse \u{1b}[2J\u{202e}{}", "x".repeat(5000));
    let said = room.outcome(&script).await.unwrap_err().to_string();
    assert!(said.contains("\\u{1b}[2J\\u{202e}xxx") && said.len() < 400, "{said}");
    let ended = room.outcome("refuse-twice canary").await.unwrap_err();
    assert!(!format!("{ended} {ended:?}").contains("canary"), "{ended:?}");
    assert!(matches!(ended, Ended::Failed(Failure::Died { .. })), "{ended}");
}

#[tokio::test]
async fn a_stand_in_that_prints_something_else_is_no_answer_and_is_not_quoted() {
    let room = Room::new();
    for (printed, expected) in [
        ("", NotAnswers::Shape),
        ("canary", NotAnswers::Shape),
        ("{\"a\":1}", NotAnswers::Shape),
        ("{\"b\":\"canary\"}", NotAnswers::Names),
        ("{\"a\":\"canary\",\"a\":\"\"}", NotAnswers::Names),
    ] {
        let ended = room.outcome(&format!("print {printed}")).await.unwrap_err();
        assert!(!format!("{ended} {ended:?}").contains("canary"), "{ended:?}");
        let Ended::Failed(Failure::NotAnswers(found)) = ended else { panic!("{ended}") };
        assert_eq!(found, expected, "{printed}");
    }
    // It is cut off by a pipe that closes.
    let ended = room.outcome("flood").await.unwrap_err();
    assert!(matches!(ended, Ended::Failed(_)), "{ended}");
}

#[tokio::test]
async fn a_stand_in_is_asked_no_question_that_is_none() {
    let room = Room::new();
    let record = room.file("record");
    let script = format!("record {}", record.display());
    let mut twice = form("t", &script, "");
    twice.fields.push(twice.fields[0].clone());
    let ended = ask(&room.window(), &twice, LONG).answers().await.unwrap_err();
    assert!(matches!(ended, Ended::Failed(Failure::Form(FormError::Duplicate(2)))), "{ended}");
    assert!(lines(&record).is_empty());
}

#[tokio::test]
async fn an_answer_that_is_required_is_not_left_out_by_a_stand_in() {
    let room = Room::new();
    let field = |name: &str, required| Field { name: name.into(), required, ..Field::default() };
    let ask = |printed: &str| {
        let form = Form {
            title: "t".into(),
            description: format!("print {printed}"),
            kind: Kind::Fields,
            fields: vec![field("a", true), field("b", false)],
        };
        ask(&room.window(), &form, LONG)
    };
    assert!(ask(r#"{"a":"1"}"#).answers().await.is_ok());
    for printed in [r#"{"b":"1"}"#, r#"{"a":"","b":"1"}"#, "{}"] {
        let ended = ask(printed).answers().await.unwrap_err();
        assert!(
            matches!(ended, Ended::Failed(Failure::NotAnswers(NotAnswers::Names))),
            "{printed}: {ended}"
        );
    }
}

#[tokio::test]
async fn a_large_answer_comes_whole_from_a_stand_in() {
    let room = Room::new();
    // Labels have 4 KiB, so that the largest answer is printed by other means.
    let most = "x".repeat(64 << 10);
    let mut large = form("t", "", "");
    large.description = format!("print {{\"a\":\"{}\"}}", &most[..60 << 10]);
    large.fields[0].field_type = FieldType::Password;
    let answers = ask(&room.window(), &large, LONG).answers().await.unwrap();
    assert_eq!(answers.get("a").unwrap().len(), 60 << 10);
}

#[tokio::test]
async fn a_stand_in_has_the_display_three_descriptors_no_arguments_and_nothing_else() {
    let room = Room::new();
    assert_eq!(
        answer(&room.outcome("environment").await.unwrap()),
        "DISPLAY XAUTHORITY XDG_RUNTIME_DIR"
    );
    assert_eq!(answer(&room.outcome("descriptors").await.unwrap()), "0 1 2");
    assert_eq!(answer(&room.outcome("arguments").await.unwrap()), "1");
}

#[tokio::test]
async fn a_question_that_is_dropped_or_cancelled_takes_its_stand_in_with_it() {
    let room = Room::new();
    let record = room.file("record");
    let script = format!("record {} and hang", record.display());
    let asking = room.ask(&script, "");
    until("it is shown", || (lines(&record).len() == 1).then_some(()));
    assert_eq!(children().len(), 1);
    drop(asking);
    until("it is gone", || children().is_empty().then_some(()));

    let asking = room.ask(&script, "");
    until("it is shown", || {
        (lines(&record).iter().filter(|l| *l == "+t").count() == 2).then_some(())
    });
    asking.cancel().await;
    assert_eq!(children(), Vec::<String>::new(), "nothing is left when it has been cancelled");
}

#[tokio::test]
async fn a_stand_in_that_hears_no_signal_is_killed_when_the_time_is_over() {
    let room = Room::new();
    for script in ["hang", "stop"] {
        let mut asking = ask(&room.window(), &form("t", script, ""), Duration::from_millis(300));
        assert!(matches!(asking.answers().await, Err(Ended::TooLong)), "{script}");
        assert_eq!(children(), Vec::<String>::new(), "{script}");
    }
}

#[tokio::test]
async fn no_stand_in_stays_as_a_zombie_however_it_ended() {
    let room = Room::new();
    for script in ["answer", "cancel", "refuse no", "die", "code 7", "print x", "flood"] {
        drop(room.outcome(script).await);
        assert_eq!(children(), Vec::<String>::new(), "{script}");
    }
}

#[test]
fn the_stand_in_of_an_asker_that_is_killed_ends() {
    let room = Room::new();
    let record = room.file("record");
    let mut asker = Command::new(example("asker"));
    asker.arg("window").args([room.folder.path(), room.home.path()]);
    asker.args(["t", &format!("record {} and hang", record.display()), ":0"]);
    asker.stdout(Stdio::null());
    let mut asker = asker.spawn().unwrap();
    until("it is shown", || (lines(&record).len() == 1).then_some(()));
    asker.kill().unwrap();
    asker.wait().unwrap();
    until("it is gone", || (lines(&record) == ["+t", "-t"]).then_some(()));
}

#[tokio::test]
async fn an_answer_is_given_once_and_waiting_may_be_given_up_and_taken_up_again() {
    let room = Room::new();
    let mut asking = room.ask("answer", "canary");
    // A future that is dropped changes nothing.
    drop(tokio::time::timeout(Duration::ZERO, asking.answers()).await);
    let first = asking.answers().await;
    assert!(first.is_ok() || matches!(first, Err(Ended::Cancelled)), "{first:?}");
    assert!(matches!(asking.answers().await, Err(Ended::Cancelled)));
}

#[test]
fn a_question_can_be_awaited_without_a_runtime() {
    struct Thread(thread::Thread);
    impl std::task::Wake for Thread {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let room = Room::new();
    let mut asking = room.ask("answer", "canary");
    let waker = std::sync::Arc::new(Thread(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut answers = std::pin::pin!(asking.answers());
    let answers = loop {
        match answers.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answers) => break answers.unwrap(),
            std::task::Poll::Pending => thread::park(),
        }
    };
    assert_eq!(answer(&answers), "canary");
}

/// Our children, zombies included, by state and name.
fn children() -> Vec<String> {
    let us = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ours = |text: String| {
        let (name, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let how = fields.next()?;
        (fields.next()? == us).then(|| format!("{how} {}", name.split_once('(').unwrap().1))
    };
    processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(ours)
        .collect()
}
