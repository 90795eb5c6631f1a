//! Secrets for whoever starts a server: from the cache, from the providers where the cache does not
//! do, and from the cache again where the providers cannot be reached (decision 5).
//!
//! A hit costs one read of one file. A miss asks for everything that is missing, in one batch for
//! each provider, in one process at a time: the others wait and use what it fetched. What a provider
//! refuses is never supplied from what was kept, whatever its age.

mod ask;
mod attempts;
mod flight;
mod round;
mod rules;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strongroom_model::freshness::{Outcome, StalePolicy, Use};
use strongroom_model::ports::{Clock, Purpose, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::Delivery;
use strongroom_seal::{FileError, SecureDir};

use crate::Resolver;
use crate::cache::{self, Cache, CacheProblem, Kept, KeySource, Scope};
use attempts::Attempts;
use flight::Flight;
use round::{Question, Round};

pub use ask::Waits;
pub use rules::Rules;
pub use status::{EntryStatus, LastError, SchemeStatus, State, Status};

/// The schemes whose secrets are on this machine already. They are asked for at each start.
const HERE: [&str; 3] = ["local", "env", "file"];

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
    /// This machine: a stored secret, a variable, a file.
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
        let _flight = Flight::board_blocking(&dir, self.waits.cold);
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
        let _flight = Flight::board_blocking(&dir, self.waits.cold);
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

    /// The directory, where it is there.
    fn existing(&self) -> Result<Option<SecureDir>, CacheProblem> {
        match SecureDir::open(&self.dir) {
            Ok(dir) => Ok(Some(dir)),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(cache::not_read(error)),
        }
    }

    /// What can be had without asking anybody.
    fn look<'a>(&self, ask: &Ask<'a>) -> Hand<'a> {
        let mut hand = Hand::new(ask.wanted, ask.delivery);
        if hand.places.iter().any(|place| place.by == By::Cache) {
            let read = self.existing().and_then(|dir| match dir {
                Some(dir) => self.cache.read(&dir),
                None => Ok(Kept::default()),
            });
            match read {
                Ok(kept) => self.serve(&mut hand, &kept, ask.ttl),
                Err(problem) => hand.problem = Some(problem),
            }
        }
        hand
    }

    /// Answers what `kept` has fresh.
    fn serve(&self, hand: &mut Hand<'_>, kept: &Kept, ttl: Option<Duration>) {
        // After the file was read: what another process has just written is not from the future.
        let now = self.clock.now();
        let mut due = false;
        for place in hand.open(By::Cache) {
            let freshness = self.rules.freshness_of(place.reference, ttl);
            let used = kept.judge(place.reference, freshness, now, Outcome::NotAsked);
            let Some(entry) = kept.find(place.reference) else { continue };
            if matches!(used, Use::Fresh | Use::Refresh) {
                place.answer = Some(Answer {
                    secret: Ok(entry.secret()),
                    age: age(now, entry.fetched_at),
                    ..Answer::new(place.reference, From::Cache)
                });
                due |= used == Use::Refresh;
            }
        }
        hand.due |= due;
    }

    /// Asks for what is still open.
    async fn fill(&self, hand: &mut Hand<'_>, ask: &Ask<'_>) {
        if let Some(CacheProblem::NoKey(why)) = &hand.problem {
            let why = why.clone();
            for place in hand.open(By::Cache) {
                let error = why.error(place.reference);
                place.answer = Some(Answer::failed(place.reference, From::Cache, error));
            }
        }
        if !hand.is_open() {
            return;
        }
        let resolver = match (self.resolver)() {
            Ok(resolver) => resolver,
            Err(error) => {
                let kept = self.existing().ok().flatten();
                let kept = kept.and_then(|dir| self.cache.read(&dir).ok()).unwrap_or_default();
                return self.close_as(hand, &kept, ask.ttl, |_| error.clone());
            }
        };
        for place in hand.places.iter_mut().filter(|place| place.answer.is_none()) {
            if let Err(error) = resolver.permits(place.reference, ask.purpose) {
                place.answer = Some(Answer::failed(place.reference, place.by.from(), error));
            }
        }
        self.fill_here(hand, &resolver).await;
        if hand.places.iter().any(|place| place.is_open(By::Provider)) {
            self.fill_direct(hand, &resolver).await;
        }
        if hand.places.iter().any(|place| place.is_open(By::Cache)) {
            self.fill_cached(hand, ask, &resolver).await;
        }
    }

    /// What is on this machine.
    async fn fill_here(&self, hand: &mut Hand<'_>, resolver: &Resolver) {
        let refs: Vec<SecretRef> = hand.open(By::Here).map(|p| p.reference.clone()).collect();
        if refs.is_empty() {
            return;
        }
        let answers = tokio::time::timeout(self.waits.cold, resolver.resolve(&refs)).await;
        let mut answers = answers.unwrap_or_default().into_iter();
        for place in hand.open(By::Here) {
            let late = || Err(ResolveError::unreachable(place.reference.scheme(), SLOW));
            let secret = answers.next().unwrap_or_else(late);
            place.answer = Some(Answer { secret, ..Answer::new(place.reference, From::Local) });
        }
    }

    /// What is never kept. What was tried is: a loop of starts must not lock an account.
    async fn fill_direct(&self, hand: &mut Hand<'_>, resolver: &Resolver) {
        let dir = SecureDir::create(&self.dir).ok();
        let mut attempts = dir.as_ref().map(Attempts::load).unwrap_or_default();
        let questions = hand.open(By::Provider).map(|place| Question {
            reference: place.reference.clone(),
            ttl: Duration::ZERO,
            needed: true,
        });
        let round = Round {
            questions: questions.collect(),
            quick: self.waits.cold,
            late: self.waits.cold,
            how: None,
        };
        let mut round = self.ask(resolver, dir.as_ref(), &mut attempts, round).await;
        if let Some(dir) = &dir {
            attempts.save(dir);
        }
        hand.asked.append(&mut round.asked);
        for place in hand.open(By::Provider) {
            let secret = round.answer(place.reference);
            place.answer = Some(Answer { secret, ..Answer::new(place.reference, From::Provider) });
        }
    }

    /// What the cache did not have: by this process, or by another one that is at it.
    async fn fill_cached(&self, hand: &mut Hand<'_>, ask: &Ask<'_>, resolver: &Resolver) {
        let started = tokio::time::Instant::now();
        let began = self.clock.now();
        let dir = self.directory(&mut hand.problem);
        let mut attempts = dir.as_ref().map(Attempts::load).unwrap_or_default();
        let mut kept = self.reread(dir.as_ref(), &mut hand.problem, false);
        self.serve(hand, &kept, ask.ttl);

        let now = self.clock.now();
        let open: Vec<SecretRef> = hand.open(By::Cache).map(|p| p.reference.clone()).collect();
        let held = |reference: &SecretRef| attempts.held(reference, now, &self.fingerprint);
        if open.iter().all(|reference| held(reference).is_some()) {
            let error = |reference: &SecretRef| held(reference).unwrap_or_else(|| slow(reference));
            return self.close_as(hand, &kept, ask.ttl, error);
        }
        let stands = |reference: &SecretRef| {
            let freshness = self.rules.freshness_of(reference, ask.ttl);
            kept.judge(reference, freshness, now, Outcome::Unreachable) == Use::Stale
        };
        let limit = if open.iter().all(stands) { self.waits.stale } else { self.waits.cold };
        let flight = match &dir {
            Some(dir) => Flight::board(dir, started + limit).await,
            None => Flight::Alone,
        };
        if matches!(flight, Flight::Missed) {
            hand.due = true;
            let busy = |reference: &SecretRef| ResolveError::unreachable(reference.scheme(), BUSY);
            return self.close_as(hand, &kept, ask.ttl, busy);
        }
        if flight.is_locked() {
            kept = self.reread(dir.as_ref(), &mut hand.problem, true);
            self.serve(hand, &kept, ask.ttl);
            attempts = dir.as_ref().map(Attempts::load).unwrap_or_default();
        } else if let (Some(problem), Some(dir)) = (&mut hand.problem, &dir) {
            Cache::set_aside(dir, problem);
        }
        if flight.has_waited() {
            // What another one was told while we waited is our answer as well.
            self.close_told(hand, &kept, ask.ttl, &attempts, began);
        }
        if hand.open(By::Cache).next().is_none() {
            return;
        }

        let questions = self.questions(hand, ask, &kept);
        let quick = started + self.waits.stale;
        let late = (started + limit).max(tokio::time::Instant::now() + limit / 3);
        let now = tokio::time::Instant::now();
        let round = Round { questions, quick: quick - now, late: late - now, how: None };
        let mut round = self.ask(resolver, dir.as_ref(), &mut attempts, round).await;
        self.keep(dir.as_ref(), &kept, &mut round, &mut attempts, &mut hand.problem, &flight);
        drop(flight);
        hand.due |= round.cut_off;
        hand.asked.append(&mut round.asked);

        let now = self.clock.now();
        for place in hand.open(By::Cache) {
            match round.answer(place.reference) {
                Ok(secret) => {
                    let answer = Answer::new(place.reference, From::Provider);
                    place.answer = Some(Answer { secret: Ok(secret), ..answer });
                }
                Err(error) => {
                    place.answer = Some(self.settle(place.reference, &kept, ask.ttl, now, error));
                }
            }
        }
    }

    /// What is asked for in one batch: what is wanted, and of the rest what is not fresh.
    fn questions(&self, hand: &mut Hand<'_>, ask: &Ask<'_>, kept: &Kept) -> Vec<Question> {
        let now = self.clock.now();
        let stale = |reference: &SecretRef, ttl| {
            let freshness = self.rules.freshness_of(reference, ttl);
            kept.judge(reference, freshness, now, Outcome::Unreachable) == Use::Stale
        };
        let mut questions: Vec<Question> = hand
            .open(By::Cache)
            .map(|place| Question {
                reference: place.reference.clone(),
                ttl: self.rules.freshness_of(place.reference, ask.ttl).ttl,
                needed: !stale(place.reference, ask.ttl),
            })
            .collect();
        let mut also = (ask.also)();
        also.sort_unstable();
        also.dedup();
        for reference in also.into_iter().filter(|reference| !is_here(reference)) {
            let freshness = self.rules.freshness_of(&reference, None);
            let fresh = kept.judge(&reference, freshness, now, Outcome::NotAsked) != Use::Expired;
            if !fresh && !ask.wanted.contains(&reference) {
                questions.push(Question { reference, ttl: freshness.ttl, needed: false });
            }
        }
        questions
    }

    /// Answers what another process was told since `began`.
    fn close_told(
        &self,
        hand: &mut Hand<'_>,
        kept: &Kept,
        ttl: Option<Duration>,
        attempts: &Attempts,
        began: SystemTime,
    ) {
        let now = self.clock.now();
        for place in hand.open(By::Cache) {
            if let Some(error) = attempts.since(place.reference, began, now) {
                place.answer = Some(self.settle(place.reference, kept, ttl, now, error));
            }
        }
    }

    /// Answers everything that is open in the cache by what `error` says, or by what is stale.
    fn close_as(
        &self,
        hand: &mut Hand<'_>,
        kept: &Kept,
        ttl: Option<Duration>,
        error: impl Fn(&SecretRef) -> ResolveError,
    ) {
        let now = self.clock.now();
        for place in hand.places.iter_mut().filter(|place| place.answer.is_none()) {
            let error = error(place.reference);
            place.answer = Some(match place.by {
                By::Cache => self.settle(place.reference, kept, ttl, now, error),
                By::Here | By::Provider => Answer::failed(place.reference, place.by.from(), error),
            });
        }
    }

    fn close(&self, hand: &mut Hand<'_>, kept: &Kept, error: impl Fn(&str) -> ResolveError) {
        self.close_as(hand, kept, None, |reference| error(reference.scheme()));
    }

    /// The answer for a reference that gave an error: what was kept, if the error says nothing about
    /// the secret, and the error otherwise.
    fn settle(
        &self,
        reference: &SecretRef,
        kept: &Kept,
        ttl: Option<Duration>,
        now: SystemTime,
        error: ResolveError,
    ) -> Answer {
        let outcome = if error.is_transient() { Outcome::Unreachable } else { Outcome::Refused };
        let freshness = self.rules.freshness_of(reference, ttl);
        let used = kept.judge(reference, freshness, now, outcome);
        match (kept.find(reference), used) {
            (Some(entry), Use::Stale | Use::Fresh | Use::Refresh) => Answer {
                secret: Ok(entry.secret()),
                age: age(now, entry.fetched_at),
                why: Some(error),
                silent: freshness.policy == StalePolicy::Silent,
                ..Answer::new(reference, if used == Use::Stale { From::Stale } else { From::Cache })
            },
            _ => Answer::failed(reference, From::Provider, error),
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
        self.cache.read(dir).unwrap_or_else(|mut found| {
            if set_aside {
                Cache::set_aside(dir, &mut found);
            }
            *problem = Some(found);
            Kept::default()
        })
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

/// The answers as they come together.
struct Hand<'a> {
    places: Vec<Place<'a>>,
    due: bool,
    problem: Option<CacheProblem>,
    asked: Vec<Asked>,
}

struct Place<'a> {
    reference: &'a SecretRef,
    by: By,
    answer: Option<Answer>,
}

/// Who answers for a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The cache, and the provider where it does not do.
    Cache,
    /// The provider, always.
    Provider,
    /// This machine.
    Here,
}

impl By {
    fn from(self) -> From {
        if self == Self::Here { From::Local } else { From::Provider }
    }
}

impl Place<'_> {
    fn is_open(&self, by: By) -> bool {
        self.by == by && self.answer.is_none()
    }
}

impl<'a> Hand<'a> {
    fn new(wanted: &'a [SecretRef], delivery: Delivery) -> Self {
        let mut places: Vec<Place<'a>> = Vec::with_capacity(wanted.len());
        for reference in wanted {
            if places.iter().all(|place| place.reference != reference) {
                let by = match delivery {
                    _ if is_here(reference) => By::Here,
                    Delivery::Runtime => By::Provider,
                    Delivery::Cached | Delivery::EnvFile => By::Cache,
                };
                places.push(Place { reference, by, answer: None });
            }
        }
        Self { places, due: false, problem: None, asked: Vec::new() }
    }

    fn is_open(&self) -> bool {
        self.places.iter().any(|place| place.answer.is_none())
    }

    fn open(&mut self, by: By) -> impl Iterator<Item = &mut Place<'a>> {
        self.places.iter_mut().filter(move |place| place.is_open(by))
    }

    fn taken(self) -> Taken {
        Taken {
            answers: self.places.into_iter().filter_map(|place| place.answer).collect(),
            refresh_due: self.due,
            problem: self.problem,
            asked: self.asked,
        }
    }
}

impl Answer {
    fn new(reference: &SecretRef, from: From) -> Self {
        let secret = Err(slow(reference));
        let reference = reference.clone();
        Self { reference, secret, from, age: Duration::ZERO, why: None, silent: false }
    }

    fn failed(reference: &SecretRef, from: From, error: ResolveError) -> Self {
        Self { secret: Err(error), ..Self::new(reference, from) }
    }
}

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
