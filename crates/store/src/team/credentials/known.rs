//! What is remembered: verified states of tenants, as many as there is room for.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use strongroom_model::team::CredentialId;
use strongroom_seal::sha256;

use super::head::Head;
use super::rows::HeadRow;
use super::{Credential, Which};
use crate::team::TeamError;

/// The rows of a tenant, at one generation of its head, which covers them.
pub(super) struct Known {
    generation: i64,
    head: [u8; 32],
    rows: BTreeMap<CredentialId, Credential>,
}

impl Known {
    pub(super) fn verify(
        row: &HeadRow,
        head: &Head,
        rows: Vec<Credential>,
    ) -> Result<Self, TeamError> {
        if !head.covers(rows.iter()) {
            return Err(TeamError::damaged("a credential was changed, removed or taken back"));
        }
        let rows = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(Self { generation: row.generation, head: sha256(&row.sealed), rows })
    }

    pub(super) fn is_of(&self, head: &HeadRow) -> bool {
        self.generation == head.generation && self.head == sha256(&head.sealed)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Credential> {
        self.rows.values()
    }

    /// Whether this row is as it was verified.
    pub(super) fn has(&self, row: &Credential) -> bool {
        let verified = |known: &Credential| {
            *known == Credential { last_used_at: known.last_used_at, ..row.clone() }
        };
        self.rows.get(&row.id).is_some_and(verified)
    }

    pub(super) fn find(&self, which: Which<'_>) -> Option<&Credential> {
        match which {
            Which::Id(id) => self.rows.get(&id),
            Which::Named { service, credential_type } => self
                .rows()
                .find(|row| row.service == service && row.credential_type == credential_type),
        }
    }

    pub(super) fn weight(&self) -> usize {
        1 + self.rows.len()
    }
}

/// A map that forgets what has not been asked for in a while: of two generations, the older goes
/// when the younger is full.
pub(super) struct Kept<K, V>(Mutex<Generations<K, V>>);

struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    weight: usize,
    old: HashMap<K, (V, usize)>,
}

/// How much a generation holds: ten to twenty megabytes, whatever number of tenants there is. An opened key
/// has about a kilobyte.
const MOST: usize = 10_000;

impl<K: Eq + Hash + Clone, V: Clone> Kept<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = all.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = all.old.remove(key)?;
        all.put(key.clone(), value.clone(), weight);
        Some(value)
    }

    pub(super) fn put(&self, key: K, value: V, weight: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, value, weight);
    }

    /// What is there, or what `make` gives, which is there from now on.
    pub(super) fn get_or_put(&self, key: K, make: impl FnOnce() -> V) -> V {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = all.young.get(&key) {
            return value.clone();
        }
        let (value, weight) = all.old.remove(&key).unwrap_or_else(|| (make(), 1));
        all.put(key, value.clone(), weight);
        value
    }

    /// Forgets all whose key is so.
    pub(super) fn forget(&self, is_so: impl Fn(&K) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = &mut *all;
        all.old.retain(|key, _| !is_so(key));
        all.young.retain(|key, (_, weight)| {
            let goes = is_so(key);
            all.weight -= if goes { *weight } else { 0 };
            !goes
        });
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn put(&mut self, key: K, value: V, weight: usize) {
        if self.weight + weight > MOST {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        let before = self.young.insert(key, (value, weight));
        self.weight += weight;
        self.weight -= before.map_or(0, |(_, weight)| weight);
    }
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Generations { young: HashMap::new(), weight: 0, old: HashMap::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let kept = Kept::<usize, usize>::default();
        for number in 0..4 * MOST {
            kept.put(number, number, 1);
            assert_eq!(kept.get(&0), Some(0), "it is asked for all the time");
        }
        assert_eq!(kept.get(&1), None);
        assert_eq!(kept.get(&(4 * MOST - 1)), Some(4 * MOST - 1));
        let all = kept.0.lock().unwrap();
        assert!(all.young.len() + all.old.len() <= 2 * MOST);
        assert_eq!(all.weight, all.young.len());
    }

    #[test]
    fn one_that_is_put_again_or_forgotten_weighs_no_more() {
        let kept = Kept::<u8, u8>::default();
        kept.put(1, 1, 10);
        kept.put(1, 2, 5);
        assert_eq!((kept.get(&1), kept.0.lock().unwrap().weight), (Some(2), 5));
        assert_eq!(kept.get_or_put(1, || 9), 2);
        kept.forget(|key| *key == 1);
        assert_eq!((kept.get(&1), kept.0.lock().unwrap().weight), (None, 0));
        assert_eq!(kept.get_or_put(1, || 9), 9);
    }
}
