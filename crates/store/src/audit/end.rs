//! The end of the chain, read from the end of a segment.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};

use serde::Deserialize;
use strongroom_model::audit::chain::Hash;
use strongroom_seal::SecureDir;

/// What the end of a segment is looked for in, at first.
const TAIL: u64 = 4 << 10;

/// What the first record of a segment is looked for in.
const FIRST: u64 = 1 << 20;

/// The end of the chain.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// The number that the next record gets.
    pub(super) next: u64,
    /// The hash of the last one.
    pub(super) hash: Hash,
}

/// What stands at the end of a segment.
pub(super) struct Tail {
    /// The end of the chain, where the segment has a record.
    pub(super) head: Option<Head>,
    /// What stands behind it.
    pub(super) rest: Rest,
}

/// What stands behind the last newline.
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// A whole record that lacks nothing but its newline.
    Record,
    /// Part of one.
    Unfinished(Vec<u8>),
}

#[derive(Deserialize)]
struct Link<'a> {
    seq: u64,
    hash: &'a str,
}

impl Tail {
    /// Reads as much of the end as has a whole record in it.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut length = TAIL.min(size);
        loop {
            let bytes = last(file, size, length)?;
            let tail = Self::of(&bytes);
            // A line that begins before what was read is not known to be whole.
            if tail.head.is_some() || length == size {
                return Ok(tail);
            }
            length = (length * 8).min(size);
        }
    }

    fn of(bytes: &[u8]) -> Self {
        let (whole, rest) = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => bytes.split_at(newline + 1),
            None => (&[][..], bytes),
        };
        if let Some(head) = Head::of(rest) {
            return Self { head: Some(head), rest: Rest::Record };
        }
        let head = whole.rsplit(|byte| *byte == b'\n').find_map(Head::of);
        let rest = if rest.is_empty() { Rest::Nothing } else { Rest::Unfinished(rest.to_vec()) };
        Self { head, rest }
    }
}

impl Head {
    /// The end of a chain that has no record yet.
    pub(super) fn start() -> Self {
        Self { next: 1, hash: Hash::GENESIS }
    }

    /// The end of a chain that ends in `line`, where that is a record.
    fn of(line: &[u8]) -> Option<Self> {
        let Link { seq, hash } = serde_json::from_slice(line).ok()?;
        Some(Self { next: seq.checked_add(1)?, hash: Hash::from_hex(hash)? })
    }
}

/// The end of the chain in the segments before `name`.
pub(super) fn before(dir: &SecureDir, names: &[String], name: &str) -> io::Result<Head> {
    for older in names.iter().rev().filter(|older| older.as_str() < name) {
        let file = dir.open_file(older).map_err(io::Error::other)?;
        if let Some(head) = Tail::read(&file)?.head {
            return Ok(head);
        }
    }
    Ok(Head::start())
}

/// The number of the first record of the segment `name`.
pub(super) fn first_of(dir: &SecureDir, name: &str) -> io::Result<Option<u64>> {
    let file = dir.open_file(name).map_err(io::Error::other)?;
    let mut lines = BufReader::new(file.take(FIRST));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Ok(Link { seq, .. }) = serde_json::from_slice(&line) {
            return Ok(Some(seq));
        }
        line.clear();
    }
    Ok(None)
}

/// The last `length` of the `size` bytes of `file`.
fn last(mut file: &File, size: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.seek(SeekFrom::Start(size - length))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
