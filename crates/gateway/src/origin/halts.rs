//! How long a request has stood still because its client was asked something.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::ports::Halts;
use tokio::time::Instant;

/// The time that was spent on questions. Two that are asked at once count as one.
#[derive(Default)]
pub(crate) struct Stood(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Questions that wait for an answer, and since when there are any.
    asked: usize,
    since: Option<Instant>,
    /// What was spent before that.
    before: Duration,
}

/// A question that waits for its answer, until it is dropped.
pub(crate) struct Still<'a>(&'a Stood);

impl Stood {
    /// Somebody is asked something, until what is returned is dropped.
    pub(crate) fn still(&self) -> Still<'_> {
        let mut inner = self.lock();
        inner.asked += 1;
        inner.since.get_or_insert_with(Instant::now);
        Still(self)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halts for Stood {
    fn stood(&self) -> Duration {
        self.lock().total()
    }
}

impl Inner {
    fn total(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.asked -= 1;
        if inner.asked == 0 {
            inner.before = inner.total();
            inner.since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_the_time_counts_in_which_somebody_is_asked_and_it_counts_once() {
        let stood = Stood::default();
        advance(5 * SECOND).await;
        assert_eq!(stood.stood(), Duration::ZERO);
        let first = stood.still();
        advance(SECOND).await;
        let second = stood.still();
        advance(SECOND).await;
        drop(first);
        advance(SECOND).await;
        assert_eq!(stood.stood(), 3 * SECOND, "while one is asked");
        drop(second);
        advance(9 * SECOND).await;
        assert_eq!(stood.stood(), 3 * SECOND);
        let third = stood.still();
        advance(SECOND).await;
        drop(third);
        assert_eq!(stood.stood(), 4 * SECOND);
    }
}
