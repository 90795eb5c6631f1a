//! The table of clients, and the paths that it stands for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};
use strongroom_model::paths::{Environment, Os};

use crate::Client;
use crate::edit::Format;

/// A row, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) title: String,
    #[serde(default)]
    pub(super) format: Format,
    pub(super) key: Path,
    pub(super) older: Option<Path>,
    #[serde(default)]
    pub(super) list: bool,
    #[serde(default)]
    pub(super) also: Vec<String>,
    pub(super) project: Option<String>,
    #[serde(default)]
    pub(super) start: String,
    #[serde(default)]
    pub(super) fields: Fields,
    #[serde(default)]
    pub(super) stdio: Map<String, Value>,
    pub(super) http: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) fresh: Map<String, Value>,
    pub(super) then: String,
    anywhere: Option<Places>,
    linux: Option<Places>,
    macos: Option<Places>,
    windows: Option<Places>,
}

/// A key, which may hold dots, or a path of keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Path {
    One(String),
    Many(Vec<String>),
}

impl Path {
    pub(super) fn keys(&self) -> &[String] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

/// What the fields of an entry are called.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fields {
    pub(super) name: Option<String>,
    pub(super) command: String,
    pub(super) argv: bool,
    pub(super) args: String,
    pub(super) env: String,
    pub(super) url: String,
    pub(super) headers: Path,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            name: None,
            command: "command".into(),
            argv: false,
            args: "args".into(),
            env: "env".into(),
            url: "url".into(),
            headers: Path::One("headers".into()),
        }
    }
}

/// Where a client's files are on one system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Places {
    files: Vec<String>,
    #[serde(default)]
    others: Vec<String>,
    detect: Vec<String>,
}

static CLIENTS: LazyLock<Vec<Client>> = LazyLock::new(|| {
    let table: BTreeMap<String, Raw> =
        toml::from_str(include_str!("clients.toml")).expect("a test reads the table");
    table.into_iter().map(|(name, raw)| Client { name, raw }).collect()
});

/// Every client, by name.
pub fn all() -> &'static [Client] {
    &CLIENTS
}

impl Raw {
    fn places(&self, os: Os) -> Option<&Places> {
        let own = match os {
            Os::Linux => &self.linux,
            Os::Macos => &self.macos,
            Os::Windows => &self.windows,
        };
        own.as_ref().or(self.anywhere.as_ref())
    }

    /// The file, which need not exist.
    pub(super) fn file(&self, environment: &Environment) -> Option<PathBuf> {
        self.places(environment.os)?.files.iter().find_map(|path| expand(path, environment))
    }

    /// Other files.
    pub(super) fn others(&self, environment: &Environment) -> Vec<PathBuf> {
        let places = self.places(environment.os).map_or(&[][..], |places| &places.others);
        places.iter().filter_map(|path| expand(path, environment)).collect()
    }

    /// The places of which one exists where the client is installed.
    pub(super) fn detect(&self, environment: &Environment) -> Vec<PathBuf> {
        let places = self.places(environment.os).map_or(&[][..], |places| &places.detect);
        places.iter().filter_map(|path| expand(path, environment)).collect()
    }
}

/// `~/...` and `$VARIABLE/...`; `None` where the variable is not set to an absolute path.
fn expand(template: &str, environment: &Environment) -> Option<PathBuf> {
    let (base, below) = template.split_once('/').unwrap_or((template, ""));
    let base = match base.strip_prefix('$') {
        Some(variable) => environment.get(variable)?,
        None => environment.user_home().ok()?,
    };
    environment.os.is_absolute(base).then(|| environment.os.join(base, below))
}
