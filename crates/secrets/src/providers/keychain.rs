//! `keychain://SERVICE/ACCOUNT`: items of the system's keychain (decision 22).
//!
//! It takes no settings, and never unlocks: a prompt would wait for somebody who may not be there.

use std::sync::Arc;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::usable;
use crate::keychain::{Item, Keychain, KeychainError};
use crate::settings::{Context, Field, SettingError, Settings};

const SCHEME: &str = "keychain";

/// It takes none.
pub const FIELDS: &[Field] = &[];

/// Resolves references to the keychain of the session that we were started in.
pub struct KeychainProvider {
    keychain: Keychain,
}

/// The provider of the keychain that the environment leads to.
pub fn new(_: &Settings, context: &Context) -> Result<KeychainProvider, SettingError> {
    let variable = Arc::clone(&context.variable);
    Ok(KeychainProvider { keychain: Keychain::new(&*variable) })
}

impl Provider for KeychainProvider {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            if refs.is_empty() {
                return Vec::new();
            }
            let answer = |(answer, reference): (Result<Secret, KeychainError>, &SecretRef)| {
                let secret = answer.map_err(|error| of_keychain(&error, SCHEME, reference))?;
                usable(secret, reference)
            };
            match self.keychain.ask(refs.iter().map(item).collect()).await {
                Ok(answers) => answers.into_iter().zip(refs).map(answer).collect(),
                Err(error) => refs
                    .iter()
                    .map(|reference| Err(of_keychain(&error, SCHEME, reference)))
                    .collect(),
            }
        })
    }
}

/// `SERVICE/ACCOUNT`, as the grammar of references has made sure.
pub(super) fn item(reference: &SecretRef) -> Item {
    let (service, account) = reference.path().split_once('/').unwrap_or((reference.path(), ""));
    Item { service: service.to_owned(), account: account.to_owned() }
}

pub(super) fn of_keychain(
    error: &KeychainError,
    scheme: &str,
    reference: &SecretRef,
) -> ResolveError {
    let reference = || reference.clone();
    match error {
        KeychainError::Absent { why, fix } => ResolveError::absent(scheme, *why, *fix),
        KeychainError::Locked => ResolveError::Locked { scheme: scheme.to_owned() },
        KeychainError::NotFound => ResolveError::NotFound { reference: reference() },
        KeychainError::Ambiguous => ResolveError::Unusable {
            reference: reference(),
            why: "the keychain has several items of this service and account; remove all but one",
        },
        KeychainError::Denied => ResolveError::Denied {
            reference: reference(),
            why: "the keychain refused; allow the access when it asks".to_owned(),
        },
        KeychainError::Slow | KeychainError::Failed(_) => {
            ResolveError::unreachable(scheme, error.to_string())
        }
    }
}
