//! Filling a hand: from the cache, from this machine, from the providers, and from the cache again.

use std::time::{Duration, SystemTime};

use strongroom_model::freshness::{Outcome, StalePolicy, Use};
use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_seal::SecureDir;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::flight::Flight;
use super::hand::{By, Hand};
use super::round::{Answered, Question, Round};
use super::{Answer, Ask, BUSY, From, SLOW, Supply, age, is_here, slow};
use crate::Resolver;
use crate::cache::{Cache, CacheProblem, Kept};

impl Supply {
    /// What can be had without asking anybody.
    pub(super) fn look<'a>(&self, ask: &Ask<'a>) -> Hand<'a> {
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
    pub(super) async fn fill(&self, hand: &mut Hand<'_>, ask: &Ask<'_>) {
        if hand.open(By::Cache).next().is_some()
            && let Err(CacheProblem::NoKey(why)) = self.cache.key()
        {
            for place in hand.open(By::Cache) {
                let error = why.error(place.reference);
                place.answer = Some(Answer::failed(place.reference, From::Cache, error));
            }
            hand.problem = Some(CacheProblem::NoKey(why));
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
        let started = Instant::now();
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
        // Who has waited for the lock still gives the providers a moment.
        let left = |limit: Duration| limit.saturating_sub(started.elapsed()).max(limit / 3);
        let (quick, late) = (left(self.waits.stale), left(limit));
        let round = Round { questions, quick, late, how: None };
        let mut round = self.ask(resolver, dir.as_ref(), &mut attempts, round).await;
        self.keep(dir.as_ref(), &kept, &mut round, &mut attempts, &mut hand.problem, &flight);
        drop(flight);
        hand.due |= round.cut_off;
        hand.asked.append(&mut round.asked);

        self.close_answered(hand, &kept, ask.ttl, &mut round);
    }

    /// Answers what was asked.
    fn close_answered(
        &self,
        hand: &mut Hand<'_>,
        kept: &Kept,
        ttl: Option<Duration>,
        round: &mut Answered,
    ) {
        let now = self.clock.now();
        for place in hand.open(By::Cache) {
            match round.answer(place.reference) {
                Ok(secret) => {
                    let answer = Answer::new(place.reference, From::Provider);
                    place.answer = Some(Answer { secret: Ok(secret), ..answer });
                }
                Err(error) => {
                    place.answer = Some(self.settle(place.reference, kept, ttl, now, error));
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

    pub(super) fn close(
        &self,
        hand: &mut Hand<'_>,
        kept: &Kept,
        error: impl Fn(&str) -> ResolveError,
    ) {
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
}
