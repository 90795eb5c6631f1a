//! All byte strings that are looked for, from all secrets.

use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem;
use zeroize::Zeroizing;

use super::{SHORTEST, forms, public};

/// So many bytes in a row of a secret count as the secret. Longer patterns are found by their first
/// so many bytes, shorter ones by a search of their own.
pub(super) const WINDOW: usize = 12;

/// A form that repeats itself is looked for in pieces of this length.
///
/// Invariant: it bounds the work. Where each of many places in a row may be the start of a form, and
/// all agree with it for long, the form agrees with itself: its beginning has a short period. Every
/// form without one of a quarter of its length costs a constant number of comparisons for each byte
/// of text; every other form is cut into pieces, each of which costs no more than its length.
pub(super) const PIECE: usize = 64;

/// The patterns of one length class, sorted by their bytes, each once.
#[derive(Default)]
pub(super) struct Patterns {
    /// What the patterns are parts of.
    pub(super) arena: Zeroizing<Vec<u8>>,
    pub(super) list: Vec<Pattern>,
}

/// One byte string, as a part of the arena.
#[derive(Clone, Copy)]
pub(super) struct Pattern {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whose it is: the lowest, if several have it.
    pub(super) label: usize,
    /// The longest other pattern that this one starts with: its place in the list.
    pub(super) parent: Option<usize>,
}

impl Patterns {
    /// The bytes of a pattern.
    pub(super) fn bytes(&self, pattern: &Pattern) -> &[u8] {
        &self.arena[pattern.start..pattern.end]
    }

    fn new(forms: Vec<Form>) -> Self {
        let mut arena = Zeroizing::new(Vec::with_capacity(forms.iter().map(Form::len).sum()));
        let mut list = Vec::new();
        for Form { label, bytes, private } in forms {
            let start = arena.len();
            arena.extend_from_slice(&bytes);
            let mut add = |part: Range<usize>| {
                let (start, end) = (start + part.start, start + part.end);
                list.push(Pattern { start, end, label, parent: None });
            };
            for stretch in private {
                windows(stretch, WINDOW).for_each(&mut add);
            }
            if repeats(&bytes) {
                let mut seen = HashSet::new();
                windows(0..bytes.len(), PIECE)
                    .filter(|window| seen.insert(&bytes[window.clone()]))
                    .for_each(&mut add);
            } else {
                add(0..bytes.len());
            }
        }
        let mut patterns = Self { arena, list };
        patterns.sort();
        patterns
    }

    fn sort(&mut self) {
        let arena = &self.arena;
        let bytes = |pattern: &Pattern| &arena[pattern.start..pattern.end];
        self.list.sort_unstable_by(|one, other| {
            bytes(one).cmp(bytes(other)).then(one.label.cmp(&other.label))
        });
        self.list.dedup_by(|other, one| bytes(other) == bytes(one));
        // Of those before it, the ones that a pattern starts with are the open ones.
        let mut open: Vec<usize> = Vec::new();
        for index in 0..self.list.len() {
            let this = bytes(&self.list[index]);
            while open.pop_if(|last| !this.starts_with(bytes(&self.list[*last]))).is_some() {}
            self.list[index].parent = open.last().copied();
            open.push(index);
        }
    }
}

/// The forms of all secrets added so far.
#[derive(Default)]
pub(super) struct Collected {
    long: Vec<Form>,
    short: Vec<Form>,
}

struct Form {
    label: usize,
    bytes: Zeroizing<Vec<u8>>,
    /// The stretches of which windows are looked for too.
    private: Vec<Range<usize>>,
}

impl Form {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Collected {
    /// Adds the forms of a secret; says how many bytes of it count.
    ///
    /// Line ends at its end do not: what it is without them is in every form of what it is with
    /// them. Those within are looked for as LF and as CRLF.
    pub(super) fn add(&mut self, label: usize, secret: &[u8]) -> usize {
        let value = without_line_ends(secret);
        if value.len() >= SHORTEST {
            self.add_forms(label, value);
            if value.contains(&b'\n') {
                self.add_forms(label, &with_line_ends(value, b"\n"));
                self.add_forms(label, &with_line_ends(value, b"\r\n"));
            }
        }
        value.len()
    }

    /// The patterns of at least [`WINDOW`] bytes, and the shorter ones.
    pub(super) fn finish(self) -> (Patterns, Patterns) {
        (Patterns::new(self.long), Patterns::new(self.short))
    }

    fn add_forms(&mut self, label: usize, value: &[u8]) {
        let mut private = public::private(value);
        for bytes in forms::of(value) {
            // The first form is the value itself.
            let form = Form { label, bytes, private: std::mem::take(&mut private) };
            if form.len() >= WINDOW { self.long.push(form) } else { self.short.push(form) }
        }
    }
}

fn without_line_ends(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &value[..end.map_or(0, |last| last + 1)]
}

fn with_line_ends(value: &[u8], line_end: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    for (index, line) in value.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            out.extend_from_slice(line_end);
        }
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    out
}

/// The parts of `length` bytes within `stretch`.
fn windows(stretch: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    (stretch.start..(stretch.end + 1).saturating_sub(length))
        .map(move |start| start..start + length)
}

/// Whether some beginning of `bytes`, at least [`PIECE`] long, has a period of at most a quarter of
/// its length.
fn repeats(bytes: &[u8]) -> bool {
    // Such a period would show in the first bytes standing there once more.
    if bytes.len() < PIECE || memmem::find(&bytes[1..], &bytes[..PIECE / 4]).is_none() {
        return false;
    }
    // borders[i]: how long the longest part is that `bytes[..=i]` both starts and ends with.
    let mut borders = vec![0; bytes.len()];
    let mut border = 0;
    for end in 1..bytes.len() {
        while border > 0 && bytes[border] != bytes[end] {
            border = borders[border - 1];
        }
        border += usize::from(bytes[border] == bytes[end]);
        borders[end] = border;
        let length = end + 1;
        if length >= PIECE && (length - border) * 4 <= length {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_whose_beginning_repeats_itself_is_cut_into_few_pieces() {
        for (value, patterns) in [(b"a".repeat(1_000), 2), (b"ab".repeat(500), 4)] {
            let mut collected = Collected::default();
            collected.add_forms(0, &value);
            let (long, _) = collected.finish();
            let raw = long.list.iter().filter(|pattern| {
                long.bytes(pattern).iter().all(|byte| matches!(byte, b'a' | b'b'))
            });
            assert_eq!(raw.count(), patterns);
            assert!(long.list.iter().all(|pattern| pattern.end - pattern.start <= PIECE));
        }
        assert!(!repeats(b"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAxYz0123456789abcdefg"));
    }

    #[test]
    fn a_pattern_knows_the_longest_other_that_it_starts_with() {
        let form = |text: &str| Form {
            label: 0,
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            private: Vec::new(),
        };
        let patterns = Patterns::new(["abc", "ab", "abd", "abcde", "b"].map(form).into());
        let parents: Vec<_> = patterns.list.iter().map(|pattern| pattern.parent).collect();
        assert_eq!(parents, [None, Some(0), Some(1), Some(0), None]);
    }
}
