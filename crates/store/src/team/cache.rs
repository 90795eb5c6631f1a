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
    weight: fn(&V) -> usize,
    entries: Mutex<Generations<K, V>>,
}

/// The newer entries and those before them: the older half is dropped as a whole.
struct Generations<K, V> {
    young: HashMap<K, Entry<V>>,
    /// Of the younger ones.
    weight: usize,
    old: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    value: Arc<V>,
    tenant: Option<TenantId>,
    stamp: u64,
    read: Duration,
}

/// What an entry has beside its value.
const OVERHEAD: usize = 160;
/// One entry has at most this part of a generation.
const LARGE: usize = 16;

/// How long anything is kept: a change that nobody announced, which was made by hand in the database, is seen
/// then at the latest. What is announced is not waited for (decision 33).
const OLDEST: Duration = Duration::from_mins(1);

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    /// Keeps about `most` bytes, of which an entry has what `weight` says, and none that is a large part of
    /// them.
    pub(super) fn new(
        feed: &Arc<Feed>,
        clock: &Arc<dyn Clock>,
        most: usize,
        weight: fn(&V) -> usize,
    ) -> Self {
        let entries = Generations { young: HashMap::new(), weight: 0, old: HashMap::new() };
        Self {
            feed: Arc::clone(feed),
            clock: Arc::clone(clock),
            most: most / 2,
            weight,
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
        if fresh && (self.weight)(&value) <= self.most / LARGE {
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
        let weight = OVERHEAD + (self.weight)(&entry.value);
        let mut entries = self.entries();
        if entries.weight + weight > self.most {
            entries.old = std::mem::take(&mut entries.young);
            entries.weight = 0;
        }
        entries.weight += weight;
        if let Some(before) = entries.young.insert(key, entry) {
            entries.weight -= OVERHEAD + (self.weight)(&before.value);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
