//! Principals, and the tokens that they show over HTTP (decision 34).
//!
//! A token has 256 random bits and is shown once. What is stored is its HMAC under a key that is
//! itself sealed, so the file alone does not even tell whether a token that was found is one of
//! ours.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Transaction, params};
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_seal::random;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::snapshot::{Keys, PrincipalRow, Snapshot};
use super::{TENANT, Vault, VaultError, time};

/// Longer than any token; what is longer is not hashed.
const LONGEST: usize = 256;

/// The principals of a vault.
#[derive(Clone, Copy)]
pub struct Principals<'a> {
    vault: &'a Vault,
}

/// A principal, without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalInfo {
    /// Its name.
    pub name: Name,
    /// Whether it can come over HTTP.
    pub has_token: bool,
    /// When it was made.
    pub created: SystemTime,
    /// Since when it is refused.
    pub disabled: Option<SystemTime>,
}

impl<'a> Principals<'a> {
    pub(super) fn new(vault: &'a Vault) -> Self {
        Self { vault }
    }

    /// Makes a principal with a token, which is returned and never shown again. One that has been
    /// [ensured](Self::ensure) and has none yet is given one.
    pub fn create(self, name: &Name) -> Result<Secret, VaultError> {
        self.give_token(name, |old| match old {
            Some(PrincipalRow { token_hash: None, disabled: None, .. }) | None => Ok(()),
            Some(_) => Err(VaultError::PrincipalExists { name: name.clone() }),
        })
    }

    /// Gives a principal that exists a new token; the old one is refused from now on.
    pub fn renew(self, name: &Name) -> Result<Secret, VaultError> {
        self.give_token(name, |old| match old {
            Some(_) => Ok(()),
            None => Err(VaultError::NoPrincipal { name: name.clone() }),
        })
    }

    /// Makes a principal without a token, for stdio, unless it is there.
    pub fn ensure(self, name: &Name) -> Result<(), VaultError> {
        if self.vault.read(|_, _, snapshot| Ok(snapshot.principals.contains_key(name)))? {
            return Ok(());
        }
        let now = self.vault.now();
        self.vault.write(|transaction, _, snapshot| {
            if !snapshot.principals.contains_key(name) {
                store(transaction, snapshot, name, PrincipalRow::new(now))?;
            }
            Ok(())
        })
    }

    /// The principals, by name.
    pub fn list(self) -> Result<Vec<PrincipalInfo>, VaultError> {
        self.vault.read(|_, _, snapshot| {
            let infos = snapshot.principals.iter().map(|(name, row)| PrincipalInfo {
                name: name.clone(),
                has_token: row.token_hash.is_some(),
                created: time(row.created),
                disabled: row.disabled.map(time),
            });
            Ok(infos.collect())
        })
    }

    /// Whether there is such a principal and it is not disabled.
    pub fn exists(self, name: &Name) -> Result<bool, VaultError> {
        self.vault.read(|_, _, snapshot| {
            Ok(snapshot.principals.get(name).is_some_and(|row| row.disabled.is_none()))
        })
    }

    /// Refuses a principal and its token from now on, in every process.
    pub fn disable(self, name: &Name) -> Result<(), VaultError> {
        let now = self.vault.now();
        self.vault.write(|transaction, _, snapshot| {
            let Some(old) = snapshot.principals.remove(name) else {
                return Err(VaultError::NoPrincipal { name: name.clone() });
            };
            let disabled = old.disabled.or(Some(now));
            store(transaction, snapshot, name, PrincipalRow { disabled, ..old })
        })
    }

    /// The principal whose token this is. The work is the same for every token that is not: every
    /// stored hash is compared, in constant time.
    pub fn find_by_token(self, token: &Secret) -> Result<Option<Name>, VaultError> {
        self.vault.look(|keys, snapshot| {
            let hash = hash(keys, token);
            let mut found = 0_u32;
            for (place, row) in (1..).zip(snapshot.principals.values()) {
                let stored = row.token_hash.unwrap_or_default();
                let usable = row.token_hash.is_some() && row.disabled.is_none();
                let same = stored.ct_eq(&hash) & Choice::from(u8::from(usable));
                found = u32::conditional_select(&found, &place, same);
            }
            let name =
                found.checked_sub(1).and_then(|n| snapshot.principals.keys().nth(n as usize));
            name.filter(|_| token.len() <= LONGEST).cloned()
        })
    }

    fn give_token(
        self,
        name: &Name,
        check: impl FnOnce(Option<&PrincipalRow>) -> Result<(), VaultError>,
    ) -> Result<Secret, VaultError> {
        let token = token()?;
        let now = self.vault.now();
        self.vault.write(|transaction, keys, snapshot| {
            let old = snapshot.principals.remove(name);
            check(old.as_ref())?;
            let row = PrincipalRow {
                token_hash: Some(hash(keys, &token)),
                ..old.unwrap_or_else(|| PrincipalRow::new(now))
            };
            store(transaction, snapshot, name, row)
        })?;
        Ok(token)
    }
}

impl PrincipalRow {
    fn new(now: i64) -> Self {
        let id = Uuid::new_v4().to_string();
        Self { id, token_hash: None, version: 0, created: now, disabled: None }
    }
}

fn store(
    transaction: &Transaction<'_>,
    snapshot: &mut Snapshot,
    name: &Name,
    mut row: PrincipalRow,
) -> Result<(), VaultError> {
    row.version += 1;
    transaction.execute(
        "INSERT INTO principals (id, tenant, name, token_hash, version, created, disabled) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (id) DO UPDATE SET token_hash = ?4, version = ?5, disabled = ?7",
        params![
            row.id,
            TENANT,
            name.as_str(),
            row.token_hash,
            row.version,
            row.created,
            row.disabled
        ],
    )?;
    snapshot.principals.insert(name.clone(), row);
    Ok(())
}

/// `sr_` and 256 random bits.
fn token() -> Result<Secret, VaultError> {
    let mut bytes = Zeroizing::new([0; 32]);
    random(&mut *bytes)?;
    let mut text = Zeroizing::new(String::with_capacity(64));
    text.push_str("sr_");
    URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
    Ok(Secret::new(std::mem::take(&mut *text).into_bytes()))
}

fn hash(keys: &Keys, token: &Secret) -> [u8; 32] {
    let token = token.expose();
    keys.tokens.tag(&[&token[..token.len().min(LONGEST)]])
}
