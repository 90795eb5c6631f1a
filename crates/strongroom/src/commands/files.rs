//! `strongroom files`: the exchange folders.

use std::fs::File;
use std::path::PathBuf;

use serde::Serialize;
use strongroom_model::principal::Name;
use strongroom_proxy::Exchange;
use strongroom_seal::file::open_regular;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::home::DEFAULT_PRINCIPAL;
use crate::near;
use crate::output::{Output, Report, Style, table};

/// See and fill the folders that agents exchange files in
///
/// An answer that an agent saves (`save`) and a file that it sends (`body_file`) are in its folder,
/// closed to other users. What nobody changes for a day goes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom files list
  strongroom files put ./report.csv --as claude-code
  strongroom files remove report.csv --as claude-code")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Put(PutArgs),
    Remove(RemoveArgs),
}

/// List the files
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: strongroom files list --as claude-code")]
struct ListArgs {
    /// Only those of this principal
    #[arg(long = "as", value_name = "NAME")]
    principal: Option<Name>,
}

/// Copy a file into a folder, so that an agent can send it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: strongroom files put ./report.csv")]
struct PutArgs {
    /// The file
    file: PathBuf,
    /// Into the folder of this principal
    #[arg(long = "as", value_name = "NAME", default_value = DEFAULT_PRINCIPAL)]
    principal: Name,
    /// What it is called there; otherwise what it is called here
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Remove a file from a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: strongroom files remove report.csv")]
struct RemoveArgs {
    /// Its name
    name: String,
    /// From the folder of this principal
    #[arg(long = "as", value_name = "NAME", default_value = DEFAULT_PRINCIPAL)]
    principal: Name,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Files(Vec<Row>);

#[derive(Serialize)]
struct Row {
    principal: String,
    name: String,
    bytes: u64,
    changed: String,
    path: String,
}

#[derive(Serialize)]
struct Put {
    path: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Removed {
    removed: bool,
}

/// Does what the subcommand says.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let keeping = Config::load_without_services(&home)?.files;
    let exchange = Exchange::new(home.files_dir(), keeping);
    match &args.command {
        Command::List(args) => list(args, &exchange, *output),
        Command::Put(args) => put(args, &exchange, host, *output),
        Command::Remove(args) => remove(args, &exchange, *output),
    }
}

fn list(args: &ListArgs, exchange: &Exchange, output: Output) -> Result<(), Failure> {
    let principals = match &args.principal {
        Some(principal) => vec![principal.clone()],
        None => exchange.principals(),
    };
    let mut rows = Vec::new();
    for principal in principals {
        for entry in exchange.list(&principal)? {
            let changed = OffsetDateTime::from(entry.changed);
            let changed = changed.replace_nanosecond(0).unwrap_or(changed);
            rows.push(Row {
                principal: principal.to_string(),
                path: exchange.path(&principal).join(&entry.name).display().to_string(),
                name: entry.name,
                bytes: entry.bytes,
                changed: changed.format(&Rfc3339).map_err(Failure::failed)?,
            });
        }
    }
    output.report(&Files(rows))
}

fn put(args: &PutArgs, exchange: &Exchange, host: &Host, output: Output) -> Result<(), Failure> {
    let file = host.directory.join(&args.file);
    let own = || file.file_name()?.to_str().map(str::to_owned);
    let name = args.name.clone().or_else(own).filter(|name| Exchange::is_name(name));
    let Some(name) = name else {
        return Err(Failure::usage("the file cannot have that name in a folder of an agent")
            .hint("give it a plain one by `--name`, without `/` and no dot at its beginning"));
    };
    let mut from: File = open_regular(&file)?;
    let bytes = exchange.put(&args.principal, &name, &mut from)?;
    let path = exchange.path(&args.principal).join(&name).display().to_string();
    output.report(&Put { path, bytes })?;
    output.hint(&format!("an agent sends it by `\"body_file\": \"{name}\"`"));
    Ok(())
}

fn remove(args: &RemoveArgs, exchange: &Exchange, output: Output) -> Result<(), Failure> {
    if exchange.remove(&args.principal, &args.name)? {
        return output.report(&Removed { removed: true });
    }
    let failure =
        Failure::failed(format!("there is no such file in the folder of `{}`", args.principal));
    let there = exchange.list(&args.principal)?;
    Err(match near::nearest(&args.name, there.iter().map(|entry| entry.name.as_str())) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("run `strongroom files list`"),
    })
}

impl Report for Files {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "no files\n".to_owned();
        }
        let head = ["PRINCIPAL", "NAME", "BYTES", "CHANGED"].map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|row| {
            vec![
                row.principal.clone(),
                row.name.clone(),
                row.bytes.to_string(),
                row.changed.clone(),
            ]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

impl Report for Put {
    fn text(&self, _: Style) -> String {
        format!("{}\n", self.path)
    }
}

impl Report for Removed {
    fn text(&self, _: Style) -> String {
        "removed\n".to_owned()
    }
}
