//! What is inside the seal: times, a number, and the entries, in the order of their references.
//!
//! `latest u64 | generation u64 | count u32`, then for each entry `length u16 | reference |
//! fetched_at u64 | ttl u64 | length u32 | value`; times in nanoseconds since 1970, numbers
//! big-endian. References strictly ascend, and nothing stands behind the last entry: one content has
//! one form.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_model::freshness::{Freshness, Outcome, Use};
use strongroom_model::secret::Secret;

/// The content, decrypted once; entries are parts of it.
pub(crate) struct Body {
    plain: Secret,
    slots: Vec<Slot>,
    /// The latest time that was ever seen.
    pub(crate) latest: u64,
    /// Grows with each write.
    pub(crate) generation: u64,
}

/// An entry.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) reference: &'a str,
    pub(crate) fetched_at: SystemTime,
    pub(crate) ttl: Duration,
    value: &'a [u8],
}

/// Where an entry stands.
struct Slot {
    reference: Range<usize>,
    fetched_at: u64,
    ttl: u64,
    value: Range<usize>,
}

/// An entry to be written.
pub(crate) struct New<'a> {
    pub(crate) reference: &'a str,
    pub(crate) fetched_at: u64,
    pub(crate) ttl: u64,
    pub(crate) value: &'a [u8],
}

const HEAD: usize = 8 + 8 + 4;
/// An entry without its reference and its value.
const FRAME: usize = 2 + 8 + 8 + 4;

impl Body {
    /// The content of these bytes, or `None` where they are not in order.
    pub(crate) fn parse(plain: Secret) -> Option<Self> {
        let mut reader = Reader { bytes: plain.expose(), at: 0 };
        let latest = reader.long()?;
        let generation = reader.long()?;
        let count = usize::try_from(reader.word()?).ok()?;
        let mut slots: Vec<Slot> = Vec::with_capacity(count.min(reader.rest() / FRAME));
        let mut last = "";
        for _ in 0..count {
            let length = usize::from(reader.short()?);
            let reference = reader.part(length)?;
            let text = str::from_utf8(&reader.bytes[reference.clone()]).ok()?;
            if text <= last {
                return None;
            }
            last = text;
            let (fetched_at, ttl) = (reader.long()?, reader.long()?);
            let length = usize::try_from(reader.word()?).ok()?;
            slots.push(Slot { reference, fetched_at, ttl, value: reader.part(length)? });
        }
        (reader.rest() == 0).then_some(())?;
        Some(Self { plain, slots, latest, generation })
    }

    /// The entry at `reference`.
    pub(crate) fn find(&self, reference: &str) -> Option<Entry<'_>> {
        let bytes = self.bytes();
        let of = |slot: &Slot| bytes[slot.reference.clone()].cmp(reference.as_bytes());
        let found = self.slots.binary_search_by(of).ok()?;
        Some(self.entry(&self.slots[found]))
    }

    /// Every entry.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slots.iter().map(|slot| self.entry(slot))
    }

    fn entry(&self, slot: &Slot) -> Entry<'_> {
        let bytes = self.bytes();
        let reference = str::from_utf8(&bytes[slot.reference.clone()]).unwrap_or_default();
        Entry {
            reference,
            fetched_at: time(slot.fetched_at),
            ttl: Duration::from_nanos(slot.ttl),
            value: &bytes[slot.value.clone()],
        }
    }

    fn bytes(&self) -> &[u8] {
        self.plain.expose()
    }
}

impl<'a> Entry<'a> {
    /// What it is good for. The lifetime that it was fetched with bounds the one in force now.
    pub(crate) fn judge(&self, freshness: Freshness, now: SystemTime, outcome: Outcome) -> Use {
        let ttl = freshness.ttl.min(self.ttl);
        Freshness { ttl, ..freshness }.judge(now, self.fetched_at, outcome)
    }

    /// A copy of the value.
    pub(crate) fn secret(&self) -> Secret {
        Secret::new(self.value.to_vec())
    }

    /// The value, to be written again.
    pub(crate) fn value(&self) -> &'a [u8] {
        self.value
    }
}

/// How many bytes [`encode`] makes of them.
pub(crate) fn size(entries: &[New<'_>]) -> usize {
    let parts = entries.iter().map(|entry| FRAME + entry.reference.len() + entry.value.len());
    HEAD + parts.sum::<usize>()
}

/// The bytes of `entries`, whose references ascend.
pub(crate) fn encode(latest: u64, generation: u64, entries: &[New<'_>]) -> Secret {
    // Sized once: growing would leave a copy of the secrets behind, unwiped.
    let size = size(entries);
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(&latest.to_be_bytes());
    out.extend_from_slice(&generation.to_be_bytes());
    let count = u32::try_from(entries.len()).expect("64 MiB have fewer entries");
    out.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        let length = u16::try_from(entry.reference.len()).expect("a reference has 1,024 bytes");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry.reference.as_bytes());
        out.extend_from_slice(&entry.fetched_at.to_be_bytes());
        out.extend_from_slice(&entry.ttl.to_be_bytes());
        let length = u32::try_from(entry.value.len()).expect("64 MiB hold no longer value");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry.value);
    }
    debug_assert_eq!(out.len(), size);
    Secret::new(out)
}

/// Nanoseconds since 1970, as they stand in the file: until 2554.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds of a length of time, as they stand in the file.
pub(crate) fn length(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The time of these nanoseconds.
pub(crate) fn time(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn part(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let part = self.at..end;
        self.at = end;
        Some(part)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let part = self.part(N)?;
        self.bytes[part].try_into().ok()
    }

    fn short(&mut self) -> Option<u16> {
        self.number().map(u16::from_be_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.number().map(u32::from_be_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.number().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
