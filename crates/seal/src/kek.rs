//! Keys that wrap keys.

use std::fmt;

use strongroom_model::secret::Secret;

use crate::envelope::{self, FORMAT, Place, SealError};
use crate::key::{Key, hex};
use crate::machine::MachineId;

/// Wraps the keys of tenants.
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

/// A key cannot be wrapped or unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KekError {
    /// The wrapped key was wrapped under another KEK, or is damaged.
    #[error("the wrapped key does not verify under this key")]
    Mismatch,
    /// The wrapping failed.
    #[error(transparent)]
    Seal(#[from] SealError),
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
        let tag = key.mac("strongroom kek id").tag(&[]);
        Self { id: format!("machine:{}", hex(&tag[..8])), key }
    }

    fn place<'a>(&'a self, tenant: &'a str, key_id: &'a str) -> Place<'a> {
        Place {
            app: "strongroom",
            format: FORMAT,
            key_id: &self.id,
            tenant,
            row: key_id,
            service: "",
            kind: "tenant-key",
            version: 1,
        }
    }
}

impl Kek for MachineKek {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, tenant: &str, key_id: &str, key: &Key) -> Result<Vec<u8>, KekError> {
        Ok(envelope::seal(&self.key, &self.place(tenant, key_id), &key.to_secret())?)
    }

    fn unwrap(&self, tenant: &str, key_id: &str, wrapped: &[u8]) -> Result<Key, KekError> {
        let secret = envelope::open(&self.key, &self.place(tenant, key_id), wrapped)
            .map_err(|_| KekError::Mismatch)?;
        Key::from_secret(&secret).map_err(|_| KekError::Mismatch)
    }
}

impl fmt::Debug for MachineKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineKek").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_on_the_same_machine_gives_the_same_key() {
        let (kek, key) = (kek(7, "a"), Key::generate().unwrap());
        let wrapped = kek.wrap("local", "k1", &key).unwrap();
        let again = self::kek(7, "a");
        assert_eq!(again.id(), kek.id());
        assert_eq!(again.unwrap("local", "k1", &wrapped).unwrap().bytes(), key.bytes());
    }

    #[test]
    fn another_secret_and_another_machine_give_another_key_with_another_id() {
        let kek = kek(7, "a");
        let wrapped = kek.wrap("local", "k1", &Key::generate().unwrap()).unwrap();
        for other in [self::kek(8, "a"), self::kek(7, "b")] {
            assert_ne!(other.id(), kek.id());
            assert_eq!(other.unwrap("local", "k1", &wrapped).unwrap_err(), KekError::Mismatch);
        }
    }

    #[test]
    fn a_wrapped_key_is_bound_to_its_tenant_and_id() {
        let kek = kek(7, "a");
        let wrapped = kek.wrap("local", "k1", &Key::generate().unwrap()).unwrap();
        assert!(kek.unwrap("other", "k1", &wrapped).is_err());
        assert!(kek.unwrap("local", "k2", &wrapped).is_err());
        assert!(kek.unwrap("local", "k1", &wrapped[..59]).is_err());
        assert!(kek.unwrap("local", "k1", &wrapped).is_ok());
    }

    /// LM-19.
    #[test]
    fn the_key_of_a_cache_is_of_its_machine_its_scope_and_its_purpose() {
        let key = |byte, digit: &str, scope| {
            let id = MachineId::parse(&digit.repeat(32)).unwrap();
            Key::of_cache(&Secret::new(vec![byte; 32]), &id, scope)
        };
        let this = key(7, "a", "user");
        assert_eq!(this.bytes(), key(7, "a", "user").bytes());
        for other in [key(8, "a", "user"), key(7, "b", "user"), key(7, "a", "project-0")] {
            assert_ne!(this.bytes(), other.bytes());
        }
        assert_ne!(this.bytes(), kek(7, "a").key.bytes());
    }

    fn kek(byte: u8, digit: &str) -> MachineKek {
        let id = MachineId::parse(&digit.repeat(32)).unwrap();
        MachineKek::derive(&Secret::new(vec![byte; 32]), &id)
    }
}
