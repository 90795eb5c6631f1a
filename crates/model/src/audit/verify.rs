//! Reads the lines of an audit back and says what is wrong with them.

mod vouch;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::Kind;
use super::chain::{Hash, TAIL};
use super::checkpoint::{Checkpoint, Octets};
use vouch::Vouchers;

/// Takes the lines of consecutive segments, in their order.
#[derive(Debug)]
pub struct Verifier {
    place: Place,
    /// What the next record has to say.
    expected: Link,
    /// What the last record had to say; `None` behind a torn one, which is not undone again.
    before: Option<Before>,
    /// A line that is wrong unless the next one closes it.
    pending: Option<Pending>,
    /// Nothing is known of the line before, so the next record's link is taken as it is.
    lost: bool,
    last_time: String,
    intents: HashMap<String, Place>,
    vouchers: Vouchers,
    report: Report,
}

/// What a verifier goes by beyond the chain itself. That of the default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Whose checkpoints count. Without it they are held against the key that they name.
    pub key: Option<Octets<32>>,
    /// What stands beside the chain.
    pub beside: Vec<Beside>,
    /// A hash that was kept elsewhere: some record must have it.
    pub head: Option<Hash>,
}

/// A checkpoint that does not stand in the chain.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The file that it stands in.
    pub file: Arc<str>,
    /// The line within it, from 1.
    pub line: u64,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// What a verification came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records that were read.
    pub records: u64,
    /// The hash of the last record, to be kept elsewhere as an anchor.
    pub head: Option<Hash>,
    /// Up to which record a checkpoint vouches for the chain.
    pub signed: Option<u64>,
    /// What should not be. The chain is whole where this is empty.
    pub problems: Vec<Found>,
    /// What is worth knowing and may be.
    pub notes: Vec<Found>,
}

/// A finding and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The segment, by the name that [`Verifier::segment`] was given.
    pub segment: Arc<str>,
    /// The line within it, from 1; 0 for the segment as a whole.
    pub line: u64,
    /// What was found.
    pub finding: Finding,
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A line that is not a record.
    NotARecord,
    /// The line was changed after it was written.
    WrongHash,
    /// The record does not follow the one before it.
    BrokenLink,
    /// Records are missing, repeated or out of order.
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// The last line has no end.
    Unfinished,
    /// An outcome without its intent.
    NoIntent,
    /// A segment is gone that a checkpoint vouched for.
    Missing {
        /// Its first record.
        first: u64,
        /// Its last one.
        last: u64,
    },
    /// The end of a segment is gone, as a checkpoint shows.
    Cut {
        /// The first record that is missing.
        first: u64,
        /// The last one that was there.
        last: u64,
    },
    /// A record is not the one that a checkpoint vouched for.
    Replaced {
        /// Its number.
        seq: u64,
    },
    /// The signature of a checkpoint is wrong.
    BadSignature,
    /// A checkpoint was signed by a key that is not this machine's.
    OtherKey,
    /// No record has the hash that was kept elsewhere.
    HeadNotFound,
    /// In a team: the end of the chain has no signature.
    Unsigned,
    /// In a team: whole chains are gone.
    ChainsMissing {
        /// The number of the first of them.
        first: u64,
        /// That of the last one.
        last: u64,
    },
    /// In a team: the row of a record has another tenant, time or call than the record.
    Misplaced {
        /// The number of the record.
        seq: u64,
    },
    /// A note: the records up to this one were removed, as the configuration said.
    Removed {
        /// The last of them.
        last: u64,
    },
    /// A note: whose signatures the checkpoints have is not known here.
    KeyUnknown,
    /// A note: a killed writer left a line unfinished, and the next one closed it.
    Torn,
    /// A note: a call was let through and its end is not recorded: it is running, or was killed.
    NoOutcome,
    /// A note: the clock was set back.
    ClockBack,
}

#[derive(Clone, Debug)]
struct Place {
    segment: Arc<str>,
    line: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    seq: u64,
    prev: Hash,
}

#[derive(Debug)]
struct Before {
    link: Link,
    place: Place,
    digest: Hash,
    intent: Option<String>,
}

#[derive(Debug)]
struct Pending {
    place: Place,
    finding: Finding,
    /// Of the bytes of the line.
    digest: Hash,
    /// What the line says of itself, where it says anything.
    claims: Option<Link>,
}

/// The fields of a record that matter here.
#[derive(Deserialize)]
struct Record<'a> {
    v: u8,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    audit_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
    checkpoint: Option<Checkpoint>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// A verifier that has read nothing.
    pub fn new() -> Self {
        Self::expecting(Expect::default())
    }

    /// A verifier that holds the chain against what is expected of it, too.
    pub fn expecting(expect: Expect) -> Self {
        Self {
            place: Place { segment: "".into(), line: 0 },
            expected: Link { seq: 1, prev: Hash::GENESIS },
            before: None,
            pending: None,
            lost: false,
            last_time: String::new(),
            intents: HashMap::new(),
            vouchers: Vouchers::new(expect),
            report: Report::default(),
        }
    }

    /// Goes on with the segment called `name`.
    pub fn segment(&mut self, name: &str) {
        self.place = Place { segment: name.into(), line: 0 };
    }

    /// Takes one line, with its `\n` where it has one.
    pub fn line(&mut self, bytes: &[u8]) {
        self.place.line += 1;
        let (text, ended) = match bytes.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (bytes, false),
        };
        match read(text) {
            Ok((record, link, hash)) if ended => self.record(text, &record, link, hash),
            Ok((_, link, hash)) => {
                let claims = Link { seq: link.seq + 1, prev: hash };
                self.suspect(text, Finding::Unfinished, Some(claims));
            }
            Err((finding, claims)) => {
                let finding = if ended { finding } else { Finding::Unfinished };
                self.suspect(text, finding, claims);
            }
        }
    }

    /// Takes a whole segment.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.segment(name);
        bytes.split_inclusive(|&byte| byte == b'\n').for_each(|line| self.line(line));
    }

    /// Says what was found. What is wrong with the last line is known only now.
    pub fn finish(mut self) -> Report {
        self.settle();
        let mut open: Vec<Place> = self.intents.drain().map(|(_, place)| place).collect();
        open.sort_by(|a, b| (&a.segment, a.line).cmp(&(&b.segment, b.line)));
        for place in open {
            self.find(place, Finding::NoOutcome);
        }
        let (found, signed) = std::mem::take(&mut self.vouchers).finish();
        for (place, finding) in found {
            self.find(place, finding);
        }
        self.report.signed = signed;
        self.report
    }

    /// A record whose own hash is right.
    fn record(&mut self, text: &[u8], record: &Record<'_>, link: Link, hash: Hash) {
        let torn = record.kind == Kind::Torn.as_str();
        if !(torn && self.close(record, link)) {
            self.settle();
        }
        let here = self.place.clone();
        self.vouchers.record(&here, link, hash);
        if let Some(checkpoint) = &record.checkpoint {
            self.vouchers.checkpoint(&here, checkpoint);
        }
        let nothing_before = self.report.records == 0 && self.expected.seq == 1;
        if nothing_before && !self.lost && link.seq > 1 {
            // What stood before it may have been removed on purpose: a checkpoint knows.
            self.vouchers.begins(&here, link);
        } else if !self.lost && link != self.expected {
            let finding = if link.seq == self.expected.seq {
                Finding::BrokenLink
            } else {
                Finding::Gap { expected: self.expected.seq, found: link.seq }
            };
            self.find(here.clone(), finding);
        }
        self.lost = false;
        if *record.time < *self.last_time {
            self.find(here.clone(), Finding::ClockBack);
        }
        self.last_time.replace_range(.., &record.time);
        let intent = self.pair(record, &here);
        let digest = Hash::of(text);
        self.before = (!torn).then_some(Before { link, place: here, digest, intent });
        self.expected = Link { seq: link.seq.saturating_add(1), prev: hash };
        self.report.records += 1;
        self.report.head = Some(hash);
    }

    /// Keeps the intents that wait for their outcome. Returns the id of an intent.
    fn pair(&mut self, record: &Record<'_>, here: &Place) -> Option<String> {
        let id = record.audit_id.as_deref()?;
        if record.kind == Kind::Intent.as_str() {
            self.intents.insert(id.to_owned(), here.clone());
            return Some(id.to_owned());
        }
        if record.kind == Kind::Outcome.as_str() && self.intents.remove(id).is_none() {
            self.find(here.clone(), Finding::NoIntent);
        }
        None
    }

    /// Whether the torn `record` closes the line before it: one that is no record, or one that is
    /// whole but for the line break that was not written.
    fn close(&mut self, record: &Record<'_>, link: Link) -> bool {
        let named = record.subject.as_deref().and_then(Hash::from_hex);
        if let Some(pending) = &self.pending {
            let fits = link == self.expected && !self.lost;
            if !fits || record.subject.is_some() && named != Some(pending.digest) {
                return false;
            }
            let place = pending.place.clone();
            self.pending = None;
            self.find(place, Finding::Torn);
            return true;
        }
        match self.before.take() {
            Some(before) if before.link == link && named == Some(before.digest) => {
                if let Some(id) = before.intent {
                    self.intents.remove(&id);
                }
                self.expected = link;
                self.report.records -= 1;
                self.find(before.place, Finding::Torn);
                true
            }
            _ => false,
        }
    }

    /// Keeps a line that is wrong unless the next one closes it.
    fn suspect(&mut self, text: &[u8], finding: Finding, claims: Option<Link>) {
        self.settle();
        let digest = Hash::of(text);
        self.pending = Some(Pending { place: self.place.clone(), finding, digest, claims });
    }

    /// Nothing has closed the pending line: it is wrong. What follows is held against what the
    /// line says of itself, so that one change is not reported at every line behind it.
    fn settle(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        self.find(pending.place, pending.finding);
        match pending.claims {
            Some(claims) => self.expected = claims,
            None => self.lost = true,
        }
        self.before = None;
    }

    fn find(&mut self, place: Place, finding: Finding) {
        let found = Found { segment: place.segment, line: place.line, finding };
        if finding.is_problem() {
            self.report.problems.push(found);
        } else {
            self.report.notes.push(found);
        }
    }
}

/// A record, its link and its hash; or what is wrong, and the link that the next line would have.
type Read<'a> = Result<(Record<'a>, Link, Hash), (Finding, Option<Link>)>;

fn read(text: &[u8]) -> Read<'_> {
    let not = (Finding::NotARecord, None);
    let record: Record<'_> = serde_json::from_slice(text).map_err(|_| not)?;
    let (Some(prev), Some(hash)) = (Hash::from_hex(&record.prev), Hash::from_hex(&record.hash))
    else {
        return Err(not);
    };
    let hashed = text
        .strip_suffix(b"\"}")
        .and_then(|text| text.strip_suffix(record.hash.as_bytes()))
        .and_then(|text| text.strip_suffix(TAIL));
    let Some(hashed) = hashed.filter(|_| record.v == 1 && record.seq < u64::MAX) else {
        return Err(not);
    };
    let link = Link { seq: record.seq, prev };
    if Hash::of(hashed) == hash {
        Ok((record, link, hash))
    } else {
        Err((Finding::WrongHash, Some(Link { seq: link.seq + 1, prev: hash })))
    }
}

impl Finding {
    /// Whether it should not be.
    pub fn is_problem(self) -> bool {
        !matches!(
            self,
            Self::Torn
                | Self::NoOutcome
                | Self::ClockBack
                | Self::Removed { .. }
                | Self::KeyUnknown
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotARecord => "the line is not a record",
            Self::WrongHash => "the line was changed after it was written",
            Self::BrokenLink => "the record does not follow the one before it",
            Self::Gap { expected, found } => {
                return write!(f, "record {expected} is due, and {found} is here");
            }
            Self::Unfinished => "the last line has no end",
            Self::NoIntent => "an outcome without its intent",
            Self::Missing { first, last } => {
                return write!(f, "the segment is missing, with records {first} to {last}");
            }
            Self::Cut { first, last } => {
                return write!(f, "the end was cut off: records {first} to {last} are missing");
            }
            Self::Replaced { seq } => {
                return write!(f, "record {seq} is not the one that was signed");
            }
            Self::BadSignature => "the signature of the checkpoint is wrong",
            Self::OtherKey => "the checkpoint was not signed with the key of this machine",
            Self::HeadNotFound => "no record has the hash that was given",
            Self::Unsigned => "the end of the chain is not signed",
            Self::ChainsMissing { first, last } if first == last => {
                return write!(f, "chain {first} is missing");
            }
            Self::ChainsMissing { first, last } => {
                return write!(f, "chains {first} to {last} are missing");
            }
            Self::Misplaced { seq } => {
                return write!(f, "record {seq} stands in the row of another tenant, time or call");
            }
            Self::Removed { last } => {
                return write!(f, "records 1 to {last} were removed, as `[audit] keep` says");
            }
            Self::KeyUnknown => "whose key signed the checkpoints is not known here",
            Self::Torn => "a line was left unfinished and closed by the next writer",
            Self::NoOutcome => "the end of an allowed call is not recorded",
            Self::ClockBack => "the clock was set back",
        })
    }
}

#[cfg(test)]
mod tests;
