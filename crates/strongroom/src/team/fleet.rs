//! The registered servers of one tenant: which are mounted now, and which of them run.
//!
//! A server is started anew where its registration or one of its credentials has changed, and only then: the
//! one that ran until then ends with the last of its calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use strongroom_gateway::mount::names::Naming;
use strongroom_gateway::mount::{Mount, Server};
use strongroom_gateway::upstream::server::{Options, Status};
use strongroom_gateway::upstream::supervision;
use strongroom_gateway::{Changes, Servers};
use strongroom_model::lock::Locks;
use strongroom_model::ports::{Clock, Dns, Tools};
use strongroom_model::principal::Name;
use strongroom_model::service::Limits;
use strongroom_model::team::{McpServer, ServerId, TenantCtx};
use strongroom_model::tool::Served;
use strongroom_proxy::Sites;
use strongroom_secrets::{Loaded, Resolver};
use strongroom_server::{Health, State};
use strongroom_store::team::{Credential, Team, TeamError, TenantStore};
use tokio::sync::{Mutex as Turn, watch};

use super::binding::{Binding, Version};
use super::slots::Slots;
use super::start::{Ground, Starter};

/// Calls of one server a minute: what one key may ask is bounded before.
const CALLS_PER_MINUTE: u32 = 1_000_000;

/// Who was started a moment ago has not been asked yet what it was started for.
const MOMENT: Duration = Duration::from_millis(250);

/// The servers of one tenant.
pub(super) struct Fleet {
    ground: Arc<Ground>,
    team: Team,
    ctx: TenantCtx,
    tools: Arc<dyn Tools>,
    pub(super) slots: Slots,
    /// Reaches those at addresses: made with the first of them.
    sites: OnceLock<Arc<Sites>>,
    reaches: Reaches,
    /// Whoever looks what has changed; the others wait for what comes of that.
    turn: Turn<()>,
    inner: Mutex<Inner>,
    changes: watch::Sender<Changes>,
    me: Weak<Self>,
}

/// What connections are made with.
#[derive(Clone)]
pub(super) struct Reaches {
    pub(super) dns: Arc<dyn Dns>,
    pub(super) clock: Arc<dyn Clock>,
}

struct Inner {
    mount: Arc<Mount>,
    mounted: Vec<Mounted>,
    served: Arc<BTreeMap<Name, Arc<Served>>>,
    /// What all this was made of.
    made_of: Option<(Arc<Vec<McpServer>>, i64)>,
    /// What is not mounted any more and may still answer calls.
    former: Vec<Weak<Server>>,
}

struct Mounted {
    key: Key,
    server: Arc<Server>,
}

/// What a running server was started for. Any other is another server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: ServerId,
    config_rev: u64,
    credentials: Vec<Version>,
}

impl Fleet {
    /// That of the tenant of `ctx`, whose calls `tools` makes. Nothing is mounted yet.
    pub(super) fn new(
        ground: &Arc<Ground>,
        team: &Team,
        ctx: TenantCtx,
        tools: Arc<dyn Tools>,
        reaches: Reaches,
    ) -> Arc<Self> {
        let mount = Arc::new(Mount::new(Arc::clone(&tools), Vec::new(), Naming::Safe));
        let inner = Inner {
            mount,
            mounted: Vec::new(),
            served: Arc::default(),
            made_of: None,
            former: Vec::new(),
        };
        Arc::new_cyclic(|me| Self {
            ground: Arc::clone(ground),
            team: team.clone(),
            ctx,
            tools,
            slots: Slots::new(ground.caps.processes),
            sites: OnceLock::new(),
            reaches,
            turn: Turn::default(),
            inner: Mutex::new(inner),
            changes: watch::Sender::default(),
            me: Weak::clone(me),
        })
    }

    /// What reaches the tenant's servers at addresses, and no other tenant's.
    pub(super) fn sites(&self) -> Arc<Sites> {
        let made = self.sites.get_or_init(|| {
            let Reaches { dns, clock } = self.reaches.clone();
            // Nobody logs in for a tenant.
            let nothing = Arc::new(Loaded::new(Resolver::new(Vec::new())));
            Arc::new(Sites::new(dns, clock, nothing))
        });
        Arc::clone(made)
    }

    /// Mounts what is registered now, where that is something else than before; what may be called then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has changed everything or nothing.
    pub(super) async fn refresh(
        &self,
        store: &TenantStore<'_>,
    ) -> Result<Arc<BTreeMap<Name, Arc<Served>>>, TeamError> {
        if let Some(served) = self.is_as(&store.all_servers().await?, store).await? {
            return Ok(served);
        }
        let _turn = self.turn.lock().await;
        let servers = store.all_servers().await?;
        if let Some(served) = self.is_as(&servers, store).await? {
            return Ok(served);
        }
        let generation = store.credentials_generation().await?;
        let stored = store.credentials(None).await?;
        Ok(self.take((servers, generation), &stored))
    }

    async fn is_as(
        &self,
        servers: &Arc<Vec<McpServer>>,
        store: &TenantStore<'_>,
    ) -> Result<Option<Arc<BTreeMap<Name, Arc<Served>>>>, TeamError> {
        let generation = store.credentials_generation().await?;
        let mut inner = self.lock();
        let Some((of, as_of)) = &mut inner.made_of else { return Ok(None) };
        if *as_of != generation || !Arc::ptr_eq(of, servers) && of != servers {
            return Ok(None);
        }
        // Read again, and the same: the next look is a quick one.
        *of = Arc::clone(servers);
        Ok(Some(Arc::clone(&inner.served)))
    }

    fn take(
        &self,
        made_of: (Arc<Vec<McpServer>>, i64),
        stored: &[Credential],
    ) -> Arc<BTreeMap<Name, Arc<Served>>> {
        let mut inner = self.lock();
        let before = std::mem::take(&mut inner.mounted);
        let mut served = BTreeMap::new();
        let enabled = made_of.0.iter().filter(|server| server.enabled);
        for server in enabled.take(self.ground.caps.mounted) {
            let Some(name) = name_of(server, &served) else { continue };
            let credentials = Binding::of(server, stored).versions(stored);
            let key = Key { id: server.id, config_rev: server.config_rev, credentials };
            let same = before.iter().find(|one| one.key == key && one.server.name == name);
            let mounted = same.map(|one| Arc::clone(&one.server));
            let mounted = mounted.unwrap_or_else(|| Arc::new(self.server(name.clone(), server)));
            inner.mounted.push(Mounted { key, server: mounted });
            served.insert(name.clone(), Arc::new(of_registration(name, server)));
        }
        let kept =
            |one: &Mounted| inner.mounted.iter().any(|now| Arc::ptr_eq(&now.server, &one.server));
        let gone: Vec<_> = before.into_iter().filter(|one| !kept(one)).collect();
        let first = inner.made_of.is_none();
        let servers: Vec<_> = inner.mounted.iter().map(|one| Arc::clone(&one.server)).collect();
        inner.mount = Arc::new(Mount::new(Arc::clone(&self.tools), servers, Naming::Safe));
        inner.served = Arc::new(served);
        inner.made_of = Some(made_of);
        for Mounted { server, .. } in gone {
            if !server.upstream.retire(CHANGED) {
                inner.former.push(Arc::downgrade(&server));
            }
        }
        if !first {
            self.changes.send_modify(|changes| *changes = changes.of_all());
        }
        Arc::clone(&inner.served)
    }

    fn server(&self, name: Name, server: &McpServer) -> Server {
        let starter = Starter {
            ground: Arc::clone(&self.ground),
            team: self.team.clone(),
            ctx: self.ctx,
            fleet: Weak::clone(&self.me),
            name: name.clone(),
            server: server.clone(),
        };
        let options = Options {
            idle: self.ground.caps.idle,
            supervision: supervision::Limits::default(),
            ..Options::default()
        };
        let pins = Arc::new(self.team.pins(&self.ctx, server.id));
        Server::new(name, server.tool_prefix.clone(), Box::new(starter), options).with_pins(pins)
    }

    /// Ends what `locks` stop.
    pub(super) fn heed(&self, locks: &Locks) {
        if locks.is_empty() {
            return;
        }
        for one in &self.lock().mounted {
            if locks.stops_start(&one.server.name).is_some() {
                one.server.upstream.stop("the kill switch is on");
            }
        }
    }

    /// Ends everything: the tenant was taken away, or its broker was.
    pub(super) fn end(&self, why: &str) {
        let mut inner = self.lock();
        let former = std::mem::take(&mut inner.former);
        let former: Vec<_> = former.iter().filter_map(Weak::upgrade).collect();
        for server in inner.mounted.iter().map(|one| &one.server).chain(&former) {
            server.upstream.stop(why);
        }
    }

    /// Ends what has not been called for long, and what was replaced and has no calls any more.
    pub(super) fn tidy(&self) {
        let mut inner = self.lock();
        for one in &inner.mounted {
            one.server.upstream.look_after();
        }
        let busy = |one: &Weak<Server>| {
            one.upgrade().is_some_and(|server| !server.upstream.retire(CHANGED))
        };
        inner.former.retain(busy);
    }

    /// Ends the server that has not been called for the longest time, where there is one that nobody has
    /// called for a moment.
    pub(super) fn rest_one(&self) {
        let inner = self.lock();
        let mut all: Vec<_> = inner.mounted.iter().map(|one| &one.server.upstream).collect();
        all.retain(|upstream| upstream.attempt().is_some() && upstream.used().elapsed() >= MOMENT);
        all.sort_by_key(|upstream| upstream.used());
        let _ = all.into_iter().any(|it| it.retire("another server of the tenant needs its place"));
    }

    /// Whether somebody has to be told of changes, or something runs that a change may end.
    pub(super) fn is_watched(&self) -> bool {
        self.changes.receiver_count() > 0 || {
            let inner = self.lock();
            let runs = |one: &Mounted| one.server.upstream.attempt().is_some();
            !inner.former.is_empty() || inner.mounted.iter().any(runs)
        }
    }

    /// The server, and its own name for the tool, that a client means by `tool`, as far as that is known.
    pub(super) fn route(&self, tool: &str) -> Option<(ServerId, String)> {
        let inner = self.lock();
        let (name, tool) = inner.mount.route(tool)?;
        let one = inner.mounted.iter().find(|one| one.server.name == name)?;
        Some((one.key.id, tool))
    }

    /// How the server in the row `id` does.
    pub(super) fn health(&self, id: ServerId) -> Health {
        let inner = self.lock();
        let Some(at) = inner.mounted.iter().position(|one| one.key.id == id) else {
            return Health::default();
        };
        let status = inner.mounted[at].server.upstream.status();
        health(status, inner.mount.shown(at))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers for Fleet {
    fn mount(&self) -> Arc<Mount> {
        Arc::clone(&self.lock().mount)
    }

    fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }
}

const CHANGED: &str = "the server's registration or credential has changed";

/// What a server is called in rules, locks and records: what its tenant calls it, where that is a name.
fn name_of(server: &McpServer, taken: &BTreeMap<Name, Arc<Served>>) -> Option<Name> {
    let own = server.server_id.parse::<Name>();
    let name = own.or_else(|_| format!("server-{}", server.id).parse()).ok()?;
    // A tenant that calls another server by this one's id.
    (!taken.contains_key(&name)).then_some(name)
}

fn of_registration(name: Name, server: &McpServer) -> Served {
    let limits = Limits { calls_per_minute: CALLS_PER_MINUTE, ..Limits::default() };
    Served { limits, revision: server.config_rev, ..Served::new(name, server.policy()) }
}

fn health(status: Status, tools: Vec<String>) -> Health {
    Health {
        state: match status.state {
            supervision::State::Idle | supervision::State::Pausing { .. } => State::Stopped,
            supervision::State::Starting { .. } => State::Starting,
            supervision::State::Ready { .. } => State::Running,
            supervision::State::Looping { .. } => State::Failed,
        },
        uptime_s: status.uptime.map(|uptime| uptime.as_secs()),
        restarts: status.restarts,
        last_error: status.last_error,
        tools,
    }
}
