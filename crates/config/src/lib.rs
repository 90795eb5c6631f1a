//! `strongroom.toml`: text in, checked services out.
//!
//! A mistake is named by its place and its key, never by its value: a secret that was pasted into
//! the file must not go on to a terminal or a log. There is no default for what was misspelt.
//!
//! [`edit`] changes the file and keeps its comments; [`live`] is the catalogue that running brokers
//! see, which takes up changes at the next call; [`tenant`] reads the same fields of a service where a
//! tenant sends them.

pub mod audit;
pub mod cache;
pub mod edit;
pub mod live;
pub mod paths;
pub mod providers;

mod auth;
pub mod command;
mod limits;
mod machine;
mod principals;
pub mod project;
mod reader;
mod rules;
pub mod servers;
mod service;
pub mod stamp;
pub mod team;
pub mod tenant;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_gateway::registry::Problem;
use strongroom_model::command::Command;
use strongroom_model::near::{nearest, there_is_no};
use strongroom_model::principal::Name;
use strongroom_model::service::{Allowance, Catalog, Service};
use strongroom_proxy::Keeping;
use strongroom_seal::{FileError, SecureDir};

use paths::Home;
use reader::Reader;

use servers::{Declared, Switches};

pub use auth::{AuthShape, SHAPES, Secrets};
pub use machine::KeySource;
pub use rules::{ALLOW_ALL, ALLOW_ALL_RULE};

/// The file's name in its directory.
pub const FILE: &str = "strongroom.toml";

/// The largest file.
const LARGEST: usize = 1 << 20;

/// The keys of the file itself.
const ROOT_KEYS: &[&str] = &[
    "machine_key",
    "headless",
    "calls_at_once",
    "approval_wait",
    "ask_for_secrets",
    "cache",
    "audit",
    "principals",
    "files",
    "providers",
    "services",
    "servers",
    "team",
    "catalog",
    "enable",
    "disable",
];

/// What the file says, checked.
#[derive(Debug)]
pub struct Config {
    /// Where the machine key lives.
    pub machine_key: KeySource,
    /// Whether nobody is at a terminal here: widening needs no confirmation (decision 28).
    pub headless: bool,
    /// Calls of one principal that may run at once.
    pub calls_at_once: usize,
    /// How long a call waits for a person where its client cannot show the question.
    pub approval_wait: Duration,
    /// Whether a person is asked for a secret that is needed and not stored.
    pub ask_for_secrets: bool,
    /// How long secrets are kept.
    pub cache: cache::Cache,
    /// How the audit is kept.
    pub audit: audit::Audit,
    /// How the exchange folders are kept.
    pub files: Keeping,
    /// Where secrets come from.
    pub providers: providers::Providers,
    /// The services, by name; none where they were not asked for.
    pub services: BTreeMap<Name, Arc<Service>>,
    /// The command services, by name; none where services were not asked for.
    pub commands: BTreeMap<Name, Arc<Command>>,
    /// What single principals may do less than others.
    pub principals: BTreeMap<Name, Allowance>,
    /// The team that is served here.
    pub team: team::Team,
    /// The MCP servers that the file has itself.
    pub servers: Declared,
    /// The registry files that it names: absolute paths, or such as begin with `~`.
    pub catalog_files: Vec<PathBuf>,
    /// Which servers it switches on and off.
    pub switches: Switches,
}

/// A mistake in the file, and its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong; it names keys and never values.
    pub problem: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// `init` has not been run.
    #[error("there is no Strongroom home yet: `{}` is missing", .path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The file or its directory may not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is a mistake in it.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// There is no service of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NoService {
    what: String,
    /// The name of a service that is near it.
    pub near: Option<String>,
}

/// Reads a file that the configuration names: certificates.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

impl Config {
    /// Reads the file of `home`.
    pub fn load(home: &Home) -> Result<Self, LoadError> {
        let text = read(home)?;
        Ok(Self::parse(&home.config_file().display().to_string(), &text)?)
    }

    /// Reads `text`, which came from the file called `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        Self::parse_with(file, text, &|path| std::fs::read(path))
    }

    /// Reads all of the file of `home` but the services, which take longer than all else together:
    /// for what starts servers. A mistake in a service holds nobody up there.
    pub fn load_without_services(home: &Home) -> Result<Self, LoadError> {
        let text = read(home)?;
        Ok(Self::parse_parts(&home.config_file().display().to_string(), &text, None)?)
    }

    /// The same, with `read` in the place of the file system.
    pub fn parse_with(file: &str, text: &str, read: ReadFile<'_>) -> Result<Self, ConfigError> {
        Self::parse_parts(file, text, Some(read))
    }

    fn parse_parts(
        file: &str,
        text: &str,
        services_with: Option<ReadFile<'_>>,
    ) -> Result<Self, ConfigError> {
        let reader = Reader::new(file, text);
        let document = reader.document()?;
        let root = reader.root(&document);
        root.only(ROOT_KEYS)?;
        let machine_key = machine::read(&root)?;
        let (mut services, mut commands) = (BTreeMap::new(), BTreeMap::new());
        if let Some(read) = services_with
            && let Some(table) = root.table("services")?
        {
            for (key, section) in table.tables()? {
                let name: Name = key.text().parse().map_err(|error| key.problem(error))?;
                if section.has("command") {
                    commands.insert(name.clone(), Arc::new(command::read(name, &section)?));
                } else {
                    services.insert(name.clone(), Arc::new(service::read(name, &section, read)?));
                }
            }
        }
        let cache = cache::read(&root)?;
        Ok(Self {
            machine_key,
            headless: root.flag("headless")?.unwrap_or(false),
            calls_at_once: limits::at_once(&root)?,
            approval_wait: limits::approval_wait(&root)?,
            ask_for_secrets: root.flag("ask_for_secrets")?.unwrap_or(true),
            providers: providers::read(&root, cache.freshness)?,
            cache,
            audit: audit::read(&root)?,
            files: limits::files(&root)?,
            services,
            commands,
            principals: principals::read(&root)?,
            team: team::read(&root)?,
            servers: servers::declared(&root, file, text)?,
            catalog_files: servers::catalog_files(&root)?,
            switches: servers::switches(&root)?,
        })
    }

    /// What may be called, as the broker takes it.
    pub fn into_catalog(self, revision: u64) -> Catalog {
        let Self { services, commands, principals, .. } = self;
        Catalog { services, commands, principals, revision, ..Catalog::default() }
    }

    /// The names of all services.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.services.keys().chain(self.commands.keys())
    }

    /// The service `name`; otherwise an error that names the nearest one.
    pub fn service(&self, name: &str) -> Result<&Arc<Service>, NoService> {
        let found = name.parse::<Name>().ok().and_then(|name| self.services.get(&name));
        found.ok_or_else(|| NoService::new(name, self.names().map(Name::as_str)))
    }

    /// The service `name`, where it is a program.
    pub fn command(&self, name: &str) -> Option<&Arc<Command>> {
        name.parse::<Name>().ok().and_then(|name| self.commands.get(&name))
    }
}

/// The text of the file of `home`.
fn read(home: &Home) -> Result<String, LoadError> {
    let path = home.config_file();
    let bytes = match SecureDir::open(&home.config).and_then(|dir| dir.read(FILE, LARGEST)) {
        Err(FileError::Missing { .. }) => return Err(LoadError::Missing { path }),
        other => other?,
    };
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        let file = path.display().to_string();
        let reader = Reader::new(&file, &text);
        reader.at(text.len(), "the file is not UTF-8").into()
    })
}

impl NoService {
    /// There is no service `name`, but the `known` ones.
    pub fn new<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let near = nearest(name, known).map(str::to_owned);
        Self { what: there_is_no("service", name), near }
    }
}

impl ConfigError {
    /// The same, with what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with what to write instead where that is known.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into).or(self.hint);
        self
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        let Problem { file, line, column, problem, hint } = problem;
        Self { file, line, column, problem, hint }
    }
}

#[cfg(test)]
mod tests;
