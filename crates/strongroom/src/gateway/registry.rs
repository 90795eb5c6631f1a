//! What the broker sees: the services of its registry, and the servers that are mounted.

use std::sync::{Arc, Mutex, PoisonError};

use strongroom_model::ports::Registry;
use strongroom_model::service::Catalog;

use super::{Configured, Now};

/// A registry of services, with the servers.
pub struct WithServers {
    services: Arc<dyn Registry>,
    configured: Arc<Configured>,
    joined: Mutex<Option<Joined>>,
}

/// What was put together, and from what.
struct Joined {
    services: Arc<Catalog>,
    servers: Arc<Now>,
    both: Arc<Catalog>,
}

impl WithServers {
    /// Adds the servers of `configured` to `services`.
    pub fn new(services: Arc<dyn Registry>, configured: Arc<Configured>) -> Self {
        Self { services, configured, joined: Mutex::default() }
    }
}

impl Registry for WithServers {
    fn current(&self) -> Arc<Catalog> {
        let (services, servers) = (self.services.current(), self.configured.now());
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(joined) = &*joined
            && Arc::ptr_eq(&joined.services, &services)
            && Arc::ptr_eq(&joined.servers, &servers)
        {
            return Arc::clone(&joined.both);
        }
        let both = Arc::new(join(&services, &servers));
        *joined = Some(Joined { services, servers, both: Arc::clone(&both) });
        both
    }
}

fn join(services: &Catalog, servers: &Now) -> Catalog {
    let mounted = servers.mounted.iter();
    Catalog {
        services: services.services.clone(),
        commands: services.commands.clone(),
        servers: mounted.map(|(name, it)| (name.clone(), Arc::clone(&it.served))).collect(),
        principals: services.principals.clone(),
        // Either one only grows.
        revision: services.revision + servers.revision,
    }
}
