//! `strongroom remove`: a service, and the secrets that were stored for it.

use std::io::{self, BufRead as _};
use std::sync::Arc;

use serde::Serialize;
use strongroom_secrets::remote::answers::Done;

use crate::config::Config;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};
use crate::remote::{Remote, credentials, definition};
use crate::{admin, home, stored};

/// Remove a service and the secrets that were stored for it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom remove github")]
pub struct Args {
    /// The service
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
    secrets: usize,
}

/// Removes the service.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let config = Config::load(&home)?;
    let name = match config.command(&args.name) {
        Some(command) => command.name.clone(),
        None => config.service(&args.name)?.name.clone(),
    };
    if !args.yes {
        ask(&args.name, host, *output)?;
    }
    let mut editor = Editor::open(&home)?;
    editor.remove(&args.name);
    editor.check()?;
    admin::record(host, &home, "service.remove", &args.name)?;
    // The service first: what has no secret is an error, a secret without a service is not.
    editor.save()?;
    let secrets = stored::remove_all(&vault, &name)?;
    output.report(&Removed { removed: &args.name, secrets })
}

/// Removes a service of a team's tenant, and the credentials that nothing else uses.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: &Output) -> Result<(), Failure> {
    let name = definition::find(remote, &args.name)?.name;
    if !args.yes {
        ask(&name, host, *output)?;
    }
    remote.delete::<Done>(definition::PATH, &[("name", &name)])?;
    let secrets = match credentials::remove_unused(remote, &name) {
        Ok(Some(count)) => count,
        Ok(None) => {
            let problem = format!("something else uses a credential of `{name}`, so they all stay");
            output.warn(&problem);
            0
        }
        Err(failure) if failure.exit == Exit::Denied => {
            output.warn("your key may not see to credentials, so they stay");
            0
        }
        Err(failure) => return Err(failure),
    };
    output.report(&Removed { removed: &name, secrets })
}

/// Asks the person to type the name.
fn ask(name: &str, host: &Host, output: Output) -> Result<(), Failure> {
    if !host.terminals.stdin {
        return Err(Failure::new(
            Exit::Denied,
            "there is no terminal to ask at, so nothing was removed",
        )
        .hint(format!("run `strongroom remove {name} --yes`")));
    }
    output.say(&format!("This removes `{name}` and its key. Type the name to go on:"));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Failure::failed)?;
    if line.trim() == name {
        Ok(())
    } else {
        Err(Failure::new(Exit::Denied, "the name was not typed, so nothing was removed"))
    }
}

impl Report for Removed<'_> {
    fn text(&self, _: Style) -> String {
        let secrets = match self.secrets {
            0 => "no stored secret".to_owned(),
            1 => "1 secret".to_owned(),
            many => format!("{many} secrets"),
        };
        format!("removed `{}` and {secrets}\n", self.removed)
    }
}
