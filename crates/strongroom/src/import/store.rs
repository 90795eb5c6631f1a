//! Where imported secrets go.

use std::collections::BTreeMap;

use strongroom_clients::import::journal::JournalError;
use strongroom_clients::import::plan::{Destination, Place};
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_secrets::keychain::{Item, Keychain, KeychainError};
use strongroom_store::{SecretUse, Vault};

use crate::failure::{Exit, Failure};

/// Where imported secrets go.
pub enum Store<'a> {
    /// The vault of this machine, for the server alone (decision 10).
    Local(&'a Vault),
    /// The system's keychain, which any program of the user's can ask.
    Keychain(Keychain),
}

impl Store<'_> {
    /// The scheme of its references.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Keychain(_) => "keychain",
        }
    }

    /// Stores a secret of `server`.
    pub fn put(&self, server: &Name, name: &str, secret: &Secret) -> Result<(), Failure> {
        match self {
            Self::Local(vault) => {
                Ok(vault.put(name, &SecretUse::Launch(server.clone()), secret)?)
            }
            Self::Keychain(keychain) => {
                let copy = Secret::new(secret.expose().to_vec());
                Ok(keychain.write(&item(name), copy)?)
            }
        }
    }

    /// The versions of what is stored, by name, where there are any.
    pub fn versions(&self) -> Result<BTreeMap<String, u64>, Failure> {
        match self {
            Self::Local(vault) => {
                Ok(vault.list()?.into_iter().map(|stored| (stored.name, stored.version)).collect())
            }
            Self::Keychain(_) => Ok(BTreeMap::new()),
        }
    }
}

impl Destination for Store<'_> {
    type Error = Failure;

    fn name(&self, server: &Name, secret: &str) -> String {
        match self {
            Self::Local(_) => format!("{server}/{secret}"),
            // Other programs have items of their own, and call theirs after services.
            Self::Keychain(_) => format!("strongroom-{server}/{secret}"),
        }
    }

    fn reference(&self, server: &Name, secret: &str) -> String {
        format!("{}://{}", self.scheme(), self.name(server, secret))
    }

    fn look(&self, server: &Name, name: &str, secret: &Secret) -> Result<Place, Failure> {
        let same = |same| if same { Place::Same } else { Place::Other };
        match self {
            Self::Local(vault) => match vault.used_by(name)? {
                None => Ok(Place::Free),
                Some(SecretUse::Launch(owner)) if owner == *server => {
                    let there = vault.get_many(&[name])?;
                    Ok(same(there.iter().flatten().any(|there| there.ct_eq(secret))))
                }
                Some(_) => Ok(Place::Other),
            },
            Self::Keychain(keychain) => match keychain.read(&[item(name)])?.pop() {
                Some(Ok(there)) => Ok(same(there.ct_eq(secret))),
                Some(Err(KeychainError::NotFound)) | None => Ok(Place::Free),
                Some(Err(error)) => Err(error.into()),
            },
        }
    }
}

fn item(name: &str) -> Item {
    let (service, account) = name.split_once('/').unwrap_or((name, ""));
    Item { service: service.to_owned(), account: account.to_owned() }
}

impl From<KeychainError> for Failure {
    fn from(error: KeychainError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Unavailable, error).maybe_hint(hint)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::File(error) => error.into(),
            error @ JournalError::Not { .. } => Self::failed(error)
                .hint("move it away; what was imported before cannot be undone then"),
            error @ JournalError::Json(_) => Self::failed(error),
        }
    }
}
