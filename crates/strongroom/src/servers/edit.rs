//! Changes of what a `strongroom.toml` says about servers: the user's own, or a project's.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use strongroom_model::principal::Name;
use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::project;
use crate::config::project::Project;
use crate::failure::Failure;

/// Puts the table of a server.
pub fn put(document: &mut DocumentMut, name: &Name, table: Table) {
    let servers = document.entry("servers").or_insert_with(|| {
        let mut servers = Table::new();
        servers.set_implicit(true);
        Item::Table(servers)
    });
    match servers {
        Item::Value(value) => {
            if let Some(servers) = value.as_inline_table_mut() {
                servers.insert(name.as_str(), table.into_inline_table().into());
            }
        }
        other => other[name.as_str()] = Item::Table(table),
    }
}

/// Removes the table of a server and its switches; says whether there was a table.
pub fn remove(document: &mut DocumentMut, name: &Name) -> bool {
    let servers = document.get_mut("servers").and_then(Item::as_table_like_mut);
    let was_there = servers.and_then(|servers| servers.remove(name.as_str())).is_some();
    for key in ["enable", "disable"] {
        take(document, key, name);
    }
    was_there
}

/// Switches a server on or off; says whether that changes anything.
pub fn switch(document: &mut DocumentMut, name: &Name, on: bool) -> bool {
    let before = document.to_string();
    let (to, from) = if on { ("enable", "disable") } else { ("disable", "enable") };
    take(document, from, name);
    let missing = document.get(to).is_none();
    let list = document.entry(to).or_insert_with(|| Item::Value(Array::new().into()));
    if let Some(list) = list.as_array_mut()
        && !list.iter().any(|value| value.as_str() == Some(name.as_str()))
    {
        list.push(name.as_str());
    }
    if missing {
        // What stands at the end belongs to the last table: a switch stands before the first one.
        move_up(document, to);
    }
    document.to_string() != before
}

/// Takes `name` out of the list at `key`, and an empty list out of the file.
fn take(document: &mut DocumentMut, key: &str, name: &Name) {
    let Some(list) = document.get_mut(key).and_then(Item::as_array_mut) else { return };
    list.retain(|value| value.as_str() != Some(name.as_str()));
    if list.is_empty() {
        document.remove(key);
    }
}

/// Plain keys of the root are written before its tables wherever they were added; a comment at the
/// head of the first table stays with the table.
fn move_up(document: &mut DocumentMut, key: &str) {
    if let Some(Item::Value(value)) = document.get_mut(key) {
        let decor = value.decor_mut();
        decor.clear();
        value.decor_mut().set_prefix(" ");
    }
}

/// Switches a server in the project at `root`, whose file is made where there is none. Says whether
/// that changed anything.
pub fn switch_in_project(root: &Path, name: &Name, on: bool) -> Result<bool, Failure> {
    let path = root.join(project::FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => NEW.to_owned(),
        Err(error) => return Err(unreadable(&path, error)),
    };
    let shown = path.display().to_string();
    Project::parse(&shown, &text)?;
    let mut document: DocumentMut =
        text.parse().map_err(|_| Failure::failed(format!("`{shown}` is not TOML")))?;
    if !switch(&mut document, name, on) {
        return Ok(false);
    }
    let text = document.to_string();
    Project::parse(&shown, &text)?;
    replace(&path, &text).map_err(|error| unreadable(&path, error))?;
    Ok(true)
}

const NEW: &str = "# Which MCP servers are on in this project: `strongroom mcp enable` and `disable` write here. No\n\
                   # secret ever stands in this file.\n\
                   enable = []\n";

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::failed(ProjectFile { path: path.display().to_string(), source: error })
}

#[derive(Debug, thiserror::Error)]
#[error("`{path}` cannot be read or written")]
struct ProjectFile {
    path: String,
    source: io::Error,
}

/// Puts `text` in the place of the file in one step. It is the project's, not ours: its mode stays.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link leads to the file that is meant.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut salt = [0; 8];
    strongroom_seal::random(&mut salt).map_err(io::Error::other)?;
    let name = format!(".{}.{:016x}.tmp", project::FILE, u64::from_ne_bytes(salt));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        if let Ok(metadata) = fs::metadata(&path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// A list of texts as a value of the file.
pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    texts.into_iter().collect::<Array>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_switch_stands_once_and_keeps_the_comments() {
        let text = "# mine\n[services.x] # here\nbase_url = \"https://x\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        assert!(switch(&mut document, &name("files"), true));
        assert!(!switch(&mut document, &name("files"), true));
        let written = document.to_string();
        let again: DocumentMut = written.parse().unwrap();
        assert_eq!(again["enable"].as_array().unwrap().len(), 1, "{written}");
        assert!(written.contains("# mine") && written.contains("# here"), "{written}");
        assert!(switch(&mut document, &name("files"), false));
        assert_eq!(document.to_string().matches("files").count(), 1);
        assert!(document.get("enable").is_none());
        assert!(document.to_string().contains("disable = [\"files\"]"));
    }

    #[test]
    fn a_project_file_is_made_changed_and_never_broken() {
        let dir = tempfile::tempdir().unwrap();
        assert!(switch_in_project(dir.path(), &name("a"), true).unwrap());
        assert!(!switch_in_project(dir.path(), &name("a"), true).unwrap());
        assert!(switch_in_project(dir.path(), &name("b"), true).unwrap());
        let text = fs::read_to_string(dir.path().join("strongroom.toml")).unwrap();
        assert!(text.starts_with("# Which MCP servers"), "{text}");
        assert!(text.contains("enable = [\"a\", \"b\"]"), "{text}");
        fs::write(dir.path().join("strongroom.toml"), "enable = 1").unwrap();
        assert!(switch_in_project(dir.path(), &name("a"), true).is_err());
        assert_eq!(fs::read_to_string(dir.path().join("strongroom.toml")).unwrap(), "enable = 1");
    }

    #[test]
    fn removing_a_server_takes_its_switches_along() {
        let text =
            "enable = [\"a\", \"b\"]\n[servers.a]\ncommand = \"x\"\n[servers.b]\ncommand = \"y\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        assert!(remove(&mut document, &name("a")));
        assert!(!remove(&mut document, &name("a")));
        let left = document.to_string();
        assert!(!left.contains('a') || !left.contains("servers.a"), "{left}");
        assert!(left.contains("enable = [ \"b\"]") || left.contains("enable = [\"b\"]"), "{left}");
    }
}
