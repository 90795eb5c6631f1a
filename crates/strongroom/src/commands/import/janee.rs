//! `strongroom import janee DIR`: the services of a Janee home, its secrets and its rules.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use strongroom_model::display::DisplaySafe;
use strongroom_model::secret::Secret;
use strongroom_proxy::exec::fingerprint;
use strongroom_store::vault::New;
use strongroom_store::{SecretUse, Vault};

use crate::commands::shown;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::import::janee::Left;
use crate::import::janee::files::{self, Home};
use crate::import::janee::plan::{self, Options, Plan, Planned};
use crate::import::janee::rules::Difference;
use crate::near;
use crate::output::{Output, Report, Style};
use crate::{admin, confirm, home, paths, stored};

/// Import the services, secrets and rules of a Janee home
///
/// Each capability becomes a service under its name; its secret goes into the vault, for that service
/// alone. Rules never allow more than they did there: the answer shows each with what it meant, and what
/// does not come over with the reason. The home itself stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom import janee ~/.janee --dry-run
  strongroom import janee ~/.janee --only stripe --only github")]
pub(super) struct Args {
    /// The home: the directory with `config.yaml` and `credentials.json`
    dir: PathBuf,
    /// Take this capability or service of several (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Where a capability had no rules, allow every request, as it was there
    #[arg(long)]
    allow_all: bool,
    /// Show what would be imported, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Imports.
pub(super) fn run(args: &Args, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let directory = host.directory.join(&args.dir);
    let theirs = files::read(&directory)?;
    args.check_names(&theirs)?;
    let editor = Editor::open(&home)?;
    let taken = editor.config().names().map(ToString::to_string).collect();
    let is_headless = editor.config().headless;
    drop(editor);
    let search = host.environment.get("PATH").map(ToOwned::to_owned).unwrap_or_default();
    let find = |program: &str| {
        // A name, and never a path of somebody's choice.
        let is_name = !program.contains(['/', '\\']);
        let mut places = std::env::split_paths(&search).filter(|place| place.is_absolute());
        is_name.then(|| places.find_map(|place| fingerprint(&place.join(program)).ok()))?
    };
    let options =
        Options { allow_all: args.allow_all, only: &args.only, taken: &taken, find: &find };
    let plan = plan::of(&theirs, &options);
    let mut answer = Answer {
        directory: shown(&directory, &host.environment),
        version: theirs.version.clone(),
        dry_run: args.dry_run,
        plan: &plan,
        backup: None,
    };
    if args.dry_run || plan.services.is_empty() {
        return output.report(&answer);
    }
    if !is_headless {
        confirm::by_a_person(&widens(&plan), host).inspect_err(|_| {
            for planned in &plan.services {
                let name = planned.name.as_str();
                admin::record_if_possible(host, &output, "service.import.refused", name);
            }
        })?;
    }
    let backup = apply(&plan, &theirs, host, &home, &vault)?;
    answer.backup = Some(shown(&backup, &host.environment));
    output.report(&answer)?;
    output.hint(&format!(
        "`{}` still has the secrets and the key that opens them: remove it once everything works, and \
         think of replacing the secrets; run `strongroom connect` to let a client use the services",
        answer.directory
    ));
    Ok(())
}

/// Stores the secrets and writes the services: all of them, or none.
fn apply(
    plan: &Plan,
    theirs: &Home,
    host: &Host,
    home: &paths::Home,
    vault: &Vault,
) -> Result<PathBuf, Failure> {
    let mut editor = Editor::open(home)?;
    for planned in &plan.services {
        if editor.config().names().any(|name| *name == planned.name) {
            return Err(Failure::failed(format!(
                "the service `{}` was added by somebody else in between",
                planned.name
            ))
            .hint("run the command again"));
        }
        for (place, _) in &planned.secrets {
            // What is there for another use stays.
            if vault.used_by(place.path())?.is_some() {
                stored::check_use(vault, place, &planned.name)?;
            }
        }
        editor.put(planned.name.as_str(), planned.table.clone());
    }
    editor.check()?;
    for planned in &plan.services {
        admin::record(host, home, "service.import", planned.name.as_str())?;
    }
    let backup = editor.back_up(host.clock.now())?;
    let puts = puts(plan, theirs)?;
    let new: Vec<New<'_>> =
        puts.iter().map(|Put { name, used_by, value }| New { name, used_by, value }).collect();
    // The secrets first, in one transaction: a service without its secret is an error, a secret
    // without its service is not, and the same import again puts it there again.
    vault.put_many(&new, true)?;
    if let Err(error) = editor.save() {
        for Put { name, .. } in &puts {
            vault.remove(name)?;
        }
        return Err(error.into());
    }
    Ok(backup)
}

/// A secret for the vault.
struct Put<'a> {
    name: &'a str,
    used_by: SecretUse,
    value: &'a Secret,
}

fn puts<'a>(plan: &'a Plan, theirs: &'a Home) -> Result<Vec<Put<'a>>, Failure> {
    let services: BTreeMap<&str, _> =
        theirs.services.iter().map(|service| (service.name.as_str(), service)).collect();
    let mut puts = Vec::new();
    for planned in &plan.services {
        for (place, field) in &planned.secrets {
            let secret = services.get(planned.service.as_str()).and_then(|s| s.secrets.get(field));
            let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
                return Err(Failure::failed(format!(
                    "the field `{field}` of `{}` is empty",
                    planned.service
                ))
                .hint("leave it out with `--only`; nothing was imported"));
            };
            let used_by = SecretUse::Service(planned.name.clone());
            puts.push(Put { name: place.path(), used_by, value: secret });
        }
    }
    Ok(puts)
}

/// What a person is asked to confirm.
fn widens(plan: &Plan) -> Vec<String> {
    let line = |planned: &Planned| {
        let list = |key: &str| {
            let list = planned.table.get(key).and_then(toml_edit::Item::as_array);
            let text = |rule: &toml_edit::Value| match rule.as_inline_table() {
                Some(table) => table.get("rule").and_then(|rule| rule.as_str().map(str::to_owned)),
                None => rule.as_str().map(str::to_owned),
            };
            let words = list.into_iter().flatten().filter_map(text);
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        };
        let allows = match list("allow") {
            none if none.is_empty() => "nothing".to_owned(),
            rules => rules,
        };
        let (name, address) = (&planned.name, &planned.address);
        if planned.table.contains_key("command") {
            format!("`{name}` gives its key to the program {address} and allows {allows}")
        } else {
            format!("`{name}` sends its key to {address} and allows {allows}")
        }
    };
    plan.services.iter().map(line).collect()
}

impl Args {
    /// A name that nothing has is a mistake.
    fn check_names(&self, home: &Home) -> Result<(), Failure> {
        let capabilities = home.capabilities.iter().map(|one| one.name.as_str());
        let names: Vec<&str> =
            capabilities.chain(home.services.iter().map(|one| one.name.as_str())).collect();
        let Some(name) = self.only.iter().find(|only| !names.contains(&only.as_str())) else {
            return Ok(());
        };
        let near = near::nearest(name, names).map(|near| format!("did you mean `{near}`?"));
        Err(Failure::usage("`--only` names no capability and no service of the home")
            .hint(near.unwrap_or_else(|| "`--dry-run` lists them".to_owned())))
    }
}

struct Answer<'a> {
    directory: String,
    version: String,
    dry_run: bool,
    plan: &'a Plan,
    backup: Option<String>,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Service<'a> {
            #[serde(flatten)]
            planned: &'a Planned,
            secrets: Vec<&'a str>,
            block: String,
        }
        #[derive(Serialize)]
        struct Shape<'a> {
            directory: &'a str,
            version: &'a str,
            dry_run: bool,
            services: Vec<Service<'a>>,
            left: &'a [Left],
            backup: Option<&'a str>,
        }
        let services = self.plan.services.iter().map(|planned| Service {
            planned,
            secrets: planned.secrets.iter().map(|(place, _)| place.as_str()).collect(),
            block: format!("[services.{}]\n{}", planned.name, planned.table),
        });
        Shape {
            directory: &self.directory,
            version: &self.version,
            dry_run: self.dry_run,
            services: services.collect(),
            left: &self.plan.left,
            backup: self.backup.as_deref(),
        }
        .serialize(serializer)
    }
}

impl Report for Answer<'_> {
    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        let mut add = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        match (self.plan.services.is_empty(), self.dry_run) {
            (true, _) => add("Nothing is imported."),
            (false, true) => add(&style.bold("These services would be imported:")),
            (false, false) => add(&style.bold("These services are imported:")),
        }
        for planned in &self.plan.services {
            add("");
            service(planned, style, &mut add);
        }
        if !self.plan.left.is_empty() {
            add("");
            add(&style.bold("These do not come over:"));
            for Left { what, why } in &self.plan.left {
                add(&format!("  {}: {}", DisplaySafe(what), DisplaySafe(why)));
            }
        }
        if let Some(backup) = &self.backup {
            add("");
            add(&format!("The configuration as it was: {backup}"));
        }
        text
    }
}

fn service(planned: &Planned, style: Style, add: &mut impl FnMut(&str)) {
    add(&format!("{}  {}", style.bold(planned.name.as_str()), DisplaySafe(&planned.address)));
    for (place, _) in &planned.secrets {
        add(&format!("  secret    {place}"));
    }
    for line in &planned.rules {
        let mark = match line.difference {
            Difference::Same => "same",
            Difference::Stricter => "stricter",
            Difference::Query => "query",
            Difference::Left => "left",
        };
        let here = match &*line.here {
            [] => "nothing".to_owned(),
            [only] => only.clone(),
            [first, .., last] => format!("{first} ... {last} ({} rules)", line.here.len()),
        };
        add(&format!("  {mark:<8}  {} -> {here}", DisplaySafe(&line.there)));
        add(&format!("            {}", line.why));
    }
    for note in &planned.notes {
        add(&format!("  note      {}", DisplaySafe(note)));
    }
}
