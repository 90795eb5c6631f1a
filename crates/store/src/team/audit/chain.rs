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
use crate::team::database::postgres::Postgres;
use crate::team::database::{Announce, Database, Row, Sight, Tx, Value, micros};

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
    // A batch is written again as it was: more of it would not be known as the one that may be there already.
    let mut batch = Vec::new();
    loop {
        if batch.is_empty() {
            batch = journal.batch();
        }
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
                batch.clear();
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
    match db {
        Database::Postgres(postgres) => in_one_statement(postgres, key, node, end, new, rows).await,
        Database::Sqlite(_) => {
            let (node, key) = (node.to_owned(), Arc::clone(key));
            let sight = Sight::Installation;
            db.write(sight, Announce::Nothing, move |tx| {
                Box::pin(in_one_transaction(tx, key, node, end, new, rows))
            })
            .await
        }
    }
}

/// Moves the end of a chain from one place to another, which is signed, unless it has moved.
macro_rules! moves {
    () => {
        "INSERT INTO audit_nodes (node, ordinal, seq, hash, signed_by, signature) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (node) DO UPDATE SET seq = $3, hash = $4, signed_by = $5, signature = $6 \
         WHERE audit_nodes.seq = $7 AND audit_nodes.hash = $8"
    };
}

const ORDINAL: &str = "SELECT coalesce((SELECT ordinal FROM audit_nodes WHERE node = $1), \
     (SELECT max(ordinal) FROM audit_nodes) + 1, 1)";
const END: &str = "SELECT seq, hash FROM audit_nodes WHERE node = $1";

/// On Postgres a batch is one statement, which is a transaction by itself: one round trip, and records of many
/// calls wait for it.
async fn in_one_statement(
    postgres: &Postgres,
    key: &SigningKey,
    node: &str,
    end: End,
    mut new: End,
    rows: Rows,
) -> Result<End, TeamError> {
    const ALL: &str = concat!(
        "WITH moved AS (",
        moves!(),
        " RETURNING node) \
         INSERT INTO audit_records (tenant_id, node, seq, at, audit_id, line) \
         SELECT tenant, moved.node, rows.seq, at, id, line FROM moved, unnest($9::uuid[], \
         $10::bigint[], $11::timestamptz[], $12::text[], $13::text[]) \
         AS rows (tenant, seq, at, id, line)"
    );
    if new.ordinal == 0 {
        // Of two chains that begin with one number at one time, the second begins again: numbers are unique.
        let row = postgres.of_audit(ORDINAL, vec![node.into()]).await?;
        new.ordinal = row.ok_or(TeamError::damaged("the chains"))?.get(0)?;
    }
    let count = rows.seqs.len() as u64;
    let mut values = ends(key, node, end, new);
    values.extend([
        Value::Uuids(rows.tenants),
        Value::Ints(rows.seqs),
        Value::Times(rows.times),
        rows.ids.into(),
        rows.lines.into(),
    ]);
    let added = postgres.add_to_audit(ALL, values).await?;
    if added == 0 {
        // Where it has moved already, the same batch, whose fate was not known, is there.
        let row = postgres.of_audit(END, vec![node.into()]).await?;
        return if is_at(row.as_ref(), new)? { Ok(new) } else { Err(not_ours()) };
    }
    if added == count { Ok(new) } else { Err(TeamError::damaged("the audit")) }
}

async fn in_one_transaction(
    tx: &mut Tx,
    key: Arc<SigningKey>,
    node: String,
    end: End,
    mut new: End,
    rows: Rows,
) -> Result<End, TeamError> {
    const ONE: &str = "INSERT INTO audit_records (tenant_id, node, seq, at, audit_id, line) \
         VALUES ($1, $2, $3, $4, $5, $6)";
    if new.ordinal == 0 {
        // It has one where a first batch was written whose fate was not known.
        let row = tx.first(ORDINAL, vec![node.clone().into()]).await?;
        new.ordinal = row.ok_or(TeamError::damaged("the chains"))?.get(0)?;
    }
    if tx.execute(moves!(), ends(&key, &node, end, new)).await? == 0 {
        let row = tx.first(END, vec![node.into()]).await?;
        return if is_at(row.as_ref(), new)? { Ok(new) } else { Err(not_ours()) };
    }
    let columns = rows.tenants.into_iter().zip(rows.seqs).zip(rows.times);
    for (((tenant, seq), at), (id, line)) in columns.zip(rows.ids.into_iter().zip(rows.lines)) {
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
    Ok(new)
}

/// The values of `moves`.
fn ends(key: &SigningKey, node: &str, from: End, to: End) -> Vec<Value> {
    let signature = key.sign(&statement(node, to).message());
    vec![
        node.into(),
        to.ordinal.into(),
        number(to).into(),
        to.hash.as_bytes().to_vec().into(),
        key.public().to_vec().into(),
        signature.to_vec().into(),
        number(from).into(),
        from.hash.as_bytes().to_vec().into(),
    ]
}

/// Whether the end that a row has is this one.
fn is_at(row: Option<&Row>, end: End) -> Result<bool, TeamError> {
    let row = row.ok_or(TeamError::damaged("the chain"))?;
    Ok(row.get::<i64>(0)? == number(end) && row.get::<Vec<u8>>(1)? == end.hash.as_bytes())
}

fn not_ours() -> TeamError {
    TeamError::damaged("another process writes the chain of this one")
}

fn number(end: End) -> i64 {
    i64::try_from(end.seq).unwrap_or(i64::MAX)
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
