//! When credentials were used: noted in memory, written down together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use strongroom_model::team::{CredentialId, TenantId};

use crate::team::database::{Announce, Sight, Tx, Value, micros};
use crate::team::{Team, TeamError, TenantStore};

/// Uses that nobody has written down yet, the newest of each credential.
#[derive(Default)]
pub(super) struct Used(Mutex<BTreeMap<TenantId, BTreeMap<CredentialId, SystemTime>>>);

impl Used {
    pub(super) fn note(&self, tenant: TenantId, id: CredentialId, at: SystemTime) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = noted.entry(tenant).or_default().entry(id).or_insert(at);
        *last = at.max(*last);
    }

    pub(super) fn last(&self, tenant: TenantId, id: CredentialId) -> Option<SystemTime> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get(&tenant)?.get(&id).copied()
    }

    fn take(&self) -> BTreeMap<TenantId, BTreeMap<CredentialId, SystemTime>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Team {
    /// Writes down when credentials were last used: to be called every second or so, and at the end.
    /// How many were written. What fails is kept for the next time.
    pub async fn write_credential_uses(&self) -> Result<usize, TeamError> {
        let mut left = self.memory().used.take();
        let mut written = 0;
        while let Some((tenant, uses)) = left.pop_first() {
            let batch = uses.clone();
            let done = self
                .db()
                .write(Sight::Tenant(tenant), Announce::Nothing, move |tx| {
                    Box::pin(write(tx, tenant, batch))
                })
                .await;
            if let Err(error) = done {
                left.insert(tenant, uses);
                for (tenant, uses) in left {
                    for (id, at) in uses {
                        self.memory().used.note(tenant, id, at);
                    }
                }
                return Err(error);
            }
            written += uses.len();
        }
        Ok(written)
    }
}

impl TenantStore<'_> {
    /// When each of the tenant's credentials was last used, as far as it is written down.
    pub(super) async fn last_uses(&self) -> Result<BTreeMap<CredentialId, SystemTime>, TeamError> {
        let tenant = self.tenant();
        self.read(move |tx| {
            Box::pin(async move {
                let sql = "SELECT id, last_used_at FROM tenant_credentials \
                           WHERE tenant_id = $1 AND last_used_at IS NOT NULL";
                let rows = tx.query(sql, vec![tenant.into()]).await?;
                rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
            })
        })
        .await
    }
}

async fn write(
    tx: &mut Tx,
    tenant: TenantId,
    uses: BTreeMap<CredentialId, SystemTime>,
) -> Result<(), TeamError> {
    if let Tx::Postgres(_) = tx {
        let (ids, times) = uses
            .into_iter()
            .map(|(id, at)| (uuid::Uuid::from_bytes(id.bytes()), micros(at)))
            .unzip();
        let sql = "UPDATE tenant_credentials c SET last_used_at = u.at \
                   FROM unnest($2::uuid[], $3::timestamptz[]) AS u (id, at) \
                   WHERE c.tenant_id = $1 AND c.id = u.id \
                   AND (c.last_used_at IS NULL OR c.last_used_at < u.at)";
        tx.execute(sql, vec![tenant.into(), Value::Uuids(ids), Value::Times(times)]).await?;
        return Ok(());
    }
    for (id, at) in uses {
        let sql = "UPDATE tenant_credentials SET last_used_at = $3 WHERE tenant_id = $1 \
                   AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)";
        tx.execute(sql, vec![tenant.into(), id.into(), at.into()]).await?;
    }
    Ok(())
}
