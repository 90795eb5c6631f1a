//! Starts a server as `strongroom run` does, under a guard; one at an address is reached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_gateway::upstream::server::{Launch, Launched};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{BoxFuture, Far, Lack, Lacking as _, Purpose};
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Delivery, Transport};
use strongroom_process::{Guard, Guarded};
use strongroom_secrets::supply::Ask;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{Configured, Definition};
use crate::failure::{Exit, Failure};
use crate::lacking::Cabinet;
use crate::release::{NotReleased, Released};
use crate::servers::reach::Reachable;
use crate::servers::start::{Prepared, Wishes};

/// Starts one server, as long as its definition is the one that is configured.
#[derive(Clone)]
pub(super) struct Launcher {
    configured: Arc<Configured>,
    definition: Arc<Definition>,
    far: Arc<dyn Far>,
    last: Arc<Mutex<Last>>,
}

/// What came of the last start.
#[derive(Default)]
struct Last {
    failure: Option<String>,
    secrets: Vec<(SecretRef, Arc<Secret>)>,
}

impl Launcher {
    pub(super) fn new(
        configured: Arc<Configured>,
        definition: Arc<Definition>,
        far: Arc<dyn Far>,
    ) -> Self {
        Self { configured, definition, far, last: Arc::default() }
    }

    /// Why it could not be started the last time, for its owner.
    pub(super) fn failure(&self) -> Option<String> {
        self.last().failure.clone()
    }

    /// Whether both are of the same server.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.last, &other.last)
    }

    /// Whether a secret that it was started with is another one by now. Blocks.
    pub(super) fn is_outdated(&self) -> bool {
        let server = &self.definition.server;
        if server.delivery != Delivery::Cached {
            return false;
        }
        let secrets = self.last().secrets.clone();
        let wanted: Vec<SecretRef> =
            secrets.iter().map(|(reference, _)| reference.clone()).collect();
        if wanted.is_empty() {
            return false;
        }
        let now = self.configured.now();
        let taken = self.configured.supply(&now).take(&Ask {
            wanted: &wanted,
            purpose: Purpose::Launch(&server.name),
            delivery: server.delivery,
            ttl: server.ttl,
            also: &Vec::new,
        });
        let mut answers = taken.answers.iter();
        answers.any(|answer| {
            let had = secrets.iter().find(|(reference, _)| *reference == answer.reference);
            let pair = answer.secret.as_ref().ok().zip(had);
            pair.is_some_and(|(now, (_, had))| !now.ct_eq(had))
        })
    }

    /// Looks up the secrets and starts the program. Blocks.
    fn start(&self) -> Result<Launched, NotStarted> {
        let now = self.configured.now();
        let name = &self.definition.server.name;
        let current = now.mounted.get(name).filter(|now| now.starts_as(&self.definition));
        let (Some(_), Some(entry)) = (current, now.entry(name)) else {
            let text = "the server's configuration has changed: list the tools again";
            return Err(Refusal::new(Code::UpstreamError, text).into());
        };
        let ground = self.configured.ground(&now);
        if let Transport::Http { .. } = self.definition.server.transport {
            let reached = ground.reach(entry, &Wishes::default());
            let Reachable { site, released } = reached.map_err(|failure| self.refused(&failure))?;
            return Ok(Launched::far(site, Arc::clone(&self.far), self.started(released)));
        }
        let prepared = ground.prepare(entry, &Wishes::default());
        let Prepared { start, released } = prepared.map_err(|failure| self.refused(&failure))?;
        let guard = Guard { program: self.configured.host.program.clone(), ..Guard::default() };
        let child = Guarded::start(&start, &guard)
            .map_err(|error| self.refused(&Failure::new(Exit::Failed, error)))?;
        Ok(Launched::child(Box::new(child), self.started(released)))
    }

    /// Remembers what it was started with; knows all that.
    fn started(&self, released: Released) -> Arc<Redactor> {
        let secrets = released.into_secrets();
        let labelled = |(_, secret): &(SecretRef, Arc<Secret>)| Labelled {
            label: self.definition.server.name.to_string(),
            secret: Arc::clone(secret),
        };
        let labelled: Vec<Labelled> = secrets.iter().map(labelled).collect();
        *self.last() = Last { failure: None, secrets };
        Arc::new(Redactor::new(&labelled))
    }

    /// What an agent learns of a start that failed: the first line, which is ours. What a provider said is
    /// the owner's to read.
    fn refused(&self, failure: &Failure) -> NotStarted {
        let lacks = NotReleased::of(failure).map(NotReleased::not_found).unwrap_or_default();
        let owned = |(name, reference): (&str, &SecretRef)| (name.to_owned(), reference.clone());
        let lacks = lacks.into_iter().map(owned).collect();
        let text = failure.error.as_ref().map(ToString::to_string).unwrap_or_default();
        warn!("{text}");
        let code = match failure.exit {
            Exit::Denied => Code::PolicyDenied,
            Exit::Unavailable => Code::SecretUnavailable,
            _ => Code::UpstreamError,
        };
        let first = text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
        *self.last() = Last { failure: Some(text), secrets: Vec::new() };
        NotStarted { refusal: Refusal::new(code, first), lacks }
    }

    /// Has a person asked for what is not stored; says whether it is now.
    async fn supplied(&self, lacks: &[(String, SecretRef)]) -> bool {
        let now = self.configured.now();
        let ground = self.configured.ground(&now);
        let Some(cabinet) = Cabinet::of(ground.host, ground.home, ground.config) else {
            return false;
        };
        let places: Vec<_> = lacks.iter().map(|(name, at)| (name.as_str(), at)).collect();
        let purpose = Purpose::Launch(&self.definition.server.name);
        cabinet.supply(Lack { purpose, principal: None, places: &places }).await
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a server does not run, and what would have to be stored for it.
struct NotStarted {
    refusal: Refusal,
    lacks: Vec<(String, SecretRef)>,
}

impl From<Refusal> for NotStarted {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, lacks: Vec::new() }
    }
}

async fn started(launcher: &Launcher) -> Result<Launched, NotStarted> {
    let launcher = launcher.clone();
    let started = spawn_blocking(move || launcher.start()).await;
    started.unwrap_or_else(|_| {
        Err(Refusal::new(Code::UpstreamError, "the server cannot be started").into())
    })
}

impl Launch for Launcher {
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>> {
        let this = self.clone();
        Box::pin(async move {
            let started = match started(&this).await {
                Err(not) if !not.lacks.is_empty() && this.supplied(&not.lacks).await => {
                    started(&this).await
                }
                started => started,
            };
            started.map_err(|not| not.refusal)
        })
    }
}
