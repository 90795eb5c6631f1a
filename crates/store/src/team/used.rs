//! When keys were last used: noted in memory, written in batches, never by the call itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use strongroom_model::team::{CredentialId, KeyId, TenantId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::caps::Caps;
use super::database::{Announce, Database, Sight, Tx, Value, micros};
use super::{Inner, Team, TeamError};

/// Keys that were used.
#[derive(Default)]
pub(super) struct Used(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// Not yet written.
    waiting: BTreeMap<Key, SystemTime>,
    /// Written a moment ago. What is kept of a key in memory does not know that yet.
    written: BTreeMap<Key, SystemTime>,
}

/// A kernel's has no tenant.
type Key = (Option<TenantId>, KeyId);

/// How often they are written.
const EVERY: Duration = Duration::from_secs(2);
/// A key's time is written at most once in so long.
const EXACT: Duration = Duration::from_mins(1);
/// More are not noted before the next batch.
const MOST: usize = 100_000;

impl Used {
    /// Notes that a key was used now, unless that is known well enough.
    pub(super) fn note(
        &self,
        tenant: Option<TenantId>,
        key: KeyId,
        known: Option<SystemTime>,
        now: SystemTime,
    ) {
        if known.is_some_and(|known| now < known + EXACT) {
            return;
        }
        let mut noted = self.noted();
        let key = (tenant, key);
        if noted.written.get(&key).is_some_and(|written| now < *written + EXACT) {
            return;
        }
        if noted.waiting.len() < MOST {
            noted.waiting.insert(key, now);
        }
    }

    /// Writes all that was noted. What cannot be written is forgotten: it is no more than a hint.
    pub(super) async fn flush(&self, db: &Database, now: SystemTime) -> Result<(), TeamError> {
        let uses: Vec<Use> = self.take(now).into_iter().map(|(key, at)| used(key, at)).collect();
        for batch in uses.chunks(BATCH) {
            write(db, batch.to_vec()).await?;
        }
        Ok(())
    }

    fn take(&self, now: SystemTime) -> BTreeMap<Key, SystemTime> {
        let mut noted = self.noted();
        let taken = std::mem::take(&mut noted.waiting);
        noted.written.retain(|_, written| now < *written + EXACT);
        let room = MOST.saturating_sub(noted.written.len());
        noted.written.extend(taken.iter().take(room).map(|(key, at)| (*key, *at)));
        taken
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn used((tenant, key): Key, at: SystemTime) -> Use {
    match tenant {
        Some(tenant) => Use::ApiKey(tenant, key, at),
        None => Use::KernelKey(key, at),
    }
}

/// What was used, and when.
#[derive(Clone, Copy)]
pub(super) enum Use {
    ApiKey(TenantId, KeyId, SystemTime),
    KernelKey(KeyId, SystemTime),
    Credential(TenantId, CredentialId, SystemTime),
}

/// As many are written at once; other writers wait meanwhile, on SQLite.
pub(super) const BATCH: usize = 256;

/// Writes uses of any tenants in one transaction. On Postgres it is one round trip, and sees one tenant
/// after the other.
pub(super) async fn write(db: &Database, uses: Vec<Use>) -> Result<(), TeamError> {
    db.write(Sight::Installation, Announce::Nothing, move |tx| {
        Box::pin(async move {
            if let Tx::Postgres(_) = tx {
                // A hint need not survive the database's end.
                let all = uses.into_iter().map(text).collect::<String>();
                return tx.script(format!("SET LOCAL synchronous_commit = off;{all}")).await;
            }
            for one in uses {
                let (sql, values) = statement(one);
                tx.execute(sql, values).await?;
            }
            Ok(())
        })
    })
    .await
}

fn statement(one: Use) -> (&'static str, Vec<Value>) {
    match one {
        Use::ApiKey(tenant, key, at) => (
            "UPDATE api_keys SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2 \
             AND (last_used_at IS NULL OR last_used_at < $3)",
            vec![tenant.into(), key.into(), at.into()],
        ),
        Use::KernelKey(key, at) => (
            "UPDATE kernel_keys SET last_used_at = $2 WHERE id = $1 \
             AND (last_used_at IS NULL OR last_used_at < $2)",
            vec![key.into(), at.into()],
        ),
        Use::Credential(tenant, id, at) => (
            "UPDATE tenant_credentials SET last_used_at = $3 WHERE tenant_id = $1 \
             AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)",
            vec![tenant.into(), id.into(), at.into()],
        ),
    }
}

/// Invariant: what is put together here is made of constants, of ids, which have nothing in them but
/// hexadecimal digits and hyphens, and of a number.
fn text(one: Use) -> String {
    let (table, tenant, id, at) = match one {
        Use::ApiKey(tenant, key, at) => ("api_keys", Some(tenant), key.to_string(), at),
        Use::KernelKey(key, at) => ("kernel_keys", None, key.to_string(), at),
        Use::Credential(tenant, id, at) => ("tenant_credentials", Some(tenant), id.to_string(), at),
    };
    let at = format!("(TIMESTAMPTZ 'epoch' + INTERVAL '{} microseconds')", micros(at));
    let (sight, of) = tenant.map_or_else(Default::default, |tenant| {
        let sight = format!("SET LOCAL app.tenant_id = '{tenant}';");
        (sight, format!("tenant_id = '{tenant}' AND "))
    });
    format!(
        "{sight} UPDATE {table} SET last_used_at = {at} WHERE {of}id = '{id}' \
         AND (last_used_at IS NULL OR last_used_at < {at});"
    )
}

impl Team {
    /// Writes when keys and credentials were used. What cannot be written is no loss: it is a hint.
    pub(super) async fn write_uses(&self) {
        let _ = self.inner.used.flush(self.db(), self.now()).await;
        let _ = self.write_credential_uses().await;
    }
}

/// Writes from time to time, until the team is gone or `stop` is.
pub(super) async fn write_often(team: Weak<Inner>, mut stop: watch::Receiver<()>) {
    while timeout(EVERY, stop.changed()).await.is_err() {
        let Some(inner) = team.upgrade() else { return };
        Team { inner, caps: Caps::default() }.write_uses().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_used_all_the_time_is_written_once_a_minute() {
        let used = Used::default();
        let key = KeyId::from_random([7; 8]);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut written = Vec::new();
        for second in 1_000..1_200 {
            // Whoever keeps the key in memory read it before it was ever used.
            used.note(None, key, None, at(second));
            written.extend(used.take(at(second)).into_values());
        }
        assert_eq!(written, [at(1_000), at(1_060), at(1_120), at(1_180)]);
        used.note(None, key, Some(at(1_999)), at(2_000));
        assert!(used.take(at(2_000)).is_empty(), "what the row says is well enough known");
        used.note(None, key, Some(at(1_000)), at(2_000));
        assert_eq!(used.take(at(2_000)).len(), 1);
    }
}
