//! The two databases under one roof: SQL with `$n` parameters, typed values, transactions.
//!
//! A statement is written once where both take it. What a transaction does is a closure: on Postgres
//! it runs where it was called; on SQLite a read runs on the calling thread and takes microseconds,
//! and writes are handed to one thread, which commits as many as wait at once.

pub(super) mod postgres;
pub(super) mod sqlite;
mod value;

use strongroom_model::ports::BoxFuture;
use strongroom_model::team::TenantId;
use tracing::{Instrument as _, info_span};

use super::TeamError;
use postgres::Postgres;
use sqlite::Sqlite;

pub(crate) use value::{Row, Value, micros, time};

/// Whose rows a transaction sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The tables that belong to no tenant, and of those that do, none.
    Installation,
    /// One tenant's.
    Tenant(TenantId),
    /// All records of the audit and nothing else, as the role that may read those. What one
    /// transaction reads is one state of the database.
    Auditor,
}

/// What others are told when a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announce {
    /// Nothing that anybody keeps in memory has changed.
    Nothing,
    /// Something of one tenant.
    Tenant(TenantId),
    /// Something that concerns many.
    All,
}

/// A database.
pub(crate) enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// A transaction. Invariant: what runs in it waits for nothing but the transaction itself; on SQLite
/// every other writer waits for it.
pub(crate) enum Tx {
    Sqlite(Box<rusqlite::Connection>),
    Postgres(Box<postgres::Transaction>),
}

impl Database {
    /// Runs `act` on one state of the database.
    pub(crate) async fn read<T>(
        &self,
        sight: Sight,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>> + Send,
    ) -> Result<T, TeamError> {
        let span = info_span!("store", system = self.system(), operation = "read");
        match self {
            Self::Sqlite(sqlite) => span.in_scope(|| sqlite.read(act)),
            // Boxed: it is large, and every request holds one.
            Self::Postgres(postgres) => Box::pin(postgres.read(sight, act)).instrument(span).await,
        }
    }

    /// The first row that one `SELECT` gives, which is about no tenant's rows: on Postgres without a
    /// transaction, in one round trip. The first of `sql` is for `SQLite`, the other for Postgres.
    pub(crate) async fn first(
        &self,
        sql: [&'static str; 2],
        values: Vec<Value>,
    ) -> Result<Option<Row>, TeamError> {
        match self {
            Self::Sqlite(sqlite) => {
                sqlite.read(|tx| Box::pin(async move { tx.first(sql[0], values).await }))
            }
            Self::Postgres(postgres) => postgres.first(sql[1], values).await,
        }
    }

    /// Runs `act`, all or nothing. It is done when this returns.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped, all of it is done or nothing.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        sight: Sight,
        announce: Announce,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>> + Send + 'static,
    ) -> Result<T, TeamError> {
        let span = info_span!("store", system = self.system(), operation = "write");
        match self {
            Self::Sqlite(sqlite) => sqlite.write(announce, act).instrument(span).await,
            Self::Postgres(postgres) => {
                Box::pin(postgres.write(sight, announce, act)).instrument(span).await
            }
        }
    }

    /// As OpenTelemetry calls it.
    fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }

    /// Ends all connections, after what was begun is done.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(postgres) => postgres.close().await,
        }
    }
}

impl Tx {
    /// Runs a statement; how many rows it touched.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, TeamError> {
        match self {
            Self::Sqlite(db) => sqlite::execute(db, sql, &values),
            Self::Postgres(transaction) => postgres::execute(transaction, sql, values).await,
        }
    }

    /// The rows that a statement gives.
    pub(crate) async fn query(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, TeamError> {
        match self {
            Self::Sqlite(db) => sqlite::query(db, sql, &values),
            Self::Postgres(transaction) => postgres::query(transaction, sql, values).await,
        }
    }

    /// The first row that a statement gives.
    pub(crate) async fn first(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, TeamError> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Several statements in one round trip: Postgres only. Their text is the caller's to vouch for.
    pub(crate) async fn script(&mut self, text: String) -> Result<(), TeamError> {
        match self {
            Self::Sqlite(_) => Err(TeamError::database("a script is for Postgres alone")),
            Self::Postgres(transaction) => postgres::script(transaction, text).await,
        }
    }

    /// The statement in the words of this database, where the two differ.
    pub(crate) fn either(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }
}
