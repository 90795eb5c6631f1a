//! The project's MCP servers next to the broker's own tools.
//!
//! [`Configured`] knows what is written down now, and looks again for each request. [`Gateway`] keeps a
//! server for each one that is on, for as long as its definition is the same; what was started by
//! another definition ends when its calls have ended. [`WithServers`] tells the broker whose tools there
//! are.

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
use tokio::time::{sleep, timeout};

pub use configured::{Configured, Definition, Now};
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

    /// Looks at the files while nobody calls, and ends what is to end. Goes on until it is dropped.
    pub async fn tend(self: Arc<Self>) {
        loop {
            let pause = if self.state().leaving.is_empty() { ROUND } else { SOON };
            if timeout(pause, self.parting.notified()).await.is_ok() {
                // Whoever has just found the server may use it.
                sleep(SOON).await;
            }
            // What a person approved meanwhile is told to clients, though nobody calls.
            self.mount().look().await;
            let mut state = self.state();
            for kept in state.kept.values() {
                kept.server.upstream.rest();
            }
            let why = "the server's configuration has changed";
            state.leaving.retain(|server| !server.upstream.retire(why));
        }
    }

    /// Takes over what is configured now.
    fn remount(&self, state: &mut State, now: &Now) {
        let mut before = std::mem::take(&mut state.kept);
        let mut changed = false;
        for (name, definition) in &now.mounted {
            let same = |kept: &Kept| kept.definition.starts_as(definition);
            let kept = match before.remove(name) {
                Some(kept) if same(&kept) => {
                    let (old, new) = (&kept.definition.served, &definition.served);
                    changed |= (&old.policy, old.pin) != (&new.policy, new.pin);
                    Kept { definition: Arc::clone(definition), server: kept.server }
                }
                other => {
                    changed = true;
                    state.leaving.extend(other.map(|kept| kept.server));
                    self.keep(definition)
                }
            };
            state.kept.insert(name.clone(), kept);
        }
        changed |= !before.is_empty();
        for (name, kept) in before {
            if now.is_locked(&name) {
                kept.server.upstream.stop("the server is locked");
            } else {
                state.leaving.push(kept.server);
            }
        }
        state.revision = now.revision;
        let servers = state.kept.values().map(|kept| Arc::clone(&kept.server)).collect();
        state.mount = Arc::new(Mount::new(Arc::clone(&self.tools), servers, Naming::Safe));
        if changed {
            self.changes.send_modify(|changes| *changes = changes.of_all());
        }
        if !state.leaving.is_empty() {
            self.parting.notify_one();
        }
    }

    fn keep(&self, definition: &Arc<Definition>) -> Kept {
        let name = definition.server.name.clone();
        let launcher = Launcher::new(
            Arc::clone(&self.configured),
            Arc::clone(definition),
            Arc::clone(&self.far),
        );
        let prefix = format!("{name}.");
        let pins = self.pins.of(&definition.scope, &name);
        let server = Server::new(name, prefix, Box::new(launcher), Options::default());
        let server = server.with_pins(pins);
        Kept { definition: Arc::clone(definition), server: Arc::new(server) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
