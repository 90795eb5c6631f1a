//! The files in which secrets lie around: those of the clients, and those of a project.
//!
//! Nothing is followed out of a project: a link in it may lead anywhere. No file above 10 MiB is
//! read, no directory below eight others, and none of the places where tools keep what they
//! downloaded (SC-06).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use strongroom_model::paths::{Environment, Os};

use super::{Finding, dotenv, line_of, scan, variable};
use crate::edit::{self, Format};
use crate::file::{ConfigFile, backups};
use crate::{Client, ENTRY, Server, all};

const LARGEST: u64 = 10 << 20;
const DEEPEST: usize = 8;
const MOST: usize = 50_000;

/// Directories of tools, which hold nothing that a person wrote.
const NOT_OURS: [&str; 9] =
    [".git", "node_modules", "target", ".venv", "venv", "__pycache__", "dist", "build", ".cache"];

/// A file that was looked at and holds something.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The file.
    pub file: PathBuf,
    /// The client that it belongs to.
    pub client: Option<&'static str>,
    /// Whether it is a backup that we made.
    pub backup: bool,
    /// The secrets in it.
    pub secrets: Vec<Finding>,
}

/// A file that could not be looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: String,
}

/// What was found in many files.
#[derive(Debug, Default)]
pub struct Scan {
    /// The files that hold secrets.
    pub found: Vec<Found>,
    /// The files that could not be looked at.
    pub unread: Vec<Unread>,
    /// How many were.
    pub looked_at: usize,
    seen: BTreeSet<PathBuf>,
}

impl Scan {
    /// Looks at the files of every client of this user, and at the backups that we made of them.
    pub fn clients(&mut self, environment: &Environment) {
        for client in all() {
            for file in client.user_files(environment) {
                for backup in backups(&file) {
                    self.file(&backup, Some(client), None);
                }
                self.file(&file, Some(client), None);
            }
        }
    }

    /// Looks at the files of the project at `directory`, not below it.
    pub fn project(&mut self, os: Os, directory: &Path) {
        for client in all() {
            let Ok(file) = client.project_file(os, directory) else { continue };
            // Some clients read every file of a directory.
            let beside = file
                .parent()
                .filter(|parent| *parent != directory && parent.ends_with("mcpServers"));
            for other in beside.map(names).unwrap_or_default() {
                self.file(&other, Some(client), Some(directory));
            }
            self.file(&file, Some(client), Some(directory));
            for backup in backups(&file) {
                self.file(&backup, Some(client), Some(directory));
            }
        }
        for file in names(directory) {
            if is_of_interest(&file) {
                self.file(&file, None, Some(directory));
            }
        }
    }

    /// Looks at what a person named: a file, or a directory with everything below it.
    pub fn path(&mut self, path: &Path) {
        if !path.is_dir() {
            if path.exists() {
                self.file(path, None, None);
            } else {
                self.unread(path, "there is no such file");
            }
            return;
        }
        let mut waiting = vec![(path.to_owned(), 0)];
        let mut left = MOST;
        while let Some((directory, depth)) = waiting.pop() {
            for entry in names(&directory) {
                left = left.saturating_sub(1);
                if left == 0 {
                    self.unread(path, "it holds more files than a project does");
                    return;
                }
                let Ok(metadata) = entry.symlink_metadata() else { continue };
                let name = entry.file_name().unwrap_or_default().to_string_lossy();
                if metadata.is_dir() {
                    if depth < DEEPEST && !NOT_OURS.contains(&name.as_ref()) {
                        waiting.push((entry, depth + 1));
                    }
                } else if is_of_interest(&entry) || is_of_a_client(&entry) {
                    self.file(&entry, None, Some(path));
                }
            }
        }
    }

    /// Looks at one file, once. Within a project a link that leads out of it is not followed.
    fn file(&mut self, path: &Path, client: Option<&'static Client>, within: Option<&Path>) {
        let Ok(target) = path.canonicalize() else { return };
        if within
            .is_some_and(|root| !root.canonicalize().is_ok_and(|root| target.starts_with(root)))
        {
            self.unread(path, "it is a link that leads out of the project");
            return;
        }
        if !self.seen.insert(target) {
            return;
        }
        let text = match ConfigFile::read_at_most(path, LARGEST) {
            Ok(file) => file.text.unwrap_or_default(),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                return self.unread(path, cause.unwrap_or_else(|| short(&error.to_string(), path)));
            }
        };
        self.looked_at += 1;
        let format = client.map(Client::format).or_else(|| format_of(path));
        let secrets = match format {
            None => variables(&text),
            Some(format) => match edit::read(format, &text) {
                Ok(document) => scan(&servers(client, &document), &text, ENTRY),
                Err(error) => return self.unread(path, error.to_string()),
            },
        };
        if !secrets.is_empty() {
            let client = client.map(|client| client.name.as_str());
            let backup = path.to_string_lossy().contains(".strongroom-backup-");
            self.found.push(Found { file: path.to_owned(), client, backup, secrets });
        }
    }

    fn unread(&mut self, file: &Path, why: impl Into<String>) {
        let unread = Unread { file: file.to_owned(), why: why.into() };
        if !self.unread.contains(&unread) {
            self.unread.push(unread);
        }
    }
}

/// A message without the path that it begins with.
fn short(message: &str, path: &Path) -> String {
    let message = message.strip_prefix(&path.display().to_string()).unwrap_or(message);
    format!("it {}", message.trim_start())
}

/// What is in a directory, in order.
fn names(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    names.sort();
    names
}

/// Variables, and files that are named as those of MCP servers.
fn is_of_interest(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    is_variables(&name) || (name.contains("mcp") && format_of(path).is_some())
}

fn is_variables(name: &str) -> bool {
    name.starts_with(".env") || name.strip_suffix(".env").is_some()
}

/// Files that are named as a client's: `settings.json` in `.gemini`.
fn is_of_a_client(path: &Path) -> bool {
    let is_beside = path.parent().is_some_and(|parent| parent.ends_with("mcpServers"));
    let is_named =
        || all().iter().filter_map(Client::project_name).any(|name| path.ends_with(name));
    format_of(path).is_some() && (is_beside || is_named())
}

/// The language of a file; `None`: variables.
fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match name.rsplit('.').next().unwrap_or_default() {
        _ if is_variables(&name) => None,
        "toml" => Some(Format::Toml),
        "yaml" | "yml" => Some(Format::Yaml),
        "json" | "jsonc" => Some(Format::Json),
        _ => None,
    }
}

/// The servers of a client; those under the key of any client, or at the top of a registry, where
/// it is nobody's in particular.
fn servers<'a>(client: Option<&Client>, document: &'a Value) -> Vec<Server<'a>> {
    if let Some(client) = client {
        return client.servers(document);
    }
    let mut found: Vec<Server<'a>> = Vec::new();
    let top = document.as_object().into_iter().flatten();
    let top = top.filter(|(_, entry)| {
        ["command", "url", "secrets"].iter().any(|key| entry.get(key).is_some())
    });
    found.extend(top.map(|(name, entry)| Server {
        name: name.clone(),
        path: vec![edit::Step::Key(name.clone())],
        entry,
    }));
    for server in all().iter().flat_map(|client| client.servers(document)) {
        if !found.iter().any(|other| other.path == server.path) {
            found.push(server);
        }
    }
    found
}

fn variables(text: &str) -> Vec<Finding> {
    let finding = |variable_: dotenv::Variable<'_>| {
        let kind = variable(variable_.name, &variable_.value)?;
        Some(Finding {
            server: String::new(),
            place: "variable".to_owned(),
            name: variable_.name.to_owned(),
            kind,
            line: Some(variable_.line),
        })
    };
    let plain = dotenv::read(text).into_iter().filter(|variable| !variable.expands);
    let mut found: Vec<Finding> = plain.filter_map(finding).collect();
    found.sort_by_key(|finding| finding.line.or_else(|| line_of(text, &finding.name)));
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TOKEN: &str = "ghp_canaryA1b2C3d4E5f6G7h8";

    fn write(root: &Path, below: &str, text: &str) {
        let path = root.join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn places(scan: &Scan, root: &Path) -> Vec<String> {
        let line = |found: &Found| {
            let file = found.file.strip_prefix(root).unwrap().display().to_string();
            let secrets = found.secrets.iter();
            secrets.map(|s| format!("{file}:{} {}", s.line.unwrap(), s.name)).collect::<Vec<_>>()
        };
        scan.found.iter().flat_map(line).collect()
    }

    #[test]
    fn a_project_is_looked_at_by_the_names_of_its_files() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let block = format!("{{\"mcpServers\": {{\"s\": {{\"env\": {{\"K\": \"{TOKEN}\"}}}}}}}}");
        write(root, ".mcp.json", &block);
        write(root, ".env.local", &format!("# x\nGH={TOKEN}\nB=$GH\nC=https://x\n"));
        write(
            root,
            "mcp-registry.json",
            &format!(
                "{{\"r\": {{\"command\": \"x\", \"secrets\": {{\"K\": \"{TOKEN}\", \"L\": \"op://a/b/c\"}}}}}}"
            ),
        );
        write(
            root,
            ".codex/config.toml",
            &format!("[mcp_servers.c.http_headers]\nX = \"Bearer {TOKEN}\"\n"),
        );
        write(
            root,
            ".continue/mcpServers/x.yaml",
            &format!("mcpServers:\n  - name: y\n    env:\n      K: {TOKEN}\n"),
        );
        write(root, "package.json", &block);
        write(root, "below/.mcp.json", &block);
        write(root, "node_modules/x/.mcp.json", &block);
        let mut scan = Scan::default();
        scan.project(Os::Linux, root);
        let mut found = places(&scan, root);
        found.sort();
        let expected = [
            ".codex/config.toml:2 X",
            ".continue/mcpServers/x.yaml:4 K",
            ".env.local:2 GH",
            ".mcp.json:1 K",
            "mcp-registry.json:1 K",
        ];
        assert_eq!(found, expected);
        assert!(scan.unread.is_empty(), "{:?}", scan.unread);

        let mut scan = Scan::default();
        scan.path(root);
        let mut found = places(&scan, root);
        found.sort();
        assert_eq!(found.len(), 6, "{found:?}");
        assert!(found.contains(&"below/.mcp.json:1 K".to_owned()), "{found:?}");
        assert!(!format!("{:?}", scan.found).contains("canary"));
    }

    #[cfg(unix)]
    #[test]
    fn what_leads_out_of_a_project_or_cannot_be_read_is_said_and_not_read() {
        let outside = tempfile::tempdir().unwrap();
        write(
            outside.path(),
            "secret.json",
            &format!("{{\"mcpServers\": {{\"s\": {{\"env\": {{\"K\": \"{TOKEN}\"}}}}}}}}"),
        );
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::os::unix::fs::symlink(outside.path().join("secret.json"), root.join(".mcp.json"))
            .unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("below")).unwrap();
        write(root, "mcp.json", "{\"mcpServers\": canary");
        write(root, "mcp.yaml", "a: &a [*a]\n");
        write(root, ".env", &"A".repeat(11 << 20));
        for look in [Scan::path as fn(&mut Scan, &Path), |scan, root| scan.project(Os::Linux, root)]
        {
            let mut scan = Scan::default();
            look(&mut scan, root);
            assert!(scan.found.is_empty(), "{:?}", scan.found);
            let mut why: Vec<&str> = scan.unread.iter().map(|unread| unread.why.as_str()).collect();
            why.sort_unstable();
            let expected = [
                "it is a link that leads out of the project",
                "it is larger than 10 MiB",
                "line 1, column 16: unexpected word",
                "there is more in it than a person writes",
            ];
            assert_eq!(why, expected);
        }
    }
}
