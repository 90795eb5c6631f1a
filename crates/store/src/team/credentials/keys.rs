//! The keys of tenants: made with the first credential, unwrapped once in a process.

use std::sync::Arc;

use strongroom_model::team::TenantId;
use strongroom_seal::{Key, Wrapped};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::head::Head;
use super::known::Kept;
use super::rows::HeadRow;
use crate::team::database::{Announce, Sight, Tx};
use crate::team::{Team, TeamError};

/// A key of a tenant, opened.
#[derive(Debug)]
pub(in crate::team) struct TenantKey {
    pub(in crate::team) id: String,
    pub(in crate::team) key: Key,
}

/// The keys that this process has opened. A key never changes, so nobody has to be told of it; one
/// that was destroyed has nothing left to open.
pub(super) type Opened = Kept<(TenantId, String), Arc<OnceCell<Arc<TenantKey>>>>;

impl Team {
    /// The tenant's key of this id. Whoever keeps the KEK is asked once, whatever number of callers
    /// waits.
    pub(in crate::team) async fn tenant_key(
        &self,
        tenant: TenantId,
        id: &str,
    ) -> Result<Arc<TenantKey>, TeamError> {
        let opened = &self.memory().keys;
        let cell = opened.get_or_put((tenant, id.to_owned()), Arc::default);
        cell.get_or_try_init(|| self.unwrap_tenant_key(tenant, id)).await.cloned()
    }

    async fn unwrap_tenant_key(
        &self,
        tenant: TenantId,
        id: &str,
    ) -> Result<Arc<TenantKey>, TeamError> {
        let wanted = id.to_owned();
        let wrapped = self
            .db()
            .read(Sight::Tenant(tenant), move |tx| Box::pin(wrapped(tx, tenant, wanted)))
            .await?;
        let wrapped = wrapped.ok_or(TeamError::damaged("the key of a tenant is gone"))?;
        let key = self.keks().unwrap(tenant.as_str(), id, &wrapped).await?;
        Ok(Arc::new(TenantKey { id: id.to_owned(), key }))
    }

    /// A new key for the tenant, wrapped by the current KEK. It is nowhere yet.
    pub(in crate::team) async fn new_tenant_key(
        &self,
        tenant: TenantId,
    ) -> Result<(TenantKey, Wrapped), TeamError> {
        let key = TenantKey { id: Uuid::new_v4().to_string(), key: Key::generate()? };
        let wrapped = self.keks().wrap(tenant.as_str(), &key.id, &key.key).await?;
        Ok((key, wrapped))
    }

    /// Gives the tenant its first key and the head of nothing, unless somebody else just has.
    pub(in crate::team) async fn found_tenant_key(
        &self,
        tenant: TenantId,
    ) -> Result<(), TeamError> {
        let (key, wrapped) = self.new_tenant_key(tenant).await?;
        let mut row = HeadRow { key_id: key.id.clone(), generation: 1, sealed: Vec::new() };
        row.sealed = Head::new(0)?.seal(&key, &tenant, &row)?;
        let now = self.now();
        self.db()
            .write(Sight::Tenant(tenant), Announce::Nothing, move |tx| {
                Box::pin(async move {
                    let sql = "INSERT INTO tenant_heads (tenant_id, key_id, generation, head) \
                               VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id) DO NOTHING";
                    let values = vec![
                        tenant.into(),
                        row.key_id.into(),
                        row.generation.into(),
                        row.sealed.into(),
                    ];
                    if tx.execute(sql, values).await? == 1 {
                        insert(tx, tenant, &key.id, wrapped, now).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Puts a wrapped key down. One that was wrapped by a KEK that is retired is refused: nothing may be
/// left under that, and this process has not heard of it yet.
pub(in crate::team) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    id: &str,
    wrapped: Wrapped,
    now: std::time::SystemTime,
) -> Result<(), TeamError> {
    not_retired(tx, &wrapped.kek_id).await?;
    tx.execute(
        "INSERT INTO tenant_keys (tenant_id, id, kek_id, wrapped, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
        vec![tenant.into(), id.into(), wrapped.kek_id.into(), wrapped.bytes.into(), now.into()],
    )
    .await
    .map(|_| ())
}

/// Fails where the KEK is retired, and keeps it from being retired until this transaction ends.
pub(in crate::team) async fn not_retired(tx: &mut Tx, kek: &str) -> Result<(), TeamError> {
    tx.query(
        tx.either(
            "SELECT id FROM installation WHERE id = 1",
            "SELECT id FROM installation WHERE id = 1 FOR SHARE",
        ),
        Vec::new(),
    )
    .await?;
    let sql = "SELECT kek_id FROM retired_keks WHERE kek_id = $1";
    match tx.first(sql, vec![kek.into()]).await? {
        None => Ok(()),
        Some(_) => Err(TeamError::Retired { kek: kek.to_owned() }),
    }
}

/// The wrapped key of this id.
async fn wrapped(tx: &mut Tx, tenant: TenantId, id: String) -> Result<Option<Wrapped>, TeamError> {
    let sql = "SELECT kek_id, wrapped FROM tenant_keys WHERE tenant_id = $1 AND id = $2";
    let row = tx.first(sql, vec![tenant.into(), id.into()]).await?;
    row.map(|row| Ok(Wrapped { kek_id: row.get(0)?, bytes: row.get(1)? })).transpose()
}
