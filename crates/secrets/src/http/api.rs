//! What the HTTP providers have in common: a token, one question for what lies together, and
//! one answer for each reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::several::several;
use super::{Failure, Http, Session};
use crate::providers::usable;

/// An API that is asked for one thing at a time, of which several references may be parts.
pub(crate) trait Api: Send + Sync {
    /// The scheme of the references that it answers.
    const SCHEME: &'static str;

    /// What one question asks for.
    type Key: Ord + Send + Sync;

    /// What is answered.
    type Found: Send;

    /// What is learnt while a batch is asked for, and forgotten with it.
    type Batch: Default + Send + Sync;

    /// How it is spoken to.
    fn http(&self) -> &Http;

    /// What has to be asked for `reference`.
    fn key(&self, reference: &SecretRef) -> Result<Self::Key, Failure>;

    /// The token of this batch. `anew`: the remembered one was refused.
    fn pass<'a>(&'a self, session: &'a Session, anew: bool)
    -> BoxFuture<'a, Result<Pass, Failure>>;

    /// Asks.
    fn ask<'a>(
        &'a self,
        session: &'a Session,
        with: (&'a Pass, &'a Self::Batch),
        key: &'a Self::Key,
    ) -> BoxFuture<'a, Result<Self::Found, Failure>>;

    /// The part of an answer that `reference` names.
    fn pick(&self, found: &Self::Found, reference: &SecretRef) -> Result<Secret, Failure>;
}

/// An API as a provider.
pub(crate) struct Remote<A>(pub A);

impl<A: Api> Provider for Remote<A> {
    fn scheme(&self) -> &str {
        A::SCHEME
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(answer(&self.0, refs))
    }
}

/// A token and what is known of it.
pub(crate) struct Pass {
    /// The token.
    pub token: Arc<Secret>,
    /// Whether it is of an earlier batch, so that it may have been taken away since.
    remembered: bool,
}

impl Pass {
    /// A token that is given to us, or that was just made.
    pub(crate) fn new(token: Arc<Secret>) -> Self {
        Self { token, remembered: false }
    }

    /// One of an earlier login.
    pub(crate) fn remembered(token: Arc<Secret>) -> Self {
        Self { token, remembered: true }
    }

    /// Whether it is of an earlier batch: where it is refused, a new one may not be.
    pub(crate) fn is_remembered(&self) -> bool {
        self.remembered
    }
}

/// Answers `refs`, in order: one question for each distinct key, several at the same time.
async fn answer<A: Api>(api: &A, refs: &[SecretRef]) -> Vec<Result<Secret, ResolveError>> {
    let keys: Vec<Result<A::Key, Failure>> =
        refs.iter().map(|reference| api.key(reference)).collect();
    let mut asked: BTreeMap<&A::Key, Result<A::Found, Failure>> = BTreeMap::new();
    let unasked = || Err(Failure::unreachable("it was not asked"));
    asked.extend(keys.iter().flatten().map(|key| (key, unasked())));
    if !asked.is_empty()
        && let Err(failure) = ask(api, &mut asked).await
    {
        for found in asked.values_mut() {
            *found = Err(failure.clone());
        }
    }
    let secret = |key: &Result<A::Key, Failure>, reference: &SecretRef| {
        let key = key.as_ref().map_err(Failure::clone)?;
        let found = asked.get(key).ok_or(Failure::NotFound)?;
        api.pick(found.as_ref().map_err(Failure::clone)?, reference)
    };
    let answer = |(key, reference)| match secret(key, reference) {
        Ok(secret) => usable(secret, reference),
        Err(failure) => Err(failure.of(reference)),
    };
    keys.iter().zip(refs).map(answer).collect()
}

/// Asks for every key; once more, with a new token, for those for which a remembered one is refused.
async fn ask<A: Api>(
    api: &A,
    asked: &mut BTreeMap<&A::Key, Result<A::Found, Failure>>,
) -> Result<(), Failure> {
    let session = api.http().session()?;
    let pass = api.pass(&session, false).await?;
    ask_with(api, &session, &pass, asked, |_| true).await;
    let refused = |found: &Result<A::Found, Failure>| matches!(found, Err(Failure::TokenRejected));
    if pass.remembered && asked.values().any(refused) {
        match api.pass(&session, true).await {
            Ok(pass) => ask_with(api, &session, &pass, asked, refused).await,
            Err(failure) => asked
                .values_mut()
                .filter(|found| refused(found))
                .for_each(|found| *found = Err(failure.clone())),
        }
    }
    Ok(())
}

async fn ask_with<A: Api>(
    api: &A,
    session: &Session,
    pass: &Pass,
    asked: &mut BTreeMap<&A::Key, Result<A::Found, Failure>>,
    which: impl Fn(&Result<A::Found, Failure>) -> bool,
) {
    let open: Vec<&A::Key> =
        asked.iter().filter(|(_, found)| which(found)).map(|(key, _)| *key).collect();
    let batch = A::Batch::default();
    let questions = open.iter().map(|key| api.ask(session, (pass, &batch), key)).collect();
    let found = several(questions).await;
    asked.extend(open.into_iter().zip(found));
}
