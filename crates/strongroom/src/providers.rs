//! The providers of this machine, as the configuration has them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::cache::NoKey;
use strongroom_secrets::providers::{self, About};
use strongroom_secrets::settings::{Context, SettingError, Settings, Tokens};
use strongroom_secrets::supply::{Parts, Rules, Waits};
use strongroom_secrets::{Resolver, Scope, Supply};

use crate::environment::Host;
use crate::paths::Home;

/// What every provider is given.
pub fn context(host: &Host, tokens: Tokens) -> Context {
    let environment = host.environment.clone();
    let home = host.environment.user_home().map_or_else(|_| PathBuf::from("/"), PathBuf::from);
    Context {
        variable: Arc::new(move |name| environment.get(name).map(ToOwned::to_owned)),
        home,
        tokens,
        clock: Arc::clone(&host.clock),
    }
}

/// All providers, with `settings`, and `local` in the place of the vault. Nothing is asked yet.
///
/// One whose settings cannot be used says so when it is asked, and holds up no other.
pub fn all(
    host: &Host,
    settings: &BTreeMap<String, Settings>,
    local: Option<Box<dyn Provider>>,
) -> Arc<Resolver> {
    let tokens = Tokens::default();
    let context = context(host, tokens.clone());
    let mut settings = settings.clone();
    let mut broken: Vec<Box<dyn Provider>> = Vec::new();
    let mut all = loop {
        match providers::build(&settings, &context) {
            Ok(all) => break all,
            // Without settings every provider can be built, so that this ends.
            Err((scheme, error)) if settings.remove(&scheme).is_some() => {
                broken.push(Box::new(Broken(unusable(&scheme, &error), scheme)));
            }
            Err((scheme, error)) => {
                broken.push(Box::new(Broken(unusable(&scheme, &error), scheme)));
                break Vec::new();
            }
        }
    };
    // Of two with one scheme, the later one counts.
    all.extend(broken);
    all.extend(local);
    let resolver = Arc::new(Resolver::new(all));
    tokens.use_resolver(&resolver);
    resolver
}

/// What is kept of the failures of providers, in each cache: the user's own, and those of projects.
/// There is no key in it, and none is needed for that.
pub fn failures(host: &Host, home: &Home) -> Vec<Supply> {
    let projects = Scope::projects(&home.cache);
    std::iter::once(Scope::user())
        .chain(projects)
        .map(|scope| of_scope(host, home, scope))
        .collect()
}

fn of_scope(host: &Host, home: &Home, scope: Scope) -> Supply {
    Supply::new(Parts {
        dir: scope.directory(&home.cache),
        scope,
        key: Box::new(|| Err(NoKey { why: "it is not needed here".to_owned(), fix: None })),
        rules: Rules::default(),
        clock: Arc::clone(&host.clock),
        resolver: Box::new(|| Err(ResolveError::unreachable("local", "nobody is asked here"))),
        waits: Waits::default(),
    })
}

/// What is wrong with the settings of a provider, with what to do about it, as far as it can be seen
/// without asking.
pub fn problem_of(
    about: &About,
    settings: &Settings,
    context: &Context,
) -> Option<(String, Option<String>)> {
    let only = BTreeMap::from([(about.scheme.to_owned(), settings.clone())]);
    let error =
        providers::build(&only, context).err().map(|(scheme, error)| unusable(&scheme, &error));
    let error = error.or_else(|| providers::program(about, settings, context)?.err())?;
    Some((error.to_string(), error.hint()))
}

/// What a provider answers whose settings cannot be used.
fn unusable(scheme: &str, error: &SettingError) -> ResolveError {
    let fix = error.hint.clone();
    let fix = fix.unwrap_or_else(|| format!("correct `[providers.{scheme}]` in strongroom.toml"));
    ResolveError::absent(scheme, format!("in its settings, {error}"), fix)
}

/// A provider whose settings cannot be used.
struct Broken(ResolveError, String);

impl Provider for Broken {
    fn scheme(&self) -> &str {
        &self.1
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        let answers = refs.iter().map(|_| Err(self.0.clone())).collect();
        Box::pin(std::future::ready(answers))
    }
}
