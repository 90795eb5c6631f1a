//! Asking: every provider at the same time, again where it stumbles, and no longer than is left.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use strongroom_model::ports::{BoxFuture, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use tokio::time::{Instant, sleep, sleep_until};

use super::round::Question;
use crate::Resolver;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a provider, where nothing can stand in.
    pub cold: Duration,
    /// For a provider, where what was kept can stand in.
    pub stale: Duration,
    /// Before the second and the third attempt, by the number of attempts so far.
    pub retry: fn(u32) -> Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { cold: Duration::from_secs(15), stale: Duration::from_secs(1), retry: jittered }
    }
}

pub(super) type Answers = Vec<Result<Secret, ResolveError>>;

/// What one provider is asked, and what it said; nothing, if it was not waited for.
pub(super) struct Batch {
    pub(super) scheme: String,
    pub(super) refs: Vec<SecretRef>,
    pub(super) answers: Option<Answers>,
}

const ATTEMPTS: u32 = 3;

/// Asks every provider that `questions` are about, each once, all at the same time.
///
/// Ends when all have answered; at `quick` if only those are missing of which nothing is needed; at
/// `late` in any case. What has not answered then is dropped.
pub(super) async fn gather(
    resolver: &Resolver,
    questions: &[Question],
    quick: Instant,
    late: Instant,
    retry: fn(u32) -> Duration,
) -> Vec<Batch> {
    let mut schemes: BTreeMap<&str, (Vec<SecretRef>, bool)> = BTreeMap::new();
    for question in questions {
        let (refs, needed) = schemes.entry(question.reference.scheme()).or_default();
        refs.push(question.reference.clone());
        *needed |= question.needed;
    }
    let needed: Vec<bool> = schemes.values().map(|(_, needed)| *needed).collect();
    let mut batches: Vec<Batch> = schemes
        .into_iter()
        .map(|(scheme, (refs, _))| Batch { scheme: scheme.to_owned(), refs, answers: None })
        .collect();
    let questions: Vec<Vec<SecretRef>> = batches.iter().map(|batch| batch.refs.clone()).collect();
    let mut asked: Vec<BoxFuture<'_, Answers>> = questions
        .iter()
        .map(|refs| -> BoxFuture<'_, Answers> { Box::pin(patiently(resolver, refs, retry)) })
        .collect();
    let (mut quick, mut late) = (pin!(sleep_until(quick)), pin!(sleep_until(late)));
    poll_fn(|context| {
        for (asked, batch) in asked.iter_mut().zip(&mut batches) {
            if batch.answers.is_none()
                && let Poll::Ready(answers) = asked.as_mut().poll(context)
            {
                batch.answers = Some(answers);
            }
        }
        let open = |(batch, _): &(&Batch, &bool)| batch.answers.is_none();
        let all = batches.iter().zip(&needed).filter(open).count() == 0;
        let enough = batches.iter().zip(&needed).filter(open).all(|(_, needed)| !needed);
        let over = late.as_mut().poll(context).is_ready();
        // Polled in any case, so that it wakes us.
        let soon = quick.as_mut().poll(context).is_ready();
        if all || over || (soon && enough) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    batches
}

/// Asks again where a whole batch met a provider that cannot be reached. One that asks to be left
/// alone is, and one that is locked or missing does not change in a moment.
async fn patiently(resolver: &Resolver, refs: &[SecretRef], retry: fn(u32) -> Duration) -> Answers {
    let stumbled = |answer: &Result<Secret, ResolveError>| {
        matches!(answer, Err(ResolveError::Unreachable { .. }))
    };
    let mut attempts = 0;
    loop {
        let answers = resolver.resolve(refs).await;
        attempts += 1;
        if attempts == ATTEMPTS || !answers.iter().all(stumbled) {
            return answers;
        }
        sleep(retry(attempts)).await;
    }
}

/// 100 to 200 ms, then 200 to 400 ms: a random half, so that many do not come back together.
fn jittered(attempts: u32) -> Duration {
    let mut byte = [0];
    // Without randomness there is still a pause.
    let random = strongroom_seal::random(&mut byte).map_or(128, |()| byte[0]);
    let base = Duration::from_millis(100 << attempts.saturating_sub(1).min(4));
    base + base * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_never_the_same_for_many() {
        let millis = Duration::from_millis;
        for (attempts, shortest) in [(1, 100), (2, 200)] {
            let pauses: Vec<_> = (0..64).map(|_| jittered(attempts)).collect();
            let all = millis(shortest)..=millis(2 * shortest);
            assert!(pauses.iter().all(|pause| all.contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
    }
}
