//! An empty database, and what every test needs in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strongroom_model::secret::Secret;
use strongroom_model::team::{
    Actor, NewServer, Organization, RawServer, Scope, Scopes, Tenant, TenantCtx,
};
use strongroom_seal::{Key, LocalKek, TeamKek};
use strongroom_store::team::{APP_ROLE, DatabaseUrl, Team, TeamError, migrate};
use strongroom_testkit::fakes::FakeClock;
#[cfg(target_os = "linux")]
use strongroom_testkit::postgres::{OWNER, Server};
use tempfile::TempDir;

/// A database of one test.
pub(crate) struct Base {
    pub(crate) team: Team,
    pub(crate) url: DatabaseUrl,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) kek: Arc<dyn TeamKek>,
    folder: TempDir,
    #[cfg(target_os = "linux")]
    pub(crate) server: Option<(Arc<Server>, String)>,
}

impl Base {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::sqlite(folder.path().join("vault/team.db"));
        Self::new(folder, url, None).await
    }

    #[cfg(target_os = "linux")]
    pub(crate) async fn postgres() -> Self {
        Self::on(Server::start()).await
    }

    #[cfg(target_os = "linux")]
    pub(crate) async fn on(server: Arc<Server>) -> Self {
        let database = server.create_database();
        migrate(&server.url(OWNER, &database).parse().unwrap()).await.unwrap();
        let url = server.url(APP_ROLE, &database).parse().unwrap();
        Self::new(tempfile::tempdir().unwrap(), url, Some((server, database))).await
    }

    async fn new(
        folder: TempDir,
        url: DatabaseUrl,
        #[cfg(target_os = "linux")] server: Option<(Arc<Server>, String)>,
        #[cfg(not(target_os = "linux"))] _server: Option<()>,
    ) -> Self {
        let clock = Arc::new(FakeClock::default());
        let kek: Arc<dyn TeamKek> = Arc::new(LocalKek::new(Key::generate().unwrap()));
        let team = Team::connect(&url, Arc::clone(&kek), clock.clone()).await.unwrap();
        Self {
            team,
            url,
            clock,
            kek,
            folder,
            #[cfg(target_os = "linux")]
            server,
        }
    }

    /// Another node, or another process, on the same database.
    pub(crate) async fn another(&self) -> Team {
        self.connect(Arc::clone(&self.kek)).await.unwrap()
    }

    pub(crate) async fn connect(&self, kek: Arc<dyn TeamKek>) -> Result<Team, TeamError> {
        Team::connect(&self.url, kek, self.clock.clone()).await
    }

    /// Runs statements past the store, as whoever has the files may.
    pub(crate) fn sql(&self, statements: &str) {
        #[cfg(target_os = "linux")]
        if let Some((server, database)) = &self.server {
            server.sql(database, &format!("SET search_path = strongroom; {statements}"));
            return;
        }
        let db = rusqlite::Connection::open(self.file()).unwrap();
        db.busy_timeout(Duration::from_secs(20)).unwrap();
        db.execute_batch(statements).unwrap();
    }

    /// All that is stored, as whoever steals it finds it.
    pub(crate) fn dump(&self) -> Vec<u8> {
        #[cfg(target_os = "linux")]
        if let Some((server, database)) = &self.server {
            return server.dump(database);
        }
        let file = |end: &str| {
            let path = self.folder.path().join(format!("vault/team.db{end}"));
            std::fs::read(path).unwrap_or_default()
        };
        ["", "-wal", "-shm"].iter().flat_map(|end| file(end)).collect()
    }

    #[cfg(target_os = "linux")]
    pub(crate) async fn connect_to(&self, url: &str) -> Result<Team, TeamError> {
        let url = url.parse().unwrap();
        Team::connect(&url, Arc::clone(&self.kek), self.clock.clone()).await
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("vault/team.db")
    }

    pub(crate) async fn organization(&self, name: &str) -> Organization {
        self.clock.advance(Duration::from_secs(1));
        self.team.create_organization(name).await.unwrap()
    }

    /// A tenant of an organization of its own.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        let organization = self.organization(name).await;
        self.team.create_tenant(&organization.id, name).await.unwrap()
    }

    /// The text of an API key of `tenant`.
    pub(crate) async fn key(&self, tenant: &Tenant, expires: Option<SystemTime>) -> Secret {
        let scopes = Scopes::NONE.with(Scope::Use);
        self.team.create_api_key(&tenant.id, "key", scopes, expires).await.unwrap().1
    }
}

pub(crate) fn ctx(tenant: &Tenant) -> TenantCtx {
    TenantCtx { tenant: tenant.id, actor: Actor::Operator }
}

pub(crate) fn raw(server_id: &str, prefix: &str) -> RawServer {
    RawServer {
        server_id: Some(server_id.into()),
        name: Some("A server".into()),
        command: Some("node".into()),
        args: Some(vec!["server.js".into(), "--flag=\"quoted, {braced}\"".into(), String::new()]),
        tool_prefix: Some(prefix.into()),
        ..RawServer::default()
    }
}

pub(crate) fn server(server_id: &str, prefix: &str) -> NewServer {
    NewServer::new(raw(server_id, prefix)).unwrap()
}
