//! How many refused tokens are recorded.
//!
//! Whoever reaches the port can be refused, as often as he likes: another user of the machine, a
//! web page. A record for each would fill the disk, and where the audit cannot be written no call is
//! made. Above the rate they are counted, and the next record says how many there were.

use std::sync::{Mutex, PoisonError};

use strongroom_model::rate::{Gcra, State};
use tokio::time::Instant;

/// In the long run 20 kB a minute; a burst shows whole what a person does.
const RATE: Gcra = Gcra { per_minute: 60, burst: 600 };

pub(super) struct Refusals {
    began: Instant,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    state: State,
    unrecorded: u64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), counted: Mutex::default() }
    }

    /// Counts one. Where it is to be recorded: how many before it were not.
    pub(super) fn count(&self) -> Option<u64> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if RATE.check(&mut counted.state, self.began.elapsed()).is_ok() {
            return Some(std::mem::take(&mut counted.unrecorded));
        }
        counted.unrecorded += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // AU-09
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refused_tokens_is_counted_and_not_written() {
        let refusals = Refusals::new();
        for _ in 0..600 {
            assert_eq!(refusals.count(), Some(0));
        }
        for _ in 0..10_000 {
            assert_eq!(refusals.count(), None);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(refusals.count(), Some(10_000));
        assert_eq!(refusals.count(), None);
        tokio::time::advance(Duration::from_mins(10)).await;
        assert_eq!(refusals.count(), Some(1));
        assert_eq!(refusals.count(), Some(0));
    }
}
