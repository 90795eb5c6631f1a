//! When keys were last used: noted in memory, written in batches, never by the call itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use strongroom_model::team::{KeyId, TenantId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::database::{Announce, Database, Sight};
use super::{Inner, Team, TeamError};

/// Keys that were used and not yet written. A kernel's has no tenant.
#[derive(Default)]
pub(super) struct Used(Mutex<BTreeMap<(Option<TenantId>, KeyId), SystemTime>>);

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
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < MOST {
            noted.insert((tenant, key), now);
        }
    }

    /// Writes all that was noted. What cannot be written is forgotten: it is no more than a hint.
    pub(super) async fn flush(&self, db: &Database) -> Result<(), TeamError> {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut batches = BTreeMap::<Option<TenantId>, Vec<(KeyId, SystemTime)>>::new();
        for ((tenant, key), at) in noted {
            batches.entry(tenant).or_default().push((key, at));
        }
        for (tenant, keys) in batches {
            write(db, tenant, keys).await?;
        }
        Ok(())
    }
}

async fn write(
    db: &Database,
    tenant: Option<TenantId>,
    keys: Vec<(KeyId, SystemTime)>,
) -> Result<(), TeamError> {
    const API: &str = "UPDATE api_keys SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2 \
                       AND (last_used_at IS NULL OR last_used_at < $3)";
    const KERNEL: &str = "UPDATE kernel_keys SET last_used_at = $2 WHERE id = $1 \
                          AND (last_used_at IS NULL OR last_used_at < $2)";
    let sight = tenant.map_or(Sight::Installation, Sight::Tenant);
    db.write(sight, Announce::Nothing, move |tx| {
        Box::pin(async move {
            for (key, at) in keys {
                match tenant {
                    Some(id) => tx.execute(API, vec![id.into(), key.into(), at.into()]).await?,
                    None => tx.execute(KERNEL, vec![key.into(), at.into()]).await?,
                };
            }
            Ok(())
        })
    })
    .await
}

impl Team {
    /// Writes when keys and credentials were used. What cannot be written is no loss: it is a hint.
    pub(super) async fn write_uses(&self) {
        let _ = self.inner.used.flush(self.db()).await;
        let _ = self.write_credential_uses().await;
    }
}

/// Writes from time to time, until the team is gone or `stop` is.
pub(super) async fn write_often(team: Weak<Inner>, mut stop: watch::Receiver<()>) {
    while timeout(EVERY, stop.changed()).await.is_err() {
        let Some(inner) = team.upgrade() else { return };
        Team { inner }.write_uses().await;
    }
}
