//! The KEKs of an installation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{KekError, TeamKek};
use crate::key::Key;

/// One KEK that wraps, and earlier ones that only unwrap: while keys are rotated, both are readable.
///
/// Clones share what they hold, so a server whose configuration was read anew
/// [replaces](Self::replace) the keys of everybody who has one.
#[derive(Clone)]
pub struct KekRing(Arc<RwLock<Arc<Keks>>>);

/// A wrapped key, and the KEK that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The id of the KEK.
    pub kek_id: String,
    /// What it made of the key.
    pub bytes: Vec<u8>,
}

struct Keks {
    current: Arc<dyn TeamKek>,
    earlier: BTreeMap<String, Arc<dyn TeamKek>>,
}

impl KekRing {
    /// The ring of one KEK.
    pub fn new(current: Arc<dyn TeamKek>) -> Self {
        Self::with_earlier(current, [])
    }

    /// The ring of one that wraps, and others that only unwrap.
    pub fn with_earlier(
        current: Arc<dyn TeamKek>,
        earlier: impl IntoIterator<Item = Arc<dyn TeamKek>>,
    ) -> Self {
        let earlier = earlier.into_iter().map(|kek| (kek.id().to_owned(), kek)).collect();
        Self(Arc::new(RwLock::new(Arc::new(Keks { current, earlier }))))
    }

    /// From here on the keys are those of `other`, for everybody who shares this ring.
    pub fn replace(&self, other: &Self) {
        let new = other.keks();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// The id of the KEK that wraps.
    pub fn current(&self) -> String {
        self.keks().current.id().to_owned()
    }

    /// The ids of all, the one that wraps first.
    pub fn ids(&self) -> Vec<String> {
        let keks = self.keks();
        let current = keks.current.id();
        let earlier = keks.earlier.keys().filter(|id| *id != current).cloned();
        std::iter::once(current.to_owned()).chain(earlier).collect()
    }

    /// Whether what the KEK `id` wrapped can be opened.
    pub fn has(&self, id: &str) -> bool {
        self.keks().get(id).is_ok()
    }

    /// Wraps `key`, which has the id `key_id` and belongs to `tenant`, under the current KEK.
    pub async fn wrap(&self, tenant: &str, key_id: &str, key: &Key) -> Result<Wrapped, KekError> {
        let kek = Arc::clone(&self.keks().current);
        let bytes = kek.wrap(tenant, key_id, key).await?;
        Ok(Wrapped { kek_id: kek.id().to_owned(), bytes })
    }

    /// Unwraps what was wrapped for the same tenant and id, under whichever KEK it was.
    pub async fn unwrap(
        &self,
        tenant: &str,
        key_id: &str,
        wrapped: &Wrapped,
    ) -> Result<Key, KekError> {
        let kek = self.keks().get(&wrapped.kek_id)?;
        kek.unwrap(tenant, key_id, &wrapped.bytes).await
    }

    fn keks(&self) -> Arc<Keks> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keks {
    fn get(&self, id: &str) -> Result<Arc<dyn TeamKek>, KekError> {
        let own = (self.current.id() == id).then_some(&self.current);
        own.or_else(|| self.earlier.get(id)).cloned().ok_or_else(|| KekError::Unknown {
            needed: id.to_owned(),
            offered: self.current.id().to_owned(),
        })
    }
}

impl From<Arc<dyn TeamKek>> for KekRing {
    fn from(current: Arc<dyn TeamKek>) -> Self {
        Self::new(current)
    }
}

impl fmt::Debug for KekRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KekRing").field(&self.ids()).finish()
    }
}
