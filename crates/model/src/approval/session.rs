//! What was granted to one connection: kept in the memory of the process that serves it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{By, LONGEST_SESSION, Scope};

/// Grants that end with a connection, and after 8 hours at the latest.
///
/// Times are monotonic, so that no change of the clock makes one last longer.
#[derive(Debug, Default)]
pub struct SessionGrants {
    grants: Mutex<Vec<Held>>,
}

#[derive(Clone, Debug)]
struct Held {
    id: String,
    scope: Scope,
    by: By,
    until: Duration,
}

impl SessionGrants {
    /// Keeps the grant `id` for `scope`, from `now` on and for `time` at the most.
    pub fn keep(&self, id: String, scope: Scope, by: By, now: Duration, time: Duration) {
        let until = now + time.min(LONGEST_SESSION);
        let mut grants = self.lock();
        grants.retain(|held| now < held.until && held.scope != scope);
        grants.push(Held { id, scope, by, until });
    }

    /// The grant that covers `scope` at `now`, and how the person was asked for it.
    pub fn find(&self, scope: &Scope, now: Duration) -> Option<(String, By)> {
        let grants = self.lock();
        let held = grants.iter().find(|held| held.scope == *scope && now < held.until)?;
        Some((held.id.clone(), held.by))
    }

    /// The ids of what stands at `now`.
    pub fn ids(&self, now: Duration) -> Vec<String> {
        let standing = |held: &&Held| now < held.until;
        self.lock().iter().filter(standing).map(|held| held.id.clone()).collect()
    }

    /// Forgets the grant `id`: it was taken back.
    pub fn forget(&self, id: &str) {
        self.lock().retain(|held| held.id != id);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
