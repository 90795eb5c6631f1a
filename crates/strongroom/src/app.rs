//! Everything plugged together: the one function that knows all the parts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_model::audit::{AuditSink, Draft};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{
    Authenticator, Calls, Clock, Dialog, KillSwitch, Lacking, Provider, ResolveError, Tools,
};
use strongroom_model::principal::{Name, Principal, Source};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_proxy::{Broker, Exchange, Ground, Parts, Sites, SystemDns};
use strongroom_secrets::{Loaded, Resolver};
use strongroom_store::{LocalProvider, LockFile, Vault, VaultError};
use tracing::error;

use crate::announce;
use crate::config::Config;
use crate::config::live::Live;
use crate::desktop::Desktop;
use crate::environment::Host;
use crate::failure::Failure;
use crate::gateway::{Configured, Gateway, WithServers};
use crate::home;
use crate::lacking::Cabinet;
use crate::output::Output;
use crate::paths::Home;
use crate::providers;
use crate::recording::{self, Stay};

/// A broker and what it stands on.
pub struct App {
    /// Makes the calls.
    pub calls: Arc<dyn Calls>,
    /// Knows the tokens of principals.
    pub authenticator: Arc<dyn Authenticator>,
    /// The vault.
    pub vault: Arc<Vault>,
    /// The folders that agents exchange files in.
    pub exchange: Exchange,
    /// The MCP servers of the project that we are in.
    pub gateway: Arc<Gateway>,
}

/// Builds a broker on `home`.
///
/// # Errors
///
/// There is no home, no key to its vault, no configuration, or a mistake in it.
pub fn build(host: &Host, home: &Home, output: Output) -> Result<App, Failure> {
    let clock: Arc<dyn Clock> = Arc::clone(&host.clock);
    let vault = Arc::new(home::open(home, Arc::clone(&clock))?);
    let config = Config::load(home)?;
    let audit: Arc<dyn AuditSink> =
        Arc::new(recording::sink(host, home, config.audit, Stay::Long)?);
    let services = Arc::new(Live::open(home, Arc::clone(&audit))?);
    let configured = Arc::new(Configured::open(host, home, output)?);
    let registry = Arc::new(WithServers::new(services, Arc::clone(&configured)));
    let resolver = resolver(host, Some(Arc::clone(&vault)));
    let desktop = (!config.headless).then(|| Desktop::of(host));
    let exchange = Exchange::new(home.files_dir(), config.files);
    let calls = Arc::new(Broker::new(Parts {
        registry,
        credentials: Arc::new(Loaded::new(resolver)),
        audit: Arc::clone(&audit),
        switch: Arc::new(Stop {
            locks: LockFile::new(&home.state),
            vault: Arc::clone(&vault),
            disabled: Mutex::default(),
        }),
        clock,
        approvals: Arc::new(vault.approvals()?.telling(announce::on(host, desktop.clone()))),
        dialog: desktop.map(|desktop| Arc::new(desktop) as Arc<dyn Dialog>),
        lacking: Cabinet::of(host, home, &config).map(|one| Arc::new(one) as Arc<dyn Lacking>),
        approval_wait: config.approval_wait,
        dns: Arc::new(SystemDns),
        calls_at_once: config.calls_at_once,
        exchange: Some(exchange.clone()),
        ground: Ground {
            env: host.environment.to_vec(),
            helper: Some(host.program.clone()),
            scratch: home.exec_dir(),
        },
    }));
    // Their credentials are theirs alone: what a broker has loaded is not loaded anew because of them.
    let credentials = Arc::new(Loaded::new(self::resolver(host, Some(Arc::clone(&vault)))));
    let far = Arc::new(Sites::new(Arc::new(SystemDns), Arc::clone(&host.clock), credentials));
    let tools = Arc::clone(&calls) as Arc<dyn Tools>;
    let gateway = Gateway::new(configured, tools, far, vault.pins()?);
    let authenticator = Arc::new(Tokens { vault: Arc::clone(&vault), audit });
    Ok(App { calls, authenticator, vault, exchange, gateway })
}

/// Asks every provider that there is, with the settings that it has; `local://` needs a vault.
pub fn resolver(host: &Host, vault: Option<Arc<Vault>>) -> Arc<Resolver> {
    match vault {
        Some(vault) => resolver_with(host, Some(Box::new(LocalProvider::new(vault)))),
        None => resolver_with(host, None),
    }
}

/// The same, with what stands in the place of the vault.
pub fn resolver_with(host: &Host, local: Option<Box<dyn Provider>>) -> Arc<Resolver> {
    // A mistake in the file is said by what needs more of it than this.
    let config = host.home().ok().and_then(|home| Config::load_without_services(&home).ok());
    let settings = config.map(|config| config.providers.settings).unwrap_or_default();
    providers::all(host, &settings, local)
}

/// What `references` resolve to in this process, now.
pub fn resolve(resolver: &Resolver, references: &[SecretRef]) -> Vec<Result<Secret, ResolveError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_or_else(|_| Vec::new(), |runtime| runtime.block_on(resolver.resolve(references)))
}

/// The locks, and the principals that are refused: a connection, or a call that waited for a person, may
/// have been theirs before they were.
struct Stop {
    locks: LockFile,
    vault: Arc<Vault>,
    /// As of this version of the vault.
    disabled: Mutex<Option<(u64, BTreeSet<Name>)>>,
}

impl Stop {
    fn is_disabled(&self, principal: &Name) -> Result<bool, VaultError> {
        let version = self.vault.data_version()?;
        let mut disabled = self.disabled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, names)) = &*disabled
            && *of == version
        {
            return Ok(names.contains(principal));
        }
        let infos = self.vault.principals().list()?.into_iter();
        let names: BTreeSet<Name> =
            infos.filter(|info| info.disabled.is_some()).map(|info| info.name).collect();
        let is_disabled = names.contains(principal);
        *disabled = Some((version, names));
        Ok(is_disabled)
    }
}

impl KillSwitch for Stop {
    fn check(&self, principal: &Name, service: &Name) -> Result<(), Refusal> {
        self.locks.check(principal, service)?;
        match self.is_disabled(principal) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal::new(Code::Unauthenticated, "this principal is disabled")),
            Err(error) => {
                error!("who is disabled cannot be looked up: {error}");
                let text = "who may call cannot be looked up now";
                Err(Refusal::new(Code::SecretUnavailable, text))
            }
        }
    }
}

/// The tokens in the vault.
struct Tokens {
    vault: Arc<Vault>,
    audit: Arc<dyn AuditSink>,
}

impl Authenticator for Tokens {
    fn authenticate(&self, token: &Secret) -> Option<Principal> {
        match self.vault.principals().find_by_token(token) {
            Ok(name) => name.map(|name| Principal { name, source: Source::Token }),
            Err(error) => {
                error!("no token can be checked: {error}");
                None
            }
        }
    }

    fn refused(&self, draft: Draft) {
        // Nothing was done, so there is nothing to stop.
        if let Err(error) = self.audit.append(draft) {
            error!("a refused token was not recorded: {error}");
        }
    }
}
