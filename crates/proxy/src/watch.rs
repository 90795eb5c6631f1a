//! The deadlines of one call, and its caller's presence.

use std::pin::{Pin, pin};
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

    /// Begins the last phase, which may take what is left.
    pub(crate) fn last_phase(&mut self) {
        let end = self.end;
        self.timer.as_mut().reset(end);
    }

    /// Runs `future` to its end, the phase's deadline or the caller's leaving.
    ///
    /// # Errors
    ///
    /// `upstream_timeout` or, where nobody is left to read it, `upstream_error`.
    pub(crate) async fn run<F: Future>(&mut self, future: F) -> Result<F::Output, Refusal> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            // Unconstrained: an upstream that keeps the future busy uses up the task's budget, and
            // must not outrun its deadline by that.
            if pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready() {
                let text = "the upstream did not answer in time";
                return Poll::Ready(Err(Refusal::new(Code::UpstreamTimeout, text)));
            }
            if pin!(unconstrained(self.cancel.as_mut())).poll(cx).is_ready() {
                let text = "the caller went away before the answer";
                return Poll::Ready(Err(Refusal::new(Code::UpstreamError, text)));
            }
            Poll::Pending
        })
        .await
    }
}
