//! The audit of a team: rows, one hash chain for each node, written in batches (decision 16).
//!
//! Every record says whose it is; those that are no tenant's are the installation's. The end of a chain is
//! signed with each batch, and chains are numbered: [`Team::verify_audit`] shows what was done to them.
//!
//! A record is queued by the call and written with those that other calls queued meanwhile; what is to
//! leave the machine waits for [`AuditSink::durable`]. A batch whose fate is not known is written
//! again, and `audit_nodes` says whether it was there already: the chain has no gap and nothing twice.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use strongroom_model::audit::{AuditError, AuditId, AuditSink, Draft};
use strongroom_model::ports::{BoxFuture, Clock};
use strongroom_model::team::{Actor, TenantCtx, TenantId};
use strongroom_seal::{hex, random};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tracing::{Instrument as _, info_span};

use super::database::{Row, Value, micros};
use super::{Team, TeamError, TenantStore};

mod chain;
mod verify;

pub(super) use chain::write_all;
pub use verify::AuditVerified;

/// Which records are wanted: the newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only those of this call.
    pub audit_id: Option<String>,
    /// Only those from then on.
    pub since: Option<SystemTime>,
    /// At most so many; 100 where it is `None`, never more than 1000.
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Records of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// Each record as it was written: one JSON object.
    pub lines: Vec<String>,
    /// What the next page goes on from; `None` where this is the last.
    pub next_cursor: Option<String>,
}

/// The audit of one tenant, for whoever calls on its behalf.
pub struct TenantAudit {
    journal: Arc<Journal>,
    tenant: TenantId,
}

/// The queue of one node, and how far it was written.
pub(super) struct Journal {
    node: String,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    queued: Notify,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    /// The number of the newest record.
    newest: u64,
}

#[derive(Clone)]
struct Queued {
    number: u64,
    tenant: TenantId,
    at: SystemTime,
    id: String,
    draft: Draft,
}

const MOST_QUEUED: usize = 20_000;
const BATCH: usize = 256;
/// How long a call waits for its record.
const PATIENCE: Duration = Duration::from_secs(5);

impl TenantStore<'_> {
    /// Writes records, and returns when they are written: the ids of their calls, in their order.
    pub async fn append_audit(&self, drafts: Vec<Draft>) -> Result<Vec<AuditId>, TeamError> {
        let sink = self.audit_sink();
        let ids: Result<_, _> = drafts.into_iter().map(|draft| sink.append(draft)).collect();
        let ids = ids.map_err(TeamError::unreachable)?;
        sink.journal.settled().await.map_err(TeamError::unreachable)?;
        Ok(ids)
    }

    /// The tenant's audit as a port.
    pub fn audit_sink(&self) -> TenantAudit {
        self.team.audit_sink(&self.ctx)
    }

    /// The tenant's records, of all nodes.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, TeamError> {
        let after = query.cursor.as_deref().map(|cursor| self.record_place(cursor)).transpose()?;
        let (at, node, seq) = after.unwrap_or((i64::MAX, String::new(), 0));
        let limit = query.limit.unwrap_or(100).clamp(1, 1000) as usize;
        let since = query.since.map_or(0, micros);
        let mut values: Vec<Value> = vec![
            self.tenant().into(),
            Value::Time(Some(since)),
            Value::Time(Some(at)),
            node.into(),
            seq.into(),
            i64::try_from(limit + 1).unwrap_or(i64::MAX).into(),
        ];
        let of_call = query.audit_id.clone();
        values.extend(of_call.iter().cloned().map(Value::from));
        let sql = if of_call.is_some() { OF_CALL } else { NEWEST };
        let rows =
            self.read(move |tx| Box::pin(async move { tx.query(sql, values).await })).await?;
        let lines: Result<Vec<String>, _> = rows.iter().take(limit).map(|row| row.get(3)).collect();
        let last = (rows.len() > limit).then(|| &rows[limit - 1]);
        let next_cursor = last.map(|row| self.after_record(row)).transpose()?;
        Ok(AuditPage { lines: lines?, next_cursor })
    }

    fn after_record(&self, row: &Row) -> Result<String, TeamError> {
        let (at, node, seq): (SystemTime, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut place = micros(at).to_be_bytes().to_vec();
        place.extend_from_slice(&seq.to_be_bytes());
        place.extend_from_slice(node.as_bytes());
        Ok(self.cursor("audit", &place))
    }

    fn record_place(&self, cursor: &str) -> Result<(i64, String, i64), TeamError> {
        let place = self.read_cursor("audit", cursor)?;
        let (at, rest) = place.split_first_chunk().ok_or(TeamError::Cursor)?;
        let (seq, node) = rest.split_first_chunk().ok_or(TeamError::Cursor)?;
        let node = String::from_utf8(node.to_vec()).map_err(|_| TeamError::Cursor)?;
        Ok((i64::from_be_bytes(*at), node, i64::from_be_bytes(*seq)))
    }
}

/// Those behind a place in the order from new to old.
const NEWEST: &str = "SELECT at, node, seq, line FROM audit_records \
     WHERE tenant_id = $1 AND at >= $2 AND (at, node, seq) < ($3, $4, $5) \
     ORDER BY at DESC, node DESC, seq DESC LIMIT $6";
const OF_CALL: &str = "SELECT at, node, seq, line FROM audit_records \
     WHERE tenant_id = $1 AND audit_id = $7 AND at >= $2 AND (at, node, seq) < ($3, $4, $5) \
     ORDER BY at DESC, node DESC, seq DESC LIMIT $6";

impl Team {
    /// The audit of the tenant of `ctx`.
    pub fn audit_sink(&self, ctx: &TenantCtx) -> TenantAudit {
        TenantAudit { journal: Arc::clone(&self.inner.journal), tenant: ctx.tenant }
    }

    /// The audit of the installation: what is no tenant's.
    pub fn installation_audit(&self) -> TenantAudit {
        TenantAudit { journal: Arc::clone(&self.inner.journal), tenant: TenantId::INSTALLATION }
    }

    /// The records of the installation, of all nodes.
    pub async fn audit_of_installation(&self, query: &AuditQuery) -> Result<AuditPage, TeamError> {
        let ctx = TenantCtx { tenant: TenantId::INSTALLATION, actor: Actor::Operator };
        self.tenant(&ctx).audit(query).await
    }

    /// Writes what the operator is about to do, in the audit of `tenant`, or else of the installation,
    /// and returns when it is written. It comes before the act: what cannot be recorded is not done.
    pub async fn record_act(
        &self,
        tenant: Option<TenantId>,
        draft: Draft,
    ) -> Result<AuditId, TeamError> {
        let tenant = tenant.unwrap_or(TenantId::INSTALLATION);
        let id = self.inner.journal.push(tenant, draft).map_err(TeamError::unreachable)?;
        self.inner.journal.settled().await.map_err(TeamError::unreachable)?;
        Ok(id)
    }

    /// Which chain this process writes.
    pub fn audit_node(&self) -> &str {
        &self.inner.journal.node
    }
}

impl AuditSink for TenantAudit {
    fn append(&self, draft: Draft) -> Result<AuditId, AuditError> {
        self.journal.push(self.tenant, draft)
    }

    fn durable(&self) -> Option<BoxFuture<'_, Result<(), AuditError>>> {
        Some(Box::pin(self.journal.settled()))
    }
}

impl Journal {
    /// A chain of its own: no other process ever goes on with it.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Result<Self, TeamError> {
        let mut node = [0; 8];
        random(&mut node)?;
        Ok(Self {
            node: hex(&node),
            clock,
            queue: Mutex::default(),
            queued: Notify::new(),
            written: watch::Sender::new(0),
        })
    }

    fn push(&self, tenant: TenantId, mut draft: Draft) -> Result<AuditId, AuditError> {
        let id = if let Some(id) = draft.audit_id.take() {
            id
        } else {
            let mut bytes = [0; 16];
            random(&mut bytes).map_err(failed)?;
            AuditId(hex(&bytes))
        };
        draft.audit_id = Some(id.clone());
        draft.tenant = Some(tenant.to_string());
        let mut queue = self.queue();
        if queue.waiting.len() >= MOST_QUEUED {
            return Err(failed("too many records wait to be written"));
        }
        queue.newest += 1;
        let number = queue.newest;
        let at = self.clock.now();
        queue.waiting.push_back(Queued { number, tenant, at, id: id.0.clone(), draft });
        drop(queue);
        self.queued.notify_one();
        Ok(id)
    }

    /// Waits until all that was queued before is written.
    async fn settled(&self) -> Result<(), AuditError> {
        let newest = self.queue().newest;
        let mut written = self.written.subscribe();
        let wait = written.wait_for(|written| *written >= newest);
        match timeout(PATIENCE, wait).instrument(info_span!("audit")).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(failed("the audit is closed")),
            Err(_) => Err(failed("the database does not take the record")),
        }
    }

    fn batch(&self) -> Vec<Queued> {
        self.queue().waiting.iter().take(BATCH).cloned().collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AuditError {
    AuditError { source: io::Error::other(source) }
}
