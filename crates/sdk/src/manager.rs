//! What a server's author holds: the secrets of one server, and the leave to use them.

mod leave;
mod permission;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use strongroom_model::secret::Secret;

use crate::context::Context;
use crate::error::Error;
use crate::fetch::{at_once, fetch};
use crate::handler::Handler;
use crate::info::SecretsInfo;
use crate::storage::Storage;
use crate::surroundings::Surroundings;
use crate::window::Windows;
use leave::Leave;

/// Clears the server's secrets when it is named, where it is exactly `true`.
const CLEAR: &str = "SECRETS_STORAGE_CLEAR";

/// The secrets of one server, which is named by [`initialize`](Self::initialize).
#[derive(Default)]
pub struct Manager(RwLock<Option<Arc<Named>>>);

/// A manager whose server is named.
struct Named {
    storage: Arc<Storage>,
    surroundings: Surroundings,
    windows: Arc<dyn Windows>,
    /// What a person said of their use.
    leave: Leave,
    /// What was read, where values are kept.
    kept: Mutex<HashMap<String, Arc<Secret>>>,
}

impl Manager {
    /// A manager of no server yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the server whose secrets these are. Named again, what was allowed for the session is
    /// forgotten. With `SECRETS_STORAGE_CLEAR=true` its secrets are removed.
    pub fn initialize(&self, server_name: &str, surroundings: Surroundings) -> Result<(), Error> {
        let storage = Storage::new(server_name, surroundings.clone())?;
        let windows = Arc::new(Handler::new(&surroundings));
        self.begin(Arc::new(storage), surroundings, windows)
    }

    fn begin(
        &self,
        storage: Arc<Storage>,
        surroundings: Surroundings,
        windows: Arc<dyn Windows>,
    ) -> Result<(), Error> {
        if surroundings.is_true(CLEAR) {
            storage.clear_secrets()?;
            surroundings.tell(
                "secrets_cleared",
                format!("{CLEAR}=true: the secrets of `{}` were removed", storage.server()),
            );
        }
        let named = Named {
            storage,
            surroundings,
            windows,
            leave: Leave::default(),
            kept: Mutex::default(),
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(named));
        Ok(())
    }

    /// The name of the server, once it has one.
    pub fn server_name(&self) -> Option<String> {
        Some(self.named().ok()?.storage.server().to_string())
    }

    /// Stores `value`, which must be text, under `name`, in the place of what was there.
    pub fn store_secret(&self, name: &str, value: Secret) -> Result<(), Error> {
        let named = self.named()?;
        let stored = named.storage.store_secret(name, value);
        named.kept().remove(name);
        stored
    }

    /// The value of `name`, which is text; `None` where there is none. Nobody is asked:
    /// [`retrieve_with_permission`](Self::retrieve_with_permission) asks.
    pub fn retrieve_secret(&self, name: &str) -> Result<Option<Arc<Secret>>, Error> {
        self.named()?.retrieve(name)
    }

    /// The names of the secrets that are stored, sorted.
    pub fn list_secrets(&self) -> Result<Vec<String>, Error> {
        self.named()?.storage.list_secrets()
    }

    /// Removes every secret of this server, and what was allowed for the session; says how many
    /// secrets there were.
    pub fn clear_secrets(&self) -> Result<usize, Error> {
        let named = self.named()?;
        named.leave.forget(None);
        let cleared = named.storage.clear_secrets();
        named.kept().clear();
        cleared
    }

    /// Removes the secret `name`; says whether it was there.
    pub fn delete_secret(&self, name: &str) -> Result<bool, Error> {
        let named = self.named()?;
        named.leave.forget(Some(name));
        let deleted = named.storage.delete_secret(name);
        named.kept().remove(name);
        deleted
    }

    /// Whether there is a secret `name`.
    pub fn secret_exists(&self, name: &str) -> Result<bool, Error> {
        self.named()?.storage.secret_exists(name)
    }

    /// Whether there is a secret for each of `names`.
    pub fn ensure_secrets<S: AsRef<str>>(&self, names: &[S]) -> Result<bool, Error> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        Ok(self.named()?.storage.missing(&names)?.is_empty())
    }

    /// The value of `name`, if a person allows its use for `reason`: in the client, by an elicitation
    /// whose only answers are `Allow`, `Allow for Session` and `Deny`, or, where the client cannot
    /// ask, in a window. `None`, without a question, where there is no such secret.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the question back and allows nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] for everything but the two exact answers, for nobody there to ask, and for
    /// no answer within two minutes.
    pub async fn retrieve_with_permission(
        &self,
        name: &str,
        context: &dyn Context,
        reason: Option<&str>,
    ) -> Result<Option<Arc<Secret>>, Error> {
        let named = self.named()?;
        let of = |named: &Arc<Named>| (Arc::clone(named), name.to_owned());
        let (manager, wanted) = of(&named);
        if !at_once(&named.storage, move |storage| manager.has(storage, &wanted)).await? {
            return Ok(None);
        }
        named.permit(name, context, reason).await?;
        let (manager, wanted) = of(&named);
        at_once(&named.storage, move |_| manager.retrieve(&wanted)).await
    }

    /// Fetches those secrets of `info` that are not stored yet from a person, and stores them: by a
    /// window, while the client's elicitation keeps the call alive. Says whether all went well, and
    /// what happened, in words for a person.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the window and stores nothing, unless storing has begun: that is
    /// done to its end.
    pub async fn fetch(&self, context: &dyn Context, info: &SecretsInfo) -> (bool, String) {
        let fetched = match self.named() {
            Ok(named) => {
                let fetched = fetch(&named.storage, &*named.windows, context, info).await;
                info.names().iter().for_each(|name| drop(named.kept().remove(*name)));
                fetched
            }
            Err(error) => Err(error),
        };
        match fetched {
            Ok(text) => (true, text),
            Err(error) => (false, format!("Nothing was stored: {}", error.text())),
        }
    }

    fn named(&self) -> Result<Arc<Named>, Error> {
        let named = self.0.read().unwrap_or_else(PoisonError::into_inner);
        named.clone().ok_or(Error::NotInitialized)
    }
}

impl Named {
    fn retrieve(&self, name: &str) -> Result<Option<Arc<Secret>>, Error> {
        if let Some(value) = self.kept().get(name) {
            return Ok(Some(Arc::clone(value)));
        }
        let value = self.storage.retrieve_secret(name)?.map(Arc::new);
        if let Some(value) = value.as_ref().filter(|_| self.surroundings.cache) {
            self.kept().insert(name.to_owned(), Arc::clone(value));
        }
        Ok(value)
    }

    fn has(&self, storage: &Storage, name: &str) -> Result<bool, Error> {
        Ok(self.kept().contains_key(name) || storage.secret_exists(name)?)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Arc<Secret>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("server", &self.server_name()).finish()
    }
}

#[cfg(test)]
mod tests;
