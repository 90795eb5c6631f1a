//! One namespace of a keychain: values, whole or in parts, and the index of their names.

use std::sync::Arc;

use strongroom_model::secret::Secret;

use super::{Backend, INDEX, chunks, identity, index};
use crate::error::Error;
use crate::names::SecretName;

/// How often a value is read again whose parts were changed meanwhile.
const TRIES: usize = 4;

/// The items of one service.
#[derive(Clone)]
pub(super) struct Space {
    backend: Arc<dyn Backend>,
    service: String,
}

impl Space {
    pub(super) fn new(backend: Arc<dyn Backend>, service: String) -> Self {
        Self { backend, service }
    }

    /// The items of another service of the same keychain.
    pub(super) fn of(&self, service: &str) -> Self {
        Self { backend: Arc::clone(&self.backend), service: service.to_owned() }
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// The value of `name`.
    pub(super) fn value(&self, name: &str) -> Result<Option<Secret>, Error> {
        for _ in 0..TRIES {
            let Some(value) = self.get(name)? else { return Ok(None) };
            let Some(head) = self.head(&value) else { return Ok(Some(value)) };
            let accounts: Vec<String> =
                (0..head.count).map(|part| chunks::account(name, head.generation, part)).collect();
            let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
            let parts: Option<Vec<Secret>> =
                self.backend.get(&self.service, &accounts)?.into_iter().collect();
            if let Some(value) = parts.and_then(|parts| head.join(&parts)) {
                return Ok(Some(value));
            }
        }
        Err(Error::Damaged("a value in parts is not whole"))
    }

    /// Puts `value` in the place of what `name` has. Whoever reads meanwhile sees the old value or
    /// the new one. The turn to write is ours.
    pub(super) fn put(&self, name: &str, value: Arc<Secret>) -> Result<(), Error> {
        let Some(largest) = self.backend.largest() else {
            return self.backend.set(&self.service, name, value);
        };
        let old = self.get(name)?.and_then(|value| self.head(&value));
        match chunks::split(&value, largest, old.as_ref())? {
            None => {
                self.backend.set(&self.service, name, value)?;
                self.remove_parts(name, 0, 0)?;
                self.remove_parts(name, 1, 0)
            }
            Some((head, parts)) => {
                for (part, value) in parts.into_iter().enumerate() {
                    let account = chunks::account(name, head.generation, part);
                    self.backend.set(&self.service, &account, Arc::new(value))?;
                }
                self.backend.set(&self.service, name, Arc::new(head.text()))?;
                self.remove_parts(name, 1 - head.generation, 0)?;
                self.remove_parts(name, head.generation, head.count)
            }
        }
    }

    /// Removes the value of `name`; says whether there was one.
    pub(super) fn remove(&self, name: &str) -> Result<bool, Error> {
        let removed = self.backend.delete(&self.service, name)?;
        if self.backend.largest().is_some() {
            self.remove_parts(name, 0, 0)?;
            self.remove_parts(name, 1, 0)?;
        }
        Ok(removed)
    }

    /// The names of what is there, sorted, and whether the index says the same.
    pub(super) fn names(&self) -> Result<(Vec<String>, bool), Error> {
        let (mut names, agrees) = self.look()?;
        names.sort_unstable();
        Ok((names, agrees))
    }

    /// Makes the index say what is there, which is what is returned, sorted. The turn to write is
    /// ours.
    pub(super) fn heal(&self) -> Result<Vec<String>, Error> {
        let (mut names, agrees) = self.look()?;
        if !agrees {
            self.put(INDEX, Arc::new(index::encode(&names)))?;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Adds `names` to the index. The turn to write is ours.
    pub(super) fn list<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        let old = self.index()?;
        let mut listed = old.clone().unwrap_or_default();
        for name in names {
            if !listed.iter().any(|listed| listed == name) {
                listed.push(name.to_owned());
            }
        }
        if old.as_ref() == Some(&listed) {
            return Ok(());
        }
        self.put(INDEX, Arc::new(index::encode(&listed)))
    }

    /// Takes `name` out of the index. The turn to write is ours.
    pub(super) fn unlist(&self, name: &str) -> Result<(), Error> {
        let Some(mut listed) = self.index()? else { return Ok(()) };
        let before = listed.len();
        listed.retain(|listed| listed != name);
        if listed.len() == before {
            return Ok(());
        }
        self.put(INDEX, Arc::new(index::encode(&listed)))
    }

    /// Removes everything; says how many secrets there were. The turn to write is ours.
    pub(super) fn clear(&self) -> Result<usize, Error> {
        let (names, _) = self.look()?;
        let mut cleared = 0;
        for name in &names {
            cleared += usize::from(self.remove(name)?);
        }
        for account in self.backend.accounts(&self.service)?.unwrap_or_default() {
            if account != INDEX {
                self.backend.delete(&self.service, &account)?;
            }
        }
        self.remove(identity::ACCOUNT)?;
        // Last: where all cannot be found without it, it leads to what is left.
        self.remove(INDEX)?;
        Ok(cleared)
    }

    /// The names of what is there, in the order of the index, and whether that says the same.
    fn look(&self) -> Result<(Vec<String>, bool), Error> {
        let index = self.index()?;
        let there = match self.backend.accounts(&self.service)? {
            Some(accounts) => accounts,
            None => self.of_index(index.as_deref().unwrap_or_default())?,
        };
        let is_name = |name: &String| SecretName::parse(name).is_ok();
        let mut there: Vec<String> = there.into_iter().filter(is_name).collect();
        there.sort_unstable();
        Ok(index::heal(index, &there))
    }

    /// Those of `listed` that are there.
    fn of_index(&self, listed: &[String]) -> Result<Vec<String>, Error> {
        let accounts: Vec<&str> = listed.iter().map(String::as_str).collect();
        let values = self.backend.get(&self.service, &accounts)?;
        let there = listed.iter().zip(values).filter(|(_, value)| value.is_some());
        Ok(there.map(|(name, _)| name.clone()).collect())
    }

    fn index(&self) -> Result<Option<Vec<String>>, Error> {
        Ok(self.value(INDEX)?.and_then(|text| index::parse(text.expose())))
    }

    fn get(&self, account: &str) -> Result<Option<Secret>, Error> {
        Ok(self.backend.get(&self.service, &[account])?.pop().flatten())
    }

    /// What the item of a value in parts says. Where every value fits there are no parts.
    fn head(&self, value: &Secret) -> Option<chunks::Head> {
        self.backend.largest()?;
        chunks::Head::parse(value.expose())
    }

    /// Removes the parts of a generation from the part `first` on.
    fn remove_parts(&self, name: &str, generation: u8, first: usize) -> Result<(), Error> {
        let mut part = first;
        while self.backend.delete(&self.service, &chunks::account(name, generation, part))? {
            part += 1;
        }
        Ok(())
    }
}
