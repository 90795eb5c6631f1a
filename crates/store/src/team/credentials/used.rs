//! When credentials were used: noted in memory, written down together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use strongroom_model::team::{CredentialId, TenantId};

use crate::team::used::{BATCH, Use, write};
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
        let noted = self.memory().used.take();
        let of_tenant = |(tenant, uses): (TenantId, BTreeMap<CredentialId, SystemTime>)| {
            uses.into_iter().map(move |(id, at)| Use::Credential(tenant, id, at))
        };
        let uses: Vec<Use> = noted.into_iter().flat_map(of_tenant).collect();
        let mut written = 0;
        for batch in uses.chunks(BATCH) {
            if let Err(error) = write(self.db(), batch.to_vec()).await {
                for one in &uses[written..] {
                    if let Use::Credential(tenant, id, at) = *one {
                        self.memory().used.note(tenant, id, at);
                    }
                }
                return Err(error);
            }
            written += batch.len();
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
