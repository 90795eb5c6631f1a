//! The schema of a Postgres database, applied by its owner.

use sqlx_core::executor::Executor as _;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_postgres::PgPool;

use super::TeamError;
use super::database::postgres::{of_sqlx, single, with_schema};
use super::database::sqlite::Sqlite;
use super::url::{DatabaseUrl, Place};

/// What a migration has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema that was found; 0 where there was none.
    pub from: i64,
    /// The schema that there is now.
    pub to: i64,
}

/// Every schema there was, in order. One that was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/team/postgres/0001_team.sql"),
    include_str!("../../migrations/team/postgres/0002_credentials.sql"),
    include_str!("../../migrations/team/postgres/0003_audit.sql"),
    include_str!("../../migrations/team/postgres/0004_approvals.sql"),
    include_str!("../../migrations/team/postgres/0005_tool_pins.sql"),
    include_str!("../../migrations/team/postgres/0006_tools.sql"),
];

const ROLES: &str = include_str!("../../migrations/team/postgres/roles.sql");
const PROTECT: &str = include_str!("../../migrations/team/postgres/protect.sql");

/// Brings the schema up to date. On Postgres `url` is that of the owner, who may make roles; the
/// role [`APP_ROLE`](super::APP_ROLE) is made where it is missing, without a password, and its rights are set anew.
/// On SQLite the file is made where it is missing.
pub async fn migrate(url: &DatabaseUrl) -> Result<Migrated, TeamError> {
    match &url.0 {
        Place::Sqlite(path) => {
            let (from, to) = Sqlite::migrate(path)?;
            Ok(Migrated { from, to })
        }
        Place::Postgres(options) => {
            let pool = single(&with_schema(options));
            let done = apply(&pool).await.map_err(of_sqlx)?;
            pool.close().await;
            done
        }
    }
}

async fn apply(pool: &PgPool) -> Result<Result<Migrated, TeamError>, sqlx_core::Error> {
    pool.execute(ROLES.into_sql_str()).await?;
    let mut transaction = pool.begin().await?;
    // One migration at a time; the number is ours alone.
    transaction.execute("SELECT pg_advisory_xact_lock(6003371042518173)").await?;
    transaction.execute(raw_sql("CREATE SCHEMA IF NOT EXISTS strongroom")).await?;
    transaction
        .execute(raw_sql(
            "CREATE TABLE IF NOT EXISTS schema_versions \
             (version BIGINT NOT NULL PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())",
        ))
        .await?;
    let row =
        transaction.fetch_one("SELECT coalesce(max(version), 0) FROM schema_versions").await?;
    let from: i64 = row.try_get(0)?;
    let to = known();
    if from > to {
        return Ok(Err(TeamError::Schema { found: from, known: to }));
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version > from {
            transaction.execute(raw_sql(*migration)).await?;
            let insert = "INSERT INTO schema_versions (version) VALUES ($1)";
            sqlx_core::query::query(insert).bind(version).execute(&mut *transaction).await?;
        }
    }
    transaction.execute(raw_sql(PROTECT)).await?;
    transaction.commit().await?;
    Ok(Ok(Migrated { from, to }))
}

/// Fails where the schema is not the one of this version.
pub(super) async fn check(pool: &PgPool) -> Result<(), TeamError> {
    let there = pool
        .fetch_one("SELECT to_regclass('strongroom.schema_versions') IS NOT NULL")
        .await
        .and_then(|row| row.try_get::<bool, _>(0))
        .map_err(of_sqlx)?;
    let found = if there {
        pool.fetch_one("SELECT coalesce(max(version), 0) FROM schema_versions")
            .await
            .and_then(|row| row.try_get::<i64, _>(0))
            .map_err(of_sqlx)?
    } else {
        0
    };
    if found == known() { Ok(()) } else { Err(TeamError::Schema { found, known: known() }) }
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}
