//! The kill switch of a team: rows, of a tenant or of the operator (decision 17).

use std::time::SystemTime;

use strongroom_model::lock::{Locks, Part};

use super::caps::Counted;
use super::database::{Announce, Row, Sight, micros};
use super::{Team, TeamError, TenantStore};

/// A part that is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamLock {
    /// What, in the words of `strongroom lock`: `everything`, `service NAME`, `server NAME`, ...
    pub part: Part,
    /// Whether the operator locked it for all tenants.
    pub installation: bool,
    /// Since when.
    pub since: SystemTime,
}

const OF_TENANT: &str = "SELECT part, since FROM tenant_locks WHERE tenant_id = $1 ORDER BY part";
const OF_ALL: &str = "SELECT part, since FROM installation_locks ORDER BY part";

impl TenantStore<'_> {
    /// Locks a part of the tenant; says whether it was open.
    pub async fn lock(&self, part: &Part) -> Result<bool, TeamError> {
        let (tenant, part, now) = (self.tenant(), text(part), self.team.now());
        self.add(Counted::Locks, move |tx| {
            Box::pin(async move {
                let sql = "INSERT INTO tenant_locks (tenant_id, part, since) VALUES ($1, $2, $3) \
                           ON CONFLICT DO NOTHING";
                Ok(tx.execute(sql, vec![tenant.into(), part.into(), now.into()]).await? == 1)
            })
        })
        .await
    }

    /// Opens a part of the tenant; says whether the tenant had locked it.
    pub async fn unlock(&self, part: &Part) -> Result<bool, TeamError> {
        let (tenant, part) = (self.tenant(), text(part));
        self.write(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM tenant_locks WHERE tenant_id = $1 AND part = $2";
                Ok(tx.execute(sql, vec![tenant.into(), part.into()]).await? == 1)
            })
        })
        .await
    }

    /// What is locked for the tenant, by itself or by the operator.
    pub async fn locks(&self) -> Result<Vec<TeamLock>, TeamError> {
        let tenant = self.tenant();
        let load = self.read(move |tx| {
            Box::pin(async move {
                let own = tx.query(OF_TENANT, vec![tenant.into()]).await?;
                let all = tx.query(OF_ALL, Vec::new()).await?;
                let own = own.iter().map(|row| lock(row, false));
                own.chain(all.iter().map(|row| lock(row, true))).collect()
            })
        });
        let kept = self.team.inner.kept.locks.get(tenant, |_| Some(tenant), load).await?;
        Ok(kept.to_vec())
    }

    /// What is locked for the tenant, as the decisions on calls and starts want it.
    pub async fn locked(&self) -> Result<Locks, TeamError> {
        let mut locks = Locks::default();
        for TeamLock { part, since, .. } in self.locks().await? {
            locks.add(part, u64::try_from(micros(since)).unwrap_or_default() / 1_000_000);
        }
        Ok(locks)
    }
}

impl Team {
    /// Locks a part for all tenants; says whether it was open.
    pub async fn lock_all(&self, part: &Part) -> Result<bool, TeamError> {
        let (part, now) = (text(part), self.now());
        self.db()
            .write(Sight::Installation, Announce::All, move |tx| {
                Box::pin(async move {
                    let sql = "INSERT INTO installation_locks (part, since) VALUES ($1, $2) \
                               ON CONFLICT DO NOTHING";
                    Ok(tx.execute(sql, vec![part.into(), now.into()]).await? == 1)
                })
            })
            .await
    }

    /// Takes back what [`lock_all`](Self::lock_all) did; says whether there was such a lock.
    pub async fn unlock_all(&self, part: &Part) -> Result<bool, TeamError> {
        let part = text(part);
        self.db()
            .write(Sight::Installation, Announce::All, move |tx| {
                Box::pin(async move {
                    let sql = "DELETE FROM installation_locks WHERE part = $1";
                    Ok(tx.execute(sql, vec![part.into()]).await? == 1)
                })
            })
            .await
    }
}

fn text(part: &Part) -> String {
    match part {
        Part::Everything => "everything".to_owned(),
        Part::Service(name) => format!("service {name}"),
        Part::Principal(name) => format!("principal {name}"),
        Part::Server(name) => format!("server {name}"),
    }
}

/// A part that is none of ours locks everything: a kill switch that breaks is on.
fn lock(row: &Row, installation: bool) -> Result<TeamLock, TeamError> {
    let text: String = row.get(0)?;
    let read = |name: &str| name.parse().ok();
    let part = match text.split_once(' ') {
        Some(("service", name)) => read(name).map(Part::Service),
        Some(("principal", name)) => read(name).map(Part::Principal),
        Some(("server", name)) => read(name).map(Part::Server),
        _ => None,
    };
    Ok(TeamLock { part: part.unwrap_or(Part::Everything), installation, since: row.get(1)? })
}
