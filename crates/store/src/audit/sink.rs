//! Appending.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_model::audit::chain;
use strongroom_model::audit::checkpoint::{Checkpoint, Says, Statement};
use strongroom_model::audit::{AuditError, AuditId, AuditSink, Draft, Kind};
use strongroom_model::ports::{BoxFuture, Clock};
use strongroom_seal::file::lock;
use strongroom_seal::{FileError, SecureDir, SigningKey, hex, random};
use time::Date;

use super::commit::Commit;
use super::end::{Head, Rest, Tail, before, first_of};
use super::keep::Keep;
use super::{segment, voucher};

/// The lock that all writers take. It holds the name of the segment that is written, so that a
/// process that has another one open learns of it; only the directory says which one is right.
pub(super) const LOCK: &str = "audit.lock";

/// How often a process that goes on vouches for what was written.
const VOUCHED: Duration = Duration::from_mins(5);

/// How a sink keeps what it writes. The default is written, kept for ever, and vouched for by nobody.
#[derive(Clone, Default)]
pub struct Settings {
    /// What is promised of a record.
    pub durability: Durability,
    /// Which segments stay.
    pub keep: Keep,
    /// Who vouches for the chain. Without it nothing is removed either.
    pub signer: Option<Arc<dyn Signer>>,
    /// Whether the process goes on for a while: then it vouches for the segment that is written, too.
    pub lasting: bool,
}

/// What is promised of a record (decision 16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is with the operating system: it survives a killed process.
    #[default]
    Written,
    /// It is on the disk: it survives a power failure.
    Synced,
}

/// Has the key that checkpoints are signed with.
pub trait Signer: Send + Sync {
    /// The key, where it can be had now. It is asked for when it is needed, and once.
    fn key(&self) -> Option<SigningKey>;
}

/// Appends records to the segments in a directory.
pub struct FileSink {
    dir: SecureDir,
    clock: Arc<dyn Clock>,
    settings: Settings,
    key: OnceLock<Option<SigningKey>>,
    commit: Option<Commit>,
    writer: Mutex<Writer>,
}

struct Writer {
    lock: File,
    open: Option<Open>,
    /// The last day that a name was made for.
    today: Option<(Date, String)>,
    /// When the chain was vouched for by us.
    vouched: Option<SystemTime>,
}

/// The segment that was last written, as we left it.
struct Open {
    name: String,
    file: Arc<File>,
    size: u64,
    head: Head,
}

/// What is to be vouched for.
struct Due {
    segment: String,
    file: Arc<File>,
    head: Head,
}

impl FileSink {
    /// A sink for the directory, with the settings of the default. That it can be written to shows at
    /// the first record.
    pub fn open(dir: SecureDir, clock: Arc<dyn Clock>) -> Result<Self, FileError> {
        Self::with(dir, clock, Settings::default())
    }

    /// A sink for the directory.
    pub fn with(
        dir: SecureDir,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, FileError> {
        let lock = dir.append(LOCK)?;
        let writer = Mutex::new(Writer { lock, open: None, today: None, vouched: None });
        let commit = (settings.durability == Durability::Synced).then(Commit::new);
        Ok(Self { dir, clock, settings, key: OnceLock::new(), commit, writer })
    }

    /// Waits until what was written is as safe as the settings promise, on this thread: for commands,
    /// which have nothing else to do.
    pub fn sync(&self) -> Result<(), AuditError> {
        let Some(commit) = &self.commit else { return Ok(()) };
        commit.now().map_err(|source| AuditError { source })
    }

    fn write(&self, draft: &Draft) -> io::Result<()> {
        let now = self.clock.now();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(commit) = &self.commit {
            commit.check()?;
        }
        lock(&writer.lock)?;
        let written = writer.write(self, now, draft);
        let unlocked = writer.lock.unlock();
        written?;
        if let (Some(commit), Some(open)) = (&self.commit, &writer.open) {
            commit.wrote(&open.file);
        }
        let due = writer.due(self, now);
        drop(writer);
        if let Some(due) = due {
            // It makes the audit better and no call worse: where it fails, `verify` says how far the
            // chain is vouched for.
            drop(self.vouch(&due));
        }
        unlocked
    }

    fn key(&self) -> Option<&SigningKey> {
        let signer = self.settings.signer.as_ref()?;
        self.key.get_or_init(|| signer.key()).as_ref()
    }

    /// Puts a checkpoint beside the segment that is written. What it vouches for is on the disk
    /// before it is, so that a power failure does not look like a cut.
    fn vouch(&self, due: &Due) -> io::Result<()> {
        let Some(key) = self.key() else { return Ok(()) };
        due.file.sync_data()?;
        match voucher::state(&self.dir, Says::SoFar, &due.segment, due.head)? {
            Some(statement) => voucher::put(&self.dir, &voucher::sign(key, statement)),
            None => Ok(()),
        }
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

    fn durable(&self) -> Option<BoxFuture<'_, Result<(), AuditError>>> {
        let commit = self.commit.as_ref()?;
        Some(Box::pin(commit.durable()))
    }
}

impl Writer {
    /// Writes one record. The lock is held.
    fn write(&mut self, sink: &FileSink, now: SystemTime, draft: &Draft) -> io::Result<()> {
        let today = self.today(now);
        // Taken out: whatever fails below leaves nothing that would be trusted at the next record.
        let mut open = match self.open.take() {
            Some(open) if open.name >= today && self.is_as_we_left_it(&open)? => open,
            _ => self.find(sink, today, now)?,
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
    fn find(&mut self, sink: &FileSink, today: String, now: SystemTime) -> io::Result<Open> {
        let names = segment::all(&sink.dir).map_err(io::Error::other)?;
        match names.last() {
            Some(newest) if *newest >= today => {
                self.announce(newest)?;
                Open::find(sink, &names, newest, now)
            }
            newest => {
                let ended = newest.map(|name| Open::find(sink, &names, name, now)).transpose()?;
                self.announce(&today)?;
                Open::begin(sink, &names, ended.as_ref(), today, now)
            }
        }
    }

    /// Tells the other processes which segment is written, unless the last one said the same: to cut
    /// a file off costs more than all else that a start does here.
    fn announce(&mut self, name: &str) -> io::Result<()> {
        if self.says(name)? {
            return Ok(());
        }
        self.lock.set_len(0)?;
        self.lock.seek(SeekFrom::Start(0))?;
        self.lock.write_all(name.as_bytes())
    }

    /// Whether the lock holds this name.
    fn says(&mut self, name: &str) -> io::Result<bool> {
        let mut current = [0; 32];
        let length = read_beginning(&mut self.lock, &mut current)?;
        Ok(&current[..length] == name.as_bytes())
    }

    /// What is to be vouched for now.
    fn due(&mut self, sink: &FileSink, now: SystemTime) -> Option<Due> {
        if !sink.settings.lasting || sink.settings.signer.is_none() {
            return None;
        }
        let recent = self.vouched.and_then(|at| now.duration_since(at).ok());
        if recent.is_some_and(|passed| passed < VOUCHED) {
            return None;
        }
        self.vouched = Some(now);
        let Open { name, file, head, .. } = self.open.as_ref()?;
        Some(Due { segment: name.clone(), file: Arc::clone(file), head: *head })
    }
}

impl Open {
    /// The segment `name`, which is there, with its end put in order.
    fn find(sink: &FileSink, names: &[String], name: &str, now: SystemTime) -> io::Result<Self> {
        let file = sink.dir.append(name).map_err(io::Error::other)?;
        let tail = Tail::read(&file)?;
        let size = file.metadata()?.len();
        let head = match tail.head {
            Some(head) => head,
            None => before(&sink.dir, names, name)?,
        };
        let mut open = Self { name: name.to_owned(), file: Arc::new(file), size, head };
        open.close(tail.rest, now)?;
        Ok(open)
    }

    /// A new segment. It begins with a checkpoint of the one that `ended`, and then those that are
    /// not kept any longer go.
    fn begin(
        sink: &FileSink,
        names: &[String],
        ended: Option<&Self>,
        name: String,
        now: SystemTime,
    ) -> io::Result<Self> {
        if sink.commit.is_some() {
            if let Some(ended) = ended {
                ended.file.sync_data()?;
            }
            // The directory has its name on the disk, too.
            sink.dir.create_new(&name, b"").map_err(io::Error::other)?;
        }
        let file = Arc::new(sink.dir.append(&name).map_err(io::Error::other)?);
        let head = ended.map_or_else(Head::start, |ended| ended.head);
        let mut open = Self { name, file, size: 0, head };
        let Some(key) = ended.and_then(|_| sink.key()) else { return Ok(open) };
        if let Some(ended) = ended
            && let Some(statement) = voucher::state(&sink.dir, Says::Ended, &ended.name, head)?
        {
            open.append(&checkpoint(voucher::sign(key, statement)), now)?;
        }
        open.remove(sink, key, sink.settings.keep.due(names), now)?;
        Ok(open)
    }

    /// Removes the segments `gone`, the oldest ones. The record of it comes first.
    fn remove(
        &mut self,
        sink: &FileSink,
        key: &SigningKey,
        gone: &[String],
        now: SystemTime,
    ) -> io::Result<()> {
        let Some((last, first)) = gone.last().zip(gone.first()) else { return Ok(()) };
        let head = Tail::read(&sink.dir.open_file(last).map_err(io::Error::other)?)?.head;
        if let Some(head) = head
            && let Some(statement) = voucher::state(&sink.dir, Says::Removed, last, head)?
        {
            let first = first_of(&sink.dir, first)?.unwrap_or(statement.first);
            let count = gone.len() as u64;
            self.append(
                &removal(voucher::sign(key, Statement { first, ..statement }), count),
                now,
            )?;
        }
        for name in gone {
            // What is left over goes the next time, by the same record or the next one.
            drop(sink.dir.remove(name));
            drop(sink.dir.remove(&segment::beside(name)));
        }
        Ok(())
    }

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
        if let Err(error) = (&*self.file).write_all(bytes) {
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

/// The record of where a segment ended.
fn checkpoint(checkpoint: Checkpoint) -> Draft {
    Draft {
        kind: Kind::Checkpoint,
        audit_id: new_id().ok(),
        subject: Some(checkpoint.statement.segment.clone()),
        checkpoint: Some(Box::new(checkpoint)),
        ..Draft::default()
    }
}

/// The record of a removal.
fn removal(checkpoint: Checkpoint, count: u64) -> Draft {
    Draft {
        kind: Kind::Admin,
        audit_id: new_id().ok(),
        act: Some("audit.remove".to_owned()),
        subject: Some(checkpoint.statement.segment.clone()),
        count: Some(count),
        checkpoint: Some(Box::new(checkpoint)),
        ..Draft::default()
    }
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

/// What `file` begins with, in one call of the system.
#[cfg(unix)]
fn read_beginning(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn read_beginning(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    use std::io::Read as _;

    file.seek(SeekFrom::Start(0))?;
    file.read(bytes)
}
