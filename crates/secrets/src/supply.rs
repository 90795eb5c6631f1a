//! Secrets for whoever starts a server: from the cache, from the providers where the cache does not
//! do, and from the cache again where the providers cannot be reached (decision 5).
//!
//! A hit costs one read of one file. A miss asks for everything that is missing, in one batch for
//! each provider, in one process at a time: the others wait and use what it fetched. What a provider
//! refuses is never supplied from what was kept, whatever its age.

mod ask;
mod attempts;
mod fill;
mod flight;
mod hand;
mod refresh;
mod round;
mod rules;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strongroom_model::ports::{Clock, Purpose, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::Delivery;
use strongroom_seal::{FileError, SecureDir};

use crate::Resolver;
use crate::cache::{self, Cache, CacheProblem, Kept, KeySource, Scope};
use attempts::Attempts;
use flight::Flight;

pub use ask::Waits;
pub use rules::Rules;
pub use status::{EntryStatus, LastError, SchemeStatus, State, Status};

/// The schemes whose secrets are on this machine already, in the vault, the environment, a file or the
/// kernel's memory. They are asked for at each start; what is in memory only stays there.
const HERE: [&str; 4] = ["local", "env", "file", "keyutils"];

/// What a supply is made of.
pub struct Parts {
    /// The directory of the cache, as [`Scope::directory`] gives it. It is made when it is needed.
    pub dir: PathBuf,
    /// Whose cache it is.
    pub scope: Scope,
    /// The key of the cache: [`strongroom_seal::Key::of_cache`] for [`Scope::id`].
    pub key: KeySource,
    /// How long what is good.
    pub rules: Rules,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes the resolver. Only a miss does.
    pub resolver: ResolverSource,
    /// How long to wait for what.
    pub waits: Waits,
}

/// Makes a resolver. Its error is the answer to everything that would have been asked.
pub type ResolverSource = Box<dyn Fn() -> Result<Arc<Resolver>, ResolveError> + Send + Sync>;

/// Tells one set-up of a provider from another: another token gives another text. It is kept in a
/// file that is not secret, so it is a time, a number or a keyed hash, never made from a token alone.
pub type Fingerprint = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Supplies secrets.
pub struct Supply {
    dir: PathBuf,
    cache: Cache,
    rules: Rules,
    clock: Arc<dyn Clock>,
    resolver: ResolverSource,
    fingerprint: Fingerprint,
    waits: Waits,
}

/// A question.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// What is needed now.
    pub wanted: &'a [SecretRef],
    /// What for.
    pub purpose: Purpose<'a>,
    /// How it is delivered. With [`Delivery::Runtime`] the cache is neither read nor written.
    pub delivery: Delivery,
    /// How long the server says that its secrets are good.
    pub ttl: Option<Duration>,
    /// What else may be asked for along with it, if anything must be asked for: the references of the
    /// other servers that are on, without those of `runtime` delivery.
    pub also: &'a (dyn Fn() -> Vec<SecretRef> + Sync),
}

/// What was supplied.
#[derive(Debug)]
pub struct Taken {
    /// One answer for each reference that was wanted, in order; one that was wanted twice is answered
    /// once.
    pub answers: Vec<Answer>,
    /// Something nears its end, or a provider has not answered yet: start a detached
    /// [`refresh`](Supply::refresh) with [`How::Due`]. It also takes out what is refused late.
    pub refresh_due: bool,
    /// What is wrong with the cache.
    pub problem: Option<CacheProblem>,
    /// Each provider that was asked.
    pub asked: Vec<Asked>,
}

/// The answer for one reference.
#[derive(Debug)]
pub struct Answer {
    /// What was wanted.
    pub reference: SecretRef,
    /// The secret, or why there is none.
    pub secret: Result<Secret, ResolveError>,
    /// Where it, or the error, is from.
    pub from: From,
    /// How long ago it was fetched.
    pub age: Duration,
    /// With [`From::Stale`]: why there is nothing newer.
    pub why: Option<ResolveError>,
    /// With [`From::Stale`]: whether nobody is to be told (`stale = "silent"`).
    pub silent: bool,
}

/// Where an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The cache.
    Cache,
    /// The provider, just now.
    Provider,
    /// The cache, though it has expired, because the provider cannot be reached.
    Stale,
    /// This machine: a stored secret, a variable, a file, the kernel.
    Local,
}

impl From {
    /// The stable name in `--json` answers and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Provider => "provider",
            Self::Stale => "stale",
            Self::Local => "local",
        }
    }
}

/// A provider that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its scheme.
    pub scheme: String,
    /// How many references it was asked for.
    pub references: usize,
    /// How many of them gave no secret.
    pub failed: usize,
}

/// What a refresh is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In the background: what is missing, nears its end or has expired. What failed a moment ago is
    /// left alone, and what fails now counts towards the notice of repeated failures.
    Due,
    /// A person asks: everything, also what failed a moment ago.
    All,
}

/// What came of a refresh.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// What was asked for, by this process or by another one that it waited for.
    pub done: Vec<Done>,
    /// How many references needed nothing.
    pub fresh: usize,
    /// What is wrong with the cache.
    pub problem: Option<CacheProblem>,
    /// Each provider that was asked by this process.
    pub asked: Vec<Asked>,
}

/// What came of one reference in a refresh.
#[derive(Debug)]
pub struct Done {
    /// Which.
    pub reference: SecretRef,
    /// Whether it was fetched.
    pub outcome: Result<(), ResolveError>,
    /// How often in a row the background refresh has failed for it, this time included.
    pub failures: u32,
}

impl Supply {
    /// A supply of these parts. Nothing is read before something is asked for.
    pub fn new(parts: Parts) -> Self {
        Self {
            dir: parts.dir,
            cache: Cache::new(parts.scope, parts.key),
            rules: parts.rules,
            clock: parts.clock,
            resolver: parts.resolver,
            fingerprint: Box::new(|_| String::new()),
            waits: parts.waits,
        }
    }

    /// The same supply, which asks again at once where a rejected token has been replaced.
    #[must_use]
    pub fn with_fingerprint(self, fingerprint: Fingerprint) -> Self {
        Self { fingerprint, ..self }
    }

    /// What `ask` wants.
    ///
    /// Blocks, and makes a runtime of its own where a provider must be asked: within a runtime, use
    /// [`supply`](Self::supply).
    pub fn take(&self, ask: &Ask<'_>) -> Taken {
        let mut hand = self.look(ask);
        if hand.is_open() {
            let filled = block_on(self.fill(&mut hand, ask));
            if filled.is_none() {
                let error = |scheme: &str| ResolveError::unreachable(scheme, NO_RUNTIME);
                self.close(&mut hand, &Kept::default(), error);
            }
        }
        hand.taken()
    }

    /// What `ask` wants, within a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the old cache or the new one. What was asked is asked again.
    pub async fn supply(&self, ask: &Ask<'_>) -> Taken {
        let mut hand = self.look(ask);
        if hand.is_open() {
            self.fill(&mut hand, ask).await;
        }
        hand.taken()
    }

    /// Fetches what is due of `refs`, or all of them, and keeps it. Blocks as [`take`](Self::take).
    ///
    /// A reference that a provider refuses is taken out of the cache.
    pub fn refresh(&self, refs: &[SecretRef], how: How) -> Refreshed {
        block_on(self.refreshed(refs, how)).unwrap_or_else(|| {
            let error = |reference: &SecretRef| {
                Err(ResolveError::unreachable(reference.scheme(), NO_RUNTIME))
            };
            let done = |reference: &SecretRef| Done {
                outcome: error(reference),
                reference: reference.clone(),
                failures: 0,
            };
            Refreshed { done: refs.iter().map(done).collect(), ..Refreshed::default() }
        })
    }

    /// Takes `refs` out of the cache; says how many were in it.
    pub fn forget(&self, refs: &[SecretRef]) -> Result<usize, CacheProblem> {
        let Some(dir) = self.existing()? else { return Ok(0) };
        let _flight = self.board(&dir)?;
        let kept = self.cache.read(&dir)?;
        let changes: Vec<_> = refs
            .iter()
            .filter(|reference| kept.find(reference).is_some())
            .map(|reference| (reference, cache::Change::Remove))
            .collect();
        if !changes.is_empty() {
            self.cache.write(&dir, &kept, &changes, self.clock.now(), &|_| false)?;
        }
        let mut attempts = Attempts::load(&dir);
        attempts.forget(refs);
        attempts.save(&dir);
        Ok(changes.len())
    }

    /// Removes the cache and everything about it, whatever state it is in.
    pub fn clear(&self) -> Result<(), CacheProblem> {
        let Some(dir) = self.existing()? else { return Ok(()) };
        let _flight = self.board(&dir)?;
        for name in [cache::FILE, cache::META, cache::BAD, attempts::FILE] {
            dir.remove(name).map_err(CacheProblem::Unwritable)?;
        }
        Ok(())
    }

    /// Forgets what went wrong with the provider of `scheme`: it has a new token, or was unlocked.
    pub fn clear_attempts(&self, scheme: &str) {
        if let Ok(Some(dir)) = self.existing() {
            let _flight = Flight::board_blocking(&dir, self.waits.stale);
            let mut attempts = Attempts::load(&dir);
            attempts.forget_scheme(scheme);
            attempts.save(&dir);
        }
    }

    /// The lock, for a change that must not be lost to whoever is fetching.
    fn board(&self, dir: &SecureDir) -> Result<Flight, CacheProblem> {
        match Flight::board_blocking(dir, self.waits.cold) {
            Flight::Missed => Err(CacheProblem::Busy),
            flight => Ok(flight),
        }
    }

    /// The directory, where it is there.
    fn existing(&self) -> Result<Option<SecureDir>, CacheProblem> {
        match SecureDir::open(&self.dir) {
            Ok(dir) => Ok(Some(dir)),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(cache::not_read(error)),
        }
    }

    /// The directory, made where it is missing.
    fn directory(&self, problem: &mut Option<CacheProblem>) -> Option<SecureDir> {
        SecureDir::create(&self.dir)
            .or_else(|error| SecureDir::open(&self.dir).map_err(|_| error))
            .map_err(|error| problem.get_or_insert(cache::not_written(error)))
            .ok()
    }

    /// What is in the cache now. A file that cannot be used is moved away by who has the lock.
    fn reread(
        &self,
        dir: Option<&SecureDir>,
        problem: &mut Option<CacheProblem>,
        set_aside: bool,
    ) -> Kept {
        let Some(dir) = dir else { return Kept::default() };
        match self.cache.read(dir) {
            Ok(kept) => {
                // Another process has healed it since, and has said so.
                if matches!(problem, Some(CacheProblem::Damaged { .. })) {
                    *problem = None;
                }
                kept
            }
            Err(mut found) => {
                if set_aside {
                    Cache::set_aside(dir, &mut found);
                }
                *problem = Some(found);
                Kept::default()
            }
        }
    }
}

impl cache::NoKey {
    /// The answer for a reference that would be kept.
    fn error(&self, reference: &SecretRef) -> ResolveError {
        let fix = self.fix.clone().unwrap_or_else(|| "run `strongroom doctor`".to_owned());
        ResolveError::absent(reference.scheme(), format!("the cache has no key: {}", self.why), fix)
    }
}

const NO_RUNTIME: &str = "this process can do nothing more at the same time";
const SLOW: &str = "it has not answered in time";
const BUSY: &str = "another process asks it, and has no answer yet";

fn slow(reference: &SecretRef) -> ResolveError {
    ResolveError::unreachable(reference.scheme(), SLOW)
}

fn is_here(reference: &SecretRef) -> bool {
    HERE.contains(&reference.scheme())
}

fn age(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

/// Runs `future` on a runtime of its own, which does not wait for what it leaves behind.
fn block_on<T>(future: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let value = runtime.block_on(future);
    runtime.shutdown_background();
    Some(value)
}
