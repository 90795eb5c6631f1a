//! One process at a time asks: whoever has the lock on `refresh.lock`.
//!
//! The lock is the kernel's (`flock`): it ends with the process that has it, however that ends. Where
//! a file system has no locks, or the directory cannot be written, everybody asks for itself.

use std::time::Duration;

use strongroom_seal::{Guard, SecureDir};
use tokio::time::{Instant, sleep_until};

const FILE: &str = "refresh.lock";
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// What came of the wish to be the one.
pub(super) enum Flight {
    /// This process has the lock, as long as this is kept.
    Locked {
        _guard: Guard,
        /// Whether another one had it before.
        waited: bool,
    },
    /// There is nothing to lock.
    Alone,
    /// Another one has it, and kept it too long.
    Missed,
}

impl Flight {
    /// Waits for the lock until `deadline`.
    pub(super) async fn board(dir: &SecureDir, deadline: Instant) -> Self {
        let mut pause = FIRST_PAUSE;
        let mut waited = false;
        loop {
            match dir.try_lock(FILE) {
                Ok(Some(guard)) => return Self::Locked { _guard: guard, waited },
                Ok(None) if Instant::now() >= deadline => return Self::Missed,
                Ok(None) => waited = true,
                Err(_) => return Self::Alone,
            }
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The same without a runtime, or within one, for writes that are over in a moment.
    pub(super) fn board_blocking(dir: &SecureDir, longest: Duration) -> Self {
        let mut left = longest;
        loop {
            match dir.try_lock(FILE) {
                Ok(Some(guard)) => {
                    return Self::Locked { _guard: guard, waited: left < longest };
                }
                Ok(None) if left.is_zero() => return Self::Missed,
                Ok(None) => {}
                Err(_) => return Self::Alone,
            }
            std::thread::sleep(LONGEST_PAUSE);
            left = left.saturating_sub(LONGEST_PAUSE);
        }
    }

    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    pub(super) fn has_waited(&self) -> bool {
        matches!(self, Self::Locked { waited: true, .. })
    }
}
