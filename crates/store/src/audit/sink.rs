//! Appending.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use strongroom_model::audit::chain::{self, Hash};
use strongroom_model::audit::{AuditError, AuditId, AuditSink, Draft};
use strongroom_model::ports::Clock;
use strongroom_seal::file::lock;
use strongroom_seal::{FileError, SecureDir, hex, random};
use time::Date;

use super::segment;

/// The lock that all writers take. It holds the name of the segment that is written, so that a
/// process that has another one open learns of it; only the directory says which one is right.
pub(super) const LOCK: &str = "audit.lock";

/// What the end of a segment is looked for in, at first.
const TAIL: u64 = 4 << 10;

/// Appends records to the segments in a directory.
pub struct FileSink {
    dir: SecureDir,
    clock: Arc<dyn Clock>,
    writer: Mutex<Writer>,
}

struct Writer {
    lock: File,
    open: Option<Open>,
    /// The last day that a name was made for.
    today: Option<(Date, String)>,
}

/// The segment that was last written, as we left it.
struct Open {
    name: String,
    file: File,
    size: u64,
    head: Head,
}

/// The end of the chain.
#[derive(Clone, Copy)]
struct Head {
    next: u64,
    hash: Hash,
}

/// What stands at the end of a segment.
struct Tail {
    head: Option<Head>,
    rest: Rest,
}

/// What stands behind the last newline.
enum Rest {
    /// Nothing.
    Nothing,
    /// A whole record that lacks nothing but its newline.
    Record,
    /// Part of one.
    Unfinished(Vec<u8>),
}

impl FileSink {
    /// A sink for the directory. That it can be written to shows at the first record.
    pub fn open(dir: SecureDir, clock: Arc<dyn Clock>) -> Result<Self, FileError> {
        let writer = Writer { lock: dir.append(LOCK)?, open: None, today: None };
        Ok(Self { dir, clock, writer: Mutex::new(writer) })
    }

    fn write(&self, draft: &Draft) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        lock(&writer.lock)?;
        let written = writer.write(&self.dir, self.clock.now(), draft);
        let unlocked = writer.lock.unlock();
        written.and(unlocked)
    }
}

impl AuditSink for FileSink {
    fn append(&self, mut draft: Draft) -> Result<AuditId, AuditError> {
        let id = match &draft.audit_id {
            Some(id) => id.clone(),
            None => new_id().map_err(|source| AuditError { source })?,
        };
        draft.audit_id = Some(id.clone());
        self.write(&draft).map_err(|source| AuditError { source })?;
        Ok(id)
    }
}

impl Writer {
    /// Writes one record. The lock is held.
    fn write(&mut self, dir: &SecureDir, now: SystemTime, draft: &Draft) -> io::Result<()> {
        let today = self.today(now);
        // Taken out: whatever fails below leaves nothing that would be trusted at the next record.
        let mut open = match self.open.take() {
            Some(open) if open.name >= today && self.is_as_we_left_it(&open)? => open,
            _ => self.find(dir, today, now)?,
        };
        open.append(draft, now)?;
        self.open = Some(open);
        Ok(())
    }

    fn today(&mut self, now: SystemTime) -> String {
        let day = segment::day(now);
        match &self.today {
            Some((of, name)) if *of == day => name.clone(),
            _ => {
                let name = segment::name(day);
                self.today = Some((day, name.clone()));
                name
            }
        }
    }

    /// Nobody wrote to the segment since, and nobody began another.
    fn is_as_we_left_it(&mut self, open: &Open) -> io::Result<bool> {
        let metadata = open.file.metadata()?;
        Ok(self.says(&open.name)? && metadata.len() == open.size && has_a_name(&metadata))
    }

    /// Finds the end of the chain, and the segment that goes on from it: the newest, or today's.
    fn find(&mut self, dir: &SecureDir, today: String, now: SystemTime) -> io::Result<Open> {
        let names = segment::all(dir).map_err(io::Error::other)?;
        let newest = names.last().filter(|newest| **newest > today).cloned();
        let name = newest.unwrap_or(today);
        self.announce(&name)?;
        let file = dir.append(&name).map_err(io::Error::other)?;
        let tail = Tail::read(&file)?;
        let size = file.metadata()?.len();
        let head = match tail.head {
            Some(head) => head,
            None => before(dir, &names, &name)?,
        };
        let mut open = Open { name, file, size, head };
        open.close(tail.rest, now)?;
        Ok(open)
    }

    /// Tells the other processes which segment is written, unless the last one said the same: to cut
    /// a file off costs more than all else that a start does here.
    fn announce(&mut self, name: &str) -> io::Result<()> {
        if self.says(name)? {
            return Ok(());
        }
        self.lock.set_len(0)?;
        self.lock.write_all(name.as_bytes())
    }

    /// Whether the lock holds this name.
    fn says(&mut self, name: &str) -> io::Result<bool> {
        let mut current = [0; 32];
        self.lock.seek(SeekFrom::Start(0))?;
        let length = self.lock.read(&mut current)?;
        Ok(&current[..length] == name.as_bytes())
    }
}

impl Open {
    fn append(&mut self, draft: &Draft, now: SystemTime) -> io::Result<()> {
        self.append_behind(Vec::new(), draft, now)
    }

    /// Appends `before` and the record in one write.
    fn append_behind(
        &mut self,
        mut before: Vec<u8>,
        draft: &Draft,
        now: SystemTime,
    ) -> io::Result<()> {
        let Head { next, hash } = &self.head;
        let (line, hash) = chain::write_line(draft, *next, milliseconds(now), hash);
        if before.is_empty() {
            self.put(&line)?;
        } else {
            before.extend_from_slice(&line);
            self.put(&before)?;
        }
        self.head = Head { next: self.head.next + 1, hash };
        Ok(())
    }

    /// Writes `bytes` whole, or takes back what was written of them.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Where this fails too, the next writer closes the torn line.
            drop(self.file.set_len(self.size));
            return Err(error);
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn close(&mut self, rest: Rest, now: SystemTime) -> io::Result<()> {
        match rest {
            Rest::Nothing => Ok(()),
            Rest::Record => self.put(b"\n"),
            Rest::Unfinished(bytes) => {
                self.append_behind(b"\n".to_vec(), &chain::torn(&bytes), now)
            }
        }
    }
}

impl Tail {
    /// Reads as much of the end as has a whole record in it.
    fn read(file: &File) -> io::Result<Self> {
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
    fn start() -> Self {
        Self { next: 1, hash: Hash::GENESIS }
    }

    /// The end of a chain that ends in `line`, where that is a record.
    fn of(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Link<'a> {
            seq: u64,
            hash: &'a str,
        }
        let Link { seq, hash } = serde_json::from_slice(line).ok()?;
        Some(Self { next: seq.checked_add(1)?, hash: Hash::from_hex(hash)? })
    }
}

/// The end of the chain in the segments before `name`.
fn before(dir: &SecureDir, names: &[String], name: &str) -> io::Result<Head> {
    for older in names.iter().rev().filter(|older| older.as_str() < name) {
        let file = dir.open_file(older).map_err(io::Error::other)?;
        if let Some(head) = Tail::read(&file)?.head {
            return Ok(head);
        }
    }
    Ok(Head::start())
}

/// The last `length` of the `size` bytes of `file`.
fn last(mut file: &File, size: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.seek(SeekFrom::Start(size - length))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn milliseconds(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn new_id() -> io::Result<AuditId> {
    let mut bytes = [0; 16];
    random(&mut bytes).map_err(io::Error::other)?;
    Ok(AuditId(hex(&bytes)))
}

/// A segment that was removed is not written on.
#[cfg(unix)]
fn has_a_name(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) > 0
}

#[cfg(not(unix))]
fn has_a_name(_metadata: &std::fs::Metadata) -> bool {
    true
}
