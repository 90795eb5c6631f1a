//! The rotation of KEKs: what earlier ones wrapped is wrapped anew under the current one.
//!
//! It goes on while everybody works: a key is read under the KEK that its row names, and each row is
//! changed by itself. Killed anywhere, it goes on with what is left when it is run again.

use std::collections::BTreeMap;

use strongroom_model::audit::{AuditSink as _, Draft, Kind};
use strongroom_model::team::{Actor, TenantCtx, TenantId};
use strongroom_seal::Wrapped;

use super::credentials::keys::not_retired;
use super::credentials::rows::count;
use super::database::{Announce, Row, Sight, Tx, Value};
use super::{Team, TeamError, installation};

/// How far a rotation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What has been done by this run.
    pub done: u64,
    /// What was to be done when it began.
    pub total: u64,
}

/// What is wrapped under a KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekUse {
    /// The KEK.
    pub id: String,
    /// How many keys are wrapped under it: those of tenants, and the installation's own.
    pub keys: u64,
    /// Whether this process can unwrap them.
    pub available: bool,
    /// Whether it is the one that wraps.
    pub current: bool,
    /// Whether it has been retired.
    pub retired: bool,
}

/// Tenants that are looked up at once.
const PAGE: i64 = 256;

impl Team {
    /// Wraps everything that is not under the current KEK under that one; says how many keys it was.
    /// `report` is told after each.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves every key readable under the KEK that its row names.
    pub async fn rotate_kek(
        &self,
        mut report: impl FnMut(Progress) + Send,
    ) -> Result<u64, TeamError> {
        let current = self.keks().current();
        let uses = self.kek_uses().await?;
        // What cannot be unwrapped is said before anything is changed.
        if let Some(kek) = uses.iter().find(|kek| !kek.available && kek.keys > 0) {
            let (needed, offered) = (kek.id.clone(), current.clone());
            return Err(TeamError::Kek(strongroom_seal::KekError::Unknown { needed, offered }));
        }
        let old = uses.iter().filter(|kek| kek.id != current);
        let mut progress = Progress { done: 0, total: old.map(|kek| kek.keys).sum() };
        progress.done += u64::from(installation::rewrap(self.db(), self.keks()).await?);
        report(progress);
        let mut after = None;
        loop {
            let page = self.tenants_not_under(&current, after).await?;
            let Some(last) = page.last() else { return Ok(progress.done) };
            after = Some(*last);
            self.record("kek.rotate", &page, &current).await?;
            for tenant in page {
                progress.done += self.rewrap_tenant(tenant, &current).await?;
                report(progress);
            }
        }
    }

    /// Every KEK that is there, that something is wrapped under, or that has been retired.
    pub async fn kek_uses(&self) -> Result<Vec<KekUse>, TeamError> {
        let (mut keys, retired) = self
            .db()
            .read(Sight::Installation, |tx| {
                Box::pin(async move { Ok((by_kek(tx).await?, retired(tx).await?)) })
            })
            .await?;
        let current = self.keks().current();
        for id in self.keks().ids().into_iter().chain(retired.iter().cloned()) {
            keys.entry(id).or_default();
        }
        let uses = keys.into_iter().map(|(id, keys)| KekUse {
            keys,
            available: self.keks().has(&id),
            current: id == current,
            retired: retired.contains(&id),
            id,
        });
        Ok(uses.collect())
    }

    /// Retires a KEK: from here on no process wraps anything under it, also one that has not heard of
    /// a newer one yet. Refused where it is the current one, or anything is left under it.
    pub async fn retire_kek(&self, id: &str) -> Result<(), TeamError> {
        if id == self.keks().current() {
            return Err(TeamError::InUse { kek: id.to_owned(), keys: None });
        }
        let (kek, now) = (id.to_owned(), self.now());
        self.db()
            .write(Sight::Installation, Announce::Nothing, move |tx| {
                Box::pin(async move {
                    // Whoever is wrapping something at this moment is waited for.
                    let sql = tx.either(
                        "SELECT id FROM installation WHERE id = 1",
                        "SELECT id FROM installation WHERE id = 1 FOR UPDATE",
                    );
                    tx.query(sql, Vec::new()).await?;
                    let left = by_kek(tx).await?.get(&kek).copied().unwrap_or_default();
                    if left > 0 {
                        return Err(TeamError::InUse { kek, keys: Some(left) });
                    }
                    let sql = "INSERT INTO retired_keks (kek_id, retired_at) VALUES ($1, $2) \
                               ON CONFLICT (kek_id) DO NOTHING";
                    tx.execute(sql, vec![kek.into(), now.into()]).await.map(|_| ())
                })
            })
            .await
    }

    /// Writes down what is done to these tenants, before it is done.
    pub(super) async fn record(
        &self,
        act: &str,
        tenants: &[TenantId],
        subject: &str,
    ) -> Result<(), TeamError> {
        let mut last = None;
        for tenant in tenants {
            let ctx = TenantCtx { tenant: *tenant, actor: Actor::Operator };
            let sink = self.audit_sink(&ctx);
            let draft = Draft {
                kind: Kind::Admin,
                act: Some(act.to_owned()),
                subject: Some(subject.to_owned()),
                ..Draft::default()
            };
            sink.append(draft).map_err(TeamError::unreachable)?;
            last = Some(sink);
        }
        if let Some(written) = last.as_ref().and_then(|sink| sink.durable()) {
            written.await.map_err(TeamError::unreachable)?;
        }
        Ok(())
    }

    async fn tenants_not_under(
        &self,
        kek: &str,
        after: Option<TenantId>,
    ) -> Result<Vec<TenantId>, TeamError> {
        let kek = kek.to_owned();
        self.db()
            .read(Sight::Installation, move |tx| {
                Box::pin(async move {
                    // On SQLite ids are texts, of which '' is before every other.
                    let sql = tx.either(
                        "SELECT DISTINCT tenant_id FROM tenant_keys \
                         WHERE kek_id <> $1 AND tenant_id > $2 ORDER BY tenant_id LIMIT $3",
                        "SELECT * FROM tenants_by_kek($1, nullif($2, '')::uuid, $3)",
                    );
                    let after = after.map(|id| id.to_string()).unwrap_or_default();
                    let rows = tx.query(sql, vec![kek.into(), after.into(), PAGE.into()]).await?;
                    rows.iter().map(|row| row.get(0)).collect()
                })
            })
            .await
    }

    /// Wraps the tenant's keys anew; how many there were.
    async fn rewrap_tenant(&self, tenant: TenantId, current: &str) -> Result<u64, TeamError> {
        let kek = current.to_owned();
        let old = self
            .db()
            .read(Sight::Tenant(tenant), move |tx| {
                Box::pin(async move {
                    let sql = "SELECT id, kek_id, wrapped FROM tenant_keys \
                               WHERE tenant_id = $1 AND kek_id <> $2";
                    let rows = tx.query(sql, vec![tenant.into(), kek.into()]).await?;
                    rows.iter().map(wrapped).collect::<Result<Vec<_>, _>>()
                })
            })
            .await?;
        let mut done = 0;
        for (id, old) in old {
            let key = self.keks().unwrap(tenant.as_str(), &id, &old).await?;
            let new = self.keks().wrap(tenant.as_str(), &id, &key).await?;
            done += self
                .db()
                .write(Sight::Tenant(tenant), Announce::Nothing, move |tx| {
                    Box::pin(async move {
                        not_retired(tx, &new.kek_id).await?;
                        // Somebody else may have been faster, or the key may be gone.
                        let sql = "UPDATE tenant_keys SET kek_id = $4, wrapped = $5 \
                                   WHERE tenant_id = $1 AND id = $2 AND kek_id = $3";
                        let values: Vec<Value> = vec![
                            tenant.into(),
                            id.into(),
                            old.kek_id.into(),
                            new.kek_id.into(),
                            new.bytes.into(),
                        ];
                        tx.execute(sql, values).await
                    })
                })
                .await?;
        }
        Ok(done)
    }
}

fn wrapped(row: &Row) -> Result<(String, Wrapped), TeamError> {
    Ok((row.get(0)?, Wrapped { kek_id: row.get(1)?, bytes: row.get(2)? }))
}

/// How many keys are under each KEK, the installation's own among them.
async fn by_kek(tx: &mut Tx) -> Result<BTreeMap<String, u64>, TeamError> {
    let sql = tx.either(
        "SELECT count(*), kek_id FROM tenant_keys GROUP BY kek_id",
        "SELECT keys, kek FROM keys_by_kek()",
    );
    let mut keys = BTreeMap::new();
    for row in tx.query(sql, Vec::new()).await? {
        keys.insert(row.get(1)?, count(Some(&row))?);
    }
    let sql = "SELECT kek_id FROM installation WHERE id = 1";
    if let Some(row) = tx.first(sql, Vec::new()).await? {
        *keys.entry(row.get(0)?).or_default() += 1;
    }
    Ok(keys)
}

async fn retired(tx: &mut Tx) -> Result<Vec<String>, TeamError> {
    let rows = tx.query("SELECT kek_id FROM retired_keks", Vec::new()).await?;
    rows.iter().map(|row| row.get(0)).collect()
}
