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
