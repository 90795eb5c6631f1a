//! A KEK in an item of the system's keychain, in the same form as in a file.

use std::sync::Arc;

use strongroom_seal::{KekSourceError, LocalKek, TeamKek};

use super::KekSetupError;
use crate::keychain::{Item, Keychain, KeychainError};
use crate::settings::{Context, Field, Kind, Settings};

pub(super) const FIELDS: &[Field] =
    &[Field { name: "account", kind: Kind::Text, about: "the account of the item; `team-kek`" }];

/// The service of every item that is Strongroom's own.
const SERVICE: &str = "strongroom";
const ACCOUNT: &str = "team-kek";

pub(super) fn open(
    settings: &Settings,
    context: &Context,
) -> Result<Arc<dyn TeamKek>, KekSetupError> {
    let (keychain, item) = place(settings, context);
    Ok(Arc::new(read(&keychain, &item)?))
}

pub(super) fn create(
    settings: &Settings,
    context: &Context,
) -> Result<Arc<dyn TeamKek>, KekSetupError> {
    let (keychain, item) = place(settings, context);
    match read(&keychain, &item) {
        Err(KekSourceError::Missing { .. }) => {}
        Ok(_) => return Err(KekSourceError::Exists { place: shown(&item) }.into()),
        Err(error) => return Err(error.into()),
    }
    let line = LocalKek::new_line().map_err(KekSourceError::from)?;
    keychain.write(&item, line).map_err(|error| of_keychain(&item, &error))?;
    Ok(Arc::new(read(&keychain, &item)?))
}

fn place(settings: &Settings, context: &Context) -> (Keychain, Item) {
    let account = settings.text("account").unwrap_or(ACCOUNT).to_owned();
    (Keychain::new(&*context.variable), Item { service: SERVICE.to_owned(), account })
}

fn read(keychain: &Keychain, item: &Item) -> Result<LocalKek, KekSourceError> {
    let line = keychain
        .read(std::slice::from_ref(item))
        .and_then(|mut answers| answers.pop().unwrap_or(Err(KeychainError::NotFound)))
        .map_err(|error| of_keychain(item, &error))?;
    LocalKek::of_line(&line, &shown(item))
}

fn of_keychain(item: &Item, error: &KeychainError) -> KekSourceError {
    match error {
        KeychainError::NotFound => KekSourceError::Missing { place: shown(item) },
        other => KekSourceError::Unavailable { place: shown(item), why: other.to_string() },
    }
}

/// How a person finds the item.
fn shown(item: &Item) -> String {
    format!("keychain://{}/{}", item.service, item.account)
}
