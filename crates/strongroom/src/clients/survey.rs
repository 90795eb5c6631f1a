//! The MCP clients on this machine: which are installed, which use Strongroom, and which keep
//! plaintext secrets in their configuration.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::file::ConfigFile;
use super::{Client, ENTRY, all, edit};
use crate::paths::Environment;
use crate::scan::{Finding, scan};

/// One client, as found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The name that a person types.
    #[serde(rename = "client")]
    pub name: &'static str,
    /// The name in prose.
    pub title: &'static str,
    /// Its configuration file, which need not exist.
    pub file: Option<PathBuf>,
    /// Whether the client is on this machine.
    pub installed: bool,
    /// How it reaches Strongroom, if it does.
    pub connection: Option<Connection>,
    /// Why its file cannot be read.
    pub problem: Option<String>,
    /// The plaintext secrets in its file, by place.
    pub secrets: Vec<Finding>,
}

/// How a client reaches Strongroom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// It starts this program.
    Stdio {
        /// The program in its configuration.
        command: String,
    },
    /// It sends requests to this address.
    Http {
        /// The address.
        url: String,
    },
}

/// Looks at every client that we know.
pub fn survey(environment: &Environment) -> Vec<Found> {
    all().iter().map(|client| look(client, environment)).collect()
}

/// Looks at one client.
pub fn look(client: &'static Client, environment: &Environment) -> Found {
    let file = client.user_file(environment).ok();
    let mut found = Found {
        name: &client.name,
        title: client.title(),
        installed: client.detect(environment).iter().any(|place| place.exists()),
        connection: None,
        problem: None,
        secrets: Vec::new(),
        file,
    };
    if let Some(path) = &found.file {
        match document(path) {
            Ok(document) => {
                found.connection = connection(&document, client.key());
                found.secrets = scan(&document, client.key(), client.also(), ENTRY);
            }
            Err(problem) => found.problem = Some(problem),
        }
    }
    found
}

/// What the file at `path` says; nothing where there is none.
fn document(path: &Path) -> Result<Value, String> {
    let file = ConfigFile::read(path).map_err(|error| error.to_string())?;
    edit::read(&file.text.unwrap_or_default())
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// How the servers under `key` reach Strongroom.
pub fn connection(document: &Value, key: &str) -> Option<Connection> {
    let entry = document.get(key)?.get(ENTRY)?;
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    match (text("command"), text("url")) {
        (Some(command), _) => Some(Connection::Stdio { command }),
        (None, Some(url)) => Some(Connection::Http { url }),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::paths::Os;

    #[test]
    fn a_client_is_found_by_its_directory_and_connected_by_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::new(Os::Linux, [("HOME", directory.path())]);
        let cursor = super::super::find("cursor").unwrap();
        assert!(!look(cursor, &environment).installed);

        fs::create_dir(directory.path().join(".cursor")).unwrap();
        let found = look(cursor, &environment);
        assert!(found.installed && found.connection.is_none() && found.problem.is_none());

        let file = json!({"mcpServers": {
            "strongroom": {"command": "/bin/strongroom"},
            "gh": {"env": {"GH_TOKEN": "canary-canary-1"}},
        }});
        fs::write(directory.path().join(".cursor/mcp.json"), file.to_string()).unwrap();
        let found = look(cursor, &environment);
        let command = "/bin/strongroom".to_owned();
        assert_eq!(found.connection, Some(Connection::Stdio { command }));
        assert_eq!(found.secrets[0].name, "GH_TOKEN");
        assert!(!serde_json::to_string(&found).unwrap().contains("canary"));

        fs::write(directory.path().join(".cursor/mcp.json"), "{\"canary").unwrap();
        let problem = look(cursor, &environment).problem.unwrap();
        assert!(problem.contains("mcp.json: line 1, column") && !problem.contains("canary"));
    }
}
