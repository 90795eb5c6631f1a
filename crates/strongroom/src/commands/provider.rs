//! `strongroom provider list|show|set`: where secrets come from.

mod set;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::reference::is_scheme;
use strongroom_secrets::providers::{self, About, ONEPASSWORD_TOKEN_FILE};
use strongroom_secrets::settings::{Context, Kind, Settings, Tokens};

use crate::commands::shown;
use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::providers::{context, failures, problem_of};

/// See and set up where secrets come from
///
/// A provider is asked for the references of its scheme: `op://...` is 1Password's. What it is told
/// stands in `[providers.NAME]` of strongroom.toml; its own token stands there as a reference only.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the providers, and what each needs to be used here
    #[command(after_help = "Examples:
  strongroom provider list
  strongroom provider list --json")]
    List,
    /// Show the settings of a provider, and which there are
    #[command(after_help = "Example:
  strongroom provider show op")]
    Show {
        /// The provider, by its scheme
        name: String,
    },
    Set(set::Args),
}

/// Lists, shows or sets up.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.action {
        Action::List => list(host, *output),
        Action::Show { name } => show(name, host, *output),
        Action::Set(args) => set::run(args, host, *output),
    }
}

fn list(host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let context = context(host, Tokens::default());
    let caches = failures(host, &home);
    let failed: Vec<_> = caches.iter().flat_map(|cache| cache.status(&[]).entries).collect();
    let none = Settings::default();
    let row = |about: About| {
        let settings = config.providers.settings.get(about.scheme).unwrap_or(&none);
        let of_it = failed.iter().filter(|entry| entry.reference.scheme() == about.scheme);
        let last = of_it.filter_map(|entry| entry.last_error.as_ref()).max_by_key(|error| error.at);
        let last_error = last.map(|error| error.kind.clone());
        Row { last_error, ..Row::new(&about, settings, &context, host) }
    };
    output.report(&Rows(providers::every().map(row).collect()))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Rows(Vec<Row>);

#[derive(Serialize)]
struct Row {
    name: &'static str,
    /// Whether everything is there that can be seen without asking it.
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// The kind of what went wrong last, if nothing has gone well since.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip)]
    program_shown: String,
}

impl Row {
    fn new(about: &About, settings: &Settings, context: &Context, host: &Host) -> Self {
        let found = providers::program(about, settings, context);
        let mut problem = problem_of(about, settings, context);
        let program = match found {
            Some(Ok(path)) => Some(path),
            Some(Err(error)) => {
                problem.get_or_insert((error.to_string(), error.hint()));
                None
            }
            None => None,
        };
        let program_shown = match (&program, about.tool, about.is_named) {
            (Some(path), _, _) => shown(path, &host.environment),
            (None, Some(tool), _) => format!("no `{}`", tool.name),
            (None, None, true) => match settings.tables.len() {
                1 => "1 command".to_owned(),
                n => format!("{n} commands"),
            },
            (None, None, false) => "built in".to_owned(),
        };
        let (problem, fix) = problem.map_or((None, None), |(text, fix)| (Some(text), fix));
        Self {
            name: about.scheme,
            ready: problem.is_none(),
            program,
            token: token(about, settings, context),
            problem,
            fix,
            last_error: None,
            program_shown,
        }
    }
}

/// Where the provider's token is, as far as that can be seen.
fn token(about: &About, settings: &Settings, context: &Context) -> Option<String> {
    let set = about.token.and_then(|key| settings.secret(key)).map(ToString::to_string);
    let variable = || {
        let name = about.token_variable.filter(|name| context.text(name).is_some())?;
        Some(format!("env://{name}"))
    };
    let file = || {
        let path = context.home.join(ONEPASSWORD_TOKEN_FILE);
        (about.scheme == "op" && path.exists()).then(|| format!("file://{}", path.display()))
    };
    set.or_else(variable).or_else(file)
}

impl Report for Rows {
    fn text(&self, style: Style) -> String {
        let head = ["NAME", "PROGRAM", "TOKEN", "LAST ERROR"].map(|word| style.dim(word)).to_vec();
        let row = |row: &Row| {
            let name = if row.ready { row.name.to_owned() } else { style.yellow(row.name) };
            let token = row.token.clone().unwrap_or_else(|| "-".to_owned());
            let last = row.last_error.clone().unwrap_or_else(|| "-".to_owned());
            vec![name, row.program_shown.clone(), token, last]
        };
        table(&std::iter::once(head).chain(self.0.iter().map(row)).collect::<Vec<_>>())
    }
}

/// The provider of this name; otherwise the failure that names the nearest one.
fn known(name: &str) -> Result<About, Failure> {
    if let Some(about) = providers::every().find(|about| about.scheme == name) {
        return Ok(about);
    }
    if is_scheme(name) {
        return Err(Failure::usage(format!("`{name}` takes no settings"))
            .hint(format!("use `{name}://...` as it is")));
    }
    let failure = Failure::usage(near::there_is_no("provider", name));
    Err(match near::nearest(name, providers::every().map(|about| about.scheme)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("run `strongroom provider list` to see the providers"),
    })
}

fn show(name: &str, host: &Host, output: Output) -> Result<(), Failure> {
    let about = known(name)?;
    let config = Config::load_without_services(&host.home()?)?;
    let settings = config.providers.settings.get(about.scheme).cloned().unwrap_or_default();
    output.report(&Shown::new(&about, &settings))
}

#[derive(Serialize)]
struct Shown {
    name: &'static str,
    settings: Vec<Setting>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    commands: BTreeMap<String, Vec<Setting>>,
}

#[derive(Serialize)]
struct Setting {
    key: &'static str,
    kind: &'static str,
    about: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Shown {
    fn new(about: &About, settings: &Settings) -> Self {
        let of = |settings: &Settings| {
            let setting = |field: &'static strongroom_secrets::settings::Field| {
                let value = match field.kind {
                    Kind::Secret => settings.secret(field.name).map(ToString::to_string),
                    Kind::Words => settings.words.get(field.name).map(|words| words.join(" ")),
                    Kind::Text | Kind::Path | Kind::Url => {
                        settings.text(field.name).map(str::to_owned)
                    }
                };
                let kind = match field.kind {
                    Kind::Text => "text",
                    Kind::Path => "path",
                    Kind::Url => "url",
                    Kind::Secret => "reference",
                    Kind::Words => "words",
                };
                Setting { key: field.name, kind, about: field.about, value }
            };
            about.fields.iter().map(setting).collect::<Vec<_>>()
        };
        let commands: BTreeMap<_, _> = if about.is_named {
            settings.tables.iter().map(|(name, table)| (name.clone(), of(table))).collect()
        } else {
            BTreeMap::new()
        };
        let settings = if about.is_named { Vec::new() } else { of(settings) };
        Self { name: about.scheme, settings, commands }
    }
}

impl Report for Shown {
    fn text(&self, style: Style) -> String {
        let rows = |settings: &[Setting]| {
            let row = |setting: &Setting| {
                let value = setting.value.clone().unwrap_or_else(|| "-".to_owned());
                vec![setting.key.to_owned(), value, style.dim(setting.about)]
            };
            table(&settings.iter().map(row).collect::<Vec<_>>())
        };
        let mut text = rows(&self.settings);
        for (name, settings) in &self.commands {
            write!(text, "{}\n{}", style.bold(&format!("{}://{name}", self.name)), rows(settings))
                .expect("writing to a String cannot fail");
        }
        text
    }
}
