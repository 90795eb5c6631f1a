//! `strongroom import credentials DUMP`: the credentials of another store into those of a team.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_seal::LocalKek;
use strongroom_store::team::{ImportError, ImportOptions, Imported, parse_dump};

use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};
use crate::team::Operator;

/// The variable that the other store had its key in.
const KEY: &str = "CREDENTIAL_ENCRYPTION_KEY";

/// The largest dump.
const LARGEST: u64 = 1 << 30;

/// Import the credentials of a store that sealed them under `CREDENTIAL_ENCRYPTION_KEY`
///
/// The dump is of its table `tenant_credentials`: by `pg_dump`, as CSV with a header, or as JSON lines.
/// Everything is opened and checked first: a wrong key, or a row that cannot be stored, changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  CREDENTIAL_ENCRYPTION_KEY=... strongroom import credentials dump.sql --tenant old-id=shop")]
pub(super) struct Args {
    /// The dump
    dump: PathBuf,
    /// Which tenant a tenant of the dump is (repeatable); where it is not said, ids are the same
    #[arg(long = "tenant", value_name = "THEIRS=OURS")]
    tenants: Vec<String>,
    /// Replace credentials that are there already
    #[arg(long)]
    replace: bool,
    /// Check everything, and store nothing
    #[arg(long)]
    dry_run: bool,
}

/// Imports.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let key = host.environment.get(KEY).ok_or_else(|| {
        Failure::usage(format!("`{KEY}` is not set")).hint("set it to the key of the other store")
    })?;
    let key = LocalKek::of_variable(&Secret::new(key.as_encoded_bytes().to_vec()))
        .map_err(Failure::failed)?;
    let path = host.directory.join(&args.dump);
    let unreadable = |error| Failure::failed(format!("the dump cannot be read: {error}"));
    if fs::metadata(&path).map_err(unreadable)?.len() > LARGEST {
        return Err(Failure::failed("the dump is larger than 1 GiB")
            .hint("export the table `tenant_credentials` alone"));
    }
    let rows = parse_dump(&fs::read_to_string(&path).map_err(unreadable)?)?;
    let operator = Operator::open(host)?;
    let mut options = ImportOptions {
        replace: args.replace,
        check_only: args.dry_run,
        ..ImportOptions::default()
    };
    for pair in &args.tenants {
        let Some((theirs, ours)) = pair.split_once('=') else {
            return Err(Failure::usage("`--tenant` is a pair").hint("write `--tenant THEIRS=OURS`"));
        };
        options.tenants.insert(theirs.to_owned(), operator.tenant(ours)?.id);
    }
    let imported = operator.finish(operator.team.import_credentials(&rows, &key, &options))?;
    output.report(&Done::of(imported, args.dry_run))
}

#[derive(Serialize)]
struct Done {
    stored: u64,
    kept: u64,
    tenants: u64,
    dry_run: bool,
}

impl Done {
    fn of(Imported { stored, kept, tenants }: Imported, dry_run: bool) -> Self {
        Self { stored, kept, tenants, dry_run }
    }
}

impl Report for Done {
    fn text(&self, _: Style) -> String {
        let Self { stored, kept, tenants, dry_run } = self;
        let would = if *dry_run { "would be " } else { "" };
        format!("{stored} credentials of {tenants} tenants {would}stored, {kept} there already\n")
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let hint = error.hint();
        let exit = match error {
            ImportError::Team(_) => Exit::Unavailable,
            _ => Exit::Failed,
        };
        Self::new(exit, error).maybe_hint(hint)
    }
}
