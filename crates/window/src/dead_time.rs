//! From when on a yes counts.
//!
//! A window that appears under the hands of somebody who is typing or clicking must not take what was
//! meant for another one. So nothing allows until the window has been in front for [`DEAD_TIME`] in which
//! nothing was pressed, and a key that is held down presses once. What denies works at once, and does not
//! ask here.
//!
//! Times are readings of one clock that does not go back, from any beginning.

use std::collections::BTreeSet;
use std::time::Duration;

/// How long nothing allows.
pub(crate) const DEAD_TIME: Duration = Duration::from_millis(800);

/// What was pressed: a key by the number that the desktop gives it, or the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Press {
    Key(u32),
    Pointer,
}

/// The dead time of one window.
pub(crate) struct DeadTime {
    /// The last moment that it began anew.
    since: Duration,
    /// Whether it is over.
    over: bool,
    /// What is held down.
    held: BTreeSet<Press>,
}

impl DeadTime {
    /// Begins.
    pub(crate) fn begin(now: Duration) -> Self {
        Self { since: now, over: false, held: BTreeSet::new() }
    }

    /// The window has come to the front: begins anew.
    pub(crate) fn seen(&mut self, now: Duration) {
        self.since = now;
        self.over = false;
        self.held.clear();
    }

    /// Whether it is over. Once it is, it stays over until the window is seen anew.
    pub(crate) fn is_over(&mut self, now: Duration) -> bool {
        self.over = self.over || now >= self.since + DEAD_TIME;
        self.over
    }

    /// Something is pressed, or goes on being pressed. Whether it may allow: it was pressed anew, and the
    /// dead time was over. A press before that lets it begin anew.
    pub(crate) fn pressed(&mut self, now: Duration, what: Press) -> bool {
        let anew = self.held.insert(what);
        if self.is_over(now) {
            return anew;
        }
        self.since = now;
        false
    }

    /// It is let go.
    pub(crate) fn released(&mut self, what: Press) {
        self.held.remove(&what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Press = Press::Key(65);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    // DE-09
    #[test]
    fn nothing_allows_before_800_ms_and_everything_may_from_then_on() {
        for what in [SPACE, Press::Pointer] {
            for (now, allowed) in [(0, false), (1, false), (799, false), (800, true), (9_000, true)]
            {
                let mut dead = DeadTime::begin(at(0));
                assert_eq!(dead.pressed(at(now), what), allowed, "{now} {what:?}");
            }
        }
    }

    // DE-09
    #[test]
    fn whoever_goes_on_typing_does_not_get_there() {
        let mut dead = DeadTime::begin(at(0));
        for now in (100..5_000).step_by(300) {
            assert!(!dead.pressed(at(now), SPACE), "{now}");
            dead.released(SPACE);
        }
        assert!(!dead.is_over(at(5_600 - 1)), "800 ms after the last press");
        assert!(dead.is_over(at(5_700)));
        assert!(dead.pressed(at(5_710), SPACE));
        dead.released(SPACE);
        assert!(dead.pressed(at(5_720), SPACE), "once it is over, typing is meant for this window");
    }

    // DE-09
    #[test]
    fn a_key_that_is_held_down_never_allows() {
        let mut dead = DeadTime::begin(at(0));
        for now in (10..10_000).step_by(30) {
            assert!(!dead.pressed(at(now), SPACE), "{now}");
        }
        assert!(dead.pressed(at(10_900), Press::Key(36)), "another key is not held");
        assert!(!dead.pressed(at(10_930), SPACE));
        dead.released(SPACE);
        assert!(dead.pressed(at(10_960), SPACE));
        assert!(!dead.pressed(at(10_990), SPACE), "its repeats are no presses");
    }

    // DE-09
    #[test]
    fn a_window_that_comes_to_the_front_anew_begins_anew() {
        let mut dead = DeadTime::begin(at(0));
        assert!(dead.is_over(at(900)));
        dead.seen(at(1_000));
        assert!(!dead.is_over(at(1_799)));
        assert!(!dead.pressed(at(1_799), Press::Pointer), "the click that raised it");
        assert!(dead.pressed(at(2_599), SPACE));
    }
}
