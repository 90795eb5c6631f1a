//! One verified state of the vault, and the head that covers it.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_seal::envelope::FORMAT;
use strongroom_seal::{Kek, Key, MacKey, Place, open, random, seal};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{APP, SecretUse, TENANT, VaultError};

/// How many values one key may seal (NIST SP 800-38D §8.3). Every write seals at least one, so
/// generations and versions stay within 32 bits too.
const MOST_SEALS: u64 = 1 << 32;

/// What the tenant's key gives.
pub(super) struct Keys {
    pub(super) key_id: String,
    pub(super) key: Key,
    /// For the elements of the head.
    head: MacKey,
    /// For the hashes of tokens (decision 34).
    pub(super) tokens: MacKey,
}

/// Everything but the sealed values.
pub(super) struct Snapshot {
    pub(super) rows: BTreeMap<String, Row>,
    pub(super) principals: BTreeMap<Name, PrincipalRow>,
    generation: u32,
    seals: u64,
}

/// A row of `secrets`.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) used_by: SecretUse,
    pub(super) kind: String,
    pub(super) version: u32,
    pub(super) format: u8,
    pub(super) key_id: String,
    pub(super) created: i64,
    pub(super) updated: i64,
}

/// A row of `principals`.
pub(super) struct PrincipalRow {
    pub(super) id: String,
    pub(super) token_hash: Option<[u8; 32]>,
    pub(super) version: u32,
    pub(super) created: i64,
    pub(super) disabled: Option<i64>,
}

/// How many rows there are, and a sum over them that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    secrets: u64,
    principals: u64,
    seals: u64,
    sum: [u8; 32],
}

/// Founds the tenant of a new vault: its key, its token key, its first head.
pub(super) fn found(transaction: &Transaction<'_>, kek: &dyn Kek) -> Result<(), VaultError> {
    let key_id = Uuid::new_v4().to_string();
    let key = Key::generate()?;
    let wrapped = kek.wrap(TENANT, &key_id, &key)?;
    let mut bytes = Zeroizing::new(vec![0; 32]);
    random(&mut bytes)?;
    let token_key = Secret::new(std::mem::take(&mut *bytes));
    let sealed = seal(&key, &token_key_place(&key_id), &token_key)?;
    let keys = Keys::new(key_id, key, &token_key)?;
    transaction.execute(
        "INSERT INTO tenants (id, name, kek_id, key_id, wrapped_key, token_key, generation, head) \
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, 0, x'')",
        params![TENANT, kek.id(), keys.key_id, wrapped, sealed],
    )?;
    let mut empty =
        Snapshot { rows: BTreeMap::new(), principals: BTreeMap::new(), generation: 0, seals: 1 };
    store_head(transaction, &keys, &mut empty)
}

/// Unwraps the tenant's key.
pub(super) fn unlock(transaction: &Transaction<'_>, kek: &dyn Kek) -> Result<Keys, VaultError> {
    let (sealed_under, key_id, wrapped, token_key): (String, String, Vec<u8>, Vec<u8>) =
        transaction.query_row(
            "SELECT kek_id, key_id, wrapped_key, token_key FROM tenants WHERE id = ?1",
            [TENANT],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
    if sealed_under != kek.id() {
        return Err(VaultError::WrongKey {
            path: std::path::PathBuf::new(),
            sealed_under,
            offered: kek.id().to_owned(),
        });
    }
    let key = kek
        .unwrap(TENANT, &key_id, &wrapped)
        .map_err(|_| VaultError::damaged("its key does not verify"))?;
    let token_key = open(&key, &token_key_place(&key_id), &token_key)
        .map_err(|_| VaultError::damaged("its token key does not verify"))?;
    Keys::new(key_id, key, &token_key)
}

/// Reads every row and holds the whole against the head.
pub(super) fn load(db: &Connection, keys: &Keys) -> Result<Snapshot, VaultError> {
    let (generation, key_id, sealed): (u32, String, Vec<u8>) = db
        .prepare_cached("SELECT generation, key_id, head FROM tenants WHERE id = ?1")?
        .query_row([TENANT], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if key_id != keys.key_id {
        return Err(VaultError::damaged("its key was exchanged"));
    }
    let head = open(&keys.key, &head_place(keys, generation), &sealed)
        .ok()
        .and_then(|head| Head::read(head.expose()))
        .ok_or_else(|| VaultError::damaged("its head does not verify"))?;
    let snapshot = Snapshot {
        rows: load_rows(db)?,
        principals: load_principals(db)?,
        generation,
        seals: head.seals,
    };
    if snapshot.head(keys) == head {
        Ok(snapshot)
    } else {
        Err(VaultError::damaged("a row was changed, removed or taken back"))
    }
}

/// Seals the next head over `snapshot`.
pub(super) fn store_head(
    transaction: &Transaction<'_>,
    keys: &Keys,
    snapshot: &mut Snapshot,
) -> Result<(), VaultError> {
    snapshot.count_seal()?;
    snapshot.generation += 1;
    let head = Secret::new(snapshot.head(keys).write());
    let sealed = seal(&keys.key, &head_place(keys, snapshot.generation), &head)?;
    let changed = transaction
        .prepare_cached("UPDATE tenants SET generation = ?2, head = ?3 WHERE id = ?1")?
        .execute(params![TENANT, snapshot.generation, sealed])?;
    if changed == 1 { Ok(()) } else { Err(VaultError::damaged("its tenant cannot be found")) }
}

impl Keys {
    fn new(key_id: String, key: Key, token_key: &Secret) -> Result<Self, VaultError> {
        let head = key.mac("strongroom vault head");
        let tokens = Key::from_secret(token_key)
            .map_err(|_| VaultError::damaged("its token key is not a key"))?
            .mac("strongroom token");
        Ok(Self { key_id, key, head, tokens })
    }

    /// For the tags of questions and grants.
    pub(super) fn approvals(&self) -> MacKey {
        self.key.mac("strongroom approvals")
    }
}

impl Snapshot {
    /// Counts one more value that is sealed under the tenant's key.
    pub(super) fn count_seal(&mut self) -> Result<(), VaultError> {
        if self.seals >= MOST_SEALS {
            return Err(VaultError::Exhausted);
        }
        self.seals += 1;
        Ok(())
    }

    fn head(&self, keys: &Keys) -> Head {
        let mut head = Head {
            secrets: self.rows.len() as u64,
            principals: self.principals.len() as u64,
            seals: self.seals,
            sum: [0; 32],
        };
        for (name, row) in &self.rows {
            head.add(row.element(keys, name));
        }
        for (name, row) in &self.principals {
            head.add(row.element(keys, name));
        }
        head
    }
}

impl Row {
    /// Everything that stands in the clear, so that none of it can be changed unnoticed; that the
    /// sealed value belongs to it is the seal's own matter.
    fn element(&self, keys: &Keys, name: &str) -> [u8; 32] {
        keys.head.tag(&[
            b"secret",
            self.id.as_bytes(),
            name.as_bytes(),
            self.used_by.to_string().as_bytes(),
            self.kind.as_bytes(),
            &self.version.to_be_bytes(),
            &[self.format],
            self.key_id.as_bytes(),
            &self.created.to_be_bytes(),
            &self.updated.to_be_bytes(),
        ])
    }
}

impl PrincipalRow {
    fn element(&self, keys: &Keys, name: &Name) -> [u8; 32] {
        keys.head.tag(&[
            b"principal",
            self.id.as_bytes(),
            name.as_str().as_bytes(),
            self.token_hash.as_ref().map_or(&[], |hash| &hash[..]),
            &self.version.to_be_bytes(),
            &self.created.to_be_bytes(),
            &[u8::from(self.disabled.is_some())],
            &self.disabled.unwrap_or_default().to_be_bytes(),
        ])
    }
}

impl Head {
    /// Exclusive or of keyed hashes of rows that all differ: who has no key cannot aim at a sum.
    fn add(&mut self, element: [u8; 32]) {
        for (sum, byte) in self.sum.iter_mut().zip(element) {
            *sum ^= byte;
        }
    }

    fn write(&self) -> Vec<u8> {
        let numbers = [self.secrets, self.principals, self.seals].map(u64::to_be_bytes);
        [numbers.as_flattened(), &self.sum].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (numbers, sum) = bytes.split_at_checked(24)?;
        let number = |at: usize| numbers[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        Some(Self {
            secrets: number(0)?,
            principals: number(8)?,
            seals: number(16)?,
            sum: sum.try_into().ok()?,
        })
    }
}

fn load_rows(db: &Connection) -> Result<BTreeMap<String, Row>, VaultError> {
    let mut statement = db.prepare_cached(
        "SELECT name, id, used_by, kind, version, format, key_id, created, updated FROM secrets \
         WHERE tenant = ?1",
    )?;
    let rows = statement.query_map([TENANT], |row| {
        let used_by: String = row.get(2)?;
        Ok((
            row.get(0)?,
            Row {
                id: row.get(1)?,
                used_by: used_by.parse().map_err(|_| rusqlite::Error::InvalidQuery)?,
                kind: row.get(3)?,
                version: row.get(4)?,
                format: row.get(5)?,
                key_id: row.get(6)?,
                created: row.get(7)?,
                updated: row.get(8)?,
            },
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn load_principals(db: &Connection) -> Result<BTreeMap<Name, PrincipalRow>, VaultError> {
    let mut statement = db.prepare_cached(
        "SELECT name, id, token_hash, version, created, disabled FROM principals \
         WHERE tenant = ?1",
    )?;
    let rows = statement.query_map([TENANT], |row| {
        let name: String = row.get(0)?;
        Ok((
            name.parse().map_err(|_| rusqlite::Error::InvalidQuery)?,
            PrincipalRow {
                id: row.get(1)?,
                token_hash: row.get(2)?,
                version: row.get(3)?,
                created: row.get(4)?,
                disabled: row.get(5)?,
            },
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn head_place(keys: &Keys, generation: u32) -> Place<'_> {
    Place { kind: "head", version: generation.into(), ..token_key_place(&keys.key_id) }
}

fn token_key_place(key_id: &str) -> Place<'_> {
    Place {
        app: APP,
        format: FORMAT,
        key_id,
        tenant: TENANT,
        row: TENANT,
        service: "",
        kind: "token-key",
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_seals_no_more_than_is_safe() {
        let mut snapshot = Snapshot {
            rows: BTreeMap::new(),
            principals: BTreeMap::new(),
            generation: 0,
            seals: MOST_SEALS - 1,
        };
        snapshot.count_seal().unwrap();
        assert!(matches!(snapshot.count_seal(), Err(VaultError::Exhausted)));
    }

    #[test]
    fn a_head_reads_back_and_nothing_else_is_one() {
        let head = Head { secrets: 1, principals: 2, seals: 3, sum: [7; 32] };
        let written = head.write();
        assert_eq!(Head::read(&written), Some(head));
        assert_eq!(Head::read(&written[..55]), None);
        assert_eq!(Head::read(&[&written[..], &[0]].concat()), None);
        assert_eq!(Head::read(&[]), None);
    }
}
