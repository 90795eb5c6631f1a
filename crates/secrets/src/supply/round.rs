//! One round of questions: who is asked at all, what is learnt from it, and what is kept.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use strongroom_model::freshness::{Freshness, Outcome, StalePolicy, Use};
use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::SecureDir;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::flight::Flight;
use super::{Asked, How, Supply, ask, slow};
use crate::Resolver;
use crate::cache::{CacheProblem, Change, Entry, FILE, Kept};

/// What is asked for.
pub(super) struct Question {
    pub(super) reference: SecretRef,
    /// How long the answer will be good.
    pub(super) ttl: Duration,
    /// Whether nothing can be done without it.
    pub(super) needed: bool,
}

/// What is asked together.
pub(super) struct Round {
    pub(super) questions: Vec<Question>,
    /// How long to wait for what is not needed.
    pub(super) quick: Duration,
    /// How long to wait at most.
    pub(super) late: Duration,
    /// In a refresh: which.
    pub(super) how: Option<How>,
}

/// What came of it.
pub(super) struct Answered {
    pub(super) answers: BTreeMap<SecretRef, Told>,
    pub(super) asked: Vec<Asked>,
    /// Whether somebody has not answered yet who was not waited for.
    pub(super) cut_off: bool,
    at: SystemTime,
}

pub(super) struct Told {
    pub(super) answer: Result<Secret, ResolveError>,
    ttl: Duration,
    /// Whether the provider said it, just now.
    first_hand: bool,
}

impl Answered {
    /// Takes the answer for `reference` out.
    pub(super) fn answer(&mut self, reference: &SecretRef) -> Result<Secret, ResolveError> {
        self.answers.remove(reference).map_or_else(|| Err(slow(reference)), |told| told.answer)
    }
}

impl Supply {
    /// Asks, except for what is held back, and writes down in `attempts` what is learnt.
    pub(super) async fn ask(
        &self,
        resolver: &Resolver,
        dir: Option<&SecureDir>,
        attempts: &mut Attempts,
        round: Round,
    ) -> Answered {
        let at = self.clock.now();
        let mut answered =
            Answered { answers: BTreeMap::new(), asked: Vec::new(), cut_off: false, at };
        let ttls: BTreeMap<SecretRef, Duration> =
            round.questions.iter().map(|q| (q.reference.clone(), q.ttl)).collect();
        let mut questions = Vec::with_capacity(round.questions.len());
        for question in round.questions {
            let held = match round.how {
                Some(How::All) => attempts.held_from_people(&question.reference, at),
                Some(How::Due) | None => attempts.held(&question.reference, at, &self.fingerprint),
            };
            match held {
                Some(error) => {
                    let told = Told { answer: Err(error), ttl: Duration::ZERO, first_hand: false };
                    answered.answers.insert(question.reference, told);
                }
                None => questions.push(question),
            }
        }
        if questions.is_empty() {
            return answered;
        }
        let mut schemes: Vec<&str> = questions.iter().map(|q| q.reference.scheme()).collect();
        schemes.dedup();
        if attempts.claim(&schemes, at)
            && let Some(dir) = dir
        {
            // Others must see the probe before it is under way.
            attempts.save(dir);
        }

        let start = Instant::now();
        let (quick, late) = (start + round.quick, start + round.late);
        let batches = ask::gather(resolver, &questions, quick, late, self.waits.retry).await;
        let now = self.clock.now();
        for batch in batches {
            let in_time = batch.answers.is_some();
            // Whoever was not given the whole time has not failed yet.
            let over = in_time || Instant::now() >= start + self.waits.cold;
            answered.cut_off |= !over;
            let late = |reference: &SecretRef| Err(slow(reference));
            let answers = batch.answers.unwrap_or_else(|| batch.refs.iter().map(late).collect());
            attempts.note_batch(&batch.scheme, &answers, now, &self.fingerprint);
            answered.asked.push(Asked {
                scheme: batch.scheme,
                references: answers.len(),
                failed: answers.iter().filter(|answer| answer.is_err()).count(),
            });
            for (reference, answer) in batch.refs.into_iter().zip(answers) {
                if over {
                    let background = round.how == Some(How::Due);
                    attempts.note(&reference, answer.as_ref().err(), now, background);
                }
                let ttl = ttls.get(&reference).copied().unwrap_or_default();
                answered.answers.insert(reference, Told { answer, ttl, first_hand: in_time });
            }
        }
        answered
    }

    /// Writes what was learnt. What was refused is taken out, and so is what can never be used again.
    pub(super) fn keep(
        &self,
        dir: Option<&SecureDir>,
        kept: &Kept,
        answered: &mut Answered,
        attempts: &mut Attempts,
        problem: &mut Option<CacheProblem>,
        flight: &Flight,
    ) {
        let Some(dir) = dir else { return };
        if flight.is_locked() {
            sweep(dir);
        }
        attempts.save(dir);
        let changes: Vec<(&SecretRef, Change<'_>)> = answered
            .answers
            .iter()
            .filter(|(_, told)| told.first_hand)
            .filter_map(|(reference, told)| match &told.answer {
                Ok(value) => {
                    let (fetched_at, ttl) = (answered.at, told.ttl);
                    Some((reference, Change::Put { value, fetched_at, ttl }))
                }
                Err(error) if error.is_transient() => None,
                Err(_) => kept.find(reference).map(|_| (reference, Change::Remove)),
            })
            .collect();
        if changes.is_empty() {
            return;
        }
        let now = self.clock.now();
        let spent = |entry: &Entry<'_>| {
            let Ok(reference) = entry.reference.parse::<SecretRef>() else { return true };
            let freshness = self.rules.freshness_of(&reference, Some(entry.ttl));
            let freshness = Freshness { policy: StalePolicy::Warn, ..freshness };
            entry.judge(freshness, now, Outcome::Unreachable) == Use::Expired
        };
        match self.cache.write(dir, kept, &changes, now, &spent) {
            Ok(()) => {
                if let Some(CacheProblem::Damaged { healed, .. }) = problem {
                    *healed = true;
                }
            }
            Err(error) => {
                // Rather no cache than one that still has what was refused: a file can be removed
                // where there is no room for another.
                if changes.iter().any(|(_, change)| matches!(change, Change::Remove)) {
                    drop(dir.remove(FILE));
                }
                problem.get_or_insert(error);
            }
        }
    }
}

/// Removes what writers that were killed left behind. Only who has the lock may: nobody else writes.
fn sweep(dir: &SecureDir) {
    for name in dir.names().unwrap_or_default() {
        if name.starts_with(".secrets.") || name.starts_with(".attempts.") {
            drop(dir.remove(&name));
        }
    }
}
