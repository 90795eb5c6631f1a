//! The envelope: AES-256-GCM, bound to its place.
//!
//! A sealed value is `IV (12) | ciphertext | tag (16)`. What kind of value it is, where it belongs
//! and under which key it was sealed stand beside it, in columns, and go into the seal as
//! additional data: a row that is moved, relabelled or taken back to an older format does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use strongroom_model::secret::Secret;

use crate::key::{Key, RandomError, random};

/// The one format that is written and read.
pub const FORMAT: u8 = 1;

const IV_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// Where a sealed value belongs.
///
/// Every part is compared byte for byte; ids are lower-case UUIDs or names that have one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The program, so that a value of another one under the same key does not open.
    pub app: &'a str,
    /// The format; [`FORMAT`].
    pub format: u8,
    /// The key's id.
    pub key_id: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// The row.
    pub row: &'a str,
    /// The service or server that may use the value.
    pub service: &'a str,
    /// What kind of value it is.
    pub kind: &'a str,
    /// Which version of it; grows with every change.
    pub version: u64,
}

/// A value cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no IV to be had.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The place names a format that is not written.
    #[error("values are not sealed in format {0}")]
    Format(u8),
}

/// A sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// A format that is not read: an older one, or one of a newer version.
    #[error("a sealed value has the unknown format {0}")]
    Format(u8),
    /// Shorter than IV and tag.
    #[error("a sealed value is cut off")]
    Length,
    /// The key, the place or the bytes are not those of the seal.
    #[error("a sealed value does not verify")]
    Mismatch,
}

/// Seals `plaintext` for `place`.
///
/// Invariant: the IV is drawn here, on every call, and is never a parameter: AES-GCM must not see an
/// IV twice under one key (NIST SP 800-38D §8).
pub fn seal(key: &Key, place: &Place<'_>, plaintext: &Secret) -> Result<Vec<u8>, SealError> {
    if place.format != FORMAT {
        return Err(SealError::Format(place.format));
    }
    let mut iv = [0; IV_LEN];
    random(&mut iv)?;
    Ok(seal_with(key, iv, &place.additional_data(), plaintext.expose()))
}

/// Opens what was sealed for `place`.
pub fn open(key: &Key, place: &Place<'_>, sealed: &[u8]) -> Result<Secret, IntegrityError> {
    if place.format != FORMAT {
        return Err(IntegrityError::Format(place.format));
    }
    open_with(key, &place.additional_data(), sealed)
}

/// Opens a value of another program, to import it: `IV (12) | tag (16) | ciphertext`, bound to no
/// place. Nothing is ever sealed like that here.
pub fn open_tag_first(key: &Key, sealed: &[u8]) -> Result<Secret, IntegrityError> {
    if sealed.len() < IV_LEN + TAG_LEN {
        return Err(IntegrityError::Length);
    }
    let (iv, rest) = sealed.split_at(IV_LEN);
    let (tag, ciphertext) = rest.split_at(TAG_LEN);
    open_with(key, &[], &[iv, ciphertext, tag].concat())
}

/// Opens a value of another program, to import it: `IV (12) | ciphertext | tag (16)`, bound to no
/// place. Nothing is ever sealed like that here.
pub fn open_unbound(key: &Key, sealed: &[u8]) -> Result<Secret, IntegrityError> {
    open_with(key, &[], sealed)
}

impl Place<'_> {
    /// Every part with its length before it, so that no two places have the same bytes.
    fn additional_data(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        let mut part = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).expect("the parts of a place are short texts");
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        };
        part(self.app.as_bytes());
        part(&[self.format]);
        part(self.key_id.as_bytes());
        part(self.tenant.as_bytes());
        part(self.row.as_bytes());
        part(self.service.as_bytes());
        part(self.kind.as_bytes());
        part(&self.version.to_be_bytes());
        out
    }
}

fn seal_with(key: &Key, iv: [u8; IV_LEN], additional_data: &[u8], plaintext: &[u8]) -> Vec<u8> {
    // Sized once: growing would leave a copy of the plaintext behind, unwiped.
    let mut out = Vec::with_capacity(IV_LEN + plaintext.len() + TAG_LEN);
    out.extend_from_slice(&iv);
    out.extend_from_slice(plaintext);
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = cipher(key)
        .seal_in_place_separate_tag(nonce, Aad::from(additional_data), &mut out[IV_LEN..])
        .expect("AES-GCM seals anything below 64 GiB");
    out.extend_from_slice(tag.as_ref());
    out
}

fn open_with(key: &Key, additional_data: &[u8], sealed: &[u8]) -> Result<Secret, IntegrityError> {
    if sealed.len() < IV_LEN + TAG_LEN {
        return Err(IntegrityError::Length);
    }
    let (iv, rest) = sealed.split_at(IV_LEN);
    let (ciphertext, tag) = rest.split_at(rest.len() - TAG_LEN);
    let nonce = Nonce::try_assume_unique_for_key(iv).map_err(|_| IntegrityError::Length)?;
    let mut plaintext = vec![0; ciphertext.len()];
    cipher(key)
        .open_separate_gather(nonce, Aad::from(additional_data), ciphertext, tag, &mut plaintext)
        .map_err(|_| IntegrityError::Mismatch)?;
    Ok(Secret::new(plaintext))
}

fn cipher(key: &Key) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key.bytes()).expect("AES-256 takes 32 bytes");
    LessSafeKey::new(key)
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
