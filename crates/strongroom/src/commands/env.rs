//! `strongroom env`: the names of a server's variables, or a file with their values.

use std::path::PathBuf;

use serde::Serialize;
use strongroom_gateway::launcher::{self, System};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Server, Stdio, Template};

use crate::commands::{lock, shown};
use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};
use crate::paths::Home;
use crate::release::{self, Journal};
use crate::servers::{self, Places, Servers, quoted, start};
use crate::{admin, confirm, envfile, supply};

/// Show which variables a server gets, or write them into a file
///
/// Without `--write` only names are shown. With it the values of the secrets are written into a file
/// of the project that only you can read, and that git ignores: plain text on a disk, so it shows a
/// code at the terminal, to be typed back. A file that git tracks is refused. Other variables in the
/// file stay as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom env files
  strongroom env files --write
  strongroom env files --write config/.env")]
pub struct Args {
    /// The server
    server: String,
    /// Write the secrets into this file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = envfile::FILE)]
    write: Option<PathBuf>,
    /// Look for the server in this registry file, too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

/// Shows or writes.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let places = Places { directory: &host.directory, registry: args.registry.as_deref() };
    let servers = servers::load(host, &home, &config, places)?;
    let entry = servers.entry(&args.server)?;
    let server = servers.server(host, entry, true)?;
    let stdio = start::program(server)?;
    let Some(file) = &args.write else {
        return output.report(&Names::of(stdio));
    };
    if !entry.on {
        return Err(start::off(&server.name));
    }
    lock::refuse_start(&home, &server.name)?;
    let path = if args.is_usual() { servers.project.join(file) } else { host.directory.join(file) };
    Write { host, home: &home, config: &config, servers: &servers, server, stdio, output }.to(path)
}

impl Args {
    fn is_usual(&self) -> bool {
        self.write.as_ref().is_some_and(|file| file.as_os_str() == envfile::FILE)
    }
}

struct Write<'a> {
    host: &'a Host,
    home: &'a Home,
    config: &'a Config,
    servers: &'a Servers,
    server: &'a Server,
    stdio: &'a Stdio,
    output: &'a Output,
}

impl Write<'_> {
    fn to(&self, path: PathBuf) -> Result<(), Failure> {
        let Self { host, home, config, servers, server, output, .. } = *self;
        if self.stdio.args.iter().any(Template::is_secret) {
            return Err(envfile::in_arguments(server));
        }
        let secret: Vec<(&String, &Template)> =
            self.stdio.env.iter().filter(|(_, value)| value.is_secret()).collect();
        if secret.is_empty() {
            return Err(Failure::failed(format!("`{}` has no secrets to write", server.name)));
        }
        let path = envfile::real(path);
        let file = shown(&path, &host.environment);
        if envfile::is_tracked(host, &path) {
            let text =
                format!("git tracks `{file}`: whoever has the repository would have the secrets");
            let other = format!("strongroom env {} --write FILE", server.name);
            let cached = quoted(&path.display().to_string());
            return Err(Failure::failed(text)
                .hint(format!("write another one: `{other}`; or run `git rm --cached {cached}`")));
        }
        let what = format!(
            "writes {} of `{}` in plain text to {file}",
            count(secret.len(), "secret"),
            server.name
        );
        if !config.headless {
            confirm::by_a_person(&[what], host).inspect_err(|_| {
                admin::record_if_possible(host, output, "env.write.refused", server.name.as_str());
            })?;
        }
        let supply = supply::open(host, home, config, &servers.project);
        let journal = Journal { host, home, output, audit: config.audit };
        let released = release::take(&supply, server, &|| servers.references(), &journal)?;
        let lookup = |reference: &SecretRef| -> Option<&Secret> { released.get(reference) };
        let mut values = Vec::with_capacity(secret.len());
        for (name, template) in secret {
            let value = launcher::value(template, &lookup, name, System::CURRENT);
            let value = value.map_err(|error| {
                let hint = error.hint();
                Failure::failed(error).maybe_hint(hint)
            })?;
            values.push((name.as_str(), value));
        }
        let values: Vec<(&str, &Secret)> =
            values.iter().map(|(name, value)| (*name, value)).collect();
        admin::record(host, home, "env.write", server.name.as_str())?;
        journal.append(released.record(&server.name))?;
        let is_new = envfile::ignore(&path)?;
        envfile::write(host, &path, &values)?;
        output.warn(&format!(
            "{file} has {} in plain text now: remove it when it is not needed",
            count(values.len(), "secret")
        ));
        output.report(&Done {
            server: server.name.to_string(),
            file: path,
            names: values.iter().map(|(name, _)| (*name).to_owned()).collect(),
            gitignore: is_new,
            shown: file,
        })
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[derive(Serialize)]
struct Done {
    server: String,
    file: PathBuf,
    names: Vec<String>,
    /// Whether `.gitignore` had to be told.
    gitignore: bool,
    #[serde(skip)]
    shown: String,
}

impl Report for Done {
    fn text(&self, style: Style) -> String {
        let ignored = if self.gitignore { "added" } else { "already" };
        format!("{}  {}\n.gitignore  {ignored}\n", style.bold(&self.shown), self.names.join(", "))
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Names(Vec<Variable>);

#[derive(Serialize)]
struct Variable {
    name: String,
    /// What its value is made of; none where it is plain.
    references: Vec<String>,
}

impl Names {
    fn of(stdio: &Stdio) -> Self {
        let variable = |(name, value): (&String, &Template)| Variable {
            name: name.clone(),
            references: value.references().map(ToString::to_string).collect(),
        };
        Self(stdio.env.iter().map(variable).collect())
    }
}

impl Report for Names {
    fn text(&self, _: Style) -> String {
        self.0.iter().flat_map(|variable| [&*variable.name, "\n"]).collect()
    }
}
