//! Which servers are configured now.
//!
//! Looking costs one `stat` for each file, and nothing within a tenth of a millisecond of the last time. What
//! is broken by an edit leaves the last good state in force, as it does for services.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_gateway::registry::{Entry, Origin};
use strongroom_model::lock::Locks;
use strongroom_model::principal::Name;
use strongroom_model::server::Server;
use strongroom_model::tool::Served;
use strongroom_secrets::Supply;
use strongroom_store::LockFile;
use tracing::{error, info};

use crate::commands::lock;
use crate::config::Config;
use crate::config::stamp::Stamp;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::paths::Home;
use crate::servers::start::Ground;
use crate::servers::{self, Places, Servers};
use crate::supply;

/// Within this time of the last look nothing is looked at: one call asks several times. It is shorter than an
/// answer takes to whoever then writes a file and calls again.
const LOOK: Duration = Duration::from_micros(100);

/// How often it is looked whether a file has come that was not there: most are those that folders above us
/// might have, and a look for each of them would cost every call as much as all else that is looked at.
const LOOK_FOR_NEW: Duration = Duration::from_millis(5);

/// How often files are read again because others turn out to belong to them.
const ROUNDS: usize = 4;

/// The servers of the project that we are in, as they are written down.
pub struct Configured {
    /// What we were started with.
    pub host: Host,
    home: Home,
    output: Output,
    locks: LockFile,
    state: Mutex<State>,
}

struct State {
    /// When the files were looked at, by the monotonic clock.
    looked: Duration,
    /// When it was looked for those that were not there.
    looked_for_new: Duration,
    stamps: Vec<(PathBuf, Stamp)>,
    locks: Arc<Locks>,
    now: Arc<Now>,
}

/// What was configured at one moment.
pub struct Now {
    /// Grows with every change.
    pub revision: u64,
    /// The servers that are on and may be started.
    pub mounted: BTreeMap<Name, Arc<Definition>>,
    /// The other ones, but for those of a catalogue that nobody has switched on.
    pub left_out: BTreeMap<Name, LeftOut>,
    read: Arc<Read>,
    locks: Arc<Locks>,
}

/// What was read.
struct Read {
    config: Config,
    servers: Servers,
}

/// A server that is not mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// In a word: `off`, `locked`, `untrusted`, `broken`.
    pub state: &'static str,
    /// Why, and what to do.
    pub why: String,
}

/// A server that may be started.
#[derive(Debug)]
pub struct Definition {
    /// What is started.
    pub server: Server,
    /// Where that stands: a project's own programs are looked for in the project.
    origin: Origin,
    /// What is approved of it is kept under this (`servers::scope`).
    pub scope: String,
    /// Whose tools may be called.
    pub served: Arc<Served>,
}

impl Configured {
    /// Reads the servers that are seen from where `host` was started.
    ///
    /// # Errors
    ///
    /// A file that was asked for cannot be read.
    pub fn open(host: &Host, home: &Home, output: Output) -> Result<Self, Failure> {
        let locks = lock::switch(home);
        let (read, stamps) = read(host, home, vec![home.config_file()])?;
        for problem in &read.servers.catalogue.problems {
            output.warn(&problem.to_string());
        }
        let (looked, closed) = (host.clock.monotonic(), locks.current());
        let now = Arc::new(Now::new(1, Arc::new(read), Arc::clone(&closed), host));
        let state =
            Mutex::new(State { looked, looked_for_new: looked, stamps, locks: closed, now });
        Ok(Self { host: host.clone(), home: home.clone(), output, locks, state })
    }

    /// What is configured now.
    pub fn now(&self) -> Arc<Now> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let time = self.host.clock.monotonic();
        if time.saturating_sub(state.looked) < LOOK {
            return Arc::clone(&state.now);
        }
        state.looked = time;
        let locks = self.locks.current();
        let all = time.saturating_sub(state.looked_for_new) >= LOOK_FOR_NEW;
        if all {
            state.looked_for_new = time;
        }
        let mut known = state.stamps.iter().filter(|(_, stamp)| all || stamp.is_there());
        let edited = known.any(|(path, stamp)| Stamp::of(path) != *stamp);
        if !edited && *locks == *state.locks {
            return Arc::clone(&state.now);
        }
        let read = if edited { self.read_again(&mut state.stamps) } else { None };
        let read = read.unwrap_or_else(|| Arc::clone(&state.now.read));
        let revision = state.now.revision + 1;
        state.now = Arc::new(Now::new(revision, read, Arc::clone(&locks), &self.host));
        state.locks = locks;
        info!(revision, "the servers were taken over");
        Arc::clone(&state.now)
    }

    /// Where the secrets of the servers of `now` come from.
    pub fn supply(&self, now: &Now) -> Supply {
        supply::open(&self.host, &self.home, &now.read.config, &now.read.servers.project)
    }

    /// Changes with what is kept of other stores.
    pub fn kept_secrets(&self) -> Stamp {
        let now = self.now();
        let Read { config, servers } = &*now.read;
        Stamp::of(&supply::cache_file(&self.home, config, &servers.project))
    }

    /// Reads everything anew. `None`: it is broken, and is not read again before the next edit.
    fn read_again(&self, stamps: &mut Vec<(PathBuf, Stamp)>) -> Option<Arc<Read>> {
        let files = stamps.iter().map(|(path, _)| path.clone()).collect();
        let why = match read(&self.host, &self.home, files) {
            Ok((read, now)) => {
                *stamps = now;
                if !read.servers.broken {
                    return Some(Arc::new(read));
                }
                read.servers.catalogue.problems.last().map(ToString::to_string)
            }
            Err(failure) => {
                for (path, stamp) in stamps {
                    *stamp = Stamp::of(path);
                }
                failure.error.map(|error| error.to_string())
            }
        };
        error!("the servers stay as they were before the last edit: {}", why.unwrap_or_default());
        None
    }

    /// What the start of one of the servers of `now` stands on.
    pub fn ground<'a>(&'a self, now: &'a Now) -> Ground<'a> {
        Ground {
            host: &self.host,
            home: &self.home,
            config: &now.read.config,
            servers: &now.read.servers,
            output: &self.output,
        }
    }
}

impl Now {
    fn new(revision: u64, read: Arc<Read>, locks: Arc<Locks>, host: &Host) -> Self {
        let (mut mounted, mut left_out) = (BTreeMap::new(), BTreeMap::new());
        for entry in read.servers.catalogue.entries.values() {
            let is_listed = matches!(entry.source.origin, Origin::Named | Origin::Catalog);
            if !entry.on && is_listed {
                continue;
            }
            match Definition::of(entry, &read.servers, &locks, host) {
                Ok(definition) => {
                    mounted.insert(entry.name.clone(), Arc::new(definition));
                }
                Err(why) => {
                    left_out.insert(entry.name.clone(), why);
                }
            }
        }
        Self { revision, mounted, left_out, read, locks }
    }

    /// The entry of a server.
    pub fn entry(&self, name: &Name) -> Option<&Entry> {
        self.read.servers.catalogue.entries.get(name)
    }

    /// Whether a person has locked the server.
    pub fn is_locked(&self, name: &Name) -> bool {
        self.locks.stops_start(name).is_some()
    }
}

impl Definition {
    /// What `entry` defines, or why it is not mounted.
    fn of(entry: &Entry, servers: &Servers, locks: &Locks, host: &Host) -> Result<Self, LeftOut> {
        let left_out = |state, why: String| LeftOut { state, why };
        if !entry.on {
            let why = format!("it is off here: run `strongroom mcp enable {}`", entry.name);
            return Err(left_out("off", why));
        }
        let server = servers.server(host, entry, false).map_err(|failure| {
            let what = failure.error.map(|error| error.to_string()).unwrap_or_default();
            let state = if entry.source.trusted { "broken" } else { "untrusted" };
            left_out(state, failure.hint.map_or(what.clone(), |hint| format!("{what}: {hint}")))
        })?;
        if let Some(part) = locks.stops_start(&entry.name) {
            return Err(left_out("locked", format!("{part} is locked: run `strongroom unlock`")));
        }
        let server = server.clone();
        let mut tools = Served::new(server.name.clone(), server.offer.tools.clone());
        tools.pin = server.pin;
        let mut hasher = DefaultHasher::new();
        format!("{server:?}").hash(&mut hasher);
        tools.revision = hasher.finish();
        if let Some(calls) = server.offer.calls_per_minute {
            tools.limits.calls_per_minute = calls;
        }
        let (origin, scope) = (entry.source.origin, servers::scope(&entry.source));
        Ok(Self { server, origin, scope, served: Arc::new(tools) })
    }

    /// Whether what runs by this definition is what `other` would start.
    pub fn starts_as(&self, other: &Self) -> bool {
        let same = self.origin == other.origin && self.scope == other.scope;
        same && self.server.starts_as(&other.server)
    }
}

/// Reads everything, and the stamps that its files had before. `files` are those that are known to
/// belong to it.
fn read(
    host: &Host,
    home: &Home,
    mut files: Vec<PathBuf>,
) -> Result<(Read, Vec<(PathBuf, Stamp)>), Failure> {
    let mut round = 0;
    loop {
        round += 1;
        // Looked at before they are read: a change in between is seen by the next look.
        let stamps: Vec<Stamp> = files.iter().map(|path| Stamp::of(path)).collect();
        let config = Config::load_without_services(home)?;
        let places = Places { directory: &host.directory, registry: None };
        let servers = servers::load(host, home, &config, places)?;
        let mut now = vec![home.config_file()];
        now.extend(servers.files.iter().cloned());
        if now == files || round == ROUNDS {
            return Ok((Read { config, servers }, files.into_iter().zip(stamps).collect()));
        }
        files = now;
    }
}
