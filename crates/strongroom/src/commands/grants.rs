//! `strongroom grants`: what people have granted for a while, and taking it back.

mod at;

use std::sync::Arc;
use std::time::SystemTime;

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::approval::Grant;
use strongroom_model::team::{Actor, TenantCtx};
use strongroom_store::ApprovalStore;

use super::approvals::in_words;
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::team::Operator;
use crate::{admin, home};

pub use at::at;

/// See what agents were granted for a while, and take it back
///
/// A grant covers what one rule asks about, for one principal; any change of the service ends it. One
/// that is taken back is refused at the next call, in every running process.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom grants
  strongroom grants revoke g-7k3f9xqm
  strongroom grants revoke --all
  strongroom grants --tenant shop")]
pub struct Args {
    /// Those of a tenant of the team of this machine
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what stands now (the default)
    #[command(after_help = "Example:
  strongroom grants list")]
    List,
    /// Take a grant back, or all of them
    #[command(after_help = "Examples:
  strongroom grants revoke g-7k3f9xqm
  strongroom grants revoke --all")]
    Revoke {
        /// Its id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Every grant of every principal
        #[arg(long)]
        all: bool,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

#[derive(Serialize)]
struct Row {
    id: String,
    principal: String,
    service: String,
    rule: String,
    class: &'static str,
    /// Whether it ends with the agent's connection.
    session: bool,
    by: &'static str,
    created: String,
    lapses: String,
    #[serde(skip)]
    left: String,
}

#[derive(Serialize)]
struct Revoked {
    revoked: usize,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    if let Some(tenant) = &args.tenant {
        return of_tenant(args.command.as_ref(), tenant, host, *output);
    }
    let home = host.home()?;
    let store = home::open(&home, Arc::clone(&host.clock))?.approvals()?;
    match &args.command {
        None | Some(Command::List) => {
            let now = host.clock.now();
            output.report(&List::of(&store.all_grants()?, now))
        }
        Some(Command::Revoke { id: Some(id), .. }) => {
            // Taking access away may always be done.
            admin::record_if_possible(host, output, "grant.revoke", &known(&store, id)?);
            let revoked = usize::from(store.revoke(id)?);
            output.report(&Revoked { revoked })
        }
        Some(Command::Revoke { id: None, .. }) => {
            admin::record_if_possible(host, output, "grant.revoke", "all");
            output.report(&Revoked { revoked: store.revoke_all()? })
        }
    }
}

/// The same for a tenant of a team, on the machine of its operator. What is taken back is recorded first.
fn of_tenant(
    command: Option<&Command>,
    tenant: &str,
    host: &Host,
    output: Output,
) -> Result<(), Failure> {
    let operator = Operator::open(host)?;
    let tenant = operator.tenant(tenant)?;
    let store = operator.team.tenant(&TenantCtx { tenant: tenant.id, actor: Actor::Operator });
    match command {
        None | Some(Command::List) => {
            let grants = operator.wait(store.grants())?;
            output.report(&List::of(&grants, host.clock.now()))
        }
        Some(Command::Revoke { id: Some(id), .. }) => {
            let grants = operator.wait(store.grants())?;
            let hint = format!("run `strongroom grants --tenant {}`", tenant.name);
            let id = among(&grants, id, hint)?;
            let revoked = usize::from(operator.wait(store.revoke_grant(&id))?);
            output.report(&Revoked { revoked })
        }
        Some(Command::Revoke { id: None, .. }) => {
            let revoked = operator.wait(store.revoke_grants())?;
            output.report(&Revoked { revoked: usize::try_from(revoked).unwrap_or(usize::MAX) })
        }
    }
}

/// The id, if there is such a grant; otherwise the failure that names the nearest one.
fn known(store: &ApprovalStore, id: &str) -> Result<String, Failure> {
    among(&store.all_grants()?, id, "run `strongroom grants`".to_owned())
}

fn among(grants: &[Grant], id: &str, hint: String) -> Result<String, Failure> {
    if let Some(grant) = grants.iter().find(|grant| grant.id == id) {
        return Ok(grant.id.clone());
    }
    let failure = Failure::failed("there is no such grant, or it has lapsed");
    Err(match near::nearest(id, grants.iter().map(|grant| grant.id.as_str())) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(hint),
    })
}

impl List {
    fn of(grants: &[Grant], now: SystemTime) -> Self {
        Self(grants.iter().map(|grant| Row::of(grant, now)).collect())
    }
}

impl Row {
    fn of(grant: &Grant, now: SystemTime) -> Self {
        let scope = &grant.scope;
        Self {
            id: grant.id.clone(),
            principal: scope.principal.to_string(),
            service: scope.service.to_string(),
            rule: scope.rule.clone(),
            class: scope.class.as_str(),
            session: grant.is_for_session(),
            by: grant.by.as_str(),
            created: rfc3339(grant.created),
            lapses: rfc3339(grant.lapses),
            left: in_words(grant.lapses.duration_since(now).unwrap_or_default()),
        }
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "nothing is granted\n".to_owned();
        }
        let head = ["ID", "WHO", "SERVICE", "RULE", "FOR", "LAPSES IN"];
        let head = head.map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|row| {
            let end = if row.session { " or with its connection" } else { "" };
            vec![
                style.bold(&row.id),
                row.principal.clone(),
                row.service.clone(),
                row.rule.clone(),
                row.class.to_owned(),
                format!("{}{end}", row.left),
            ]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

impl Report for Revoked {
    fn text(&self, _: Style) -> String {
        match self.revoked {
            1 => "took 1 grant back\n".to_owned(),
            revoked => format!("took {revoked} grants back\n"),
        }
    }
}
