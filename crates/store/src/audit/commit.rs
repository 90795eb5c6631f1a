//! Group commit: one `fdatasync` for all that was written while the one before it ran.
//!
//! Whoever needs a record on the disk waits for it without a thread of its own; one thread syncs as
//! long as there is something to sync. The more callers there are, the more of them share one sync.

use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use strongroom_model::audit::AuditError;

/// Syncs what a sink writes.
pub(super) struct Commit {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
    disk: Box<dyn Disk>,
}

/// What makes sure of a file; a test has one that waits, or fails.
trait Disk: Send + Sync {
    fn sync(&self, file: &File) -> io::Result<()>;
}

#[derive(Default)]
struct State {
    /// Records that were written.
    written: u64,
    /// How many of them are on the disk.
    synced: u64,
    /// The segments with the others.
    dirty: Vec<Arc<File>>,
    waiting: Vec<Waker>,
    /// Invariant: once a sync has failed nothing is promised again. The system may have dropped what
    /// it could not write, and says so only once.
    failed: Option<ErrorKind>,
    running: bool,
    ended: bool,
}

/// Ends when all that was written before it was made is on the disk.
struct Durable {
    shared: Arc<Shared>,
    ticket: u64,
}

impl Commit {
    pub(super) fn new() -> Self {
        Self::with(File::sync_data)
    }

    fn with(disk: impl Disk + 'static) -> Self {
        let (state, work, done) = (Mutex::default(), Condvar::new(), Condvar::new());
        Self { shared: Arc::new(Shared { state, work, done, disk: Box::new(disk) }) }
    }

    /// Whether anything can be promised still.
    pub(super) fn check(&self) -> io::Result<()> {
        self.shared.lock().check()
    }

    /// A record was written to `file`.
    pub(super) fn wrote(&self, file: &Arc<File>) {
        let mut state = self.shared.lock();
        state.written += 1;
        if !state.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, file)) {
            state.dirty.push(Arc::clone(file));
        }
        if state.running {
            self.shared.work.notify_one();
        }
    }

    /// Syncs here and now, for who has nothing else to do.
    pub(super) fn now(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        let written = state.written;
        while state.failed.is_none() && state.synced < written {
            // What the thread has taken is not synced before the thread says so.
            state = if state.running {
                self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.shared.commit(state)
            };
        }
        state.check()
    }

    /// Waits for what was written before. The first one starts the thread.
    pub(super) fn durable(&self) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let mut state = self.shared.lock();
        if !state.running && !state.ended {
            let shared = Arc::clone(&self.shared);
            let started =
                thread::Builder::new().name("audit".to_owned()).spawn(move || shared.run());
            match started {
                Ok(_) => state.running = true,
                Err(error) => state.failed = Some(error.kind()),
            }
        }
        Durable { ticket: state.written, shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs as long as there is a sink, and what it left behind at its end.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            if state.failed.is_none() && state.synced < state.written {
                state = self.commit(state);
            } else if state.ended {
                return;
            } else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Syncs what was written so far. The state is free meanwhile, so that the next ones gather.
    fn commit<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (dirty, written) = (std::mem::take(&mut state.dirty), state.written);
        drop(state);
        let synced = dirty.iter().try_for_each(|file| self.disk.sync(file));
        let mut state = self.lock();
        match synced {
            Ok(()) => state.synced = state.synced.max(written),
            Err(error) => state.failed = Some(error.kind()),
        }
        state.waiting.drain(..).for_each(Waker::wake);
        self.done.notify_all();
        state
    }
}

impl<F: Fn(&File) -> io::Result<()> + Send + Sync> Disk for F {
    fn sync(&self, file: &File) -> io::Result<()> {
        self(file)
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match self.failed {
            None => Ok(()),
            Some(kind) => Err(io::Error::new(kind, "the disk did not take what was written")),
        }
    }
}

impl Future for Durable {
    type Output = Result<(), AuditError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        if state.synced >= self.ticket {
            return Poll::Ready(Ok(()));
        }
        if let Err(source) = state.check() {
            return Poll::Ready(Err(AuditError { source }));
        }
        state.waiting.push(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[tokio::test]
    async fn what_is_written_during_a_sync_shares_the_next_one() {
        let syncs = Arc::new(AtomicU64::new(0));
        let ((entered, entries), (go_on, wait)) = (mpsc::channel(), mpsc::channel::<()>());
        let (counted, wait) = (Arc::clone(&syncs), Mutex::new(wait));
        let commit = Commit::with(move |_: &File| {
            counted.fetch_add(1, Ordering::SeqCst);
            entered.send(()).unwrap_or_default();
            wait.lock().unwrap().recv().unwrap_or_default();
            Ok(())
        });
        let file = file();
        commit.wrote(&file);
        let first = commit.durable();
        entries.recv().unwrap();
        let others: Vec<_> = (0..32)
            .map(|_| {
                commit.wrote(&file);
                commit.durable()
            })
            .collect();
        go_on.send(()).unwrap();
        first.await.unwrap();
        go_on.send(()).unwrap();
        for other in others {
            other.await.unwrap();
        }
        assert_eq!(syncs.load(Ordering::SeqCst), 2);
        commit.durable().await.unwrap();
    }

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_promised_again() {
        let commit = Commit::with(|_: &File| Err(ErrorKind::StorageFull.into()));
        commit.durable().await.unwrap();
        commit.wrote(&file());
        let error = commit.durable().await.unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::StorageFull);
        assert!(commit.check().is_err() && commit.now().is_err());
        commit.wrote(&file());
        commit.durable().await.unwrap_err();
    }

    #[test]
    fn one_that_is_alone_syncs_every_segment_that_it_wrote_itself() {
        let syncs = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&syncs);
        let commit = Commit::with(move |file: &File| {
            counted.fetch_add(1, Ordering::SeqCst);
            file.sync_data()
        });
        let (one, two) = (file(), file());
        for file in [&one, &one, &two] {
            commit.wrote(file);
        }
        commit.now().unwrap();
        commit.now().unwrap();
        assert_eq!(syncs.load(Ordering::SeqCst), 2);
    }
}
