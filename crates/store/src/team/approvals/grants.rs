//! The rows of `tenant_grants`, and the tags that make them count.
//!
//! The tag follows from the installation's secret: a grant stands when the tenant's key is rotated.

use std::time::SystemTime;

use strongroom_model::approval::{Grant, Scope};
use strongroom_model::team::TenantId;
use subtle::ConstantTimeEq as _;

use super::super::database::{Row, Tx, micros};
use super::super::{Team, TeamError};
use super::SKEW;
use crate::approvals::grant_of;

/// Whose grants, and how they are tagged.
#[derive(Clone)]
pub(super) struct Tags {
    pub(super) team: Team,
    pub(super) tenant: TenantId,
}

macro_rules! grants {
    ($end:literal) => {
        concat!(
            "SELECT id, principal, service, rule, class, revision, method, created_at, lapses_at, \
             tag FROM tenant_grants WHERE tenant_id = $1",
            $end
        )
    };
}

impl Tags {
    fn tag(&self, grant: &Grant) -> [u8; 32] {
        let scope = &grant.scope;
        self.team.inner.secrets.approvals.tag(&[
            b"grant",
            self.tenant.as_str().as_bytes(),
            grant.id.as_bytes(),
            scope.principal.as_str().as_bytes(),
            scope.service.as_str().as_bytes(),
            scope.rule.as_bytes(),
            scope.class.as_str().as_bytes(),
            &scope.revision.to_be_bytes(),
            grant.by.as_str().as_bytes(),
            &micros(grant.created).to_be_bytes(),
            &micros(grant.lapses).to_be_bytes(),
        ])
    }

    /// The grant of a row, where it is as we wrote it.
    fn read(&self, row: &Row) -> Result<Option<Grant>, TeamError> {
        let texts = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(6)?];
        let grant = grant_of(texts, row.get(5)?, row.get(7)?, row.get(8)?);
        let tag: Vec<u8> = row.get(9)?;
        Ok(grant.filter(|grant| bool::from(tag.ct_eq(&self.tag(grant)))))
    }
}

/// Keeps a grant, and forgets those that are over.
pub(super) async fn put(
    tx: &mut Tx,
    tags: &Tags,
    grant: &Grant,
    now: SystemTime,
) -> Result<(), TeamError> {
    let sql = "DELETE FROM tenant_grants WHERE tenant_id = $1 AND lapses_at <= $2";
    tx.execute(sql, vec![tags.tenant.into(), now.into()]).await?;
    let scope = &grant.scope;
    let values = vec![
        tags.tenant.into(),
        grant.id.as_str().into(),
        scope.principal.as_str().into(),
        scope.service.as_str().into(),
        scope.rule.as_str().into(),
        scope.class.as_str().into(),
        scope.revision.cast_signed().into(),
        grant.by.as_str().into(),
        grant.created.into(),
        grant.lapses.into(),
        tags.tag(grant).to_vec().into(),
    ];
    tx.execute(
        "INSERT INTO tenant_grants (tenant_id, id, principal, service, rule, class, revision, \
         method, created_at, lapses_at, tag) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        values,
    )
    .await
    .map(drop)
}

/// How many have not lapsed.
pub(super) async fn count(
    tx: &mut Tx,
    tenant: TenantId,
    now: SystemTime,
) -> Result<i64, TeamError> {
    let sql = "SELECT count(*) FROM tenant_grants WHERE tenant_id = $1 AND lapses_at > $2";
    let row = tx.first(sql, vec![tenant.into(), now.into()]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// The timed grant that covers `scope` at `now`.
pub(super) async fn covering(
    tx: &mut Tx,
    tags: &Tags,
    scope: &Scope,
    now: SystemTime,
) -> Result<Option<Grant>, TeamError> {
    let sql = grants!(
        " AND principal = $2 AND service = $3 AND class = $4 AND revision = $5 AND rule = $6 \
         AND lapses_at > $7 AND id LIKE 'g-%' ORDER BY lapses_at DESC LIMIT 8"
    );
    let values = vec![
        tags.tenant.into(),
        scope.principal.as_str().into(),
        scope.service.as_str().into(),
        scope.class.as_str().into(),
        scope.revision.cast_signed().into(),
        scope.rule.as_str().into(),
        now.into(),
    ];
    let found = genuine(&tx.query(sql, values).await?, tags, now)?;
    Ok(found.into_iter().next())
}

/// The grant `id`, whether or not it stands.
pub(super) async fn by_id(tx: &mut Tx, tags: &Tags, id: &str) -> Result<Option<Grant>, TeamError> {
    let row = tx.first(grants!(" AND id = $2"), vec![tags.tenant.into(), id.into()]).await?;
    Ok(row.map(|row| tags.read(&row)).transpose()?.flatten())
}

/// What stands of `principal` at `now`.
pub(super) async fn of(
    tx: &mut Tx,
    tags: &Tags,
    principal: &str,
    now: SystemTime,
) -> Result<Vec<Grant>, TeamError> {
    let sql = grants!(" AND principal = $2 AND lapses_at > $3 ORDER BY lapses_at LIMIT 100");
    let values = vec![tags.tenant.into(), principal.into(), now.into()];
    genuine(&tx.query(sql, values).await?, tags, now)
}

/// What stands at `now`.
pub(super) async fn all(
    tx: &mut Tx,
    tags: &Tags,
    now: SystemTime,
) -> Result<Vec<Grant>, TeamError> {
    let sql = grants!(" AND lapses_at > $2 ORDER BY principal, lapses_at, id");
    genuine(&tx.query(sql, vec![tags.tenant.into(), now.into()]).await?, tags, now)
}

/// Whether it stands at `now`, by the clock of this node.
pub(super) fn stands(grant: &Grant, now: SystemTime) -> bool {
    grant.created <= now + SKEW && now < grant.lapses
}

fn genuine(rows: &[Row], tags: &Tags, now: SystemTime) -> Result<Vec<Grant>, TeamError> {
    let mut grants = Vec::new();
    for row in rows {
        grants.extend(tags.read(row)?.filter(|grant| stands(grant, now)));
    }
    Ok(grants)
}
