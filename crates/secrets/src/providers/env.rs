//! `env://NAME`: variables of the environment that this process was started with.

use std::ffi::OsString;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError, Stamp};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::usable;

/// Resolves references to the environment.
///
/// The environment is passed in as a question: it is read in one place, and tests have their own.
pub struct EnvProvider {
    lookup: Box<dyn Lookup>,
}

/// A variable's value.
trait Lookup: Fn(&str) -> Option<OsString> + Send + Sync {}

impl<F: Fn(&str) -> Option<OsString> + Send + Sync> Lookup for F {}

impl EnvProvider {
    /// A provider of the variables that `lookup` knows, which never change.
    pub fn new(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self { lookup: Box::new(lookup) }
    }

    fn value(&self, reference: &SecretRef) -> Result<Secret, ResolveError> {
        let value = (self.lookup)(reference.path())
            .ok_or_else(|| ResolveError::NotFound { reference: reference.clone() })?;
        usable(Secret::new(value.into_encoded_bytes()), reference)
    }
}

impl Provider for EnvProvider {
    fn scheme(&self) -> &'static str {
        "env"
    }

    fn stamp(&self, _reference: &SecretRef) -> Stamp {
        Some(0)
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move { refs.iter().map(|reference| self.value(reference)).collect() })
    }
}
