//! What is approved of servers' tools, in the vault's file: the same for every process.
//!
//! A row is believed only with its tag, which the tenant's key makes: what others wrote into the file
//! approves nothing, and its tool waits for a person. What a tag cannot show is a row that was taken away,
//! whose tool is then seen for the first time again.
//!
//! A server is told from another of its name by its *scope*: the file that it stands in.

pub(crate) mod record;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use strongroom_model::pin::{
    self, Checked, DefinitionHash, Known, Look, Offered, Pin, Pins, PinsError,
};
use strongroom_model::ports::{BoxFuture, Clock};
use strongroom_model::principal::Name;
use strongroom_seal::MacKey;

use crate::vault::{TENANT, VaultError, Version};
use record::Record;

/// What is approved in one vault.
pub struct PinStore {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

struct Inner {
    db: Connection,
    key: MacKey,
    version: Version,
}

/// What is kept of a tool, and of which server it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The file that the server stands in; empty for the user's own.
    pub scope: String,
    /// The server.
    pub server: Name,
    /// The tool.
    pub pin: Pin,
}

/// What is approved of one server.
struct OfServer {
    store: Arc<PinStore>,
    scope: String,
    server: Name,
}

impl PinStore {
    pub(crate) fn new(path: PathBuf, clock: Arc<dyn Clock>, db: Connection, key: MacKey) -> Self {
        Self { path, clock, inner: Mutex::new(Inner { db, key, version: Version::default() }) }
    }

    /// What is approved of `server`, which stands in the file `scope`; an empty one is the user's own.
    pub fn of(self: &Arc<Self>, scope: &str, server: &Name) -> Arc<dyn Pins> {
        let (store, scope) = (Arc::clone(self), scope.to_owned());
        Arc::new(OfServer { store, scope, server: server.clone() })
    }

    /// Every tool that is kept, by scope, server and name.
    pub fn list(&self) -> Result<Vec<Kept>, VaultError> {
        let sql = "SELECT scope, server, tool, record, tag FROM tool_pins WHERE tenant = ?1 \
                   ORDER BY scope, server, tool";
        let inner = self.inner();
        let read = || {
            let mut statement = inner.db.prepare_cached(sql)?;
            let rows = statement.query_map([TENANT], |row| {
                let owner = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
                Ok((owner, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
            let mut kept = Vec::new();
            for row in rows {
                let ((scope, server), tool, text, tag): (_, String, String, Vec<u8>) = row?;
                let Ok(name) = server.parse::<Name>() else { continue };
                let owner = [TENANT, &scope, &server];
                let pin = record::read(&inner.key, &owner, tool, &text, &tag);
                kept.push(Kept { scope, server: name, pin });
            }
            Ok(kept)
        };
        read().map_err(|error: VaultError| error.at(&self.path))
    }

    /// Approves the definition `hash` of a tool for a person who has seen it; says whether it was the one
    /// that waits.
    pub fn approve(
        &self,
        (scope, server, tool): (&str, &Name, &str),
        hash: DefinitionHash,
    ) -> Result<bool, VaultError> {
        let now = self.clock.now();
        self.write(|transaction, key| {
            let owner = [TENANT, scope, server.as_str()];
            let Some(pin) = rows(transaction, key, owner)?.remove(tool) else { return Ok(false) };
            if pin.known().waiting != Some(hash) {
                return Ok(false);
            }
            put(transaction, key, owner, &pin.approve(now))?;
            Ok(true)
        })
    }

    /// Forgets everything of a server: its tools are seen for the first time again. Says how many it were.
    pub fn forget(&self, scope: &str, server: &Name) -> Result<usize, VaultError> {
        self.write(|transaction, _| {
            let sql = "DELETE FROM tool_pins WHERE tenant = ?1 AND scope = ?2 AND server = ?3";
            Ok(transaction.execute(sql, [TENANT, scope, server.as_str()])?)
        })
    }

    /// A number that changes whenever what is kept may have.
    pub fn version(&self) -> Result<u64, VaultError> {
        let Inner { db, version, .. } = &mut *self.inner();
        version.current(db).map_err(|error| VaultError::from(error).at(&self.path))
    }

    fn check(&self, owner: [&str; 3], offered: &[Offered]) -> Result<Checked, VaultError> {
        let kept = {
            let inner = self.inner();
            rows(&inner.db, &inner.key, owner).map_err(|error| error.at(&self.path))?
        };
        let look = pin::look(&known(&kept), offered);
        if look.first.is_empty() && look.waiting.is_empty() {
            return Ok(Checked { standings: look.standings, news: Vec::new() });
        }
        let now = self.clock.now();
        self.write(|transaction, key| {
            // Another process may have been faster.
            let kept = rows(transaction, key, owner)?;
            let look = pin::look(&known(&kept), offered);
            for pin in record::changed(&kept, &look, now) {
                put(transaction, key, owner, &pin)?;
            }
            let news = record::news(&look);
            let Look { standings, .. } = look;
            Ok(Checked { standings, news })
        })
    }

    fn write<T>(
        &self,
        act: impl FnOnce(&Transaction<'_>, &MacKey) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut inner = self.inner();
        let Inner { db, key, version } = &mut *inner;
        let run = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = act(&transaction, key)?;
            version.committing();
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|error: VaultError| error.at(&self.path))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pins for OfServer {
    fn version(&self) -> Option<u64> {
        self.store.version().ok()
    }

    fn check<'a>(&'a self, offered: &'a [Offered]) -> BoxFuture<'a, Result<Checked, PinsError>> {
        let owner = [TENANT, &self.scope, self.server.as_str()];
        let checked = self.store.check(owner, offered);
        Box::pin(async move { checked.map_err(|error| PinsError(Box::new(error))) })
    }
}

/// What is kept of one server, by the names of its tools.
fn rows(
    db: &Connection,
    key: &MacKey,
    owner: [&str; 3],
) -> Result<HashMap<Box<str>, Pin>, VaultError> {
    let sql = "SELECT tool, record, tag FROM tool_pins \
               WHERE tenant = ?1 AND scope = ?2 AND server = ?3";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(owner, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut pins = HashMap::new();
    for row in rows {
        let (tool, text, tag): (String, String, Vec<u8>) = row?;
        pins.insert(tool.as_str().into(), record::read(key, &owner, tool, &text, &tag));
    }
    Ok(pins)
}

fn put(
    transaction: &Transaction<'_>,
    key: &MacKey,
    owner: [&str; 3],
    pin: &Pin,
) -> Result<(), VaultError> {
    let text = Record::of(pin).text();
    let tag = record::tag(key, &owner, &pin.tool, &text).to_vec();
    let [tenant, scope, server] = owner;
    transaction
        .prepare_cached(
            "INSERT INTO tool_pins (tenant, scope, server, tool, record, tag) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (tenant, scope, server, tool) DO UPDATE SET record = ?5, tag = ?6",
        )?
        .execute(params![tenant, scope, server, pin.tool, text, tag])?;
    Ok(())
}

pub(crate) fn known(kept: &HashMap<Box<str>, Pin>) -> HashMap<Box<str>, Known> {
    kept.iter().map(|(tool, pin)| (tool.clone(), pin.known())).collect()
}
