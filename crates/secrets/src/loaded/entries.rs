//! One answer for each reference, and what must be matched because of them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use strongroom_model::injection::Credential;
use strongroom_model::ports::{ResolveError, Stamp};
use strongroom_model::redact::Labelled;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Catalog, Keys};

use super::Given;

/// How many former values stay in the matcher; the oldest go first.
pub const FORMER: usize = 1_000;

#[derive(Default)]
pub(super) struct Entries {
    answers: HashMap<SecretRef, Entry>,
    former: VecDeque<Labelled>,
    /// What was handed out last to be matched, without the former ones.
    matched: Vec<Labelled>,
    /// Counts the sets of secrets that there were.
    number: u64,
    /// The set has changed since it was last handed out.
    changed: bool,
}

struct Entry {
    stamp: Stamp,
    answer: Result<Arc<Secret>, ResolveError>,
    /// The service that the value is matched for.
    label: String,
}

impl Entries {
    /// Whether `reference`, which has `stamp` now, must be asked for. `own`: it belongs to the
    /// service that is called, so that what cannot be told from a stamp is asked each time.
    pub(super) fn needs(&self, reference: &SecretRef, stamp: Stamp, own: bool) -> bool {
        let Some(entry) = self.answers.get(reference) else {
            return true;
        };
        match &entry.answer {
            Err(error) if error.is_transient() => own,
            _ if stamp.is_none() => own,
            _ => entry.stamp != stamp,
        }
    }

    /// Keeps an answer. A value that is what it was stays the same object, and nothing is rebuilt.
    pub(super) fn put(
        &mut self,
        reference: SecretRef,
        stamp: Stamp,
        answer: Result<Secret, ResolveError>,
    ) {
        let old = self.answers.remove(&reference);
        let label = old.as_ref().map(|entry| entry.label.clone()).unwrap_or_default();
        let answer = match (answer, old.and_then(|entry| entry.answer.ok())) {
            (Ok(new), Some(old)) if new.ct_eq(&old) => Ok(old),
            (new, old) => {
                self.changed |= new.is_ok() || old.is_some();
                if let Some(secret) = old {
                    self.retire(Labelled { label: label.clone(), secret });
                }
                new.map(Arc::new)
            }
        };
        self.answers.insert(reference, Entry { stamp, answer, label });
    }

    /// The credential of `keys`, with what it was made from.
    pub(super) fn give(&self, keys: Keys<'_>) -> Result<Given, ResolveError> {
        let mut fields = Vec::with_capacity(keys.auth.secrets.len());
        let mut stamps = Vec::with_capacity(keys.auth.secrets.len());
        for (field, reference) in &keys.auth.secrets {
            let (secret, stamp) = self.get(reference)?;
            fields.push((field.clone(), secret));
            stamps.push((reference.clone(), stamp));
        }
        let credential = Arc::new(Credential::new(fields));
        Ok(Given { service_revision: keys.revision, stamps, credential })
    }

    /// The value of `reference`, or why there is none.
    fn get(&self, reference: &SecretRef) -> Result<(Arc<Secret>, Stamp), ResolveError> {
        let unasked = || ResolveError::unreachable(reference.scheme(), "it was not asked");
        let entry = self.answers.get(reference).ok_or_else(unasked)?;
        Ok((Arc::clone(entry.answer.as_ref().map_err(Clone::clone)?), entry.stamp))
    }

    /// Drops what no service of `catalog` refers to any more, and makes sure that the labels are
    /// those of its services.
    pub(super) fn keep_those_of(&mut self, catalog: &Catalog) {
        let referred: HashSet<_> =
            catalog.keys().flat_map(|keys| keys.auth.secrets.values()).collect();
        let gone: Vec<_> =
            self.answers.extract_if(|reference, _| !referred.contains(reference)).collect();
        for (_, entry) in gone {
            if let Ok(secret) = entry.answer {
                self.retire(Labelled { label: entry.label, secret });
            }
        }
        self.changed = true;
    }

    /// Everything to be matched and the set's number, where the matcher of the set `in_force` does
    /// not know it yet.
    pub(super) fn set(&mut self, catalog: &Catalog, in_force: u64) -> Option<(u64, Vec<Labelled>)> {
        if std::mem::take(&mut self.changed) {
            self.number += 1;
        }
        if self.number == in_force {
            return None;
        }
        let mut labelled = Vec::new();
        for keys in catalog.keys() {
            let label = keys.name.as_str();
            for reference in keys.auth.secrets.values() {
                if let Some(entry) = self.answers.get_mut(reference)
                    && let Ok(secret) = &entry.answer
                {
                    label.clone_into(&mut entry.label);
                    labelled.push(Labelled { label: label.to_owned(), secret: Arc::clone(secret) });
                }
            }
            if let Some(pair) = self.basic_pair(keys) {
                labelled.push(Labelled { label: label.to_owned(), secret: Arc::new(pair) });
            }
        }
        self.matched.clone_from(&labelled);
        labelled.extend(self.former.iter().cloned());
        Some((self.number, labelled))
    }

    /// Everything to be matched and the set's number, with `minted`, which has no reference: it is
    /// kept among the former ones.
    pub(super) fn learn(&mut self, minted: Labelled) -> (u64, Vec<Labelled>) {
        self.retire(minted);
        self.number += 1;
        let former = self.former.iter();
        (self.number, self.matched.iter().chain(former).cloned().collect())
    }

    /// `user:password`, which goes over the wire as one text: an echo of its base64 holds neither
    /// part at an alignment of its own.
    fn basic_pair(&self, keys: Keys<'_>) -> Option<Secret> {
        if keys.auth.scheme != "basic" {
            return None;
        }
        let part = |field| {
            let reference = keys.auth.secrets.get(field)?;
            Some(self.get(reference).ok()?.0)
        };
        let (user, password) = (part("user_ref"), part("password"));
        let parts = [
            keys.auth.settings.get("user").map_or(&[][..], |user| user.as_bytes()),
            user.as_ref().map_or(&[], |user| user.expose()),
            b":",
            password.as_ref().map_or(&[], |password| password.expose()),
        ];
        (user.is_some() || password.is_some()).then(|| Secret::new(parts.concat()))
    }

    fn retire(&mut self, value: Labelled) {
        self.former.retain(|known| !known.secret.ct_eq(&value.secret));
        if self.former.len() >= FORMER {
            self.former.pop_front();
        }
        self.former.push_back(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_values_are_kept_once_each_up_to_a_cap_and_the_oldest_go_first() {
        let mut entries = Entries::default();
        let reference: SecretRef = "local://a".parse().unwrap();
        for n in 0..=FORMER + 5 {
            let secret = Secret::new(format!("canary-{n}").into_bytes());
            entries.put(reference.clone(), Some(n as u64), Ok(secret));
        }
        assert_eq!(entries.former.len(), FORMER);
        assert_eq!(entries.former[0].secret.expose(), b"canary-5");
        for _ in 0..3 {
            for value in ["x", "y"] {
                let secret = Secret::new(value.into());
                entries.put(reference.clone(), None, Ok(secret));
            }
        }
        let xs = entries.former.iter().filter(|former| former.secret.expose() == b"x").count();
        assert_eq!((entries.former.len(), xs), (FORMER, 1));
    }
}
