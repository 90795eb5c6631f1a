//! What was read from the database a moment ago, and what has not changed since.
//!
//! Invariant: something is taken from here only where [`Feed`] vouches that no change of its tenant is
//! unknown, and never after [`OLDEST`]. Memory is bounded, however many tenants there are.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::ports::Clock;
use strongroom_model::team::TenantId;

use super::TeamError;
use super::feed::Feed;

/// What is kept of one kind.
pub(super) struct Cache<K, V> {
    feed: Arc<Feed>,
    clock: Arc<dyn Clock>,
    most: usize,
    fits: fn(&V) -> bool,
    entries: Mutex<Generations<K, V>>,
}

/// The newer entries and those before them: the older half is dropped as a whole.
struct Generations<K, V> {
    young: HashMap<K, Entry<V>>,
    old: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    value: Arc<V>,
    tenant: Option<TenantId>,
    stamp: u64,
    read: Duration,
}

/// How long anything is kept.
const OLDEST: Duration = Duration::from_secs(5);

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    /// Keeps at most about `most` entries, and only such as `fits`.
    pub(super) fn new(
        feed: &Arc<Feed>,
        clock: &Arc<dyn Clock>,
        most: usize,
        fits: fn(&V) -> bool,
    ) -> Self {
        let entries = Generations { young: HashMap::new(), old: HashMap::new() };
        Self {
            feed: Arc::clone(feed),
            clock: Arc::clone(clock),
            most: most / 2,
            fits,
            entries: Mutex::new(entries),
        }
    }

    /// What stands under `key`: as it is kept, or as `load` reads it. `tenant_of` says whose it is.
    pub(super) async fn get(
        &self,
        key: K,
        tenant_of: impl Fn(&V) -> Option<TenantId>,
        load: impl Future<Output = Result<V, TeamError>>,
    ) -> Result<Arc<V>, TeamError> {
        match self.now(&key) {
            Some(value) => Ok(value),
            // What is not kept is rare, and large.
            None => Box::pin(self.load(key, tenant_of, load)).await,
        }
    }

    /// What is kept under `key`.
    pub(super) fn now(&self, key: &K) -> Option<Arc<V>> {
        if self.feed.is_fresh() { self.kept(key) } else { None }
    }

    /// What stands under `key` as `load` reads it, whatever is kept.
    pub(super) async fn load(
        &self,
        key: K,
        tenant_of: impl Fn(&V) -> Option<TenantId>,
        load: impl Future<Output = Result<V, TeamError>>,
    ) -> Result<Arc<V>, TeamError> {
        let fresh = self.feed.is_fresh();
        // Before it is read: what changes meanwhile makes it old.
        let (stamp, read) = (self.feed.stamp(), self.clock.monotonic());
        let value = Arc::new(load.await?);
        if fresh && (self.fits)(&value) {
            let tenant = tenant_of(&value);
            let entry = Entry { value: Arc::clone(&value), tenant, stamp, read };
            self.keep(key, entry);
        }
        Ok(value)
    }

    fn kept(&self, key: &K) -> Option<Arc<V>> {
        let entries = self.entries();
        let entry = entries.young.get(key).or_else(|| entries.old.get(key))?;
        let young = self.clock.monotonic().saturating_sub(entry.read) < OLDEST;
        (young && self.feed.holds(entry.stamp, entry.tenant)).then(|| Arc::clone(&entry.value))
    }

    fn keep(&self, key: K, entry: Entry<V>) {
        let mut entries = self.entries();
        if entries.young.len() >= self.most {
            entries.old = std::mem::take(&mut entries.young);
        }
        entries.young.insert(key, entry);
    }

    fn entries(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
