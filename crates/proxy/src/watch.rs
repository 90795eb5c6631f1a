//! The deadlines of one call, and its caller's presence.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::BoxFuture;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Runs the phases of one call under one timer.
pub(crate) struct Watch<'a> {
    cancel: BoxFuture<'a, ()>,
    timer: Pin<Box<Sleep>>,
    end: Instant,
}

/// Why a future was not run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The phase, or the call, has taken all its time.
    Late,
    /// Nothing happened for too long.
    Idle,
    /// The caller went away.
    Gone,
}

/// Notes when something happened last.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    since: Instant,
    /// Milliseconds since then.
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// Something happens now.
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), last: Arc::default() }
    }

    /// Something happens now.
    pub(crate) fn beat(&self) {
        let passed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

impl<'a> Watch<'a> {
    /// A call that may take `total` from now on, and ends when `cancel` completes.
    pub(crate) fn new(total: Duration, cancel: BoxFuture<'a, ()>) -> Self {
        let end = Instant::now() + total;
        Self { cancel, timer: Box::pin(sleep_until(end)), end }
    }

    /// Begins a phase that may take `limit`, or what is left of the whole.
    pub(crate) fn phase(&mut self, limit: Duration) {
        let end = self.end.min(Instant::now() + limit);
        self.timer.as_mut().reset(end);
    }

    /// Runs `future` to its end, the phase's deadline or the caller's leaving.
    ///
    /// # Errors
    ///
    /// `upstream_timeout` or, where nobody is left to read it, `upstream_error`.
    pub(crate) async fn run<F: Future>(&mut self, future: F) -> Result<F::Output, Refusal> {
        Ok(self.until(future, || None).await?)
    }

    /// Runs `future` as the last phase, for as long as `pulse` beats at least once in `idle`.
    pub(crate) async fn run_last<F: Future>(
        &mut self,
        idle: Duration,
        pulse: &Pulse,
        future: F,
    ) -> Result<F::Output, Stopped> {
        let end = self.end;
        self.timer.as_mut().reset(end.min(pulse.last() + idle));
        self.until(future, || Some((end, pulse.last() + idle))).await
    }

    /// `due` is asked when the timer has run out: when the call ends, and until when it may go on if
    /// nothing happens.
    async fn until<F: Future>(
        &mut self,
        future: F,
        due: impl Fn() -> Option<(Instant, Instant)>,
    ) -> Result<F::Output, Stopped> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            // Unconstrained: an upstream that keeps the future busy uses up the task's budget, and
            // must not outrun its deadline by that.
            while pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready() {
                let Some((end, idle)) = due() else { return Poll::Ready(Err(Stopped::Late)) };
                let now = Instant::now();
                if now >= end {
                    return Poll::Ready(Err(Stopped::Late));
                }
                if now >= idle {
                    return Poll::Ready(Err(Stopped::Idle));
                }
                self.timer.as_mut().reset(end.min(idle));
            }
            if pin!(unconstrained(self.cancel.as_mut())).poll(cx).is_ready() {
                return Poll::Ready(Err(Stopped::Gone));
            }
            Poll::Pending
        })
        .await
    }
}

impl From<Stopped> for Refusal {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Late | Stopped::Idle => {
                Self::new(Code::UpstreamTimeout, "the upstream did not answer in time")
            }
            Stopped::Gone => {
                Self::new(Code::UpstreamError, "the caller went away before the answer")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    fn watch<'a>() -> Watch<'a> {
        Watch::new(Duration::from_secs(100), Box::pin(pending()))
    }

    const IDLE: Duration = Duration::from_secs(10);

    // RX-03
    #[tokio::test(start_paused = true)]
    async fn what_moves_goes_on_until_the_whole_time_is_over() {
        let (mut watch, began, pulse) = (watch(), Instant::now(), Pulse::new());
        let beating = async {
            loop {
                sleep(Duration::from_secs(9)).await;
                pulse.beat();
            }
        };
        let stopped = watch.run_last(IDLE, &pulse, beating).await;
        assert_eq!(stopped, Err::<(), _>(Stopped::Late));
        assert_eq!(began.elapsed().as_secs(), 100);
    }

    // RX-03
    #[tokio::test(start_paused = true)]
    async fn what_stands_still_is_left_when_it_has_for_long_enough() {
        let (mut watch, began, pulse) = (watch(), Instant::now(), Pulse::new());
        let beating = async {
            for _ in 0..3 {
                sleep(Duration::from_secs(4)).await;
                pulse.beat();
            }
            pending::<()>().await;
        };
        let stopped = watch.run_last(IDLE, &pulse, beating).await;
        assert_eq!(stopped, Err::<(), _>(Stopped::Idle));
        assert_eq!(began.elapsed().as_secs(), 22);
        let (mut watch, pulse) = (self::watch(), Pulse::new());
        let done = watch.run_last(IDLE, &pulse, sleep(Duration::from_secs(9))).await;
        assert_eq!(done, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_away_is_not_waited_for() {
        let gone = Box::pin(sleep(Duration::from_secs(3)));
        let mut watch = Watch::new(Duration::from_secs(100), gone);
        let stopped = watch.run_last(IDLE, &Pulse::new(), pending::<()>()).await;
        assert_eq!(stopped, Err(Stopped::Gone));
    }
}
