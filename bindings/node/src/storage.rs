//! `MCPSecretsStorage`.

use napi::bindgen_prelude::Either5;
use napi_derive::napi;
use strongroom_sdk::Secret;

use crate::manager::{count, value};
use crate::outcome::Outcome;
use crate::surroundings::{Around, Notices};

/// The keychain's items of one server.
#[napi]
pub struct Storage {
    core: strongroom_sdk::Storage,
    notices: Notices,
}

#[napi]
impl Storage {
    /// Those of this server. Nothing is asked yet.
    #[napi(constructor)]
    pub fn new(server_name: String, around: Around) -> Result<Self, napi::Error<String>> {
        let notices = Notices::default();
        let core = strongroom_sdk::Storage::new(&server_name, around.surroundings(&notices));
        let core = core.map_err(|error| napi::Error::new(error.code().to_owned(), error.text()))?;
        Ok(Self { core, notices })
    }

    /// Stores a value.
    #[napi]
    pub fn store(&self, name: String, value: String) -> Outcome {
        let done = self.core.store_secret(&name, Secret::new(value.into_bytes()));
        Outcome::of(&self.notices, done, |()| None)
    }

    /// A value.
    #[napi]
    pub fn retrieve(&self, name: String) -> Outcome {
        let found = self.core.retrieve_secret(&name);
        Outcome::of(&self.notices, found, |found| value(found.as_ref()))
    }

    /// The names.
    #[napi]
    pub fn list(&self) -> Outcome {
        let names = self.core.list_secrets();
        Outcome::of(&self.notices, names, |names| Some(Either5::D(names)))
    }

    /// Removes everything.
    #[napi]
    pub fn clear(&self) -> Outcome {
        Outcome::of(&self.notices, self.core.clear_secrets(), |number| Some(count(number)))
    }

    /// Removes one.
    #[napi]
    pub fn delete(&self, name: String) -> Outcome {
        Outcome::of(&self.notices, self.core.delete_secret(&name), |was| Some(Either5::A(was)))
    }

    /// Whether there is one.
    #[napi]
    pub fn exists(&self, name: String) -> Outcome {
        Outcome::of(&self.notices, self.core.secret_exists(&name), |is| Some(Either5::A(is)))
    }
}
