//! The rotation of a tenant's key: its credentials are sealed anew, some at a time.
//!
//! New values are sealed under the new key from the first moment; those that are left are read under
//! the key that their row names. Killed anywhere, it goes on with what is left when it is run again.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_model::team::TenantId;
use strongroom_seal::{open as unseal, seal};

use super::credentials::head::Head;
use super::credentials::keys::{TenantKey, insert};
use super::credentials::{Credential, rows};
use super::database::{Announce, Sight, Tx};
use super::rotate::Progress;
use super::{Team, TeamError};

/// Rows that one transaction seals anew: others wait meanwhile, some milliseconds.
const BATCH: i64 = 100;

/// The keys that a tenant's rows may be sealed under, by id.
type Keys = BTreeMap<String, Arc<TenantKey>>;

impl Team {
    /// Gives the tenant a new key, seals all of its credentials under that, and destroys the old one;
    /// says how many credentials it was. A rotation that was begun and not ended is ended first, and
    /// is all that is done. `report` is told after each batch.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves every credential readable; the next call goes on.
    pub async fn rotate_tenant_key(
        &self,
        tenant: &TenantId,
        mut report: impl FnMut(Progress) + Send,
    ) -> Result<u64, TeamError> {
        let tenant = *tenant;
        let Some(mut keys) = self.tenant_keys(tenant).await? else { return Ok(0) };
        self.record("tenant_key.rotate", &[tenant], tenant.as_str()).await?;
        if keys.len() == 1 {
            self.begin_new_key(tenant).await?;
            keys = self.tenant_keys(tenant).await?.ok_or(TeamError::NotFound)?;
        }
        let mut progress = Progress { done: 0, total: self.count_left(tenant).await? };
        loop {
            let resealed = self.reseal_some(tenant, keys.clone()).await?;
            if resealed == 0 {
                break;
            }
            progress.done += resealed;
            progress.total = progress.total.max(progress.done);
            report(progress);
        }
        self.end_old_keys(tenant, keys).await?;
        Ok(progress.done)
    }

    /// Every key that the tenant has now, opened; `None` where it has no head.
    async fn tenant_keys(&self, tenant: TenantId) -> Result<Option<Keys>, TeamError> {
        let ids = self
            .db()
            .read(Sight::Tenant(tenant), move |tx| {
                Box::pin(async move {
                    if rows::head(tx, tenant).await?.is_none() {
                        return Ok(None);
                    }
                    let sql = "SELECT id FROM tenant_keys WHERE tenant_id = $1";
                    let rows = tx.query(sql, vec![tenant.into()]).await?;
                    rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>().map(Some)
                })
            })
            .await?;
        let Some(ids) = ids else { return Ok(None) };
        let mut keys = Keys::new();
        for id in ids {
            let key = self.tenant_key(tenant, &id).await?;
            keys.insert(id, key);
        }
        Ok(Some(keys))
    }

    /// Seals the head under a new key, which everything new is sealed under from now on.
    async fn begin_new_key(&self, tenant: TenantId) -> Result<(), TeamError> {
        let Some(keys) = self.tenant_keys(tenant).await? else { return Ok(()) };
        let (key, wrapped) = self.new_tenant_key(tenant).await?;
        let now = self.now();
        self.db()
            .write(Sight::Tenant(tenant), Announce::Nothing, move |tx| {
                Box::pin(async move {
                    let Some((row, mut head, _)) = lock(tx, tenant, &keys).await? else {
                        return Ok(());
                    };
                    // Somebody else may have begun just now: then there is a key to go on with.
                    if count_keys(tx, tenant).await? == 1 {
                        insert(tx, tenant, &key.id, wrapped, now).await?;
                        head.begin_key();
                        rows::store_head(tx, tenant, &key, row, &mut head).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn count_left(&self, tenant: TenantId) -> Result<u64, TeamError> {
        self.db()
            .read(Sight::Tenant(tenant), move |tx| {
                Box::pin(async move {
                    match rows::head(tx, tenant).await? {
                        Some(head) => rows::count_under_others(tx, tenant, &head.key_id).await,
                        None => Ok(0),
                    }
                })
            })
            .await
    }

    /// Seals some of what is left under the current key; how many it was.
    async fn reseal_some(&self, tenant: TenantId, keys: Keys) -> Result<u64, TeamError> {
        self.db()
            .write(Sight::Tenant(tenant), Announce::Nothing, move |tx| {
                Box::pin(async move {
                    let Some((row, mut head, key)) = lock(tx, tenant, &keys).await? else {
                        return Ok(0);
                    };
                    let left = rows::under_others(tx, tenant, &key.id, BATCH).await?;
                    let count = left.len() as u64;
                    for (old, sealed) in left {
                        let damaged = || TeamError::damaged("a credential");
                        let old_key = keys.get(&old.key_id).ok_or_else(damaged)?;
                        let values = unseal(&old_key.key, &rows::place(&tenant, &old), &sealed)
                            .map_err(|_| damaged())?;
                        let new = Credential { key_id: key.id.clone(), ..old.clone() };
                        head.count_seal()?;
                        let sealed = seal(&key.key, &rows::place(&tenant, &new), &values)?;
                        head.replace(Some(&old), Some(&new));
                        rows::put(tx, tenant, &new, sealed).await?;
                    }
                    if count > 0 {
                        rows::store_head(tx, tenant, &key, row, &mut head).await?;
                    }
                    Ok(count)
                })
            })
            .await
    }

    /// Destroys the keys under which nothing is left, and gives the head a new key for its sum: the
    /// one that it had could be read with the old keys.
    async fn end_old_keys(&self, tenant: TenantId, keys: Keys) -> Result<(), TeamError> {
        self.db()
            .write(Sight::Tenant(tenant), Announce::Nothing, move |tx| {
                Box::pin(async move {
                    let Some((row, head, key)) = lock(tx, tenant, &keys).await? else {
                        return Ok(());
                    };
                    if rows::count_under_others(tx, tenant, &key.id).await? > 0 {
                        return Ok(());
                    }
                    let all = rows::head_and_all(tx, tenant).await?;
                    let all = all.map(|(_, all)| all).unwrap_or_default();
                    if !head.covers(all.iter()) {
                        let what = "a credential was changed, removed or taken back";
                        return Err(TeamError::damaged(what));
                    }
                    let mut next = Head::new(head.seals())?;
                    for row in &all {
                        next.replace(None, Some(row));
                    }
                    let sql = "DELETE FROM tenant_keys WHERE tenant_id = $1 AND id <> $2";
                    tx.execute(sql, vec![tenant.into(), key.id.as_str().into()]).await?;
                    rows::store_head(tx, tenant, &key, row, &mut next).await
                })
            })
            .await
    }
}

/// Takes the head, under whichever of `keys` it is sealed.
async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &Keys,
) -> Result<Option<(rows::HeadRow, Head, Arc<TenantKey>)>, TeamError> {
    for key in keys.values() {
        if let Some((row, head)) = rows::lock_head(tx, tenant, key).await? {
            return Ok(Some((row, head, Arc::clone(key))));
        }
    }
    Ok(None)
}

async fn count_keys(tx: &mut Tx, tenant: TenantId) -> Result<u64, TeamError> {
    let sql = "SELECT count(*) FROM tenant_keys WHERE tenant_id = $1";
    rows::count(tx.first(sql, vec![tenant.into()]).await?.as_ref())
}
