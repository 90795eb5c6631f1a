//! One question at a time, in the order of asking.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use strongroom_dialog::queue::Line;
use strongroom_dialog::{Ended, Failure, ask};

use crate::room::{LONG, Room, example, form, lines, until};

// DE-09
#[tokio::test]
async fn twenty_questions_at_once_are_shown_by_a_stand_in_one_after_another_in_order() {
    let room = Room::new();
    let record = room.file("record");
    let script = format!("record {}", record.display());
    let window = room.window();
    let asked: Vec<_> = (0..20)
        .map(|number| ask(&window, &form(&format!("q{number}"), &script, ""), LONG))
        .collect();
    // Those who wait for the last one first get the same.
    for mut asking in asked.into_iter().rev() {
        asking.answers().await.unwrap();
    }
    let expected: Vec<_> =
        (0..20).flat_map(|number| [format!("+q{number}"), format!("-q{number}")]).collect();
    assert_eq!(lines(&record), expected);
    assert!(tickets(&room).is_empty(), "nothing is left of the line");
}

#[tokio::test]
async fn who_is_taken_back_or_runs_out_of_time_in_line_is_never_shown_by_a_stand_in() {
    let room = Room::new();
    let record = room.file("record");
    let script = format!("record {}", record.display());
    let window = room.window();
    let first = ask(&window, &form("first", &format!("{script} and hang"), ""), LONG);
    until("the first is shown", || (lines(&record).len() == 1).then_some(()));
    let second = ask(&window, &form("second", &script, ""), LONG);
    let mut third = ask(&window, &form("third", &script, ""), Duration::from_millis(100));
    let mut fourth = ask(&window, &form("fourth", &script, ""), LONG);
    assert_eq!(tickets(&room).len(), 4);
    // Nobody was too late to answer what was never shown.
    let held = third.answers().await.unwrap_err();
    assert!(matches!(held, Ended::Failed(Failure::Held { process: Some(_) })), "{held}");
    second.cancel().await;
    until("they left the line", || (tickets(&room).len() == 2).then_some(()));
    first.cancel().await;
    fourth.answers().await.unwrap();
    let shown = lines(&record);
    assert!(
        !shown.iter().any(|line| line.contains("second") || line.contains("third")),
        "{shown:?}"
    );
    assert_eq!(shown[0], "+first");
    assert_eq!(shown[shown.len() - 2..], ["+fourth", "-fourth"]);
}

#[tokio::test]
async fn a_process_that_is_killed_while_its_stand_in_is_shown_or_waits_is_passed_over() {
    let room = Room::new();
    let record = room.file("record");
    let script = format!("record {}", record.display());
    let mut shown = asker(&room, "shown", &format!("{script} and hang"));
    until("it is shown", || (lines(&record).len() == 1).then_some(()));
    let mut waits = asker(&room, "waits", &script);
    until("it waits", || (tickets(&room).len() == 2).then_some(()));
    let mut last = ask(&room.window(), &form("last", &script, ""), LONG);
    for child in [&mut waits, &mut shown] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    last.answers().await.unwrap();
    let shown = lines(&record);
    assert!(!shown.contains(&"+waits".to_owned()), "{shown:?}");
    assert!(shown.contains(&"+last".to_owned()) && shown.contains(&"-last".to_owned()));
}

#[tokio::test]
async fn a_stopped_process_holds_the_line_and_is_named_until_it_goes_on_or_is_gone() {
    let room = Room::new();
    let record = room.file("record");
    let script = format!("record {}", record.display());
    let mut stopped = asker(&room, "stopped", &format!("{script} and hang"));
    until("it is shown", || (lines(&record).len() == 1).then_some(()));
    let id = Pid::from_child(&stopped);
    kill_process(id, Signal::STOP).unwrap();
    let window = room.window();
    let mut behind = ask(&window, &form("behind", &script, ""), Duration::from_millis(300));
    let ended = behind.answers().await.unwrap_err();
    let Ended::Failed(Failure::Held { process }) = &ended else { panic!("{ended}") };
    assert_eq!(*process, Some(stopped.id()));
    let words = format!("the line is held by the question of process {}", stopped.id());
    assert!(ended.to_string().starts_with(&words), "{ended}");
    assert_eq!(lines(&record), ["+stopped"], "no second window");
    assert_eq!(tickets(&room).len(), 1, "who gave up has left");
    let mut last = ask(&window, &form("last", &script, ""), LONG);
    stopped.kill().unwrap();
    stopped.wait().unwrap();
    last.answers().await.unwrap();
    assert!(lines(&record).contains(&"-last".to_owned()));
}

#[test]
fn tickets_are_served_in_order_and_their_numbers_are_not_given_twice() {
    let room = Room::new();
    let folder = room.file("line");
    let enter = || Line::open(&folder).unwrap().enter().unwrap().unwrap();
    let (first, second, third) = (enter(), enter(), enter());
    assert!(first.is_next().unwrap());
    assert!(!second.is_next().unwrap() && !third.is_next().unwrap());
    // The second goes without a word, as one that was killed.
    drop(second);
    assert!(!third.is_next().unwrap());
    let fourth = enter();
    first.leave().unwrap();
    assert!(third.is_next().unwrap() && !fourth.is_next().unwrap());
    drop(third);
    assert!(fourth.is_next().unwrap());
}

fn asker(room: &Room, title: &str, script: &str) -> Child {
    let mut asker = Command::new(example("asker"));
    asker.arg("window").args([room.folder.path(), room.home.path()]).args([title, script]);
    asker.arg(":0").stdout(Stdio::null()).spawn().unwrap()
}

/// The tickets that lie in the folder of the line.
fn tickets(room: &Room) -> Vec<String> {
    let folder = room.places().line().unwrap();
    let names = fs::read_dir(folder).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".ticket")).collect()
}
