use super::*;
use crate::audit::chain::{torn, write_line};
use crate::audit::{AuditId, Draft};

/// A chain that is being written.
struct Writer {
    bytes: Vec<u8>,
    seq: u64,
    prev: Hash,
    time: u64,
}

impl Writer {
    fn new() -> Self {
        Self { bytes: Vec::new(), seq: 1, prev: Hash::GENESIS, time: 0 }
    }

    fn write(&mut self, draft: &Draft) {
        let (line, hash) = write_line(draft, self.seq, self.time, &self.prev);
        self.bytes.extend_from_slice(&line);
        (self.seq, self.prev, self.time) = (self.seq + 1, hash, self.time + 1);
    }

    /// Writes the first `length` bytes of a line, as a killed writer does.
    fn die(&mut self, draft: &Draft, length: usize) -> usize {
        let (line, _) = write_line(draft, self.seq, self.time, &self.prev);
        let length = length % line.len();
        self.bytes.extend_from_slice(&line[..length]);
        length
    }

    /// What the next writer does first.
    fn close(&mut self) {
        let start = self.bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let draft = torn(&self.bytes[start..]);
        self.bytes.push(b'\n');
        self.write(&draft);
    }
}

fn record(kind: Kind, id: &str) -> Draft {
    Draft { kind, audit_id: Some(AuditId(id.into())), ..Draft::default() }
}

fn written() -> Writer {
    let mut writer = Writer::new();
    for id in ["a", "b"] {
        writer.write(&record(Kind::Intent, id));
        writer.write(&record(Kind::Outcome, id));
        writer.write(&record(Kind::Refusal, "c"));
    }
    writer
}

fn verify(bytes: &[u8]) -> Report {
    let mut verifier = Verifier::new();
    verifier.bytes("day", bytes);
    verifier.finish()
}

fn findings(found: &[Found]) -> Vec<(u64, Finding)> {
    found.iter().map(|found| (found.line, found.finding)).collect()
}

#[test]
fn a_chain_as_written_is_whole_across_segments() {
    let writer = written();
    let report = verify(&writer.bytes);
    assert_eq!((report.records, report.head), (6, Some(writer.prev)));
    assert_eq!((report.problems, report.notes), (vec![], vec![]));

    let middle = writer.bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut verifier = Verifier::new();
    verifier.bytes("monday", &writer.bytes[..middle]);
    verifier.bytes("tuesday", &writer.bytes[middle..]);
    assert_eq!(verifier.finish().problems, []);
    assert_eq!(verify(b"").problems, []);
}

#[test]
fn a_missing_segment_is_a_gap_at_the_first_line_behind_it() {
    let writer = written();
    let lines: Vec<&[u8]> = writer.bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let mut verifier = Verifier::new();
    verifier.bytes("monday", &lines[..2].concat());
    verifier.bytes("wednesday", &lines[3..].concat());
    let problems = verifier.finish().problems;
    assert_eq!(&*problems[0].segment, "wednesday");
    assert_eq!(findings(&problems), [(1, Finding::Gap { expected: 3, found: 4 })]);

    let mut verifier = Verifier::new();
    verifier.bytes("tuesday", &lines[3..].concat());
    let problems = verifier.finish().problems;
    assert_eq!(findings(&problems), [(1, Finding::Gap { expected: 1, found: 4 })]);
}

#[test]
fn one_change_is_one_problem() {
    let writer = written();
    let text =
        String::from_utf8(writer.bytes).unwrap().replacen("\"kind\":\"ref", "\"kind\":\"raf", 1);
    assert_eq!(findings(&verify(text.as_bytes()).problems), [(3, Finding::WrongHash)]);
    let text = text.replacen("{\"v\":1,\"seq\":3", "{\"v\":1,\"seq\"\n", 1);
    assert_eq!(
        findings(&verify(text.as_bytes()).problems),
        [(3, Finding::NotARecord), (4, Finding::NotARecord)]
    );
}

#[test]
fn a_call_that_was_killed_is_a_note() {
    let mut writer = written();
    writer.write(&record(Kind::Intent, "d"));
    let report = verify(&writer.bytes);
    assert_eq!(report.problems, []);
    assert_eq!(findings(&report.notes), [(7, Finding::NoOutcome)]);
    writer.write(&record(Kind::Outcome, "e"));
    assert_eq!(findings(&verify(&writer.bytes).problems), [(8, Finding::NoIntent)]);
}

// AL-07
#[test]
fn a_clock_that_was_set_back_is_a_note() {
    let mut writer = Writer::new();
    writer.time = 5_000;
    writer.write(&record(Kind::Refusal, "a"));
    writer.time = 4_000;
    writer.write(&record(Kind::Refusal, "b"));
    let report = verify(&writer.bytes);
    assert_eq!(report.problems, []);
    assert_eq!(findings(&report.notes), [(2, Finding::ClockBack)]);
}

#[test]
fn a_line_that_was_left_unfinished_is_a_problem_until_it_is_closed() {
    let draft = record(Kind::Intent, "d");
    let whole = write_line(&draft, 7, 6, &written().prev).0.len() - 1;
    for length in [1, 20, 150, whole] {
        let mut writer = written();
        writer.die(&draft, length);
        let report = verify(&writer.bytes);
        assert_eq!(findings(&report.problems), [(7, Finding::Unfinished)], "{length}");

        writer.close();
        writer.write(&record(Kind::Refusal, "e"));
        let report = verify(&writer.bytes);
        assert_eq!(report.problems, [], "{length}");
        assert_eq!(findings(&report.notes), [(7, Finding::Torn)], "{length}");
        assert_eq!(report.records, 8, "{length}");
    }
}

#[test]
fn a_whole_line_without_its_break_may_also_be_kept() {
    let mut writer = written();
    writer.bytes.pop();
    assert_eq!(findings(&verify(&writer.bytes).problems), [(6, Finding::Unfinished)]);
    writer.bytes.push(b'\n');
    writer.write(&record(Kind::Refusal, "e"));
    assert_eq!(verify(&writer.bytes).problems, []);
}

#[test]
fn a_record_of_a_torn_line_does_not_excuse_another_line() {
    let mut writer = written();
    writer.bytes.extend_from_slice(b"{\"v\":1");
    writer.close();
    let text = String::from_utf8(writer.bytes).unwrap();
    let changed = text.replace("{\"v\":1\n", "{\"v\":2\n");
    assert_eq!(findings(&verify(changed.as_bytes()).problems)[0], (7, Finding::NotARecord));
    let removed = text.replace("{\"v\":1\n", "");
    assert_eq!(verify(removed.as_bytes()).problems, [], "what was never a record is not missed");
    let line = text.lines().last().unwrap();
    let twice = format!("{text}{line}\n");
    assert_eq!(
        findings(&verify(twice.as_bytes()).problems),
        [(9, Finding::Gap { expected: 8, found: 7 })]
    );
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// A chain with all kinds of records in it, and a line that a killed writer left.
    fn chain() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof!["[a-z ]{0,12}", ".{0,6}"];
        let draft = (0..5_u8, text).prop_map(|(kind, text)| match kind {
            0 => None,
            1 => Some(Draft { kind: Kind::Admin, act: Some(text), ..Draft::default() }),
            2 => Some(record(Kind::Intent, &text)),
            _ => Some(Draft { reason: Some(text), ..record(Kind::Refusal, "r") }),
        });
        prop::collection::vec(draft, 3..8).prop_map(|drafts| {
            let mut writer = Writer::new();
            for draft in drafts {
                match draft {
                    Some(draft) => writer.write(&draft),
                    None if writer.die(&record(Kind::Refusal, "r"), 100) > 0 => writer.close(),
                    None => {}
                }
            }
            writer.write(&record(Kind::Refusal, "last"));
            writer.bytes
        })
    }

    fn lines(bytes: &[u8]) -> Vec<&[u8]> {
        bytes.split_inclusive(|&byte| byte == b'\n').collect()
    }

    fn is_record(line: &[u8]) -> bool {
        line.strip_suffix(b"\n").is_some_and(|text| read(text).is_ok())
    }

    proptest! {
        #[test]
        fn what_was_written_verifies(bytes in chain()) {
            prop_assert_eq!(verify(&bytes).problems, vec![]);
        }

        #[test]
        fn one_changed_byte_is_noticed(bytes in chain(), at: prop::sample::Index, to: u8) {
            let mut changed = bytes.clone();
            let at = at.index(bytes.len());
            changed[at] = to;
            prop_assume!(changed != bytes);
            prop_assert_ne!(verify(&changed).problems, vec![]);
        }

        #[test]
        fn one_removed_record_is_noticed(bytes in chain(), at: prop::sample::Index) {
            let mut kept = lines(&bytes);
            let at = at.index(kept.len() - 1); // that the end is cut off, no chain can tell
            prop_assume!(is_record(kept[at]));
            kept.remove(at);
            prop_assert_ne!(verify(&kept.concat()).problems, vec![]);
        }

        #[test]
        fn one_repeated_line_is_noticed(bytes in chain(), at: prop::sample::Index) {
            let mut kept = lines(&bytes);
            let at = at.index(kept.len());
            kept.insert(at, kept[at]);
            prop_assert_ne!(verify(&kept.concat()).problems, vec![]);
        }

        #[test]
        fn two_swapped_lines_are_noticed(
            bytes in chain(), a: prop::sample::Index, b: prop::sample::Index,
        ) {
            let mut kept = lines(&bytes);
            let (a, b) = (a.index(kept.len()), b.index(kept.len()));
            prop_assume!(kept[a] != kept[b]);
            kept.swap(a, b);
            prop_assert_ne!(verify(&kept.concat()).problems, vec![]);
        }

        #[test]
        fn reading_never_panics(bytes: Vec<u8>) {
            let report = verify(&bytes);
            prop_assert!(report.records == 0 && report.problems.is_empty() == bytes.is_empty());
        }
    }
}

mod checkpoints {
    use super::*;
    use crate::audit::checkpoint::tests::{key, public, signed};
    use crate::audit::checkpoint::{Says, Statement};

    /// Three days of two records, each behind the first beginning with the checkpoint of the day
    /// before; as they are in files.
    fn days(removed: Option<u64>) -> (Vec<(String, Vec<u8>)>, Vec<Statement>) {
        let mut writer = Writer::new();
        let mut days = Vec::new();
        let mut ended: Vec<Statement> = Vec::new();
        for day in 15..18 {
            let first = writer.seq;
            if let Some(before) = ended.last() {
                writer.write(&vouched(Kind::Checkpoint, before.clone()));
            }
            for id in ["x", "y"] {
                writer.write(&record(Kind::Refusal, id));
            }
            if let Some(place) = removed.filter(|_| day == 17) {
                let place = usize::try_from(place).unwrap();
                let statement = Statement { says: Says::Removed, ..ended[place].clone() };
                writer.write(&vouched(Kind::Admin, statement));
            }
            let segment = format!("{day}");
            days.push((segment.clone(), std::mem::take(&mut writer.bytes)));
            let (last, head) = (writer.seq - 1, writer.prev);
            ended.push(Statement { says: Says::Ended, segment, first, last, head });
        }
        (days, ended)
    }

    fn vouched(kind: Kind, statement: Statement) -> Draft {
        let checkpoint = Some(Box::new(signed(statement, &key(7))));
        Draft { kind, checkpoint, ..Draft::default() }
    }

    fn beside_the_chain(statement: Statement) -> Vec<Beside> {
        let checkpoint = signed(statement, &key(7));
        vec![Beside { file: "17.checkpoints".into(), line: 1, checkpoint }]
    }

    fn expect() -> Expect {
        Expect { key: Some(public(&key(7))), ..Expect::default() }
    }

    fn verify(days: &[(String, Vec<u8>)], expect: Expect) -> Report {
        let mut verifier = Verifier::expecting(expect);
        for (name, bytes) in days {
            verifier.bytes(name, bytes);
        }
        verifier.finish()
    }

    fn named(found: &[Found]) -> Vec<(&str, Finding)> {
        found.iter().map(|found| (&*found.segment, found.finding)).collect()
    }

    #[test]
    fn what_was_signed_and_is_there_is_whole() {
        let (days, ended) = days(None);
        let report = verify(&days, expect());
        assert_eq!((named(&report.problems), report.notes), (vec![], vec![]));
        assert_eq!(report.signed, Some(ended[1].last));

        let beside = Statement { says: Says::SoFar, ..ended[2].clone() };
        let beside = beside_the_chain(beside);
        let report = verify(&days, Expect { beside, head: Some(ended[0].head), ..expect() });
        assert_eq!((named(&report.problems), report.signed), (vec![], Some(ended[2].last)));
    }

    // AL-10
    #[test]
    fn a_segment_that_is_gone_is_named_with_its_records() {
        for gone in [0, 1] {
            let (mut days, ended) = days(None);
            days.remove(gone);
            let problems = verify(&days, expect()).problems;
            let Statement { segment, first, last, .. } = &ended[gone];
            let missing = (segment.as_str(), Finding::Missing { first: *first, last: *last });
            assert!(named(&problems).contains(&missing), "{problems:?}");
        }
    }

    #[test]
    fn an_end_that_was_cut_off_is_missed_in_every_segment() {
        for cut in 0..3 {
            let (mut days, ended) = days(None);
            let bytes = &mut days[cut].1;
            let length = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
            bytes.truncate(length);
            let beside = Statement { says: Says::SoFar, ..ended[2].clone() };
            let beside = beside_the_chain(beside);
            let problems = verify(&days, Expect { beside, ..expect() }).problems;
            let Statement { segment, last, .. } = &ended[cut];
            let expected = (segment.as_str(), Finding::Cut { first: *last, last: *last });
            assert!(named(&problems).contains(&expected), "{cut} {problems:?}");
        }
    }

    #[test]
    fn a_chain_that_was_written_anew_is_not_the_one_that_was_signed() {
        let (days, ended) = days(None);
        let mut anew = Writer::new();
        (0..8).for_each(|_| anew.write(&record(Kind::Refusal, "z")));
        let anew = [("17".to_owned(), anew.bytes)];
        let beside = Statement { says: Says::SoFar, ..ended[2].clone() };
        let beside = beside_the_chain(beside);
        let report = verify(&anew, Expect { beside: beside.clone(), ..expect() });
        assert_eq!(named(&report.problems), [("17", Finding::Replaced { seq: ended[2].last })]);
        let head = Some(ended[2].head);
        let report = verify(&anew, Expect { head, ..Expect::default() });
        assert_eq!(named(&report.problems), [("17", Finding::HeadNotFound)]);
        assert_eq!(verify(&days, Expect { beside, head, ..expect() }).problems, []);
    }

    // AL-10
    #[test]
    fn what_was_removed_on_purpose_is_a_note_that_says_which_records_are_gone() {
        let (days, ended) = days(Some(0));
        for gone in [0, 1] {
            let report = verify(&days[gone..], expect());
            assert_eq!(named(&report.problems), []);
            let removed = Finding::Removed { last: ended[0].last };
            let expected = if gone == 0 { vec![] } else { vec![("16", removed)] };
            assert_eq!(named(&report.notes), expected);
        }
        // More is gone than was removed.
        let report = verify(&days[2..], expect());
        let Statement { first, last, .. } = ended[1];
        assert_eq!(
            named(&report.problems),
            [
                ("17", Finding::Gap { expected: first, found: last + 1 }),
                ("16", Finding::Missing { first, last }),
            ]
        );
    }

    #[test]
    fn a_removal_that_was_not_finished_is_no_problem() {
        let (days, ended) = days(Some(1));
        for gone in 0..3 {
            let report = verify(&days[gone..], expect());
            assert_eq!(named(&report.problems), [], "{gone}");
        }
        let report = verify(&days[2..], expect());
        assert_eq!(named(&report.notes), [("17", Finding::Removed { last: ended[1].last })]);
    }

    #[test]
    fn only_the_key_of_the_machine_vouches() {
        let (days, _) = days(Some(0));
        let other = Expect { key: Some(public(&key(8))), ..Expect::default() };
        let report = verify(&days[1..], other);
        let problems = named(&report.problems);
        assert!(problems.contains(&("17", Finding::OtherKey)), "{problems:?}");
        assert!(problems.contains(&("16", Finding::Gap { expected: 1, found: 3 })), "{problems:?}");
        assert_eq!(report.signed, None);

        let unknown = verify(&days[1..], Expect::default());
        assert_eq!(named(&unknown.problems), []);
        assert!(named(&unknown.notes).contains(&("16", Finding::KeyUnknown)));
    }

    #[test]
    fn a_statement_that_was_changed_vouches_for_nothing() {
        let mut writer = Writer::new();
        writer.write(&record(Kind::Refusal, "x"));
        let (last, head) = (1, writer.prev);
        let statement =
            Statement { says: Says::Ended, segment: "17".to_owned(), first: 1, last, head };
        let mut bad = signed(statement, &key(7));
        bad.statement.says = Says::Removed;
        writer.write(&Draft { checkpoint: Some(Box::new(bad)), ..record(Kind::Admin, "y") });
        let report = verify(&[("17".to_owned(), writer.bytes)], expect());
        assert_eq!(named(&report.problems), [("17", Finding::BadSignature)]);
    }
}
