//! `strongroom tenant`: the tenants of a team.

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::team::Tenant;

use crate::commands::org::Deleted;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::team::Operator;

/// Make, list, disable and delete tenants: each has its own servers, credentials and keys
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant
    #[command(after_help = "Example:
  strongroom tenant create shop --org acme")]
    Create {
        /// Its name
        name: String,
        /// The organization that it belongs to
        #[arg(long, value_name = "ORG")]
        org: String,
    },
    /// List the tenants of one organization, or of all
    #[command(after_help = "Example:
  strongroom tenant list --org acme")]
    List {
        /// Those of this organization only
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
    },
    /// Show a tenant
    #[command(after_help = "Example:
  strongroom tenant show shop")]
    Show {
        /// Its name or id
        tenant: String,
    },
    /// Refuse all keys of a tenant from now on
    #[command(after_help = "Example:
  strongroom tenant disable shop")]
    Disable {
        /// Its name or id
        tenant: String,
    },
    /// Let the keys of a tenant in again
    #[command(after_help = "Example:
  strongroom tenant enable shop")]
    Enable {
        /// Its name or id
        tenant: String,
    },
    /// Delete a tenant with all that is its own, for good: its key is destroyed
    #[command(after_help = "Example:
  strongroom tenant delete shop --yes")]
    Delete {
        /// Its name or id
        tenant: String,
        /// Yes, delete its servers, credentials and keys
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let operator = Operator::open(host)?;
    let team = &operator.team;
    match &args.command {
        Command::Create { name, org } => {
            let org = operator.organization(org)?;
            operator.record(None, "tenant.create", name)?;
            let made = operator.wait(team.create_tenant(&org.id, name))?;
            output.report(&Row::of(&made))?;
            output.hint(&format!("run `strongroom key create --tenant {name} --scope use`"));
            Ok(())
        }
        Command::List { org } => {
            let organizations = match org {
                Some(org) => vec![operator.organization(org)?],
                None => operator.wait(team.organizations())?,
            };
            let mut rows = Vec::new();
            for organization in organizations {
                let tenants = operator.wait(team.tenants(&organization.id))?;
                rows.extend(tenants.iter().map(Row::of));
            }
            output.report(&List(rows))
        }
        Command::Show { tenant } => output.report(&Row::of(&operator.tenant(tenant)?)),
        Command::Disable { tenant } => enable(&operator, tenant, false, *output),
        Command::Enable { tenant } => enable(&operator, tenant, true, *output),
        Command::Delete { tenant, yes } => {
            let tenant = operator.tenant(tenant)?;
            if !yes {
                return Err(Failure::usage("deleting a tenant cannot be taken back")
                    .hint(format!("run `strongroom tenant delete {} --yes`", tenant.id)));
            }
            operator.record(Some(tenant.id), "tenant.delete", tenant.id.as_str())?;
            operator.done(team.delete_tenant(&tenant.id))?;
            output.report(&Deleted { id: tenant.id.to_string(), deleted: true })
        }
    }
}

fn enable(operator: &Operator, tenant: &str, enabled: bool, output: Output) -> Result<(), Failure> {
    let tenant = operator.tenant(tenant)?;
    let act = if enabled { "tenant.enable" } else { "tenant.disable" };
    operator.record(Some(tenant.id), act, tenant.id.as_str())?;
    operator.done(operator.team.enable_tenant(&tenant.id, enabled))?;
    output.report(&Row { enabled, ..Row::of(&tenant) })
}

#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    organization_id: String,
    enabled: bool,
    created_at: String,
}

impl Row {
    fn of(tenant: &Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name.clone(),
            organization_id: tenant.organization.to_string(),
            enabled: tenant.enabled,
            created_at: rfc3339(tenant.created),
        }
    }

    fn state(&self) -> &'static str {
        if self.enabled { "enabled" } else { "disabled" }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

impl Report for Row {
    fn text(&self, _: Style) -> String {
        format!(
            "{}\n  id            {}\n  organization  {}\n  state         {}\n  created       {}\n",
            self.name,
            self.id,
            self.organization_id,
            self.state(),
            self.created_at
        )
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        let head = ["NAME", "ID", "STATE", "SINCE"].map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|row| {
            vec![row.name.clone(), row.id.clone(), row.state().to_owned(), row.created_at.clone()]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
