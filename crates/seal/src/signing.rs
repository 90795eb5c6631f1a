//! A key of this machine that signs what others may check.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use strongroom_model::secret::Secret;

use crate::key::Key;
use crate::machine::MachineId;

/// An Ed25519 key (RFC 8032). It follows from the machine secret, so that there is nothing to keep
/// and nothing to lose beside it.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key that vouches for the audit of the machine `id`: HKDF-SHA256 over the machine secret,
    /// with the machine id as salt, for a purpose of its own.
    pub fn of_audit(secret: &Secret, id: &MachineId) -> Self {
        let seed = Key::derive(secret, id.as_str().as_bytes(), b"strongroom audit signing key 1");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes());
        Self(pair.expect("a seed of Ed25519 has 32 bytes, and any will do"))
    }

    /// The key that vouches for the audit of a team: HKDF-SHA256 over the installation's secret, for a
    /// purpose of its own.
    pub fn of_team_audit(secret: &Key) -> Self {
        let seed = secret.derived(b"strongroom team audit signing key 1");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes());
        Self(pair.expect("a seed of Ed25519 has 32 bytes, and any will do"))
    }

    /// The signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }

    /// What the signature is checked with.
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: u8, id: char) -> SigningKey {
        let id = MachineId::parse(&id.to_string().repeat(32)).unwrap();
        SigningKey::of_audit(&Secret::new(vec![secret; 32]), &id)
    }

    #[test]
    fn a_key_follows_from_secret_and_machine_and_shows_nothing() {
        assert_eq!(of(7, 'a').public(), of(7, 'a').public());
        assert_ne!(of(7, 'a').public(), of(8, 'a').public());
        assert_ne!(of(7, 'a').public(), of(7, 'b').public());
        assert_eq!(of(7, 'a').sign(b"x"), of(7, 'a').sign(b"x"));
        assert_ne!(of(7, 'a').sign(b"x"), of(7, 'a').sign(b"y"));
        assert_eq!(format!("{:?}", of(7, 'a')), "SigningKey(..)");
    }

    #[test]
    fn the_key_of_a_team_follows_from_the_secret_of_its_installation() {
        let team = |byte| {
            SigningKey::of_team_audit(&Key::from_secret(&Secret::new(vec![byte; 32])).unwrap())
        };
        assert_eq!(team(7).public(), team(7).public());
        assert_ne!(team(7).public(), team(8).public());
        assert_ne!(team(7).public(), of(7, 'a').public());
    }
}
