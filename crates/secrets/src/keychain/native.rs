//! macOS' Keychain and Windows' Credential Manager, through `keyring-core`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;

#[cfg(target_os = "macos")]
use apple_native_keyring_store::keychain::Store;
use keyring_core::api::CredentialStoreApi as _;
use keyring_core::{Entry, Error};
use strongroom_model::secret::Secret;
#[cfg(windows)]
use windows_native_keyring_store::Store;

use super::{Answers, Item, KeychainError, Waited};

/// The user's own.
#[derive(Clone, Debug)]
pub(super) struct Place;

impl Place {
    pub(super) fn new(_: &dyn Fn(&str) -> Option<OsString>) -> Self {
        Self
    }
}

pub(super) fn read(_: &Place, items: &[Item]) -> Result<Answers, KeychainError> {
    let store = store()?;
    let value = |item: &Item| match entry(&store, item)?.get_password() {
        Ok(text) => Ok(Secret::new(text.into_bytes())),
        // Not a text, but a secret nevertheless.
        Err(Error::BadEncoding(bytes)) => Ok(Secret::new(bytes)),
        Err(error) => Err(of_library(&error)),
    };
    Ok(items.iter().map(value).collect())
}

pub(super) fn write(
    _: &Place,
    item: &Item,
    secret: &Secret,
    waited: &Waited,
) -> Result<(), KeychainError> {
    let entry = entry(&*store()?, item)?;
    waited.still()?;
    let bytes = secret.expose();
    // Texts in the form that each system's own tools read.
    match std::str::from_utf8(bytes) {
        Ok(text) => entry.set_password(text),
        Err(_) => entry.set_secret(bytes),
    }
    .map_err(|error| of_library(&error))
}

pub(super) fn remove(_: &Place, item: &Item, waited: &Waited) -> Result<(), KeychainError> {
    let entry = entry(&*store()?, item)?;
    waited.still()?;
    entry.delete_credential().map_err(|error| of_library(&error))
}

/// Every account has one; whether it is locked shows when it is asked.
pub(super) fn look(_: &Place) -> Result<(), KeychainError> {
    store().map(drop)
}

/// The store: there is no connection here.
pub(super) struct Connection(Arc<Store>);

impl Connection {
    pub(super) fn open(_: &Place) -> Result<Self, KeychainError> {
        store().map(Self)
    }

    #[expect(clippy::unused_self, reason = "as on every platform")]
    pub(super) fn look(&self) -> Result<(), KeychainError> {
        store().map(drop)
    }

    pub(super) fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        for entry in entries(&self.0, item)? {
            match entry.get_password() {
                Ok(text) => return Ok(Some(Secret::new(text.into_bytes()))),
                Err(Error::BadEncoding(bytes)) => return Ok(Some(Secret::new(bytes))),
                Err(Error::NoEntry) => {}
                Err(error) => return Err(of_library(&error)),
            }
        }
        Ok(None)
    }

    pub(super) fn set(
        &self,
        item: &Item,
        secret: &Secret,
        waited: &Waited,
    ) -> Result<(), KeychainError> {
        let text = std::str::from_utf8(secret.expose())
            .map_err(|_| KeychainError::Failed("it does not take such a name or value"))?;
        let entry = entry(&self.0, item)?;
        waited.still()?;
        entry.set_password(text).map_err(|error| of_library(&error))?;
        follow(&self.0, item, text)
    }

    pub(super) fn delete(&self, item: &Item, waited: &Waited) -> Result<bool, KeychainError> {
        let mut deleted = false;
        for entry in entries(&self.0, item)? {
            waited.still()?;
            match entry.delete_credential() {
                Ok(()) => deleted = true,
                Err(Error::NoEntry) => {}
                Err(error) => return Err(of_library(&error)),
            }
        }
        Ok(deleted)
    }

    /// Windows' is searched by regular expressions over all that a person has: its index is enough.
    pub(super) fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, KeychainError> {
        if cfg!(windows) {
            return Ok(None);
        }
        let spec = HashMap::from([("service", service)]);
        let found = self.0.search(&spec).map_err(|error| of_library(&error))?;
        let account = |entry: &Entry| entry.get_specifiers().map(|(_, account)| account);
        Ok(Some(found.iter().filter_map(account).collect()))
    }
}

/// Where an item may be, in the order in which its places are looked at.
#[cfg(target_os = "macos")]
fn entries(store: &Store, item: &Item) -> Result<Vec<Entry>, KeychainError> {
    Ok(vec![entry(store, item)?])
}

/// Python's `keyring` keeps the item of one account under the service's bare name, and those of
/// others under `ACCOUNT@SERVICE`.
#[cfg(windows)]
fn entries(store: &Store, item: &Item) -> Result<Vec<Entry>, KeychainError> {
    let mut found = vec![entry(store, item)?, target(store, item, &compound(item))?];
    let bare = target(store, item, &item.service)?;
    let is_its = |attributes: HashMap<String, String>| {
        attributes.get("username").is_some_and(|name| *name == item.account)
    };
    if bare.get_attributes().is_ok_and(is_its) {
        found.push(bare);
    }
    Ok(found)
}

/// One place is all.
#[cfg(target_os = "macos")]
#[expect(clippy::unnecessary_wraps, reason = "as on Windows")]
fn follow(_: &Store, _: &Item, _: &str) -> Result<(), KeychainError> {
    Ok(())
}

/// Keeps the value where Python's `keyring` looks for it, too.
#[cfg(windows)]
fn follow(store: &Store, item: &Item, text: &str) -> Result<(), KeychainError> {
    let python = target(store, item, &compound(item))?;
    let named = HashMap::from([("username", item.account.as_str())]);
    let kept = python.set_password(text).and_then(|()| python.update_attributes(&named));
    kept.map_err(|error| of_library(&error))?;
    // It would be read first, with the old value.
    if let Some(bare) = entries(store, item)?.get(2) {
        bare.delete_credential().map_err(|error| of_library(&error))?;
    }
    Ok(())
}

#[cfg(windows)]
fn compound(item: &Item) -> String {
    format!("{}@{}", item.account, item.service)
}

#[cfg(windows)]
fn target(store: &Store, item: &Item, name: &str) -> Result<Entry, KeychainError> {
    let modifiers = HashMap::from([("target", name)]);
    let entry = store.build(&item.service, &item.account, Some(&modifiers));
    entry.map_err(|error| of_library(&error))
}

fn store() -> Result<Arc<Store>, KeychainError> {
    Store::new().map_err(|error| of_library(&error))
}

fn entry(store: &Store, item: &Item) -> Result<Entry, KeychainError> {
    store.build(&item.service, &item.account, None).map_err(|error| of_library(&error))
}

fn of_library(error: &Error) -> KeychainError {
    match error {
        Error::NoEntry => KeychainError::NotFound,
        Error::NoStorageAccess(_) => KeychainError::Locked,
        Error::Ambiguous(_) => KeychainError::Ambiguous,
        Error::TooLong(..) => KeychainError::Failed("the value or its name is too long for it"),
        Error::Invalid(..) => KeychainError::Failed("it does not take such a name or value"),
        Error::PlatformFailure(_) => KeychainError::Failed("the system reported an error"),
        _ => KeychainError::Failed("its answer is not understood"),
    }
}
