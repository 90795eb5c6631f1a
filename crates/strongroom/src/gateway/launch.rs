//! Starts a server as `strongroom run` does, under a guard; one at an address is reached.

use std::sync::Arc;

use strongroom_gateway::upstream::server::{Launch, Launched};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{BoxFuture, Far};
use strongroom_model::principal::Name;
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::server::Transport;
use strongroom_process::{Guard, Guarded};
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{Configured, Definition};
use crate::failure::{Exit, Failure};
use crate::release::Released;
use crate::servers::reach::Reachable;
use crate::servers::start::{Prepared, Wishes};

/// Starts one server, as long as its definition is the one that is configured.
#[derive(Clone)]
pub(super) struct Launcher {
    configured: Arc<Configured>,
    definition: Arc<Definition>,
    far: Arc<dyn Far>,
}

impl Launcher {
    pub(super) fn new(
        configured: Arc<Configured>,
        definition: Arc<Definition>,
        far: Arc<dyn Far>,
    ) -> Self {
        Self { configured, definition, far }
    }

    /// Looks up the secrets and starts the program. Blocks.
    fn start(&self) -> Result<Launched, Refusal> {
        let now = self.configured.now();
        let name = &self.definition.server.name;
        let current = now.mounted.get(name).filter(|now| now.starts_as(&self.definition));
        let (Some(_), Some(entry)) = (current, now.entry(name)) else {
            let text = "the server's configuration has changed: list the tools again";
            return Err(Refusal::new(Code::UpstreamError, text));
        };
        let ground = self.configured.ground(&now);
        if let Transport::Http { .. } = self.definition.server.transport {
            let reached = ground.reach(entry, &Wishes::default());
            let Reachable { site, released } = reached.map_err(|failure| refused(&failure))?;
            let far = Arc::clone(&self.far);
            return Ok(Launched::far(site, far, redactor(name, released)));
        }
        let Prepared { start, released } =
            ground.prepare(entry, &Wishes::default()).map_err(|failure| refused(&failure))?;
        let guard = Guard { program: self.configured.host.program.clone(), scratch: None };
        let child = Guarded::start(&start, &guard)
            .map_err(|error| refused(&Failure::new(Exit::Failed, error)))?;
        Ok(Launched::child(Box::new(child), redactor(name, released)))
    }
}

impl Launch for Launcher {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        let this = self.clone();
        Box::pin(async move {
            let started = spawn_blocking(move || this.start()).await;
            started.unwrap_or_else(|_| {
                Err(Refusal::new(Code::UpstreamError, "the server cannot be started"))
            })
        })
    }
}

/// Knows what was released to `name`.
fn redactor(name: &Name, released: Released) -> Arc<Redactor> {
    let labelled = released.into_secrets().into_iter();
    let labelled = labelled.map(|(_, secret)| Labelled { label: name.to_string(), secret });
    Arc::new(Redactor::new(&labelled.collect::<Vec<_>>()))
}

/// What an agent learns of a start that failed: the first line, which is ours. What a provider said is
/// the owner's to read, on stderr.
fn refused(failure: &Failure) -> Refusal {
    let text = failure.error.as_ref().map(ToString::to_string).unwrap_or_default();
    warn!("{text}");
    let code = match failure.exit {
        Exit::Denied => Code::PolicyDenied,
        Exit::Unavailable => Code::SecretUnavailable,
        _ => Code::UpstreamError,
    };
    let first = text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
    Refusal::new(code, first)
}
