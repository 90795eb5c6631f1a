//! The providers that are set up: whether they can be asked, as far as that shows without asking.

use std::collections::BTreeSet;

use strongroom_model::ports::ResolveError;
use strongroom_seal::FileError;
use strongroom_seal::file::open_private;
use strongroom_secrets::providers::{self, About, ONEPASSWORD_TOKEN_FILE};
use strongroom_secrets::settings::{Context, Settings, Tokens};

use super::Finding;
use crate::config::Config;
use crate::environment::Host;
use crate::paths::Home;
use crate::providers::{context, failures, problem_of};

pub(super) fn examine(config: &Config, host: &Host, home: &Home) -> Vec<Finding> {
    let context = context(host, Tokens::default());
    let mut findings = Vec::new();
    for about in providers::every() {
        let Some(settings) = config.providers.settings.get(about.scheme) else { continue };
        findings.push(one(&about, settings, &context));
    }
    findings.extend(token_file(config, &context));
    let caches = failures(host, home);
    let failed = caches.iter().flat_map(|cache| cache.status(&[]).schemes);
    let rejected = failed.filter(|scheme| scheme.token_rejected).map(|scheme| scheme.scheme);
    for scheme in rejected.collect::<BTreeSet<String>>() {
        let name = format!("provider {scheme}");
        let error = ResolveError::TokenRejected { scheme };
        findings.push(Finding::problem(&name, error.to_string(), error.hint()));
    }
    findings
}

fn one(about: &About, settings: &Settings, context: &Context) -> Finding {
    let name = format!("provider {}", about.scheme);
    if let Some((problem, fix)) = problem_of(about, settings, context) {
        return Finding::problem(&name, problem, fix);
    }
    let found = match providers::program(about, settings, context) {
        Some(Ok(path)) => format!("asks {}", path.display()),
        _ if about.is_named => format!("has commands: {}", settings.tables.len()),
        _ => "is set up".to_owned(),
    };
    Finding::fine(&name, found)
}

/// The file that `op://` takes its token from, where nothing else names one, must be ours alone.
fn token_file(config: &Config, context: &Context) -> Option<Finding> {
    let settings = config.providers.settings.get("op");
    if settings.is_some_and(|settings| settings.secret("token").is_some()) {
        return None;
    }
    let path = context.home.join(ONEPASSWORD_TOKEN_FILE);
    match open_private(&path) {
        Err(FileError::Missing { .. }) => None,
        Ok(_) => Some(Finding::fine("provider op", format!("has its token in {}", path.display()))),
        Err(error) => Some(Finding::problem("provider op", error.to_string(), error.hint())),
    }
}
