//! The broker's side: questions are opened, waited for and used.

use std::time::SystemTime;

use strongroom_model::approval::{
    ACCESS_PATIENCE, Answer, By, Entry, Grant, LONGEST_SESSION, MOST_ACCESS, MOST_OPEN, Opened,
    PATIENCE, Question, Scope, State, Taken,
};
use strongroom_model::ports::{Approvals, ApprovalsError, Asking, BoxFuture};
use strongroom_model::principal::Name;
use strongroom_model::team::{TenantCtx, TenantId};

use super::super::database::{Tx, micros, time};
use super::super::{Team, TeamError, TenantStore};
use super::grants::{self, Tags};
use super::keys::Keys;
use super::record::Record;
use super::rows::{self, Stored};
use super::{MOST_OPEN_OF_TENANT, grant_id, turn};
use crate::approvals::draw;

/// The questions and grants of one tenant, for its broker.
pub struct TenantApprovals {
    team: Team,
    ctx: TenantCtx,
}

/// How often opening a question begins anew while the tenant's key is rotated.
const TRIES: usize = 4;

impl Team {
    /// The questions and grants of the tenant of `ctx`.
    pub fn approvals(&self, ctx: &TenantCtx) -> TenantApprovals {
        TenantApprovals { team: self.clone(), ctx: *ctx }
    }
}

impl TenantApprovals {
    fn store(&self) -> TenantStore<'_> {
        self.team.tenant(&self.ctx)
    }

    async fn find_or_open(&self, question: &Question) -> Result<Opened, TeamError> {
        let (store, tenant, now) = (self.store(), self.ctx.tenant, self.team.now());
        let digest = self.team.approval_digest(tenant, question);
        let (keys, asked) = (store.approval_keys().await?, Asked::new(question, digest));
        // Who asks again and again writes nothing.
        let again = asked.clone();
        let found = store
            .read(move |tx| Box::pin(async move { found(tx, tenant, &keys, &again, now).await }))
            .await?;
        if let Some(found) = found {
            return Ok(found);
        }
        for _ in 0..TRIES {
            let (keys, key_id) = store.approval_keys_to_seal().await?;
            let asked = asked.clone();
            let opened = store.write(move |tx| {
                Box::pin(async move { open(tx, tenant, (&keys, key_id), &asked, now).await })
            });
            match opened.await {
                // The key has just been destroyed.
                Err(TeamError::NotFound) => (),
                other => return other,
            }
        }
        Err(TeamError::NotFound)
    }

    async fn use_up(
        &self,
        id: &str,
        question: &Question,
        session: bool,
    ) -> Result<Option<Taken>, TeamError> {
        let (store, now) = (self.store(), self.team.now());
        let (keys, tags, id) = (store.approval_keys().await?, store.tags(), id.to_owned());
        let question = question.clone();
        store
            .write(move |tx| {
                Box::pin(async move { take(tx, &keys, &tags, &id, &question, session, now).await })
            })
            .await
    }

    async fn take_back(&self, id: &str) -> Result<bool, TeamError> {
        let (store, tenant, now) = (self.store(), self.ctx.tenant, self.team.now());
        let (keys, id) = (store.approval_keys().await?, id.to_owned());
        store
            .write(move |tx| {
                Box::pin(async move {
                    let stored = rows::by_id(tx, tenant, &keys, &id).await?;
                    let Some(mut stored) = stored.filter(|one| one.state(now) == State::Open)
                    else {
                        return Ok(false);
                    };
                    stored.record.close(State::Withdrawn, now);
                    rows::replace(tx, tenant, &keys, &mut stored).await
                })
            })
            .await
    }
}

impl Approvals for TenantApprovals {
    /// The agent's client acts by the agent's key, so that its prompt would be the key's own yes.
    fn asking(&self) -> Asking {
        Asking::Others
    }

    fn granted<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Option<Grant>, ApprovalsError>> {
        let (tags, scope, now) = (self.store().tags(), scope.clone(), self.team.now());
        Box::pin(async move {
            let store = self.store();
            let found = store.read(move |tx| {
                Box::pin(async move { grants::covering(tx, &tags, &scope, now).await })
            });
            found.await.map_err(unkept)
        })
    }

    fn stands<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        let (tags, id, now) = (self.store().tags(), id.to_owned(), self.team.now());
        Box::pin(async move {
            let store = self.store();
            let found =
                store.read(move |tx| Box::pin(async move { grants::by_id(tx, &tags, &id).await }));
            let found = found.await.map_err(unkept)?;
            Ok(found.is_some_and(|grant| grants::stands(&grant, now)))
        })
    }

    fn open<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Opened, ApprovalsError>> {
        Box::pin(async move { self.find_or_open(question).await.map_err(unkept) })
    }

    fn state<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<State, ApprovalsError>> {
        Box::pin(async move {
            let found = self.store().approval(id).await.map_err(unkept)?;
            Ok(found.map_or(State::Expired, |found| found.entry.state))
        })
    }

    fn version(&self) -> Result<u64, ApprovalsError> {
        Ok(self.team.inner.feed.number(self.ctx.tenant))
    }

    fn answer<'a>(
        &'a self,
        _: &'a str,
        _: &'a Name,
        _: Answer,
        _: By,
    ) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(async { Ok(false) })
    }

    fn take<'a>(
        &'a self,
        id: &'a str,
        question: &'a Question,
        session: bool,
    ) -> BoxFuture<'a, Result<Option<Taken>, ApprovalsError>> {
        Box::pin(async move { self.use_up(id, question, session).await.map_err(unkept) })
    }

    fn withdraw<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(async move { self.take_back(id).await.map_err(unkept) })
    }

    fn lapse(&self) -> BoxFuture<'_, Result<Vec<Entry>, ApprovalsError>> {
        Box::pin(async move { self.store().lapse_approvals().await.map_err(unkept) })
    }

    fn grants<'a>(
        &'a self,
        principal: &'a Name,
        sessions: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Grant>, ApprovalsError>> {
        let (tags, now) = (self.store().tags(), self.team.now());
        let who = principal.to_string();
        Box::pin(async move {
            let store = self.store();
            let found = store
                .read(move |tx| Box::pin(async move { grants::of(tx, &tags, &who, now).await }));
            let mut grants = found.await.map_err(unkept)?;
            grants.retain(|grant| !grant.is_for_session() || sessions.contains(&grant.id));
            Ok(grants)
        })
    }
}

/// A question, and the tag that it is found by.
#[derive(Clone)]
struct Asked {
    question: Question,
    digest: Vec<u8>,
}

impl Asked {
    fn new(question: &Question, digest: Vec<u8>) -> Self {
        Self { question: question.clone(), digest }
    }
}

/// The question where it is open, or has an answer that is good.
async fn found(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &Keys,
    asked: &Asked,
    now: SystemTime,
) -> Result<Option<Opened>, TeamError> {
    let same = rows::by_digest(tx, tenant, keys, &asked.question, asked.digest.clone()).await?;
    let opened = same.into_iter().find_map(|stored| match stored.state(now) {
        State::Open => Some(Opened::Asked { id: stored.id, new: false }),
        State::Approved => Some(Opened::Approved(stored.id)),
        State::Denied if stored.record.is_no(now) => Some(Opened::Denied(stored.id)),
        State::Denied | State::Used | State::Withdrawn | State::Expired => None,
    });
    Ok(opened)
}

/// Opens a question, or finds it.
async fn open(
    tx: &mut Tx,
    tenant: TenantId,
    (keys, key_id): (&Keys, String),
    asked: &Asked,
    now: SystemTime,
) -> Result<Opened, TeamError> {
    turn(tx, tenant).await?;
    if let Some(found) = found(tx, tenant, keys, asked, now).await? {
        return Ok(found);
    }
    let question = &asked.question;
    let principal = question.principal.as_str();
    let (of_tenant, own) = rows::open(tx, tenant, principal, now).await?;
    let most = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
    let too_many = if question.access {
        let since = now.checked_sub(ACCESS_PATIENCE).unwrap_or(SystemTime::UNIX_EPOCH);
        rows::asked_since(tx, tenant, principal, since).await? >= most(MOST_ACCESS)
    } else {
        own >= most(MOST_OPEN)
    };
    if too_many || of_tenant >= MOST_OPEN_OF_TENANT {
        return Ok(Opened::TooMany);
    }
    rows::prune(tx, tenant, now).await?;
    let patience = if question.access { ACCESS_PATIENCE } else { PATIENCE };
    let stored = Stored {
        id: format!("a-{}", draw()?),
        key_id,
        digest: asked.digest.clone(),
        version: 1,
        record: Record::new(question.clone(), now, now + patience),
    };
    rows::insert(tx, tenant, keys, &stored).await?;
    Ok(Opened::Asked { id: stored.id, new: true })
}

/// Uses a yes.
async fn take(
    tx: &mut Tx,
    keys: &Keys,
    tags: &Tags,
    id: &str,
    question: &Question,
    session: bool,
    now: SystemTime,
) -> Result<Option<Taken>, TeamError> {
    let Some(mut stored) = rows::by_id(tx, tags.tenant, keys, id).await? else { return Ok(None) };
    let entry = stored.entry(now);
    let same = entry.question.digest() == question.digest();
    let (State::Approved, true, Some(by)) = (entry.state, same, entry.by) else {
        return Ok(None);
    };
    let answer = stored.record.answer.as_deref().and_then(Answer::parse);
    stored.record.close(State::Used, now);
    if !rows::replace(tx, tags.tenant, keys, &mut stored).await? {
        return Ok(None);
    }
    let grant = match (answer, entry.question.scope()) {
        (Some(Answer::Session), Some(scope)) if session => {
            let lasts = entry.question.ttl().unwrap_or(LONGEST_SESSION).min(LONGEST_SESSION);
            let (id, lapses) = (grant_id(&entry.id, "s-"), time(micros(now + lasts)));
            let grant = Grant { id, scope, by, created: now, lapses };
            grants::put(tx, tags, &grant, now).await?;
            Some(grant)
        }
        (Some(Answer::For(_)), Some(_)) => {
            grants::by_id(tx, tags, &grant_id(&entry.id, "g-")).await?
        }
        _ => None,
    };
    Ok(Some(Taken { by, grant }))
}

fn unkept(error: TeamError) -> ApprovalsError {
    ApprovalsError(Box::new(error))
}
