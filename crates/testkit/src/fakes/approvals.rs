//! Questions and grants in memory, answered when a test says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_model::approval::{
    ACCESS_PATIENCE, Answer, By, Entry, Grant, LONGEST_SESSION, MOST_OPEN, Opened, PATIENCE,
    Question, Scope, State, Taken,
};
use strongroom_model::ports::{ApprovalsAtOnce, ApprovalsError, Asking, BoxFuture, Clock};
use strongroom_model::principal::Name;

use super::lock;

/// Keeps what a store keeps, for one process.
pub struct MemoryApprovals {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    version: AtomicU64,
    fails: AtomicBool,
    others: AtomicBool,
}

#[derive(Default)]
struct Inner {
    entries: Vec<(Entry, Option<Answer>)>,
    grants: Vec<Grant>,
}

impl MemoryApprovals {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            inner: Mutex::default(),
            version: AtomicU64::default(),
            fails: AtomicBool::default(),
            others: AtomicBool::default(),
        }
    }

    /// Every question so far.
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.inner).entries.iter().map(|(entry, _)| entry.clone()).collect()
    }

    /// A person at the terminal answers the question `id`.
    pub fn answer_at_terminal(&self, id: &str, answer: Answer) -> bool {
        self.settle(id, None, answer, By::Cli)
    }

    /// Takes every grant back.
    pub fn revoke_all(&self) {
        lock(&self.inner).grants.clear();
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether nothing can be read or kept from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// From now on others than the one who asks answer, as in a team.
    pub fn ask_others(&self) {
        self.others.store(true, Ordering::SeqCst);
    }

    fn works(&self) -> Result<(), ApprovalsError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(ApprovalsError("the disk is full".into()));
        }
        Ok(())
    }

    fn settle(&self, id: &str, principal: Option<&Name>, answer: Answer, by: By) -> bool {
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let Inner { entries, grants } = &mut *inner;
        let open = entries.iter_mut().find(|(entry, _)| {
            let owned = principal.is_none_or(|name| *name == entry.question.principal);
            let yes = answer != Answer::Deny;
            let weak = by == By::Elicitation && entry.question.outside && yes;
            entry.id == id && entry.state == State::Open && now < entry.expires && owned && !weak
        });
        let Some((entry, answered)) = open else { return false };
        let answer = answer.within(entry.question.ttl());
        entry.state = if answer == Answer::Deny { State::Denied } else { State::Approved };
        entry.expires = now + PATIENCE;
        entry.by = Some(by);
        *answered = Some(answer);
        if let (Answer::For(time), Some(scope)) = (answer, entry.question.scope()) {
            let id = entry.id.replace("a-", "g-");
            grants.push(Grant { id, scope, by, created: now, lapses: now + time });
        }
        self.version.fetch_add(1, Ordering::SeqCst);
        true
    }
}

impl ApprovalsAtOnce for MemoryApprovals {
    fn asking(&self) -> Asking {
        if self.others.load(Ordering::SeqCst) { Asking::Others } else { Asking::Machine }
    }

    fn granted(&self, scope: &Scope) -> Result<Option<Grant>, ApprovalsError> {
        self.works()?;
        let now = self.clock.now();
        let inner = lock(&self.inner);
        let stands =
            |grant: &&Grant| grant.scope == *scope && grant.stands(now) && !grant.is_for_session();
        Ok(inner.grants.iter().find(stands).cloned())
    }

    fn stands(&self, id: &str) -> Result<bool, ApprovalsError> {
        self.works()?;
        let now = self.clock.now();
        Ok(lock(&self.inner).grants.iter().any(|grant| grant.id == id && grant.stands(now)))
    }

    fn open(&self, question: &Question) -> Result<Opened, ApprovalsError> {
        self.works()?;
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let same =
            inner.entries.iter().rev().find(|(entry, _)| {
                entry.question.digest() == question.digest() && now < entry.expires
            });
        if let Some((entry, _)) = same {
            match entry.state {
                State::Open => return Ok(Opened::Asked { id: entry.id.clone(), new: false }),
                State::Approved => return Ok(Opened::Approved(entry.id.clone())),
                State::Denied => return Ok(Opened::Denied(entry.id.clone())),
                State::Used | State::Withdrawn | State::Expired => {}
            }
        }
        let of_owner = |entry: &Entry| entry.question.principal == question.principal;
        let open = inner.entries.iter().filter(|(entry, _)| {
            entry.state == State::Open && now < entry.expires && of_owner(entry)
        });
        if open.count() >= MOST_OPEN {
            return Ok(Opened::TooMany);
        }
        let id = format!("a-{:08}", inner.entries.len() + 1);
        let patience = if question.access { ACCESS_PATIENCE } else { PATIENCE };
        let entry = Entry {
            id: id.clone(),
            question: question.clone(),
            state: State::Open,
            opened: now,
            expires: now + patience,
            by: None,
        };
        inner.entries.push((entry, None));
        self.version.fetch_add(1, Ordering::SeqCst);
        Ok(Opened::Asked { id, new: true })
    }

    fn state(&self, id: &str) -> Result<State, ApprovalsError> {
        self.works()?;
        let inner = lock(&self.inner);
        let entry = inner.entries.iter().find(|(entry, _)| entry.id == id);
        Ok(entry.map_or(State::Expired, |(entry, _)| entry.state))
    }

    fn version(&self) -> Result<u64, ApprovalsError> {
        self.works()?;
        Ok(self.version.load(Ordering::SeqCst))
    }

    fn answer(
        &self,
        id: &str,
        principal: &Name,
        answer: Answer,
        by: By,
    ) -> Result<bool, ApprovalsError> {
        self.works()?;
        Ok(self.settle(id, Some(principal), answer, by))
    }

    fn take(
        &self,
        id: &str,
        question: &Question,
        session: bool,
    ) -> Result<Option<Taken>, ApprovalsError> {
        self.works()?;
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let Inner { entries, grants } = &mut *inner;
        let yes = entries.iter_mut().find(|(entry, _)| {
            entry.id == id
                && entry.state == State::Approved
                && now < entry.expires
                && entry.question.digest() == question.digest()
        });
        let Some((entry, answer)) = yes else { return Ok(None) };
        entry.state = State::Used;
        let Some(by) = entry.by else { return Ok(None) };
        let grant = match (answer, entry.question.scope()) {
            (Some(Answer::Session), Some(scope)) if session => {
                let time = entry.question.ttl().unwrap_or(LONGEST_SESSION).min(LONGEST_SESSION);
                let id = entry.id.replace("a-", "s-");
                let grant = Grant { id, scope, by, created: now, lapses: now + time };
                grants.push(grant.clone());
                Some(grant)
            }
            (Some(Answer::For(_)), Some(scope)) => {
                grants.iter().find(|grant| grant.scope == scope).cloned()
            }
            _ => None,
        };
        Ok(Some(Taken { by, grant }))
    }

    fn withdraw(&self, id: &str) -> Result<bool, ApprovalsError> {
        self.works()?;
        let mut inner = lock(&self.inner);
        let open = inner.entries.iter_mut().find(|(e, _)| e.id == id && e.state == State::Open);
        let Some((entry, _)) = open else { return Ok(false) };
        entry.state = State::Withdrawn;
        self.version.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }

    fn lapse(&self) -> Result<Vec<Entry>, ApprovalsError> {
        self.works()?;
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        let over = inner
            .entries
            .iter_mut()
            .filter(|(entry, _)| entry.state == State::Open && entry.expires <= now);
        Ok(over
            .map(|(entry, _)| {
                entry.state = State::Expired;
                entry.clone()
            })
            .collect())
    }

    fn grants(&self, principal: &Name, sessions: &[String]) -> Result<Vec<Grant>, ApprovalsError> {
        self.works()?;
        let now = self.clock.now();
        let inner = lock(&self.inner);
        let mine = inner.grants.iter().filter(|grant| {
            grant.scope.principal == *principal
                && grant.stands(now)
                && (!grant.is_for_session() || sessions.contains(&grant.id))
        });
        Ok(mine.cloned().collect())
    }
}

/// A client whose user always gives the same answer.
pub struct FixedPrompt(pub strongroom_model::ports::Prompted);

impl strongroom_model::ports::Prompt for FixedPrompt {
    fn ask<'a>(
        &'a self,
        _id: &'a str,
        _question: &'a Question,
        _session: bool,
        _code: Option<&'a dyn strongroom_model::ports::Verification>,
    ) -> BoxFuture<'a, strongroom_model::ports::Prompted> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            self.0
        })
    }
}
