//! Carries an import out, in an order in which nothing is lost if it is killed anywhere.
//!
//! Invariant: a secret leaves a client's file only after the vault and `strongroom.toml` have it, and
//! everything that is done was written down before. Killed in between, the client goes on as before;
//! the same import again goes on where it ended, and `--undo` takes back what there is of it.

use std::path::PathBuf;

use strongroom_clients::edit::Format;
use strongroom_clients::file::{ConfigFile, FileError};
use strongroom_clients::import::journal::{ChangedFile, Import, Journal, hash};
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_seal::SecureDir;
use toml_edit::Table;

use super::store::Store;
use crate::admin;
use crate::config::edit::Editor;
use crate::environment::Host;
use crate::failure::Failure;
use crate::paths::Home;

/// Lets one run at a time edit clients' files.
pub const LOCK: &str = "clients.lock";

/// How often a file that its client keeps writing is read again.
const ATTEMPTS: u32 = 5;

/// What an import does.
pub struct Batch<'a> {
    /// Where the secrets go.
    pub store: &'a Store<'a>,
    /// The secrets that it stores.
    pub puts: Vec<Put<'a>>,
    /// The servers that it adds.
    pub tables: Vec<(&'a Name, Table)>,
    /// The files that it changes.
    pub files: Vec<FileEdit<'a>>,
}

/// A secret for the vault.
pub struct Put<'a> {
    /// Its name there.
    pub name: String,
    /// The server that may use it.
    pub server: &'a Name,
    /// The secret.
    pub secret: &'a Secret,
}

/// A change of a file.
pub struct FileEdit<'a> {
    /// The file.
    pub path: PathBuf,
    /// The servers that it starts through us from then on.
    pub servers: Vec<String>,
    /// The change.
    pub edit: Box<Edit<'a>>,
    /// The language of the file.
    pub format: Format,
}

/// A change of a text.
pub type Edit<'a> = dyn Fn(&str) -> Result<String, Failure> + 'a;

/// A file that was changed, and its backup.
#[derive(Debug, serde::Serialize)]
pub struct Changed {
    /// The file.
    pub file: PathBuf,
    /// The file as it was.
    pub backup: Option<PathBuf>,
}

/// Where an import can be stopped, to see that it bears it.
pub type Stop<'a> = &'a mut dyn FnMut(&'static str) -> Result<(), Failure>;

/// Carries `batch` out. `stop` is asked before each step.
pub fn apply(
    batch: &Batch<'_>,
    host: &Host,
    home: &Home,
    stop: Stop<'_>,
) -> Result<Vec<Changed>, Failure> {
    let state = SecureDir::open(&home.state)?;
    let _turn = state.lock(LOCK)?;
    let mut journal = Journal::read(&state)?;
    let import = journal.open();
    for put in &batch.puts {
        import.note_secret(batch.store.scheme(), &put.name, put.server.as_str(), None);
    }
    for (name, _) in &batch.tables {
        import.note_server(name.as_str());
    }
    journal.write(&state)?;
    for (name, _) in &batch.tables {
        admin::record(host, home, "server.import", name.as_str())?;
    }

    stop("vault")?;
    for put in &batch.puts {
        batch.store.put(put.server, &put.name, put.secret)?;
    }
    let versions = batch.store.versions()?;
    for put in &batch.puts {
        let version = versions.get(&put.name).copied();
        journal.open().note_secret(batch.store.scheme(), &put.name, put.server.as_str(), version);
    }
    journal.write(&state)?;

    stop("config")?;
    add_servers(batch, home)?;

    let mut changed = Vec::new();
    for file in &batch.files {
        stop("file")?;
        changed.extend(change(file, host, &state, &mut journal)?);
    }
    stop("end")?;
    journal.open().done = true;
    journal.imports.retain(|import| !import.is_empty());
    journal.write(&state)?;
    Ok(changed)
}

fn add_servers(batch: &Batch<'_>, home: &Home) -> Result<(), Failure> {
    if batch.tables.is_empty() {
        return Ok(());
    }
    let mut editor = Editor::open(home)?;
    for (name, table) in &batch.tables {
        editor.put_server(name, table.clone());
        editor.enable(name);
    }
    editor.check()?;
    Ok(editor.save()?)
}

fn change(
    file: &FileEdit<'_>,
    host: &Host,
    state: &SecureDir,
    journal: &mut Journal,
) -> Result<Option<Changed>, Failure> {
    let mut attempt = 1;
    loop {
        let present = ConfigFile::read(&file.path)?;
        let before = present.text.clone().unwrap_or_default();
        let after = (file.edit)(&before)?;
        if before == after {
            return Ok(None);
        }
        // Before the file: the other way round a change could be forgotten.
        journal.open().note_file(ChangedFile {
            path: present.path.clone(),
            before: hash(&before),
            after: hash(&after),
            servers: file.servers.clone(),
        });
        journal.write(state)?;
        match present.replace(&after, false, host.clock.now()) {
            Err(FileError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
            Ok(backup) => return Ok(Some(Changed { file: present.path, backup })),
        }
    }
}

/// What an import that was killed had noted, to say so.
pub fn unfinished(journal: &Journal) -> Option<&Import> {
    journal.imports.last().filter(|import| !import.done)
}
