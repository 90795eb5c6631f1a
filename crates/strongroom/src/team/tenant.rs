//! One tenant that is served: its broker, and the state of the store that the broker stands on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use strongroom_gateway::{Behind, Servers};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::lock::Locks;
use strongroom_model::ports::{
    BoxFuture, Calls, KillSwitch, Provider, Purpose, Registry, ResolveError, Stamp, Tools,
};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::service::Catalog;
use strongroom_model::team::TenantCtx;
use strongroom_model::tool::Served;
use strongroom_proxy::{Broker, Ground, Parts};
use strongroom_secrets::{Loaded, Resolver};
use strongroom_server::Problem;
use strongroom_store::team::{Team, TeamError, TenantService, TenantStore, Which};
use tracing::error;

use super::fleet::{Fleet, Reaches};
use super::tenants::Tenants;
use crate::config::tenant::{self, CredentialField, TenantRules};

/// The scheme of a tenant's credentials.
const SCHEME: &str = "local";

/// A tenant, its broker and its servers.
pub(super) struct Tenant {
    broker: Arc<Broker>,
    pub(super) fleet: Arc<Fleet>,
    now: Arc<Now>,
}

/// What a catalogue was made of.
#[derive(Default)]
struct MadeOf {
    /// The services, with their revisions.
    services: Vec<(String, u64)>,
    /// The servers that are mounted.
    servers: Arc<BTreeMap<Name, Arc<Served>>>,
}

/// What the store said last.
#[derive(Default)]
struct Now {
    catalog: RwLock<Arc<Catalog>>,
    made_of: Mutex<MadeOf>,
    locks: RwLock<Locks>,
    /// Changes with every credential of the tenant.
    credentials: RwLock<Stamp>,
}

impl Tenant {
    pub(super) fn new(tenants: &Tenants, ctx: &TenantCtx) -> Self {
        let now = Arc::new(Now::default());
        let vault = Vault { team: tenants.team.clone(), ctx: *ctx, now: Arc::clone(&now) };
        let broker = Broker::new(Parts {
            registry: Arc::clone(&now) as Arc<dyn Registry>,
            credentials: Arc::new(Loaded::new(Resolver::new(vec![Box::new(vault)]))),
            audit: Arc::new(tenants.team.audit_sink(ctx)),
            switch: Arc::clone(&now) as Arc<dyn KillSwitch>,
            clock: Arc::clone(&tenants.clock),
            approvals: Arc::new(tenants.team.approvals(ctx)),
            // Nobody sits at the machine of a team: others answer, by keys of their own.
            dialog: None,
            lacking: None,
            approval_wait: tenants.approval_wait,
            dns: Arc::clone(&tenants.dns),
            calls_at_once: Parts::CALLS_AT_ONCE,
            exchange: None,
            // A tenant has no programs (decision 11).
            ground: Ground::bare(PathBuf::new()),
        });
        let broker = Arc::new(broker);
        let tools = Arc::clone(&broker) as Arc<dyn Tools>;
        let reaches = Reaches { dns: Arc::clone(&tenants.dns), clock: Arc::clone(&tenants.clock) };
        let fleet = Fleet::new(&tenants.ground, &tenants.team, *ctx, tools, reaches);
        Self { broker, fleet, now }
    }

    /// What stands behind its endpoint.
    pub(super) fn behind(&self) -> Behind {
        let calls = Arc::clone(&self.broker) as Arc<dyn Calls>;
        Behind { calls, servers: Some(Arc::clone(&self.fleet) as Arc<dyn Servers>) }
    }

    /// Takes up what has changed in the store.
    pub(super) async fn refresh(
        &self,
        store: &TenantStore<'_>,
        rules: &TenantRules,
    ) -> Result<(), Problem> {
        let stamp = store.credentials_generation().await?.unsigned_abs();
        let locks = store.locked().await?;
        self.catalog(store, rules).await?;
        self.fleet.heed(&locks);
        *self.now.locks.write().unwrap_or_else(PoisonError::into_inner) = locks;
        *self.now.credentials.write().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
        Ok(())
    }
}

impl Tenant {
    /// Its services and servers, as they are now.
    pub(super) async fn catalog(
        &self,
        store: &TenantStore<'_>,
        rules: &TenantRules,
    ) -> Result<Arc<Catalog>, Problem> {
        let servers = self.fleet.refresh(store).await?;
        self.now.take(&store.services().await?, servers, rules);
        Ok(self.now.current())
    }
}

impl Now {
    /// A service that this version cannot read is not there, and nothing of it is allowed.
    fn take(
        &self,
        services: &[TenantService],
        servers: Arc<BTreeMap<Name, Arc<Served>>>,
        rules: &TenantRules,
    ) {
        let mut made_of = self.made_of.lock().unwrap_or_else(PoisonError::into_inner);
        let same = Arc::ptr_eq(&made_of.servers, &servers)
            && made_of.services.len() == services.len()
            && made_of.services.iter().zip(services).all(|((name, revision), service)| {
                *name == service.name && *revision == service.revision
            });
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        if same && catalog.revision > 0 {
            return;
        }
        let mut next = Catalog { revision: catalog.revision + 1, ..Catalog::default() };
        for service in services {
            let Ok(name) = service.name.parse::<Name>() else { continue };
            match tenant::read(name.clone(), &service.definition, rules) {
                Ok(read) => drop(next.services.insert(name, Arc::new(read))),
                Err(error) => error!(service = %name, "is not served: {}", error.problem),
            }
        }
        next.servers = BTreeMap::clone(&servers);
        let services = services.iter().map(|one| (one.name.clone(), one.revision)).collect();
        *made_of = MadeOf { services, servers };
        *catalog = Arc::new(next);
    }
}

impl Registry for Now {
    fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KillSwitch for Now {
    fn check(&self, principal: &Name, service: &Name) -> Result<(), Refusal> {
        // A server stands here by its name, as a service does. Where one name is that of both, a lock of
        // either stops both.
        let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
        let of_server = || {
            let catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner);
            let is_one = catalog.servers.contains_key(service);
            locks.stops_start(service).filter(|_| is_one)
        };
        match locks.stops_call(principal, service).or_else(of_server) {
            None => Ok(()),
            Some(part) => Err(Refusal::new(Code::Locked, format!("{part} is locked"))),
        }
    }
}

/// The tenant's credentials, as references name them.
struct Vault {
    team: Team,
    ctx: TenantCtx,
    now: Arc<Now>,
}

impl Vault {
    async fn one(&self, reference: &SecretRef) -> Result<Secret, ResolveError> {
        let not_found = || ResolveError::NotFound { reference: reference.clone() };
        let CredentialField { service, credential_type, field } =
            CredentialField::of(reference).ok_or_else(not_found)?;
        let which = Which::named(service, credential_type).map_err(|_| not_found())?;
        match self.team.tenant(&self.ctx).retrieve_credential(which).await {
            Ok(Some((_, values))) => values.field(field).ok_or_else(not_found),
            Ok(None) => Err(not_found()),
            Err(TeamError::Integrity { .. }) => {
                Err(ResolveError::Integrity { scheme: SCHEME.to_owned() })
            }
            Err(_) => Err(ResolveError::unreachable(SCHEME, "the store cannot be read")),
        }
    }
}

impl Provider for Vault {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn stamp(&self, _: &SecretRef) -> Stamp {
        *self.now.credentials.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn permits(&self, reference: &SecretRef, purpose: Purpose<'_>) -> Result<(), ResolveError> {
        match purpose {
            Purpose::Service(_) => Ok(()),
            Purpose::Launch(_) | Purpose::Provider(_) => Err(ResolveError::Denied {
                reference: reference.clone(),
                why: "it is for calls to services".to_owned(),
            }),
        }
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(refs.len());
            for reference in refs {
                answers.push(self.one(reference).await);
            }
            answers
        })
    }
}
