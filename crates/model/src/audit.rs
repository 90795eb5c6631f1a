//! Audit records: one line each, chained by hash.
//!
//! A call that is let through has two records under one id, an *intent* before anything leaves and
//! an *outcome* after it; a refused call and an administrative act have one. [`chain`] writes a record
//! as a line, [`checkpoint`] vouches for the chain with a signature, [`verify`] reads the lines back and
//! says what is wrong with them.

pub mod chain;
pub mod checkpoint;
pub mod verify;

use std::time::Duration;

use serde::Serialize;

use crate::approval::{Approved, By, Entry, Question};
use crate::code::{Code, Refusal};
use crate::ports::BoxFuture;
use crate::principal::Caller;

/// Names one call or one act, 128 random bits in hex; drawn by the sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AuditId(pub String);

/// What a record says, before the sink gives it time, sequence number and hashes.
///
/// Every text in it is escaped and capped when it is written; `path` has no query unless the
/// service's slots were removed from it, and there are no headers and no bodies.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Draft {
    /// `intent`, `outcome`, `refusal`, `release`, `refresh`, `admin`, `approval`,
    /// `checkpoint`, `torn`.
    pub kind: Kind,
    /// The call; the sink draws one where it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<AuditId>,
    /// In a team, whose record it is: the id of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Who called, from the authenticated transport; `None` for acts of the person at the CLI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// What the client calls itself; unverified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_client: Option<String>,
    /// The service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path, without query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `allow` or `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<&'static str>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How a person was asked for it: `cli`, `elicitation`, `dialog`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<&'static str>,
    /// Milliseconds from the question to the person's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The grant that covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Why it ended, where it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What the agent gave as its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The upstream's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Milliseconds from request to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Bytes of the request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    /// Bytes of the decoded response body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// How many markers the redactor put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redactions: Option<u64>,
    /// How many handles of the request stood for a credential that the service had minted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handles: Option<u64>,
    /// How many credentials in the answer were kept here, and handles given for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<u64>,
    /// An administrative act, `service.add`, `principal.create`, ...; or what a `torn` record closes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    /// What the act was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The MCP server that secrets were released to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How many secrets were released or refreshed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How many of them had expired, and stood in for a provider that could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<u64>,
    /// The references, and what became of each; at most [`MOST_REFERENCES`] of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Lookup>,
    /// A signed statement about the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Box<checkpoint::Checkpoint>>,
}

/// References that one record names; `count` counts all.
pub const MOST_REFERENCES: usize = 256;

/// A reference that was looked up. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lookup {
    /// The reference.
    pub reference: String,
    /// `cache`, `provider`, `stale`, `local`, `file`; or, where there was no secret to be had, the
    /// kind of the error.
    pub from: &'static str,
    /// How old the value was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}

/// What kind of record it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Before egress.
    #[default]
    Intent,
    /// Before egress to where the upstream redirected the call.
    Redirect,
    /// After it.
    Outcome,
    /// Nothing was sent.
    Refusal,
    /// Secrets were handed to an MCP server at its start.
    Release,
    /// Providers were asked for what is kept in the cache.
    Refresh,
    /// An act of the person at the CLI.
    Admin,
    /// A question for a person was opened, answered, or came to nothing.
    Approval,
    /// Where a segment ended, signed.
    Checkpoint,
    /// Closes a line that a killed writer left unfinished.
    Torn,
}

/// The sink could not write.
#[derive(Debug, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct AuditError {
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// Takes records. `append` returns after the record has been handed to the operating system.
pub trait AuditSink: Send + Sync {
    /// Appends one record and returns its call's id.
    fn append(&self, draft: Draft) -> Result<AuditId, AuditError>;

    /// Waits until all that was appended before is on the disk, where the sink promises that;
    /// `None` where it promises no more than `append` did.
    fn durable(&self) -> Option<BoxFuture<'_, Result<(), AuditError>>> {
        None
    }
}

/// Proof that the intent of a call was written. Only [`Journal::intent`] makes one.
#[derive(Debug)]
pub struct Recorded {
    audit_id: AuditId,
}

impl Recorded {
    /// The call's id.
    pub fn audit_id(&self) -> &AuditId {
        &self.audit_id
    }
}

/// What is known of a call before it leaves.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The service, by the name that was asked for.
    pub service: &'a str,
    /// The method as it was sent, or as it was asked for where it is not one.
    pub method: &'a str,
    /// The path without query.
    pub path: &'a str,
    /// The agent's reason.
    pub reason: Option<&'a str>,
    /// Bytes of the body.
    pub request_bytes: u64,
    /// Handles in it that are swapped for what they stand for.
    pub handles: u64,
}

/// What is known of a call when it is over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The upstream's status, where it answered.
    pub status: Option<u16>,
    /// What the answer itself says of a failure.
    pub said: Option<Code>,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Bytes of the decoded body.
    pub response_bytes: u64,
    /// Markers.
    pub redactions: u64,
    /// Credentials that were kept, with handles given for them.
    pub sealed: u64,
}

/// Writes the records of calls, in their order.
#[derive(Clone, Copy)]
pub struct Journal<'a> {
    sink: &'a dyn AuditSink,
}

impl<'a> Journal<'a> {
    /// A journal on `sink`.
    pub fn new(sink: &'a dyn AuditSink) -> Self {
        Self { sink }
    }

    /// Waits until what was written is as safe as the sink promises. What leaves this machine, and
    /// what its answer says, waits for it.
    pub async fn settled(&self) -> Result<(), AuditError> {
        match self.sink.durable() {
            Some(durable) => durable.await,
            None => Ok(()),
        }
    }

    /// Writes the intent of a call that `rule` allows.
    pub fn intent(
        &self,
        asked: &Asked<'_>,
        rule: &str,
        approved: Option<&Approved>,
    ) -> Result<Recorded, AuditError> {
        let draft = Draft {
            kind: Kind::Intent,
            decision: Some("allow"),
            rule: Some(rule.to_owned()),
            approval: approved.map(|approved| approved.method),
            grant: approved.and_then(|approved| approved.grant.clone()),
            ..asked.draft()
        };
        let audit_id = self.sink.append(draft)?;
        Ok(Recorded { audit_id })
    }

    /// Writes the one record of a call that was refused.
    pub fn refusal(&self, asked: &Asked<'_>, refusal: &Refusal) -> Result<AuditId, AuditError> {
        self.sink.append(Draft {
            kind: Kind::Refusal,
            decision: Some("deny"),
            rule: refusal.rule.clone(),
            code: Some(refusal.code),
            ..asked.draft()
        })
    }

    /// Writes what became of the question `id` that a person is asked about a call: `act` is
    /// `approval.open`, `approval.approve`, ...; `by` is how the person was asked who answered, and how
    /// long after it was shown.
    pub fn approval(
        &self,
        asked: &Asked<'_>,
        act: &'static str,
        id: &str,
        rule: Option<&str>,
        by: Option<(By, Duration)>,
    ) -> Result<AuditId, AuditError> {
        self.sink.append(Draft {
            kind: Kind::Approval,
            act: Some(act.to_owned()),
            subject: Some(id.to_owned()),
            rule: rule.map(str::to_owned),
            approval: by.map(|(by, _)| by.as_str()),
            elapsed_ms: by.map(|(_, elapsed)| millis(elapsed)),
            ..asked.draft()
        })
    }

    /// Writes what came of the window with the question `id`, so long after it was shown: `act` is
    /// `approval.approve`, `approval.deny` or `approval.wrong_code`.
    pub fn by_dialog(
        &self,
        question: &Question,
        act: &'static str,
        id: &str,
        elapsed: Duration,
    ) -> Result<AuditId, AuditError> {
        self.sink.append(Draft {
            approval: Some(By::Dialog.as_str()),
            elapsed_ms: Some(millis(elapsed)),
            ..about(question, act, id)
        })
    }

    /// Writes that nobody answered a question in time.
    pub fn lapsed(&self, entry: &Entry) -> Result<AuditId, AuditError> {
        self.sink.append(about(&entry.question, "approval.expire", &entry.id))
    }

    /// Writes that an agent asks for access, which is the question `id`.
    pub fn access(&self, question: &Question, id: &str) -> Result<AuditId, AuditError> {
        self.sink.append(Draft {
            kind: Kind::Approval,
            act: Some("access.request".to_owned()),
            subject: Some(id.to_owned()),
            principal: Some(question.principal.to_string()),
            claimed_client: question.client.clone(),
            service: Some(question.service.to_string()),
            path: Some(question.what.clone()),
            rule: question.rule.clone(),
            reason: question.reason.clone(),
            ..Draft::default()
        })
    }

    /// Writes, under the id of the call, that it goes on to another place of its service.
    fn redirect(
        &self,
        recorded: &Recorded,
        asked: &Asked<'_>,
        rule: &str,
    ) -> Result<(), AuditError> {
        self.sink.append(Draft {
            kind: Kind::Redirect,
            audit_id: Some(recorded.audit_id.clone()),
            decision: Some("allow"),
            rule: Some(rule.to_owned()),
            reason: None,
            ..asked.draft()
        })?;
        Ok(())
    }

    /// Writes how an intended call ended.
    pub fn outcome(
        &self,
        recorded: &Recorded,
        asked: &Asked<'_>,
        code: Option<Code>,
        facts: Facts,
    ) -> Result<(), AuditError> {
        self.sink.append(Draft {
            kind: Kind::Outcome,
            audit_id: Some(recorded.audit_id.clone()),
            code,
            status: facts.status,
            duration_ms: Some(facts.duration_ms),
            response_bytes: Some(facts.response_bytes),
            redactions: Some(facts.redactions),
            sealed: (facts.sealed > 0).then_some(facts.sealed),
            reason: None,
            ..asked.draft()
        })?;
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What became of the question `id`.
fn about(question: &Question, act: &str, id: &str) -> Draft {
    Draft {
        kind: Kind::Approval,
        act: Some(act.to_owned()),
        subject: Some(id.to_owned()),
        principal: Some(question.principal.to_string()),
        service: Some(question.service.to_string()),
        rule: question.rule.clone(),
        ..Draft::default()
    }
}

/// The record of a call that is under way, for what it does beyond its first request.
#[derive(Clone, Copy)]
pub struct Trail<'a> {
    journal: Journal<'a>,
    recorded: &'a Recorded,
    asked: &'a Asked<'a>,
}

impl<'a> Trail<'a> {
    /// The trail of the call that was recorded as `asked`.
    pub(crate) fn new(journal: Journal<'a>, recorded: &'a Recorded, asked: &'a Asked<'a>) -> Self {
        Self { journal, recorded, asked }
    }

    /// Records that the call goes on to `method path`, which `rule` allows. To be called before
    /// anything is sent there.
    pub async fn redirect(&self, method: &str, path: &str, rule: &str) -> Result<(), AuditError> {
        let asked = Asked { method, path, request_bytes: 0, handles: 0, ..self.asked.clone() };
        self.journal.redirect(self.recorded, &asked, rule)?;
        self.journal.settled().await
    }
}

impl Asked<'_> {
    fn draft(&self) -> Draft {
        Draft {
            principal: Some(self.caller.principal.name.to_string()),
            claimed_client: self.caller.claimed_client.clone(),
            service: Some(self.service.to_owned()),
            method: Some(self.method.to_owned()),
            path: Some(self.path.to_owned()),
            reason: self.reason.map(str::to_owned),
            request_bytes: Some(self.request_bytes),
            handles: (self.handles > 0).then_some(self.handles),
            ..Draft::default()
        }
    }
}
