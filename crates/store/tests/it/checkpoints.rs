//! What vouches for the audit, what is removed of it, and what is on the disk.

use std::sync::Arc;

use strongroom_model::audit::AuditSink as _;
use strongroom_model::audit::checkpoint::Octets;
use strongroom_model::audit::verify::{Finding, Report};
use strongroom_store::audit::{
    self, Durability, FileSink, Filter, Keep, Settings, Signer as _, Trust,
};

use crate::audit::call;
use crate::home::{Home, TestSigner};

const DAY: u64 = 86_400_000;
const MINUTE: u64 = 60_000;

#[test]
fn a_segment_begins_with_the_checkpoint_of_the_one_before_it() {
    let home = Home::new();
    let sink = home.vouching(Settings::default());
    days(&home, &sink, 3);
    let kinds: Vec<_> = audit::read(home.audit(), Filter::default())
        .map(|record| record.unwrap().text("kind").unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        ["intent", "intent", "checkpoint", "intent", "intent", "checkpoint", "intent", "intent"]
    );
    let report = verify(&home);
    assert_eq!((report.problems, report.notes.len()), (vec![], 6));
    assert_eq!((report.records, report.signed), (8, Some(5)));
}

#[test]
fn a_line_that_a_killed_writer_left_is_closed_before_the_next_segment_begins() {
    let home = Home::new();
    let sink = home.vouching(Settings::default());
    sink.append(call(0)).unwrap();
    let path = home.audit().path().join("2026-03-15.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"v\":1,\"se");
    std::fs::write(&path, bytes).unwrap();
    home.clock.set_ms(home.clock.ms() + DAY);
    home.vouching(Settings::default()).append(call(1)).unwrap();
    let report = verify(&home);
    assert_eq!((report.problems, report.signed), (vec![], Some(2)));
    assert!(report.notes.iter().any(|note| note.finding == Finding::Torn));
}

#[test]
fn without_the_key_the_chain_goes_on_and_nothing_is_removed() {
    let home = Home::new();
    let settings = Settings { keep: Keep::Segments(1), ..Settings::default() };
    let sink = FileSink::with(home.audit(), home.clock.clone(), settings).unwrap();
    days(&home, &sink, 4);
    let report = verify(&home);
    assert_eq!((report.problems, report.records, report.signed), (vec![], 8, None));
    assert_eq!(segments(&home).len(), 4);
}

/// AL-10.
#[test]
fn what_is_not_kept_is_removed_whole_and_the_rest_verifies_and_says_what_is_gone() {
    let home = Home::new();
    let keep = Keep::Days(2);
    let sink = home.vouching(Settings { keep, lasting: true, ..Settings::default() });
    days(&home, &sink, 6);
    assert_eq!(
        segments(&home),
        ["2026-03-17.jsonl", "2026-03-18.jsonl", "2026-03-19.jsonl", "2026-03-20.jsonl"]
    );
    let report = verify(&home);
    assert_eq!(report.problems, []);
    assert!(report.notes.iter().any(|note| note.finding == Finding::Removed { last: 5 }));
    assert!(!home.audit().has("2026-03-15.checkpoints").unwrap());
    let record = audit::read(home.audit(), Filter::default())
        .map(Result::unwrap)
        .find(|record| record.text("act") == Some("audit.remove"))
        .unwrap();
    assert_eq!(
        (record.text("kind"), record.text("subject")),
        (Some("admin"), Some("2026-03-15.jsonl"))
    );

    // More than that is gone: somebody else took it.
    home.audit().remove("2026-03-17.jsonl").unwrap();
    let problems = verify(&home).problems;
    assert!(
        problems.iter().any(|found| &*found.segment == "2026-03-17.jsonl"
            && matches!(found.finding, Finding::Missing { first: 6, .. })),
        "{problems:?}"
    );
}

#[test]
fn a_process_that_goes_on_vouches_for_the_segment_that_it_writes() {
    let home = Home::new();
    let sink = home.vouching(Settings { lasting: true, ..Settings::default() });
    for (n, signed) in [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 6), (6, 6)] {
        sink.append(call(n)).unwrap();
        assert_eq!(verify(&home).signed, Some(signed), "{n}");
        home.clock.set_ms(home.clock.ms() + MINUTE);
    }
}

#[test]
fn an_end_that_was_cut_off_behind_a_checkpoint_is_missed_also_when_others_wrote_since() {
    let home = Home::new();
    let sink = home.sink();
    (0..5).for_each(|n| drop(sink.append(call(n)).unwrap()));
    assert_eq!(verify(&home).problems, []);
    audit::vouch(&home.audit(), &TestSigner.key().unwrap()).unwrap();
    assert_eq!(verify(&home).signed, Some(5));

    let name = "2026-03-15.jsonl";
    let text = String::from_utf8(home.audit().read(name, 1 << 20).unwrap()).unwrap();
    let kept: String = text.split_inclusive('\n').take(3).collect();
    home.audit().write_atomic(name, kept.as_bytes()).unwrap();
    let finding = |report: &Report| report.problems.first().map(|found| found.finding);
    assert_eq!(finding(&verify(&home)), Some(Finding::Cut { first: 4, last: 5 }));

    (7..12).for_each(|n| drop(home.sink().append(call(n)).unwrap()));
    audit::vouch(&home.audit(), &TestSigner.key().unwrap()).unwrap();
    assert_eq!(finding(&verify(&home)), Some(Finding::Replaced { seq: 5 }));

    home.audit().write_atomic(name, text.as_bytes()).unwrap();
    let report = verify(&home);
    // The later statement vouched for what was not the chain.
    assert_eq!(finding(&report), Some(Finding::Cut { first: 6, last: 8 }));
}

#[test]
fn a_checkpoint_that_a_power_failure_cut_hides_no_other() {
    let home = Home::new();
    let sink = home.sink();
    let vouch = || audit::vouch(&home.audit(), &TestSigner.key().unwrap()).unwrap();
    sink.append(call(0)).unwrap();
    vouch();
    let path = home.audit().path().join("2026-03-15.checkpoints");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"says\":\"so_f");
    std::fs::write(&path, bytes).unwrap();
    sink.append(call(1)).unwrap();
    assert_eq!(verify(&home).signed, Some(1));
    vouch();
    let report = verify(&home);
    assert_eq!((report.problems, report.signed), (vec![], Some(2)));
}

#[test]
fn another_key_vouches_for_nothing_here() {
    let home = Home::new();
    home.sink().append(call(0)).unwrap();
    audit::vouch(&home.audit(), &TestSigner.key().unwrap()).unwrap();
    let trust = Trust { key: Some(Octets([1; 32])), head: None };
    let report = audit::verify(&home.audit(), &trust).unwrap().report;
    assert_eq!(report.problems.first().map(|found| found.finding), Some(Finding::OtherKey));
    assert_eq!(report.signed, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_synced_is_on_the_disk_before_it_is_waited_for_no_longer() {
    let home = Home::new();
    let settings =
        Settings { durability: Durability::Synced, lasting: true, ..Settings::default() };
    let sink = Arc::new(home.vouching(settings));
    let calls: Vec<_> = (0..32)
        .map(|n| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move {
                for _ in 0..4 {
                    sink.append(call(n)).unwrap();
                    sink.durable().unwrap().await.unwrap();
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    home.clock.set_ms(home.clock.ms() + DAY);
    sink.append(call(0)).unwrap();
    sink.sync().unwrap();
    let report = verify(&home);
    assert_eq!((report.problems, report.records), (vec![], 130));
    assert!(home.sink().durable().is_none());
    home.sink().sync().unwrap();
}

/// Two records on each of so many days.
fn days(home: &Home, sink: &FileSink, count: usize) {
    for day in 0..count {
        if day > 0 {
            home.clock.set_ms(home.clock.ms() + DAY);
        }
        sink.append(call(day)).unwrap();
        sink.append(call(day)).unwrap();
    }
}

fn segments(home: &Home) -> Vec<String> {
    let mut names = home.audit().names().unwrap();
    names.retain(|name| name.strip_suffix(".jsonl").is_some());
    names
}

fn verify(home: &Home) -> Report {
    let key = Some(Octets(TestSigner.key().unwrap().public()));
    audit::verify(&home.audit(), &Trust { key, head: None }).unwrap().report
}
