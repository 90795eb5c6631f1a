//! How long a resolved secret is good (decision 5).

use std::time::{Duration, SystemTime};

/// How long a value is good, and what may be done with it after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Until this age a value is used without asking the provider.
    pub ttl: Duration,
    /// For so long after that a value stands in for a provider that cannot be reached.
    pub max_stale: Duration,
    /// Whether it does.
    pub policy: StalePolicy,
}

/// What happens when a value has expired and its provider cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StalePolicy {
    /// The value is not used.
    Fail,
    /// It is used, and everybody is told.
    #[default]
    Warn,
    /// It is used.
    Silent,
}

/// What the provider said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not asked.
    NotAsked,
    /// It is locked, unreachable or too slow: nothing is known.
    Unreachable,
    /// It answered that there is no such thing, or that it may not be had.
    Refused,
}

/// What a kept value is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Use it.
    Fresh,
    /// Use it, and fetch it anew when the work is done.
    Refresh,
    /// Use it, because there is nothing better; warn where the policy says so.
    Stale,
    /// Do not use it. Where the provider was not asked: ask.
    Expired,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            ttl: Duration::from_hours(4),
            max_stale: Duration::from_hours(7 * 24),
            policy: StalePolicy::default(),
        }
    }
}

impl Freshness {
    /// What a value that was fetched at `fetched_at` is good for at `now`.
    ///
    /// A value from the future has expired for good: the clock went backwards, so that nobody
    /// knows how old it is. What the provider refused is never used, whatever its age.
    pub fn judge(&self, now: SystemTime, fetched_at: SystemTime, outcome: Outcome) -> Use {
        let Ok(age) = now.duration_since(fetched_at) else { return Use::Expired };
        if outcome == Outcome::Refused {
            return Use::Expired;
        }
        if age < self.ttl {
            return if age < self.ttl / 4 * 3 { Use::Fresh } else { Use::Refresh };
        }
        let stands_in = outcome == Outcome::Unreachable
            && self.policy != StalePolicy::Fail
            && age < self.ttl.saturating_add(self.max_stale);
        if stands_in { Use::Stale } else { Use::Expired }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{NotAsked, Refused, Unreachable};
    use Use::{Expired, Fresh, Refresh, Stale};

    const HOUR: u64 = 3600;

    fn judge(freshness: Freshness, age: u64, outcome: Outcome) -> Use {
        let then = SystemTime::UNIX_EPOCH;
        freshness.judge(then + Duration::from_secs(age), then, outcome)
    }

    #[test]
    fn a_value_is_fresh_then_refreshed_ahead_then_stale_and_at_last_gone() {
        let week = 7 * 24 * HOUR;
        for (age, not_asked, unreachable) in [
            (0, Fresh, Fresh),
            (3 * HOUR - 1, Fresh, Fresh),
            (3 * HOUR, Refresh, Refresh), // three quarters of the TTL
            (4 * HOUR - 1, Refresh, Refresh),
            (4 * HOUR, Expired, Stale),
            (4 * HOUR + week - 1, Expired, Stale),
            (4 * HOUR + week, Expired, Expired),
        ] {
            assert_eq!(judge(Freshness::default(), age, NotAsked), not_asked, "{age}");
            assert_eq!(judge(Freshness::default(), age, Unreachable), unreachable, "{age}");
            assert_eq!(judge(Freshness::default(), age, Refused), Expired, "{age}");
        }
    }

    #[test]
    fn the_policy_decides_only_over_what_is_stale() {
        for (policy, stale) in
            [(StalePolicy::Fail, Expired), (StalePolicy::Warn, Stale), (StalePolicy::Silent, Stale)]
        {
            let freshness = Freshness { policy, ..Freshness::default() };
            assert_eq!(judge(freshness, 5 * HOUR, Unreachable), stale);
            assert_eq!(judge(freshness, HOUR, Unreachable), Fresh);
        }
    }

    #[test]
    fn a_value_from_the_future_has_expired() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(HOUR);
        for outcome in [NotAsked, Unreachable, Refused] {
            let fetched_at = now + Duration::from_nanos(1);
            assert_eq!(Freshness::default().judge(now, fetched_at, outcome), Expired);
        }
        assert_eq!(Freshness::default().judge(now, now, NotAsked), Fresh);
    }

    #[test]
    fn a_ttl_of_nothing_asks_every_time() {
        let freshness = Freshness { ttl: Duration::ZERO, ..Freshness::default() };
        assert_eq!(judge(freshness, 0, NotAsked), Expired);
        assert_eq!(judge(freshness, 0, Unreachable), Stale);
    }
}
