//! A connection to the keychain that is kept, for who asks often and also writes.
//!
//! Unlike [`Keychain`], which never picks one of several items of one name, a session knows how two
//! come to be: Python's `keyring` writes a second item over one of ours. The newest is the value,
//! and the next write leaves one.

use std::process;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_model::secret::Secret;

use super::{DEADLINE, Item, Keychain, KeychainError, platform, spawn};

/// A connection that is made when it is first needed, and again where it broke.
///
/// All questions go through one thread, in their order. A thread that hangs is left behind, and so
/// is one of the process that we were forked from.
#[derive(Clone, Debug)]
pub struct Session {
    place: platform::Place,
    worker: Arc<Mutex<Option<Worker>>>,
}

#[derive(Debug)]
struct Worker {
    jobs: mpsc::Sender<Job>,
    process: u32,
}

type Job = Box<dyn FnOnce(&mut Option<platform::Connection>) + Send>;

impl Session {
    /// A session with this keychain. Nothing is asked yet.
    pub fn new(keychain: &Keychain) -> Self {
        Self { place: keychain.place.clone(), worker: Arc::default() }
    }

    /// Whether there is a keychain that could be used now.
    pub fn look(&self) -> Result<(), KeychainError> {
        self.run(platform::Connection::look)
    }

    /// The values of `items`, in their order: the newest where there are several, `None` where there
    /// is none.
    pub fn get(&self, items: &[Item]) -> Result<Vec<Option<Secret>>, KeychainError> {
        let items = items.to_vec();
        self.run(move |connection| items.iter().map(|item| connection.get(item)).collect())
    }

    /// Puts `secret` into the item and leaves one item of its name.
    pub fn set(&self, item: &Item, secret: Arc<Secret>) -> Result<(), KeychainError> {
        let item = item.clone();
        self.run(move |connection| connection.set(&item, &secret))
    }

    /// Removes every item of this name; says whether there was one.
    pub fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let item = item.clone();
        self.run(move |connection| connection.delete(&item))
    }

    /// The accounts that have an item of `service`, each once, in no order; `None` where this
    /// keychain cannot be searched.
    pub fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, KeychainError> {
        let service = service.to_owned();
        self.run(move |connection| connection.accounts(&service))
    }

    /// The most bytes of one value, as this keychain counts them, where there is a bound that a
    /// secret could meet.
    pub fn largest() -> Option<usize> {
        // CRED_MAX_CREDENTIAL_BLOB_SIZE of wincred.h, of UTF-16.
        cfg!(windows).then_some(2560)
    }

    /// Runs `work` in the thread that has the connection, at most until the deadline.
    fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&platform::Connection) -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T, KeychainError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let place = self.place.clone();
        self.send(Box::new(move |kept| drop(sender.send(answer(&place, kept, &work)))))?;
        let error = match receiver.recv_timeout(DEADLINE) {
            Ok(answer) => return answer,
            Err(mpsc::RecvTimeoutError::Timeout) => KeychainError::Slow,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                KeychainError::Failed("its library panicked")
            }
        };
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Err(error)
    }

    fn send(&self, job: Job) -> Result<(), KeychainError> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        // Threads do not come along with a fork.
        let mut job = job;
        if let Some(worker) = worker.as_ref().filter(|worker| worker.process == process::id()) {
            match worker.jobs.send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(unsent)) => job = unsent,
            }
        }
        let (jobs, received) = mpsc::channel::<Job>();
        spawn(move || {
            let mut kept = None;
            for job in received {
                job(&mut kept);
            }
        })?;
        let sent = jobs.send(job);
        *worker = Some(Worker { jobs, process: process::id() });
        sent.map_err(|_| KeychainError::Failed("its thread ended"))
    }
}

/// What `work` answers: once more over a new connection where the kept one may have been at fault.
fn answer<T>(
    place: &platform::Place,
    kept: &mut Option<platform::Connection>,
    work: &dyn Fn(&platform::Connection) -> Result<T, KeychainError>,
) -> Result<T, KeychainError> {
    if let Some(connection) = kept {
        match work(connection) {
            Err(KeychainError::Failed(_) | KeychainError::Absent { .. }) => *kept = None,
            answered => return answered,
        }
    }
    let connection = platform::Connection::open(place)?;
    let answered = work(&connection);
    if !matches!(answered, Err(KeychainError::Failed(_) | KeychainError::Absent { .. })) {
        *kept = Some(connection);
    }
    answered
}
