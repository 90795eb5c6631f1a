//! A connection to the keychain that is kept, for who asks often and also writes.
//!
//! Unlike [`Keychain`], which never picks one of several items of one name, a session knows how two
//! come to be: Python's `keyring` writes a second item over one of ours. The newest is the value,
//! and the next write leaves one.

use std::process;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_model::secret::Secret;

use super::{DEADLINE, Item, Keychain, KeychainError, Waited, platform, spawn};

/// A connection that is made when it is first needed, and again where it broke.
///
/// All questions go through one thread, in their order. A thread that hangs is left behind, and so
/// is one of the process that we were forked from.
#[derive(Clone, Debug)]
pub struct Session {
    place: platform::Place,
    worker: Arc<Mutex<Option<Worker>>>,
    deadline: Duration,
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
        Self { place: keychain.place.clone(), worker: Arc::default(), deadline: DEADLINE }
    }

    /// Whether there is a keychain that could be used now.
    pub fn look(&self) -> Result<(), KeychainError> {
        self.run(|connection, _| connection.look())
    }

    /// The values of `items`, in their order: the newest where there are several, `None` where there
    /// is none.
    pub fn get(&self, items: &[Item]) -> Result<Vec<Option<Secret>>, KeychainError> {
        let items = items.to_vec();
        self.run(move |connection, _| items.iter().map(|item| connection.get(item)).collect())
    }

    /// Puts `secret` into the item and leaves one item of its name.
    ///
    /// # Errors
    ///
    /// After [`KeychainError::Slow`] it may have been put there all the same, or be yet, where the keychain had
    /// the change already and does not answer. What waited behind another question is not done any more.
    pub fn set(&self, item: &Item, secret: Arc<Secret>) -> Result<(), KeychainError> {
        let item = item.clone();
        self.run(move |connection, waited| connection.set(&item, &secret, waited))
    }

    /// Removes every item of this name; says whether there was one.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set).
    pub fn delete(&self, item: &Item) -> Result<bool, KeychainError> {
        let item = item.clone();
        self.run(move |connection, waited| connection.delete(&item, waited))
    }

    /// The accounts that have an item of `service`, each once, in no order; `None` where this
    /// keychain cannot be searched.
    pub fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, KeychainError> {
        let service = service.to_owned();
        self.run(move |connection, _| connection.accounts(&service))
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
        work: impl Fn(&platform::Connection, &Waited) -> Result<T, KeychainError> + Send + 'static,
    ) -> Result<T, KeychainError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let place = self.place.clone();
        let (waited, seen) = Waited::pair();
        let work = move |connection: &_| seen.still().and_then(|()| work(connection, &seen));
        self.send(Box::new(move |kept| drop(sender.send(answer(&place, kept, &work)))))?;
        let error = match receiver.recv_timeout(self.deadline) {
            Ok(answer) => return answer,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                waited.give_up();
                KeychainError::Slow
            }
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::ffi::OsString;

    use strongroom_testkit::secret_service::SecretService;

    use super::*;

    #[test]
    fn a_change_that_was_given_up_while_it_waited_is_not_made_later_and_one_in_time_is() {
        let service = SecretService::start();
        let bus = |name: &str| {
            (name == "DBUS_SESSION_BUS_ADDRESS").then(|| OsString::from(service.address()))
        };
        let session = Session::new(&Keychain::new(&bus));
        let item = Item { service: "s".to_owned(), account: "u".to_owned() };
        let there = || service.lookup(&["service", "s", "username", "u"]);
        let secret = |text: &str| Arc::new(Secret::new(text.as_bytes().to_vec()));
        session.set(&item, secret("in time")).unwrap();
        assert_eq!(there().as_deref(), Some("in time"));

        let hurried = Session { deadline: Duration::ZERO, ..session.clone() };
        for given_up in 0..2 {
            // The thread has something else to do until it is told.
            let (go, told) = mpsc::channel::<()>();
            session.send(Box::new(move |_| told.recv().unwrap())).unwrap();
            let jobs = session.worker.lock().unwrap().as_ref().unwrap().jobs.clone();
            let error = match given_up {
                0 => hurried.set(&item, secret("too late")).unwrap_err(),
                _ => hurried.delete(&item).unwrap_err(),
            };
            assert_eq!(error, KeychainError::Slow);
            let (done, is_done) = mpsc::channel();
            jobs.send(Box::new(move |_| done.send(()).unwrap())).unwrap();
            go.send(()).unwrap();
            is_done.recv().unwrap();
            assert_eq!(there().as_deref(), Some("in time"));
        }
        assert!(session.delete(&item).unwrap());
        assert_eq!(there(), None);
    }

    #[test]
    fn what_was_given_up_while_it_was_looked_for_is_not_changed() {
        let service = SecretService::start();
        let bus = |name: &str| {
            (name == "DBUS_SESSION_BUS_ADDRESS").then(|| OsString::from(service.address()))
        };
        let connection = platform::Connection::open(&Keychain::new(&bus).place).unwrap();
        let item = Item { service: "s".to_owned(), account: "u".to_owned() };
        let (value, other) = (Secret::new(b"1".to_vec()), Secret::new(b"2".to_vec()));
        let (waited, seen) = Waited::pair();
        connection.set(&item, &value, &seen).unwrap();
        waited.give_up();
        assert_eq!(connection.set(&item, &other, &seen), Err(KeychainError::Slow));
        assert_eq!(connection.delete(&item, &seen), Err(KeychainError::Slow));
        let new = Item { account: "new".to_owned(), ..item.clone() };
        assert_eq!(connection.set(&new, &other, &seen), Err(KeychainError::Slow));
        assert!(connection.get(&item).unwrap().unwrap().ct_eq(&value));
        assert!(connection.get(&new).unwrap().is_none());
    }
}
