//! Where a server's secrets are: the platform's keychain, and the layout that other implementations
//! of it share.
//!
//! The service of every item is `com.mcp.{server}`, its account the name of the secret, and the item
//! [`INDEX`] lists the names. What is there counts, not what the index says: every list puts the
//! index right, and so a process that was killed between an item and the index leaves nothing wrong.
//! Writers of several processes take turns by a lock on a file.
//!
//! What was kept elsewhere while there was no keychain is not lost: [`left`].
//!
//! A second program that uses a name which the first still has is kept apart: [`identity`].

mod chunks;
mod home;
mod identity;
mod index;
mod keychain;
mod left;
mod sealed;
mod space;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use strongroom_model::secret::Secret;
use strongroom_secrets::keychain::{Keychain, KeychainError, Session};

use crate::error::Error;
use crate::names::{SecretName, ServerName};
use crate::surroundings::Surroundings;

use home::Home;
use identity::Owner;
use keychain::KeychainItems;
use sealed::SealedFile;
use space::Space;

/// The account of the item that lists the names.
pub(crate) const INDEX: &str = "__secret_index__";

/// The largest value, in bytes.
pub(crate) const LARGEST: usize = 64 << 10;

/// Where items are kept: a keychain, or what stands in for one.
pub(crate) trait Backend: Send + Sync {
    /// The values of `accounts`, in their order.
    fn get(&self, service: &str, accounts: &[&str]) -> Result<Vec<Option<Secret>>, Error>;

    /// Puts `value` into the one item of this name.
    fn set(&self, service: &str, account: &str, value: Arc<Secret>) -> Result<(), Error>;

    /// Removes every item of this name; says whether there was one.
    fn delete(&self, service: &str, account: &str) -> Result<bool, Error>;

    /// The accounts that have an item; `None` where that cannot be found out.
    fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, Error>;

    /// The most bytes of UTF-16 of one value, where there is such a bound.
    fn largest(&self) -> Option<usize>;
}

/// The secrets of one server.
pub struct Storage {
    server: ServerName,
    surroundings: Surroundings,
    places: OnceLock<Places>,
    /// Which space is ours, once that cannot change any more.
    settled: OnceLock<String>,
}

/// Where a process keeps its secrets.
#[derive(Clone)]
struct Places {
    backend: Arc<dyn Backend>,
    /// The sealed file, where a keychain has taken its place.
    left: Option<Arc<dyn Backend>>,
}

impl Storage {
    /// The secrets of the server of this name. Nothing is asked yet.
    pub fn new(server_name: &str, surroundings: Surroundings) -> Result<Self, Error> {
        let server = ServerName::parse(server_name)?;
        Ok(Self { server, surroundings, places: OnceLock::new(), settled: OnceLock::new() })
    }

    #[cfg(test)]
    pub(crate) fn over(name: &str, around: Surroundings, backend: Arc<dyn Backend>) -> Self {
        Self::over_both(name, around, backend, None)
    }

    #[cfg(test)]
    pub(crate) fn over_both(
        name: &str,
        around: Surroundings,
        backend: Arc<dyn Backend>,
        left: Option<Arc<dyn Backend>>,
    ) -> Self {
        let storage = Self::new(name, around).unwrap();
        assert!(storage.places.set(Places { backend, left }).is_ok());
        storage
    }

    /// The name of the server.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// Stores `value` under `name`, in the place of what was there.
    pub fn store_secret(&self, name: &str, value: Secret) -> Result<(), Error> {
        self.store_secrets(vec![(name.to_owned(), value)])
    }

    /// Stores all of `values`, or none where one cannot be stored: what was there is put back then.
    /// Only a process that is killed meanwhile leaves some of them.
    pub fn store_secrets(&self, values: Vec<(String, Secret)>) -> Result<(), Error> {
        let check = |(name, value): (String, Secret)| {
            let name = SecretName::parse(&name)?;
            check(&name, &value)?;
            Ok((name, Arc::new(value)))
        };
        let values = values.into_iter().map(check).collect::<Result<Vec<_>, Error>>()?;
        if values.is_empty() {
            return Ok(());
        }
        let _turn = self.home()?.lock(&self.server.service())?;
        let space = self.to_write()?;
        let mut before = Vec::with_capacity(values.len());
        for (name, _) in &values {
            before.push((name.as_str(), space.value(name.as_str())?.map(Arc::new)));
        }
        let put =
            |(name, value): &(SecretName, Arc<Secret>)| space.put(name.as_str(), Arc::clone(value));
        let names = || values.iter().map(|(name, _)| name.as_str());
        let stored = values.iter().try_for_each(put).and_then(|()| space.list(names()));
        stored.inspect_err(|_| {
            for (name, value) in before {
                // What cannot be put back either is said by the first error.
                drop(match value {
                    Some(value) => space.put(name, value),
                    None => space.remove(name).map(drop),
                });
            }
        })?;
        // An old value must not come back where the keychain is not there once more.
        self.of_left(&space, |left| left::take(left, names()));
        Ok(())
    }

    /// The value of `name`; `None` where there is none. It is text.
    pub fn retrieve_secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let name = SecretName::parse(name)?;
        let space = self.to_read()?;
        // An item that another program left empty is none.
        let found = space.value(name.as_str())?.filter(|value| !value.is_empty());
        let found = found.or_else(|| self.of_left(&space, |left| left.value(name.as_str())));
        let Some(value) = found else { return Ok(None) };
        text_of(name.as_str(), &value)?;
        Ok(Some(value))
    }

    /// Whether there is a value of `name`.
    pub fn secret_exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.retrieve_secret(name)?.is_some())
    }

    /// The names of the secrets that are there, sorted. The index is put right where it differs.
    pub fn list_secrets(&self) -> Result<Vec<String>, Error> {
        let space = self.to_read()?;
        let (mut names, agrees) = space.names()?;
        if !agrees {
            let _turn = self.home()?.lock(&self.server.service())?;
            names = space.heal()?;
        }
        names.extend(self.of_left(&space, |left| Ok(left.names()?.0)));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Removes the secret `name`, from the keychain and from the sealed file that was in its place before;
    /// says whether it was there.
    ///
    /// # Errors
    ///
    /// Also where one of the two cannot be looked into: something may be left there.
    pub fn delete_secret(&self, name: &str) -> Result<bool, Error> {
        let name = SecretName::parse(name)?;
        let _turn = self.home()?.lock(&self.server.service())?;
        let space = self.to_read()?;
        let deleted = space.remove(name.as_str())?;
        space.unlist(name.as_str())?;
        let Some(left) = self.left(&space)? else { return Ok(deleted) };
        Ok(left::take(&left, std::iter::once(name.as_str()))? || deleted)
    }

    /// Removes every secret of this server and all that is kept about them; says how many secrets
    /// there were. As [`delete_secret`](Self::delete_secret), it leaves none in the sealed file either.
    pub fn clear_secrets(&self) -> Result<usize, Error> {
        let _turn = self.home()?.lock(&self.server.service())?;
        let space = self.to_read()?;
        if self.places()?.left.is_none() {
            return space.clear();
        }
        let (names, _) = space.names()?;
        let cleared = space.clear()?;
        let Some(left) = self.left(&space)? else { return Ok(cleared) };
        let more = left.names()?.0.iter().filter(|name| !names.contains(name)).count();
        left.clear()?;
        Ok(cleared + more)
    }

    /// The space that is read: that of the name, unless another program has it.
    fn to_read(&self) -> Result<Space, Error> {
        let base = Space::new(self.places()?.backend, self.server.service());
        if let Some(service) = self.settled.get() {
            return Ok(base.of(service));
        }
        let owner = identity::owner(&base, self.surroundings.program.as_deref())?;
        Ok(self.settle(&base, &owner))
    }

    /// The space that is written, which is ours from here on. The lock is held.
    fn to_write(&self) -> Result<Space, Error> {
        let base = Space::new(self.places()?.backend, self.server.service());
        let program = self.surroundings.program.as_deref();
        let owner = identity::owner(&base, program)?;
        if let (Owner::Nobody | Owner::Gone(_), Some(program)) = (&owner, program) {
            identity::claim(&base, program)?;
        }
        Ok(self.settle(&base, &owner))
    }

    /// What follows from who has the name. Only what cannot change any more is remembered.
    fn settle(&self, base: &Space, owner: &Owner) -> Space {
        match owner {
            // It may be cleared, and then be another's.
            Owner::Us | Owner::Nobody => base.clone(),
            Owner::Gone(program) => {
                self.tell("name_taken_over", &format!(
                    "the secrets of `{}` were kept by `{program}`, which is gone: they are used by this program from now on",
                    self.server
                ));
                base.clone()
            }
            Owner::Other { program, mark } => {
                let service = apart(base.service(), mark);
                self.tell("name_is_anothers", &format!(
                    "another program, `{program}`, uses the server name `{}` too: the secrets of this one are kept apart, as `{service}`; give it a name of its own",
                    self.server
                ));
                let space = base.of(&service);
                drop(self.settled.set(service));
                space
            }
        }
    }

    /// The keychain, or the sealed file in its place. What is chosen holds for the process.
    fn places(&self) -> Result<Places, Error> {
        if let Some(places) = self.places.get() {
            return Ok(places.clone());
        }
        let variable = |name: &str| self.surroundings.environment.get(name).map(OsString::from);
        let session = Session::new(&Keychain::new(&variable));
        let sealed = |home| -> Arc<dyn Backend> { Arc::new(SealedFile::new(home)) };
        let places = match session.look() {
            // What is locked may be unlocked later.
            Ok(()) | Err(KeychainError::Locked) => {
                let home = self.home().ok().filter(|_| cfg!(target_os = "linux"));
                Places { backend: Arc::new(KeychainItems::new(session)), left: home.map(sealed) }
            }
            Err(KeychainError::Absent { why, .. }) if cfg!(target_os = "linux") => {
                let home = self.home().map_err(|_| Error::Absent(why))?;
                let text = format!(
                    "{why}: secrets are kept in a sealed file in `{}` instead",
                    home.path().display()
                );
                self.tell("keychain_absent", &text);
                Places { backend: sealed(home), left: None }
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.places.get_or_init(|| places).clone())
    }

    fn home(&self) -> Result<Home, Error> {
        Home::of(&self.surroundings.environment)
    }

    fn tell(&self, code: &'static str, text: &str) {
        self.surroundings.tell(code, text.to_owned());
    }
}

impl Storage {
    /// Those of `names` that have no value, each once, in their order.
    pub fn missing(&self, names: &[&str]) -> Result<Vec<String>, Error> {
        let mut seen = BTreeSet::new();
        let mut missing = Vec::new();
        for name in names {
            if seen.insert(*name) && !self.secret_exists(name)? {
                missing.push((*name).to_owned());
            }
        }
        Ok(missing)
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The namespace of a program that another one has the name of.
fn apart(service: &str, mark: &str) -> String {
    format!("{service}{}{mark}", crate::names::APART)
}

fn check(name: &SecretName, value: &Secret) -> Result<(), Error> {
    if value.is_empty() {
        return Err(Error::EmptyValue(name.to_string()));
    }
    if value.len() > LARGEST {
        return Err(Error::LargeValue(name.to_string()));
    }
    text_of(name.as_str(), value).map(drop)
}

/// The value as the text that it must be.
fn text_of<'a>(name: &str, value: &'a Secret) -> Result<&'a str, Error> {
    std::str::from_utf8(value.expose()).map_err(|_| Error::NotText(name.to_owned()))
}

#[cfg(test)]
mod tests;
