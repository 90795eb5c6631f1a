//! `strongroom import env FILE`: the secrets of a file of variables move into the vault.

use std::path::PathBuf;

use serde::Serialize;
use strongroom_clients::edit::Format;
use strongroom_clients::file::ConfigFile;
use strongroom_clients::import::plan::{Destination as _, Place};
use strongroom_clients::scan::{dotenv, variable};
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;

use super::nothing;
use crate::commands::shown;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::import::apply::{Batch, FileEdit, Put, apply};
use crate::import::store::Store;
use crate::output::{Output, Report, Style};
use crate::{admin, confirm, home};

/// Move the secrets of a file of variables into the vault
///
/// They become `local://SERVER/VARIABLE`, for that server alone, and their lines leave the file.
/// Everything else in it stays. A value that refers to other variables is not a secret yet, and stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  strongroom import env .env --for shop")]
pub(super) struct Args {
    /// The file
    file: PathBuf,
    /// The server that may use them
    #[arg(long = "for", value_name = "SERVER")]
    server: Name,
    /// Move every value, and not only those that look like secrets
    #[arg(long)]
    all: bool,
    /// Say what would move, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let vault = home::open(&home, host.clock.clone())?;
    let config = Config::load(&home)?;
    let path = host.directory.join(&args.file);
    let file = ConfigFile::read(&path)?;
    let Some(text) = &file.text else {
        return Err(Failure::failed(format!("there is no file {}", path.display())));
    };
    let moving: Vec<(String, Secret)> = dotenv::read(text)
        .into_iter()
        .filter(|found| moves(found, args.all))
        .map(|found| (found.name.to_owned(), Secret::new(found.value.into_bytes())))
        .collect();
    if moving.is_empty() {
        return Err(nothing(&path).hint("`--all` moves every value"));
    }
    let store = Store::Local(&vault);
    check_free(&store, &args.server, &moving)?;
    let names: Vec<String> =
        moving.iter().map(|(name, _)| store.name(&args.server, name)).collect();
    let mut answer = Moved {
        file: path.clone(),
        server: args.server.to_string(),
        variables: moving.iter().map(|(name, _)| name.clone()).collect(),
        references: names.iter().map(|name| format!("local://{name}")).collect(),
        backup: None,
        dry_run: args.dry_run,
        shown: shown(&path, &host.environment),
    };
    if args.dry_run {
        return output.report(&answer);
    }
    if !config.headless {
        let server = &args.server;
        let what = format!("`{server}` may be started with {}", answer.references.join(", "));
        confirm::by_a_person(&[what], host).inspect_err(|_| {
            admin::record_if_possible(host, &output, "server.import.refused", server.as_str());
        })?;
    }
    admin::record(host, &home, "server.import", args.server.as_str())?;
    let puts = moving.iter().zip(names).map(|((_, secret), name)| Put {
        name,
        server: &args.server,
        secret,
    });
    let variables = answer.variables.clone();
    let edit = FileEdit {
        path,
        servers: Vec::new(),
        edit: Box::new(move |text| Ok(without(text, &variables))),
        format: Format::default(),
    };
    let batch =
        Batch { store: &store, puts: puts.collect(), tables: Vec::new(), files: vec![edit] };
    let changed = apply(&batch, host, &home, &mut |_| Ok(()))?;
    answer.backup = changed.into_iter().find_map(|changed| changed.backup);
    output.report(&answer)
}

fn moves(found: &dotenv::Variable<'_>, all: bool) -> bool {
    let is_secret = || variable(found.name, &found.value).is_some();
    let is_reference = found.value.parse::<strongroom_model::reference::SecretRef>().is_ok();
    !found.expands && !found.value.is_empty() && !is_reference && (all || is_secret())
}

/// Refuses where the vault has something else at one of the names.
fn check_free(
    store: &Store<'_>,
    server: &Name,
    moving: &[(String, Secret)],
) -> Result<(), Failure> {
    for (variable, secret) in moving {
        if store.look(server, &store.name(server, variable), secret)? == Place::Other {
            let there = store.reference(server, variable);
            return Err(Failure::failed(format!("`{there}` is there already, and is not this"))
                .hint("choose another name by `--for`"));
        }
    }
    Ok(())
}

/// `text` without the lines of these variables.
fn without(text: &str, variables: &[String]) -> String {
    let mut rest = String::new();
    let mut at = 0;
    for found in dotenv::read(text) {
        if variables.iter().any(|variable| variable == found.name) {
            rest.push_str(&text[at..found.span.start]);
            at = found.span.end;
        }
    }
    rest.push_str(&text[at..]);
    rest
}

#[derive(Serialize)]
struct Moved {
    file: PathBuf,
    server: String,
    variables: Vec<String>,
    references: Vec<String>,
    backup: Option<PathBuf>,
    dry_run: bool,
    #[serde(skip)]
    shown: String,
}

impl Report for Moved {
    fn text(&self, style: Style) -> String {
        let heading = if self.dry_run {
            format!("These would move out of {} into the vault:", self.shown)
        } else {
            format!("These moved out of {} into the vault:", self.shown)
        };
        let pairs = self.variables.iter().zip(&self.references);
        let lines: Vec<String> =
            pairs.map(|(name, reference)| format!("  {name} = \"{reference}\"\n")).collect();
        let backup = self.backup.as_deref().and_then(std::path::Path::file_name);
        let backup = backup.map_or_else(String::new, |name| {
            format!(
                "\nThe file as it was is {} beside it: remove it once everything works.\n",
                name.to_string_lossy()
            )
        });
        let next = format!(
            "\n{} write them into `[servers.{}.env]` of strongroom.toml.\n",
            style.bold("Next:"),
            self.server
        );
        format!("{}\n{}{backup}{next}", style.bold(&heading), lines.concat())
    }
}
