//! Items in the platform's keychain.

use std::sync::Arc;

use strongroom_model::secret::Secret;
use strongroom_secrets::keychain::{Item, Session};

use super::Backend;
use crate::error::Error;

pub(super) struct KeychainItems(Session);

impl KeychainItems {
    pub(super) fn new(session: Session) -> Self {
        Self(session)
    }
}

impl Backend for KeychainItems {
    fn get(&self, service: &str, accounts: &[&str]) -> Result<Vec<Option<Secret>>, Error> {
        let items: Vec<Item> = accounts.iter().map(|account| item(service, account)).collect();
        Ok(self.0.get(&items)?)
    }

    fn set(&self, service: &str, account: &str, value: Arc<Secret>) -> Result<(), Error> {
        Ok(self.0.set(&item(service, account), value)?)
    }

    fn delete(&self, service: &str, account: &str) -> Result<bool, Error> {
        Ok(self.0.delete(&item(service, account))?)
    }

    fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, Error> {
        Ok(self.0.accounts(service)?)
    }

    fn largest(&self) -> Option<usize> {
        Session::largest()
    }
}

fn item(service: &str, account: &str) -> Item {
    Item { service: service.to_owned(), account: account.to_owned() }
}
