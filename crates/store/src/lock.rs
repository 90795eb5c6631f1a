//! The kill switch as a file (decision 17): every process looks at it before each call.
//!
//! Looking costs one `stat`. Every change is a new file under the old name, so that it shows in the
//! inode. Where the file cannot be looked at or read, everything is locked.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_model::code::{Code, Refusal};
use strongroom_model::lock::{Locks, Part};
use strongroom_model::ports::{Clock, KillSwitch};
use strongroom_model::principal::Name;
use strongroom_seal::{FileError, SecureDir};

/// The file, in the folder of what has happened.
pub const FILE: &str = "lock";
/// What changes to it are made under.
const GUARD: &str = "lock.guard";
/// More parts than anybody locks one by one.
const LARGEST: usize = 1 << 20;

/// The kill switch of one home.
pub struct LockFile {
    folder: PathBuf,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    seen: Seen,
    locks: Arc<Locks>,
}

/// What tells one file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing has been looked at.
    Never,
    /// There is no file: nothing is locked.
    Nothing,
    /// This one.
    File { inode: (u64, u64), size: u64, changed: Option<SystemTime> },
}

impl LockFile {
    /// The switch in `folder`, which may not exist yet.
    pub fn new(folder: &Path) -> Self {
        let state = State { seen: Seen::Never, locks: Arc::default() };
        Self { folder: folder.to_owned(), path: folder.join(FILE), state: Mutex::new(state) }
    }

    /// What is locked now.
    pub fn current(&self) -> Arc<Locks> {
        let seen = match std::fs::symlink_metadata(&self.path) {
            Ok(metadata) => Seen::of(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => Seen::Nothing,
            Err(_) => return Arc::new(Locks::unreadable()),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen != seen {
            let locks = match seen {
                Seen::Nothing => Some(Locks::default()),
                Seen::File { .. } | Seen::Never => self.read().ok(),
            };
            // What could not be read is tried again by the next call.
            state.seen = if locks.is_some() { seen } else { Seen::Never };
            state.locks = Arc::new(locks.unwrap_or_else(Locks::unreadable));
        }
        Arc::clone(&state.locks)
    }

    /// Changes what is locked, under a lock that all processes share; says what `change` says.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then it is as it was.
    pub fn change<T>(&self, change: impl FnOnce(&mut Locks) -> T) -> Result<T, FileError> {
        let folder = SecureDir::create(&self.folder)?;
        let _guard = folder.lock(GUARD)?;
        let mut locks = match folder.read(FILE, LARGEST) {
            Ok(text) => Locks::parse(&text),
            Err(FileError::Missing { .. }) => Locks::default(),
            Err(error) => return Err(error),
        };
        let before = locks.clone();
        let said = change(&mut locks);
        if locks.is_empty() {
            folder.remove(FILE)?;
        } else if locks != before {
            folder.write_atomic(FILE, locks.text().as_bytes())?;
        }
        Ok(said)
    }

    /// Locks `part`; whether it was not before.
    pub fn lock(&self, part: Part, clock: &dyn Clock) -> Result<bool, FileError> {
        let since = clock.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.change(|locks| locks.add(part, since))
    }

    fn read(&self) -> Result<Locks, FileError> {
        let folder = SecureDir::open(&self.folder)?;
        Ok(Locks::parse(&folder.read(FILE, LARGEST)?))
    }
}

impl KillSwitch for LockFile {
    fn check(&self, principal: &Name, service: &Name) -> Result<(), Refusal> {
        let locks = self.current();
        match locks.stops_call(principal, service) {
            None => Ok(()),
            // Who is locked out learns what of, and that only a person undoes it.
            Some(part) => Err(Refusal::new(Code::Locked, format!("{part} is locked"))),
        }
    }
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self::File {
            inode: identity(metadata),
            size: metadata.len(),
            changed: metadata.modified().ok(),
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use strongroom_model::lock::Locked;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let closed = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder.path(), closed).unwrap();
        }
        folder
    }

    fn add(switch: &LockFile, part: Part) -> bool {
        switch.change(|locks| locks.add(part, 5)).unwrap()
    }

    #[test]
    fn a_lock_is_in_force_in_every_process_at_its_next_look() {
        let folder = folder();
        let (here, there) = (LockFile::new(folder.path()), LockFile::new(folder.path()));
        let open = |switch: &LockFile, service| {
            switch.check(&name("default"), &name(service)).map_err(|refusal| refusal.code)
        };
        for _ in 0..50 {
            assert_eq!(open(&there, "github"), Ok(()));
            assert!(add(&here, Part::Service(name("github"))));
            assert_eq!(open(&there, "github"), Err(Code::Locked));
            assert_eq!(open(&there, "stripe"), Ok(()), "the others go on");
            assert!(add(&here, Part::Everything));
            assert_eq!(open(&there, "stripe"), Err(Code::Locked));
            assert!(here.change(|locks| locks.remove(None)).unwrap());
        }
        assert_eq!(open(&there, "github"), Ok(()));
    }

    #[test]
    fn a_file_that_is_not_ours_to_read_locks_everything() {
        let folder = folder();
        let switch = LockFile::new(folder.path());
        assert!(switch.current().is_empty());
        std::fs::write(folder.path().join(FILE), "unlocked, really\n").unwrap();
        assert_eq!(*switch.current(), Locks::unreadable());
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        std::fs::create_dir(folder.path().join(FILE)).unwrap();
        assert_eq!(*switch.current(), Locks::unreadable());
        std::fs::remove_dir(folder.path().join(FILE)).unwrap();
        assert!(switch.current().is_empty(), "without a file nothing is locked");
    }

    #[test]
    fn locks_of_several_processes_add_up() {
        let folder = folder();
        let parts = ["a", "b", "c", "d"].map(|text| Part::Service(name(text)));
        std::thread::scope(|scope| {
            for part in &parts {
                scope.spawn(|| add(&LockFile::new(folder.path()), part.clone()));
            }
        });
        let locks = LockFile::new(folder.path()).current();
        for part in parts {
            assert!(locks.iter().any(|Locked { part: there, .. }| *there == part), "{part}");
        }
    }
}
