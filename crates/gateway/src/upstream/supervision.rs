//! When a server that has ended is started again: a pure state machine.
//!
//! A server is started when it is first wanted. One that ends is started again by the next call: at once
//! after the first time, then after a pause that doubles, so that a child that somebody killed answers
//! again without anybody waiting, and one that always fails costs next to nothing. A server that has
//! failed [`Limits::failures`] times in a row is in a crash loop: calls fail at once and say why, until
//! [`Limits::cooling`] has passed and one attempt is made, or a person starts it. What has run for
//! [`Limits::sustained`] has no history.

use std::time::Duration;

/// How patient the supervision is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The first pause; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Failures in a row that make a crash loop.
    pub failures: u32,
    /// How long a crash loop is left alone.
    pub cooling: Duration,
    /// How long a server has to run for its failures to be forgotten.
    pub sustained: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(250),
            longest: Duration::from_secs(30),
            failures: 6,
            cooling: Duration::from_mins(5),
            sustained: Duration::from_mins(1),
        }
    }
}

/// What a server is doing. Times are those of a monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not been wanted yet, or was ended because nobody wanted it any more.
    Idle,
    /// It is being started.
    Starting {
        /// Since when.
        since: Duration,
    },
    /// It answers.
    Ready {
        /// Since when.
        since: Duration,
    },
    /// It ended, and is not started again before `until`.
    Pausing {
        /// The end of the pause.
        until: Duration,
    },
    /// It has failed too often, and is not started again before `until` unless a person does.
    Looping {
        /// When one attempt is made.
        until: Duration,
    },
}

impl State {
    /// The word in status, metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::Pausing { .. } => "restarting",
            Self::Looping { .. } => "crash_loop",
        }
    }
}

/// What a call that wants the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start it: this call is the one that does.
    Start,
    /// Wait for the one that starts it.
    Await,
    /// Use it.
    Use,
    /// Wait until then, and ask again.
    Pause {
        /// By the same clock.
        until: Duration,
    },
    /// Fail: it is in a crash loop.
    Refuse,
}

/// The history of one server.
#[derive(Clone, Copy, Debug)]
pub struct Supervision {
    limits: Limits,
    state: State,
    /// Failures in a row.
    failures: u32,
    /// How often it was started again, since the first time.
    restarts: u64,
    started_before: bool,
}

impl Supervision {
    /// Of a server that has not been started.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Idle, failures: 0, restarts: 0, started_before: false }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Somebody wants it now. After [`Step::Start`] comes [`Self::ready`] or [`Self::ended`].
    pub fn wanted(&mut self, now: Duration) -> Step {
        match self.state {
            State::Ready { .. } => return Step::Use,
            State::Starting { .. } => return Step::Await,
            State::Pausing { until } if now < until => return Step::Pause { until },
            State::Looping { until } if now < until => return Step::Refuse,
            State::Idle | State::Pausing { .. } | State::Looping { .. } => {}
        }
        self.restarts += u64::from(std::mem::replace(&mut self.started_before, true));
        self.state = State::Starting { since: now };
        Step::Start
    }

    /// It answers.
    pub fn ready(&mut self, now: Duration) {
        self.state = State::Ready { since: now };
    }

    /// It has ended by itself, or could not be started. `chance` (0 to 255) spreads the pauses, so that
    /// many servers that fail together do not come back together.
    pub fn ended(&mut self, now: Duration, chance: u8) {
        if let State::Ready { since } = self.state
            && now.saturating_sub(since) >= self.limits.sustained
        {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.state = if self.failures >= self.limits.failures {
            State::Looping { until: now + self.limits.cooling }
        } else {
            State::Pausing { until: now + self.pause(chance) }
        };
    }

    /// It was ended because nobody wanted it any more, or because its definition has changed: that is no
    /// failure.
    pub fn put_away(&mut self) {
        self.state = State::Idle;
        self.failures = 0;
    }

    /// It was not started, for a reason that is not its own.
    pub fn refused(&mut self) {
        self.state = State::Idle;
    }

    /// None after the first failure; then between three and five quarters of a time that doubles.
    fn pause(&self, chance: u8) -> Duration {
        let Some(doublings) = self.failures.checked_sub(2) else { return Duration::ZERO };
        let whole =
            self.limits.pause.saturating_mul(1 << doublings.min(20)).min(self.limits.longest);
        whole * 3 / 4 + whole / 2 * u32::from(chance) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Wants it at `now`, and fails at once.
    fn fail(supervision: &mut Supervision, now: Duration) {
        assert_eq!(supervision.wanted(now), Step::Start, "{supervision:?}");
        supervision.ended(now, 128);
    }

    #[test]
    fn the_first_call_starts_it_and_all_others_wait_for_that() {
        let mut one = Supervision::new(Limits::default());
        assert_eq!(one.state().as_str(), "idle");
        assert_eq!([one.wanted(s(1)), one.wanted(s(2))], [Step::Start, Step::Await]);
        one.ready(s(3));
        assert_eq!((one.wanted(s(4)), one.state().as_str()), (Step::Use, "ready"));
        assert_eq!(one.restarts(), 0);
    }

    #[test]
    fn a_server_that_was_killed_once_is_started_by_the_next_call() {
        let mut one = Supervision::new(Limits::default());
        assert_eq!(one.wanted(s(1)), Step::Start);
        one.ready(s(1));
        one.ended(s(100), 255);
        assert_eq!(one.wanted(s(100)), Step::Start);
        assert_eq!(one.restarts(), 1);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_spread() {
        let limits = Limits { failures: 100, ..Limits::default() };
        let mut one = Supervision::new(limits);
        let mut now = s(1);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            fail(&mut one, now);
            let State::Pausing { until } = one.state() else { panic!("{one:?}") };
            pauses.push(until.saturating_sub(now).as_millis());
            if until > now {
                assert_eq!(one.wanted(now), Step::Pause { until });
            }
            now = until;
        }
        assert_eq!(pauses[..5], [0, 250, 500, 1000, 2001]);
        assert!((30_000..30_100).contains(&pauses[11]), "about the longest");
        one.failures = 2;
        assert_eq!(
            [one.pause(0), one.pause(255)].map(|pause| pause.as_micros()),
            [187_500, 312_500]
        );
    }

    #[test]
    fn a_crash_loop_refuses_until_it_has_cooled_and_then_tries_once() {
        let limits = Limits::default();
        let mut one = Supervision::new(limits);
        let mut now = s(1);
        for _ in 0..limits.failures {
            fail(&mut one, now);
            now += limits.longest * 2;
        }
        assert_eq!((one.wanted(now), one.state().as_str()), (Step::Refuse, "crash_loop"));
        now += limits.cooling;
        fail(&mut one, now);
        assert_eq!(one.wanted(now), Step::Refuse, "one attempt that fails is no new chance");
        now += limits.cooling;
        assert_eq!(one.wanted(now), Step::Start);
        one.ready(now);
        one.ended(now + limits.sustained, 0);
        assert_eq!(
            one.wanted(now + limits.sustained),
            Step::Start,
            "what ran for long has no history"
        );
    }

    #[test]
    fn what_ends_soon_after_it_was_ready_is_in_a_loop_too() {
        let limits = Limits::default();
        let mut one = Supervision::new(limits);
        for n in 0..limits.failures {
            let now = s(u64::from(n) * 100);
            assert_eq!(one.wanted(now), Step::Start);
            one.ready(now);
            one.ended(now + s(1), 0);
        }
        assert_eq!(one.wanted(s(600)), Step::Refuse);
    }

    #[test]
    fn what_was_put_away_is_no_failure() {
        let mut one = Supervision::new(Limits::default());
        for n in 0..20 {
            assert_eq!(one.wanted(s(n)), Step::Start);
            one.ready(s(n));
            one.put_away();
        }
        assert_eq!((one.wanted(s(20)), one.restarts()), (Step::Start, 20));
    }
}
