//! A home, a database, and the server on them.

use std::{
    error::Error,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use strongroom_seal::{LocalKek, SecureDir};
use strongroom_store::team::{APP_ROLE, DatabaseUrl, Team};
use strongroom_testkit::{
    fakes::FakeClock,
    postgres::{OWNER, Server},
};
use tempfile::TempDir;

use super::fill::Account;
use crate::process;

/// A home, and a database that is filled from one measurement to the next.
pub(super) struct Place {
    home: TempDir,
    strongroom: PathBuf,
    pub(super) database: Database,
}

pub(super) enum Database {
    Sqlite(PathBuf),
    Postgres(Box<Server>, String),
}

/// The server, until this is dropped.
pub(super) struct Serving {
    child: Child,
    address: String,
}

/// What one key is asked with is what all are asked with elsewhere.
const CONFIG: &str = "[team]\nallow_ips = [\"127.0.0.1/32\"]\ninsecure_transport = true\nlimits = { requests_per_minute = 100000000, \
                      requests_per_minute_per_address = 100000000 }\n";

/// A server at an address that answers at once, until this is dropped.
pub(super) struct Echo {
    child: Child,
    url: String,
}

impl Echo {
    /// Starts it by `words`.
    pub(super) fn start(words: &[String]) -> Result<Self, Box<dyn Error>> {
        let (program, arguments) = words.split_first().ok_or("no words that start a server")?;
        let mut command = Command::new(program);
        command.args(arguments).args(["http", "1"]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut url)?;
        Ok(Self { child, url: url.trim().to_owned() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // One that has ended already needs no ending.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const PATIENCE: Duration = Duration::from_mins(1);

impl Place {
    pub(super) fn sqlite(strongroom: &Path) -> Result<Self, Box<dyn Error>> {
        let home = home()?;
        let file = home.path().join("database/team.db");
        Self::new(home, strongroom, Database::Sqlite(file))
    }

    pub(super) fn postgres(strongroom: &Path) -> Result<Self, Box<dyn Error>> {
        let server = Server::start_durable();
        let database = server.create_database();
        Self::new(home()?, strongroom, Database::Postgres(Box::new(server), database))
    }

    fn new(home: TempDir, strongroom: &Path, database: Database) -> Result<Self, Box<dyn Error>> {
        let place = Self { home, strongroom: strongroom.to_owned(), database };
        SecureDir::create(place.home.path().join("config/strongroom"))?
            .create_new("strongroom.toml", CONFIG.as_bytes())?;
        for words in [["kek", "create"].as_slice(), &["migrate"]] {
            let done = place.command(OWNER).args(words).output()?;
            if !done.status.success() {
                return Err(format!("{words:?}: {}", String::from_utf8_lossy(&done.stderr)).into());
            }
        }
        Ok(place)
    }

    pub(super) fn name(&self) -> &'static str {
        match self.database {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres(..) => "postgres",
        }
    }

    /// The store itself, on the same database and under the same KEK.
    pub(super) async fn team(&self) -> Result<Team, Box<dyn Error>> {
        let share = SecureDir::open(self.home.path().join("share/strongroom"))?;
        let kek = Arc::new(LocalKek::of_file(&share, "team.kek")?);
        let url: DatabaseUrl = self.url(APP_ROLE).parse()?;
        let kek: Arc<dyn strongroom_seal::TeamKek> = kek;
        Ok(Team::connect(&url, kek, Arc::new(FakeClock::default())).await?)
    }

    pub(super) fn serve(&self) -> Result<Serving, Box<dyn Error>> {
        let log = self.home.path().join("log");
        let mut command = self.command(APP_ROLE);
        command.args(["serve", "--team", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(File::create(&log)?).spawn()?;
        let mut serving = Serving { child, address: String::new() };
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let said = fs::read_to_string(&log)?;
            if let Some((_, rest)) = said.split_once("http://")
                && let Some((address, _)) = rest.split_once('\n')
            {
                address.clone_into(&mut serving.address);
                return Ok(serving);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("the server does not start: {}", fs::read_to_string(&log)?).into())
    }

    /// What the database does alone: the row of one key, prepared, from one thread on a file and from as
    /// many connections as the server has on Postgres.
    pub(super) fn selects_per_second(
        &self,
        account: &Account,
        length: Duration,
    ) -> Result<f64, Box<dyn Error>> {
        let sql = "SELECT name, scopes, mac FROM api_keys WHERE tenant_id =";
        match &self.database {
            Database::Sqlite(file) => {
                let db = Connection::open(file)?;
                let mut statement = db.prepare(&format!("{sql} ?1"))?;
                let (start, mut count) = (Instant::now(), 0_u32);
                while start.elapsed() < length {
                    let tenant = account.tenant.as_str();
                    statement.query_row([tenant], |row| row.get::<_, String>(0))?;
                    count += 1;
                }
                Ok(f64::from(count) / start.elapsed().as_secs_f64())
            }
            Database::Postgres(server, database) => {
                let sql = format!(
                    "{} '{}';",
                    sql.replace("api_keys", "strongroom.api_keys"),
                    account.tenant
                );
                let seconds = u32::try_from(length.as_secs())?.max(1);
                Ok(server.statements_per_second((OWNER, database), &sql, (16, seconds)))
            }
        }
    }

    /// Processor time of the database so far, where it is a process of its own.
    pub(super) fn processor(&self) -> Duration {
        let Database::Postgres(server, _) = &self.database else { return Duration::ZERO };
        let file = fs::read_to_string(server.data().join("postmaster.pid")).unwrap_or_default();
        let pid = file.lines().next().and_then(|pid| pid.parse().ok());
        pid.map_or(Duration::ZERO, process::processor_of_family)
    }

    fn command(&self, user: &str) -> Command {
        let mut command = Command::new(&self.strongroom);
        command.env_clear().env("STRONGROOM_HOME", self.home.path());
        command.env("DATABASE_URL", self.url(user));
        command
    }

    fn url(&self, user: &str) -> String {
        match &self.database {
            Database::Sqlite(file) => format!("sqlite:{}", file.display()),
            Database::Postgres(server, database) => server.url(user, database),
        }
    }
}

impl Serving {
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended already needs no ending.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn home() -> Result<TempDir, Box<dyn Error>> {
    Ok(tempfile::Builder::new().prefix("strongroom-team").tempdir()?)
}
