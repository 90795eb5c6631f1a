//! `strongroom org`: the organizations of a team.

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::team::Organization;

use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::team::Operator;

/// Make, list and delete organizations, which tenants belong to
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an organization
    #[command(after_help = "Example:
  strongroom org create acme")]
    Create {
        /// Its name
        name: String,
    },
    /// List the organizations
    #[command(after_help = "Example:
  strongroom org list")]
    List,
    /// Show an organization and its tenants
    #[command(after_help = "Example:
  strongroom org show acme")]
    Show {
        /// Its name or id
        org: String,
    },
    /// Delete an organization that has no tenants, with its kernel keys
    #[command(after_help = "Example:
  strongroom org delete acme")]
    Delete {
        /// Its name or id
        org: String,
    },
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let operator = Operator::open(host)?;
    match &args.command {
        Command::Create { name } => {
            operator.record(None, "organization.create", name)?;
            let made = operator.wait(operator.team.create_organization(name))?;
            output.report(&Row::of(&made, &[]))?;
            output.hint(&format!("run `strongroom tenant create NAME --org {name}`"));
            Ok(())
        }
        Command::List => {
            let all = operator.wait(operator.team.organizations())?;
            output.report(&List(all.iter().map(|one| Row::of(one, &[])).collect()))
        }
        Command::Show { org } => {
            let one = operator.organization(org)?;
            let tenants = operator.wait(operator.team.tenants(&one.id))?;
            let names: Vec<String> = tenants.into_iter().map(|tenant| tenant.name).collect();
            output.report(&Row::of(&one, &names))
        }
        Command::Delete { org } => {
            let one = operator.organization(org)?;
            let tenants = operator.wait(operator.team.tenants(&one.id))?;
            if !tenants.is_empty() {
                let many = tenants.len();
                return Err(Failure::failed(format!("the organization has tenants: {many}"))
                    .hint("delete them first: `strongroom tenant delete TENANT --yes`"));
            }
            operator.record(None, "organization.delete", one.id.as_str())?;
            operator.done(operator.team.delete_organization(&one.id))?;
            output.report(&Deleted { id: one.id.to_string(), deleted: true })
        }
    }
}

#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    created_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<String>,
}

impl Row {
    fn of(one: &Organization, tenants: &[String]) -> Self {
        Self {
            id: one.id.to_string(),
            name: one.name.clone(),
            created_at: rfc3339(one.created),
            tenants: tenants.to_vec(),
        }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

/// What was deleted.
#[derive(Serialize)]
pub struct Deleted {
    /// Its id.
    pub id: String,
    /// `true`.
    pub deleted: bool,
}

impl Report for Row {
    fn text(&self, _: Style) -> String {
        let Self { id, name, created_at, tenants } = self;
        let tenants = match tenants.as_slice() {
            [] => String::new(),
            names => format!("  tenants  {}\n", names.join(", ")),
        };
        format!("{name}\n  id       {id}\n  created  {created_at}\n{tenants}")
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        let head = ["NAME", "ID", "SINCE"].map(|word| style.dim(word)).to_vec();
        let rows =
            self.0.iter().map(|row| vec![row.name.clone(), row.id.clone(), row.created_at.clone()]);
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

impl Report for Deleted {
    fn text(&self, _: Style) -> String {
        format!("deleted {}\n", self.id)
    }
}
