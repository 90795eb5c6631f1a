//! The vault: sealed secrets and the principals' tokens, in one SQLite file.
//!
//! Every secret is sealed under the tenant's key and bound to its row, name, use and version; the
//! tenant's key is wrapped by a KEK. One sealed *head* covers every row, so that a row that was
//! taken back, removed, renamed or swapped is an integrity error and never "no such secret". What
//! the head cannot show is the whole file taken back to an earlier state: SECURITY.md says so.
//!
//! Several processes may use one vault at a time: writers take turns, readers see whole states, and
//! [`Vault::data_version`] tells cheaply whether anything changed.

mod database;
mod error;
mod principals;
mod snapshot;
mod r#use;
mod version;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use strongroom_model::ports::{Clock, Held, Turn};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::envelope::FORMAT;
use strongroom_seal::{Kek, Place, SecureDir, open, seal, sha256};
use uuid::Uuid;

use crate::approvals::ApprovalStore;
use crate::pins::PinStore;
use snapshot::{Keys, Row, Snapshot};
pub(crate) use version::Version;

pub use error::{EntryError, VaultError};
pub use principals::{PrincipalInfo, Principals};
pub use r#use::{SecretUse, UseError};

/// The file's name in its directory.
pub const FILE: &str = "vault.db";

/// The largest secret.
pub const LARGEST: usize = 1 << 20;

const APP: &str = "strongroom";
pub(crate) const TENANT: &str = "local";
/// What kind of value a row has; more than one once credentials have parts of their own.
const KIND: &str = "value";

/// The store of one machine's secrets and principals.
pub struct Vault {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

struct Inner {
    db: Connection,
    keys: Keys,
    version: Version,
    /// What was last loaded and verified, and the version it belongs to.
    snapshot: Option<(u64, Snapshot)>,
}

/// A stored secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What stands behind `local://`.
    pub name: String,
    /// Who may use it.
    pub used_by: SecretUse,
    /// Grows with every change.
    pub version: u64,
    /// When it was first stored.
    pub created: SystemTime,
    /// When it was last changed.
    pub updated: SystemTime,
}

/// A secret to be stored.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// What stands behind `local://`.
    pub name: &'a str,
    /// Who may use it.
    pub used_by: &'a SecretUse,
    /// The secret.
    pub value: &'a Secret,
}

impl Vault {
    /// Makes a vault in `dir`, where there is none, and opens it.
    pub fn create(
        dir: &SecureDir,
        kek: &dyn Kek,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        database::create(dir, |transaction| snapshot::found(transaction, kek))?;
        Self::open(dir, kek, clock)
    }

    /// Opens the vault in `dir`. Its key is unwrapped and its head verified before anything else, so
    /// that nothing is ever written under a wrong key.
    pub fn open(dir: &SecureDir, kek: &dyn Kek, clock: Arc<dyn Clock>) -> Result<Self, VaultError> {
        let path = dir.path().join(FILE);
        let (db, keys) = database::open(dir)
            .and_then(|mut db| {
                let transaction = db.transaction()?;
                let keys = snapshot::unlock(&transaction, kek)?;
                transaction.finish()?;
                Ok((db, keys))
            })
            .map_err(|error| error.at(&path))?;
        let inner = Inner { db, keys, version: Version::default(), snapshot: None };
        let vault = Self { path, clock, inner: Mutex::new(inner) };
        vault.read(|_, _, _| Ok(()))?;
        Ok(vault)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores `value` under `name`, in the place of what was there.
    pub fn put(&self, name: &str, used_by: &SecretUse, value: &Secret) -> Result<(), VaultError> {
        self.put_many(&[New { name, used_by, value }], true)
    }

    /// Stores all of `secrets`, or none of them: in the place of what was there where `replace`;
    /// otherwise what is there stays.
    pub fn put_many(&self, secrets: &[New<'_>], replace: bool) -> Result<(), VaultError> {
        for secret in secrets {
            check_name(secret.name)?;
            if secret.value.is_empty() || secret.value.len() > LARGEST {
                return Err(VaultError::Value);
            }
        }
        let now = self.now();
        self.write(|transaction, keys, snapshot| {
            for secret in secrets {
                if replace || !snapshot.rows.contains_key(secret.name) {
                    put(transaction, keys, snapshot, secret, now)?;
                }
            }
            Ok(())
        })
    }

    /// The secrets of these names, in their order: all of one state of the vault.
    pub fn get_many(&self, names: &[&str]) -> Result<Vec<Result<Secret, EntryError>>, VaultError> {
        self.read(|transaction, keys, snapshot| {
            names.iter().map(|name| entry(transaction, keys, snapshot, name)).collect()
        })
    }

    /// Removes what is stored under `name`; says whether there was anything.
    pub fn remove(&self, name: &str) -> Result<bool, VaultError> {
        check_name(name)?;
        self.write(|transaction, _, snapshot| {
            let Some(row) = snapshot.rows.remove(name) else {
                return Ok(false);
            };
            let removed = transaction.execute("DELETE FROM secrets WHERE id = ?1", [&row.id])?;
            if removed == 1 { Ok(true) } else { Err(VaultError::damaged("a row cannot be found")) }
        })
    }

    /// What is stored, by name.
    pub fn list(&self) -> Result<Vec<Stored>, VaultError> {
        self.read(|_, _, snapshot| {
            let stored = snapshot.rows.iter().map(|(name, row)| Stored {
                name: name.clone(),
                used_by: row.used_by.clone(),
                version: row.version.into(),
                created: time(row.created),
                updated: time(row.updated),
            });
            Ok(stored.collect())
        })
    }

    /// Who may use what is stored under `name`.
    pub fn used_by(&self, name: &str) -> Result<Option<SecretUse>, VaultError> {
        self.read(|_, _, snapshot| Ok(snapshot.rows.get(name).map(|row| row.used_by.clone())))
    }

    /// A number that changes whenever any process changed the vault. It means nothing to another
    /// process, and nothing after the vault was opened again.
    pub fn data_version(&self) -> Result<u64, VaultError> {
        let Inner { db, version, .. } = &mut *self.inner();
        version.current(db).map_err(|error| VaultError::from(error).at(&self.path))
    }

    /// Whose turn it is to use up what is stored under `name`: the lock of a file beside the vault, which
    /// ends with the process that has it. Where a file system has no locks, nobody takes turns.
    pub fn turn(&self, name: &str) -> Turn {
        let dir = self.path.parent().map(SecureDir::open);
        let Some(Ok(dir)) = dir else { return Turn::Nobodys };
        let short = sha256(name.as_bytes())
            .iter()
            .take(8)
            .fold(0, |short, byte| short << 8 | u64::from(*byte));
        match dir.try_lock(&format!("turn-{short:016x}.lock")) {
            Ok(Some(guard)) => Turn::Ours(Held::new(guard)),
            Ok(None) => Turn::Others,
            Err(_) => Turn::Nobodys,
        }
    }

    /// The principals and their tokens.
    pub fn principals(&self) -> Principals<'_> {
        Principals::new(self)
    }

    /// What people are asked and what they granted, on a connection of its own.
    pub fn approvals(&self) -> Result<ApprovalStore, VaultError> {
        let db = database::connect(&self.path).map_err(|error| error.at(&self.path))?;
        let key = self.inner().keys.approvals();
        Ok(ApprovalStore::new(self.path.clone(), Arc::clone(&self.clock), db, key))
    }

    /// What is approved of servers' tools, on a connection of its own.
    pub fn pins(&self) -> Result<Arc<PinStore>, VaultError> {
        let db = database::connect(&self.path).map_err(|error| error.at(&self.path))?;
        let key = self.inner().keys.approvals();
        Ok(Arc::new(PinStore::new(self.path.clone(), Arc::clone(&self.clock), db, key)))
    }

    /// Runs `act` on one verified state of the vault.
    fn read<T>(
        &self,
        act: impl FnOnce(&Transaction<'_>, &Keys, &Snapshot) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut inner = self.inner();
        let Inner { db, keys, version, snapshot } = &mut *inner;
        let run = || {
            let transaction = db.transaction()?;
            let version = version.asked(&transaction)?;
            if snapshot.as_ref().is_none_or(|(of, _)| *of != version) {
                *snapshot = None;
                *snapshot = Some((version, snapshot::load(&transaction, keys)?));
            }
            let (_, snapshot) = snapshot.as_ref().expect("it was put there above");
            act(&transaction, keys, snapshot)
        };
        run().map_err(|error| error.at(&self.path))
    }

    /// Runs `act` on the newest verified state of the vault, by what is held of it where that is still the
    /// newest: then the database is not asked.
    fn look<T>(&self, act: impl FnOnce(&Keys, &Snapshot) -> T) -> Result<T, VaultError> {
        let inner = self.inner();
        if let (Some(version), Some((of, snapshot))) = (inner.version.known(), &inner.snapshot)
            && *of == version
        {
            return Ok(act(&inner.keys, snapshot));
        }
        drop(inner);
        self.read(|_, keys, snapshot| Ok(act(keys, snapshot)))
    }

    /// Runs `act` alone on the newest state, and seals a new head over what it left.
    fn write<T>(
        &self,
        act: impl FnOnce(&Transaction<'_>, &Keys, &mut Snapshot) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut inner = self.inner();
        let Inner { db, keys, version, snapshot } = &mut *inner;
        let run = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut state = snapshot::load(&transaction, keys)?;
            let done = act(&transaction, keys, &mut state)?;
            snapshot::store_head(&transaction, keys, &mut state)?;
            version.committing();
            *snapshot = None;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|error: VaultError| error.at(&self.path))
    }

    /// A thread that panicked has left no half-done state: transactions roll back when dropped.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        let since = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Stores one secret, in the place of what was there.
fn put(
    transaction: &Transaction<'_>,
    keys: &Keys,
    snapshot: &mut Snapshot,
    new: &New<'_>,
    now: i64,
) -> Result<(), VaultError> {
    let old = snapshot.rows.get(new.name);
    let row = Row {
        id: old.map_or_else(|| Uuid::new_v4().to_string(), |row| row.id.clone()),
        used_by: new.used_by.clone(),
        kind: KIND.to_owned(),
        version: old.map_or(1, |row| row.version + 1),
        format: FORMAT,
        key_id: keys.key_id.clone(),
        created: old.map_or(now, |row| row.created),
        updated: now,
    };
    let sealed = sealed_in(keys, snapshot, new.name, &row, new.value)?;
    transaction
        .prepare_cached(
            "INSERT INTO secrets (id, tenant, name, used_by, kind, version, format, key_id, \
             sealed, created, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT (id) DO UPDATE SET used_by = ?4, kind = ?5, version = ?6, \
             format = ?7, key_id = ?8, sealed = ?9, updated = ?11",
        )?
        .execute(params![
            row.id,
            TENANT,
            new.name,
            row.used_by.to_string(),
            row.kind,
            row.version,
            row.format,
            row.key_id,
            sealed,
            row.created,
            row.updated
        ])?;
    snapshot.rows.insert(new.name.to_owned(), row);
    Ok(())
}

/// One secret. The snapshot knows every name; a row that it knows and that cannot be found or
/// opened is damage.
fn entry(
    transaction: &Transaction<'_>,
    keys: &Keys,
    snapshot: &Snapshot,
    name: &str,
) -> Result<Result<Secret, EntryError>, VaultError> {
    let Some(row) = snapshot.rows.get(name) else {
        return Ok(Err(EntryError::NotFound));
    };
    let sealed: Option<Vec<u8>> = transaction
        .prepare_cached("SELECT sealed FROM secrets WHERE id = ?1")?
        .query_row([&row.id], |row| row.get(0))
        .optional()?;
    Ok(sealed.ok_or(EntryError::Integrity).and_then(|sealed| opened(keys, name, row, &sealed)))
}

fn sealed_in(
    keys: &Keys,
    snapshot: &mut Snapshot,
    name: &str,
    row: &Row,
    value: &Secret,
) -> Result<Vec<u8>, VaultError> {
    snapshot.count_seal()?;
    in_place(name, row, |place| Ok(seal(&keys.key, place, value)?))
}

fn opened(keys: &Keys, name: &str, row: &Row, sealed: &[u8]) -> Result<Secret, EntryError> {
    in_place(name, row, |place| open(&keys.key, place, sealed).map_err(|_| EntryError::Integrity))
}

/// A secret's place: its row and name, its use, its version.
fn in_place<T>(name: &str, row: &Row, act: impl FnOnce(&Place<'_>) -> T) -> T {
    act(&Place {
        app: APP,
        format: row.format,
        key_id: &row.key_id,
        tenant: TENANT,
        row: &format!("{}/{name}", row.id),
        service: &row.used_by.to_string(),
        kind: &row.kind,
        version: row.version.into(),
    })
}

/// A stored secret's name is what can stand behind `local://`.
fn check_name(name: &str) -> Result<(), VaultError> {
    match format!("local://{name}").parse::<SecretRef>() {
        Ok(reference) if reference.fragment().is_none() => Ok(()),
        _ => Err(VaultError::Name),
    }
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
