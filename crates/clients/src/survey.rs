//! The MCP clients on this machine: which are installed, which use Strongroom, and which keep
//! plaintext secrets in their configuration.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use strongroom_model::paths::Environment;

use crate::file::ConfigFile;
use crate::scan::{Finding, scan};
use crate::{Client, ENTRY, Server, all, edit};

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
    /// The servers that it starts through us.
    pub runs: Vec<String>,
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
        runs: Vec::new(),
        problem: None,
        secrets: Vec::new(),
        file,
    };
    for (main, path) in paths(client, environment) {
        match read(client, &path) {
            Ok((text, document)) => {
                let servers = client.servers(&document);
                if main {
                    found.connection = connection(client, &document);
                    found.runs = runs(client, &servers);
                }
                found.secrets.extend(scan(&servers, &text, ENTRY));
            }
            Err(problem) if main => found.problem = Some(problem),
            Err(_) => {}
        }
    }
    found
}

/// The file that we would write, which need not exist, and the others.
fn paths(client: &Client, environment: &Environment) -> Vec<(bool, PathBuf)> {
    let main = client.user_file(environment).ok();
    let others = client.user_files(environment).into_iter();
    let others = others.filter(|file| main.as_ref() != Some(file)).map(|file| (false, file));
    main.iter().cloned().map(|file| (true, file)).chain(others).collect()
}

/// The file at `path` and what it says; nothing where there is none.
fn read(client: &Client, path: &Path) -> Result<(String, Value), String> {
    let file = ConfigFile::read(path).map_err(|error| error.to_string())?;
    let text = file.text.unwrap_or_default();
    let document = edit::read(client.format(), &text)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((text, document))
}

/// How the client reaches Strongroom.
pub fn connection(client: &Client, document: &Value) -> Option<Connection> {
    let declared = client.declared(client.entry_of(document, ENTRY)?);
    match (declared.program, declared.url) {
        (Some(command), _) => Some(Connection::Stdio { command }),
        (None, Some(url)) => Some(Connection::Http { url }),
        (None, None) => None,
    }
}

/// The servers that the client starts through us.
pub fn runs(client: &Client, servers: &[Server<'_>]) -> Vec<String> {
    let run = |server: &Server<'_>| client.declared(server.entry).runs().map(ToOwned::to_owned);
    servers.iter().filter_map(run).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use strongroom_model::paths::Os;

    #[test]
    fn a_client_is_found_by_its_directory_and_connected_by_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::new(Os::Linux, [("HOME", directory.path())]);
        let cursor = crate::find("cursor").unwrap();
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
