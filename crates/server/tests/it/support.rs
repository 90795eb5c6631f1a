//! A server with two organizations, and a client that sends what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use strongroom_model::secret::Secret;
use strongroom_model::team::{KernelKey, Organization, Scopes, Tenant};
use strongroom_seal::{Key, LocalKek, TeamKek};
use strongroom_server::{AllowedCommand, Backend, Options, Registered, Server};
use strongroom_store::team::{DatabaseUrl, Team};
use strongroom_testkit::fakes::FakeClock;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) team: Team,
    pub(crate) clock: Arc<FakeClock>,
    /// Tenants `a` and `b`, each of an organization of its own.
    pub(crate) a: Tenant,
    pub(crate) b: Tenant,
    pub(crate) organization: Organization,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
    folder: TempDir,
}

/// A connection, for one request after the other.
pub(crate) struct Line(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Line {
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        self.0.ready().await.unwrap();
        Reply::read(self.0.send_request(request.body(body).unwrap()).await.unwrap()).await
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// A site whose operator is tenant `a`.
    pub(crate) async fn of_operator() -> Self {
        Self::with(|options, a| options.operators = vec![a.id]).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options, &Tenant)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::sqlite(folder.path().join("vault/team.db"));
        Self::over(&url, folder, change).await
    }

    /// A site on the database of `server`.
    #[cfg(target_os = "linux")]
    pub(crate) async fn on_postgres(
        server: &strongroom_testkit::postgres::Server,
        options: Options,
    ) -> Self {
        use strongroom_store::team::{APP_ROLE, migrate};
        use strongroom_testkit::postgres::OWNER;

        let database = server.create_database();
        migrate(&server.url(OWNER, &database).parse().unwrap()).await.unwrap();
        let url = server.url(APP_ROLE, &database).parse().unwrap();
        Self::over(&url, tempfile::tempdir().unwrap(), |it, _| *it = options).await
    }

    async fn over(
        url: &DatabaseUrl,
        folder: TempDir,
        change: impl FnOnce(&mut Options, &Tenant),
    ) -> Self {
        let clock = Arc::new(FakeClock::default());
        let kek: Arc<dyn TeamKek> = Arc::new(LocalKek::new(Key::generate().unwrap()));
        let team = Team::connect(url, kek, clock.clone()).await.unwrap();
        let organization = team.create_organization("one").await.unwrap();
        let a = team.create_tenant(&organization.id, "a").await.unwrap();
        let other = team.create_organization("other").await.unwrap();
        let b = team.create_tenant(&other.id, "b").await.unwrap();
        let mut options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            allowed_commands: vec![
                AllowedCommand::new("node", "@mycompany/amazon-mcp-server").unwrap(),
                AllowedCommand::new("node", "test.js **").unwrap(),
            ],
            ..Options::default()
        };
        change(&mut options, &a);
        let server = Server::bind(backend(&team, &clock), options).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let (stop, running) = (Some(stop), Some(running));
        Self { address, team, clock, a, b, organization, stop, running, folder }
    }

    /// What another server could stand before.
    pub(crate) fn backend(&self) -> Backend {
        backend(&self.team, &self.clock)
    }

    /// The text of a new key of `tenant`.
    pub(crate) async fn key(&self, tenant: &Tenant, scopes: &str) -> String {
        let scopes: Scopes = scopes.parse().unwrap();
        let made = self.team.create_api_key(&tenant.id, "key", scopes, None).await.unwrap();
        text(&made.1)
    }

    /// The text of a new kernel key of the organization of tenant `a`.
    pub(crate) async fn kernel(&self, signs: bool) -> (KernelKey, String) {
        let id = &self.organization.id;
        let (key, token) = self.team.create_kernel_key(id, "kernel", signs).await.unwrap();
        (key, text(&token))
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Reply {
        self.send("GET", path, &[("x-api-key", key)], "").await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &str) -> Reply {
        let headers = [("x-api-key", key), ("content-type", "application/json")];
        self.send("POST", path, &headers, body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        self.line().await.send(method, path, headers, body).await
    }

    /// A connection that is kept.
    pub(crate) async fn line(&self) -> Line {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Line(sender)
    }

    /// Ends the server, and says that everything in it ended.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
        }
    }

    /// Runs statements past the store, as whoever has its file may.
    pub(crate) fn sql(&self, statements: &str) {
        let db = rusqlite::Connection::open(self.folder().join("vault/team.db")).unwrap();
        db.busy_timeout(Duration::from_secs(20)).unwrap();
        db.execute_batch(statements).unwrap();
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

fn backend(team: &Team, clock: &Arc<FakeClock>) -> Backend {
    Backend {
        judge: Arc::new(Registered::new(team.clone())),
        team: team.clone(),
        mcp: None,
        fleet: None,
        services: None,
        clock: clock.clone(),
    }
}

impl Reply {
    pub(crate) async fn read(response: Response<hyper::body::Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// `data`, of an answer that is a success.
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["data"].clone()
    }

    /// Status and code, of an answer that is none.
    pub(crate) fn problem(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(json["ok"], false, "{}", self.body);
        (self.status, json["error"]["code"].as_str().unwrap().to_owned())
    }

    /// The code, where there is one.
    pub(crate) fn problem_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

/// The registration of the documentation.
pub(crate) const AMAZON: &str = r#"{
  "server_id": "my-amazon-server",
  "name": "My Amazon MCP Server",
  "command": "node",
  "args": ["@mycompany/amazon-mcp-server"],
  "tool_prefix": "amazon."
}"#;

pub(crate) const REGISTER: &str = "/functions/v1/mcp-servers/register";
pub(crate) const LIST: &str = "/functions/v1/mcp-servers/list";
pub(crate) const UPDATE: &str = "/functions/v1/mcp-servers/update";
pub(crate) const DELETE: &str = "/functions/v1/mcp-servers/delete";

/// What is logged, at every level.
pub(crate) mod lines {
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// Takes what all tests of the process log from now on.
        pub(crate) fn install() -> Self {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .try_init()
                .unwrap();
            log
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
