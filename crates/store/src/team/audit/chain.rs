//! The chain of one node: written in batches, its end signed with each.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::audit::chain::{Hash, write_line};
use strongroom_model::audit::checkpoint::{Says, Statement};
use strongroom_seal::SigningKey;
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use super::{Journal, Queued};
use crate::team::TeamError;
use crate::team::database::{Announce, Database, Sight, Tx, Value, micros};

/// The end of a chain.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// The number of the chain, from 1; 0 where it has not begun.
    pub(super) ordinal: i64,
    /// The number of its last record.
    pub(super) seq: u64,
    /// The hash of that record.
    pub(super) hash: Hash,
}

const AGAIN: Duration = Duration::from_millis(100);

/// What a chain is called.
pub(super) fn name(ordinal: i64, node: &str) -> String {
    format!("{ordinal}/{node}")
}

/// What is signed: which chain it is and how far it goes.
pub(super) fn statement(node: &str, end: End) -> Statement {
    let End { ordinal, seq, hash } = end;
    Statement { says: Says::SoFar, segment: name(ordinal, node), first: 1, last: seq, head: hash }
}

/// Writes what is queued, until `stop` is gone and nothing waits any more.
pub(in crate::team) async fn write_all(
    journal: Arc<Journal>,
    db: Arc<Database>,
    key: Arc<SigningKey>,
    mut stop: watch::Receiver<()>,
) {
    let mut end = End { ordinal: 0, seq: 0, hash: Hash::GENESIS };
    let mut stopping = false;
    loop {
        let batch = journal.batch();
        let Some(last) = batch.last().map(|last| last.number) else {
            if stopping {
                return;
            }
            tokio::select! {
                () = journal.queued.notified() => (),
                _ = stop.changed() => stopping = true,
            }
            continue;
        };
        match write_batch(&db, &key, &journal.node, end, &batch).await {
            Ok(new) => {
                end = new;
                journal.queue().waiting.drain(..batch.len());
                journal.written.send_replace(last);
            }
            // Who waits for it does not wait for ever; a shutdown does not wait at all.
            Err(_) if stopping => return,
            Err(_) => tokio::select! {
                () = sleep(AGAIN) => (),
                _ = stop.changed() => stopping = true,
            },
        }
    }
}

/// Writes a batch behind `end`; the new end.
async fn write_batch(
    db: &Database,
    key: &Arc<SigningKey>,
    node: &str,
    end: End,
    batch: &[Queued],
) -> Result<End, TeamError> {
    let mut new = end;
    let mut rows = Rows::default();
    for Queued { tenant, at, id, draft, .. } in batch {
        new.seq += 1;
        let millis = u64::try_from(micros(*at) / 1000).unwrap_or_default();
        let (line, hash) = write_line(draft, new.seq, millis, &new.hash);
        new.hash = hash;
        let line = String::from_utf8(line).map_err(TeamError::database)?;
        rows.tenants.push(Uuid::from_bytes(tenant.bytes()));
        rows.seqs.push(i64::try_from(new.seq).unwrap_or(i64::MAX));
        rows.times.push(micros(*at));
        rows.ids.push(id.clone());
        rows.lines.push(line.trim_end().to_owned());
    }
    let (node, key) = (node.to_owned(), Arc::clone(key));
    db.write(Sight::Audit, Announce::Nothing, move |tx| {
        Box::pin(async move {
            if new.ordinal == 0 {
                new.ordinal = begun(tx, &node).await?;
            }
            // Where it has moved already, the same batch, whose fate was not known, is there.
            if moved(tx, &key, &node, end, new).await? {
                rows.insert(tx, node).await?;
            }
            Ok(new)
        })
    })
    .await
}

/// The number of the chain of `node`, which has none that is known here.
async fn begun(tx: &mut Tx, node: &str) -> Result<i64, TeamError> {
    if let Tx::Postgres(_) = tx {
        // One chain begins at a time; the number is ours alone.
        tx.query("SELECT pg_advisory_xact_lock(6003371042518174)", Vec::new()).await?;
    }
    // It has one where a first batch was written whose fate was not known.
    let sql = "SELECT coalesce((SELECT ordinal FROM audit_nodes WHERE node = $1), \
               (SELECT max(ordinal) FROM audit_nodes) + 1, 1)";
    let row = tx.first(sql, vec![node.into()]).await?;
    row.ok_or(TeamError::damaged("the chains"))?.get(0)
}

/// Moves the end of the chain, and signs it; `false` where it is there already.
async fn moved(
    tx: &mut Tx,
    key: &SigningKey,
    node: &str,
    from: End,
    to: End,
) -> Result<bool, TeamError> {
    let seq = |end: End| i64::try_from(end.seq).unwrap_or(i64::MAX);
    let (from_hash, to_hash) = (from.hash.as_bytes().to_vec(), to.hash.as_bytes().to_vec());
    let signature = key.sign(&statement(node, to).message());
    let sql = "INSERT INTO audit_nodes (node, ordinal, seq, hash, signed_by, signature) \
               VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (node) DO UPDATE SET seq = $3, hash = $4, signed_by = $5, signature = $6 \
               WHERE audit_nodes.seq = $7 AND audit_nodes.hash = $8";
    let values = vec![
        node.into(),
        to.ordinal.into(),
        seq(to).into(),
        to_hash.clone().into(),
        key.public().to_vec().into(),
        signature.to_vec().into(),
        seq(from).into(),
        from_hash.into(),
    ];
    if tx.execute(sql, values).await? == 1 {
        return Ok(true);
    }
    let sql = "SELECT seq, hash FROM audit_nodes WHERE node = $1";
    let row = tx.first(sql, vec![node.into()]).await?.ok_or(TeamError::damaged("the chain"))?;
    if (row.get::<i64>(0)?, row.get::<Vec<u8>>(1)?) == (seq(to), to_hash) {
        Ok(false)
    } else {
        Err(TeamError::damaged("another process writes the chain of this one"))
    }
}

/// A batch by columns.
#[derive(Default)]
struct Rows {
    tenants: Vec<Uuid>,
    seqs: Vec<i64>,
    times: Vec<i64>,
    ids: Vec<String>,
    lines: Vec<String>,
}

impl Rows {
    async fn insert(self, tx: &mut Tx, node: String) -> Result<(), TeamError> {
        const AT_ONCE: &str = "INSERT INTO audit_records (tenant_id, node, seq, at, audit_id, line) \
             SELECT tenant, $1, seq, at, id, line FROM unnest($2::uuid[], $3::bigint[], \
             $4::timestamptz[], $5::text[], $6::text[]) AS rows (tenant, seq, at, id, line)";
        const ONE: &str = "INSERT INTO audit_records (tenant_id, node, seq, at, audit_id, line) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        if let Tx::Postgres(_) = tx {
            let values = vec![
                node.into(),
                Value::Uuids(self.tenants),
                Value::Ints(self.seqs),
                Value::Times(self.times),
                self.ids.into(),
                self.lines.into(),
            ];
            tx.execute(AT_ONCE, values).await?;
            return Ok(());
        }
        let rows = self.tenants.into_iter().zip(self.seqs).zip(self.times);
        for (((tenant, seq), at), (id, line)) in rows.zip(self.ids.into_iter().zip(self.lines)) {
            let values = vec![
                Value::Uuid(tenant),
                node.clone().into(),
                seq.into(),
                Value::Time(Some(at)),
                id.into(),
                line.into(),
            ];
            tx.execute(ONE, values).await?;
        }
        Ok(())
    }
}
