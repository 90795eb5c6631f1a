//! Fetching ahead, in the background or for a person.

use std::time::SystemTime;

use strongroom_model::freshness::{Outcome, Use};
use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::flight::Flight;
use super::round::{Question, Round, Told};
use super::{BUSY, Done, How, Refreshed, Supply, is_here};
use crate::cache::{CacheProblem, Kept};

impl Supply {
    /// [`refresh`](Self::refresh), within a runtime.
    pub async fn refreshed(&self, refs: &[SecretRef], how: How) -> Refreshed {
        let mut refreshed = Refreshed::default();
        let mut refs = refs.to_vec();
        refs.sort_unstable();
        refs.dedup();
        if how == How::Due {
            refs.retain(|reference| !is_here(reference));
        }
        if refs.is_empty() {
            return refreshed;
        }
        let fail = |refs: Vec<SecretRef>, error: &dyn Fn(&SecretRef) -> ResolveError| {
            let done = |reference: SecretRef| Done {
                outcome: Err(error(&reference)),
                reference,
                failures: 0,
            };
            refs.into_iter().map(done).collect::<Vec<_>>()
        };
        let began = self.clock.now();
        let dir = self.directory(&mut refreshed.problem);
        let before = self.reread(dir.as_ref(), &mut refreshed.problem, false);
        if refs.iter().any(|reference| !is_here(reference))
            && let Err(CacheProblem::NoKey(why)) = self.cache.key()
        {
            let (here, kept) = refs.into_iter().partition(is_here);
            refreshed.done = fail(kept, &|reference| why.error(reference));
            refreshed.problem = Some(CacheProblem::NoKey(why));
            refs = here;
        }
        if refs.is_empty() {
            return refreshed;
        }
        let flight = match &dir {
            Some(dir) => Flight::board(dir, Instant::now() + self.waits.cold).await,
            None => Flight::Alone,
        };
        if matches!(flight, Flight::Missed) {
            let busy = |reference: &SecretRef| ResolveError::unreachable(reference.scheme(), BUSY);
            refreshed.done = fail(refs, &busy);
            return refreshed;
        }
        let kept = self.reread(dir.as_ref(), &mut refreshed.problem, true);
        let mut attempts = dir.as_ref().map(Attempts::load).unwrap_or_default();
        let waited = flight.has_waited().then_some((began, before));
        let refs = self.select(refs, how, &kept, &attempts, waited.as_ref(), &mut refreshed);
        if refs.is_empty() {
            return refreshed;
        }
        let resolver = match (self.resolver)() {
            Ok(resolver) => resolver,
            Err(error) => {
                refreshed.done.extend(fail(refs, &|_| error.clone()));
                return refreshed;
            }
        };
        let questions = refs.iter().map(|reference| Question {
            reference: reference.clone(),
            ttl: self.rules.freshness_of(reference, None).ttl,
            needed: true,
        });
        let round = Round {
            questions: questions.collect(),
            quick: self.waits.cold,
            late: self.waits.cold,
            how: Some(how),
        };
        let mut answered = self.ask(&resolver, dir.as_ref(), &mut attempts, round).await;
        let here: Vec<(SecretRef, Told)> =
            answered.answers.extract_if(.., |reference, _| is_here(reference)).collect();
        let problem = &mut refreshed.problem;
        self.keep(dir.as_ref(), &kept, &mut answered, &mut attempts, problem, &flight);
        drop(flight);
        refreshed.asked = answered.asked;
        refreshed.done.extend(answered.answers.into_iter().chain(here).map(|(reference, told)| {
            Done {
                outcome: told.answer.map(drop),
                failures: attempts.failures(&reference),
                reference,
            }
        }));
        refreshed
    }

    /// What of `refs` is to be asked for. What another process did while we waited, since the time and
    /// the state in `waited`, is done.
    fn select(
        &self,
        refs: Vec<SecretRef>,
        how: How,
        kept: &Kept,
        attempts: &Attempts,
        waited: Option<&(SystemTime, Kept)>,
        refreshed: &mut Refreshed,
    ) -> Vec<SecretRef> {
        let now = self.clock.now();
        let mut rest = Vec::with_capacity(refs.len());
        for reference in refs {
            let failed = waited.and_then(|(began, _)| attempts.since(&reference, *began, now));
            if let Some(error) = failed {
                let failures = attempts.failures(&reference);
                refreshed.done.push(Done { reference, outcome: Err(error), failures });
                continue;
            }
            let freshness = self.rules.freshness_of(&reference, None);
            let used = kept.judge(&reference, freshness, now, Outcome::NotAsked);
            let when = |kept: &Kept| kept.find(&reference).map(|entry| entry.fetched_at);
            let changed = |(_, before): &(SystemTime, Kept)| when(before) != when(kept);
            if used != Use::Expired && waited.is_some_and(changed) {
                refreshed.done.push(Done { reference, outcome: Ok(()), failures: 0 });
                continue;
            }
            // The next run in the background may come three quarters of the TTL later: what will
            // have expired by then is due now.
            let then = now + freshness.ttl / 4 * 3;
            let next = kept.judge(&reference, freshness, then, Outcome::NotAsked);
            if how == How::Due && used == Use::Fresh && next != Use::Expired {
                refreshed.fresh += 1;
            } else {
                rest.push(reference);
            }
        }
        rest
    }
}
