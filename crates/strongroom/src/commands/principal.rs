//! `strongroom principal`: who may call, and the tokens of those who come over HTTP.

use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_store::{Principals, Vault, VaultError};

use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::{admin, home};

/// Make, list and disable principals: who may call
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a principal and print its token, once
    #[command(after_help = "Example:
  strongroom principal create ci")]
    Create {
        /// Its name
        name: Name,
    },
    /// Give a principal a new token, printed once; the old one is refused from now on
    #[command(after_help = "Example:
  strongroom principal rotate ci")]
    Rotate {
        /// Its name
        name: String,
    },
    /// List the principals
    #[command(after_help = "Example:
  strongroom principal list")]
    List,
    /// Refuse a principal and its token from now on
    #[command(after_help = "Example:
  strongroom principal disable ci")]
    Disable {
        /// Its name
        name: String,
    },
}

#[derive(Serialize)]
struct Created {
    principal: String,
    token: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

#[derive(Serialize)]
struct Row {
    name: String,
    token: bool,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<String>,
}

#[derive(Serialize)]
struct Disabled<'a> {
    disabled: &'a str,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    match &args.command {
        Command::Create { name } => {
            let list = vault.principals().list()?;
            if list.iter().any(|info| info.name == *name && info.has_token) {
                return Err(VaultError::PrincipalExists { name: name.clone() }.into());
            }
            admin::record(host, &home, "principal.create", name.as_str())?;
            print(name, &vault.principals().create(name)?, *output)
        }
        Command::Rotate { name } => {
            let known = find(&vault, name)?;
            admin::record(host, &home, "principal.rotate", name)?;
            print(&known, &vault.principals().renew(&known)?, *output)
        }
        Command::List => {
            let list = vault.principals().list()?;
            let rows = list.into_iter().map(|info| Row {
                name: info.name.to_string(),
                token: info.has_token,
                created: rfc3339(info.created),
                disabled: info.disabled.map(rfc3339),
            });
            output.report(&List(rows.collect()))
        }
        Command::Disable { name } => {
            let known = find(&vault, name)?;
            admin::record(host, &home, "principal.disable", name)?;
            vault.principals().disable(&known)?;
            output.report(&Disabled { disabled: name })
        }
    }
}

/// Prints a token, the one time that it is shown: the person asked for it.
fn print(name: &Name, token: &Secret, output: Output) -> Result<(), Failure> {
    let token = String::from_utf8_lossy(token.expose()).into_owned();
    output.report(&Created { principal: name.to_string(), token })?;
    output.say("This is the only time that the token is shown.");
    Ok(())
}

fn find(vault: &Vault, name: &str) -> Result<Name, Failure> {
    let list = Principals::list(vault.principals())?;
    if let Some(info) = list.iter().find(|info| info.name.as_str() == name) {
        return Ok(info.name.clone());
    }
    let failure = Failure::failed("there is no such principal");
    Err(match near::nearest(name, list.iter().map(|info| info.name.as_str())) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("run `strongroom principal list`"),
    })
}

impl Report for Created {
    fn text(&self, _: Style) -> String {
        format!("{}\n", self.token)
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        let head = ["NAME", "OVER", "SINCE", ""].map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|row| {
            let over = if row.token { "stdio, http" } else { "stdio" };
            let disabled = row.disabled.as_ref().map(|time| format!("disabled {time}"));
            vec![
                row.name.clone(),
                over.to_owned(),
                row.created.clone(),
                disabled.unwrap_or_default(),
            ]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

impl Report for Disabled<'_> {
    fn text(&self, _: Style) -> String {
        format!("disabled `{}`: its token and `--as {0}` are refused from now on\n", self.disabled)
    }
}
