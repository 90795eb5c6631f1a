//! Secrets for servers: the cache, its key and the providers, put together.
//!
//! Nothing is opened here: a start that finds all it needs in the cache reads the machine key and one
//! file, and knows of no provider.

use std::path::Path;
use std::sync::Arc;

use strongroom_model::ports::{BoxFuture, Clock, Provider, Purpose, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::cache::NoKey;
use strongroom_secrets::supply::{Parts, Rules, Waits};
use strongroom_secrets::{Resolver, Scope, Supply};

use crate::app;
use crate::config::Config;
use crate::config::cache;
use crate::environment::Host;
use crate::home::{self, HomeError};
use crate::paths::Home;

/// The supply of `home`. `project` is the root of the project that we are in, whose own cache it is
/// where the configuration says so.
pub fn open(host: &Host, home: &Home, config: &Config, project: &Path) -> Supply {
    let scope = match config.cache.scope {
        cache::Scope::User => Scope::user(),
        cache::Scope::Project => Scope::project(project),
    };
    let key = {
        let (home, scope) = (home.clone(), scope.id().to_owned());
        move || home::cache_key(&home, &scope).map_err(|error| no_key(&error))
    };
    let resolver = {
        let (host, home) = (host.clone(), home.clone());
        move || Ok(Arc::new(resolver(&host, &home)))
    };
    Supply::new(Parts {
        dir: scope.directory(&home.cache),
        scope,
        key: Box::new(key),
        rules: rules(config),
        clock: Arc::clone(&host.clock),
        resolver: Box::new(resolver),
        waits: Waits::default(),
    })
}

fn rules(config: &Config) -> Rules {
    Rules {
        all: config.cache.freshness,
        references: config.cache.references.clone(),
        ..Rules::default()
    }
}

fn no_key(error: &HomeError) -> NoKey {
    NoKey { why: error.to_string(), fix: error.hint() }
}

/// Every provider that there is. A vault that cannot be opened is the answer to what would be in
/// it, and to nothing else.
fn resolver(host: &Host, home: &Home) -> Resolver {
    let clock: Arc<dyn Clock> = Arc::clone(&host.clock);
    match home::open(home, clock) {
        Ok(vault) => app::resolver(host, Some(Arc::new(vault))),
        Err(error) => {
            let fix = error.hint().unwrap_or_else(|| "run `strongroom doctor`".to_owned());
            let error = ResolveError::absent("local", error.to_string(), fix);
            app::resolver_with(host, Some(Box::new(Closed(error))))
        }
    }
}

/// The provider of a vault that cannot be opened.
struct Closed(ResolveError);

impl Provider for Closed {
    fn scheme(&self) -> &'static str {
        "local"
    }

    fn permits(&self, _: &SecretRef, _: Purpose<'_>) -> Result<(), ResolveError> {
        Err(self.0.clone())
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        let answers = refs.iter().map(|_| Err(self.0.clone())).collect();
        Box::pin(std::future::ready(answers))
    }
}
