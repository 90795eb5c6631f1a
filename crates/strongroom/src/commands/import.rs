//! `strongroom import`: plaintext secrets move from the clients' configurations into the vault.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use serde::{Serialize, Serializer};
use serde_json::Value;
use strongroom_clients::edit::{self, Format};
use strongroom_clients::file::ConfigFile;
use strongroom_clients::import::journal::Journal;
use strongroom_clients::import::plan::{Destination as _, Known, Left, Plan, Through};
use strongroom_clients::{Client, all, find};
use strongroom_model::display::DisplaySafe;
use strongroom_seal::SecureDir;

use crate::clients::{Target, diff};
use crate::commands::connect::text;
use crate::commands::shown;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::import::apply::{Changed, apply, unfinished};
use crate::import::batch;
use crate::import::store::Store;
use crate::import::undo::{Undone, undo};
use crate::output::{Output, Report, Style, table};
use crate::paths::Home;
use crate::servers::Places;
use crate::{admin, confirm, home, servers};

mod credentials;
mod env;
mod janee;

/// Move plaintext secrets out of the configuration of MCP clients
///
/// Each secret goes into the vault, for its server alone; the server goes into `strongroom.toml`; and
/// the client starts it by `strongroom run` from then on. Shows the change first, and asks a person.
/// Each file as it was stays beside it as a backup, which still holds the secrets: remove it once
/// everything works. `--undo` takes the last import back.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  strongroom import --dry-run
  strongroom import cursor claude-code
  strongroom import --undo
  strongroom import env .env --for shop
  strongroom import janee ~/.janee --dry-run
  strongroom import credentials dump.sql --dry-run"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    #[command(subcommand)]
    from: Option<From>,
    /// The clients; all that are on this machine, if there is none
    #[arg(value_parser = PossibleValuesParser::new(all().iter().map(|c| c.name.as_str())))]
    clients: Vec<String>,
    /// Where the secrets go
    #[arg(long, value_name = "SCHEME", value_enum, default_value_t = To::Local)]
    to: To,
    /// Change the files of the project in the current directory and not the user's
    #[arg(long)]
    project: bool,
    /// Move secrets in arguments and addresses, too: other programs go on seeing them
    #[arg(long)]
    allow_visible_secrets: bool,
    /// Show the change and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Take the last import back
    #[arg(long, conflicts_with_all = ["clients", "project", "allow_visible_secrets", "to"])]
    undo: bool,
}

/// Where the secrets go.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum To {
    /// Into the vault of this machine, for their server alone
    Local,
    /// Into the system's keychain, which every program of yours can ask
    Keychain,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    Credentials(credentials::Args),
    Env(env::Args),
    Janee(janee::Args),
}

/// Imports.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.from {
        Some(From::Credentials(args)) => return credentials::run(args, host, *output),
        Some(From::Env(args)) => return env::run(args, host, *output),
        Some(From::Janee(args)) => return janee::run(args, host, *output),
        None => {}
    }
    let home = host.home()?;
    let vault = home::open(&home, host.clock.clone())?;
    if args.undo {
        let undone = undo(host, &home, &vault, output, args.dry_run)?;
        let undone = undone.ok_or_else(|| {
            Failure::failed("there is no import that could be taken back")
                .hint("run `strongroom import --dry-run` to see what one would do")
        })?;
        return output.report(&ShownUndo { undone: &undone, host });
    }
    let through = Through {
        program: text(&host.program)?,
        home: host.environment.get("STRONGROOM_HOME").map(Path::new).map(text).transpose()?,
    };
    let config = Config::load(&home)?;
    let store = match args.to {
        To::Local => Store::Local(&vault),
        To::Keychain => Store::Keychain(home.keychain()),
    };
    let plan = plan(args, host, &home, &store)?;
    let journal = Journal::read(&SecureDir::open(&home.state)?)?;
    if unfinished(&journal).is_some() {
        output.say("An import was interrupted before: this one goes on with it.");
    }
    let files = plan.files().into_iter().map(|(client, file)| Shown {
        client,
        file: file.to_owned(),
        diff: preview(&plan, client, file, through, host).unwrap_or_default(),
    });
    let mut answer = Answer {
        files: files.collect(),
        plan: &plan,
        store: &store,
        changed: Vec::new(),
        dry_run: args.dry_run,
        host,
    };
    if args.dry_run || plan.is_empty() {
        return output.report(&answer);
    }
    if !output.is_json() {
        output.say(answer.diffs().trim_end());
    }
    if !config.headless {
        confirm::by_a_person(&answer.widens(), host).inspect_err(|_| {
            admin::record_if_possible(host, output, "server.import.refused", "clients");
        })?;
    }
    answer.changed = apply(&batch::of(&plan, through, &store), host, &home, &mut |_| Ok(()))?;
    output.report(&answer)?;
    if !answer.changed.is_empty() {
        output.hint(
            "the backups still hold the secrets in plain text: remove them once everything works, \
             and think of replacing the secrets themselves",
        );
    }
    Ok(())
}

fn plan(args: &Args, host: &Host, home: &Home, store: &Store<'_>) -> Result<Plan, Failure> {
    let config = ConfigFile::read(&home.config_file())?.text.unwrap_or_default();
    let config = edit::read(Format::Toml, &config).unwrap_or(Value::Null);
    let places = Places { directory: &host.directory, registry: None };
    let servers = servers::load(host, home, &Config::load(home)?, places)?.catalogue;
    let taken = |name: &str| servers.find(name).is_some();
    let known =
        Known { config: &config, taken: &taken, store, visible: args.allow_visible_secrets };
    let named: Vec<&'static Client> = if args.clients.is_empty() {
        all().iter().collect()
    } else {
        args.clients.iter().filter_map(|name| find(name)).collect()
    };
    let mut plan = Plan::default();
    for client in named {
        let files = if args.project {
            Target::in_project(client, host).map(|target| target.path().to_owned())
        } else {
            None
        };
        let files: Vec<PathBuf> = match (args.project, files) {
            (true, file) => file.into_iter().collect(),
            (false, _) => client.user_files(&host.environment),
        };
        for file in files {
            plan.add(client, &file, &known)?;
        }
    }
    plan.check(&|planned| batch::refusal(planned, store));
    Ok(plan)
}

/// The change of one file, its secrets hidden.
fn preview(
    plan: &Plan,
    client: &Client,
    file: &Path,
    through: Through<'_>,
    host: &Host,
) -> Option<String> {
    let before = ConfigFile::read(file).ok()?.text?;
    let after = plan.rewritten(file, &before, through).ok()?;
    Some(diff(client, &shown(file, &host.environment), &before, &after))
}

/// A file that is to be changed.
struct Shown {
    client: &'static Client,
    file: PathBuf,
    diff: String,
}

struct Answer<'a> {
    plan: &'a Plan,
    store: &'a Store<'a>,
    files: Vec<Shown>,
    changed: Vec<Changed>,
    dry_run: bool,
    host: &'a Host,
}

impl Answer<'_> {
    fn diffs(&self) -> String {
        self.files.iter().map(|file| file.diff.as_str()).collect::<Vec<_>>().concat()
    }

    /// What a person is asked to confirm.
    fn widens(&self) -> Vec<String> {
        let new = self.plan.servers.iter().filter(|planned| planned.is_new);
        let lines = new.map(|planned| {
            let names = planned.spec.secrets.iter();
            let names: Vec<String> =
                names.map(|(name, _)| self.store.reference(&planned.name, name)).collect();
            let name = &planned.name;
            format!("`strongroom run {name}` gives {} to the server `{name}`", names.join(", "))
        });
        lines.collect()
    }

    fn table(&self) -> String {
        let rows = self.plan.servers.iter().map(|planned| {
            let secrets = planned.spec.secrets.iter();
            let secrets: Vec<String> =
                secrets.map(|(name, _)| self.store.reference(&planned.name, name)).collect();
            let state = if planned.is_new { "" } else { "there already" };
            vec![format!("  {}", planned.name), secrets.join(", "), state.to_owned()]
        });
        table(&rows.collect::<Vec<_>>())
    }
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Server<'a> {
            name: &'a str,
            new: bool,
            secrets: Vec<String>,
        }
        #[derive(Serialize)]
        struct Rewritten<'a> {
            client: &'a str,
            file: &'a Path,
            backup: Option<&'a Path>,
            #[serde(skip_serializing_if = "Option::is_none")]
            diff: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct Shape<'a> {
            dry_run: bool,
            servers: Vec<Server<'a>>,
            files: Vec<Rewritten<'a>>,
            left: &'a [Left],
        }
        let servers = self.plan.servers.iter().map(|planned| Server {
            name: planned.name.as_str(),
            new: planned.is_new,
            secrets: planned
                .spec
                .secrets
                .iter()
                .map(|(name, _)| self.store.reference(&planned.name, name))
                .collect(),
        });
        let files = self.files.iter().map(|shown| {
            let target = shown.file.canonicalize().unwrap_or_else(|_| shown.file.clone());
            let changed = self.changed.iter().find(|changed| changed.file == target);
            Rewritten {
                client: &shown.client.name,
                file: &shown.file,
                backup: changed.and_then(|changed| changed.backup.as_deref()),
                diff: self.dry_run.then_some(shown.diff.as_str()),
            }
        });
        Shape {
            dry_run: self.dry_run,
            servers: servers.collect(),
            files: files.collect(),
            left: &self.plan.left,
        }
        .serialize(serializer)
    }
}

impl Report for Answer<'_> {
    fn text(&self, style: Style) -> String {
        let path = |path: &Path| shown(path, &self.host.environment);
        let nothing = self.plan.is_empty() && !self.plan.left.is_empty();
        let mut text = if nothing { "Nothing is to be moved.\n".to_owned() } else { String::new() };
        let mut part = |heading: &str, body: &str| {
            if !body.is_empty() {
                if !text.is_empty() {
                    text.push('\n');
                }
                text = format!("{text}{}\n{body}", style.bold(heading));
            }
        };
        if self.plan.is_empty() {
            // There is nothing to show.
        } else if self.dry_run {
            part("This would change:", &format!("\n{}", self.diffs()));
            part("These servers would start with their secrets from the vault:", &self.table());
        } else {
            part("These servers start with their secrets from the vault now:", &self.table());
            let rows = self.changed.iter().map(|changed| {
                let backup = changed.backup.as_deref().and_then(Path::file_name);
                let backup = backup.map_or("-".into(), |name| name.to_string_lossy().into_owned());
                vec![format!("  {}", path(&changed.file)), backup]
            });
            part("Files, and the backups beside them:", &table(&rows.collect::<Vec<_>>()));
        }
        let left = self.plan.left.iter().map(|left| {
            let server = DisplaySafe(&left.server);
            format!("  {} {server} in {}\n    {}\n", left.client, path(&left.file), left.why)
        });
        part("These keep their secrets:", &left.collect::<Vec<_>>().concat());
        if text.is_empty() { "No client keeps a secret in plain text.\n".to_owned() } else { text }
    }
}

struct ShownUndo<'a> {
    undone: &'a Undone,
    host: &'a Host,
}

impl Serialize for ShownUndo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.undone.serialize(serializer)
    }
}

impl Report for ShownUndo<'_> {
    fn text(&self, style: Style) -> String {
        let Undone { dry_run, restored, changed, servers, secrets, kept, newer } = self.undone;
        let path = |path: &PathBuf| shown(path, &self.host.environment);
        let mut text = String::new();
        let mut part = |heading: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                let lines: Vec<String> = lines.iter().map(|line| format!("  {line}\n")).collect();
                text = format!("{text}{}\n{}", style.bold(heading), lines.concat());
            }
        };
        let heading = |now: &str, would: &str| (if *dry_run { would } else { now }).to_owned();
        part(
            &heading("These files are as they were:", "These files would be as they were:"),
            restored.iter().map(path).collect(),
        );
        let changed = changed.iter().map(|(file, backup)| match backup {
            Some(backup) => format!("{} (as it was: {})", path(file), path(backup)),
            None => format!("{} (its backup is gone)", path(file)),
        });
        part("These were changed since, and stay as they are:", changed.collect());
        part(&heading("Servers removed:", "Servers that would be removed:"), servers.clone());
        part(
            &heading("Secrets removed from the vault:", "Secrets that would be removed:"),
            secrets.clone(),
        );
        part("These servers stay, since a file still starts them:", kept.clone());
        part("These secrets stay, since they may be newer:", newer.clone());
        if text.is_empty() { "There was nothing left to take back.\n".to_owned() } else { text }
    }
}

/// Refuses a file that holds nothing to move.
fn nothing(path: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} holds no secret that could be moved", path.display()))
}
