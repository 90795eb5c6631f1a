//! Holding the chain against the checkpoints.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::chain::Hash;
use super::super::checkpoint::{Checkpoint, Says, Statement};
use super::{Expect, Finding, Link, Place};

/// What the checkpoints say, and what was read.
#[derive(Debug, Default)]
pub(super) struct Vouchers {
    expect: Expect,
    /// Where the chain begins, if not with record 1.
    start: Option<(Place, Link)>,
    /// What was read of each segment, in order.
    segments: Vec<Segment>,
    /// What is believed, and where it stands.
    statements: Vec<(Place, Statement)>,
    /// The hashes of the records that the checkpoints beside the chain name.
    beside: HashMap<u64, Option<Hash>>,
    head_seen: bool,
    unknown: Option<Place>,
    found: Vec<(Place, Finding)>,
}

#[derive(Debug)]
struct Segment {
    name: Arc<str>,
    last: u64,
    head: Hash,
}

impl Vouchers {
    pub(super) fn new(expect: Expect) -> Self {
        let beside = expect.beside.iter().map(|it| (it.checkpoint.statement.last, None)).collect();
        Self { expect, beside, ..Self::default() }
    }

    /// The chain begins with this record, which is not the first one.
    pub(super) fn begins(&mut self, here: &Place, link: Link) {
        self.start = Some((here.clone(), link));
    }

    /// A record whose own hash is right.
    pub(super) fn record(&mut self, here: &Place, link: Link, hash: Hash) {
        match self.segments.last_mut() {
            Some(segment) if segment.name == here.segment => {
                (segment.last, segment.head) = (link.seq, hash);
            }
            _ => self.segments.push(Segment {
                name: Arc::clone(&here.segment),
                last: link.seq,
                head: hash,
            }),
        }
        self.head_seen |= self.expect.head == Some(hash);
        if let Some(beside) = self.beside.get_mut(&link.seq) {
            *beside = Some(hash);
        }
    }

    /// A checkpoint that stands in the chain.
    pub(super) fn checkpoint(&mut self, here: &Place, checkpoint: &Checkpoint) {
        if self.believes(here, checkpoint) {
            self.statements.push((here.clone(), checkpoint.statement.clone()));
        }
    }

    /// What was found, and up to which record the chain is vouched for.
    pub(super) fn finish(mut self) -> (Vec<(Place, Finding)>, Option<u64>) {
        let removed = self.beginning();
        let statements = std::mem::take(&mut self.statements);
        let mut signed = None;
        for (place, statement) in &statements {
            if statement.says != Says::Ended || statement.last <= removed {
                continue;
            }
            match self.against_segment(statement) {
                None => signed = signed.max(Some(statement.last)),
                // A segment that is missing or was changed is named itself.
                Some(finding) => {
                    let place = Place { segment: (*statement.segment).into(), ..place.clone() };
                    self.found.push((Place { line: 0, ..place }, finding));
                }
            }
        }
        signed = signed.max(self.beside(removed));
        if self.expect.head.is_some() && !self.head_seen {
            let segment = self.segments.last().map_or_else(|| "".into(), |last| last.name.clone());
            self.found.push((Place { segment, line: 0 }, Finding::HeadNotFound));
        }
        if let Some(place) = self.unknown {
            self.found.push((place, Finding::KeyUnknown));
        }
        (self.found, signed)
    }

    /// Whether the signature is right and of the key that counts.
    fn believes(&mut self, here: &Place, checkpoint: &Checkpoint) -> bool {
        let finding = match self.expect.key {
            Some(key) if key != checkpoint.key => Finding::OtherKey,
            _ if !checkpoint.verifies() => Finding::BadSignature,
            Some(_) => return true,
            None => {
                self.unknown.get_or_insert_with(|| here.clone());
                return true;
            }
        };
        self.found.push((here.clone(), finding));
        false
    }

    /// Up to which record the chain was removed on purpose; says so, or what is missing.
    fn beginning(&mut self) -> u64 {
        let removals = self.statements.iter().filter(|(_, said)| said.says == Says::Removed);
        let removed = removals.map(|(_, said)| (said.last, said.head)).max_by_key(|said| said.0);
        let (removed, head) = removed.unwrap_or((0, Hash::GENESIS));
        let Some((place, start)) = self.start.take() else { return 0 };
        let before = start.seq - 1;
        let finding = if removed < before {
            Finding::Gap { expected: removed + 1, found: start.seq }
        } else if removed == before && head != start.prev {
            Finding::Replaced { seq: before }
        } else {
            // Where more was to be removed than is gone, the next removal does the rest.
            Finding::Removed { last: before }
        };
        self.found.push((place, finding));
        removed.min(before)
    }

    /// Holds the chain against what stands beside it. Of checkpoints that show the same thing only
    /// the one that shows most of it is named.
    fn beside(&mut self, removed: u64) -> Option<u64> {
        let mut signed = None;
        let mut cut = None;
        let mut replaced = None;
        let mut beside = std::mem::take(&mut self.expect.beside);
        beside.sort_by_key(|it| it.checkpoint.statement.last);
        for it in beside {
            let said = &it.checkpoint.statement;
            let place = Place { segment: Arc::clone(&it.file), line: it.line };
            if !self.believes(&place, &it.checkpoint) || said.last <= removed {
                continue;
            }
            let place = Place { segment: (*said.segment).into(), line: 0 };
            match self.against_chain(said) {
                None => signed = signed.max(Some(said.last)),
                Some(finding @ Finding::Replaced { .. }) => {
                    replaced.get_or_insert((place, finding));
                }
                Some(finding) => cut = Some((place, finding)),
            }
        }
        self.found.extend(replaced.into_iter().chain(cut));
        signed
    }

    fn against_segment(&self, said: &Statement) -> Option<Finding> {
        let Some(segment) = self.segments.iter().find(|segment| *segment.name == *said.segment)
        else {
            return Some(Finding::Missing { first: said.first, last: said.last });
        };
        if segment.last < said.last {
            return Some(Finding::Cut { first: segment.last + 1, last: said.last });
        }
        let same = segment.last == said.last && segment.head == said.head;
        (!same).then_some(Finding::Replaced { seq: said.last })
    }

    fn against_chain(&self, said: &Statement) -> Option<Finding> {
        match self.segments.last() {
            None => Some(Finding::Missing { first: said.first, last: said.last }),
            Some(newest) if newest.last < said.last => {
                let known = self.segments.iter().any(|segment| *segment.name == *said.segment);
                Some(if known {
                    Finding::Cut { first: newest.last + 1, last: said.last }
                } else {
                    Finding::Missing { first: said.first, last: said.last }
                })
            }
            // A record that is not there at all is a gap, which was found already.
            Some(_) => {
                let there = self.beside.get(&said.last).copied().flatten();
                (there != Some(said.head)).then_some(Finding::Replaced { seq: said.last })
            }
        }
    }
}
