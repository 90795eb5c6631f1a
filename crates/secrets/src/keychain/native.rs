//! macOS' Keychain and Windows' Credential Manager, through `keyring-core`.

use std::ffi::OsString;
use std::sync::Arc;

#[cfg(target_os = "macos")]
use apple_native_keyring_store::keychain::Store;
use keyring_core::api::CredentialStoreApi as _;
use keyring_core::{Entry, Error};
use strongroom_model::secret::Secret;
#[cfg(windows)]
use windows_native_keyring_store::Store;

use super::{Answers, Item, KeychainError};

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

pub(super) fn write(_: &Place, item: &Item, secret: &Secret) -> Result<(), KeychainError> {
    let entry = entry(&*store()?, item)?;
    let bytes = secret.expose();
    // Texts in the form that each system's own tools read.
    match std::str::from_utf8(bytes) {
        Ok(text) => entry.set_password(text),
        Err(_) => entry.set_secret(bytes),
    }
    .map_err(|error| of_library(&error))
}

pub(super) fn remove(_: &Place, item: &Item) -> Result<(), KeychainError> {
    entry(&*store()?, item)?.delete_credential().map_err(|error| of_library(&error))
}

/// Every account has one; whether it is locked shows when it is asked.
pub(super) fn look(_: &Place) -> Result<(), KeychainError> {
    store().map(drop)
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
