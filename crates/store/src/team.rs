//! Many tenants in one database: a file, or Postgres for several machines.
//!
//! [`Team`] is the installation: organizations, tenants, the keys of callers. What belongs to one
//! tenant is reached through [`Team::tenant`] only, which takes what authentication gave. Every
//! call is one transaction; on Postgres it sees the rows of one tenant and no others, whatever its
//! statements say (row-level security, forced). Where the database does not answer, the answer is
//! [`TeamError::Unreachable`], and never an old one.

mod authenticate;
mod credentials;
mod database;
mod error;
mod installation;
mod keys;
mod locks;
mod migrate;
mod organizations;
mod rekey;
mod rotate;
mod servers;
mod services;
mod url;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_model::ports::{BoxFuture, Clock};
use strongroom_model::team::{TenantCtx, TenantId};
use strongroom_seal::{KekRing, random};

use database::postgres::Postgres;
use database::sqlite::Sqlite;
use database::{Announce, Database, Sight, Tx};
use installation::Secrets;
use url::Place;

pub use authenticate::SignedKernel;
pub use credentials::{Credential, CredentialValues, DEFAULT_TYPE, Which};
pub use error::TeamError;
pub use locks::TeamLock;
pub use migrate::{APP_ROLE, Migrated, migrate};
pub use rotate::{KekUse, Progress};
pub use servers::{Page, Servers};
pub use services::TenantService;
pub use url::DatabaseUrl;

/// The store of a team. Clones share one.
#[derive(Clone)]
pub struct Team {
    inner: Arc<Inner>,
}

struct Inner {
    db: Database,
    keks: KekRing,
    clock: Arc<dyn Clock>,
    secrets: Secrets,
    memory: credentials::Memory,
}

/// What belongs to one tenant.
#[derive(Clone, Copy)]
pub struct TenantStore<'a> {
    team: &'a Team,
    ctx: TenantCtx,
}

/// Connections to Postgres.
const MOST_CONNECTIONS: u32 = 16;

impl Team {
    /// Opens the database. On SQLite the file is made where it is missing and brought up to date; on
    /// Postgres that is [`migrate`]'s, by the owner.
    ///
    /// The installation's secret is opened with the KEK before anything is written, so that a wrong
    /// KEK starts nothing (CR-07); it is made where the database is new.
    pub async fn connect(
        url: &DatabaseUrl,
        keks: impl Into<KekRing>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TeamError> {
        let keks = keks.into();
        let db = match &url.0 {
            Place::Sqlite(path) => Database::Sqlite(Sqlite::open(path)?),
            Place::Postgres(options) => {
                let postgres = Postgres::open(options, MOST_CONNECTIONS);
                migrate::check(postgres.pool()).await?;
                Database::Postgres(postgres)
            }
        };
        let secrets = installation::open(&db, &keks, clock.as_ref()).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                db,
                keks,
                clock,
                secrets,
                memory: credentials::Memory::default(),
            }),
        })
    }

    /// What belongs to the tenant of `ctx`.
    pub fn tenant(&self, ctx: &TenantCtx) -> TenantStore<'_> {
        TenantStore { team: self, ctx: *ctx }
    }

    /// Whether the database answers and the KEK opens what it has to.
    pub async fn ready(&self) -> Result<(), TeamError> {
        installation::verify(&self.inner.db, &self.inner.keks).await
    }

    /// The KEKs.
    pub fn keks(&self) -> &KekRing {
        &self.inner.keks
    }

    /// Ends all connections, after what was begun is done.
    pub async fn shutdown(&self) {
        self.inner.db.close().await;
    }

    /// What is remembered of tenants' credentials.
    fn memory(&self) -> &credentials::Memory {
        &self.inner.memory
    }

    pub(crate) fn db(&self) -> &Database {
        &self.inner.db
    }

    /// The time as the database keeps it, in whole microseconds.
    pub(crate) fn now(&self) -> SystemTime {
        let since = self.inner.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        UNIX_EPOCH + Duration::from_micros(micros)
    }
}

impl TenantStore<'_> {
    /// Whose data it is, and who asks.
    pub fn ctx(&self) -> &TenantCtx {
        &self.ctx
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.ctx.tenant
    }

    /// Reads what belongs to the tenant.
    pub(crate) async fn read<T>(
        &self,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>> + Send,
    ) -> Result<T, TeamError> {
        self.team.db().read(Sight::Tenant(self.ctx.tenant), act).await
    }

    /// Changes what belongs to the tenant, and lets every node know.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>> + Send + 'static,
    ) -> Result<T, TeamError> {
        let tenant = self.ctx.tenant;
        self.team.db().write(Sight::Tenant(tenant), Announce::Tenant(tenant), act).await
    }
}

/// A new random id.
pub(crate) fn new_id<T>(make: fn([u8; 16]) -> T) -> Result<T, TeamError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(make(bytes))
}
