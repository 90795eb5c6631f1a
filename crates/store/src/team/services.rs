//! The HTTP services of a tenant. What a definition means is not known here.

use std::time::SystemTime;

use serde_json::Value as Json;
use strongroom_model::team::{FieldError, ServiceId, is_label};

use super::caps::Counted;
use super::database::Row;
use super::{TeamError, TenantStore, new_id};

/// A service of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantService {
    /// Its row.
    pub id: ServiceId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// What was given, as it was given.
    pub definition: Json,
    /// Grows with every change.
    pub revision: u64,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it was last changed.
    pub updated_at: SystemTime,
}

impl TenantService {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        300 + self.name.len() + weight(&self.definition)
    }
}

fn weight(json: &Json) -> usize {
    let inner = match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(all) => all.iter().map(weight).sum(),
        Json::Object(all) => all.iter().map(|(name, value)| 64 + name.len() + weight(value)).sum(),
    };
    inner + 48
}

/// Bytes of a definition as JSON.
const LARGEST: usize = 64 * 1024;

const ALL: &str = "SELECT id, name, definition, revision, created_at, updated_at \
                   FROM tenant_services WHERE tenant_id = $1 ORDER BY created_at, id";
const ONE: &str = "SELECT id, name, definition, revision, created_at, updated_at \
                   FROM tenant_services WHERE tenant_id = $1 AND name = $2";

impl TenantStore<'_> {
    /// Stores a service, in the place of what had its name.
    pub async fn put_service(
        &self,
        name: &str,
        definition: &Json,
    ) -> Result<TenantService, TeamError> {
        if !is_label(name) {
            return Err(FieldError::new("name", "has 1 to 64 letters, digits and `-`").into());
        }
        let definition = definition.to_string();
        if definition.len() > LARGEST {
            return Err(FieldError::new("definition", "has at most 64 KiB").into());
        }
        let (tenant, id, now) = (self.tenant(), new_id(ServiceId::from_random)?, self.team.now());
        let name = name.to_owned();
        self.add(Counted::Services, move |tx| {
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO tenant_services (tenant_id, id, name, definition, revision, \
                     created_at, updated_at) VALUES ($1, $2, $3, $4, 1, $5, $5) \
                     ON CONFLICT (tenant_id, name) DO UPDATE SET definition = $4, updated_at = $5, \
                     revision = tenant_services.revision + 1",
                    vec![
                        tenant.into(),
                        id.into(),
                        name.clone().into(),
                        definition.into(),
                        now.into(),
                    ],
                )
                .await?;
                let row = tx.first(ONE, vec![tenant.into(), name.into()]).await?;
                service(&row.ok_or(TeamError::NotFound)?)
            })
        })
        .await
    }

    /// The services, the oldest first.
    pub async fn services(&self) -> Result<Vec<TenantService>, TeamError> {
        let tenant = self.tenant();
        let load = self.read(move |tx| {
            Box::pin(async move {
                let rows = tx.query(ALL, vec![tenant.into()]).await?;
                rows.iter().map(service).collect()
            })
        });
        let kept = self.team.inner.kept.services.get(tenant, |_| Some(tenant), load).await?;
        Ok(kept.to_vec())
    }

    /// Deletes a service; says whether the tenant had it.
    pub async fn delete_service(&self, name: &str) -> Result<bool, TeamError> {
        let (tenant, name) = (self.tenant(), name.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM tenant_services WHERE tenant_id = $1 AND name = $2";
                Ok(tx.execute(sql, vec![tenant.into(), name.into()]).await? == 1)
            })
        })
        .await
    }
}

fn service(row: &Row) -> Result<TenantService, TeamError> {
    let definition: String = row.get(2)?;
    Ok(TenantService {
        id: row.get(0)?,
        name: row.get(1)?,
        definition: serde_json::from_str(&definition)
            .map_err(|_| TeamError::damaged("the definition of a service"))?,
        revision: u64::try_from(row.get::<i64>(3)?).unwrap_or_default(),
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
    })
}
