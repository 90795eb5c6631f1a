//! Postgres: a pool, and transactions that see one tenant.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sqlx_core::error::DatabaseError;
use sqlx_core::pool::PoolOptions;
use sqlx_core::query::Query;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgPool, PgSeverity};
use strongroom_model::ports::BoxFuture;

use super::value::moment;
use super::{Announce, Row, Sight, Tx, Value};
use crate::team::TeamError;
use crate::team::feed::{Change, Feed};

/// A database on a server.
pub(crate) struct Postgres {
    pool: PgPool,
    /// Of the role that adds to the audit and can do nothing else. There is one writer, which uses one
    /// connection, whose prepared statements stay at hand.
    audit: PgPool,
    feed: Arc<Feed>,
}

/// A transaction on it.
pub(crate) type Transaction = sqlx_core::transaction::Transaction<'static, sqlx_postgres::Postgres>;

/// The role that the server acts as; it owns nothing, and row-level security binds it.
pub const APP_ROLE: &str = "strongroom_app";

/// The role that adds to the audit.
const AUDIT_ROLE: &str = "strongroom_audit";

/// One that hangs holds its place until the system gives it up, which takes minutes: the others take over.
const AUDIT_CONNECTIONS: u32 = 3;

/// The schema that has all tables.
pub(crate) const SCHEMA: &str = "strongroom";

/// What is told on this channel: the tenant that changed, `all`, or `alive`.
pub(crate) const CHANNEL: &str = "strongroom_changes";

/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a transaction may take before the database counts as one that does not answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// As [`DEADLINE`], where nothing is changed.
const READ_DEADLINE: Duration = Duration::from_secs(4);

impl Postgres {
    /// A pool for `options`. Nothing is connected before it is needed.
    pub(crate) fn open(options: &PgConnectOptions, most: u32, feed: Arc<Feed>) -> Self {
        let pool = |role, most| {
            PoolOptions::new()
                .max_connections(most)
                .acquire_timeout(PATIENCE)
                .test_before_acquire(false)
                // Whoever logs in, what it does is bound by row-level security: a superuser, too.
                .connect_lazy_with(with_schema(options).options([("role", role)]))
        };
        Self { pool: pool(APP_ROLE, most), audit: pool(AUDIT_ROLE, AUDIT_CONNECTIONS), feed }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn read<T>(
        &self,
        sight: Sight,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>>,
    ) -> Result<T, TeamError> {
        self.run(sight, Announce::Nothing, true, act).await
    }

    pub(super) async fn write<T>(
        &self,
        sight: Sight,
        announce: Announce,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>>,
    ) -> Result<T, TeamError> {
        let done = self.run(sight, announce, false, act).await;
        // Others hear of it, and so do we; but whoever asks us next should not see the past, also where
        // it is not known whether the write is done.
        match announce {
            Announce::Nothing => (),
            Announce::Tenant(tenant) => self.feed.note(Change::Tenant(tenant)),
            Announce::All => self.feed.note(Change::All),
        }
        done
    }

    /// One statement by itself: a connection between transactions sees no tenant, because what was set
    /// was set for a transaction.
    pub(super) async fn first(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, TeamError> {
        let ask = || bound(sql, values.clone()).fetch_optional(&self.pool);
        let found = by_itself(&self.pool, READ_DEADLINE, ask).await?;
        Ok(found.map(Row::Postgres))
    }

    /// The first row that one statement gives to the role that adds to the audit.
    pub(crate) async fn of_audit(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, TeamError> {
        let ask = || bound(sql, values.clone()).fetch_optional(&self.audit);
        let found = by_itself(&self.audit, READ_DEADLINE, ask).await?;
        Ok(found.map(Row::Postgres))
    }

    /// Adds to the audit by one statement, all or nothing; how many rows. It may be done twice where a
    /// connection was lost over it: the statement has to find that out.
    pub(crate) async fn add_to_audit(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, TeamError> {
        let add = || bound(sql, values.clone()).execute(&self.audit);
        Ok(by_itself(&self.audit, DEADLINE, add).await?.rows_affected())
    }

    async fn run<T>(
        &self,
        sight: Sight,
        announce: Announce,
        read_only: bool,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>>,
    ) -> Result<T, TeamError> {
        let all = async {
            let mut tx = Tx::Postgres(Box::new(self.begin(sight, read_only).await?));
            let done = act(&mut tx).await?;
            let told = match announce {
                Announce::Nothing => None,
                Announce::Tenant(tenant) => Some(tenant.to_string()),
                Announce::All => Some("all".to_owned()),
            };
            if let Some(told) = told {
                tx.query("SELECT pg_notify($1, $2)", vec![CHANNEL.into(), told.into()]).await?;
            }
            let Tx::Postgres(transaction) = tx else { return Ok(done) };
            transaction.commit().await.map_err(of_sqlx)?;
            Ok(done)
        };
        let late = |_| TeamError::unreachable("it took too long to answer");
        let deadline = if read_only { READ_DEADLINE } else { DEADLINE };
        tokio::time::timeout(deadline, all).await.map_err(late)?
    }

    /// Begins a transaction that sees what it is to see, in one round trip.
    ///
    /// Invariant: the one text that is put together here is made of constants and of an id, which
    /// has nothing in it but hexadecimal digits and hyphens.
    async fn begin(&self, sight: Sight, read_only: bool) -> Result<Transaction, TeamError> {
        let mode = match (sight, read_only) {
            (Sight::Auditor, _) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (_, true) => "BEGIN READ ONLY",
            (_, false) => "BEGIN",
        };
        let (tenant, role) = match sight {
            Sight::Installation => (String::new(), ""),
            Sight::Tenant(tenant) => (tenant.to_string(), ""),
            Sight::Auditor => (String::new(), "; SET LOCAL ROLE strongroom_auditor"),
        };
        let statement = || format!("{mode}; SET LOCAL app.tenant_id = '{tenant}'{role}");
        let mut begun = self.pool.begin_with(AssertSqlSafe(statement())).await;
        // A connection of the pool may have died while nobody looked: others may be as dead.
        for _ in 0..self.pool.options().get_max_connections() {
            match begun {
                Err(error) if is_cut_off(&error) => {
                    begun = self.pool.begin_with(AssertSqlSafe(statement())).await;
                }
                _ => break,
            }
        }
        begun.map_err(|error| match (sight, error.as_database_error()) {
            (Sight::Auditor, Some(said)) if said.code().as_deref() == Some("42501") => {
                TeamError::Auditor
            }
            _ => of_sqlx(error),
        })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
        self.audit.close().await;
    }
}

/// What comes of `ask`, once more on another connection where the first was gone.
async fn by_itself<T, F: Future<Output = Result<T, sqlx_core::Error>>>(
    pool: &PgPool,
    deadline: Duration,
    ask: impl Fn() -> F,
) -> Result<T, TeamError> {
    let asked = async {
        let mut found = ask().await;
        // One of the pool may have died while nobody looked: others may be as dead.
        for _ in 0..pool.options().get_max_connections() {
            match found {
                Err(error) if is_cut_off(&error) => found = ask().await,
                _ => break,
            }
        }
        found.map_err(of_sqlx)
    };
    let late = |_| TeamError::unreachable("it took too long to answer");
    tokio::time::timeout(deadline, asked).await.map_err(late)?
}

/// The same server; names are looked for in our schema.
pub(crate) fn with_schema(options: &PgConnectOptions) -> PgConnectOptions {
    options
        .clone()
        .options([("search_path", SCHEMA), ("statement_timeout", "9s")])
        .application_name("strongroom")
        .statement_cache_capacity(256)
}

/// A pool of one connection, for whoever owns the tables.
pub(crate) fn single(options: &PgConnectOptions) -> PgPool {
    PoolOptions::<sqlx_postgres::Postgres>::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options.clone())
}

pub(super) async fn execute(
    transaction: &mut Transaction,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<u64, TeamError> {
    let done = bound(sql, values).execute(&mut **transaction).await.map_err(of_sqlx)?;
    Ok(done.rows_affected())
}

pub(super) async fn query(
    transaction: &mut Transaction,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<Vec<Row>, TeamError> {
    let rows = bound(sql, values).fetch_all(&mut **transaction).await.map_err(of_sqlx)?;
    Ok(rows.into_iter().map(Row::Postgres).collect())
}

pub(super) async fn script(transaction: &mut Transaction, text: String) -> Result<(), TeamError> {
    let script = raw_sql(AssertSqlSafe(text));
    script.execute(&mut **transaction).await.map(drop).map_err(of_sqlx)
}

fn bound(
    sql: &'static str,
    values: Vec<Value>,
) -> Query<'static, sqlx_postgres::Postgres, PgArguments> {
    values.into_iter().fold(sqlx_core::query::query(sql), |query, value| match value {
        Value::Uuid(id) => query.bind(id),
        Value::Text(text) => query.bind(text),
        Value::Int(number) => query.bind(number),
        Value::Bool(is) => query.bind(is),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Time(micros) => query.bind(micros.map(moment)),
        Value::Texts(texts) => query.bind(texts),
        Value::Uuids(ids) => query.bind(ids),
        Value::Ints(numbers) => query.bind(numbers),
        Value::Times(all) => query.bind(all.into_iter().map(moment).collect::<Vec<_>>()),
    })
}

/// What the server did not answer, or could not just now, may be answered later.
pub(crate) fn of_sqlx(error: sqlx_core::Error) -> TeamError {
    use sqlx_core::Error;
    let Error::Database(said) = &error else {
        return match error {
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed => TeamError::unreachable(error),
            other => TeamError::database(other),
        };
    };
    match said.code().as_deref() {
        Some("23505") => TeamError::conflict(said.constraint().unwrap_or_default()),
        Some("23503") => TeamError::NotFound,
        // While connecting: there is no such role yet, or it may not be taken on.
        Some("22023" | "42501") if is_fatal(said.as_ref()) => TeamError::Role,
        Some("28000" | "28P01") => TeamError::Login { source: in_its_words(said.as_ref()) },
        Some("3D000") => TeamError::NoDatabase { source: in_its_words(said.as_ref()) },
        // Classes of PostgreSQL: connections, resources, an operator's act, a system's error; and
        // serialization, deadlock, a statement that took too long, a server that only reads.
        Some(code)
            if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                || matches!(code, "40001" | "40P01" | "25006" | "55P03") =>
        {
            TeamError::unreachable(error)
        }
        _ => TeamError::database(error),
    }
}

fn in_its_words(said: &dyn DatabaseError) -> Arc<dyn Error + Send + Sync> {
    Arc::from(Box::<dyn Error + Send + Sync>::from(said.message()))
}

fn is_fatal(said: &dyn DatabaseError) -> bool {
    said.try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|said| said.severity() == PgSeverity::Fatal)
}

/// Whether the connection is gone: nothing was done over it.
fn is_cut_off(error: &sqlx_core::Error) -> bool {
    match error {
        sqlx_core::Error::Io(_) | sqlx_core::Error::Protocol(_) => true,
        sqlx_core::Error::Database(said) => said.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
