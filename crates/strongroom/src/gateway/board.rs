//! Where each running `serve` writes down how its servers are, and `strongroom servers status` reads it.
//!
//! A file for each process, with a lock beside it that the process holds for as long as it lives: a file
//! whose lock is free was left behind.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use strongroom_gateway::upstream::server::Status;
use strongroom_gateway::upstream::supervision::State;
use strongroom_model::ports::Clock;
use strongroom_model::principal::Name;
use strongroom_seal::file::Guard;
use strongroom_seal::{FileError, SecureDir};

use super::LeftOut;
use crate::environment::Host;
use crate::paths::Home;

/// The folder, in that of what has happened.
const FOLDER: &str = "gateway";

/// The largest file.
const LARGEST: usize = 4 << 20;

/// A `serve`, and how its servers are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// Whom it serves: `stdio as NAME`, or an address.
    pub serves: String,
    /// Where it was started.
    pub directory: PathBuf,
    /// Its servers, by name.
    pub servers: Vec<Row>,
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is doing: `idle`, `starting`, `ready`, `restarting`, `crash_loop`; or why it is not there:
    /// `off`, `locked`, `untrusted`, `broken`.
    pub state: String,
    /// The guard of its process, where it runs, which leads its session.
    pub pid: Option<u32>,
    /// Since when it runs, in seconds since 1970.
    pub since: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// How many tools it has, where it has said so.
    pub tools: Option<usize>,
    /// How many of them wait for a person to approve their definition.
    #[serde(default)]
    pub waiting: Option<usize>,
    /// Why it ended the last time, could not be started, or is not there.
    pub why: Option<String>,
    /// The last lines that it wrote to descriptor 2, without its secrets.
    pub said: Vec<String>,
    #[serde(skip)]
    uptime: Option<Duration>,
}

impl Row {
    /// A server that is mounted, with so many tools, of which so many wait. `failure` is why it could not be started the last time.
    pub(super) fn of(
        name: &Name,
        status: &Status,
        tools: Option<(usize, usize)>,
        failure: Option<String>,
    ) -> Self {
        let runs = matches!(status.state, State::Ready { .. });
        let why = if runs { None } else { failure.or_else(|| status.last_error.clone()) };
        Self {
            name: name.to_string(),
            state: status.state.as_str().to_owned(),
            pid: status.pid,
            since: None,
            restarts: status.restarts,
            tools: tools.map(|(all, _)| all),
            waiting: tools.map(|(_, waiting)| waiting),
            why: why.or_else(|| status.last_error.clone()),
            said: status.said.clone(),
            uptime: status.uptime,
        }
    }

    /// One that is not mounted.
    pub(super) fn left_out(name: &Name, left_out: &LeftOut) -> Self {
        Self {
            name: name.to_string(),
            state: left_out.state.to_owned(),
            pid: None,
            since: None,
            restarts: 0,
            tools: None,
            waiting: None,
            why: Some(left_out.why.clone()),
            said: Vec::new(),
            uptime: None,
        }
    }

    /// Whether something has to be done before it can be used.
    pub fn is_unusable(&self) -> bool {
        matches!(self.state.as_str(), "crash_loop" | "locked" | "untrusted" | "broken")
    }
}

/// What this process writes.
pub struct Board {
    folder: SecureDir,
    process: Process,
    written: bool,
    /// Tells others that we live.
    _lock: Guard,
}

impl Board {
    /// Makes room for what is written down of this process.
    ///
    /// # Errors
    ///
    /// The folder or the lock cannot be made.
    pub fn open(host: &Host, home: &Home, serves: String) -> Result<Self, FileError> {
        let folder = SecureDir::create(home.state.join(FOLDER))?;
        let pid = std::process::id();
        let lock = folder.lock(&lock_of(pid))?;
        let since = seconds(host.clock.now());
        let directory = host.directory.clone();
        let process = Process { pid, since, serves, directory, servers: Vec::new() };
        Ok(Self { folder, process, written: false, _lock: lock })
    }

    /// Takes over how the servers are; what is left to do where that is not as it was. It blocks, and
    /// says whether it could be written.
    pub(super) fn update(
        &mut self,
        mut rows: Vec<Row>,
        clock: &dyn Clock,
    ) -> Option<impl FnOnce() -> bool + Send + 'static> {
        for row in &mut rows {
            let before = self.process.servers.iter().find(|before| before.name == row.name);
            let same = before.filter(|before| before.pid == row.pid).and_then(|row| row.since);
            let began = row.uptime.take().and_then(|uptime| clock.now().checked_sub(uptime));
            row.since = row.pid.and(same.or(began.map(seconds)));
        }
        if self.written && rows == self.process.servers {
            return None;
        }
        self.written = true;
        self.process.servers = rows;
        let (path, name) = (self.folder.path().to_owned(), file_of(self.process.pid));
        let text = serde_json::to_vec(&self.process).unwrap_or_default();
        Some(move || SecureDir::open(path).and_then(|dir| dir.write_atomic(&name, &text)).is_ok())
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // What stays is removed by who reads it.
        let _ = self.folder.remove(&file_of(self.process.pid));
        let _ = self.folder.remove(&lock_of(self.process.pid));
    }
}

/// Every `serve` that runs, the oldest first. What others have left behind is removed.
///
/// # Errors
///
/// The folder cannot be read.
pub fn read(home: &Home) -> Result<Vec<Process>, FileError> {
    let folder = match SecureDir::open(home.state.join(FOLDER)) {
        Err(FileError::Missing { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let mut found: Vec<Process> = Vec::new();
    for name in folder.names()? {
        let Some(pid) = name.strip_suffix(".json").and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        if folder.try_lock(&lock_of(pid)).is_ok_and(|lock| lock.is_some()) {
            let _ = folder.remove(&name);
            let _ = folder.remove(&lock_of(pid));
            continue;
        }
        let read = folder.read(&name, LARGEST).ok();
        found.extend(read.and_then(|text| serde_json::from_slice::<Process>(&text).ok()));
    }
    found.sort_by_key(|process| (process.since, process.pid));
    Ok(found)
}

fn file_of(pid: u32) -> String {
    format!("{pid}.json")
}

fn lock_of(pid: u32) -> String {
    format!("{pid}.lock")
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
