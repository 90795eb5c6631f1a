//! The project's MCP servers next to the broker's own tools.
//!
//! [`Configured`] knows what is written down now, and looks again for each request. [`Gateway`] keeps a
//! server for each one that is on, for as long as its definition is the same and so are its secrets; what
//! was started before ends when its calls have ended. [`WithServers`] tells the broker whose tools there
//! are. [`board`] is where other commands read how the servers are.

pub mod board;
mod configured;
mod launch;
mod registry;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_gateway::mount::names::Naming;
use strongroom_gateway::mount::{Mount, Server};
use strongroom_gateway::upstream::server::Options;
use strongroom_gateway::{Changes, Servers};
use strongroom_model::ports::{Far, Tools};
use strongroom_model::principal::Name;
use strongroom_store::PinStore;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::warn;

use board::{Board, Row};
pub use configured::{Configured, Definition, LeftOut, Now};
use launch::Launcher;
pub use registry::WithServers;

/// How often the files are looked at while nobody calls.
const ROUND: Duration = Duration::from_secs(1);

/// The same while something is to end.
const SOON: Duration = Duration::from_millis(50);

/// The servers that are mounted.
pub struct Gateway {
    configured: Arc<Configured>,
    tools: Arc<dyn Tools>,
    /// Reaches servers at addresses.
    far: Arc<dyn Far>,
    pins: Arc<PinStore>,
    state: Mutex<State>,
    changes: watch::Sender<Changes>,
    /// Something is to end.
    parting: Notify,
}

struct State {
    /// Of what was configured when it was put together.
    revision: u64,
    mount: Arc<Mount>,
    kept: BTreeMap<Name, Kept>,
    /// What is to end when its calls have ended.
    leaving: Vec<Arc<Server>>,
}

/// A server, and what it was made from.
struct Kept {
    definition: Arc<Definition>,
    launcher: Launcher,
    server: Arc<Server>,
}

impl Gateway {
    /// Mounts what is configured next to `tools`, as far as `pins` says that it is approved; `far` reaches
    /// servers at addresses. Nothing is started before it is wanted.
    pub fn new(
        configured: Arc<Configured>,
        tools: Arc<dyn Tools>,
        far: Arc<dyn Far>,
        pins: Arc<PinStore>,
    ) -> Arc<Self> {
        let mount = Arc::new(Mount::new(Arc::clone(&tools), Vec::new(), Naming::Safe));
        let state = State { revision: 0, mount, kept: BTreeMap::new(), leaving: Vec::new() };
        let gateway = Self {
            configured,
            tools,
            far,
            pins,
            state: Mutex::new(state),
            changes: watch::Sender::default(),
            parting: Notify::new(),
        };
        gateway.mount();
        Arc::new(gateway)
    }

    /// Sees to the servers while nobody calls: takes over what is configured, ends what is to end, and
    /// writes down on `board` how they are. Goes on until it is dropped.
    ///
    /// `stored` is another number whenever something in the vault is another.
    pub async fn tend(self: Arc<Self>, mut board: Option<Board>, stored: impl Fn() -> u64 + Send) {
        let version = || (self.configured.kept_secrets(), stored());
        let mut seen = version();
        loop {
            // What a person approved meanwhile is told to clients, though nobody calls.
            self.mount().look().await;
            let now = version();
            if now != seen {
                seen = now;
                self.check_secrets().await;
            }
            self.end_what_is_to_end();
            if let Some(board) = &mut board
                && let Some(write) = board.update(self.rows(), &*self.configured.host.clock)
                && !spawn_blocking(write).await.is_ok_and(|written| written)
            {
                warn!("how the servers are cannot be written down");
            }
            let pause = if self.state().leaving.is_empty() { ROUND } else { SOON };
            if timeout(pause, self.parting.notified()).await.is_ok() {
                // Whoever has just found the server may use it.
                sleep(SOON).await;
            }
        }
    }

    /// How the servers are.
    fn rows(&self) -> Vec<Row> {
        let now = self.configured.now();
        let state = self.state();
        let mounted = state.kept.iter().map(|(name, kept)| {
            let (tools, waiting) = (kept.server.known(), kept.server.waiting());
            let tools = tools.map(|tools| (tools.len(), waiting.unwrap_or_default()));
            Row::of(name, &kept.server.upstream.status(), tools, kept.launcher.failure())
        });
        let left_out = now.left_out.iter().map(|(name, why)| Row::left_out(name, why));
        let mut rows: Vec<Row> = mounted.chain(left_out).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    fn end_what_is_to_end(&self) {
        let mut state = self.state();
        for kept in state.kept.values() {
            let upstream = &kept.server.upstream;
            upstream.look_after();
            let lifetime = kept.definition.server.offer.lifetime;
            let uptime = upstream.status().uptime;
            if lifetime.zip(uptime).is_some_and(|(lifetime, uptime)| uptime >= lifetime) {
                upstream.retire("the server has run for as long as it may");
            }
        }
        let why = "the server's configuration or its secrets have changed";
        state.leaving.retain(|server| !server.upstream.retire(why));
    }

    /// Has each server that was started with a secret that is another one by now started anew.
    async fn check_secrets(&self) {
        let running: Vec<(Name, Launcher)> = {
            let state = self.state();
            let running =
                state.kept.iter().filter(|(_, it)| it.server.upstream.attempt().is_some());
            running.map(|(name, kept)| (name.clone(), kept.launcher.clone())).collect()
        };
        for (name, launcher) in running {
            let check = launcher.clone();
            if !spawn_blocking(move || check.is_outdated()).await.unwrap_or(false) {
                continue;
            }
            let mut state = self.state();
            let of_it = |kept: &Kept| kept.launcher.is(&launcher);
            let Some(kept) = state.kept.get(&name).filter(|kept| of_it(kept)) else { continue };
            let new = self.keep(&kept.definition);
            let old = state.kept.insert(name, new);
            state.leaving.extend(old.map(|kept| kept.server));
            self.put_together(&mut state);
        }
    }

    /// Takes over what is configured now.
    fn remount(&self, state: &mut State, now: &Now) {
        let mut before = std::mem::take(&mut state.kept);
        let named = naming(&before);
        let mut changed = false;
        for (name, definition) in &now.mounted {
            let kept = match before.remove(name) {
                Some(kept) if kept.definition.starts_as(definition) => {
                    let (old, new) = (&kept.definition.served, &definition.served);
                    changed |= (&old.policy, old.pin) != (&new.policy, new.pin);
                    Kept { definition: Arc::clone(definition), ..kept }
                }
                other => {
                    changed = true;
                    state.leaving.extend(other.map(|kept| kept.server));
                    self.keep(definition)
                }
            };
            state.kept.insert(name.clone(), kept);
        }
        // The same tools by other names are another list.
        changed |= !before.is_empty() || named != naming(&state.kept);
        for (name, kept) in before {
            if now.is_locked(&name) {
                kept.server.upstream.stop("the server is locked");
            } else {
                state.leaving.push(kept.server);
            }
        }
        state.revision = now.revision;
        self.put_together(state);
        if changed {
            self.changes.send_modify(|changes| *changes = changes.of_all());
        }
    }

    fn put_together(&self, state: &mut State) {
        let naming = naming(&state.kept);
        let servers = state.kept.values().map(|kept| Arc::clone(&kept.server)).collect();
        state.mount = Arc::new(Mount::new(Arc::clone(&self.tools), servers, naming));
        if !state.leaving.is_empty() {
            self.parting.notify_one();
        }
    }

    fn keep(&self, definition: &Arc<Definition>) -> Kept {
        let server = &definition.server;
        let (configured, far) = (Arc::clone(&self.configured), Arc::clone(&self.far));
        let launcher = Launcher::new(configured, Arc::clone(definition), far);
        let options = Options { idle: server.offer.idle, ..Options::default() };
        let (name, prefix) = (server.name.clone(), format!("{}.", server.name));
        let pins = self.pins.of(&definition.scope, &name);
        let (launch, asks) = (Box::new(launcher.clone()), server.offer.asks);
        let server = Server::allowed(name, prefix, launch, options, asks);
        let server = Arc::new(server.with_pins(pins));
        Kept { definition: Arc::clone(definition), launcher, server }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How their tools are named.
fn naming(kept: &BTreeMap<Name, Kept>) -> Naming {
    let mut kept = kept.values();
    match (kept.next(), kept.next()) {
        (Some(one), None) if one.definition.server.offer.plain_names => Naming::Plain,
        _ => Naming::Safe,
    }
}

impl Servers for Gateway {
    fn mount(&self) -> Arc<Mount> {
        let now = self.configured.now();
        let mut state = self.state();
        if state.revision < now.revision {
            self.remount(&mut state, &now);
        }
        Arc::clone(&state.mount)
    }

    fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }
}
