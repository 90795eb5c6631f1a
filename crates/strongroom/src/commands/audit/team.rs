//! `strongroom audit verify --team`: the chains of all nodes of a team.

use serde::Serialize;
use strongroom_model::audit::checkpoint::Octets;
use strongroom_store::audit::Trust;
use strongroom_store::team::AuditVerified;

use super::{Finding, Verify, counted, findings, found, verdict};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};
use crate::team::Operator;

#[derive(Serialize)]
struct Verified {
    intact: bool,
    chains: u64,
    records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    of_tenant: Option<u64>,
    signed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    key: Octets<32>,
    problems: Vec<Finding>,
    notes: Vec<Finding>,
}

/// Checks what `args` names.
pub(super) fn verify(args: &Verify, host: &Host, output: Output) -> Result<(), Failure> {
    let operator = Operator::open_at(host, args.database.as_deref())?;
    // A tenant that was deleted has no name any more; its records are there, under its id.
    let tenant = match args.tenant.as_deref() {
        Some(text) => Some(match text.parse() {
            Ok(id) => id,
            Err(_) => operator.tenant(text)?.id,
        }),
        None => None,
    };
    let trust = Trust { key: args.key, head: args.head };
    let done = operator.wait(operator.team.verify_audit(tenant, &trust))?;
    let key = args.key.unwrap_or_else(|| operator.team.audit_key());
    let AuditVerified { chains, records, of_tenant, signed, head, problems, notes } = done;
    let intact = problems.is_empty();
    output.report(&Verified {
        intact,
        chains,
        records,
        of_tenant,
        signed,
        head: head.map(|hash| hash.to_string()),
        key,
        problems: findings(&problems),
        notes: findings(&notes),
    })?;
    if intact { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

impl Report for Verified {
    fn text(&self, style: Style) -> String {
        let mut lines = found(style, &self.problems, &self.notes);
        let verdict = verdict(style, self.intact);
        let of_tenant = self.of_tenant.map(|many| format!(", {many} of them the tenant's"));
        let of_tenant = of_tenant.unwrap_or_default();
        let (records, chains) = (counted(self.records, "record"), counted(self.chains, "chain"));
        lines.push(format!("{verdict}: {records} in {chains}{of_tenant}, {} signed", self.signed));
        lines.extend(self.head.as_ref().map(|head| format!("head {head}")));
        lines.push(String::new());
        lines.join("\n")
    }
}
