//! `strongroom secrets set`: stores a secret in the vault.

use std::sync::Arc;

use serde::Serialize;
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_store::{SecretUse, Vault};

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};
use crate::paths::Home;
use crate::servers::{self, Places};
use crate::{admin, confirm, home, keys};

/// Store a secret, or give one that is stored a new value
///
/// It is referred to as `local://NAME`, and used for one thing only: the start of a server, a
/// service, or a provider. A name such as `files/token` is for the server `files` unless `--for` says
/// something else. Another use than before needs a person: it shows a code at the terminal, to be
/// typed back.
///
/// On a team server a name such as `amazon/api_key` is the service of a credential and its field. A
/// credential is stored as a whole: what it held before is gone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom secrets set files/token
  strongroom secrets set github --for launch:files --key-stdin < token
  strongroom secrets set amazon --field api_key --field secret_key --remote work")]
pub(super) struct Args {
    /// Its name, without `local://`
    pub(super) name: String,
    /// Who may use it: `launch:SERVER`, `service:NAME`, `provider:SCHEME` or `any`
    #[arg(long = "for", value_name = "USE")]
    pub(super) used_by: Option<SecretUse>,
    /// Read it from stdin: one line for each field where there are several
    #[arg(long)]
    pub(super) key_stdin: bool,
    /// On a team server: a field of the credential (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(super) field: Vec<String>,
    /// On a team server: what the credential is, where it is no `api_key`
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) kind: Option<String>,
}

/// Stores it.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    if !args.field.is_empty() || args.kind.is_some() {
        return Err(Failure::usage("`--field` and `--type` are for the credentials of a team")
            .hint("add `--remote NAME`, or store each secret under a name of its own"));
    }
    let name = args.name.trim_start_matches("local://");
    let reference = format!("local://{name}").parse::<SecretRef>();
    let reference = reference.ok().filter(|reference| reference.fragment().is_none());
    let Some(reference) = reference else {
        return Err(Failure::usage("this cannot be the name of a secret")
            .hint("use letters, digits, `-`, `_`, `.` and `/`"));
    };
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let before = vault.used_by(name)?;
    if [before.as_ref(), args.used_by.as_ref()]
        .iter()
        .any(|it| matches!(it, Some(SecretUse::Remote(_))))
    {
        return Err(Failure::usage("the key of a team server goes with its address")
            .hint("run `strongroom remote login URL`"));
    }
    let used_by = args.used_by(name, before.as_ref(), host, &home, &config)?;
    let wider = wider(&reference, before.as_ref(), &used_by);
    if !wider.is_empty() && !config.headless {
        confirm::by_a_person(&wider, host).inspect_err(|_| {
            admin::record_if_possible(host, &output, "secrets.set.refused", name);
        })?;
    }
    let secret = keys::secret(host, args.key_stdin, name)?;
    admin::record(host, &home, "secrets.set", name)?;
    vault.put(name, &used_by, &secret)?;
    output.report(&Done {
        reference: reference.to_string(),
        used_by: used_by.to_string(),
        version: version(&vault, name)?,
    })
}

impl Args {
    /// Who may use it: as the person says, as before, or the server that it is named after.
    fn used_by(
        &self,
        name: &str,
        before: Option<&SecretUse>,
        host: &Host,
        home: &Home,
        config: &Config,
    ) -> Result<SecretUse, Failure> {
        if let Some(used_by) = self.used_by.as_ref().or(before) {
            return Ok(used_by.clone());
        }
        let first = name.split('/').next().unwrap_or(name);
        let places = Places { directory: &host.directory, registry: None };
        let servers = servers::load(host, home, config, places)?;
        match first.parse::<Name>() {
            Ok(first) if servers.catalogue.find(first.as_str()).is_some() => {
                Ok(SecretUse::Launch(first))
            }
            _ => Err(Failure::usage(format!("who may use `local://{name}` is not known"))
                .hint("add `--for launch:SERVER`, `--for service:NAME` or `--for any`")),
        }
    }
}

/// What others may do with it that they could not before.
fn wider(reference: &SecretRef, before: Option<&SecretUse>, used_by: &SecretUse) -> Vec<String> {
    match before {
        Some(before) if before != used_by => {
            vec![format!("gives `{reference}` to `{used_by}`, which was for `{before}`")]
        }
        None if *used_by == SecretUse::Any => vec![format!("gives `{reference}` to everybody")],
        _ => Vec::new(),
    }
}

fn version(vault: &Vault, name: &str) -> Result<u64, Failure> {
    let all = vault.list()?;
    Ok(all.iter().find(|stored| stored.name == name).map_or(1, |stored| stored.version))
}

#[derive(Serialize)]
struct Done {
    reference: String,
    #[serde(rename = "for")]
    used_by: String,
    version: u64,
}

impl Report for Done {
    fn text(&self, style: Style) -> String {
        format!("{}  for {}  version {}\n", style.bold(&self.reference), self.used_by, self.version)
    }
}
