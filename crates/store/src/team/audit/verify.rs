//! Holding the chains of all nodes against themselves, and against their signatures.
//!
//! A record that was changed, removed, added or moved, in its chain or to another tenant, shows, and so
//! does an end that was cut off or a chain that is gone between others. What does not: that all of it was put
//! back to an earlier state, or that the newest chains are gone. A hash kept elsewhere shows those.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use strongroom_model::audit::chain::Hash;
use strongroom_model::audit::checkpoint::{Checkpoint, Octets};
use strongroom_model::audit::verify::{Finding, Found, Verifier};
use strongroom_model::team::TenantId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chain::{End, name, statement};
use crate::audit::Trust;
use crate::team::database::{Row, Sight, Value, micros};
use crate::team::{Team, TeamError};

/// What a verification of a team's audit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditVerified {
    /// How many chains were read: one for each process that ever wrote.
    pub chains: u64,
    /// How many records were read.
    pub records: u64,
    /// How many of them are the tenant's, where one was asked for.
    pub of_tenant: Option<u64>,
    /// How many are behind a signed end: all of them, where there is no problem.
    pub signed: u64,
    /// The hash of the last record of the newest chain, to be kept elsewhere.
    pub head: Option<Hash>,
    /// What should not be. The audit is whole where this is empty. `segment` is the chain, its number and
    /// the id of its node; `line` the place of the record in it.
    pub problems: Vec<Found>,
    /// What is worth knowing and may be.
    pub notes: Vec<Found>,
}

/// So many records are read at once.
const PAGE: usize = 1000;

/// The chains that there are records or an end of, in the order of their nodes.
const NODES: &str = "SELECT node FROM audit_nodes";
const NEXT_NODE: &str = "SELECT min(node) FROM audit_records WHERE node > $1";
const NODES_OF_TENANT: &str = "SELECT DISTINCT node FROM audit_records WHERE tenant_id = $1";
const ORDINALS: &str = "SELECT ordinal FROM audit_nodes WHERE ordinal IS NOT NULL ORDER BY ordinal";
const END: &str =
    "SELECT ordinal, seq, hash, signed_by, signature FROM audit_nodes WHERE node = $1";
const RECORDS: &str = "SELECT seq, CAST(tenant_id AS TEXT), at, audit_id, line FROM audit_records \
                       WHERE node = $1 AND seq > $2 ORDER BY seq LIMIT $3";

impl Team {
    /// Whose signature the ends of chains have.
    pub fn audit_key(&self) -> Octets<32> {
        Octets(self.inner.secrets.audit.public())
    }

    /// Checks every record of every chain, or, for a tenant, of the chains that have records of it:
    /// what links its records is between those of others.
    ///
    /// `trust.key` stands for [`audit_key`](Self::audit_key) where it is given. Writers are not held up.
    ///
    /// # Errors
    ///
    /// [`TeamError::Auditor`] on Postgres, where the database's user may not read the records of all
    /// tenants; that the database does not answer.
    pub async fn verify_audit(
        &self,
        tenant: Option<TenantId>,
        trust: &Trust,
    ) -> Result<AuditVerified, TeamError> {
        let key = trust.key.unwrap_or_else(|| self.audit_key());
        let mut done = AuditVerified { of_tenant: tenant.map(|_| 0), ..AuditVerified::default() };
        let mut newest = 0;
        let mut head_seen = false;
        for node in self.chains(tenant).await? {
            let chain = self.verify_chain(node, tenant, key, trust.head).await?;
            done.chains += 1;
            done.records += chain.records;
            done.signed += chain.signed;
            done.of_tenant = done.of_tenant.map(|count| count + chain.of_tenant);
            done.problems.extend(chain.problems);
            done.notes.extend(chain.notes);
            head_seen |= chain.head_seen;
            if chain.ordinal >= newest {
                (newest, done.head) = (chain.ordinal, chain.head);
            }
        }
        let of_all = |finding| Found { segment: "chains".into(), line: 0, finding };
        if tenant.is_none() {
            done.problems.extend(self.missing_chains().await?.into_iter().map(of_all));
        }
        if trust.head.is_some() && !head_seen {
            done.problems.push(of_all(Finding::HeadNotFound));
        }
        Ok(done)
    }

    async fn chains(&self, tenant: Option<TenantId>) -> Result<BTreeSet<String>, TeamError> {
        self.db()
            .read(Sight::Auditor, move |tx| {
                Box::pin(async move {
                    let rows = match tenant {
                        Some(tenant) => tx.query(NODES_OF_TENANT, vec![tenant.into()]).await?,
                        None => tx.query(NODES, Vec::new()).await?,
                    };
                    let mut nodes: BTreeSet<String> =
                        rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
                    let mut last = String::new();
                    // Step by step: there are far more records than chains.
                    while tenant.is_none() {
                        let row = tx.first(NEXT_NODE, vec![last.into()]).await?;
                        let node = row.map(|row| row.get::<Option<String>>(0)).transpose()?;
                        let Some(node) = node.flatten() else { break };
                        nodes.insert(node.clone());
                        last = node;
                    }
                    Ok(nodes)
                })
            })
            .await
    }

    /// Gaps between the numbers of chains.
    async fn missing_chains(&self) -> Result<Vec<Finding>, TeamError> {
        let rows = self
            .db()
            .read(Sight::Auditor, |tx| {
                Box::pin(async move { tx.query(ORDINALS, Vec::new()).await })
            })
            .await?;
        let mut due: i64 = 1;
        let mut missing = Vec::new();
        for row in rows {
            let found: i64 = row.get(0)?;
            if found > due {
                let number = |ordinal| u64::try_from(ordinal).unwrap_or_default();
                let (first, last) = (number(due), number(found - 1));
                missing.push(Finding::ChainsMissing { first, last });
            }
            due = found + 1;
        }
        Ok(missing)
    }

    async fn verify_chain(
        &self,
        node: String,
        tenant: Option<TenantId>,
        key: Octets<32>,
        head: Option<Hash>,
    ) -> Result<Chain, TeamError> {
        let mut chain = Reading::new(&node, tenant, head);
        loop {
            let (of, after) = (node.clone(), chain.last);
            let (end, rows) = self
                .db()
                .read(Sight::Auditor, move |tx| {
                    Box::pin(async move {
                        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
                        let end = tx.first(END, vec![of.as_str().into()]).await?;
                        let values: Vec<Value> = vec![of.into(), after.into(), limit.into()];
                        Ok((end, tx.query(RECORDS, values).await?))
                    })
                })
                .await?;
            let end = end.as_ref().map(signed_end).transpose()?;
            chain.name(end.as_ref());
            for row in &rows {
                chain.take(row)?;
            }
            // The end and the records behind the last page are of one state of the database.
            if rows.len() < PAGE {
                return Ok(chain.finish(end.as_ref(), key));
            }
        }
    }
}

/// What became of one chain.
struct Chain {
    ordinal: i64,
    records: u64,
    of_tenant: u64,
    signed: u64,
    head: Option<Hash>,
    head_seen: bool,
    problems: Vec<Found>,
    notes: Vec<Found>,
}

/// An end as it is stored, and who vouches for it.
struct SignedEnd {
    end: End,
    signature: Option<(Octets<32>, Octets<64>)>,
}

fn signed_end(row: &Row) -> Result<SignedEnd, TeamError> {
    const WHAT: TeamError = TeamError::Integrity { what: "the end of a chain" };
    let ordinal: Option<i64> = row.get(0)?;
    let seq = u64::try_from(row.get::<i64>(1)?).map_err(|_| WHAT)?;
    let hash: Vec<u8> = row.get(2)?;
    let hash = Hash::from_hex(&strongroom_seal::hex(&hash)).ok_or(WHAT)?;
    let by: Option<Vec<u8>> = row.get(3)?;
    let signature: Option<Vec<u8>> = row.get(4)?;
    let pair = by.zip(signature).and_then(|(by, signature)| {
        Some((Octets(by.try_into().ok()?), Octets(signature.try_into().ok()?)))
    });
    let end = End { ordinal: ordinal.unwrap_or_default(), seq, hash };
    Ok(SignedEnd { end, signature: pair.filter(|_| ordinal.is_some()) })
}

/// A chain that is being read.
struct Reading<'a> {
    node: &'a str,
    segment: Option<Arc<str>>,
    tenant: Option<String>,
    head: Option<Hash>,
    verifier: Verifier,
    last: i64,
    place: u64,
    of_tenant: u64,
    head_seen: bool,
    found: Vec<(u64, Finding)>,
}

/// What a record says of itself that its row says too.
#[derive(Deserialize)]
struct Says {
    time: String,
    tenant: Option<String>,
    audit_id: Option<String>,
    hash: String,
}

impl<'a> Reading<'a> {
    fn new(node: &'a str, tenant: Option<TenantId>, head: Option<Hash>) -> Self {
        Self {
            node,
            segment: None,
            tenant: tenant.map(|tenant| tenant.to_string()),
            head,
            verifier: Verifier::new(),
            last: 0,
            place: 0,
            of_tenant: 0,
            head_seen: false,
            found: Vec::new(),
        }
    }

    fn name(&mut self, end: Option<&SignedEnd>) {
        if self.segment.is_none() {
            let segment = name(end.map_or(0, |end| end.end.ordinal), self.node);
            self.verifier.segment(&segment);
            self.segment = Some(segment.into());
        }
    }

    fn take(&mut self, row: &Row) -> Result<(), TeamError> {
        let seq: i64 = row.get(0)?;
        let (tenant, at, id): (String, _, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let mut line: String = row.get(4)?;
        (self.last, self.place) = (seq, self.place + 1);
        if let Ok(says) = serde_json::from_str::<Says>(&line) {
            let time = OffsetDateTime::parse(&says.time, &Rfc3339).ok();
            let time = time.map(|time| time.unix_timestamp_nanos() / 1_000_000);
            let same = says.tenant.as_ref() == Some(&tenant)
                && says.audit_id.as_ref() == Some(&id)
                && time == Some(i128::from(micros(at) / 1000));
            if !same {
                let seq = u64::try_from(seq).unwrap_or_default();
                self.found.push((self.place, Finding::Misplaced { seq }));
            }
            self.head_seen |=
                self.head.is_some_and(|head| Hash::from_hex(&says.hash) == Some(head));
        }
        self.of_tenant += u64::from(self.tenant.as_ref() == Some(&tenant));
        line.push('\n');
        self.verifier.line(line.as_bytes());
        Ok(())
    }

    /// Holds what was read against the end that was stored with it.
    fn finish(self, end: Option<&SignedEnd>, key: Octets<32>) -> Chain {
        let Self { node, segment, last, found, .. } = self;
        let segment = segment.unwrap_or_else(|| name(0, node).into());
        let report = self.verifier.finish();
        let read = u64::try_from(last).unwrap_or_default();
        let ordinal = end.map_or(0, |end| end.end.ordinal);
        let wrong = against(node, end, key, (read, report.head));
        let signed = if wrong.is_none() { report.records } else { 0 };
        let found = found.into_iter().chain(wrong.map(|finding| (0, finding)));
        let found =
            found.map(|(line, finding)| Found { segment: Arc::clone(&segment), line, finding });
        Chain {
            ordinal,
            records: report.records,
            of_tenant: self.of_tenant,
            signed,
            head: report.head,
            head_seen: self.head_seen,
            problems: report.problems.into_iter().chain(found).collect(),
            notes: report.notes,
        }
    }
}

/// What is wrong with the end of a chain whose last record is `read`, where anything is.
fn against(
    node: &str,
    end: Option<&SignedEnd>,
    key: Octets<32>,
    read: (u64, Option<Hash>),
) -> Option<Finding> {
    let Some(&SignedEnd { end, signature: Some((by, signature)) }) = end else {
        return Some(Finding::Unsigned);
    };
    let checkpoint = Checkpoint { statement: statement(node, end), key: by, signature };
    if by != key {
        Some(Finding::OtherKey)
    } else if !checkpoint.verifies() {
        Some(Finding::BadSignature)
    } else if read.0 < end.seq {
        Some(Finding::Cut { first: read.0 + 1, last: end.seq })
    } else if read != (end.seq, Some(end.hash)) {
        Some(Finding::Replaced { seq: end.seq })
    } else {
        None
    }
}
