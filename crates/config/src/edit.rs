//! Changes the file: under a lock, checked before it is written, replaced in one step, with the
//! comments that stand in it.

mod servers;

use std::path::PathBuf;
use std::time::SystemTime;

use strongroom_seal::{FileError, Guard, SecureDir};
use time::OffsetDateTime;
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::{Config, ConfigError, FILE, LoadError, read};
use crate::paths::Home;

/// The name of the lock's file.
const LOCK: &str = "strongroom.toml.lock";

/// The file, open for a change. Others wait until it is dropped.
pub struct Editor {
    dir: SecureDir,
    _turn: Guard,
    file: String,
    before: String,
    document: DocumentMut,
    config: Config,
}

/// Why the file is not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It cannot be read as it is.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It, or what lies beside it, may not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its text is none that can be edited.
    #[error("the configuration is not TOML")]
    NotToml,
    /// It was kept too often within a short time.
    #[error("there are too many backups of the configuration")]
    Backups,
    /// With the change there would be a mistake in it.
    #[error("{problem}")]
    Change {
        /// What is wrong; it names keys and never values.
        problem: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

impl Editor {
    /// Waits for our turn and reads the file of `home`. A file with a mistake in it is not edited.
    pub fn open(home: &Home) -> Result<Self, EditError> {
        // Before there is a directory there is nothing to lock.
        read(home)?;
        let dir = SecureDir::open(&home.config)?;
        let turn = dir.lock(LOCK)?;
        let text = read(home)?;
        let file = home.config_file().display().to_string();
        let config = Config::parse(&file, &text).map_err(LoadError::from)?;
        let document = text.parse().map_err(|_| EditError::NotToml)?;
        Ok(Self { dir, _turn: turn, file, before: text, document, config })
    }

    /// What the file says before the change.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The whole file, to be changed.
    pub fn document(&mut self) -> &mut DocumentMut {
        &mut self.document
    }

    /// The table of a service.
    pub fn service(&mut self, name: &str) -> Option<&mut Item> {
        self.document.get_mut("services")?.get_mut(name)
    }

    /// The table of a provider, made where there is none.
    pub fn provider(&mut self, name: &str) -> &mut dyn TableLike {
        let table = |implicit| {
            let mut table = Table::new();
            table.set_implicit(implicit);
            Item::Table(table)
        };
        let all = self.document.entry("providers").or_insert_with(|| table(true));
        let all = all.as_table_like_mut().expect("the file was checked: it is a table");
        let one = all.entry(name).or_insert_with(|| table(false));
        one.as_table_like_mut().expect("the file was checked: it is a table")
    }

    /// Puts the table of a service.
    pub fn put(&mut self, name: &str, table: Table) {
        let services = self.document.entry("services").or_insert_with(|| {
            let mut services = Table::new();
            services.set_implicit(true);
            Item::Table(services)
        });
        match services {
            Item::Value(value) => {
                if let Some(services) = value.as_inline_table_mut() {
                    services.insert(name, table.into_inline_table().into());
                }
            }
            other => other[name] = Item::Table(table),
        }
    }

    /// Removes the table of a service; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let services = self.document.get_mut("services").and_then(Item::as_table_like_mut);
        services.and_then(|services| services.remove(name)).is_some()
    }

    /// Keeps the file as it is, beside it; says where.
    pub fn back_up(&self, now: SystemTime) -> Result<PathBuf, EditError> {
        let stamp = OffsetDateTime::from(now).unix_timestamp();
        for attempt in 0..1000_i64 {
            let name = format!("{FILE}.backup-{}", stamp + attempt);
            match self.dir.create_new(&name, self.before.as_bytes()) {
                Err(_) if self.dir.has(&name)? => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(self.dir.path().join(name)),
            }
        }
        Err(EditError::Backups)
    }

    /// What the file will say after the change; a mistake in it is the caller's, or the user's.
    pub fn check(&self) -> Result<Config, EditError> {
        // The place would be one in a file that is not written.
        Config::parse(&self.file, &self.document.to_string())
            .map_err(|ConfigError { problem, hint, .. }| EditError::Change { problem, hint })
    }

    /// Writes the change. It must have passed [`check`](Self::check).
    pub fn save(&self) -> Result<(), EditError> {
        Ok(self.dir.write_atomic(FILE, self.document.to_string().as_bytes())?)
    }
}
