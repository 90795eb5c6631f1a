//! Secrets for servers: the cache, its key and the providers, put together.
//!
//! Nothing is opened here: a start that finds all it needs in the cache reads the machine key and one
//! file, and knows of no provider.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use strongroom_model::ports::{BoxFuture, Clock, Provider, Purpose, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::cache::NoKey;
use strongroom_secrets::providers::ONEPASSWORD_TOKEN_FILE;
use strongroom_secrets::settings::Settings;
use strongroom_secrets::supply::{Fingerprint, Parts, Rules, Waits};
use strongroom_secrets::{Resolver, Scope, Supply};
use strongroom_store::LocalProvider;

use crate::config::Config;
use crate::config::cache;
use crate::environment::Host;
use crate::home::{self, HomeError};
use crate::paths::Home;
use crate::providers;
use crate::servers::Servers;

/// Made when the first question is asked, and the same for all that follow.
type Shared = Arc<OnceLock<Arc<Resolver>>>;

/// The supply of `home`. `project` is the root of the project that we are in, whose own cache it is
/// where the configuration says so.
pub fn open(host: &Host, home: &Home, config: &Config, project: &Path) -> Supply {
    with_lifetimes(host, home, config, scope(config, project), BTreeMap::new())
}

/// The file that the cache of [`open`] is kept in.
pub fn cache_file(home: &Home, config: &Config, project: &Path) -> PathBuf {
    scope(config, project).directory(&home.cache).join(strongroom_secrets::cache::FILE)
}

/// The caches of other projects than `project`.
pub fn of_others(host: &Host, home: &Home, config: &Config, project: &Path) -> Vec<Supply> {
    let own = scope(config, project);
    let others = Scope::projects(&home.cache).into_iter().filter(|other| *other != own);
    others.map(|other| with_lifetimes(host, home, config, other, BTreeMap::new())).collect()
}

fn scope(config: &Config, project: &Path) -> Scope {
    match config.cache.scope {
        cache::Scope::User => Scope::user(),
        cache::Scope::Project => Scope::project(project),
    }
}

/// The supply for work that is for no single server: what `servers` ask for their secrets counts.
pub fn of_all(host: &Host, home: &Home, config: &Config, servers: &Servers) -> Supply {
    let mut lifetimes: BTreeMap<SecretRef, Duration> = BTreeMap::new();
    for server in servers.enabled() {
        let Some(ttl) = server.ttl else { continue };
        for reference in server.references() {
            let shortest = lifetimes.entry(reference.clone()).or_insert(ttl);
            *shortest = ttl.min(*shortest);
        }
    }
    with_lifetimes(host, home, config, scope(config, &servers.project), lifetimes)
}

fn with_lifetimes(
    host: &Host,
    home: &Home,
    config: &Config,
    scope: Scope,
    lifetimes: BTreeMap<SecretRef, Duration>,
) -> Supply {
    let key = {
        let (home, scope) = (home.clone(), scope.id().to_owned());
        let source = config.machine_key.clone();
        move || home::cache_key(&home, &source, &scope).map_err(|error| no_key(&error))
    };
    let shared = Shared::default();
    let resolver = {
        let (host, home, shared) = (host.clone(), home.clone(), Arc::clone(&shared));
        let settings = config.providers.settings.clone();
        move || Ok(Arc::clone(shared.get_or_init(|| resolver(&host, &home, &settings))))
    };
    let fingerprint = fingerprint(host, home, config, shared);
    Supply::new(Parts {
        dir: scope.directory(&home.cache),
        scope,
        key: Box::new(key),
        rules: rules(config, lifetimes),
        clock: Arc::clone(&host.clock),
        resolver: Box::new(resolver),
        waits: Waits::default(),
    })
    .with_fingerprint(fingerprint)
}

fn rules(config: &Config, servers: BTreeMap<SecretRef, Duration>) -> Rules {
    Rules {
        all: config.cache.freshness,
        schemes: config.providers.freshness.clone(),
        references: config.cache.references.clone(),
        servers,
    }
}

fn no_key(error: &HomeError) -> NoKey {
    NoKey { why: error.to_string(), fix: error.hint() }
}

/// Every provider that there is. A vault that cannot be opened is the answer to what would be in
/// it, and to nothing else.
pub fn resolver(host: &Host, home: &Home, settings: &BTreeMap<String, Settings>) -> Arc<Resolver> {
    let clock: Arc<dyn Clock> = Arc::clone(&host.clock);
    let local: Box<dyn Provider> = match home::open(home, clock) {
        Ok(vault) => Box::new(LocalProvider::new(Arc::new(vault))),
        Err(error) => {
            let fix = error.hint().unwrap_or_else(|| "run `strongroom doctor`".to_owned());
            Box::new(Closed(ResolveError::absent("local", error.to_string(), fix)))
        }
    };
    providers::all(host, settings, Some(local))
}

/// What changes with the token of a provider: the stamps of the places that its secrets are in, and
/// the times of the files that name them. No secret is in it.
fn fingerprint(host: &Host, home: &Home, config: &Config, shared: Shared) -> Fingerprint {
    let settings = config.providers.settings.clone();
    let default =
        host.environment.user_home().ok().map(|home| Path::new(home).join(ONEPASSWORD_TOKEN_FILE));
    let config_file = home.config_file();
    Box::new(move |scheme| {
        let mut text = changed(&config_file);
        if scheme == "op"
            && let Some(file) = &default
        {
            text.push_str(&changed(file));
        }
        let secrets = settings.get(scheme).map(|settings| settings.secrets.values());
        // The stamp of the vault counts within a process only; the file of the configuration is written
        // anew with each token that goes there.
        let kept = secrets.into_iter().flatten().filter(|reference| reference.scheme() != "local");
        for reference in kept {
            let stamp = shared.get().and_then(|resolver| resolver.stamp(reference));
            text.push(';');
            text.push_str(&stamp.unwrap_or_default().to_string());
        }
        text
    })
}

/// When the file was last changed.
fn changed(file: &Path) -> String {
    let time = file.metadata().and_then(|metadata| metadata.modified()).ok();
    let time = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!(";{}", time.unwrap_or_default().as_nanos())
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
