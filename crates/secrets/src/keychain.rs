//! The system's keychain: the Secret Service, macOS' Keychain, Windows' Credential Manager.
//!
//! An item is found by its service and its account, as Python's `keyring`, `@napi-rs/keyring` and
//! Rust's `keyring` store theirs. Nothing here unlocks anything: a prompt would wait for a person
//! who may not be there, so what is locked is said to be locked. The libraries below wait without
//! end; every question here has a deadline. A change whose deadline is over is given up: what had not been sent
//! yet is not sent any more. What the keychain already has, and has not answered, it may still do.
//!
//! Making a [`Keychain`] asks nothing.

mod machine;
#[cfg(any(target_os = "macos", windows))]
#[path = "keychain/native.rs"]
mod platform;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
#[path = "keychain/none.rs"]
mod platform;
#[cfg(target_os = "linux")]
#[path = "keychain/secret_service.rs"]
mod platform;
mod session;

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use strongroom_model::secret::Secret;
use tokio::sync::oneshot;

pub use machine::KeychainSecret;
pub use session::Session;

/// The keychain of the session that we were started in.
#[derive(Clone, Debug)]
pub struct Keychain {
    place: platform::Place,
}

/// What one item is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is for.
    pub service: String,
    /// Whose it is.
    pub account: String,
}

/// The keychain does not give, or does not take. What it said is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeychainError {
    /// There is none here.
    #[error("there is no keychain here: {why}")]
    Absent {
        /// What is missing.
        why: &'static str,
        /// What to do about it, in the imperative.
        fix: &'static str,
    },
    /// A person must unlock it first.
    #[error("the keychain is locked")]
    Locked,
    /// It has no such item.
    #[error("the keychain has no such item")]
    NotFound,
    /// It has several, and nobody can say which is meant.
    #[error("the keychain has several items of this service and account")]
    Ambiguous,
    /// It refused.
    #[error("the keychain refused")]
    Denied,
    /// It did not answer in time.
    #[error("the keychain did not answer within {} s", DEADLINE.as_secs())]
    Slow,
    /// It failed.
    #[error("the keychain failed: {0}")]
    Failed(&'static str),
}

/// What was asked for, each answered on its own.
type Answers = Vec<Result<Secret, KeychainError>>;

/// How long the keychain may take.
const DEADLINE: Duration = Duration::from_secs(15);

impl Keychain {
    /// The keychain that these variables of the environment lead to.
    pub fn new(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { place: platform::Place::new(variable) }
    }

    /// The secrets of `items`, in their order, over one connection.
    pub fn read(&self, items: &[Item]) -> Result<Answers, KeychainError> {
        let (place, items) = (self.place.clone(), items.to_vec());
        within(move |_| platform::read(&place, &items))
    }

    /// The same, while other things go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing. The thread that asks ends by itself, or with us.
    pub async fn ask(&self, items: Vec<Item>) -> Result<Answers, KeychainError> {
        let place = self.place.clone();
        // A thread and not the runtime's: the end of a runtime would wait for a question that
        // nobody answers.
        let (sender, receiver) = oneshot::channel();
        spawn(move || drop(sender.send(platform::read(&place, &items))))?;
        match tokio::time::timeout(DEADLINE, receiver).await {
            Ok(answer) => answer.unwrap_or(Err(KeychainError::Failed("its library panicked"))),
            Err(_) => Err(KeychainError::Slow),
        }
    }

    /// Puts `secret` into the item, which is made where it is missing.
    ///
    /// # Errors
    ///
    /// After [`KeychainError::Slow`] it may have been put there all the same, or be yet, where the keychain had
    /// the change already and does not answer.
    pub fn write(&self, item: &Item, secret: Secret) -> Result<(), KeychainError> {
        let (place, item) = (self.place.clone(), item.clone());
        within(move |waited| platform::write(&place, &item, &secret, waited))
    }

    /// Removes the item; says whether it was there.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn remove(&self, item: &Item) -> Result<bool, KeychainError> {
        let (place, item) = (self.place.clone(), item.clone());
        within(move |waited| match platform::remove(&place, &item, waited) {
            Ok(()) => Ok(true),
            Err(KeychainError::NotFound) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Whether there is a keychain that could be used now.
    pub fn look(&self) -> Result<(), KeychainError> {
        let place = self.place.clone();
        within(move |_| platform::look(&place))
    }
}

impl KeychainError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Absent { fix, .. } => fix,
            Self::Locked => "unlock the keychain: log in to the desktop, or open its settings",
            Self::Ambiguous => "remove all but one of them in the keychain's own settings",
            Self::Denied => "allow the access when the keychain asks",
            Self::NotFound | Self::Slow | Self::Failed(_) => return None,
        })
    }
}

/// Runs `work`, at most until the deadline. What hangs is left behind, and ends with the process.
fn within<T: Send + 'static>(
    work: impl FnOnce(&Waited) -> Result<T, KeychainError> + Send + 'static,
) -> Result<T, KeychainError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let (waited, seen) = Waited::pair();
    spawn(move || drop(sender.send(work(&seen))))?;
    match receiver.recv_timeout(DEADLINE) {
        Ok(answer) => answer,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            waited.give_up();
            Err(KeychainError::Slow)
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(KeychainError::Failed("its library panicked"))
        }
    }
}

/// Whether somebody still waits for what a thread does for them.
#[derive(Debug)]
struct Waited(Arc<AtomicBool>);

impl Waited {
    /// One for who waits, and one for the thread.
    fn pair() -> (Self, Self) {
        let flag = Arc::new(AtomicBool::new(true));
        (Self(Arc::clone(&flag)), Self(flag))
    }

    /// Nobody does any longer, and has been told that it failed.
    fn give_up(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// To be asked right before anything is changed.
    fn still(&self) -> Result<(), KeychainError> {
        if self.0.load(Ordering::SeqCst) { Ok(()) } else { Err(KeychainError::Slow) }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), KeychainError> {
    let thread = thread::Builder::new().name("keychain".to_owned());
    thread.spawn(work).map(drop).map_err(|_| KeychainError::Failed("no thread can be started"))
}
