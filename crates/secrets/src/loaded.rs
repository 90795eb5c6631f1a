//! The secrets of this process: what was resolved, and the one matcher that knows them all.
//!
//! The first call loads every reference of every service, because an upstream may echo a key that
//! another service uses (RR-14). After that a call costs one stamp for each reference of its own
//! service; a stamp that changed, or a configuration that did, loads what is new.
//!
//! A value that was rotated or removed stays in the matcher, up to [`FORMER`] of them, until the
//! process ends: an upstream may still have the old one in its pages. It is never used again.
//!
//! Failures are kept beside values, for the reference that failed, until its stamp changes; those
//! that may pass are asked again by the next call that needs them.

mod entries;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use strongroom_model::injection::Credential;
use strongroom_model::ports::{BoxFuture, Credentials, Purpose, ResolveError, Stamp, Turn};
use strongroom_model::principal::Name;
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Catalog, Keys};

use crate::resolver::Resolver;
use entries::Entries;

pub use entries::FORMER;

/// Resolved secrets, kept.
pub struct Loaded {
    resolver: Arc<Resolver>,
    state: Mutex<State>,
    /// The matcher, and the number of the set of secrets that it was built from.
    redactor: RwLock<(u64, Arc<Redactor>)>,
}

#[derive(Default)]
struct State {
    /// Of the catalogue that was loaded last.
    revision: Option<u64>,
    entries: Entries,
    /// What a service was given last.
    given: HashMap<Name, Arc<Given>>,
}

/// A credential, and what must still be true for it to be given again.
struct Given {
    service_revision: u64,
    stamps: Vec<(SecretRef, Stamp)>,
    credential: Arc<Credential>,
}

impl Loaded {
    /// Nothing loaded yet.
    pub fn new(resolver: impl Into<Arc<Resolver>>) -> Self {
        let redactor = RwLock::new((0, Arc::new(Redactor::default())));
        Self { resolver: resolver.into(), state: Mutex::default(), redactor }
    }

    /// What the service was given last, where nothing has changed since.
    fn given(&self, catalog: &Catalog, keys: Keys<'_>) -> Option<Arc<Credential>> {
        let given = {
            let state = self.state();
            if state.revision != Some(catalog.revision) {
                return None;
            }
            Arc::clone(state.given.get(keys.name)?)
        };
        let holds = given.service_revision == keys.revision
            && given.stamps.iter().all(|(reference, stamp)| {
                stamp.is_some() && self.resolver.stamp(reference) == *stamp
            });
        holds.then(|| Arc::clone(&given.credential))
    }

    /// Loads what is missing or has changed, and makes the credential of `keys`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing: the one mutation follows the last `.await`. Of two
    /// loads at the same time the later one to end is kept; where it read the older value, its
    /// older stamp makes the next call load again.
    ///
    /// Invariant: nothing is given out before a matcher that knows it is in force. Hence the
    /// credential is kept for others only at the end, and a load that finds the matcher of another
    /// one not yet in force builds it too.
    async fn load(
        &self,
        catalog: &Catalog,
        keys: Keys<'_>,
    ) -> Result<Arc<Credential>, ResolveError> {
        let wanted = self.wanted(catalog, keys);
        let refs: Vec<_> = wanted.iter().map(|(reference, _)| reference.clone()).collect();
        let answers = self.resolver.resolve(&refs).await;

        let permitted = keys.auth.secrets.values().try_for_each(|reference| {
            self.resolver.permits(reference, Purpose::Service(keys.name))
        });
        let (given, set) = {
            let mut state = self.state();
            for ((reference, stamp), answer) in wanted.into_iter().zip(answers) {
                state.entries.put(reference, stamp, answer);
            }
            if state.revision != Some(catalog.revision) {
                state.entries.keep_those_of(catalog);
                state.given.clear();
                state.revision = Some(catalog.revision);
            }
            let given = permitted.and_then(|()| state.entries.give(keys));
            (given, state.entries.set(catalog, self.in_force()))
        };
        if let Some((number, secrets)) = set {
            self.rebuild(number, &secrets);
        }
        let given = Arc::new(given?);
        let credential = Arc::clone(&given.credential);
        self.state().given.insert(keys.name.clone(), given);
        Ok(credential)
    }

    /// The number of the set that the matcher in force knows.
    fn in_force(&self) -> u64 {
        self.redactor.read().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The references to ask for, with the stamps that they have now: taken before the values, so
    /// that a change in between shows as a stamp that is too old.
    fn wanted(&self, catalog: &Catalog, keys: Keys<'_>) -> Vec<(SecretRef, Stamp)> {
        let own: Vec<_> = keys.auth.secrets.values().collect();
        let others = catalog.keys().flat_map(|other| other.auth.secrets.values());
        let mut wanted: Vec<(SecretRef, Stamp)> = Vec::new();
        for reference in own.iter().copied().chain(others) {
            if wanted.iter().any(|(known, _)| known == reference) {
                continue;
            }
            let stamp = self.resolver.stamp(reference);
            if self.state().entries.needs(reference, stamp, own.contains(&reference)) {
                wanted.push((reference.clone(), stamp));
            }
        }
        wanted
    }

    /// Builds the matcher of the set with this number, outside every lock, and puts it in force
    /// unless that of a later set is.
    fn rebuild(&self, number: u64, secrets: &[Labelled]) {
        let built = Arc::new(Redactor::new(secrets));
        let mut current = self.redactor.write().unwrap_or_else(PoisonError::into_inner);
        if number > current.0 {
            *current = (number, built);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credentials for Loaded {
    fn resolve<'a>(
        &'a self,
        catalog: &'a Catalog,
        keys: Keys<'a>,
    ) -> BoxFuture<'a, Result<Arc<Credential>, ResolveError>> {
        match self.given(catalog, keys) {
            Some(credential) => Box::pin(std::future::ready(Ok(credential))),
            None => Box::pin(self.load(catalog, keys)),
        }
    }

    fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    fn learn(&self, service: &Name, secret: Arc<Secret>) {
        let (number, secrets) =
            self.state().entries.learn(Labelled { label: service.to_string(), secret });
        self.rebuild(number, &secrets);
    }

    fn replace(&self, keys: Keys<'_>, field: &str, secret: Secret) -> Result<(), ResolveError> {
        let Some(reference) = keys.auth.secrets.get(field) else {
            return Err(ResolveError::unreachable("local", "there is no such field"));
        };
        self.resolver.permits(reference, Purpose::Service(keys.name))?;
        self.resolver.replace(reference, secret)
    }

    fn turn(&self, keys: Keys<'_>, field: &str) -> Turn {
        match keys.auth.secrets.get(field) {
            Some(reference) => self.resolver.turn(reference),
            None => Turn::Nobodys,
        }
    }

    fn newest<'a>(
        &'a self,
        keys: Keys<'a>,
        field: &'a str,
    ) -> BoxFuture<'a, Result<Arc<Secret>, ResolveError>> {
        Box::pin(async move {
            let Some(reference) = keys.auth.secrets.get(field) else {
                return Err(ResolveError::unreachable("local", "there is no such field"));
            };
            self.resolver.permits(reference, Purpose::Service(keys.name))?;
            let answer = self.resolver.resolve(std::slice::from_ref(reference)).await.pop();
            let gone = || ResolveError::NotFound { reference: reference.clone() };
            let secret = Arc::new(answer.ok_or_else(gone)??);
            self.learn(keys.name, Arc::clone(&secret));
            Ok(secret)
        })
    }
}
