//! Organizations and tenants.

use strongroom_model::team::{Organization, OrganizationId, Tenant, TenantId, check_name};

use super::database::{Announce, Row, Sight};
use super::{Team, TeamError, new_id};

const ORGANIZATIONS: &str =
    "SELECT id, name, created_at FROM organizations ORDER BY created_at, id";
const TENANTS: &str = "SELECT id, organization_id, name, enabled, created_at FROM tenants \
                       WHERE organization_id = $1 ORDER BY created_at, id";
const TENANTS_NAMED: &str = "SELECT id, organization_id, name, enabled, created_at FROM tenants \
                             WHERE name = $1 ORDER BY created_at, id";
const TENANT: &str =
    "SELECT id, organization_id, name, enabled, created_at FROM tenants WHERE id = $1";

const DELETE_KERNELS: [&str; 2] = ["DELETE FROM kernel_keys WHERE organization_id = $1"; 2];
const DISABLE_SOME: [&str; 2] = [
    "UPDATE tenants SET enabled = 0 WHERE id IN (SELECT id FROM tenants \
     WHERE organization_id = $1 AND enabled = 1 LIMIT 5000)",
    "UPDATE tenants SET enabled = false WHERE id IN (SELECT id FROM tenants \
     WHERE organization_id = $1 AND enabled LIMIT 5000)",
];
/// Each has at most what [`Caps`](super::Caps) allow, so that this many are deleted in time.
const DELETE_SOME: [&str; 2] = ["DELETE FROM tenants WHERE id IN (SELECT id FROM tenants \
     WHERE organization_id = $1 LIMIT 100)"; 2];
const DELETE_ORGANIZATION: [&str; 2] = ["DELETE FROM organizations WHERE id = $1"; 2];

impl Team {
    /// Makes an organization; its name is unique.
    pub async fn create_organization(&self, name: &str) -> Result<Organization, TeamError> {
        check_name(name)?;
        let id = new_id(OrganizationId::from_random)?;
        let made = Organization { id, name: name.to_owned(), created: self.now() };
        let row = made.clone();
        self.db()
            .write(Sight::Installation, Announce::Nothing, move |tx| {
                Box::pin(async move {
                    tx.execute(
                        "INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)",
                        vec![row.id.into(), row.name.into(), row.created.into()],
                    )
                    .await
                })
            })
            .await?;
        Ok(made)
    }

    /// The organizations, the oldest first.
    pub async fn organizations(&self) -> Result<Vec<Organization>, TeamError> {
        self.db()
            .read(Sight::Installation, |tx| {
                Box::pin(async move {
                    let rows = tx.query(ORGANIZATIONS, Vec::new()).await?;
                    rows.iter().map(organization).collect()
                })
            })
            .await
    }

    /// Deletes an organization with all its tenants and kernel keys; says whether it was there. Its
    /// callers are refused first; tenants go some at a time, because a large organization takes longer
    /// than one transaction may. Where this ends on the way, what is left is refused and can be
    /// deleted again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves an organization whose callers are refused, with some of its tenants.
    pub async fn delete_organization(&self, id: &OrganizationId) -> Result<bool, TeamError> {
        let id = *id;
        self.installation_write(DELETE_KERNELS, id).await?;
        for sql in [DISABLE_SOME, DELETE_SOME] {
            while self.installation_write(sql, id).await? > 0 {}
        }
        let deleted = self.installation_write(DELETE_ORGANIZATION, id).await? == 1;
        self.memory().forget_all();
        Ok(deleted)
    }

    /// Runs a statement on one organization; how many rows it touched.
    async fn installation_write(
        &self,
        sql: [&'static str; 2],
        id: OrganizationId,
    ) -> Result<u64, TeamError> {
        self.db()
            .write(Sight::Installation, Announce::All, move |tx| {
                let sql = tx.either(sql[0], sql[1]);
                Box::pin(async move { tx.execute(sql, vec![id.into()]).await })
            })
            .await
    }

    /// Makes a tenant of an organization, in which its name is unique.
    pub async fn create_tenant(
        &self,
        organization: &OrganizationId,
        name: &str,
    ) -> Result<Tenant, TeamError> {
        check_name(name)?;
        let made = Tenant {
            id: new_id(TenantId::from_random)?,
            organization: *organization,
            name: name.to_owned(),
            enabled: true,
            created: self.now(),
        };
        let row = made.clone();
        self.db()
            .write(Sight::Installation, Announce::Tenant(made.id), move |tx| {
                Box::pin(async move {
                    tx.execute(
                        "INSERT INTO tenants (id, organization_id, name, enabled, created_at) \
                         VALUES ($1, $2, $3, $4, $5)",
                        vec![
                            row.id.into(),
                            row.organization.into(),
                            row.name.into(),
                            row.enabled.into(),
                            row.created.into(),
                        ],
                    )
                    .await
                })
            })
            .await?;
        Ok(made)
    }

    /// The tenants of an organization, the oldest first.
    pub async fn tenants(&self, organization: &OrganizationId) -> Result<Vec<Tenant>, TeamError> {
        let organization = *organization;
        self.db()
            .read(Sight::Installation, move |tx| {
                Box::pin(async move {
                    let rows = tx.query(TENANTS, vec![organization.into()]).await?;
                    rows.iter().map(tenant).collect()
                })
            })
            .await
    }

    /// The tenants of this name, of which each organization has at most one.
    pub async fn tenants_named(&self, name: &str) -> Result<Vec<Tenant>, TeamError> {
        let name = name.to_owned();
        self.db()
            .read(Sight::Installation, move |tx| {
                Box::pin(async move {
                    let rows = tx.query(TENANTS_NAMED, vec![name.into()]).await?;
                    rows.iter().map(tenant).collect()
                })
            })
            .await
    }

    /// One tenant.
    pub async fn find_tenant(&self, id: &TenantId) -> Result<Option<Tenant>, TeamError> {
        let id = *id;
        self.db()
            .read(Sight::Installation, move |tx| {
                Box::pin(async move {
                    tx.first(TENANT, vec![id.into()]).await?.as_ref().map(tenant).transpose()
                })
            })
            .await
    }

    /// Lets a tenant's callers in, or refuses them all; says whether there is such a tenant.
    pub async fn enable_tenant(&self, id: &TenantId, enabled: bool) -> Result<bool, TeamError> {
        let id = *id;
        self.db()
            .write(Sight::Installation, Announce::Tenant(id), move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE tenants SET enabled = $2 WHERE id = $1";
                    Ok(tx.execute(sql, vec![id.into(), enabled.into()]).await? == 1)
                })
            })
            .await
    }

    /// Deletes a tenant and all that belongs to it, its key first of all: what was sealed under that
    /// opens nowhere again. The audit stays. Says whether there was such a tenant.
    pub async fn delete_tenant(&self, id: &TenantId) -> Result<bool, TeamError> {
        let id = *id;
        let deleted = self
            .db()
            .write(Sight::Installation, Announce::Tenant(id), move |tx| {
                Box::pin(async move {
                    let sql = "DELETE FROM tenants WHERE id = $1";
                    Ok(tx.execute(sql, vec![id.into()]).await? == 1)
                })
            })
            .await?;
        self.memory().forget(&id);
        Ok(deleted)
    }
}

fn organization(row: &Row) -> Result<Organization, TeamError> {
    Ok(Organization { id: row.get(0)?, name: row.get(1)?, created: row.get(2)? })
}

fn tenant(row: &Row) -> Result<Tenant, TeamError> {
    Ok(Tenant {
        id: row.get(0)?,
        organization: row.get(1)?,
        name: row.get(2)?,
        enabled: row.get(3)?,
        created: row.get(4)?,
    })
}
