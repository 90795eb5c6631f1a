//! The SQLite file: made, opened, migrated.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction};
use strongroom_seal::{FileError, SecureDir};

use super::{FILE, VaultError};

/// Every schema there was, in order; `user_version` counts those that were applied. One that was
/// released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_vault.sql"),
    include_str!("../../migrations/0002_approvals.sql"),
    include_str!("../../migrations/0003_tool_pins.sql"),
];

/// `SRvt`, in the file's header.
const APPLICATION_ID: i32 = 0x5352_7674;

const BUSY: Duration = Duration::from_secs(5);
const LOCK: &str = "vault.lock";
const UNFINISHED: &str = "vault.db.new";

/// Makes the file, with the newest schema and what `found` puts into it. It appears under its name
/// when it is whole; a process that is killed on the way leaves nothing that looks like a vault.
pub(super) fn create(
    dir: &SecureDir,
    found: impl FnOnce(&Transaction<'_>) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let path = dir.path().join(FILE);
    let _turn = dir.lock(LOCK)?;
    if dir.has(FILE)? {
        return Err(VaultError::Exists { path });
    }
    for leftover in [UNFINISHED, "vault.db.new-journal", "vault.db.new-wal", "vault.db.new-shm"] {
        dir.remove(leftover)?;
    }
    dir.create_new(UNFINISHED, &[])?;
    let fill = || {
        let mut db = connect(&dir.path().join(UNFINISHED))?;
        let transaction = db.transaction()?;
        apply(&transaction, MIGRATIONS, 0)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        found(&transaction)?;
        transaction.commit()?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.close().map_err(|(_, error)| error)?;
        Ok(())
    };
    fill().map_err(|error: VaultError| error.at(&path))?;
    Ok(dir.rename(UNFINISHED, FILE)?)
}

/// Opens the file, and brings an older schema up to date.
pub(super) fn open(dir: &SecureDir) -> Result<Connection, VaultError> {
    open_known(dir, MIGRATIONS)
}

fn open_known(dir: &SecureDir, migrations: &[&str]) -> Result<Connection, VaultError> {
    let path = dir.path().join(FILE);
    if !dir.has(FILE)? {
        return Err(VaultError::Missing { path });
    }
    // SQLite opens these by name and gives them the mode of the database; what lies there already
    // must be as safe as that.
    for companion in ["vault.db-wal", "vault.db-shm", "vault.db-journal"] {
        dir.has(companion)?;
    }
    let mut db = connect(&path)?;
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(VaultError::damaged("it is not a vault"));
    }
    let known = count(migrations);
    let found = schema(&db)?;
    if found > known {
        return Err(VaultError::Newer { path, found, known });
    }
    if found < 1 {
        return Err(VaultError::damaged("it has no schema"));
    }
    if found < known {
        migrate(dir, &mut db, migrations)?;
    }
    Ok(db)
}

/// Copies the file, then applies what is missing, all or nothing.
fn migrate(dir: &SecureDir, db: &mut Connection, migrations: &[&str]) -> Result<(), VaultError> {
    let _turn = dir.lock(LOCK)?;
    let found = schema(db)?;
    if found == count(migrations) {
        return Ok(()); // another process was first
    }
    let copy = format!("vault.db.schema-{found}.bak");
    dir.remove(&copy)?;
    dir.create_new(&copy, &[])?;
    let target = dir.path().join(&copy);
    let target = target.to_str().ok_or_else(|| not_text(&target))?;
    db.execute("VACUUM INTO ?1", [target])?;
    let transaction = db.transaction()?;
    apply(&transaction, migrations, found)?;
    Ok(transaction.commit()?)
}

fn apply(transaction: &Transaction<'_>, migrations: &[&str], from: i64) -> Result<(), VaultError> {
    let done = usize::try_from(from).unwrap_or_default();
    for migration in migrations.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    Ok(transaction.pragma_update(None, "user_version", count(migrations))?)
}

/// A connection to the file, which has been opened before.
pub(super) fn connect(path: &Path) -> Result<Connection, VaultError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // A plan follows from the statement alone. Otherwise SQLite plans a statement anew whenever other
    // values are bound to it, which takes several times as long as running it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL: a commit survives a power failure. Writes are rare here, and a lost rotation is not
    // what a person expects after "stored".
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
         PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
    )?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

fn schema(db: &Connection) -> Result<i64, VaultError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn count(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

fn not_text(path: &Path) -> VaultError {
    let source = std::io::Error::new(ErrorKind::InvalidInput, "the path is not UTF-8");
    VaultError::File(FileError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "ALTER TABLE tenants ADD COLUMN note TEXT";

    #[test]
    fn a_newer_schema_is_refused_and_an_older_one_is_copied_first() {
        let home = tempfile::tempdir().unwrap();
        let dir = SecureDir::create(home.path().join("share")).unwrap();
        create(&dir, |_| Ok(())).unwrap();
        drop(open(&dir).unwrap());
        let known = count(MIGRATIONS);

        let newer = [MIGRATIONS, &[NEXT]].concat();
        let db = open_known(&dir, &newer).unwrap();
        assert_eq!(schema(&db).unwrap(), known + 1);
        drop(db);

        let error = open(&dir).unwrap_err();
        let VaultError::Newer { found, known: ours, .. } = &error else { panic!("{error}") };
        assert_eq!((*found, *ours), (known + 1, known));

        dir.rename(&format!("vault.db.schema-{known}.bak"), FILE).unwrap();
        assert_eq!(schema(&open(&dir).unwrap()).unwrap(), known);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let dir = SecureDir::create(home.path().join("share")).unwrap();
        create(&dir, |_| Ok(())).unwrap();
        let broken = [MIGRATIONS, &[NEXT, "not SQL"]].concat();
        assert!(open_known(&dir, &broken).is_err());
        assert_eq!(schema(&open(&dir).unwrap()).unwrap(), count(MIGRATIONS));
    }

    #[test]
    fn a_second_vault_is_never_made_over_the_first() {
        let home = tempfile::tempdir().unwrap();
        let dir = SecureDir::create(home.path().join("share")).unwrap();
        assert!(matches!(open(&dir), Err(VaultError::Missing { .. })));
        dir.create_new(UNFINISHED, b"left by a killed process").unwrap();
        create(&dir, |_| Ok(())).unwrap();
        assert!(matches!(create(&dir, |_| Ok(())), Err(VaultError::Exists { .. })));
    }
}
