//! The MCP clients that Strongroom can be connected to.
//!
//! Clients are data (`clients.toml`): where each keeps its servers on which system, under which
//! key, and what an entry looks like. The code here turns that data into paths and entries and
//! knows no client by name.

pub mod change;
pub mod edit;
pub mod file;
pub mod survey;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use strongroom_model::secret::Secret;

use crate::paths::{Environment, Os};

/// The name of our entry in every client's file. Short, since clients prefix tool names with it.
pub const ENTRY: &str = "strongroom";

/// A client.
#[derive(Debug)]
pub struct Client {
    /// What a person types, and the name of the principal that it is connected as.
    pub name: String,
    raw: Raw,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    title: String,
    key: String,
    #[serde(default)]
    also: Vec<String>,
    project: Option<String>,
    #[serde(default)]
    stdio: Map<String, Value>,
    http: Option<Map<String, Value>>,
    then: String,
    linux: Places,
    macos: Places,
    windows: Places,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Places {
    files: Vec<String>,
    detect: Vec<String>,
}

/// How a client reaches Strongroom.
pub enum Link<'a> {
    /// It starts this program and talks to it over its standard streams.
    Stdio {
        /// The absolute path of the program.
        command: &'a str,
        /// The home to use, where it is not the one that the platform implies.
        home: Option<&'a str>,
    },
    /// It sends requests to a `serve --http` that is running.
    Http {
        /// The address, with the path.
        url: &'a str,
        /// The principal's token; `None` shows a placeholder instead.
        token: Option<&'a Secret>,
    },
}

/// A client that cannot be connected in the way that was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It has no remote entries in its file.
    #[error("{title} takes no HTTP server in its configuration file")]
    NoHttp {
        /// The client.
        title: String,
    },
    /// It has no file of its own in a project.
    #[error("{title} has no configuration file of its own in a project")]
    NoProject {
        /// The client.
        title: String,
    },
    /// The variables that its path is made of are not set.
    #[error(
        "the place of {title}'s configuration file is not known: the home directory is not set"
    )]
    NoPlace {
        /// The client.
        title: String,
    },
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

/// The client of this name.
pub fn find(name: &str) -> Option<&'static Client> {
    CLIENTS.iter().find(|client| client.name == name)
}

impl Client {
    /// Its name in prose.
    pub fn title(&self) -> &str {
        &self.raw.title
    }

    /// The object in its file that holds the servers.
    pub fn key(&self) -> &str {
        &self.raw.key
    }

    /// Other objects that hold servers: paths of keys, where `*` is any key.
    pub fn also(&self) -> &[String] {
        &self.raw.also
    }

    /// What a person does for the client to see the change.
    pub fn then(&self) -> &str {
        &self.raw.then
    }

    /// The user's configuration file, which need not exist.
    pub fn user_file(&self, environment: &Environment) -> Result<PathBuf, ClientError> {
        let mut candidates = self.places(environment.os).files.iter();
        candidates
            .find_map(|template| expand(template, environment))
            .ok_or_else(|| ClientError::NoPlace { title: self.raw.title.clone() })
    }

    /// The configuration file of the project at `directory`.
    pub fn project_file(&self, os: Os, directory: &Path) -> Result<PathBuf, ClientError> {
        let file = self.raw.project.as_deref();
        let file = file.ok_or_else(|| ClientError::NoProject { title: self.raw.title.clone() })?;
        Ok(os.join(directory.as_os_str(), file))
    }

    /// The places of which one exists where the client is installed.
    pub fn detect(&self, environment: &Environment) -> Vec<PathBuf> {
        let places = self.places(environment.os).detect.iter();
        places.filter_map(|template| expand(template, environment)).collect()
    }

    /// The entry that makes the client use Strongroom.
    pub fn entry(&self, link: &Link<'_>) -> Result<Map<String, Value>, ClientError> {
        match link {
            Link::Stdio { command, home } => {
                let mut entry = self.raw.stdio.clone();
                entry.insert("command".into(), json!(command));
                entry.insert("args".into(), json!(["serve", "--as", self.name]));
                if let Some(home) = home {
                    entry.insert("env".into(), json!({ "STRONGROOM_HOME": home }));
                }
                Ok(entry)
            }
            Link::Http { url, token } => {
                let no_http = || ClientError::NoHttp { title: self.raw.title.clone() };
                let mut entry = self.raw.http.clone().ok_or_else(no_http)?;
                let token = token.map_or("(a new token)".into(), |token| {
                    String::from_utf8_lossy(token.expose())
                });
                entry.insert("url".into(), json!(url));
                entry.insert("headers".into(), json!({"Authorization": format!("Bearer {token}")}));
                Ok(entry)
            }
        }
    }

    fn places(&self, os: Os) -> &Places {
        match os {
            Os::Linux => &self.raw.linux,
            Os::Macos => &self.raw.macos,
            Os::Windows => &self.raw.windows,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(os: Os, variables: &[(&str, &str)]) -> Environment {
        Environment::new(os, variables.iter().copied())
    }

    #[test]
    fn every_client_has_a_place_on_every_system() {
        let linux = environment(Os::Linux, &[("HOME", "/home/ann")]);
        let macos = environment(Os::Macos, &[("HOME", "/Users/ann")]);
        let windows =
            environment(Os::Windows, &[("USERPROFILE", r"C:\ann"), ("APPDATA", r"C:\ann\Roaming")]);
        for client in all() {
            for environment in [&linux, &macos, &windows] {
                let file = client.user_file(environment).unwrap();
                assert!(environment.os.is_absolute(file.as_os_str()), "{file:?}");
                assert!(!client.detect(environment).is_empty(), "{}", client.name);
            }
            assert!(client.name.parse::<strongroom_model::principal::Name>().is_ok());
        }
    }

    #[test]
    fn the_files_are_where_the_clients_look() {
        let ann: &[(&str, &str)] =
            &[("HOME", "/ann"), ("USERPROFILE", r"C:\ann"), ("APPDATA", r"C:\R")];
        let moved: &[(&str, &str)] =
            &[("HOME", "/ann"), ("CLAUDE_CONFIG_DIR", "/cc"), ("XDG_CONFIG_HOME", "/xdg")];
        let table = [
            ("claude-code", Os::Linux, ann, "/ann/.claude.json"),
            ("claude-code", Os::Linux, moved, "/cc/.claude.json"),
            ("claude-code", Os::Windows, ann, r"C:\ann\.claude.json"),
            ("claude-desktop", Os::Linux, moved, "/xdg/Claude/claude_desktop_config.json"),
            (
                "claude-desktop",
                Os::Macos,
                ann,
                "/ann/Library/Application Support/Claude/claude_desktop_config.json",
            ),
            ("claude-desktop", Os::Windows, ann, r"C:\R\Claude\claude_desktop_config.json"),
            ("cursor", Os::Macos, ann, "/ann/.cursor/mcp.json"),
            ("vscode", Os::Linux, ann, "/ann/.config/Code/User/mcp.json"),
            ("vscode", Os::Windows, ann, r"C:\R\Code\User\mcp.json"),
        ];
        for (name, os, variables, expected) in table {
            let file = find(name).unwrap().user_file(&environment(os, variables)).unwrap();
            assert_eq!(file.as_os_str(), expected, "{name} on {os:?}");
        }
    }

    #[test]
    fn entries_have_the_shape_that_each_client_reads() {
        let stdio = Link::Stdio { command: "/bin/strongroom", home: None };
        let args = |name| json!(["serve", "--as", name]);
        let table = [
            ("claude-code", json!({"type": "stdio", "command": "/bin/strongroom"})),
            ("claude-desktop", json!({"command": "/bin/strongroom"})),
            ("cursor", json!({"command": "/bin/strongroom"})),
            ("vscode", json!({"type": "stdio", "command": "/bin/strongroom"})),
        ];
        for (name, mut expected) in table {
            expected["args"] = args(name);
            assert_eq!(Value::Object(find(name).unwrap().entry(&stdio).unwrap()), expected);
        }

        let token = Secret::new(b"sr_canary".to_vec());
        let http = Link::Http { url: "http://127.0.0.1:1/mcp", token: Some(&token) };
        let headers = json!({"Authorization": "Bearer sr_canary"});
        let vscode = find("vscode").unwrap().entry(&http).unwrap();
        let expected = json!({"type": "http", "url": "http://127.0.0.1:1/mcp", "headers": headers});
        assert_eq!(Value::Object(vscode), expected);
        let desktop = find("claude-desktop").unwrap();
        assert_eq!(
            desktop.entry(&http).unwrap_err(),
            ClientError::NoHttp { title: "Claude Desktop".into() }
        );
        assert!(desktop.project_file(Os::Linux, Path::new("/p")).is_err());
        let project = find("cursor").unwrap().project_file(Os::Linux, Path::new("/p")).unwrap();
        assert_eq!(project, Path::new("/p/.cursor/mcp.json"));
    }

    #[test]
    fn a_home_of_its_own_goes_along_into_the_entry() {
        let link = Link::Stdio { command: "/bin/strongroom", home: Some("/h") };
        let entry = find("cursor").unwrap().entry(&link).unwrap();
        assert_eq!(entry["env"], json!({"STRONGROOM_HOME": "/h"}));
    }
}
