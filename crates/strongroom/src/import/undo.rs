//! Takes an import back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use strongroom_clients::file::{ConfigFile, backups};
use strongroom_clients::import::journal::{ChangedFile, Import, Journal, hash};
use strongroom_model::principal::Name;
use strongroom_seal::SecureDir;
use strongroom_store::{SecretUse, Vault};

use super::apply::LOCK;
use crate::admin;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::paths::Home;

/// What was taken back, and what was not.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Whether nothing was done yet.
    pub dry_run: bool,
    /// The files that are as they were.
    pub restored: Vec<PathBuf>,
    /// The files that somebody changed since, and the backup of each, if it is there still.
    pub changed: Vec<(PathBuf, Option<PathBuf>)>,
    /// The servers that are gone from `strongroom.toml`.
    pub servers: Vec<String>,
    /// The secrets that are gone from the vault, by their references.
    pub secrets: Vec<String>,
    /// The servers that stay, since a file still starts them.
    pub kept: Vec<String>,
    /// The secrets that stay: they were changed since, or nobody can say that they were not.
    pub newer: Vec<String>,
}

/// What there is to do about a file.
enum Fate {
    /// It is as it was already.
    Original,
    /// It is as the import left it, and the backup has its text from before.
    Restore(ConfigFile, String),
    /// It is another one by now.
    Changed(Option<PathBuf>),
}

/// Takes the last import back. `None`: there is none.
pub fn undo(
    host: &Host,
    home: &Home,
    vault: &Vault,
    output: &Output,
    dry_run: bool,
) -> Result<Option<Undone>, Failure> {
    let state = SecureDir::open(&home.state)?;
    let _turn = state.lock(LOCK)?;
    let mut journal = Journal::read(&state)?;
    let Some(import) = journal.imports.last().cloned() else { return Ok(None) };
    let mut undone = Undone { dry_run, ..Undone::default() };
    let mut still: BTreeSet<String> = BTreeSet::new();
    let mut left = Vec::new();
    for file in &import.files {
        match fate(file)? {
            Fate::Original => {}
            Fate::Restore(present, before) => {
                if !dry_run {
                    let backup = present.replace(&before, false, host.clock.now())?;
                    // What we wrote ourselves needs no backup.
                    let _ = backup.map(std::fs::remove_file);
                }
                undone.restored.push(file.path.clone());
            }
            Fate::Changed(backup) => {
                still.extend(file.servers.iter().cloned());
                undone.changed.push((file.path.clone(), backup));
                left.push(file.clone());
            }
        }
    }
    undone.kept = still.iter().cloned().collect();
    let goes = |server: &String| !still.contains(server);
    undone.servers = import.servers.iter().filter(|server| goes(server)).cloned().collect();
    if !dry_run {
        for server in &undone.servers {
            admin::record_if_possible(host, output, "server.import.undo", server);
        }
        remove_servers(home, &undone.servers)?;
    }
    remove_secrets(&import, vault, &still, &mut undone)?;
    if !dry_run {
        journal.imports.pop();
        let rest = Import {
            done: true,
            secrets: import.secrets.into_iter().filter(|s| still.contains(&s.server)).collect(),
            servers: import.servers.into_iter().filter(|s| still.contains(s)).collect(),
            files: left,
        };
        if !rest.is_empty() {
            journal.imports.push(rest);
        }
        journal.write(&state)?;
    }
    Ok(Some(undone))
}

fn fate(file: &ChangedFile) -> Result<Fate, Failure> {
    let present = ConfigFile::read(&file.path)?;
    let now = hash(present.text.as_deref().unwrap_or_default());
    if now == file.before {
        return Ok(Fate::Original);
    }
    let is_it = |path: &PathBuf| {
        let text = ConfigFile::read(path).ok()?.text?;
        (hash(&text) == file.before).then_some(text)
    };
    let mut backups = backups(&file.path).into_iter().rev();
    let found = backups.find_map(|path| is_it(&path).map(|text| (path, text)));
    Ok(match found {
        Some((_, text)) if now == file.after => Fate::Restore(present, text),
        other => Fate::Changed(other.map(|(path, _)| path)),
    })
}

fn remove_servers(home: &Home, servers: &[String]) -> Result<(), Failure> {
    if servers.is_empty() {
        return Ok(());
    }
    let mut editor = Editor::open(home)?;
    for server in servers {
        if let Ok(name) = server.parse::<Name>() {
            editor.remove_server(&name);
            editor.forget_switch(&name);
        }
    }
    editor.check()?;
    Ok(editor.save()?)
}

/// Removes the secrets of servers that are gone, unless somebody stored another value since.
fn remove_secrets(
    import: &Import,
    vault: &Vault,
    still: &BTreeSet<String>,
    undone: &mut Undone,
) -> Result<(), Failure> {
    let stored = vault.list()?;
    for secret in import.secrets.iter().filter(|secret| !still.contains(&secret.server)) {
        // A keychain does not say whether an item is still what we stored: it stays.
        if secret.scheme != "local" {
            undone.newer.push(format!("{}://{}", secret.scheme, secret.name));
            continue;
        }
        let Some(present) = stored.iter().find(|present| present.name == secret.name) else {
            continue;
        };
        let is_its =
            present.used_by == secret.server.parse().map_or(SecretUse::Any, SecretUse::Launch);
        if is_its && secret.version.is_none_or(|version| version == present.version) {
            if !undone.dry_run {
                vault.remove(&secret.name)?;
            }
            undone.secrets.push(format!("local://{}", secret.name));
        } else {
            undone.newer.push(format!("local://{}", secret.name));
        }
    }
    Ok(())
}
