//! The rows of credentials and heads, as the database has them.

use strongroom_model::team::{CredentialId, TenantId};
use strongroom_seal::Place;
use strongroom_seal::envelope::FORMAT;

use super::head::Head;
use super::keys::TenantKey;
use super::{Credential, Which};
use crate::team::TeamError;
use crate::team::database::{Row, Tx};

/// A row of `tenant_heads`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::team) struct HeadRow {
    /// The tenant's current key.
    pub(in crate::team) key_id: String,
    /// Grows with every change of the tenant's credentials.
    pub(in crate::team) generation: i64,
    pub(in crate::team) sealed: Vec<u8>,
}

/// Which credential is meant, for a transaction.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Id(CredentialId),
    Named(String, String),
}

/// A credential and its sealed values.
pub(in crate::team) type Sealed = (Credential, Vec<u8>);

impl From<Which<'_>> for Found {
    fn from(which: Which<'_>) -> Self {
        match which {
            Which::Id(id) => Self::Id(id),
            Which::Named { service, credential_type } => {
                Self::Named(service.to_owned(), credential_type.to_owned())
            }
        }
    }
}

// One statement is one state of the database; on Postgres two need not be.
macro_rules! head_and {
    ($columns:literal, $on:literal) => {
        concat!(
            "SELECT h.key_id, h.generation, h.head, c.id, c.service, c.credential_type, \
             c.version, c.encryption_key_id, c.created_at, c.updated_at, c.last_used_at",
            $columns,
            " FROM tenant_heads h LEFT JOIN tenant_credentials c \
             ON c.tenant_id = h.tenant_id",
            $on,
            " WHERE h.tenant_id = $1"
        )
    };
}

macro_rules! credentials {
    ($end:literal) => {
        concat!(
            "SELECT id, service, credential_type, version, encryption_key_id, created_at, \
             updated_at, last_used_at, encrypted_credentials FROM tenant_credentials \
             WHERE tenant_id = $1",
            $end
        )
    };
}

const WITH_ID: &str = head_and!(", c.encrypted_credentials", " AND c.id = $2");
const WITH_NAME: &str =
    head_and!(", c.encrypted_credentials", " AND c.service = $2 AND c.credential_type = $3");
const WITH_ALL: &str = head_and!("", "");
const HEAD: &str = "SELECT key_id, generation, head FROM tenant_heads WHERE tenant_id = $1";
const HEAD_LOCKED: &str =
    "SELECT key_id, generation, head FROM tenant_heads WHERE tenant_id = $1 FOR UPDATE";

/// Where a credential's values belong (CR-04): whoever swaps rows opens nothing.
pub(in crate::team) fn place<'a>(tenant: &'a TenantId, row: &'a Credential) -> Place<'a> {
    Place {
        app: "strongroom",
        format: FORMAT,
        key_id: &row.key_id,
        tenant: tenant.as_str(),
        row: row.id.as_str(),
        service: &row.service,
        kind: &row.credential_type,
        version: row.version,
    }
}

/// The head, if there is one. Credentials without a head are damage.
pub(in crate::team) async fn head(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<Option<HeadRow>, TeamError> {
    let row = tx.first(HEAD, vec![tenant.into()]).await?;
    or_nothing(tx, tenant, row.as_ref().map(head_of).transpose()?).await
}

/// The head and one credential of the same state.
pub(super) async fn head_and_one(
    tx: &mut Tx,
    tenant: TenantId,
    which: Found,
) -> Result<Option<(HeadRow, Option<Sealed>)>, TeamError> {
    let row = match which {
        Found::Id(id) => tx.first(WITH_ID, vec![tenant.into(), id.into()]).await?,
        Found::Named(service, credential_type) => {
            let values = vec![tenant.into(), service.into(), credential_type.into()];
            tx.first(WITH_NAME, values).await?
        }
    };
    let found = match &row {
        None => None,
        Some(row) if row.get::<Option<CredentialId>>(3)?.is_none() => Some((head_of(row)?, None)),
        Some(row) => Some((head_of(row)?, Some((credential(row, 3)?, row.get(11)?)))),
    };
    or_nothing(tx, tenant, found).await
}

/// The head and all credentials of the same state, without their values.
pub(in crate::team) async fn head_and_all(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<Option<(HeadRow, Vec<Credential>)>, TeamError> {
    let rows = tx.query(WITH_ALL, vec![tenant.into()]).await?;
    let head = rows.first().map(head_of).transpose()?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.get::<Option<CredentialId>>(3)?.is_some() {
            all.push(credential(row, 3)?);
        }
    }
    or_nothing(tx, tenant, head.map(|head| (head, all))).await
}

/// Takes the tenant's head for this transaction: others that change its credentials wait. `None`:
/// there is none, or it is sealed under another key than `key`.
pub(in crate::team) async fn lock_head(
    tx: &mut Tx,
    tenant: TenantId,
    key: &TenantKey,
) -> Result<Option<(HeadRow, Head)>, TeamError> {
    let row = tx.first(tx.either(HEAD, HEAD_LOCKED), vec![tenant.into()]).await?;
    let Some(row) = row.as_ref().map(head_of).transpose()? else { return Ok(None) };
    if row.key_id != key.id {
        return Ok(None);
    }
    let head = Head::open(key, &tenant, &row)?;
    Ok(Some((row, head)))
}

/// Seals the next head in the place of `row`, which this transaction has taken.
pub(in crate::team) async fn store_head(
    tx: &mut Tx,
    tenant: TenantId,
    key: &TenantKey,
    row: HeadRow,
    head: &mut Head,
) -> Result<(), TeamError> {
    let mut next =
        HeadRow { key_id: key.id.clone(), generation: row.generation + 1, sealed: Vec::new() };
    next.sealed = head.seal(key, &tenant, &next)?;
    let sql = "UPDATE tenant_heads SET key_id = $2, generation = $3, head = $4 \
               WHERE tenant_id = $1";
    let values =
        vec![tenant.into(), next.key_id.into(), next.generation.into(), next.sealed.into()];
    match tx.execute(sql, values).await? {
        1 => Ok(()),
        _ => Err(TeamError::damaged("the head of a tenant's credentials cannot be found")),
    }
}

/// One credential.
pub(super) async fn one(
    tx: &mut Tx,
    tenant: TenantId,
    which: Found,
) -> Result<Option<Sealed>, TeamError> {
    let row = match which {
        Found::Id(id) => {
            tx.first(credentials!(" AND id = $2"), vec![tenant.into(), id.into()]).await?
        }
        Found::Named(service, credential_type) => {
            let values = vec![tenant.into(), service.into(), credential_type.into()];
            tx.first(credentials!(" AND service = $2 AND credential_type = $3"), values).await?
        }
    };
    row.as_ref().map(|row| Ok((credential(row, 0)?, row.get(8)?))).transpose()
}

/// Some of the credentials that are sealed under another key than the one of this id.
pub(in crate::team) async fn under_others(
    tx: &mut Tx,
    tenant: TenantId,
    key_id: &str,
    most: i64,
) -> Result<Vec<Sealed>, TeamError> {
    let sql = credentials!(" AND encryption_key_id <> $2 ORDER BY encryption_key_id, id LIMIT $3");
    let rows = tx.query(sql, vec![tenant.into(), key_id.into(), most.into()]).await?;
    rows.iter().map(|row| Ok((credential(row, 0)?, row.get(8)?))).collect()
}

/// How many there are of those.
pub(in crate::team) async fn count_under_others(
    tx: &mut Tx,
    tenant: TenantId,
    key_id: &str,
) -> Result<u64, TeamError> {
    let sql = "SELECT count(*) FROM tenant_credentials \
               WHERE tenant_id = $1 AND encryption_key_id <> $2";
    let row = tx.first(sql, vec![tenant.into(), key_id.into()]).await?;
    count(row.as_ref())
}

/// Puts a credential into its row, which is made where it is missing.
pub(in crate::team) async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    row: &Credential,
    sealed: Vec<u8>,
) -> Result<(), TeamError> {
    let version = i64::try_from(row.version).map_err(|_| TeamError::Exhausted)?;
    let values = vec![
        tenant.into(),
        row.id.into(),
        row.service.as_str().into(),
        row.credential_type.as_str().into(),
        sealed.into(),
        row.key_id.as_str().into(),
        row.created_at.into(),
        row.updated_at.into(),
        version.into(),
    ];
    tx.execute(
        "INSERT INTO tenant_credentials (tenant_id, id, service, credential_type, \
         encrypted_credentials, encryption_key_id, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant_id, id) DO UPDATE SET \
         encrypted_credentials = $5, encryption_key_id = $6, updated_at = $8, version = $9",
        values,
    )
    .await
    .map(|_| ())
}

pub(super) async fn delete(
    tx: &mut Tx,
    tenant: TenantId,
    id: CredentialId,
) -> Result<(), TeamError> {
    let sql = "DELETE FROM tenant_credentials WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![tenant.into(), id.into()]).await.map(|_| ())
}

/// Without a head there is nothing else either.
async fn or_nothing<T>(
    tx: &mut Tx,
    tenant: TenantId,
    found: Option<T>,
) -> Result<Option<T>, TeamError> {
    if found.is_none() {
        // One may have come since, with credentials.
        let sql = "SELECT count(*) FROM tenant_credentials WHERE tenant_id = $1 \
                   AND NOT EXISTS (SELECT 1 FROM tenant_heads WHERE tenant_id = $1)";
        if count(tx.first(sql, vec![tenant.into()]).await?.as_ref())? > 0 {
            return Err(TeamError::damaged("a tenant has credentials and no head"));
        }
    }
    Ok(found)
}

pub(in crate::team) fn count(row: Option<&Row>) -> Result<u64, TeamError> {
    let count = row.map_or(Ok(0), |row| row.get::<i64>(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

fn head_of(row: &Row) -> Result<HeadRow, TeamError> {
    Ok(HeadRow { key_id: row.get(0)?, generation: row.get(1)?, sealed: row.get(2)? })
}

fn credential(row: &Row, from: usize) -> Result<Credential, TeamError> {
    Ok(Credential {
        id: row.get(from)?,
        service: row.get(from + 1)?,
        credential_type: row.get(from + 2)?,
        version: u64::try_from(row.get::<i64>(from + 3)?)
            .map_err(|_| TeamError::damaged("the version of a credential"))?,
        key_id: row.get(from + 4)?,
        created_at: row.get(from + 5)?,
        updated_at: row.get(from + 6)?,
        last_used_at: row.get(from + 7)?,
    })
}
