//! What a person has said of the use of secrets, in this process.

use std::collections::{HashMap, HashSet};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync;

/// The yeses for the session, and whose turn it is to be asked about.
#[derive(Default)]
pub(super) struct Leave {
    said: Mutex<Said>,
    /// One question at a time: what it comes to may answer those that wait behind it.
    turn: sync::Mutex<()>,
}

#[derive(Default)]
struct Said {
    /// A process that was forked off was never allowed anything.
    process: u32,
    granted: HashSet<String>,
    /// How often each was denied.
    denied: HashMap<String, u64>,
    /// Grows with what is forgotten: a yes that was asked for before is not kept after.
    forgotten: u64,
}

/// What was known before the turn came.
#[derive(Clone, Copy)]
pub(super) struct Before {
    denied: u64,
}

/// The turn to ask a person.
pub(super) struct Turn<'a> {
    leave: &'a Leave,
    _guard: sync::MutexGuard<'a, ()>,
    forgotten: u64,
}

impl Leave {
    /// Whether the use of `name` was allowed for the session.
    pub(super) fn is_granted(&self, name: &str) -> bool {
        self.said().granted.contains(name)
    }

    /// What is known of `name` now.
    pub(super) fn before(&self, name: &str) -> Before {
        Before { denied: self.denials(name) }
    }

    /// Waits for the turn to ask.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let guard = self.turn.lock().await;
        Turn { leave: self, _guard: guard, forgotten: self.said().forgotten }
    }

    /// Whether somebody has said no to `name` since.
    pub(super) fn was_denied_since(&self, name: &str, before: Before) -> bool {
        self.denials(name) > before.denied
    }

    /// Takes back what was allowed of `name`, or of all.
    pub(super) fn forget(&self, name: Option<&str>) {
        let mut said = self.said();
        said.forgotten += 1;
        match name {
            Some(name) => drop(said.granted.remove(name)),
            None => said.granted.clear(),
        }
    }

    fn denials(&self, name: &str) -> u64 {
        self.said().denied.get(name).copied().unwrap_or_default()
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.process != process::id() {
            *said = Said { process: process::id(), ..Said::default() };
        }
        said
    }
}

impl Turn<'_> {
    /// Keeps a yes for the session, unless what it was about was removed meanwhile.
    pub(super) fn grant(&self, name: &str) {
        let mut said = self.leave.said();
        if said.forgotten == self.forgotten {
            said.granted.insert(name.to_owned());
        }
    }

    /// Notes a no, which those that wait for the same have as well.
    pub(super) fn deny(&self, name: &str) {
        *self.leave.said().denied.entry(name.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_yes_for_the_session_is_kept_unless_the_secret_was_removed_meanwhile() {
        let leave = Leave::default();
        leave.turn().await.grant("a");
        assert!(leave.is_granted("a") && !leave.is_granted("b"));
        leave.forget(Some("a"));
        assert!(!leave.is_granted("a"));
        for name in [Some("a"), None] {
            let turn = leave.turn().await;
            leave.forget(name);
            turn.grant("a");
            assert!(!leave.is_granted("a"));
        }
    }

    #[tokio::test]
    async fn a_no_is_known_to_those_who_waited_and_not_to_who_comes_later() {
        let leave = Leave::default();
        let before = leave.before("a");
        leave.turn().await.deny("a");
        assert!(leave.was_denied_since("a", before));
        assert!(!leave.was_denied_since("b", before));
        assert!(!leave.was_denied_since("a", leave.before("a")));
    }
}
