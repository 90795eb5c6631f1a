//! Many tenants in one database: a file, or Postgres for several machines.
//!
//! [`Team`] is the installation: organizations, tenants, the keys of callers. What belongs to one
//! tenant is reached through [`Team::tenant`] only, which takes what authentication gave. Every
//! call is one transaction; on Postgres it sees the rows of one tenant and no others, whatever its
//! statements say (row-level security, forced). Where the database does not answer, the answer is
//! [`TeamError::Unreachable`], and never an old one.

mod approvals;
mod audit;
mod authenticate;
mod cache;
mod caps;
mod credentials;
mod cursor;
mod database;
mod error;
mod feed;
mod import;
mod installation;
mod keys;
mod locks;
mod migrate;
mod organizations;
mod pins;
mod rekey;
mod rotate;
mod servers;
mod services;
mod url;
mod used;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_model::ports::{BoxFuture, Clock};
use strongroom_model::team::{KeyId, McpServer, TenantCtx, TenantId};
use strongroom_seal::{KekRing, random};
use tokio::sync::watch;
use tokio::task::JoinSet;

use audit::Journal;
use authenticate::{StoredApiKey, StoredKernelKey, StoredTenant};
use cache::Cache;
use caps::Counted;
use database::postgres::Postgres;
use database::sqlite::Sqlite;
use database::{Announce, Database, Sight, Tx};
use feed::Feed;
use installation::Secrets;
use url::Place;
use used::Used;

pub use approvals::{
    ApprovalPage, ApprovalQuery, MOST_GRANTS, MOST_OPEN_OF_TENANT, TeamApproval, TeamSettled,
    TenantApprovals,
};
pub use audit::{AuditPage, AuditQuery, AuditVerified, TenantAudit};
pub use authenticate::SignedKernel;
pub use caps::Caps;
pub use credentials::{Credential, CredentialValues, DEFAULT_TYPE, NewCredential, Which};
pub use database::postgres::APP_ROLE;
pub use error::TeamError;
pub use feed::{Change, Changes};
pub use import::{DumpRow, ImportError, ImportOptions, Imported, parse_dump};
pub use locks::TeamLock;
pub use migrate::{Migrated, migrate};
pub use pins::{TeamPin, TenantPins};
pub use rotate::{KekUse, Progress};
pub use servers::{Page, Servers};
pub use services::TenantService;
pub use url::DatabaseUrl;

/// The store of a team. Clones share one.
#[derive(Clone)]
pub struct Team {
    inner: Arc<Inner>,
    caps: Caps,
}

struct Inner {
    db: Arc<Database>,
    keks: KekRing,
    clock: Arc<dyn Clock>,
    secrets: Secrets,
    memory: credentials::Memory,
    feed: Arc<Feed>,
    kept: Kept,
    used: Used,
    journal: Arc<Journal>,
    /// What goes on beside the calls ends when this does.
    stop: Mutex<Option<watch::Sender<()>>>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

/// What was read a moment ago.
struct Kept {
    api_keys: Cache<KeyId, Option<StoredApiKey>>,
    kernel_keys: Cache<KeyId, Option<StoredKernelKey>>,
    tenants: Cache<TenantId, Option<StoredTenant>>,
    servers: Cache<TenantId, Vec<McpServer>>,
    services: Cache<TenantId, Vec<TenantService>>,
    locks: Cache<TenantId, Vec<TeamLock>>,
    generations: Cache<TenantId, i64>,
}

/// What belongs to one tenant.
#[derive(Clone, Copy)]
pub struct TenantStore<'a> {
    team: &'a Team,
    ctx: TenantCtx,
}

/// What the catalogue says against row-level security, whoever asks.
const UNGUARDED: &str = "SELECT c.relname || ': rows of tenants are not guarded' FROM pg_class c \
     WHERE c.relnamespace = 'strongroom'::regnamespace AND c.relkind IN ('r', 'p') \
     AND NOT (c.relrowsecurity AND c.relforcerowsecurity) AND EXISTS (SELECT FROM pg_attribute a \
     WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) \
     UNION ALL SELECT r.rolname || ': the role may bypass the guard' FROM pg_roles r \
     WHERE r.rolname IN ('strongroom_app', 'strongroom_audit', 'strongroom_auditor') \
     AND (r.rolsuper OR r.rolbypassrls) \
     UNION ALL SELECT c.relname || ': owned by the role of the server' FROM pg_class c \
     JOIN pg_roles r ON r.oid = c.relowner WHERE c.relnamespace = 'strongroom'::regnamespace \
     AND r.rolname LIKE 'strongroom%'";

const MIB: usize = 1 << 20;

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
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        let (db, feed) = open(url, &clock, &mut tasks, &stopped).await?;
        let secrets = installation::open(&db, &keks, clock.as_ref()).await?;
        let journal = Arc::new(Journal::new(Arc::clone(&clock))?);
        let used = Used::default();
        let key = Arc::clone(&secrets.audit);
        tasks.spawn(audit::write_all(Arc::clone(&journal), Arc::clone(&db), key, stopped.clone()));
        let kept = Kept::new(&feed, &clock);
        let stop = Mutex::new(Some(stop));
        let tasks = tokio::sync::Mutex::new(tasks);
        let memory = credentials::Memory::default();
        let inner =
            Inner { db, keks, clock, secrets, memory, feed, kept, used, journal, stop, tasks };
        let team = Self { inner: Arc::new(inner), caps: Caps::default() };
        let writer = used::write_often(Arc::downgrade(&team.inner), stopped);
        team.inner.tasks.lock().await.spawn(writer);
        Ok(team)
    }

    /// The same store, where each tenant may have so much.
    #[must_use]
    pub fn with_caps(self, caps: Caps) -> Self {
        Self { caps, ..self }
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

    /// Takes the KEKs of `other` in the place of those that there are, where they open what is stored: a
    /// server whose configuration was read anew. Tenants' keys that are in memory stay.
    pub async fn replace_keks(&self, other: &KekRing) -> Result<(), TeamError> {
        installation::verify(&self.inner.db, other).await?;
        self.inner.keks.replace(other);
        Ok(())
    }

    /// What time it is for Postgres. `None` on SQLite, which has no clock of its own.
    pub async fn database_clock(&self) -> Result<Option<SystemTime>, TeamError> {
        self.db()
            .read(Sight::Installation, |tx| {
                Box::pin(async move {
                    let Tx::Postgres(_) = tx else { return Ok(None) };
                    let row = tx.first("SELECT clock_timestamp()", Vec::new()).await?;
                    row.map(|row| row.get(0)).transpose()
                })
            })
            .await
    }

    /// What Postgres does not guard as it should: each line says what and how. Nothing on SQLite, whose
    /// one file has no roles.
    pub async fn unguarded(&self) -> Result<Vec<String>, TeamError> {
        self.db()
            .read(Sight::Installation, |tx| {
                Box::pin(async move {
                    let Tx::Postgres(_) = tx else { return Ok(Vec::new()) };
                    let rows = tx.query(UNGUARDED, Vec::new()).await?;
                    rows.iter().map(|row| row.get(0)).collect()
                })
            })
            .await
    }

    /// What changes from here on, whoever changes it.
    pub fn changes(&self) -> Changes {
        self.inner.feed.changes()
    }

    /// Whether every change of more than a second ago is known here. Where it is not, what was read
    /// before must not be relied on.
    pub fn is_fresh(&self) -> bool {
        self.inner.feed.is_fresh()
    }

    /// Writes what is waiting to be written, and ends all connections.
    pub async fn shutdown(&self) {
        drop(self.inner.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut tasks = self.inner.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        self.write_uses().await;
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

/// The database, and what keeps this process informed of it.
async fn open(
    url: &DatabaseUrl,
    clock: &Arc<dyn Clock>,
    tasks: &mut JoinSet<()>,
    stopped: &watch::Receiver<()>,
) -> Result<(Arc<Database>, Arc<Feed>), TeamError> {
    match &url.0 {
        Place::Sqlite(path) => {
            let sqlite = Sqlite::open(path)?;
            let feed = Arc::new(Feed::of_sqlite(Arc::clone(clock), sqlite.connect()?)?);
            tasks.spawn(feed::look(Arc::clone(&feed), stopped.clone()));
            Ok((Arc::new(Database::Sqlite(sqlite)), feed))
        }
        Place::Postgres(options) => {
            let feed = Arc::new(Feed::of_postgres(Arc::clone(clock))?);
            let postgres = Postgres::open(options, MOST_CONNECTIONS, Arc::clone(&feed));
            migrate::check(postgres.pool()).await?;
            let pool = postgres.pool().clone();
            tasks.spawn(feed::listen((**options).clone(), Arc::clone(&feed), stopped.clone()));
            feed::first_sign(&feed, &pool).await;
            tasks.spawn(feed::beat(pool, Arc::clone(&feed), stopped.clone()));
            Ok((Arc::new(Database::Postgres(postgres)), feed))
        }
    }
}

impl Kept {
    fn new(feed: &Arc<Feed>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            api_keys: Cache::new(feed, clock, 8 * MIB, |_| 300),
            kernel_keys: Cache::new(feed, clock, MIB, |_| 400),
            tenants: Cache::new(feed, clock, 4 * MIB, |_| 60),
            servers: Cache::new(feed, clock, 16 * MIB, |servers| {
                servers.iter().map(servers::weight).sum()
            }),
            services: Cache::new(feed, clock, 16 * MIB, |services| {
                services.iter().map(TenantService::weight).sum()
            }),
            locks: Cache::new(feed, clock, 4 * MIB, |locks| 100 * locks.len()),
            generations: Cache::new(feed, clock, 2 * MIB, |_| 8),
        }
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

    /// As [`write`](Self::write), for what adds something that is `counted`: beyond the cap all of it is
    /// taken back.
    pub(crate) async fn add<T: Send + 'static>(
        &self,
        counted: Counted,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, TeamError>> + Send + 'static,
    ) -> Result<T, TeamError> {
        let (tenant, caps) = (self.ctx.tenant, self.team.caps);
        self.write(move |tx| Box::pin(caps::within(tx, (tenant, counted, caps), act))).await
    }
}

/// A new random id.
pub(crate) fn new_id<T>(make: fn([u8; 16]) -> T) -> Result<T, TeamError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(make(bytes))
}
