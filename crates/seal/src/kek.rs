//! Keys that wrap keys.
//!
//! [`Kek`] is a key that is at hand; [`TeamKek`] is one that may have to be asked for, because it
//! never leaves the service or the module that keeps it. Every [`Kek`] is a [`TeamKek`]. A
//! [`KekRing`] has the one that wraps and those that only unwrap, while keys are being rotated.

mod bound;
mod local;
mod ring;

use std::fmt;

use strongroom_model::ports::BoxFuture;
use strongroom_model::secret::Secret;

use crate::envelope::{self, FORMAT, Place, SealError};
use crate::key::{Key, hex};
use crate::machine::MachineId;

pub use bound::{bind, unbind};
pub use local::{KekSourceError, LocalKek, VARIABLE};
pub use ring::{KekRing, Wrapped};

/// Wraps the keys of tenants, with a key that is at hand.
///
/// Invariant: `unwrap` authenticates. Whoever opens a store unwraps its key before the first write,
/// so that a wrong KEK can never start a second generation (CR-07).
pub trait Kek: Send + Sync {
    /// Names the key; where the KEK is derived, the id follows from the key itself, so that a wrong
    /// one is told by name.
    fn id(&self) -> &str;

    /// Wraps `key`, which has the id `key_id` and belongs to `tenant`.
    fn wrap(&self, tenant: &str, key_id: &str, key: &Key) -> Result<Vec<u8>, KekError>;

    /// Unwraps what `wrap` made for the same tenant and id.
    fn unwrap(&self, tenant: &str, key_id: &str, wrapped: &[u8]) -> Result<Key, KekError>;
}

/// Wraps the keys of tenants, with a key that may be somewhere else.
///
/// Invariant: as that of [`Kek`]. Unwrapping is asked once for a tenant and process, never for a row.
pub trait TeamKek: Send + Sync {
    /// Names the key, and is stored beside everything that it wrapped.
    fn id(&self) -> &str;

    /// Wraps `key`, which has the id `key_id` and belongs to `tenant`.
    fn wrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Vec<u8>, KekError>>;

    /// Unwraps what `wrap` made for the same tenant and id.
    fn unwrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, KekError>>;
}

/// A key cannot be wrapped or unwrapped. What a service said about it is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KekError {
    /// The wrapped key was wrapped under another KEK, or is damaged.
    #[error("the wrapped key does not verify under this key")]
    Mismatch,
    /// The wrapped key names a KEK that we do not have.
    #[error("the key was wrapped under `{needed}`, and this is `{offered}`")]
    Unknown {
        /// The KEK that it was wrapped under.
        needed: String,
        /// Those that there are.
        offered: String,
    },
    /// Whoever keeps the KEK answers, and does not let us use it.
    #[error("`{kek}` may not be used: {why}")]
    Refused {
        /// The KEK.
        kek: String,
        /// Why, in our words.
        why: String,
    },
    /// Whoever keeps the KEK does not answer; nothing is known about the key.
    #[error("`{kek}` cannot be reached: {why}")]
    Unreachable {
        /// The KEK.
        kek: String,
        /// Why, in our words.
        why: String,
    },
    /// The wrapping failed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl KekError {
    /// Whether asking again later may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { needed, .. } => Some(format!(
                "make `{needed}` available again: what it wrapped cannot be opened without it"
            )),
            Self::Mismatch => {
                Some("restore the key that the database was made with, or the database".to_owned())
            }
            Self::Refused { .. } => {
                Some("let this server use the key, in the settings of whoever keeps it".to_owned())
            }
            Self::Unreachable { .. } => Some("try again when it can be reached".to_owned()),
            Self::Seal(_) => None,
        }
    }
}

impl<K: Kek> TeamKek for K {
    fn id(&self) -> &str {
        Kek::id(self)
    }

    fn wrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Vec<u8>, KekError>> {
        Box::pin(async move { Kek::wrap(self, tenant, key_id, key) })
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, KekError>> {
        Box::pin(async move { Kek::unwrap(self, tenant, key_id, wrapped) })
    }
}

/// The KEK of one machine: HKDF-SHA256 over the machine secret, with the machine id as salt.
///
/// A copy of the secret alone does not give the key on another machine; the id alone never does.
pub struct MachineKek {
    id: String,
    key: Key,
}

impl MachineKek {
    /// The KEK of `secret` on the machine `id`.
    pub fn derive(secret: &Secret, id: &MachineId) -> Self {
        let key = Key::derive(secret, id.as_str().as_bytes(), b"strongroom machine kek 1");
        Self { id: format!("machine:{}", fingerprint(&key)), key }
    }
}

impl Kek for MachineKek {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, tenant: &str, key_id: &str, key: &Key) -> Result<Vec<u8>, KekError> {
        wrap(&self.key, &place(&self.id, tenant, key_id), key)
    }

    fn unwrap(&self, tenant: &str, key_id: &str, wrapped: &[u8]) -> Result<Key, KekError> {
        unwrap(&self.key, &place(&self.id, tenant, key_id), wrapped)
    }
}

impl fmt::Debug for MachineKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineKek").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a key is called after: 64 bits that follow from it, and that say nothing about it.
fn fingerprint(key: &Key) -> String {
    let tag = key.mac("strongroom kek id").tag(&[]);
    hex(&tag[..8])
}

fn wrap(kek: &Key, place: &Place<'_>, key: &Key) -> Result<Vec<u8>, KekError> {
    Ok(envelope::seal(kek, place, &key.to_secret())?)
}

fn unwrap(kek: &Key, place: &Place<'_>, wrapped: &[u8]) -> Result<Key, KekError> {
    let secret = envelope::open(kek, place, wrapped).map_err(|_| KekError::Mismatch)?;
    Key::from_secret(&secret).map_err(|_| KekError::Mismatch)
}

fn place<'a>(kek: &'a str, tenant: &'a str, key_id: &'a str) -> Place<'a> {
    Place {
        app: "strongroom",
        format: FORMAT,
        key_id: kek,
        tenant,
        row: key_id,
        service: "",
        kind: "tenant-key",
        version: 1,
    }
}

#[cfg(test)]
#[path = "kek_tests.rs"]
mod tests;
