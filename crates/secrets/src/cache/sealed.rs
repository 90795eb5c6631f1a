//! The file: a header that says what it is, and one seal that binds the header.
//!
//! `"strongroom cache\n" | version u8 | length u8 | key id | IV (12) | ciphertext | tag (16)`

use strongroom_model::secret::Secret;
use strongroom_seal::{IntegrityError, Key, Place, SealError, envelope, hex};

use super::scope::Scope;

/// The one version that is written and read.
const VERSION: u8 = 1;
const MAGIC: &[u8] = b"strongroom cache\n";
/// Bytes of the file beside the content.
pub(crate) const OVERHEAD: usize = 128;

/// What is wrong with a file in the place of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not begin as a cache does.
    #[error("it is not a cache of Strongroom's")]
    Foreign,
    /// It ends too early.
    #[error("it is cut off")]
    Short,
    /// Another version of the program wrote it.
    #[error("it has the unknown format {0}")]
    Version(u8),
    /// Another machine, another user or another scope wrote it, or there was another machine key.
    #[error(
        "it was sealed with another key: on another machine, by another user, or before the machine key was made anew"
    )]
    Key,
    /// Its bytes are not those that were sealed.
    #[error("it does not verify")]
    Seal,
    /// What was sealed is not in order.
    #[error("its content is not in order")]
    Body,
}

/// The bytes of the file.
pub(super) fn seal(key: &Key, scope: &Scope, plain: &Secret) -> Result<Vec<u8>, SealError> {
    let id = key_id(key);
    let sealed = envelope::seal(key, &place(&id, scope), plain)?;
    let mut out = Vec::with_capacity(MAGIC.len() + 2 + id.len() + sealed.len());
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.push(u8::try_from(id.len()).expect("a key id is short"));
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// What is sealed in the file.
pub(super) fn open(key: &Key, scope: &Scope, file: &[u8]) -> Result<Secret, Damage> {
    let short = file.len() < MAGIC.len() && MAGIC.starts_with(file);
    let rest =
        file.strip_prefix(MAGIC).ok_or(if short { Damage::Short } else { Damage::Foreign })?;
    let (version, rest) = rest.split_first().ok_or(Damage::Short)?;
    if *version != VERSION {
        return Err(Damage::Version(*version));
    }
    let (length, rest) = rest.split_first().ok_or(Damage::Short)?;
    let (named, sealed) = rest.split_at_checked(usize::from(*length)).ok_or(Damage::Short)?;
    let id = key_id(key);
    if named != id.as_bytes() {
        return Err(Damage::Key);
    }
    envelope::open(key, &place(&id, scope), sealed).map_err(|error| match error {
        IntegrityError::Length => Damage::Short,
        IntegrityError::Format(_) | IntegrityError::Mismatch => Damage::Seal,
    })
}

fn place<'a>(key_id: &'a str, scope: &'a Scope) -> Place<'a> {
    Place {
        app: "strongroom",
        format: envelope::FORMAT,
        key_id,
        tenant: "local",
        row: scope.id(),
        service: "",
        kind: "cache",
        version: u64::from(VERSION),
    }
}

/// The id follows from the key, so that another key is told by name.
fn key_id(key: &Key) -> String {
    format!("cache:{}", hex(&key.mac("strongroom cache key id").tag(&[])[..8]))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use strongroom_seal::MachineId;

    use super::*;

    // The key follows from the scope as well; this is what holds where it does not.
    #[test]
    fn what_was_sealed_for_one_scope_opens_for_no_other() {
        let machine = MachineId::parse(&"a".repeat(32)).unwrap();
        let key = Key::of_cache(&Secret::new(vec![7; 32]), &machine, "any");
        let (mine, theirs) = (Scope::user(), Scope::project(Path::new("/theirs")));
        let sealed = seal(&key, &mine, &Secret::new(b"canary".to_vec())).unwrap();
        assert_eq!(open(&key, &mine, &sealed).unwrap().expose(), b"canary");
        assert!(matches!(open(&key, &theirs, &sealed), Err(Damage::Seal)));
    }
}
