//! The rows of `tenant_approvals`.
//!
//! What a row says in the clear is there to be found by. It counts only where it is what stands in the
//! seal, so that whoever can write rows can take answers away and never give one.

use std::time::SystemTime;

use strongroom_model::approval::{Entry, Question, State};
use strongroom_model::team::TenantId;

use super::super::database::{Row, Tx, Value, micros};
use super::super::{Team, TeamError};
use super::keys::Keys;
use super::record::Record;
use super::{KEPT, MOST_KEPT};

/// A row that is as we wrote it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) key_id: String,
    pub(super) digest: Vec<u8>,
    pub(super) version: u64,
    pub(super) record: Record,
}

/// A row in a list, with its place there.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) opened: i64,
    /// `None`: it is not as we wrote it.
    pub(super) stored: Option<Stored>,
}

/// Rows that are closed at once.
const BATCH: i64 = 256;

macro_rules! approvals {
    ($end:literal) => {
        concat!(
            "SELECT id, key_id, principal, digest, access, state, version, opened_at, changed_at, \
             expires_at, sealed FROM tenant_approvals WHERE tenant_id = $1",
            $end
        )
    };
}

impl Stored {
    /// What became of it, as it stands at `now`.
    pub(super) fn state(&self, now: SystemTime) -> State {
        self.record.state(now).unwrap_or(State::Expired)
    }

    /// The question, as it stands at `now`.
    pub(super) fn entry(&self, now: SystemTime) -> Entry {
        self.record.entry(&self.id, now)
    }

    fn read(row: &Row, tenant: TenantId, keys: &Keys) -> Result<Option<Self>, TeamError> {
        let (id, key_id): (String, String) = (row.get(0)?, row.get(1)?);
        let (principal, digest): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let (access, state): (bool, String) = (row.get(4)?, row.get(5)?);
        let times: [SystemTime; 3] = [row.get(7)?, row.get(8)?, row.get(9)?];
        let (version, sealed): (i64, Vec<u8>) = (row.get(6)?, row.get(10)?);
        let version = u64::try_from(version).unwrap_or_default();
        let Some(text) = keys.open(tenant, (&id, &key_id, version), &sealed) else {
            return Ok(None);
        };
        let Ok(record) = serde_json::from_slice::<Record>(text.expose()) else { return Ok(None) };
        let question = &record.question;
        let same = question.principal.as_str() == principal
            && question.access == access
            && record.state == state
            && [record.opened, record.changed, record.expires] == times.map(micros);
        Ok(same.then_some(Self { id, key_id, digest, version, record }))
    }

    fn sealed(&self, tenant: TenantId, keys: &Keys) -> Result<Vec<u8>, TeamError> {
        let text = serde_json::to_vec(&self.record)
            .map_err(|_| TeamError::damaged("a question cannot be written"))?;
        keys.seal(tenant, (&self.id, &self.key_id, self.version), text)
    }
}

impl Team {
    /// What a question is found by when it is asked again.
    pub(super) fn approval_digest(&self, tenant: TenantId, question: &Question) -> Vec<u8> {
        let digest = question.digest().bytes();
        let parts: [&[u8]; 3] = [b"question", tenant.as_str().as_bytes(), digest];
        self.inner.secrets.approvals.tag(&parts).to_vec()
    }
}

/// Adds a row.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &Keys,
    stored: &Stored,
) -> Result<(), TeamError> {
    let record = &stored.record;
    let values = vec![
        tenant.into(),
        stored.id.as_str().into(),
        stored.key_id.as_str().into(),
        record.question.principal.as_str().into(),
        stored.digest.clone().into(),
        record.question.access.into(),
        record.state.as_str().into(),
        version(stored)?.into(),
        Value::Time(Some(record.opened)),
        Value::Time(Some(record.changed)),
        Value::Time(Some(record.expires)),
        stored.sealed(tenant, keys)?.into(),
    ];
    tx.execute(
        "INSERT INTO tenant_approvals (tenant_id, id, key_id, principal, digest, access, state, \
         version, opened_at, changed_at, expires_at, sealed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        values,
    )
    .await
    .map(drop)
}

/// Writes the next version of a row; says whether nobody was faster.
pub(super) async fn replace(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &Keys,
    stored: &mut Stored,
) -> Result<bool, TeamError> {
    let old = version(stored)?;
    stored.version += 1;
    let values = vec![
        tenant.into(),
        stored.id.as_str().into(),
        old.into(),
        version(stored)?.into(),
        stored.record.state.as_str().into(),
        Value::Time(Some(stored.record.changed)),
        Value::Time(Some(stored.record.expires)),
        stored.sealed(tenant, keys)?.into(),
    ];
    let sql = "UPDATE tenant_approvals SET version = $4, state = $5, changed_at = $6, \
               expires_at = $7, sealed = $8 WHERE tenant_id = $1 AND id = $2 AND version = $3";
    Ok(tx.execute(sql, values).await? == 1)
}

/// The row `id`.
pub(super) async fn by_id(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &Keys,
    id: &str,
) -> Result<Option<Stored>, TeamError> {
    let row = tx.first(approvals!(" AND id = $2"), vec![tenant.into(), id.into()]).await?;
    Ok(row.map(|row| Stored::read(&row, tenant, keys)).transpose()?.flatten())
}

/// The rows of the very same question, the newest first.
pub(super) async fn by_digest(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &Keys,
    question: &Question,
    digest: Vec<u8>,
) -> Result<Vec<Stored>, TeamError> {
    let sql = approvals!(" AND principal = $2 AND digest = $3 ORDER BY changed_at DESC LIMIT 8");
    let values = vec![tenant.into(), question.principal.as_str().into(), digest.into()];
    let mut same = Vec::new();
    for row in tx.query(sql, values).await? {
        let stored = Stored::read(&row, tenant, keys)?;
        same.extend(stored.filter(|stored| stored.record.question.digest() == question.digest()));
    }
    Ok(same)
}

/// A page of rows, the newest first.
pub(super) async fn page(
    tx: &mut Tx,
    tenant: TenantId,
    keys: Keys,
    state: Option<State>,
    now: SystemTime,
    after: Option<(i64, String)>,
    most: usize,
) -> Result<Vec<Listed>, TeamError> {
    let sql = approvals!(
        " AND ($2 = '' OR $2 = CASE WHEN state IN ('open', 'approved') AND expires_at <= $3 \
         THEN 'expired' ELSE state END) AND (opened_at, id) < ($4, $5) \
         ORDER BY opened_at DESC, id DESC LIMIT $6"
    );
    let (opened, id) = after.unwrap_or((i64::MAX, String::new()));
    let values = vec![
        tenant.into(),
        state.map_or("", State::as_str).into(),
        now.into(),
        Value::Time(Some(opened)),
        id.into(),
        i64::try_from(most).unwrap_or(i64::MAX).into(),
    ];
    let rows = tx.query(sql, values).await?;
    let listed = |row: &Row| {
        let stored = Stored::read(row, tenant, &keys)?;
        Ok(Listed { id: row.get(0)?, opened: micros(row.get(7)?), stored })
    };
    rows.iter().map(listed).collect()
}

/// How many questions of the tenant are open, and how many of them are of `principal` and about calls.
pub(super) async fn open(
    tx: &mut Tx,
    tenant: TenantId,
    principal: &str,
    now: SystemTime,
) -> Result<(i64, i64), TeamError> {
    let sql = "SELECT count(*), count(CASE WHEN principal = $2 AND NOT access THEN 1 END) \
               FROM tenant_approvals WHERE tenant_id = $1 AND state = 'open' AND expires_at > $3";
    let row = tx.first(sql, vec![tenant.into(), principal.into(), now.into()]).await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.get(0)?, row.get(1)?)))
}

/// How many requests for access `principal` has made since then.
pub(super) async fn asked_since(
    tx: &mut Tx,
    tenant: TenantId,
    principal: &str,
    since: SystemTime,
) -> Result<i64, TeamError> {
    let sql = "SELECT count(*) FROM tenant_approvals \
               WHERE tenant_id = $1 AND principal = $2 AND access AND opened_at > $3";
    let row = tx.first(sql, vec![tenant.into(), principal.into(), since.into()]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// Whether there is anything to be closed.
pub(super) async fn any_lapsed(
    tx: &mut Tx,
    tenant: TenantId,
    now: SystemTime,
) -> Result<bool, TeamError> {
    let sql = "SELECT id FROM tenant_approvals \
               WHERE tenant_id = $1 AND state = 'open' AND expires_at <= $2 LIMIT 1";
    Ok(tx.first(sql, vec![tenant.into(), now.into()]).await?.is_some())
}

/// Closes what nobody answered in time, and forgets what is long over.
pub(super) async fn lapse(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &Keys,
    now: SystemTime,
) -> Result<Vec<Entry>, TeamError> {
    let sql = approvals!(" AND state = 'open' AND expires_at <= $2 ORDER BY expires_at LIMIT $3");
    let rows = tx.query(sql, vec![tenant.into(), now.into(), BATCH.into()]).await?;
    let mut closed = Vec::new();
    for row in &rows {
        let Some(mut stored) = Stored::read(row, tenant, keys)? else {
            let sql = "DELETE FROM tenant_approvals WHERE tenant_id = $1 AND id = $2";
            tx.execute(sql, vec![tenant.into(), row.get::<String>(0)?.into()]).await?;
            continue;
        };
        stored.record.close(State::Expired, now);
        if replace(tx, tenant, keys, &mut stored).await? {
            closed.push(stored.entry(now));
        }
    }
    prune(tx, tenant, now).await?;
    Ok(closed)
}

/// Forgets what is long over, and of what is over all but the newest [`MOST_KEPT`].
pub(super) async fn prune(tx: &mut Tx, tenant: TenantId, now: SystemTime) -> Result<(), TeamError> {
    let sql = "DELETE FROM tenant_approvals \
               WHERE tenant_id = $1 AND state <> 'open' AND expires_at < $2";
    let long_ago = now.checked_sub(KEPT).unwrap_or(SystemTime::UNIX_EPOCH);
    tx.execute(sql, vec![tenant.into(), long_ago.into()]).await?;
    let sql = "DELETE FROM tenant_approvals WHERE tenant_id = $1 \
               AND state NOT IN ('open', 'approved') AND opened_at < ( \
               SELECT opened_at FROM tenant_approvals WHERE tenant_id = $1 \
               ORDER BY opened_at DESC LIMIT 1 OFFSET $2)";
    tx.execute(sql, vec![tenant.into(), MOST_KEPT.into()]).await.map(drop)
}

fn version(stored: &Stored) -> Result<i64, TeamError> {
    i64::try_from(stored.version).map_err(|_| TeamError::Exhausted)
}
