//! How many processes the servers of one tenant may have at one time.

use std::io;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use strongroom_gateway::upstream::running::Child;
use strongroom_model::code::{Code, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a start waits for another server of the tenant to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked for one that may end.
const PAUSE: Duration = Duration::from_millis(100);

/// The places of one tenant.
pub(super) struct Slots {
    most: usize,
    free: Arc<Semaphore>,
    patience: Duration,
}

/// A place, for as long as it is held.
pub(super) struct Slot(
    #[expect(dead_code, reason = "it is there to be dropped")] OwnedSemaphorePermit,
);

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self { most, free: Arc::new(Semaphore::new(most)), patience: PATIENCE }
    }

    /// A place. While none is free, `rest` is to end a server that nobody calls, where there is one.
    ///
    /// # Errors
    ///
    /// `rate_limited`: all of them are busy.
    pub(super) async fn take(&self, rest: impl Fn()) -> Result<Slot, Refusal> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(Slot(permit));
        }
        let wait = async {
            loop {
                rest();
                let free = Arc::clone(&self.free).acquire_owned();
                if let Ok(Ok(permit)) = timeout(PAUSE, free).await {
                    return Slot(permit);
                }
            }
        };
        timeout(self.patience, wait).await.map_err(|_| {
            let text =
                format!("{} programs of this tenant run already, and all are busy", self.most);
            let mut refusal = Refusal::new(Code::RateLimited, text);
            refusal.retry_after_s = Some(1);
            refusal
        })
    }
}

/// A child that has a place until it is gone.
pub(super) struct Placed {
    child: Box<dyn Child>,
    _slot: Slot,
}

impl Placed {
    pub(super) fn new(child: Box<dyn Child>, slot: Slot) -> Self {
        Self { child, _slot: slot }
    }
}

impl Child for Placed {
    fn id(&self) -> u32 {
        self.child.id()
    }
    fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin()
    }
    fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout()
    }
    fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr()
    }
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.ended()
    }
    fn end(&mut self) {
        self.child.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one_that_is_put_to_rest_and_not_for_ever() {
        let mut slots = Slots::new(2);
        let first = slots.take(|| panic!("one is free")).await.unwrap();
        let _second = slots.take(|| panic!("one is free")).await.unwrap();
        slots.patience = Duration::ZERO;
        let refused = slots.take(|| ()).await.err().unwrap();
        assert_eq!((refused.code, refused.retry_after_s), (Code::RateLimited, Some(1)));
        slots.patience = Duration::from_mins(1);
        let first = Mutex::new(Some(first));
        assert!(slots.take(|| drop(first.lock().unwrap().take())).await.is_ok());
    }
}
