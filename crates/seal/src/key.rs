//! Keys, and the random bytes that they are made of.

use std::{fmt, io};

use aws_lc_rs::{hkdf, hmac, rand};
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use crate::machine::MachineId;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// A 256-bit AES-GCM key, wiped on drop.
///
/// Invariant: one key seals at most 2^32 values, because their IVs are random (NIST SP 800-38D
/// §8.3). Who keeps a key counts its seals.
pub struct Key(Zeroizing<[u8; KEY_LEN]>);

/// A key for HMAC-SHA256.
pub struct MacKey(hmac::Key);

/// The system's random source failed. Nothing may be sealed, and no token made, without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source does not work")]
pub struct RandomError;

/// Not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has exactly 32 bytes, and not all of them are zero")]
pub struct KeyError;

/// Fills `bytes` from the system's random source.
pub fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    rand::fill(bytes).map_err(|_| RandomError)
}

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    hash
}

/// The SHA-256 of all that `stream` has.
pub fn sha256_of(mut stream: impl io::Read) -> io::Result<[u8; 32]> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut chunk = vec![0; 64 << 10];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => context.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

/// Lower-case hexadecimal digits of `bytes`; for ids and checksums, not for secrets.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

impl Key {
    /// A new random key.
    pub fn generate() -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        random(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The key of exactly these 32 bytes. All zeros are refused: that is what a key is where
    /// somebody forgot to fill it.
    pub fn from_secret(secret: &Secret) -> Result<Self, KeyError> {
        let bytes: [u8; KEY_LEN] = secret.expose().try_into().map_err(|_| KeyError)?;
        Self::from_bytes(Zeroizing::new(bytes))
    }

    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; KEY_LEN]>) -> Result<Self, KeyError> {
        if bytes.iter().all(|byte| *byte == 0) { Err(KeyError) } else { Ok(Self(bytes)) }
    }

    /// HKDF-SHA256 (RFC 5869) over `secret` with `salt`, for the purpose `info`.
    pub(crate) fn derive(secret: &Secret, salt: &[u8], info: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        let key_material = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret.expose());
        expand(&key_material, info, &mut *bytes);
        Self(bytes)
    }

    /// The key of the cache `scope` on the machine `id`: HKDF-SHA256 over the machine secret, with the
    /// machine id as salt, as for the vault's, and for a purpose of its own. It opens no other
    /// scope's cache, and nothing of the vault.
    pub fn of_cache(secret: &Secret, id: &MachineId, scope: &str) -> Self {
        let info = format!("strongroom cache key 1: {scope}");
        Self::derive(secret, id.as_str().as_bytes(), info.as_bytes())
    }

    /// A key of another purpose that follows from this one, as [`mac`](Self::mac) makes them.
    pub(crate) fn derived(&self, info: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        expand(&hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*self.0), info, &mut *bytes);
        Self(bytes)
    }

    /// A key of another purpose that follows from this one.
    pub fn mac(&self, purpose: &str) -> MacKey {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        expand(
            &hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*self.0),
            purpose.as_bytes(),
            &mut *bytes,
        );
        MacKey(hmac::Key::new(hmac::HMAC_SHA256, &*bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The key as a value to be sealed under another.
    pub(crate) fn to_secret(&self) -> Secret {
        Secret::new(self.0.to_vec())
    }
}

impl MacKey {
    /// The tag over `parts`, each with its length before it.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

fn expand(key_material: &hkdf::Prk, info: &[u8], out: &mut [u8]) {
    key_material
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out))
        .expect("HKDF-SHA256 gives 32 bytes to whoever asks for 32");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_32_bytes_and_is_not_zero() {
        for length in [0, 16, 31, 33, 64] {
            assert!(Key::from_secret(&Secret::new(vec![7; length])).is_err(), "{length}");
        }
        assert!(Key::from_secret(&Secret::new(vec![0; 32])).is_err());
        assert!(Key::from_secret(&Secret::new(vec![7; 32])).is_ok());
    }

    #[test]
    fn generated_keys_differ_and_show_nothing() {
        let (a, b) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert_ne!(a.bytes(), b.bytes());
        assert_eq!(format!("{a:?} {:?}", a.mac("x")), "Key(..) MacKey(..)");
    }

    #[test]
    fn tags_of_other_purposes_and_other_parts_differ() {
        let key = Key::from_secret(&Secret::new(vec![7; 32])).unwrap();
        let tag = key.mac("a").tag(&[b"a", b"bc"]);
        assert_eq!(tag, key.mac("a").tag(&[b"a", b"bc"]));
        assert_ne!(tag, key.mac("a").tag(&[b"ab", b"c"]));
        assert_ne!(tag, key.mac("b").tag(&[b"a", b"bc"]));
    }
}
