//! Whether anybody has changed a vault, which every call asks before it is made.
//!
//! `PRAGMA data_version` says it, for three calls of the system and a run of SQLite's machine. On Linux one
//! read says the same: in WAL mode every commit, by whichever process, rewrites the header of the file
//! beside the database that all connections have mapped, and a connection sees a commit by that header and
//! by nothing else (SQLite, "WAL-mode File Format", section 2.1). While its bytes are the same the pragma's
//! answer is.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

/// The header and its copy. A commit writes the copy first, so that one that is under way shows.
const HEADER: usize = 96;

/// What one connection knows of the changes of its database.
#[derive(Default)]
pub(crate) struct Version {
    index: Option<Arc<File>>,
    /// The header, read before the pragma was asked.
    seen: Option<[u8; HEADER]>,
    /// What the pragma said: the commits of other connections.
    others: u32,
    /// Our own commits, which it does not count.
    own: u32,
}

impl Version {
    /// A number that changes with every commit. It means nothing to another connection.
    pub(crate) fn current(&mut self, db: &Connection) -> Result<u64, rusqlite::Error> {
        match self.known() {
            Some(version) => Ok(version),
            None => self.asked(db),
        }
    }

    /// The same, if it is known without SQLite.
    pub(crate) fn known(&self) -> Option<u64> {
        (self.seen.is_some() && self.header() == self.seen).then(|| self.number())
    }

    /// The same, of the state that `db` reads: in a transaction, of that which it began with here.
    pub(crate) fn asked(&mut self, db: &Connection) -> Result<u64, rusqlite::Error> {
        // Before the pragma: what is committed in between is asked for again.
        let header = self.header();
        self.others = db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        self.seen = header;
        if self.index.is_none() {
            // SQLite has made it by now.
            self.index = db.path().and_then(|path| index(Path::new(path)));
        }
        Ok(self.number())
    }

    /// We are about to commit. Whether or not that is reported as done, what was read may be old.
    pub(crate) fn committing(&mut self) {
        self.own = self.own.wrapping_add(1);
    }

    fn number(&self) -> u64 {
        u64::from(self.others) << 32 | u64::from(self.own)
    }

    #[cfg(target_os = "linux")]
    fn header(&self) -> Option<[u8; HEADER]> {
        use std::os::unix::fs::FileExt as _;

        let mut header = [0; HEADER];
        self.index.as_ref()?.read_exact_at(&mut header, 0).ok()?;
        Some(header)
    }

    /// Whether a read sees what others have mapped is known of Linux alone.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "Linux has an index")]
    fn header(&self) -> Option<[u8; HEADER]> {
        None
    }
}

/// The index of the database at `path`, opened once in the life of this process and never closed: whoever
/// closes a file loses all of POSIX's locks of its process on it, SQLite's too.
fn index(path: &Path) -> Option<Arc<File>> {
    type Opened = ((u64, u64), Arc<File>);
    static OPEN: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

    let mut name = path.as_os_str().to_owned();
    name.push("-shm");
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let there = identity(&std::fs::metadata(&name).ok()?)?;
    if let Some((_, file)) = open.iter().find(|(known, _)| *known == there) {
        return Some(Arc::clone(file));
    }
    let file = Arc::new(File::open(&name).ok()?);
    let opened = identity(&file.metadata().ok()?);
    open.push((opened.unwrap_or(there), Arc::clone(&file)));
    (opened == Some(there)).then_some(file)
}

#[cfg(target_os = "linux")]
fn identity(metadata: &std::fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;

    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(not(target_os = "linux"))]
fn identity(_: &std::fs::Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn connection(path: &Path) -> Connection {
        let db = Connection::open(path).unwrap();
        db.pragma_update(None, "journal_mode", "wal").unwrap();
        db.execute_batch("CREATE TABLE IF NOT EXISTS t (n INTEGER)").unwrap();
        db
    }

    fn pragma(db: &Connection) -> u32 {
        db.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn it_changes_with_every_commit_of_another_and_with_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let (ours, theirs) = (connection(&path), connection(&path));
        let mut version = Version::default();
        let mut last = version.current(&ours).unwrap();
        assert!(version.current(&ours).is_ok() && version.known().is_some());
        for n in 0..500 {
            match n % 7 {
                0 => theirs.execute_batch("BEGIN; INSERT INTO t VALUES (1); ROLLBACK").unwrap(),
                1 => theirs.execute_batch("SELECT count(*) FROM t").unwrap(),
                // The log begins anew, which SQLite counts.
                2 => theirs.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap_or_default(),
                _ => theirs.execute_batch("INSERT INTO t VALUES (1)").unwrap(),
            }
            let now = version.current(&ours).unwrap();
            if n % 7 != 2 {
                assert_eq!(now != last, n % 7 > 2, "at {n}");
            }
            assert_eq!(now >> 32, u64::from(pragma(&ours)));
            last = now;
        }
    }

    #[test]
    fn a_version_that_was_known_is_no_longer_after_a_commit_and_is_again_after_a_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let (ours, theirs) = (connection(&path), connection(&path));
        let mut version = Version::default();
        assert_eq!(version.known(), None);
        version.current(&ours).unwrap();
        let before = version.current(&ours).unwrap();
        assert_eq!(version.known(), Some(before));
        theirs.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert_eq!(version.known(), None);
        let after = version.current(&ours).unwrap();
        assert_ne!(after, before);
        assert_eq!(version.known(), Some(after));
    }

    #[test]
    fn a_commit_of_our_own_counts() {
        let folder = tempfile::tempdir().unwrap();
        let ours = connection(&folder.path().join("x.db"));
        let mut version = Version::default();
        let before = version.current(&ours).unwrap();
        version.committing();
        ours.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert_ne!(version.current(&ours).unwrap(), before);
    }

    #[test]
    fn many_readers_and_writers_of_one_process_keep_sqlites_locks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(connection(&path));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let db = Connection::open(&path).unwrap();
                    db.busy_timeout(std::time::Duration::from_mins(1)).unwrap();
                    let mut version = Version::default();
                    for _ in 0..50 {
                        version.current(&db).unwrap();
                        db.execute_batch(
                            "BEGIN IMMEDIATE; INSERT INTO t SELECT count(*) FROM t; COMMIT",
                        )
                        .unwrap();
                    }
                });
            }
        });
        let db = Connection::open(&path).unwrap();
        // Each saw all that came before it: no two wrote at once.
        let distinct: u32 =
            db.query_row("SELECT count(DISTINCT n) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(distinct, 200);
        let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
    }
}
