//! Providers that need no other crate: the environment, and files.

mod env;
mod file;

use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

pub use env::EnvProvider;
pub use file::FileProvider;

/// The largest secret, as in the vault.
const LARGEST: usize = 1 << 20;

/// A value that a credential can be made of.
fn usable(secret: Secret, reference: &SecretRef) -> Result<Secret, ResolveError> {
    let unusable = |why| Err(ResolveError::Unusable { reference: reference.clone(), why });
    if secret.is_empty() {
        unusable("it is empty")
    } else if secret.len() > LARGEST {
        unusable(TOO_LARGE)
    } else {
        Ok(secret)
    }
}

const TOO_LARGE: &str = "it is larger than 1 MiB";
