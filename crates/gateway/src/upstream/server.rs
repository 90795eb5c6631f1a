//! One server behind the gateway: started when it is wanted, once for all who want it, and again when it
//! has ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::far::Site;
use strongroom_model::ports::{BoxFuture, Far};
use strongroom_model::redact::Redactor;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::hello::{Agreed, Known, ask_health, greet};
use super::peer::{Events, Over};
use super::running::{Child, Running};
use super::supervision::{self, State, Step, Supervision};
use crate::wire;

/// The longest pause before a restart that a call waits for. A longer one is said to the caller.
const WAITED_FOR: Duration = Duration::from_secs(1);

/// Starts a server, with its secrets.
pub trait Launch: Send + Sync {
    /// Starts it.
    fn launch(&self) -> BoxFuture<'_, Result<Launched, Refusal>>;
}

/// What was started.
pub struct Launched {
    pub(super) server: Started,
    /// Knows the secrets that it was started with.
    pub redactor: Arc<Redactor>,
}

/// How a server that was started is talked to.
pub(super) enum Started {
    /// By the pipes of a child.
    Child(Box<dyn Child>),
    /// At its address.
    Far(Arc<Site>, Arc<dyn Far>),
}

impl Launched {
    /// A child. `redactor` knows the secrets that it was started with.
    pub fn child(child: Box<dyn Child>, redactor: Arc<Redactor>) -> Self {
        Self { server: Started::Child(child), redactor }
    }

    /// A server at an address, which [`far::site`](super::far::site) makes of a configured one. `redactor`
    /// knows the secrets in the site's headers; of access tokens `far` knows.
    pub fn far(site: Site, far: Arc<dyn Far>, redactor: Arc<Redactor>) -> Self {
        Self { server: Started::Far(Arc::new(site), far), redactor }
    }
}

/// How a server is treated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size and depth of its messages.
    pub limits: wire::Limits,
    /// When it is started again.
    pub supervision: supervision::Limits,
    /// How long it may take until it answers for the first time.
    pub patience: Duration,
    /// How long it runs without being used.
    pub idle: Duration,
    /// How often it is asked whether it still answers.
    pub health: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: wire::Limits::default(),
            supervision: supervision::Limits::default(),
            patience: Duration::from_mins(1),
            idle: Duration::from_mins(30),
            health: Duration::from_secs(30),
        }
    }
}

/// A server, running or not.
pub struct Upstream {
    launch: Box<dyn Launch>,
    events: Arc<dyn Events>,
    /// What clients can do that it may use, an object.
    pub(super) capabilities: Box<str>,
    options: Options,
    began: Instant,
    inner: Mutex<Inner>,
    /// An attempt has come to something.
    changed: Notify,
}

/// A server that answers.
pub struct Ready {
    /// The process and the conversation.
    pub running: Arc<Running>,
    /// What was agreed.
    pub agreed: Agreed,
    /// Knows the secrets that it was started with.
    pub redactor: Arc<Redactor>,
    /// Another one with every start.
    pub attempt: u64,
}

/// What its owner is told.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Its process id, where it runs.
    pub pid: Option<u32>,
    /// How long it has been running.
    pub uptime: Option<Duration>,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it ended the last time, or could not be started.
    pub last_error: Option<String>,
    /// The last lines that it wrote to descriptor 2.
    pub said: Vec<String>,
}

struct Inner {
    supervision: Supervision,
    ready: Option<Arc<Ready>>,
    /// The number of the last attempt.
    attempt: u64,
    /// What the last attempt that failed came to, and its number.
    failed: Option<(u64, Refusal)>,
    last_error: Option<String>,
    said: Vec<String>,
    known: Option<Known>,
    used: Instant,
    /// When it was last known to answer, or was asked.
    asked: Instant,
}

impl Upstream {
    /// A server that `launch` starts. What it tells and asks goes to `events`.
    pub fn new(
        launch: Box<dyn Launch>,
        events: Arc<dyn Events>,
        capabilities: &str,
        options: Options,
    ) -> Arc<Self> {
        let now = Instant::now();
        let inner = Inner {
            supervision: Supervision::new(options.supervision),
            ready: None,
            attempt: 0,
            failed: None,
            last_error: None,
            said: Vec::new(),
            known: None,
            used: now,
            asked: now,
        };
        Arc::new(Self {
            launch,
            events,
            capabilities: capabilities.into(),
            options,
            began: now,
            inner: Mutex::new(inner),
            changed: Notify::new(),
        })
    }

    /// The server, started if it does not run.
    ///
    /// # Errors
    ///
    /// It could not be started, or has failed too often.
    ///
    /// # Cancel safety
    ///
    /// Dropped, a start that has begun goes on for whoever wants it next.
    pub async fn ready(self: &Arc<Self>) -> Result<Arc<Ready>, Refusal> {
        let mut awaited = None;
        loop {
            let changed = self.changed.notified();
            match self.step(awaited)? {
                Next::Use(ready) => return Ok(ready),
                Next::Await(attempt) => {
                    awaited = Some(attempt);
                    changed.await;
                }
                Next::Pause(until) => sleep(until).await,
            }
        }
    }

    /// The start that it runs since, where it answers.
    pub fn attempt(&self) -> Option<u64> {
        self.lock().ready.as_ref().map(|ready| ready.attempt)
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let inner = self.lock();
        let running = inner.ready.as_ref().map(|ready| &ready.running);
        Status {
            state: inner.supervision.state(),
            pid: running.and_then(|running| running.pid),
            uptime: running.map(|running| running.since.elapsed()),
            restarts: inner.supervision.restarts(),
            last_error: inner.last_error.clone(),
            said: running.map_or_else(|| inner.said.clone(), |running| running.said()),
        }
    }

    /// Whether it answers: it is started if it does not run, and asked for nothing but that.
    ///
    /// # Errors
    ///
    /// It does not run and cannot be started, or has not answered within `patience`.
    pub async fn healthy(self: &Arc<Self>, patience: Duration) -> Result<(), Refusal> {
        let asked = async {
            let ready = self.ready().await?;
            ask_health(&ready.running.peer, &ready.agreed, &self.capabilities)
                .await
                .map_err(|over| failed(&over.0))
        };
        let late = || Refusal::new(Code::UpstreamTimeout, "the server does not answer");
        timeout(patience, asked).await.unwrap_or_else(|_| Err(late()))
    }

    /// Ends it where it has not been used for long. The next call starts it again.
    pub fn rest(&self) {
        let mut inner = self.lock();
        let busy = inner.ready.as_ref().is_some_and(|ready| ready.running.peer.waiting() > 0);
        if !busy && inner.used.elapsed() >= self.options.idle {
            inner.put_away("nobody has used the server for a while");
        }
    }

    /// It, where it is time to ask whether it still answers and nobody waits for it. Says so once.
    pub(super) fn due(&self) -> Option<Arc<Ready>> {
        let mut inner = self.lock();
        let ready = inner.ready.as_ref()?;
        let quiet = ready.running.peer.waiting() == 0;
        let due = quiet && inner.asked.elapsed() >= self.options.health;
        let ready = due.then(|| Arc::clone(ready))?;
        inner.asked = Instant::now();
        Some(ready)
    }

    /// Ends it where nobody waits for an answer of it or for its start; says whether that is so. The next
    /// call starts it again.
    pub fn retire(&self, why: &str) -> bool {
        let mut inner = self.lock();
        let busy = match &inner.ready {
            Some(ready) => ready.running.peer.waiting() > 0,
            None => matches!(inner.supervision.state(), State::Starting { .. }),
        };
        if !busy {
            inner.put_away(why);
        }
        !busy
    }

    /// When it was last called, or started.
    pub fn used(&self) -> Instant {
        self.lock().used
    }

    /// Ends it. What waits for it fails with `why`; the next call starts it again, whatever happened.
    pub fn stop(&self, why: &str) {
        self.lock().put_away(why);
    }

    fn step(self: &Arc<Self>, awaited: Option<u64>) -> Result<Next, Refusal> {
        let mut inner = self.lock();
        if let Some((attempt, refusal)) = &inner.failed
            && Some(*attempt) == awaited
        {
            return Err(refusal.clone());
        }
        let now = self.began.elapsed();
        match inner.supervision.wanted(now) {
            Step::Use => {
                inner.used = Instant::now();
                let ready = inner.ready.clone();
                ready.map(Next::Use).ok_or_else(|| failed("the server is gone"))
            }
            Step::Await => Ok(Next::Await(inner.attempt)),
            Step::Start => {
                inner.attempt += 1;
                let (this, attempt) = (Arc::clone(self), inner.attempt);
                tokio::spawn(async move { this.try_once(attempt).await });
                Ok(Next::Await(attempt))
            }
            Step::Pause { until } => {
                let pause = until.saturating_sub(now);
                if pause <= WAITED_FOR {
                    return Ok(Next::Pause(pause));
                }
                let why = inner.last_error.as_deref().unwrap_or("it has ended");
                let mut refusal = failed(&format!("the server is started again soon: {why}"));
                refusal.retry_after_s = Some(pause.as_secs() + 1);
                Err(refusal)
            }
            Step::Refuse => {
                let why = inner.last_error.as_deref().unwrap_or("it has ended");
                Err(failed(&format!("the server has failed too often and is left alone: {why}")))
            }
        }
    }

    /// Starts it, and tells everybody what came of that.
    async fn try_once(self: Arc<Self>, attempt: u64) {
        let started = self.start(attempt).await;
        let mut inner = self.lock();
        let wanted = inner.attempt == attempt;
        match started {
            Ok(ready) if !wanted => {
                let why = "the server is not wanted any more";
                ready.running.stop(why);
                inner.failed = Some((attempt, failed(why)));
            }
            Ok(ready) => match ready.running.over() {
                None => {
                    inner.known = Some(ready.agreed.known());
                    inner.used = Instant::now();
                    inner.asked = inner.used;
                    inner.supervision.ready(self.began.elapsed());
                    inner.ready = Some(ready);
                }
                Some(over) => self.fail(&mut inner, attempt, failed(&over.0)),
            },
            Err(refusal) if wanted => self.fail(&mut inner, attempt, refusal),
            Err(refusal) => inner.failed = Some((attempt, refusal)),
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    fn fail(&self, inner: &mut Inner, attempt: u64, refusal: Refusal) {
        inner.last_error = Some(refusal.message.clone().into_owned());
        if is_failure(refusal.code) {
            inner.supervision.ended(self.began.elapsed(), chance());
        } else {
            inner.supervision.refused();
        }
        inner.failed = Some((attempt, refusal));
    }

    async fn start(self: &Arc<Self>, attempt: u64) -> Result<Arc<Ready>, Refusal> {
        let Launched { server, redactor } = self.launch.launch().await?;
        let weak = Arc::downgrade(self);
        let ended = move |over: Over| {
            if let Some(this) = weak.upgrade() {
                this.ended(attempt, &over);
            }
        };
        let events = Arc::clone(&self.events);
        let limits = self.options.limits;
        let running = match server {
            Started::Child(child) => {
                Running::begin(child, limits, Arc::clone(&redactor), events, ended)
                    .map_err(|_| failed("the server cannot be talked to"))?
            }
            Started::Far(site, far) => Running::reach(far, site, limits, events, ended),
        };
        let known = self.lock().known;
        match greet(&running.peer, &self.capabilities, known, self.options.patience).await {
            Ok(agreed) => Ok(Arc::new(Ready { running, agreed, redactor, attempt })),
            Err(unwilling) => {
                let text = unwilling.to_string();
                running.stop(&text);
                self.lock().said = running.said();
                Err(failed(&text))
            }
        }
    }

    /// It has ended, by itself or because it was put away.
    fn ended(&self, attempt: u64, over: &Over) {
        let mut inner = self.lock();
        if let Some(ready) = inner.ready.take_if(|ready| ready.attempt == attempt) {
            inner.said = ready.running.said();
            inner.last_error = Some(over.to_string());
            inner.supervision.ended(self.began.elapsed(), chance());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Use(Arc<Ready>),
    Await(u64),
    Pause(Duration),
}

impl Inner {
    fn put_away(&mut self, why: &str) {
        if let Some(ready) = self.ready.take() {
            self.said = ready.running.said();
            ready.running.stop(why);
        }
        // What is being started is not wanted either.
        self.attempt += 1;
        self.supervision.put_away();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.lock().put_away("the server is not there any more");
    }
}

fn failed(why: &str) -> Refusal {
    Refusal::new(Code::UpstreamError, why.to_owned())
}

/// Whether the server has failed. What was refused before anything was started (a secret that is not
/// there, a lock, a cap) is no failure of its own, and is looked at again by the next call.
fn is_failure(code: Code) -> bool {
    matches!(code, Code::UpstreamError | Code::UpstreamTimeout | Code::IntegrityError)
}

/// Spreads restarts; no secret depends on it.
fn chance() -> u8 {
    let mut byte = [128];
    let _ = aws_lc_rs::rand::fill(&mut byte);
    byte[0]
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
