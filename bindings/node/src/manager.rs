//! `MCPSecretsManager`.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncBlock, AsyncBlockBuilder, Either5};
use napi::{Env, Result};
use napi_derive::napi;
use strongroom_sdk::{Error, Secret, SecretsInfo};

use crate::asker::{Asker, Elicit, Info, Stop};
use crate::outcome::{Outcome, Value, shown};
use crate::surroundings::{Around, Notices};

/// The secrets of one server.
#[napi]
#[derive(Default)]
pub struct Manager {
    core: Arc<strongroom_sdk::Manager>,
    notices: Notices,
}

#[napi]
impl Manager {
    /// A manager of no server yet.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the server.
    #[napi]
    pub fn initialize(&self, server_name: String, around: Around) -> Outcome {
        let done = self.core.initialize(&server_name, around.surroundings(&self.notices));
        Outcome::of(&self.notices, done, |()| None)
    }

    /// The name of the server, once it has one.
    #[napi]
    pub fn server_name(&self) -> Option<String> {
        self.core.server_name()
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
        Outcome::of(&self.notices, self.core.retrieve_secret(&name), value)
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

    /// Whether there are all.
    #[napi]
    pub fn ensure(&self, names: Vec<String>) -> Outcome {
        Outcome::of(&self.notices, self.core.ensure_secrets(&names), |are| Some(Either5::A(are)))
    }

    /// A value, if a person allows its use.
    #[napi]
    pub fn retrieve_with_permission(
        &self,
        env: &Env,
        about: About,
        info: Info,
        elicit: Elicit,
        stop: &Stop,
    ) -> Result<AsyncBlock<Outcome>> {
        let (core, notices) = (Arc::clone(&self.core), self.notices.clone());
        let asker = Asker::new(info, elicit, about.elicits);
        let work = async move {
            let reason = about.reason.as_deref();
            core.retrieve_with_permission(&about.what, &asker, reason).await
        };
        let work = stop.or(work);
        let work = async move {
            let done = work.await.unwrap_or(Err(Error::Gone));
            Ok(Outcome::of(&notices, done, value))
        };
        AsyncBlockBuilder::new(work).build(env)
    }

    /// Fetches what is missing from a person.
    #[napi]
    pub fn fetch(
        &self,
        env: &Env,
        about: About,
        info: Info,
        elicit: Elicit,
        stop: &Stop,
    ) -> Result<AsyncBlock<Outcome>> {
        let (core, notices) = (Arc::clone(&self.core), self.notices.clone());
        let asker = Asker::new(info, elicit, about.elicits);
        let work = stop.or(async move {
            let secrets = SecretsInfo::read(about.what.as_bytes())?;
            Ok(core.fetch(&asker, &secrets).await)
        });
        let work = async move {
            let stopped = || Ok((false, format!("Nothing was stored: {}", Error::Gone.text())));
            Ok(match work.await.unwrap_or_else(stopped) {
                Ok(said) => Outcome::said(&notices, said),
                Err(error) => Outcome::of(&notices, Err::<(), _>(error), |()| None),
            })
        };
        AsyncBlockBuilder::new(work).build(env)
    }
}

/// What a person is asked about.
#[napi(object, object_to_js = false)]
pub struct About {
    /// The name of the secret, or the wanted ones as JSON.
    pub what: String,
    /// Why it is used.
    pub reason: Option<String>,
    /// Whether the context has a way to ask.
    pub elicits: bool,
}

/// How a value that may be missing is shown.
pub(crate) fn value<T: std::ops::Deref<Target = Secret>>(found: Option<T>) -> Option<Value> {
    found.map(|secret| Either5::C(shown(&secret)))
}

/// How a number is shown.
pub(crate) fn count(number: usize) -> Value {
    Either5::B(u32::try_from(number).unwrap_or(u32::MAX))
}
