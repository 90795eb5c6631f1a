//! How often something may happen: the generic cell rate algorithm, as a pure function of time.

use std::time::Duration;

/// So many a minute, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// How many pass in a minute, in the long run. None pass at 0.
    pub per_minute: u32,
    /// How many pass at once after a pause. At least one does.
    pub burst: u32,
}

/// When the next one would be due if they came evenly. One for each thing that is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    due: Duration,
}

const MINUTE: Duration = Duration::from_mins(1);

impl Gcra {
    /// No rate is higher.
    pub const MOST: u32 = 10_000_000;

    /// Reads `60/min` or `2/s`; at once as many as that number.
    pub fn parse(text: &str) -> Option<Self> {
        let read = |unit: &str, minutes: u32| {
            let number = text.strip_suffix(unit)?;
            let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let number = plain.then(|| number.parse::<u32>().ok()).flatten()?;
            let per_minute = number.checked_mul(minutes)?;
            (1..=Self::MOST).contains(&per_minute).then_some(Self { per_minute, burst: number })
        };
        read("/min", 1).or_else(|| read("/s", 60))
    }

    /// Lets one pass at `now`, time since a fixed point that never goes back.
    ///
    /// # Errors
    ///
    /// How long to wait before trying again; then `state` is as it was.
    pub fn check(&self, state: &mut State, now: Duration) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Err(MINUTE);
        }
        let interval = MINUTE / self.per_minute;
        let ahead = interval.saturating_mul(self.burst.saturating_sub(1));
        let wait = state.due.saturating_sub(now).saturating_sub(ahead);
        if !wait.is_zero() {
            return Err(wait);
        }
        state.due = state.due.max(now).saturating_add(interval);
        Ok(())
    }
}

/// So many bytes a day: what was sent and received is known only afterwards, so that the last call
/// before the end may go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many in a day, in the long run; all of them at once after a day without any.
    pub bytes_per_day: u64,
}

const DAY: Duration = Duration::from_hours(24);

impl Budget {
    /// Whether anything is left at `now`.
    ///
    /// # Errors
    ///
    /// How long to wait before there is.
    pub fn check(&self, state: &State, now: Duration) -> Result<(), Duration> {
        let wait = state.due.saturating_sub(now).saturating_sub(DAY);
        if self.bytes_per_day == 0 || !wait.is_zero() { Err(wait.max(SECOND)) } else { Ok(()) }
    }

    /// Takes `bytes`, which went over the wire, from what is left.
    pub fn charge(&self, state: &mut State, now: Duration, bytes: u64) {
        let per_byte = DAY.as_nanos() / u128::from(self.bytes_per_day.max(1));
        let nanos = per_byte.saturating_mul(u128::from(bytes)).min(YEAR_NS);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        state.due = state.due.max(now).saturating_add(cost);
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// One call cannot cost more, so that a mistake in a limit heals.
const YEAR_NS: u128 = 365 * 86_400 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of `tries` even tries within `during` pass.
    fn passed(rate: Gcra, tries: u32, during: Duration) -> u32 {
        let mut state = State::default();
        let step = during / tries;
        (0..tries).map(|n| u32::from(rate.check(&mut state, step * n).is_ok())).sum()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let rate = Gcra { per_minute: 60, burst: 5 };
        let mut state = State::default();
        for _ in 0..5 {
            assert_eq!(rate.check(&mut state, Duration::ZERO), Ok(()));
        }
        assert_eq!(rate.check(&mut state, Duration::ZERO), Err(Duration::from_secs(1)));
        let soon = Duration::from_millis(400);
        assert_eq!(rate.check(&mut state, soon), Err(Duration::from_millis(600)));
        assert_eq!(rate.check(&mut state, Duration::from_secs(1)), Ok(()));
        assert!(rate.check(&mut state, Duration::from_secs(1)).is_err());
        for _ in 0..5 {
            assert_eq!(rate.check(&mut state, Duration::from_hours(1)), Ok(()), "after a pause");
        }
        assert!(rate.check(&mut state, Duration::from_hours(1)).is_err(), "and no more than that");
    }

    #[test]
    fn the_edges_of_the_rate_are_none_and_one_at_a_time() {
        assert_eq!(passed(Gcra { per_minute: 0, burst: 9 }, 100, MINUTE), 0);
        assert_eq!(passed(Gcra { per_minute: 60, burst: 0 }, 600, MINUTE), 60);
        assert_eq!(passed(Gcra { per_minute: u32::MAX, burst: 1 }, 1000, MINUTE), 1000);
    }

    #[test]
    fn a_day_has_so_many_bytes_and_the_next_one_has_them_again() {
        let (budget, mut state) = (Budget { bytes_per_day: 1000 }, State::default());
        let mut now = Duration::from_hours(100);
        for _ in 0..10 {
            assert_eq!(budget.check(&state, now), Ok(()));
            budget.charge(&mut state, now, 100);
        }
        assert_eq!(budget.check(&state, now), Ok(()), "exactly all of them");
        budget.charge(&mut state, now, 100);
        let wait = budget.check(&state, now).unwrap_err();
        assert!(wait <= Duration::from_mins(145), "{wait:?}");
        now += wait;
        assert_eq!(budget.check(&state, now), Ok(()));
        assert_eq!(budget.check(&state, now + DAY), Ok(()));
        assert!(Budget { bytes_per_day: 0 }.check(&State::default(), now).is_err());
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_the_rate_and_one_burst(
            per_minute in 1..2000_u32, burst in 1..50_u32, tries in 1..3000_u32,
        ) {
            // An interval is rounded down to nanoseconds, which can let one more through.
            let most = per_minute + burst + 1;
            let count = passed(Gcra { per_minute, burst }, tries, MINUTE);
            prop_assert!(count <= most);
        }

        #[test]
        fn who_waits_as_long_as_told_passes(
            per_minute in 1..2000_u32, burst in 0..50_u32, times in prop::collection::vec(0..500_u64, 1..60),
        ) {
            let (rate, mut state, mut now) = (Gcra { per_minute, burst }, State::default(), Duration::ZERO);
            for time in times {
                now += Duration::from_millis(time);
                if let Err(wait) = rate.check(&mut state, now) {
                    now += wait;
                    prop_assert_eq!(rate.check(&mut state, now), Ok(()));
                }
            }
        }
    }
}
