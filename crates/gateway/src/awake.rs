//! Staying awake for what is about to come.
//!
//! A thread that sleeps for the twenty microseconds that a quick server takes has to be woken, and on an idle
//! machine that takes longer than the server did. Where the other side has just answered within [`SOON`], we
//! stay awake for that long the next time; whoever else wants the processor goes first. A side that takes
//! longer lets us sleep at once, as one of which nothing is known does, so that a call costs at most
//! [`SOON`] of a processor that nobody else wanted, and only once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// What is so soon that sleeping is not worth it.
const SOON: Duration = Duration::from_micros(200);

/// How soon one side has been.
#[derive(Default)]
pub(crate) struct Pace {
    /// It was soon the last time.
    quick: AtomicBool,
    /// What came.
    came: AtomicU64,
    /// Since when it is the other side's turn.
    since: Mutex<Option<Instant>>,
}

/// The other side's turn.
#[derive(Clone, Copy)]
pub(crate) struct Turn(u64);

impl Pace {
    /// From now on it is the other side's turn.
    pub(crate) fn turn(&self) -> Turn {
        *self.since() = Some(Instant::now());
        Turn(self.came.load(Ordering::Acquire))
    }

    /// Something came from the other side.
    pub(crate) fn came(&self) {
        self.came.fetch_add(1, Ordering::Release);
        if let Some(since) = self.since().take() {
            self.quick.store(since.elapsed() <= SOON, Ordering::Relaxed);
        }
    }

    /// Whether the other side was quick the last time.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed)
    }

    /// Stays awake until something comes in this turn, if that is to be soon.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub(crate) async fn awake(&self, turn: Turn) {
        if !self.is_quick() {
            return;
        }
        let began = Instant::now();
        while self.came.load(Ordering::Acquire) == turn.0 && began.elapsed() < SOON {
            // Other threads first, then the runtime's other tasks and its sockets and pipes.
            thread::yield_now();
            yield_now().await;
        }
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn polled(pace: &Pace, turn: Turn) -> Poll<()> {
        pin!(pace.awake(turn)).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn nobody_stays_awake_for_a_side_of_which_nothing_is_known_or_that_was_slow() {
        let pace = Pace::default();
        let turn = pace.turn();
        assert_eq!(polled(&pace, turn), Poll::Ready(()));
        *pace.since() = Instant::now().checked_sub(2 * SOON);
        pace.came();
        assert!(!pace.is_quick());
        assert_eq!(polled(&pace, pace.turn()), Poll::Ready(()));
    }

    #[test]
    fn for_a_side_that_was_quick_we_stay_awake_until_it_comes_and_no_longer_than_that() {
        let pace = Pace::default();
        pace.quick.store(true, Ordering::Relaxed);
        let turn = pace.turn();
        let mut awake = pin!(pace.awake(turn));
        let mut context = Context::from_waker(Waker::noop());
        // Unless this thread was stopped for so long.
        assert!(awake.as_mut().poll(&mut context).is_pending() || !pace.is_quick());
        pace.came();
        assert!(awake.as_mut().poll(&mut context).is_ready());
    }

    #[tokio::test]
    async fn it_ends_by_itself_when_nothing_comes() {
        let pace = Pace::default();
        pace.quick.store(true, Ordering::Relaxed);
        pace.awake(pace.turn()).await;
    }
}
