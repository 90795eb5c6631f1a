//! `local://NAME`: the vault as a provider.

use std::sync::Arc;

use strongroom_model::ports::{BoxFuture, Provider, Purpose, ResolveError, Stamp, Turn};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use crate::vault::{EntryError, Vault, VaultError};

const SCHEME: &str = "local";

/// Resolves references to the vault.
pub struct LocalProvider(Arc<Vault>);

impl LocalProvider {
    /// The provider of `vault`.
    pub fn new(vault: Arc<Vault>) -> Self {
        Self(vault)
    }
}

impl Provider for LocalProvider {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn stamp(&self, _reference: &SecretRef) -> Stamp {
        self.0.data_version().ok()
    }

    fn replace(&self, reference: &SecretRef, secret: Secret) -> Result<(), ResolveError> {
        let used_by = self.0.used_by(reference.path()).map_err(|error| of_vault(&error))?;
        let Some(used_by) = used_by else {
            return Err(ResolveError::NotFound { reference: reference.clone() });
        };
        self.0.put(reference.path(), &used_by, &secret).map_err(|error| of_vault(&error))
    }

    fn turn(&self, reference: &SecretRef) -> Turn {
        self.0.turn(reference.path())
    }

    fn permits(&self, reference: &SecretRef, purpose: Purpose<'_>) -> Result<(), ResolveError> {
        match self.0.used_by(reference.path()) {
            Ok(Some(used_by)) if !used_by.permits(purpose) => Err(ResolveError::Denied {
                reference: reference.clone(),
                why: format!("it was stored for `{used_by}`"),
            }),
            Ok(_) => Ok(()),
            Err(error) => Err(of_vault(&error)),
        }
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            let names: Vec<_> = refs.iter().map(SecretRef::path).collect();
            match self.0.get_many(&names) {
                Ok(secrets) => secrets
                    .into_iter()
                    .zip(refs)
                    .map(|(secret, reference)| secret.map_err(|error| of_entry(error, reference)))
                    .collect(),
                Err(error) => refs.iter().map(|_| Err(of_vault(&error))).collect(),
            }
        })
    }
}

fn of_entry(error: EntryError, reference: &SecretRef) -> ResolveError {
    match error {
        EntryError::NotFound => ResolveError::NotFound { reference: reference.clone() },
        EntryError::Integrity => ResolveError::Integrity { scheme: SCHEME.to_owned() },
    }
}

fn of_vault(error: &VaultError) -> ResolveError {
    let scheme = SCHEME.to_owned();
    if error.is_integrity() {
        ResolveError::Integrity { scheme }
    } else {
        ResolveError::unreachable(SCHEME, "the vault cannot be read")
    }
}
