//! SQLite: a file, readers on the calling threads, one thread that writes.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value as Cell};
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, ToSql};
use strongroom_model::ports::BoxFuture;
use strongroom_seal::SecureDir;
use tokio::sync::oneshot;

use super::{Announce, Row, Tx, Value};
use crate::team::TeamError;

/// A database in a file.
pub(crate) struct Sqlite {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    writer: Mutex<Option<Writer>>,
}

struct Writer {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// A write: it is given the open transaction, or why there is none, and leaves what is to be told once
/// the transaction is committed.
type Job = Box<dyn FnOnce(Result<&mut Tx, TeamError>) -> Done + Send>;
type Done = Box<dyn FnOnce(Result<(), TeamError>) + Send>;

/// As many writes are committed at once.
const MOST_JOBS: usize = 128;

impl Sqlite {
    /// Opens the file, and makes it where there is none; brings an older schema up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, TeamError> {
        prepare(path)?;
        let db = connect(path)?;
        let (jobs, waiting) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("team-writer".to_owned())
            .spawn(move || write_all(db, &waiting))
            .map_err(TeamError::unreachable)?;
        let writer = Mutex::new(Some(Writer { jobs, thread }));
        Ok(Self { path: path.to_owned(), idle: Mutex::default(), writer })
    }

    /// Brings the file's schema up to date; from which to which.
    pub(crate) fn migrate(path: &Path) -> Result<(i64, i64), TeamError> {
        prepare(path)
    }

    /// A connection that nobody else has.
    pub(crate) fn connect(&self) -> Result<Connection, TeamError> {
        connect(&self.path)
    }

    pub(super) fn read<T>(
        &self,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>>,
    ) -> Result<T, TeamError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = idle.map_or_else(|| self.connect(), Ok)?;
        db.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).map_err(of_sqlite)?;
        let mut tx = Tx::Sqlite(Box::new(db));
        let done = at_once(act(&mut tx));
        let Tx::Sqlite(db) = tx else { return done };
        if db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(*db);
        }
        done
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        announce: Announce,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>> + Send + 'static,
    ) -> Result<T, TeamError> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let done = tx.and_then(|tx| savepoint(tx, announce, act));
            Box::new(move |committed| {
                // Nobody may wait any more.
                let _ = tell.send(committed.and(done));
            })
        });
        let sent = match &*self.writer.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(writer) => writer.jobs.send(job).is_ok(),
            None => false,
        };
        if !sent {
            return Err(TeamError::unreachable("the database is closed"));
        }
        told.await.map_err(|_| TeamError::unreachable("the database is closed"))?
    }

    pub(super) async fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Writer { jobs, thread }) = writer {
            drop(jobs);
            // It ends with the last job that was sent.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn write_all(db: Connection, jobs: &Receiver<Job>) {
    let mut tx = Tx::Sqlite(Box::new(db));
    while let Ok(first) = jobs.recv() {
        let batch = std::iter::once(first).chain(jobs.try_iter().take(MOST_JOBS - 1));
        if let Err(error) = run(&mut tx, "BEGIN IMMEDIATE") {
            batch.for_each(|job| job(Err(error.clone()))(Ok(())));
            continue;
        }
        let done: Vec<Done> = batch.map(|job| job(Ok(&mut tx))).collect();
        let committed = run(&mut tx, "COMMIT");
        if committed.is_err() {
            // Where there is nothing to take back, SQLite has done so itself.
            let _ = run(&mut tx, "ROLLBACK");
        }
        for done in done {
            done(committed.clone());
        }
    }
}

/// One write among those that are committed together: it is done, or leaves no trace.
fn savepoint<T>(
    tx: &mut Tx,
    announce: Announce,
    act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>>,
) -> Result<T, TeamError> {
    run(tx, "SAVEPOINT job")?;
    let done = at_once(act(tx)).and_then(|done| announced(tx, announce).map(|()| done));
    if done.is_err() {
        run(tx, "ROLLBACK TO job")?;
    }
    run(tx, "RELEASE job")?;
    done
}

/// Other processes see in `changes` what they no longer know.
fn announced(tx: &mut Tx, announce: Announce) -> Result<(), TeamError> {
    let tenant = match announce {
        Announce::Nothing => return Ok(()),
        Announce::Tenant(tenant) => Some(tenant.to_string()),
        Announce::All => None,
    };
    let Tx::Sqlite(db) = tx else { return Ok(()) };
    execute(db, "INSERT INTO changes (tenant_id) VALUES ($1)", &[tenant.into()])?;
    execute(db, "DELETE FROM changes WHERE seq <= last_insert_rowid() - 4096", &[])?;
    Ok(())
}

fn run(tx: &mut Tx, sql: &'static str) -> Result<(), TeamError> {
    let Tx::Sqlite(db) = tx else { return Ok(()) };
    execute(db, sql, &[]).map(|_| ())
}

/// What a future gives that waits for nothing.
fn at_once<T>(future: BoxFuture<'_, Result<T, TeamError>>) -> Result<T, TeamError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(TeamError::database("a transaction waited for something else")),
    }
}

pub(super) fn execute(
    db: &Connection,
    sql: &'static str,
    values: &[Value],
) -> Result<u64, TeamError> {
    let mut statement = db.prepare_cached(sql).map_err(of_sqlite)?;
    bind(&mut statement, values).map_err(of_sqlite)?;
    statement.raw_execute().map(|rows| rows as u64).map_err(of_sqlite)
}

pub(super) fn query(
    db: &Connection,
    sql: &'static str,
    values: &[Value],
) -> Result<Vec<Row>, TeamError> {
    let mut statement = db.prepare_cached(sql).map_err(of_sqlite)?;
    bind(&mut statement, values).map_err(of_sqlite)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(of_sqlite)? {
        let cells: Result<Vec<Cell>, _> = (0..columns).map(|place| row.get(place)).collect();
        all.push(Row::Sqlite(cells.map_err(of_sqlite)?));
    }
    Ok(all)
}

/// `$1` is a name to SQLite, and not the first parameter.
fn bind(statement: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<()> {
    const NAMES: [&str; 16] = [
        "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14",
        "$15", "$16",
    ];
    for (name, value) in NAMES.iter().zip(values) {
        if let Some(place) = statement.parameter_index(name)? {
            statement.raw_bind_parameter(place, value)?;
        }
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self {
            Self::Uuid(id) => Cell::Text(id.to_string()),
            Self::Text(text) => text.clone().map_or(Cell::Null, Cell::Text),
            Self::Int(number) => Cell::Integer(*number),
            Self::Bool(is) => Cell::Integer((*is).into()),
            Self::Bytes(bytes) => bytes.clone().map_or(Cell::Null, Cell::Blob),
            Self::Time(micros) => micros.map_or(Cell::Null, Cell::Integer),
            Self::Texts(texts) => {
                let json = serde_json::to_string(texts).expect("texts are JSON");
                Cell::Text(json)
            }
            Self::Uuids(_) | Self::Ints(_) | Self::Times(_) => {
                return Err(rusqlite::Error::InvalidQuery);
            }
        }))
    }
}

/// What SQLite was kept from doing may be done later.
fn of_sqlite(source: rusqlite::Error) -> TeamError {
    use rusqlite::ffi::{
        SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE,
    };
    match source.sqlite_error().map(|error| (error.code, error.extended_code)) {
        Some((_, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY)) => {
            TeamError::conflict(&source.to_string())
        }
        Some((_, SQLITE_CONSTRAINT_FOREIGNKEY)) => TeamError::NotFound,
        Some((
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
            _,
        )) => TeamError::unreachable(source),
        Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => {
            TeamError::damaged("the database is damaged")
        }
        _ => TeamError::database(source),
    }
}

/// Every schema there was, in order; `user_version` counts those that were applied. One that was
/// released is never changed.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/team/sqlite/0001_team.sql"),
    include_str!("../../../migrations/team/sqlite/0002_credentials.sql"),
    include_str!("../../../migrations/team/sqlite/0003_audit.sql"),
    include_str!("../../../migrations/team/sqlite/0004_approvals.sql"),
    include_str!("../../../migrations/team/sqlite/0005_tool_pins.sql"),
    include_str!("../../../migrations/team/sqlite/0006_tools.sql"),
];

/// `SRtm`, in the file's header.
const APPLICATION_ID: i32 = 0x5352_746d;

const BUSY: Duration = Duration::from_secs(5);

/// The file as this version needs it. A copy is kept of one with an older schema.
fn prepare(path: &Path) -> Result<(i64, i64), TeamError> {
    let no_name = TeamError::Url { why: "the file has no name" };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(no_name)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir = SecureDir::create(parent.unwrap_or(Path::new(".")))?;
    let _turn = dir.lock(&format!("{name}.lock"))?;
    if !dir.has(name)? {
        dir.create_new(name, &[])?;
    }
    for companion in ["-wal", "-shm", "-journal"] {
        dir.has(&format!("{name}{companion}"))?;
    }
    let mut db = connect(path)?;
    let whole = |name| db.pragma_query_value::<i64, _>(None, name, |row| row.get(0));
    let application = whole("application_id").map_err(of_sqlite)?;
    let found = whole("user_version").map_err(of_sqlite)?;
    if application != i64::from(APPLICATION_ID) && (application, found) != (0, 0) {
        return Err(TeamError::damaged("it is not the database of a team"));
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(TeamError::Schema { found, known });
    }
    if found == known {
        return Ok((found, known));
    }
    if found > 0 {
        let copy = format!("{name}.schema-{found}.bak");
        dir.remove(&copy)?;
        dir.create_new(&copy, &[])?;
        let target = dir.path().join(&copy);
        let target = target.to_str().ok_or(TeamError::Url { why: "the path is not UTF-8" })?;
        db.execute("VACUUM INTO ?1", [target]).map_err(of_sqlite)?;
    }
    migrate(&mut db, found, known).map_err(of_sqlite)?;
    Ok((found, known))
}

fn migrate(db: &mut Connection, found: i64, known: i64) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    db.pragma_update(None, "journal_mode", "wal")
}

fn connect(path: &Path) -> Result<Connection, TeamError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let set_up = || {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // A plan follows from the statement alone, and is made once.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // FULL: what was acknowledged survives a power failure.
        db.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
             PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
        )?;
        db.set_prepared_statement_cache_capacity(128);
        Ok(db)
    };
    set_up().map_err(of_sqlite)
}
