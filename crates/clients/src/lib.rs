//! The configuration files of MCP clients: where they are, what stands in them, how they are edited,
//! and the plaintext secrets in them.
//!
//! Clients are data (`clients.toml`): where each keeps its servers on which system, under which
//! key, and what an entry looks like. The code here turns that data into paths and entries and
//! knows no client by name.
//!
//! - [`edit`]: changes of a text in JSON, TOML or YAML that keep every other byte; pure.
//! - [`file`](mod@file): a file is read once, backed up, and replaced whole.
//! - [`declared`] and [`entries`]: what an entry says, and what ours are to say; pure.
//! - [`survey`]: the clients on this machine.
//! - [`scan`]: plaintext secrets in entries and in files of variables.
//! - [`import`]: what it would take to move them out.

pub mod declared;
pub mod edit;
pub mod entries;
pub mod file;
pub mod import;
pub mod scan;
pub mod survey;

mod table;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use strongroom_model::paths::{Environment, Os};
use strongroom_model::secret::Secret;

use edit::{Entry, Format, Place, Step};
use table::Raw;

pub use table::all;

/// The name of our entry in every client's file. Short, since clients prefix tool names with it.
pub const ENTRY: &str = "strongroom";

/// The variable with which an entry says that Strongroom's home is not where the platform implies.
pub const HOME: &str = "STRONGROOM_HOME";

/// A client.
#[derive(Debug)]
pub struct Client {
    /// What a person types, and the name of the principal that it is connected as.
    pub name: String,
    raw: Raw,
}

/// How a client reaches Strongroom.
pub enum Link<'a> {
    /// It starts this program and talks to it over its standard streams.
    Stdio {
        /// The absolute path of the program.
        command: &'a str,
        /// Its arguments.
        args: &'a [&'a str],
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

/// A server in a client's file.
#[derive(Clone, Debug)]
pub struct Server<'a> {
    /// The name that the client knows it by.
    pub name: String,
    /// The way to its entry.
    pub path: Vec<Step>,
    /// The entry.
    pub entry: &'a Value,
}

/// The client of this name.
pub fn find(name: &str) -> Option<&'static Client> {
    all().iter().find(|client| client.name == name)
}

impl Client {
    /// Its name in prose.
    pub fn title(&self) -> &str {
        &self.raw.title
    }

    /// The language of its file.
    pub fn format(&self) -> Format {
        self.raw.format
    }

    /// What a person does for the client to see the change.
    pub fn then(&self) -> &str {
        &self.raw.then
    }

    /// What its file in a project is called, relative to the project.
    pub fn project_name(&self) -> Option<&str> {
        self.raw.project.as_deref()
    }

    /// The user's configuration file, which need not exist.
    pub fn user_file(&self, environment: &Environment) -> Result<PathBuf, ClientError> {
        let file = self.raw.file(environment);
        let file = file.ok_or_else(|| ClientError::NoPlace { title: self.raw.title.clone() })?;
        if file.exists() {
            return Ok(file);
        }
        let other = self.raw.others(environment).into_iter().find(|other| other.exists());
        Ok(other.unwrap_or(file))
    }

    /// The user's configuration files that exist.
    pub fn user_files(&self, environment: &Environment) -> Vec<PathBuf> {
        let all = self.raw.file(environment).into_iter().chain(self.raw.others(environment));
        all.filter(|file| file.exists()).collect()
    }

    /// The configuration file of the project at `directory`.
    pub fn project_file(&self, os: Os, directory: &Path) -> Result<PathBuf, ClientError> {
        let file = self.raw.project.as_deref();
        let file = file.ok_or_else(|| ClientError::NoProject { title: self.raw.title.clone() })?;
        Ok(os.join(directory.as_os_str(), file))
    }

    /// The places of which one exists where the client is installed.
    pub fn detect(&self, environment: &Environment) -> Vec<PathBuf> {
        self.raw.detect(environment)
    }

    /// Where the entry of the server `name` stands in `document`, or would stand.
    pub fn place(&self, document: &Value, name: &str) -> Place {
        let mut path = self.way(document);
        path.push(self.step(name));
        Place { format: self.raw.format, path, start: self.raw.start.clone() }
    }

    /// The same for the entry at `path`.
    pub fn place_at(&self, path: &[Step]) -> Place {
        Place { format: self.raw.format, path: path.to_vec(), start: self.raw.start.clone() }
    }

    /// The entry of the server `name`.
    pub fn entry_of<'a>(&self, document: &'a Value, name: &str) -> Option<&'a Value> {
        edit::at(document, &self.place(document, name).path)
    }

    /// Every server in `document`.
    pub fn servers<'a>(&self, document: &'a Value) -> Vec<Server<'a>> {
        let mut ways = vec![self.way(document)];
        for path in &self.raw.also {
            let mut found = vec![Vec::new()];
            for step in path.split('/') {
                found = found.iter().flat_map(|way| below(document, way, step)).collect();
            }
            ways.extend(found);
        }
        ways.iter().flat_map(|way| servers_at(document, way)).collect()
    }

    /// The way to the servers.
    fn way(&self, document: &Value) -> Vec<Step> {
        let steps = |keys: &[String]| keys.iter().cloned().map(Step::Key).collect::<Vec<_>>();
        let way = steps(self.raw.key.keys());
        let is_there = |way: &[Step]| edit::at(document, way).is_some_and(Value::is_object);
        match &self.raw.older {
            Some(older) if !is_there(&way) && is_there(&steps(older.keys())) => steps(older.keys()),
            _ => way,
        }
    }

    fn step(&self, name: &str) -> Step {
        if self.raw.list { Step::Named(name.to_owned()) } else { Step::Key(name.to_owned()) }
    }

    /// The entry `name` that makes the client use Strongroom.
    pub fn entry(&self, name: &str, link: &Link<'_>) -> Result<Entry, ClientError> {
        let fields = &self.raw.fields;
        let no_http = || ClientError::NoHttp { title: self.raw.title.clone() };
        let mut entry = Entry { environment: fields.env.clone(), ..Entry::default() };
        let other = match link {
            Link::Stdio { command, args, home } => {
                entry.fields.clone_from(&self.raw.stdio);
                if fields.argv {
                    let words: Vec<&str> = [command].into_iter().chain(*args).copied().collect();
                    entry.fields.insert(fields.command.clone(), json!(words));
                } else {
                    entry.fields.insert(fields.command.clone(), json!(command));
                    entry.fields.insert(fields.args.clone(), json!(args));
                }
                if let Some(home) = home {
                    entry.fields.insert(fields.env.clone(), json!({ HOME: home }));
                }
                let headers = fields.headers.keys().first().cloned().unwrap_or_default();
                let own = vec![fields.url.clone(), headers];
                own.into_iter().chain(self.raw.http.iter().flat_map(Map::keys).cloned()).collect()
            }
            Link::Http { url, token } => {
                entry.fields = self.raw.http.clone().ok_or_else(no_http)?;
                let token = token.map_or("(a new token)".into(), |token| {
                    String::from_utf8_lossy(token.expose())
                });
                let headers = json!({"Authorization": format!("Bearer {token}")});
                let (first, rest) = fields.headers.keys().split_first().ok_or_else(no_http)?;
                let headers = rest.iter().rev().fold(headers, |value, key| json!({ key: value }));
                entry.fields.insert(fields.url.clone(), json!(url));
                entry.fields.insert(first.clone(), headers);
                let own = [fields.command.clone(), fields.args.clone()];
                own.into_iter().chain(self.raw.stdio.keys().cloned()).collect::<Vec<_>>()
            }
        };
        if let Some(field) = fields.name.as_deref().or(self.raw.list.then_some("name")) {
            entry.fields.insert(field.to_owned(), json!(name));
        }
        entry.fresh.clone_from(&self.raw.fresh);
        entry.without = other.into_iter().filter(|key| !entry.fields.contains_key(key)).collect();
        Ok(entry)
    }
}

/// The ways of one more step; `*` is any key.
fn below(document: &Value, way: &[Step], step: &str) -> Vec<Vec<Step>> {
    let at = edit::at(document, way).and_then(Value::as_object);
    let keys = at.into_iter().flat_map(Map::keys);
    let fitting = keys.filter(|key| step == "*" || step == key.as_str());
    fitting.map(|key| [way, &[Step::Key(key.clone())]].concat()).collect()
}

fn servers_at<'a>(document: &'a Value, way: &[Step]) -> Vec<Server<'a>> {
    let server = |step: Step, name: &str, entry| Server {
        name: name.to_owned(),
        path: [way, &[step]].concat(),
        entry,
    };
    match edit::at(document, way) {
        Some(Value::Object(fields)) => {
            let fields = fields.iter().filter(|(_, entry)| entry.is_object());
            fields.map(|(name, entry)| server(Step::Key(name.clone()), name, entry)).collect()
        }
        Some(Value::Array(elements)) => {
            let named = elements.iter().filter_map(|element| {
                let name = element.get("name").or_else(|| element.get("id"))?.as_str()?;
                Some(server(Step::Named(name.to_owned()), name, element))
            });
            named.collect()
        }
        _ => Vec::new(),
    }
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
        let windows = environment(
            Os::Windows,
            &[
                ("USERPROFILE", r"C:\ann"),
                ("APPDATA", r"C:\ann\Roaming"),
                ("LOCALAPPDATA", r"C:\ann\Local"),
            ],
        );
        assert_eq!(all().len(), 25);
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

    fn value(entry: Entry) -> Value {
        let mut fields = entry.fresh;
        fields.extend(entry.fields);
        Value::Object(fields)
    }

    #[test]
    fn entries_have_the_shape_that_each_client_reads() {
        let stdio = Link::Stdio { command: "/b/strongroom", args: &["run", "x"], home: Some("/h") };
        let plain = json!({"command": "/b/strongroom", "args": ["run", "x"], "env": {"STRONGROOM_HOME": "/h"}});
        let with = |more: Value| {
            let mut entry = plain.clone();
            entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            entry
        };
        let home = json!({"STRONGROOM_HOME": "/h"});
        let table = [
            ("amp", plain.clone()),
            ("antigravity", plain.clone()),
            ("claude-code", with(json!({"type": "stdio"}))),
            ("claude-desktop", plain.clone()),
            ("cline", with(json!({"disabled": false}))),
            ("codex", plain.clone()),
            ("continue", with(json!({"name": "x"}))),
            ("copilot", with(json!({"type": "local", "tools": ["*"]}))),
            ("crush", with(json!({"type": "stdio"}))),
            ("cursor", plain.clone()),
            ("droid", with(json!({"type": "stdio", "disabled": false}))),
            ("gemini", plain.clone()),
            (
                "goose",
                json!({
                    "type": "stdio", "name": "x", "cmd": "/b/strongroom", "args": ["run", "x"], "envs": home,
                    "enabled": true, "timeout": 300, "description": "",
                }),
            ),
            ("kimi", plain.clone()),
            ("kiro", plain.clone()),
            ("lmstudio", plain.clone()),
            (
                "opencode",
                json!({"type": "local", "command": ["/b/strongroom", "run", "x"], "environment": home}),
            ),
            ("qoder", plain.clone()),
            ("roo", with(json!({"disabled": false}))),
            ("sema4", with(json!({"transport": "stdio"}))),
            ("trae", plain.clone()),
            ("vibe", with(json!({"name": "x", "transport": "stdio"}))),
            ("vscode", with(json!({"type": "stdio"}))),
            ("windsurf", plain.clone()),
            ("zed", with(json!({"source": "custom", "enabled": true}))),
        ];
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, all().iter().map(|client| client.name.as_str()).collect::<Vec<_>>());
        for (name, expected) in table {
            let client = find(name).unwrap();
            let entry = value(client.entry("x", &stdio).unwrap());
            assert_eq!(entry, expected, "{name}");
            let declared = client.declared(&entry);
            assert_eq!(declared.runs(), Some("x"), "{name}");
            assert_eq!(declared.env["STRONGROOM_HOME"], "/h", "{name}");
        }
    }

    #[test]
    fn remote_entries_have_the_shape_that_each_client_reads() {
        let token = Secret::new(b"sr_canary".to_vec());
        let url = "http://127.0.0.1:1/mcp";
        let link = Link::Http { url, token: Some(&token) };
        let headers = json!({"Authorization": "Bearer sr_canary"});
        let table = [
            ("claude-code", json!({"type": "http", "url": url, "headers": headers})),
            ("vscode", json!({"type": "http", "url": url, "headers": headers})),
            ("cursor", json!({"url": url, "headers": headers})),
            ("windsurf", json!({"serverUrl": url, "headers": headers})),
            ("gemini", json!({"httpUrl": url, "headers": headers})),
            ("codex", json!({"url": url, "http_headers": headers})),
            (
                "continue",
                json!({
                    "name": "strongroom", "type": "streamable-http", "url": url,
                    "requestOptions": {"headers": headers},
                }),
            ),
            (
                "vibe",
                json!({
                    "name": "strongroom", "transport": "streamable-http", "url": url,
                    "headers": headers,
                }),
            ),
            (
                "goose",
                json!({
                    "name": "strongroom", "type": "streamable_http", "uri": url,
                    "headers": headers, "enabled": true, "timeout": 300, "description": "",
                }),
            ),
            ("opencode", json!({"type": "remote", "url": url, "headers": headers})),
        ];
        for (name, expected) in table {
            let client = find(name).unwrap();
            let entry = value(client.entry(ENTRY, &link).unwrap());
            assert_eq!(entry, expected, "{name}");
            let declared = client.declared(&entry);
            assert_eq!(declared.url.as_deref(), Some(url), "{name}");
            assert_eq!(declared.headers["Authorization"], "Bearer sr_canary", "{name}");
        }
        for name in ["claude-desktop", "sema4"] {
            let error = find(name).unwrap().entry(ENTRY, &link).unwrap_err();
            assert!(matches!(error, ClientError::NoHttp { .. }), "{name}");
        }
        let desktop = find("claude-desktop").unwrap();
        assert!(desktop.project_file(Os::Linux, Path::new("/p")).is_err());
        let project = find("cursor").unwrap().project_file(Os::Linux, Path::new("/p")).unwrap();
        assert_eq!(project, Path::new("/p/.cursor/mcp.json"));
    }

    #[test]
    fn servers_are_found_under_every_kind_of_key() {
        let server = json!({"command": "x"});
        let table = [
            ("amp", json!({"amp.mcpServers": {"a": server}, "amp": {"mcpServers": {"b": {}}}})),
            ("opencode", json!({"mcp": {"a": server}})),
            ("opencode", json!({"mcp": {"servers": {"a": server}, "timeout": {}}})),
            ("vibe", json!({"mcp_servers": [{"name": "a"}, {"nameless": 1}]})),
            ("continue", json!({"mcpServers": [{"name": "a"}]})),
            ("claude-code", json!({"projects": {"/p": {"mcpServers": {"a": server}}, "/q": 7}})),
            ("zed", json!({"context_servers": {"a": server, "b": 7}})),
        ];
        for (name, document) in table {
            let servers = find(name).unwrap().servers(&document);
            let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
            assert_eq!(names, ["a"], "{name}");
            assert_eq!(edit::at(&document, &servers[0].path), Some(servers[0].entry));
        }
        let place = |document| find("opencode").unwrap().place(&document, "x").path.len();
        assert_eq!(place(json!({})), 3, "the current version, where there is nothing yet");
        assert_eq!(place(json!({"mcp": {"a": server}})), 2);
        assert_eq!(place(json!({"mcp": {"servers": {}}})), 3);
    }
}
