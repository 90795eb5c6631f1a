//! `keyutils://SERVICE/ACCOUNT`: keys of type `user` in the session keyring of the Linux kernel,
//! described `keyring:ACCOUNT@SERVICE`, as Rust's `keyring` describes its own (decision 22).
//!
//! They are in memory only: gone after a restart, and three days after the last use. The keyring
//! must be a session's own. What a process without one is given instead belongs to the user and is
//! not possessed: a key could be left there and never be read again, so nothing is asked of it.

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::keychain::{item, of_keychain};
use super::usable;
use crate::keychain::{Item, KeychainError};
use crate::settings::{Context, Field, SettingError, Settings};

const SCHEME: &str = "keyutils";

/// It takes none.
pub const FIELDS: &[Field] = &[];

/// Resolves references to the session keyring.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyutilsProvider;

/// The provider of this process's session keyring.
pub fn new(_: &Settings, _: &Context) -> Result<KeyutilsProvider, SettingError> {
    Ok(KeyutilsProvider)
}

/// Stores `secret` for the session. Nothing is left behind where that fails.
pub fn write(item: &Item, secret: &Secret) -> Result<(), KeychainError> {
    kernel::write(item, secret)
}

impl Provider for KeyutilsProvider {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        // The kernel answers at once: there is nothing to wait for.
        Box::pin(async move { refs.iter().map(value).collect() })
    }
}

fn value(reference: &SecretRef) -> Result<Secret, ResolveError> {
    let secret =
        kernel::read(&item(reference)).map_err(|error| of_keychain(&error, SCHEME, reference))?;
    usable(secret, reference)
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::sync::OnceLock;

    use keyring_core::api::CredentialStoreApi as _;
    use keyring_core::{Entry, Error};
    use linux_keyutils_keyring_store::{Cred, Store};
    use strongroom_model::secret::Secret;

    use crate::keychain::{Item, KeychainError};

    pub(super) fn read(item: &Item) -> Result<Secret, KeychainError> {
        entry(item)?.get_secret().map(Secret::new).map_err(|error| of_library(&error))
    }

    pub(super) fn write(item: &Item, secret: &Secret) -> Result<(), KeychainError> {
        let entry = entry(item)?;
        entry.set_secret(secret.expose()).map_err(|error| {
            // The key is added before it is linked: where that fails, it would stay.
            drop(entry.delete_credential());
            of_library(&error)
        })
    }

    /// The key's place in a session keyring that is the session's own.
    fn entry(item: &Item) -> Result<Entry, KeychainError> {
        let store = Store::new().map_err(|error| of_library(&error))?;
        let entry =
            store.build(&item.service, &item.account, None).map_err(|error| of_library(&error))?;
        let has_session = HAS_SESSION.get_or_init(|| {
            let key = entry.as_any().downcast_ref::<Cred>();
            let keyring = key.and_then(|key| key.session.metadata().ok());
            // `_uid_ses.1000` is the user's, for those that have none.
            keyring.is_some_and(|keyring| !keyring.get_description().starts_with("_uid_ses."))
        });
        if *has_session { Ok(entry) } else { Err(NO_SESSION) }
    }

    /// Known from the first question: the library's second one is given a new keyring that is
    /// nobody else's, and empty.
    static HAS_SESSION: OnceLock<bool> = OnceLock::new();

    fn of_library(error: &Error) -> KeychainError {
        match error {
            Error::NoEntry => KeychainError::NotFound,
            Error::NoStorageAccess(_) => NO_SESSION,
            Error::Invalid(..) => KeychainError::Failed("it does not take such a name or value"),
            _ => KeychainError::Failed("the kernel reported an error"),
        }
    }

    const NO_SESSION: KeychainError = KeychainError::Absent {
        why: "this process has no session keyring of its own",
        fix: "start it, and what stores the key, under `keyctl session - COMMAND`",
    };
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use strongroom_model::secret::Secret;

    use crate::keychain::{Item, KeychainError};

    pub(super) fn read(_: &Item) -> Result<Secret, KeychainError> {
        Err(NO_KEYUTILS)
    }

    pub(super) fn write(_: &Item, _: &Secret) -> Result<(), KeychainError> {
        Err(NO_KEYUTILS)
    }

    const NO_KEYUTILS: KeychainError = KeychainError::Absent {
        why: "only Linux has such keys",
        fix: "store the secret in the keychain and name it by `keychain://SERVICE/ACCOUNT`",
    };
}
