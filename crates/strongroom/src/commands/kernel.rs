//! `strongroom kernel`: the keys of those who act for every tenant of an organization.

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::team::KernelKey;

use crate::commands::key::Created;
use crate::commands::org::Deleted;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::team::Operator;

/// Make, list, disable, rotate and delete kernel keys, which act for every tenant of an organization
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a kernel key and print it, once
    #[command(after_help = "Example:
  strongroom kernel create --org acme --require-signature")]
    Create {
        /// The organization whose tenants it acts for
        #[arg(long, value_name = "ORG")]
        org: String,
        /// What people call it
        #[arg(long, default_value = "kernel")]
        name: String,
        /// Every request has to be signed with it, and it is never sent itself
        #[arg(long)]
        require_signature: bool,
    },
    /// List the kernel keys of an organization
    #[command(after_help = "Example:
  strongroom kernel list --org acme")]
    List {
        /// The organization
        #[arg(long, value_name = "ORG")]
        org: String,
    },
    /// Show a kernel key, without its secret
    #[command(after_help = "Example:
  strongroom kernel show 0123456789abcdef --org acme")]
    Show(Named),
    /// Refuse a kernel key from now on
    #[command(after_help = "Example:
  strongroom kernel disable 0123456789abcdef --org acme")]
    Disable(Named),
    /// Let a kernel key in again
    #[command(after_help = "Example:
  strongroom kernel enable 0123456789abcdef --org acme")]
    Enable(Named),
    /// Give a kernel key a new secret, printed once; the old one is refused from now on
    #[command(after_help = "Example:
  strongroom kernel rotate 0123456789abcdef --org acme")]
    Rotate(Named),
    /// Delete a kernel key for good
    #[command(after_help = "Example:
  strongroom kernel delete 0123456789abcdef --org acme")]
    Delete(Named),
}

/// A kernel key of an organization.
#[derive(Debug, clap::Args)]
struct Named {
    /// Its id or name
    kernel: String,
    /// The organization
    #[arg(long, value_name = "ORG")]
    org: String,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let operator = Operator::open(host)?;
    let team = &operator.team;
    let find = |named: &Named| {
        let org = operator.organization(&named.org)?;
        operator.kernel_key(&org, &named.kernel)
    };
    match &args.command {
        Command::Create { org, name, require_signature } => {
            let org = operator.organization(org)?;
            operator.record(None, "kernel.create", name)?;
            let made = team.create_kernel_key(&org.id, name, *require_signature);
            print(operator.wait(made)?, *output)
        }
        Command::List { org } => {
            let org = operator.organization(org)?;
            let keys = operator.wait(team.kernel_keys(&org.id))?;
            output.report(&List(keys.iter().map(Row::of).collect()))
        }
        Command::Show(named) => output.report(&Row::of(&find(named)?)),
        Command::Disable(named) => enable(&operator, find(named)?, false, *output),
        Command::Enable(named) => enable(&operator, find(named)?, true, *output),
        Command::Rotate(named) => {
            let key = find(named)?;
            operator.record(None, "kernel.rotate", key.id.as_str())?;
            print(operator.wait(team.rotate_kernel_key(&key.id))?, *output)
        }
        Command::Delete(named) => {
            let key = find(named)?;
            operator.record(None, "kernel.delete", key.id.as_str())?;
            operator.done(team.delete_kernel_key(&key.id))?;
            output.report(&Deleted { id: key.id.to_string(), deleted: true })
        }
    }
}

fn enable(
    operator: &Operator,
    key: KernelKey,
    enabled: bool,
    output: Output,
) -> Result<(), Failure> {
    let act = if enabled { "kernel.enable" } else { "kernel.disable" };
    operator.record(None, act, key.id.as_str())?;
    operator.done(operator.team.enable_kernel_key(&key.id, enabled))?;
    output.report(&Row::of(&KernelKey { enabled, ..key }))
}

/// Prints a key, the one time that it is shown: the person asked for it.
fn print(
    (key, token): (KernelKey, strongroom_model::secret::Secret),
    output: Output,
) -> Result<(), Failure> {
    output.report(&Created::of(&Row::of(&key), &token))?;
    output.say("This is the only time that the key is shown.");
    Ok(())
}

#[derive(Clone, Serialize)]
struct Row {
    id: String,
    organization_id: String,
    name: String,
    enabled: bool,
    require_signature: bool,
    created_at: String,
    last_used_at: Option<String>,
}

impl Row {
    fn of(key: &KernelKey) -> Self {
        Self {
            id: key.id.to_string(),
            organization_id: key.organization.to_string(),
            name: key.name.clone(),
            enabled: key.enabled,
            require_signature: key.require_signature,
            created_at: rfc3339(key.created),
            last_used_at: key.last_used.map(rfc3339),
        }
    }

    fn cells(&self) -> Vec<String> {
        let state = if self.enabled { "enabled" } else { "disabled" };
        let proof = if self.require_signature { "signature" } else { "secret" };
        let used = self.last_used_at.clone().unwrap_or_else(|| "never".into());
        vec![self.id.clone(), self.name.clone(), proof.into(), state.into(), used]
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

const HEAD: [&str; 5] = ["ID", "NAME", "BY", "STATE", "USED"];

impl Report for Row {
    fn text(&self, style: Style) -> String {
        List(vec![self.clone()]).text(style)
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        let head = HEAD.map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(Row::cells);
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
