//! What the agents of a tenant ask people, and what people granted: the same on every node.
//!
//! The broker sees it through [`TenantApprovals`]; here is what people do, who have a key of their own or
//! are the operator. An answer is in the audit before it counts. Of all who answer one question, on all
//! nodes, one wins, and the others are told so; whoever asked is never among them.

mod grants;
mod keys;
mod port;
mod record;
mod rows;

use std::time::{Duration, SystemTime};

use strongroom_model::approval::{Answer, By, Entry, Grant, PATIENCE, State};
use strongroom_model::audit::{Draft, Journal, Kind};
use strongroom_model::team::{TenantCtx, TenantId};

use super::database::{Tx, micros, time};
use super::{TeamError, TenantStore};
use grants::Tags;
use keys::Keys;
use rows::Stored;

pub use port::TenantApprovals;

/// Open questions of one tenant, whoever asks.
pub const MOST_OPEN_OF_TENANT: i64 = 256;

/// Grants of one tenant that stand.
pub const MOST_GRANTS: i64 = 1_000;

/// Questions of one tenant that are kept, the closed ones among them.
const MOST_KEPT: i64 = 5_000;

/// For how long a question that is settled is kept, to be looked at.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// By how much the clocks of two nodes may differ. A node whose clock is behind takes what another has
/// just written for written now.
const SKEW: Duration = Duration::from_secs(30);

/// Questions in a page where nobody says.
const PAGE: u32 = 100;

/// A question, and who answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamApproval {
    /// The question, and what became of it.
    pub entry: Entry,
    /// What the answer was.
    pub answer: Option<Answer>,
    /// Who answered: `key ID` or `operator`.
    pub answered_by: Option<String>,
    /// When.
    pub answered_at: Option<SystemTime>,
    /// Why not, in the words of who said no.
    pub because: Option<String>,
}

/// Which questions are wanted: the newest first.
#[derive(Clone, Debug, Default)]
pub struct ApprovalQuery {
    /// Only those in this state, as it is now.
    pub state: Option<State>,
    /// At most so many; 100 where it is `None`, never more than 1000.
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Questions of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalPage {
    /// The questions.
    pub approvals: Vec<TeamApproval>,
    /// What the next page goes on from; `None` where this is the last.
    pub next_cursor: Option<String>,
}

/// What answering a question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeamSettled {
    /// It was answered; with a grant, where one was given that stands from now on.
    Done(Box<TeamApproval>, Option<Grant>),
    /// The tenant has no such question.
    Unknown,
    /// It is not open any more: somebody was faster, or it has expired.
    NotOpen(State),
    /// Whoever answers is whoever asked.
    Own,
    /// No rule asks about it, so that a yes would change nothing.
    Uncovered,
    /// No call waits for it, so that a yes needs a time.
    NeedsTime,
    /// [`MOST_GRANTS`] stand.
    TooManyGrants,
}

/// An answer, as it is written down.
#[derive(Clone, Debug)]
struct Given {
    answer: Answer,
    by: By,
    who: String,
    because: Option<String>,
}

impl TenantStore<'_> {
    /// A page of the questions. What has expired is closed, and recorded, first.
    pub async fn approvals(&self, query: &ApprovalQuery) -> Result<ApprovalPage, TeamError> {
        self.close_lapsed().await?;
        let after =
            query.cursor.as_deref().map(|cursor| self.approval_place(cursor)).transpose()?;
        let limit = query.limit.unwrap_or(PAGE).clamp(1, 1000) as usize;
        let (tenant, keys, now) = (self.tenant(), self.approval_keys().await?, self.team.now());
        let state = query.state;
        let mut found = self
            .read(move |tx| Box::pin(rows::page(tx, tenant, keys, state, now, after, limit + 1)))
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more).map(|last| self.after_approval(last));
        // A row that does not verify takes its place in the page, and is not shown.
        let genuine = found.iter().filter_map(|row| row.stored.as_ref());
        let approvals = genuine.map(|stored| stored.approval(now)).collect();
        Ok(ApprovalPage { approvals, next_cursor: last })
    }

    /// The question `id`.
    pub async fn approval(&self, id: &str) -> Result<Option<TeamApproval>, TeamError> {
        let (tenant, keys, id) = (self.tenant(), self.approval_keys().await?, id.to_owned());
        let found = self
            .read(move |tx| Box::pin(async move { rows::by_id(tx, tenant, &keys, &id).await }))
            .await?;
        Ok(found.map(|stored| stored.approval(self.team.now())))
    }

    /// Answers the question `id` on behalf of whoever this store is for, who was asked by `by`. The
    /// answer is recorded first. A timed yes becomes a grant, no longer than the rule lets it be.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped the question is answered, or open; an answer that is in the audit
    /// and did not count stands without effect.
    pub async fn answer_approval(
        &self,
        id: &str,
        answer: Answer,
        by: By,
        because: Option<&str>,
    ) -> Result<TeamSettled, TeamError> {
        let Some(asked) = self.approval(id).await? else { return Ok(TeamSettled::Unknown) };
        if let Some(settled) = stands_against(&asked.entry, answer, &self.ctx) {
            return Ok(settled);
        }
        let who = self.ctx.actor.to_string();
        let answer = answer.within(asked.entry.question.ttl());
        let given = Given { answer, by, who, because: because.map(str::to_owned) };
        self.append_audit(vec![draft(&asked.entry, &given)]).await?;
        let (ctx, keys, now) = (self.ctx, self.approval_keys().await?, self.team.now());
        let (tags, id) = (self.tags(), id.to_owned());
        self.write(move |tx| {
            Box::pin(async move { settle(tx, &ctx, &keys, &tags, &id, given, now).await })
        })
        .await
    }

    /// Every grant that stands now.
    pub async fn grants(&self) -> Result<Vec<Grant>, TeamError> {
        let (tags, now) = (self.tags(), self.team.now());
        self.read(move |tx| Box::pin(async move { grants::all(tx, &tags, now).await })).await
    }

    /// Takes the grant `id` back, on every node; says whether there was one. It is recorded first.
    pub async fn revoke_grant(&self, id: &str) -> Result<bool, TeamError> {
        let (tags, wanted) = (self.tags(), id.to_owned());
        let found = self
            .read(move |tx| Box::pin(async move { grants::by_id(tx, &tags, &wanted).await }))
            .await?;
        let Some(grant) = found else { return Ok(false) };
        let scope = &grant.scope;
        let draft = Draft {
            service: Some(scope.service.to_string()),
            rule: Some(scope.rule.clone()),
            ..self.revocation(&grant.id)
        };
        self.append_audit(vec![draft]).await?;
        let tenant = self.tenant();
        self.write(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM tenant_grants WHERE tenant_id = $1 AND id = $2";
                Ok(tx.execute(sql, vec![tenant.into(), grant.id.into()]).await? == 1)
            })
        })
        .await
    }

    /// Takes every grant back, on every node; says how many there were. It is recorded first.
    pub async fn revoke_grants(&self) -> Result<u64, TeamError> {
        self.append_audit(vec![self.revocation("all")]).await?;
        let tenant = self.tenant();
        self.write(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM tenant_grants WHERE tenant_id = $1";
                tx.execute(sql, vec![tenant.into()]).await
            })
        })
        .await
    }

    fn revocation(&self, what: &str) -> Draft {
        Draft {
            kind: Kind::Approval,
            act: Some("grant.revoke".to_owned()),
            subject: Some(what.to_owned()),
            principal: Some(self.ctx.actor.to_string()),
            ..Draft::default()
        }
    }

    /// Closes what nobody answered in time, and records that.
    async fn close_lapsed(&self) -> Result<(), TeamError> {
        let lapsed = self.lapse_approvals().await?;
        if lapsed.is_empty() {
            return Ok(());
        }
        let sink = self.audit_sink();
        let journal = Journal::new(&sink);
        for entry in &lapsed {
            journal.lapsed(entry).map_err(TeamError::unreachable)?;
        }
        journal.settled().await.map_err(TeamError::unreachable)
    }

    /// Closes what nobody answered in time, forgets what is long over, and says what was closed.
    async fn lapse_approvals(&self) -> Result<Vec<Entry>, TeamError> {
        let (tenant, now) = (self.tenant(), self.team.now());
        let any =
            self.read(move |tx| Box::pin(async move { rows::any_lapsed(tx, tenant, now).await }));
        if !any.await? {
            return Ok(Vec::new());
        }
        let keys = self.approval_keys().await?;
        self.write(move |tx| Box::pin(async move { rows::lapse(tx, tenant, &keys, now).await }))
            .await
    }

    fn after_approval(&self, row: &rows::Listed) -> String {
        let mut place = row.opened.to_be_bytes().to_vec();
        place.extend_from_slice(row.id.as_bytes());
        self.cursor("approvals", &place)
    }

    fn approval_place(&self, cursor: &str) -> Result<(i64, String), TeamError> {
        let place = self.read_cursor("approvals", cursor)?;
        let (opened, id) = place.split_first_chunk().ok_or(TeamError::Cursor)?;
        let id = String::from_utf8(id.to_vec()).map_err(|_| TeamError::Cursor)?;
        Ok((i64::from_be_bytes(*opened), id))
    }

    fn tags(&self) -> Tags {
        Tags { team: self.team.clone(), tenant: self.tenant() }
    }
}

/// What keeps `answer` from being given to the question by whom `ctx` is, whatever others do.
fn stands_against(entry: &Entry, answer: Answer, ctx: &TenantCtx) -> Option<TeamSettled> {
    let question = &entry.question;
    if ctx.principal().as_ref() == Some(&question.principal) {
        return Some(TeamSettled::Own);
    }
    if entry.state != State::Open {
        return Some(TeamSettled::NotOpen(entry.state));
    }
    match answer {
        Answer::Deny => None,
        _ if question.scope().is_none() => Some(TeamSettled::Uncovered),
        Answer::For(_) => None,
        _ => question.access.then_some(TeamSettled::NeedsTime),
    }
}

/// Answers a question.
async fn settle(
    tx: &mut Tx,
    ctx: &TenantCtx,
    keys: &Keys,
    tags: &Tags,
    id: &str,
    given: Given,
    now: SystemTime,
) -> Result<TeamSettled, TeamError> {
    let Some(mut stored) = rows::by_id(tx, ctx.tenant, keys, id).await? else {
        return Ok(TeamSettled::Unknown);
    };
    let entry = stored.entry(now);
    if let Some(settled) = stands_against(&entry, given.answer, ctx) {
        return Ok(settled);
    }
    let grant = match (given.answer, entry.question.scope()) {
        (Answer::For(lasts), Some(scope)) => {
            let id = grant_id(&entry.id, "g-");
            let lapses = time(micros(now + lasts));
            Some(Grant { id, scope, by: given.by, created: now, lapses })
        }
        _ => None,
    };
    if grant.is_some() && grants::count(tx, ctx.tenant, now).await? >= MOST_GRANTS {
        return Ok(TeamSettled::TooManyGrants);
    }
    let state = if given.answer == Answer::Deny { State::Denied } else { State::Approved };
    stored.record.answer(state, given, now, now + PATIENCE);
    if !rows::replace(tx, ctx.tenant, keys, &mut stored).await? {
        let state = rows::by_id(tx, ctx.tenant, keys, id).await?.map(|stored| stored.state(now));
        return Ok(TeamSettled::NotOpen(state.unwrap_or(State::Expired)));
    }
    if let Some(grant) = &grant {
        grants::put(tx, tags, grant, now).await?;
    }
    Ok(TeamSettled::Done(Box::new(stored.approval(now)), grant))
}

/// `g-...` of `a-...`.
fn grant_id(id: &str, prefix: &str) -> String {
    id.replacen("a-", prefix, 1)
}

fn draft(entry: &Entry, given: &Given) -> Draft {
    let question = &entry.question;
    let (act, grant) = match given.answer {
        Answer::Deny => ("approval.deny", None),
        Answer::For(_) => ("approval.approve", Some(grant_id(&entry.id, "g-"))),
        Answer::Once | Answer::Session => ("approval.approve", None),
    };
    Draft {
        kind: Kind::Approval,
        act: Some(act.to_owned()),
        subject: Some(entry.id.clone()),
        principal: Some(given.who.clone()),
        service: Some(question.service.to_string()),
        rule: question.rule.clone(),
        approval: Some(given.by.as_str()),
        grant,
        reason: given.because.clone(),
        ..Draft::default()
    }
}

impl Stored {
    /// As people see it at `now`.
    fn approval(&self, now: SystemTime) -> TeamApproval {
        let record = &self.record;
        TeamApproval {
            entry: self.entry(now),
            answer: record.answer.as_deref().and_then(Answer::parse),
            answered_by: record.answered_by.clone(),
            answered_at: record.answered.map(time),
            because: record.because.clone(),
        }
    }
}

/// Keeps two who open questions of one tenant from doing so at once.
async fn turn(tx: &mut Tx, tenant: TenantId) -> Result<(), TeamError> {
    let sql = tx.either(
        "SELECT id FROM tenants WHERE id = $1",
        "SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE",
    );
    tx.first(sql, vec![tenant.into()]).await?.map(|_| ()).ok_or(TeamError::NotFound)
}
