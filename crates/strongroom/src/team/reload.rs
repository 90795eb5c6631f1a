//! The KEKs of a running server follow the configuration: after `kek rotate` by another process nothing has
//! to be started again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strongroom_secrets::Resolver;
use strongroom_store::team::Team;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{error, info};

use super::{configured, keks};
use crate::environment::Host;
use crate::failure::Failure;
use crate::paths::Home;

/// How often is looked whether the configuration was changed. It is one `stat`.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes up the KEKs that the configuration tells of, whenever it changes and whenever the process is told
/// to (SIGHUP), until `stop` is gone. Where they cannot be used, those that there are stay in force, and
/// the log says so.
pub async fn follow(host: Host, home: Home, team: Team, mut stop: watch::Receiver<()>) {
    let mut known = stamp(&home);
    // What cannot be taken up is tried again, and said once: a key may be made after it was named.
    let mut said = known;
    let mut told = Told::new();
    // Where KEKs find the references of their settings.
    let mut _resolver = None;
    loop {
        let asked = tokio::select! {
            () = sleep(LOOK_EVERY) => false,
            () = told.told() => true,
            _ = stop.changed() => return,
        };
        let now = stamp(&home);
        if !asked && now == known {
            continue;
        }
        match reload(&host, &home, &team).await {
            Ok(resolver) => {
                known = now;
                info!(kek = team.keks().current(), "the configuration was read anew");
                _resolver = Some(resolver);
            }
            Err(_) if said == now && !asked => {}
            Err(failure) => {
                said = now;
                let why = failure.error.as_deref().map(ToString::to_string).unwrap_or_default();
                error!("the keys of the configuration are not taken up: {why}");
            }
        }
    }
}

async fn reload(host: &Host, home: &Home, team: &Team) -> Result<Arc<Resolver>, Failure> {
    let (ring, resolver) = keks(host, home, &configured(home)?, false)?;
    team.replace_keks(&ring).await?;
    Ok(resolver)
}

/// Changes with the file.
fn stamp(home: &Home) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(home.config_file()).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Whether the process is told to read its configuration anew.
struct Told(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Told {
    #[cfg(unix)]
    fn new() -> Self {
        Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok())
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self()
    }

    #[cfg(unix)]
    async fn told(&mut self) {
        let got = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if got.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    async fn told(&mut self) {
        std::future::pending::<()>().await;
    }
}
