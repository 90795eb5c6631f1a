//! What is given to a KEK that is somewhere else: the key, and a proof of where it belongs.

use strongroom_model::secret::Secret;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::KekError;
use crate::key::{KEY_LEN, Key};

const TAG_LEN: usize = 32;

/// The bytes that a remote KEK encrypts: `key` and a tag under it over the KEK, the tenant and the
/// key's id.
///
/// Not every service and every mechanism takes associated data, and an old one ignores what it does
/// not know. With the tag inside, a wrapped key that is moved to another row does not open, whoever
/// encrypts it.
pub fn bind(kek: &str, tenant: &str, key_id: &str, key: &Key) -> Secret {
    let mut bytes = Vec::with_capacity(KEY_LEN + TAG_LEN);
    bytes.extend_from_slice(key.bytes());
    bytes.extend_from_slice(&tag(kek, tenant, key_id, key));
    Secret::new(bytes)
}

/// The key of such bytes, if they belong here.
pub fn unbind(kek: &str, tenant: &str, key_id: &str, opened: &Secret) -> Result<Key, KekError> {
    let (key, found) = opened.expose().split_at_checked(KEY_LEN).ok_or(KekError::Mismatch)?;
    let key: [u8; KEY_LEN] = key.try_into().map_err(|_| KekError::Mismatch)?;
    let key = Key::from_bytes(Zeroizing::new(key)).map_err(|_| KekError::Mismatch)?;
    let same = found.ct_eq(&tag(kek, tenant, key_id, &key)).into();
    if same { Ok(key) } else { Err(KekError::Mismatch) }
}

fn tag(kek: &str, tenant: &str, key_id: &str, key: &Key) -> [u8; TAG_LEN] {
    let parts = [kek, tenant, key_id].map(str::as_bytes);
    key.mac("strongroom wrapped key 1").tag(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_out_only_where_it_was_put_in() {
        let key = Key::generate().unwrap();
        let bytes = bind("kek", "tenant", "k1", &key);
        assert_eq!(unbind("kek", "tenant", "k1", &bytes).unwrap().bytes(), key.bytes());
        for (kek, tenant, key_id) in
            [("kec", "tenant", "k1"), ("kek", "tenanu", "k1"), ("kek", "tenant", "k2")]
        {
            let error = unbind(kek, tenant, key_id, &bytes).unwrap_err();
            assert_eq!(error, KekError::Mismatch, "{kek} {tenant} {key_id}");
        }
        let all = bytes.expose();
        let flipped = |at: usize| {
            let mut bytes = all.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        let longer = [all, &[0]].concat();
        for bad in [&[][..], &all[..31], &all[..63], &longer, &flipped(0), &flipped(63)] {
            assert!(unbind("kek", "tenant", "k1", &Secret::new(bad.to_vec())).is_err());
        }
    }
}
