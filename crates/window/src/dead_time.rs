//! From when on a yes counts.
//!
//! A window that appears under the hands of somebody who is typing or clicking must not take what was
//! meant for another one. So nothing allows until the window has been in front for [`DEAD_TIME`] in which
//! nothing was pressed, and a key that is held down presses once. What denies works at once, and does not
//! ask here. Time in which this process did not get to run does not count: what was pressed meanwhile
//! was pressed before anybody could see the window, and arrives late.
//!
//! A form is there to be typed into, so typing does not let its dead time begin anew, and everything works at once
//! but the one thing that sends it.
//!
//! Times are readings of one clock that does not go back, from any beginning.

use std::collections::BTreeSet;
use std::time::Duration;

/// How long nothing allows, and nothing is sent.
pub(crate) const DEAD_TIME: Duration = Duration::from_millis(800);

/// Whoever is asked less often than that whether it is over was kept from running.
const STALL: Duration = Duration::from_millis(250);

/// What was pressed: a key by the number that the desktop gives it, or the pointer.
#[cfg_attr(
    all(target_os = "macos", not(test)),
    expect(dead_code, reason = "there, buttons that are off take no press")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Press {
    Key(u32),
    Pointer,
}

/// The dead time of one window.
pub(crate) struct DeadTime {
    /// The last moment that it began anew.
    since: Duration,
    /// The last moment that was looked at.
    looked: Duration,
    /// Whether it is over.
    over: bool,
    /// What is held down.
    held: BTreeSet<Press>,
}

impl DeadTime {
    /// Begins.
    pub(crate) fn begin(now: Duration) -> Self {
        Self { since: now, looked: now, over: false, held: BTreeSet::new() }
    }

    /// The window has come to the front: begins anew.
    pub(crate) fn seen(&mut self, now: Duration) {
        self.since = now;
        self.looked = now;
        self.over = false;
        self.held.clear();
    }

    /// Whether it is over. Once it is, it stays over until the window is seen anew. To be asked many
    /// times a second until then.
    pub(crate) fn is_over(&mut self, now: Duration) -> bool {
        if !self.over && now > self.looked + STALL {
            self.since = now;
        }
        self.looked = now;
        self.over = self.over || now >= self.since + DEAD_TIME;
        self.over
    }

    /// Something is pressed, or goes on being pressed. Whether it may allow: it was pressed anew, and the
    /// dead time was over. A press before that lets it begin anew.
    #[cfg_attr(
        all(target_os = "macos", not(test)),
        expect(dead_code, reason = "there, buttons that are off take no press")
    )]
    pub(crate) fn pressed(&mut self, now: Duration, what: Press) -> bool {
        let anew = self.held.insert(what);
        if self.is_over(now) {
            return anew;
        }
        self.since = now;
        false
    }

    /// It is let go.
    #[cfg_attr(
        all(target_os = "macos", not(test)),
        expect(dead_code, reason = "there, buttons that are off take no press")
    )]
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

    /// A window at time 0 that was looked at as often as it should, up to the time before `now`.
    fn looked_at(now: u64) -> DeadTime {
        let mut dead = DeadTime::begin(at(0));
        look(&mut dead, 0, now);
        dead
    }

    fn look(dead: &mut DeadTime, from: u64, to: u64) {
        for now in (from..to).step_by(20) {
            dead.is_over(at(now));
        }
    }

    // DE-09
    #[test]
    fn nothing_allows_before_800_ms_and_everything_may_from_then_on() {
        for what in [SPACE, Press::Pointer] {
            for (now, allowed) in [(0, false), (1, false), (799, false), (800, true), (9_000, true)]
            {
                assert_eq!(looked_at(now).pressed(at(now), what), allowed, "{now} {what:?}");
            }
        }
    }

    // DE-09
    #[test]
    fn whoever_goes_on_typing_does_not_get_there() {
        let mut dead = DeadTime::begin(at(0));
        for now in (100..5_000).step_by(300) {
            look(&mut dead, now - 100, now);
            assert!(!dead.pressed(at(now), SPACE), "{now}");
            dead.released(SPACE);
            look(&mut dead, now, now + 200);
        }
        // The last press was at 4,900.
        look(&mut dead, 5_100, 5_700);
        assert!(!dead.is_over(at(5_699)));
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
        look(&mut dead, 10_000, 10_900);
        assert!(dead.pressed(at(10_900), Press::Key(36)), "another key is not held");
        assert!(!dead.pressed(at(10_930), SPACE));
        dead.released(SPACE);
        assert!(dead.pressed(at(10_960), SPACE));
        assert!(!dead.pressed(at(10_990), SPACE), "its repeats are no presses");
    }

    // DE-09
    #[test]
    fn a_window_that_comes_to_the_front_anew_begins_anew() {
        let mut dead = looked_at(900);
        assert!(dead.is_over(at(900)));
        dead.seen(at(1_000));
        look(&mut dead, 1_000, 1_799);
        assert!(!dead.pressed(at(1_799), Press::Pointer), "the click that raised it");
        look(&mut dead, 1_799, 2_599);
        assert!(dead.pressed(at(2_599), SPACE));
    }

    #[test]
    fn a_form_that_is_typed_into_is_sent_from_800_ms_after_it_came_to_the_front() {
        let mut dead = DeadTime::begin(at(0));
        dead.seen(at(100));
        look(&mut dead, 100, 899);
        assert!(!dead.is_over(at(899)));
        assert!(dead.is_over(at(900)), "whatever was typed meanwhile");
        assert!(dead.is_over(at(60_000)), "and for as long as it stays there");
        dead.seen(at(61_000));
        assert!(!dead.is_over(at(61_001)));
    }

    // DE-09
    #[test]
    fn what_waited_while_we_did_not_run_does_not_allow() {
        let mut dead = looked_at(300);
        assert!(!dead.pressed(at(5_000), Press::Pointer), "it may have been clicked at any time");
        dead.released(Press::Pointer);
        look(&mut dead, 5_000, 5_800);
        assert!(dead.pressed(at(5_800), Press::Pointer));
    }
}
