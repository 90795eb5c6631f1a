//! Finds the patterns of one length class in a text, from left to right.
//!
//! Every pattern has at least as many bytes as the class has in common, its *head*. Of a head every
//! stretch of `GRAM` bytes is noted in a [`Filter`]. In the text not every such stretch is looked up
//! but one in `stride`, spaced so that every place where a head may stand has one within it: the
//! filter says "no" at almost all of them, and what it has said "no" to needs no further look. Where
//! it says "maybe", the few heads that may be there are looked up by hash and compared. The filter
//! has no false negatives and what it lets pass is compared byte for byte, so where exactly in the
//! text it looks makes no difference to what is found.

use std::ops::Range;

use super::patterns::{Pattern, Patterns, WINDOW};

/// See the module. `GRAM`: 8 for patterns of at least 12 bytes, 4 for shorter ones.
#[derive(Default)]
pub(super) struct Matcher<const GRAM: usize> {
    patterns: Patterns,
    /// How many bytes every pattern has at least.
    head: usize,
    filter: Filter,
    heads: Heads,
}

/// What comes next in a text.
#[derive(Clone, Copy)]
pub(super) enum Next {
    /// The longest pattern that occurs at the first place from which on one does.
    Found { start: usize, end: usize, label: usize },
    /// None begins before this place; whether one begins here, what follows the text will tell.
    Open(usize),
}

impl Next {
    /// The place that this is about.
    pub(super) fn at(&self) -> usize {
        match *self {
            Self::Found { start, .. } => start,
            Self::Open(at) => at,
        }
    }
}

impl<const GRAM: usize> Matcher<GRAM> {
    /// A matcher of `patterns`, none shorter than `GRAM`.
    pub(super) fn new(patterns: Patterns) -> Self {
        let lengths = patterns.list.iter().map(|pattern| pattern.end - pattern.start);
        let Some(shortest) = lengths.min() else { return Self::default() };
        let head = shortest.min(WINDOW);
        let groups: Vec<Range<usize>> = {
            let heads = |index: usize| &patterns.bytes(&patterns.list[index])[..head];
            let mut start = 0;
            let mut groups = Vec::new();
            for index in 1..=patterns.list.len() {
                if index == patterns.list.len() || heads(index) != heads(start) {
                    groups.push(start..index);
                    start = index;
                }
            }
            groups
        };
        let mut filter = Filter::with_room(groups.len() * (head + 1 - GRAM));
        let mut heads = Heads::with_room(groups.len());
        for group in groups {
            let bytes = &patterns.bytes(&patterns.list[group.start])[..head];
            bytes.windows(GRAM).for_each(|gram| filter.note(mix(word::<GRAM>(gram))));
            heads.insert(hash::<GRAM>(bytes), group);
        }
        Self { patterns, head, filter, heads }
    }

    /// Whether there are no patterns.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.list.is_empty()
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.patterns.arena.capacity()
            + self.patterns.list.capacity() * size_of::<Pattern>()
            + self.filter.words.len() * size_of::<u64>()
            + self.heads.slots.len() * size_of::<Slot>()
    }

    /// What comes next from `from` on. `last`: nothing follows `text`. `work` grows by the bytes
    /// compared.
    pub(super) fn next(&self, text: &[u8], from: usize, last: bool, work: &mut u64) -> Next {
        if self.is_empty() {
            return Next::Open(text.len());
        }
        let stride = self.head + 1 - GRAM;
        let mut at = from + stride - 1;
        while let Some(gram) = text.get(at..at + GRAM) {
            if self.filter.may_hold(mix(word::<GRAM>(gram))) {
                for start in at + 1 - stride..=at {
                    if let Some(next) = self.begins(text, start, last, work) {
                        return next;
                    }
                }
            }
            at += stride;
        }
        // So much of the end is too short for a head.
        let open = if last { text.len() } else { (text.len() + 1).saturating_sub(self.head) };
        Next::Open(open.max(from))
    }

    /// What begins at `start`, if anything does or may.
    #[inline(never)]
    fn begins(&self, text: &[u8], start: usize, last: bool, work: &mut u64) -> Option<Next> {
        let head = text.get(start..start + self.head)?;
        *work += 1;
        let hash = hash::<GRAM>(head);
        let mut candidates = self.heads.with_hash(hash);
        let group = candidates.find(|group| {
            *work += self.head as u64;
            self.patterns.bytes(&self.patterns.list[group.start]).starts_with(head)
        })?;
        match self.longest(group, &text[start..], last, work)? {
            Longest::Open => Some(Next::Open(start)),
            Longest::Is(Pattern { start: from, end: to, label, .. }) => {
                Some(Next::Found { start, end: start + (to - from), label: *label })
            }
        }
    }

    /// The longest pattern of `group` that `text` starts with.
    ///
    /// Where patterns and `text` are sorted, all that `text` starts with stand before it, and the
    /// one right before it starts with them. All that start with `text` stand right behind it.
    fn longest(
        &self,
        group: Range<usize>,
        text: &[u8],
        last: bool,
        work: &mut u64,
    ) -> Option<Longest<'_>> {
        let mut common = |pattern: &Pattern| {
            let length = common_prefix(self.patterns.bytes(pattern), text);
            *work += length as u64 + 1;
            length
        };
        let behind = group.start
            + self.patterns.list[group.clone()].partition_point(|pattern| {
                let shared = common(pattern);
                let rest = &self.patterns.bytes(pattern)[shared..];
                rest.first().is_none_or(|byte| text.get(shared).is_some_and(|next| byte < next))
            });
        if !last && behind < group.end && common(&self.patterns.list[behind]) == text.len() {
            return Some(Longest::Open);
        }
        if behind == group.start {
            return None;
        }
        let mut index = behind - 1;
        let shared = common(&self.patterns.list[index]);
        loop {
            let pattern = &self.patterns.list[index];
            if pattern.end - pattern.start <= shared {
                return Some(Longest::Is(pattern));
            }
            *work += 1;
            index = pattern.parent?;
        }
    }
}

enum Longest<'a> {
    Is(&'a Pattern),
    /// What follows the text may make it a longer one.
    Open,
}

fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 16;
    let steps = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let same = steps.take_while(|(one, other)| one == other).count() * STEP;
    same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count()
}

/// The first `N` bytes as a number.
fn word<const N: usize>(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..N].copy_from_slice(&bytes[..N]);
    u64::from_le_bytes(word)
}

/// Spreads a number over 64 bits: the halves of its product with a large odd constant, folded.
fn mix(word: u64) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (low, high) = word.carrying_mul(FACTOR, 0);
    low ^ high
}

/// A hash of a head, from its first and its last `GRAM` bytes.
fn hash<const GRAM: usize>(head: &[u8]) -> u64 {
    mix(mix(word::<GRAM>(head)) ^ word::<GRAM>(&head[head.len() - GRAM..]).rotate_left(29))
}

/// A set of hashes that may say "maybe" to one that it was not given: a Bloom filter of two bits in
/// one word, which is one access to memory.
#[derive(Default)]
struct Filter {
    words: Vec<u64>,
    shift: u32,
}

/// Bits for each hash, at least.
const BITS: usize = 8;

impl Filter {
    fn with_room(hashes: usize) -> Self {
        let words = (hashes * BITS / 64).next_power_of_two().max(64);
        Self { words: vec![0; words], shift: 64 - words.trailing_zeros() }
    }

    fn note(&mut self, hash: u64) {
        let word = place(hash, self.shift);
        self.words[word] |= bits(hash);
    }

    #[inline]
    fn may_hold(&self, hash: u64) -> bool {
        self.words[place(hash, self.shift)] & bits(hash) == bits(hash)
    }
}

fn place(hash: u64, shift: u32) -> usize {
    usize::try_from(hash >> shift).expect("a table fits into memory")
}

fn bits(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63)
}

/// Groups of patterns by the hash of their common head. Open addressing, at most half full.
#[derive(Default)]
struct Heads {
    slots: Vec<Slot>,
    shift: u32,
}

/// An empty one has an empty group.
#[derive(Clone, Default)]
struct Slot {
    hash: u64,
    group: Range<usize>,
}

impl Heads {
    fn with_room(groups: usize) -> Self {
        let slots = (groups * 2).next_power_of_two().max(2);
        Self { slots: vec![Slot::default(); slots], shift: 64 - slots.trailing_zeros() }
    }

    fn insert(&mut self, hash: u64, group: Range<usize>) {
        let mut at = place(hash, self.shift);
        while !self.slots[at].group.is_empty() {
            at = (at + 1) % self.slots.len();
        }
        self.slots[at] = Slot { hash, group };
    }

    fn with_hash(&self, hash: u64) -> impl Iterator<Item = Range<usize>> {
        let at = place(hash, self.shift);
        self.slots[at..]
            .iter()
            .chain(&self.slots[..at])
            .take_while(|slot| !slot.group.is_empty())
            .filter(move |slot| slot.hash == hash)
            .map(|slot| slot.group.clone())
    }
}
