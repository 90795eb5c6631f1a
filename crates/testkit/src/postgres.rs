//! A true Postgres of a test's own, in a folder that goes away with it. One server serves all tests of
//! a process; each has a database of its own.

#![expect(clippy::disallowed_methods, reason = "a test starts what it needs and ends it itself")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;

/// A running server. It ends with the last of its owners, or with the process.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
    /// Settings of its own, as `postgres` takes them.
    settings: &'static [&'static str],
    process: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// Who owns every database, and may make roles.
pub const OWNER: &str = "owner";

/// Nobody: the server refuses to run as root.
const NOBODY: u32 = 65534;

impl Server {
    /// The server of this process, started where it does not run yet.
    #[must_use]
    pub fn start() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start_alone());
        *running = Arc::downgrade(&server);
        server
    }

    /// A server that nobody else uses: for tests that kill it.
    #[must_use]
    pub fn start_alone() -> Self {
        Self::start_with(&[
            "-c",
            "fsync=off",
            "-c",
            "max_connections=200",
            "-c",
            "shared_buffers=32MB",
        ])
    }

    /// A server that nobody else uses, as a new one stands: what it has acknowledged survives a power
    /// failure.
    #[must_use]
    pub fn start_durable() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &'static [&'static str]) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").expect("a folder");
        if is_root(folder.path()) {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder is given away");
        }
        let programs = programs();
        let process = Mutex::new(None);
        let server = Self { folder, programs, settings, process, databases: AtomicU32::new(0) };
        server.copy_cluster();
        server.resume();
        server
    }

    /// An empty cluster. The first is made, which takes a second of a processor, and the others are
    /// copies.
    fn copy_cluster(&self) {
        let version = self.programs.parent().and_then(Path::file_name).expect("it has a version");
        let user = fs::metadata(self.folder.path()).expect("the folder is there").uid();
        let name = format!("strongroom-postgres-{}-{user}", version.display());
        let template = Path::new("/tmp").join(name);
        if !template.join("PG_VERSION").exists() {
            let new = self.folder.path().join("new");
            let mut initdb = self.command("initdb");
            initdb.args(["-U", OWNER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]);
            done(initdb.arg("-D").arg(&new));
            // Another process may have been first: its own is as good.
            drop(fs::rename(&new, &template));
        }
        let owner = fs::metadata(&template).expect("there is a cluster").uid();
        assert_eq!(owner, user, "{} is somebody else's", template.display());
        done(self.command_of(Path::new("/bin/cp")).arg("-a").arg(&template).arg(self.data()));
    }

    /// Makes an empty database and gives its name.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// The address of `database` for `user`.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost/{database}?host={}", self.folder.path().display())
    }

    /// The folder of the socket that the server listens on.
    #[must_use]
    pub fn sockets(&self) -> &Path {
        self.folder.path()
    }

    /// Runs statements as the owner; what they give, one row a line, columns separated by `|`.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.sql_as(OWNER, database, statements).expect("the owner may do it")
    }

    /// As [`sql`](Self::sql), as `user`; the message of the server where it refuses.
    pub fn sql_as(&self, user: &str, database: &str, statements: &str) -> Result<String, String> {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h"]);
        psql.arg(self.folder.path()).args(["-U", user, "-d", database]);
        let mut psql = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut stdin = psql.stdin.take().expect("piped");
        stdin.write_all(statements.as_bytes()).expect("it takes them");
        drop(stdin);
        let output = psql.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// How often in a second `statement` is run by `clients` connections, over `seconds`: prepared, and
    /// with nothing of ours before it.
    pub fn statements_per_second(
        &self,
        (user, database): (&str, &str),
        statement: &str,
        (clients, seconds): (u32, u32),
    ) -> f64 {
        let script = self.folder.path().join("script.sql");
        fs::write(&script, statement).expect("the folder is ours");
        let (clients, seconds) = (clients.to_string(), seconds.to_string());
        let mut bench = self.command("pgbench");
        bench.args(["-n", "-M", "prepared", "-c", &clients, "-T", &seconds, "-U", user, "-h"]);
        let said = done(bench.arg(self.folder.path()).arg("-f").arg(&script).arg(database));
        let said = String::from_utf8_lossy(&said).into_owned();
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
        rate.and_then(|rate| rate.split(' ').next()?.parse().ok()).expect("pgbench says it")
    }

    /// All that `database` holds, as SQL.
    pub fn dump(&self, database: &str) -> Vec<u8> {
        let mut dump = self.command("pg_dump");
        done(dump.arg("-h").arg(self.folder.path()).args(["-U", OWNER, database]))
    }

    /// Where the server keeps its files, the write-ahead log in `pg_wal` among them.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Kills the server as a power failure would, with all that it is doing.
    pub fn kill(&self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut watch) = process else { return };
        self.signal("-KILL");
        drop(watch.stdin.take());
        drop(watch.wait());
    }

    /// Stops the server where it stands: it takes questions and never answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a server go on that was [frozen](Self::freeze).
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Starts the server where it was killed, and waits until it answers.
    pub fn resume(&self) {
        // The shell outlives us just long enough to end the server.
        let script = "folder=$1; shift; \"$0\" -D \"$folder/data\" -c listen_addresses= \
                      -c unix_socket_directories=\"$folder\" \"$@\" >\"$folder/log\" 2>&1 & \
                      server=$!; echo $server; while read line; do :; done; \
                      kill -INT $server; wait $server";
        let mut watch = self.command("postgres");
        let program = watch.get_program().to_owned();
        watch = self.command_of(Path::new("/bin/sh"));
        watch.args(["-c", script]).arg(program).arg(self.folder.path()).args(self.settings);
        let mut watch =
            watch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell starts");
        let mut started = String::new();
        let stdout = watch.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut started).expect("it says that it has started");
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        for _ in 0..600 {
            let mut ready = self.command("pg_isready");
            let ready = ready.arg("-q").arg("-h").arg(self.folder.path()).status();
            if ready.expect("pg_isready starts").success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("the server does not answer: {log}");
    }

    /// To the server and to all its processes: the postmaster's file says who they are.
    fn signal(&self, which: &str) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(postmaster) = file.lines().next() else { return };
        let children = Command::new("pgrep").args(["-P", postmaster]).output();
        let children = children.map(|output| output.stdout).unwrap_or_default();
        let children = String::from_utf8_lossy(&children).into_owned();
        for process in std::iter::once(postmaster).chain(children.lines()) {
            drop(Command::new("kill").args([which, process]).stderr(Stdio::null()).status());
        }
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&self.programs.join(program))
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").stdin(Stdio::null());
        command.current_dir(self.folder.path());
        if is_root(Path::new("/proc/self")) {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut watch) = process {
            drop(watch.stdin.take());
            drop(watch.wait());
        }
    }
}

/// What a program says that succeeds.
fn done(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn is_root(ours: &Path) -> bool {
    fs::metadata(ours).is_ok_and(|metadata| metadata.uid() == 0)
}

/// Where Debian puts the programs of the newest server.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).max();
    newest.expect("PostgreSQL is installed: `cargo xtask install` installs it")
}
