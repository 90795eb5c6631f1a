//! What people are asked and what they granted, in the vault's file: the same for every process.
//!
//! A row is believed only with its tag, which the tenant's key makes: what is written into the file by
//! others grants nothing. A row that was taken away grants nothing either. What a tag cannot show is an
//! earlier row put back: a yes that was used, or a grant that was revoked, within the time that stands in
//! it.
//!
//! The connection is one of its own, so that who waits for an answer holds up nobody's secrets.

mod rows;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use strongroom_model::approval::{
    ACCESS_PATIENCE, Answer, By, Entry, Grant, LONGEST_SESSION, MOST_ACCESS, MOST_OPEN, Opened,
    PATIENCE, Question, Scope, State, Taken,
};
use strongroom_model::ports::{ApprovalsAtOnce, ApprovalsError, Clock};
use strongroom_model::principal::Name;
use strongroom_seal::{MacKey, RandomError};

use crate::vault::{TENANT, VaultError, Version};
use rows::Row;
pub(crate) use rows::grant_of;

/// For how long a question that is settled is kept, to be looked at.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// Characters of an id that tell one from another: 40 bits.
const ID: usize = 8;
/// Without what is easily misread.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345679";

/// The questions and grants of one vault.
pub struct ApprovalStore {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    tell: Option<Box<Tell>>,
}

/// Is told of every question that is opened.
type Tell = dyn Fn(&Question) + Send + Sync;

struct Inner {
    db: Connection,
    key: MacKey,
    version: Version,
}

/// What answering a question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was answered; with a grant, where one was given that is a row.
    Done(Option<Grant>),
    /// There is no such question.
    Unknown,
    /// It is not open any more.
    NotOpen(State),
}

impl ApprovalStore {
    pub(crate) fn new(path: PathBuf, clock: Arc<dyn Clock>, db: Connection, key: MacKey) -> Self {
        Self {
            path,
            clock,
            inner: Mutex::new(Inner { db, key, version: Version::default() }),
            tell: None,
        }
    }

    /// The same, which tells of every question that it opens.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&Question) + Send + Sync + 'static) -> Self {
        Self { tell: Some(Box::new(tell)), ..self }
    }

    /// Every question that is kept, the newest first.
    pub fn list(&self) -> Result<Vec<Entry>, VaultError> {
        let now = ms(self.clock.now());
        self.read(|db, key| {
            let rows = rows::all(db)?;
            let genuine = rows.into_iter().filter(|row| row.is_genuine(key));
            Ok(genuine.filter_map(|row| row.entry(now)).collect())
        })
    }

    /// The question `id`.
    pub fn find(&self, id: &str) -> Result<Option<Entry>, VaultError> {
        let now = ms(self.clock.now());
        self.read(|db, key| {
            let row = rows::by_id(db, id)?.filter(|row| row.is_genuine(key));
            Ok(row.and_then(|row| row.entry(now)))
        })
    }

    /// Answers the question `id` for a person who was asked by `by`. A timed yes becomes a grant, no
    /// longer than the rule lets it be.
    pub fn settle(&self, id: &str, answer: Answer, by: By) -> Result<Settled, VaultError> {
        let now = self.clock.now();
        self.write(|transaction, key| settle(transaction, key, id, None, answer, by, now))
    }

    /// Every grant that stands now, by principal.
    pub fn all_grants(&self) -> Result<Vec<Grant>, VaultError> {
        let now = self.clock.now();
        self.read(|db, key| {
            let grants = rows::grants(db, key, ms(now))?;
            Ok(grants.into_iter().filter(|grant| grant.stands(now)).collect())
        })
    }

    /// Takes the grant `id` back, in every process; says whether there was one.
    pub fn revoke(&self, id: &str) -> Result<bool, VaultError> {
        self.write(|transaction, _| {
            let sql = "DELETE FROM grants WHERE id = ?1 AND tenant = ?2";
            Ok(transaction.execute(sql, [id, TENANT])? > 0)
        })
    }

    /// Takes every grant back; says how many there were.
    pub fn revoke_all(&self) -> Result<usize, VaultError> {
        self.write(|transaction, _| {
            Ok(transaction.execute("DELETE FROM grants WHERE tenant = ?1", [TENANT])?)
        })
    }

    fn read<T>(
        &self,
        act: impl FnOnce(&Connection, &MacKey) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let inner = self.inner();
        act(&inner.db, &inner.key).map_err(|error| error.at(&self.path))
    }

    fn write<T>(
        &self,
        act: impl FnOnce(&Transaction<'_>, &MacKey) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut inner = self.inner();
        let Inner { db, key, version } = &mut *inner;
        let run = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = act(&transaction, key)?;
            version.committing();
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|error: VaultError| error.at(&self.path))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApprovalsAtOnce for ApprovalStore {
    fn granted(&self, scope: &Scope) -> Result<Option<Grant>, ApprovalsError> {
        let now = self.clock.now();
        let found = self.read(|db, key| rows::grant_for(db, key, scope, now));
        found.map_err(unkept)
    }

    fn stands(&self, id: &str) -> Result<bool, ApprovalsError> {
        let now = self.clock.now();
        let found = self.read(|db, key| rows::grant_by_id(db, key, id));
        Ok(found.map_err(unkept)?.is_some_and(|grant| grant.stands(now)))
    }

    fn open(&self, question: &Question) -> Result<Opened, ApprovalsError> {
        let now = self.clock.now();
        let opened = self.write(|transaction, key| open(transaction, key, question, now));
        if let (Ok(Opened::Asked { new: true, .. }), Some(tell)) = (&opened, &self.tell) {
            tell(question);
        }
        opened.map_err(unkept)
    }

    fn state(&self, id: &str) -> Result<State, ApprovalsError> {
        let entry = self.find(id).map_err(unkept)?;
        Ok(entry.map_or(State::Expired, |entry| entry.state))
    }

    fn version(&self) -> Result<u64, ApprovalsError> {
        let Inner { db, version, .. } = &mut *self.inner();
        version.current(db).map_err(|error| unkept(VaultError::from(error).at(&self.path)))
    }

    fn answer(
        &self,
        id: &str,
        principal: &Name,
        answer: Answer,
        by: By,
    ) -> Result<bool, ApprovalsError> {
        let now = self.clock.now();
        let settled = self.write(|transaction, key| {
            settle(transaction, key, id, Some(principal), answer, by, now)
        });
        Ok(matches!(settled.map_err(unkept)?, Settled::Done(_)))
    }

    fn take(
        &self,
        id: &str,
        question: &Question,
        session: bool,
    ) -> Result<Option<Taken>, ApprovalsError> {
        let now = self.clock.now();
        let taken =
            self.write(|transaction, key| take(transaction, key, id, question, session, now));
        taken.map_err(unkept)
    }

    fn withdraw(&self, id: &str) -> Result<bool, ApprovalsError> {
        let now = ms(self.clock.now());
        let done = self.write(|transaction, key| {
            let Some(row) = rows::by_id(transaction, id)?.filter(|row| row.is_genuine(key)) else {
                return Ok(false);
            };
            rows::replace(transaction, key, &row.closed(State::Withdrawn, now)?, State::Open)
        });
        done.map_err(unkept)
    }

    fn lapse(&self) -> Result<Vec<Entry>, ApprovalsError> {
        let now = self.clock.now();
        let none = self.read(|db, _| Ok(rows::lapsed(db, ms(now))?.is_empty())).map_err(unkept)?;
        if none {
            return Ok(Vec::new());
        }
        self.write(|transaction, key| lapse(transaction, key, now)).map_err(unkept)
    }

    fn grants(&self, principal: &Name, sessions: &[String]) -> Result<Vec<Grant>, ApprovalsError> {
        let now = self.clock.now();
        let grants = self.read(|db, key| rows::grants_of(db, key, principal, now));
        let visible = |grant: &Grant| !grant.is_for_session() || sessions.contains(&grant.id);
        Ok(grants.map_err(unkept)?.into_iter().filter(visible).collect())
    }
}

/// Opens a question, or finds it.
fn open(
    transaction: &Transaction<'_>,
    key: &MacKey,
    question: &Question,
    now: SystemTime,
) -> Result<Opened, VaultError> {
    let at = ms(now);
    let same = rows::by_digest(transaction, question)?;
    for row in same.into_iter().filter(|row| row.is_genuine(key)) {
        let Some(entry) = row.entry(at) else { continue };
        match entry.state {
            State::Open => return Ok(Opened::Asked { id: entry.id, new: false }),
            State::Approved => return Ok(Opened::Approved(entry.id)),
            State::Denied => return Ok(Opened::Denied(entry.id)),
            State::Used | State::Withdrawn | State::Expired => {}
        }
    }
    let (count, most) = if question.access {
        let since = at.saturating_sub(duration_ms(ACCESS_PATIENCE));
        (rows::asked_since(transaction, &question.principal, since)?, MOST_ACCESS)
    } else {
        (rows::open_of(transaction, &question.principal, at)?, MOST_OPEN)
    };
    if count >= most {
        return Ok(Opened::TooMany);
    }
    let patience = if question.access { ACCESS_PATIENCE } else { PATIENCE };
    let row = Row {
        id: format!("a-{}", draw()?),
        principal: question.principal.to_string(),
        digest: question.digest().bytes().to_vec(),
        access: question.access,
        question: serde_json::to_string(question)
            .map_err(|_| VaultError::damaged("a question cannot be written"))?,
        state: State::Open.as_str().into(),
        answer: None,
        method: None,
        opened: at,
        changed: at,
        expires: at + duration_ms(patience),
        tag: Vec::new(),
    };
    rows::insert(transaction, key, &row)?;
    Ok(Opened::Asked { id: row.id, new: true })
}

/// Answers a question.
fn settle(
    transaction: &Transaction<'_>,
    key: &MacKey,
    id: &str,
    principal: Option<&Name>,
    answer: Answer,
    by: By,
    now: SystemTime,
) -> Result<Settled, VaultError> {
    let at = ms(now);
    let row = rows::by_id(transaction, id)?.filter(|row| row.is_genuine(key));
    let Some((entry, row)) = row.and_then(|row| Some((row.entry(at)?, row))) else {
        return Ok(Settled::Unknown);
    };
    if principal.is_some_and(|name| *name != entry.question.principal) {
        return Ok(Settled::Unknown);
    }
    // The agent's own client allows nothing that is to be asked elsewhere.
    let elsewhere = entry.question.outside || entry.question.access;
    if by == By::Elicitation && elsewhere && answer != Answer::Deny {
        return Ok(Settled::Unknown);
    }
    if entry.state != State::Open {
        return Ok(Settled::NotOpen(entry.state));
    }
    let answer = answer.within(entry.question.ttl());
    let state = if answer == Answer::Deny { State::Denied } else { State::Approved };
    let row = Row {
        answer: Some(answer.text()),
        method: Some(by.as_str().into()),
        expires: at + duration_ms(PATIENCE),
        ..row.closed(state, at)?
    };
    if !rows::replace(transaction, key, &row, State::Open)? {
        return Ok(Settled::NotOpen(State::Used));
    }
    let (Answer::For(time), Some(scope)) = (answer, entry.question.scope()) else {
        return Ok(Settled::Done(None));
    };
    let id = entry.id.replacen("a-", "g-", 1);
    let grant = Grant { id, scope, by, created: from_ms(at), lapses: from_ms(at) + time };
    rows::put_grant(transaction, key, &grant, at)?;
    Ok(Settled::Done(Some(grant)))
}

/// Uses a yes.
fn take(
    transaction: &Transaction<'_>,
    key: &MacKey,
    id: &str,
    question: &Question,
    session: bool,
    now: SystemTime,
) -> Result<Option<Taken>, VaultError> {
    let at = ms(now);
    let row = rows::by_id(transaction, id)?.filter(|row| row.is_genuine(key));
    let Some((entry, row)) = row.and_then(|row| Some((row.entry(at)?, row))) else {
        return Ok(None);
    };
    let same = entry.question.digest() == question.digest();
    let (State::Approved, true, Some(by)) = (entry.state, same, entry.by) else {
        return Ok(None);
    };
    let answer = row.answer.as_deref().and_then(Answer::parse);
    let row = Row { state: State::Used.as_str().into(), changed: at, ..row };
    if !rows::replace(transaction, key, &row, State::Approved)? {
        return Ok(None);
    }
    let grant = match (answer, entry.question.scope()) {
        (Some(Answer::Session), Some(scope)) if session => {
            let time = entry.question.ttl().unwrap_or(LONGEST_SESSION).min(LONGEST_SESSION);
            let id = entry.id.replacen("a-", "s-", 1);
            let grant = Grant { id, scope, by, created: from_ms(at), lapses: from_ms(at) + time };
            rows::put_grant(transaction, key, &grant, at)?;
            Some(grant)
        }
        (Some(Answer::For(_)), Some(_)) => {
            rows::grant_by_id(transaction, key, &entry.id.replacen("a-", "g-", 1))?
        }
        _ => None,
    };
    Ok(Some(Taken { by, grant }))
}

/// Closes what nobody answered, and forgets what is long over.
fn lapse(
    transaction: &Transaction<'_>,
    key: &MacKey,
    now: SystemTime,
) -> Result<Vec<Entry>, VaultError> {
    let at = ms(now);
    let mut closed = Vec::new();
    for row in rows::lapsed(transaction, at)? {
        if !row.is_genuine(key) {
            transaction.execute("DELETE FROM approvals WHERE id = ?1", [&row.id])?;
            continue;
        }
        let row = row.closed(State::Expired, at)?;
        if rows::replace(transaction, key, &row, State::Open)? {
            closed.extend(row.entry(at));
        }
    }
    let long_ago = at.saturating_sub(duration_ms(KEPT));
    let sql = "DELETE FROM approvals WHERE tenant = ?1 AND state <> 'open' AND expires < ?2";
    transaction.execute(sql, params![TENANT, long_ago])?;
    Ok(closed)
}

/// 40 bits, in characters that nobody misreads.
pub(crate) fn draw() -> Result<String, RandomError> {
    let mut bytes = [0; ID];
    strongroom_seal::random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

fn unkept(error: VaultError) -> ApprovalsError {
    ApprovalsError(Box::new(error))
}

/// Milliseconds since the epoch.
fn ms(time: SystemTime) -> i64 {
    duration_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn from_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

fn duration_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}
