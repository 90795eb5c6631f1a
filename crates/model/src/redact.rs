//! Finds every loaded secret in what comes back, in the forms that an upstream may echo it in, and
//! puts a marker in its place.
//!
//! What is found is a matter of byte positions alone: every occurrence of every form of
//! every secret, where occurrences that overlap, or touch and have one label, are one. The result
//! therefore does not depend on how the bytes were cut into chunks. Each stretch becomes one
//! `[REDACTED:label]`, with the label of the occurrence that begins first (of those that begin
//! together the longest, then the secret that was named first), however long it is.
//!
//! Forms: as it is; as JSON, HTML, percent encoding (also twice), base64 (also within a longer
//! text), hex and UTF-16 write it (`forms`). Partial matches: any twelve bytes in a row of the
//! secret behind what is public of it (`public`, decision 30). Not covered: a secret that was
//! encoded twice otherwise, reversed, hashed, put in other case or cut below twelve bytes.
//!
//! Secrets of fewer than 12 bytes are found whole only, those of fewer than [`SHORTEST`] not at all.
//!
//! How it is fast: `matcher`, and decision 40.

mod forms;
mod json;
mod matcher;
mod patterns;
mod public;

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;

use crate::secret::Secret;
use matcher::{Matcher, Next};

/// Secrets with fewer bytes are not looked for: they turn up by chance.
pub const SHORTEST: usize = 4;

/// Secrets with fewer bytes deserve a warning: what is replaced may not be the secret.
pub const SAFE: usize = 8;

/// Bytes that have passed the redactor, or that are our own. Only this module makes one, and what
/// leaves towards an agent is of this type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clean<T>(T);

impl<T> Clean<T> {
    /// The redacted value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Takes the redacted value out.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsRef<[u8]>> Clean<T> {
    /// The redacted value as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        str::from_utf8(self.0.as_ref()).ok()
    }
}

impl Clean<String> {
    /// A text of our own, written in the source: no secret can be in it.
    pub fn fixed(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl Clean<Vec<u8>> {
    /// The same bytes, cheap to share.
    pub fn into_bytes(self) -> Clean<Bytes> {
        self.into()
    }
}

impl Clean<Vec<u8>> {
    /// Appends what is redacted too, in a pass of its own.
    pub fn append(&mut self, more: &mut Self) {
        self.0.append(&mut more.0);
    }
}

impl From<Clean<Vec<u8>>> for Clean<Bytes> {
    fn from(clean: Clean<Vec<u8>>) -> Self {
        Self(clean.0.into())
    }
}

/// A secret and the name that stands in its marker: `[REDACTED:name]`.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The service or server that the secret belongs to.
    pub label: String,
    /// The value.
    pub secret: Arc<Secret>,
}

/// Matches every secret it was built from, in every form that we know.
#[derive(Default)]
pub struct Redactor {
    labels: Vec<Label>,
    long: Matcher<8>,
    short: Matcher<4>,
}

/// What is known of the secrets with one label.
struct Label {
    name: String,
    marker: Vec<u8>,
    /// Bytes of the shortest secret, without line ends at its end.
    shortest: usize,
}

impl Redactor {
    /// Builds the matcher. Work is done here, off the call path, so that streams are cheap.
    pub fn new(secrets: &[Labelled]) -> Self {
        let mut labels: Vec<Label> = Vec::new();
        let mut found = patterns::Collected::default();
        for Labelled { label: name, secret } in secrets {
            let label = labels.iter().position(|known| known.name == *name).unwrap_or_else(|| {
                labels.push(Label::new(name));
                labels.len() - 1
            });
            let length = found.add(label, secret.expose());
            labels[label].shortest = labels[label].shortest.min(length);
        }
        let (long, short) = found.finish();
        Self { labels, long: Matcher::new(long), short: Matcher::new(short) }
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.long.is_empty() && self.short.is_empty()
    }

    /// Labels with a secret that is too short to be redacted safely: below [`SAFE`] bytes other text
    /// may be taken for it.
    pub fn too_short(&self) -> impl Iterator<Item = &str> {
        self.below(SAFE)
    }

    /// Labels with a secret that is not looked for at all, having fewer than [`SHORTEST`] bytes.
    pub fn unmatched(&self) -> impl Iterator<Item = &str> {
        self.below(SHORTEST)
    }

    /// Bytes of memory that the matcher holds.
    pub fn memory_bytes(&self) -> usize {
        let labels = self.labels.iter().map(|label| label.name.len() + label.marker.len());
        labels.sum::<usize>() + self.long.memory_bytes() + self.short.memory_bytes()
    }

    /// A pass over one stream.
    pub fn stream(&self) -> Stream<&Self> {
        Stream { redactor: self, held: Vec::new(), pass: Pass::default() }
    }

    /// A pass over one stream that outlives the borrow.
    pub fn into_stream(self: Arc<Self>) -> Stream {
        Stream { redactor: self, held: Vec::new(), pass: Pass::default() }
    }

    /// Where markers would stand in `text`, and which: for a text that is read in another way than it
    /// is written.
    pub fn found(&self, text: &[u8]) -> Vec<(Range<usize>, &[u8])> {
        let mut found: Vec<(Range<usize>, &[u8])> = Vec::new();
        let mut pass = Pass::default();
        self.each(text, true, &mut pass, |pass, start, end, label| {
            if pass.joins(start, label) {
                if let Some((last, _)) = found.last_mut() {
                    last.end = last.end.max(end);
                }
                pass.done = pass.done.max(end);
            } else {
                found.push((start..end, &self.labels[label].marker));
                pass.done = end;
                pass.label = Some(label);
            }
            true
        });
        found
    }

    /// Redacts a whole value; says how many markers were put. What holds no secret is handed back
    /// unmoved.
    pub fn clean(&self, bytes: Vec<u8>) -> (Clean<Vec<u8>>, u64) {
        match self.replaced(&bytes, usize::MAX) {
            Some((out, markers)) => (Clean(out), markers),
            None => (Clean(bytes), 0),
        }
    }

    /// Redacts a whole value that may have at most `most` bytes afterwards; `None` where it has more.
    ///
    /// A marker is longer than some of what it stands for: an upstream that knows a secret could
    /// send a body of pieces of it that grows several times over.
    pub fn clean_within(&self, bytes: Vec<u8>, most: usize) -> Option<(Clean<Vec<u8>>, u64)> {
        let (bytes, markers) = self.replaced(&bytes, most).unwrap_or((bytes, 0));
        (bytes.len() <= most).then_some((Clean(bytes), markers))
    }

    /// Redacts text; says how many markers were put.
    pub fn clean_text(&self, text: &str) -> (Clean<String>, u64) {
        match self.replaced(text.as_bytes(), usize::MAX) {
            // Part of a secret may begin within a character of the text. What is left of that
            // character is no text: it becomes U+FFFD.
            Some((out, markers)) => (
                Clean(String::from_utf8(out).unwrap_or_else(|error| {
                    String::from_utf8_lossy(error.as_bytes()).into_owned()
                })),
                markers,
            ),
            None => (Clean(text.to_owned()), 0),
        }
    }

    /// `text` with its markers, or nothing if it needs none. What is longer than `most` bytes is not
    /// finished.
    fn replaced(&self, text: &[u8], most: usize) -> Option<(Vec<u8>, u64)> {
        let mut pass = Pass { most, ..Pass::default() };
        let nothing = |next: Next| matches!(next, Next::Open(_));
        if nothing(self.long.next(text, 0, true, &mut pass.work))
            && nothing(self.short.next(text, 0, true, &mut pass.work))
        {
            return None;
        }
        // Room for markers that are longer than what they stand for, so that it seldom moves.
        let mut out = Vec::with_capacity(text.len() + text.len() / 8);
        self.sweep(text, true, &mut pass, &mut out);
        pass.let_through(text, text.len(), &mut out);
        Some((out, pass.markers))
    }

    /// Appends to `out` what becomes of `text` up to the last occurrence that begins before the
    /// place that is returned. Behind that place nothing can be decided without what follows `text`;
    /// `last` says that nothing does.
    fn sweep(&self, text: &[u8], last: bool, pass: &mut Pass, out: &mut Vec<u8>) -> usize {
        self.each(text, last, pass, |pass, start, end, label| {
            if pass.joins(start, label) {
                pass.done = pass.done.max(end);
                return true;
            }
            pass.let_through(text, start, out);
            if out.len() > pass.most {
                return false;
            }
            out.extend_from_slice(&self.labels[label].marker);
            pass.markers += 1;
            pass.done = end;
            pass.label = Some(label);
            true
        })
    }

    /// Shows every occurrence in `text` to `see`, from left to right, until it has seen enough.
    /// Returns the place behind which nothing can be decided.
    fn each(
        &self,
        text: &[u8],
        last: bool,
        pass: &mut Pass,
        mut see: impl FnMut(&mut Pass, usize, usize, usize) -> bool,
    ) -> usize {
        let mut long = self.long.next(text, 0, last, &mut pass.work);
        let mut short = self.short.next(text, 0, last, &mut pass.work);
        loop {
            // Of two that begin at one place the long one is first. While it is open whether one
            // begins there, the short one has to wait.
            let is_long = long.at() <= short.at();
            let next = if is_long { long } else { short };
            let Next::Found { start, end, label } = next else { return next.at() };
            if !see(pass, start, end, label) {
                return text.len();
            }
            if is_long {
                long = self.long.next(text, start + 1, last, &mut pass.work);
            } else {
                short = self.short.next(text, start + 1, last, &mut pass.work);
            }
        }
    }

    fn below(&self, length: usize) -> impl Iterator<Item = &str> {
        self.labels
            .iter()
            .filter(move |label| label.shortest < length)
            .map(|label| label.name.as_str())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.labels.iter().map(|label| &label.name)).finish()
    }
}

impl Label {
    fn new(name: &str) -> Self {
        let marker = format!("[REDACTED:{name}]").into_bytes();
        Self { name: name.to_owned(), marker, shortest: usize::MAX }
    }
}

/// One pass over one stream of bytes.
///
/// It holds back what may yet turn out to be the beginning of a secret: at most as many bytes as
/// the longest form has, and eleven where nothing looks like one.
pub struct Stream<R = Arc<Redactor>> {
    redactor: R,
    held: Vec<u8>,
    pass: Pass,
}

/// A chunk is taken in pieces of this many bytes, so that what is held stays small.
const PIECE: usize = 64 << 10;

impl<R: Deref<Target = Redactor>> Stream<R> {
    /// Feeds `chunk`; appends to `out` what is decided.
    pub fn push(&mut self, chunk: &[u8], out: &mut Clean<Vec<u8>>) {
        for piece in chunk.chunks(PIECE) {
            self.held.extend_from_slice(piece);
            let decided = self.redactor.sweep(&self.held, false, &mut self.pass, &mut out.0);
            self.pass.let_through(&self.held, decided, &mut out.0);
            self.held.drain(..decided);
            self.pass.done -= decided;
        }
    }

    /// Ends the stream; appends the rest to `out` and says how many markers were put in all.
    pub fn finish(mut self, out: &mut Clean<Vec<u8>>) -> u64 {
        self.redactor.sweep(&self.held, true, &mut self.pass, &mut out.0);
        self.pass.let_through(&self.held, self.held.len(), &mut out.0);
        self.pass.markers
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How many bytes were compared with forms so far: a measure of the work that does not depend on
    /// the machine.
    pub fn work(&self) -> u64 {
        self.pass.work
    }
}

/// What was decided of a text, by positions in it.
struct Pass {
    /// What is before it was let through or replaced. It may lie behind what is decided: an
    /// occurrence reaches up to here.
    done: usize,
    /// The occurrence that reaches up to `done`, by its label.
    label: Option<usize>,
    markers: u64,
    /// A pass whose output has more bytes than these ends.
    most: usize,
    work: u64,
}

impl Default for Pass {
    fn default() -> Self {
        Self { done: 0, label: None, markers: 0, most: usize::MAX, work: 0 }
    }
}

impl Pass {
    /// Whether an occurrence that begins at `start` is one with the last.
    fn joins(&self, start: usize, label: usize) -> bool {
        start < self.done || (start == self.done && self.label == Some(label))
    }

    /// Appends the part of `text` before `end` that is not done with.
    fn let_through(&mut self, text: &[u8], end: usize, out: &mut Vec<u8>) {
        if self.done < end {
            out.extend_from_slice(&text[self.done..end]);
            self.done = end;
            self.label = None;
        }
    }
}

#[cfg(test)]
mod tests;
