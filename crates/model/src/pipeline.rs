//! The order of one call, written down once.
//!
//! ```text
//! judge -> look at the kill switch -> record the intent -> resolve the secret
//!     -> bind it to its origin -> act -> record the outcome
//! ```
//!
//! `execute`, and later `exec`, `tools/call` and the proxy, supply only the act. What each step
//! needs is a value that only the step before can make: a [`Permit`] comes from the policy, a
//! [`Recorded`](crate::audit::Recorded) from the journal, a [`Bound`] from [`injection::bind`].

use crate::approval::Approved;
use crate::audit::{Asked, AuditError, Facts, Journal, Trail};
use crate::code::{Code, Refusal};
use crate::injection::{self, Bound, Target};
use crate::policy::Terms;
use crate::ports::{Credentials, KillSwitch, ResolveError};
use crate::service::{Catalog, Origin};

/// A request that may be made. Only [`Policy::decide`](crate::policy::Policy::decide) makes one.
#[derive(Debug)]
pub struct Permit<T> {
    request: T,
    rule: String,
    terms: Terms,
    approved: Option<Approved>,
}

impl<T> Permit<T> {
    pub(crate) fn new(request: T, rule: String, terms: Terms, approved: Option<Approved>) -> Self {
        Self { request, rule, terms, approved }
    }

    /// What was permitted.
    pub fn request(&self) -> &T {
        &self.request
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What the rule demands beside.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What a person said, where the rule demands that one is asked.
    pub fn approved(&self) -> Option<&Approved> {
        self.approved.as_ref()
    }

    /// Takes the request out, to be sent.
    pub fn into_request(self) -> T {
        self.request
    }
}

/// What a job does with a permit and a credential: the one step that differs between jobs.
pub trait Act<R, To = Origin>: Send {
    /// What comes back when it goes well.
    type Answer: Send;

    /// Does it. `bound` is the proof that the intent was recorded; what is sent beyond the request
    /// of `permit` is recorded on the `trail` first.
    fn act(
        self,
        permit: Permit<R>,
        bound: Bound<To>,
        trail: Trail<'_>,
    ) -> impl Future<Output = Done<Self::Answer>> + Send;
}

/// What an act came to: the answer or the refusal, and the facts for the audit either way.
#[derive(Debug)]
pub struct Done<T> {
    /// The answer, or why there is none.
    pub result: Result<T, Refusal>,
    /// For the outcome record.
    pub facts: Facts,
}

/// What the pipeline came to.
#[derive(Debug)]
pub struct Ended<T> {
    /// The answer, or why there is none.
    pub result: Result<T, Refusal>,
    /// The record, unless none could be written.
    pub audit_id: Option<String>,
    /// Bytes that came back, answered with or not.
    pub received: u64,
}

/// The parts that every call goes through.
#[derive(Clone, Copy)]
pub struct Pipeline<'a> {
    /// Where records go.
    pub journal: Journal<'a>,
    /// Where secrets come from.
    pub credentials: &'a dyn Credentials,
    /// What stops everything.
    pub switch: &'a dyn KillSwitch,
}

impl Pipeline<'_> {
    /// Takes a judged request through recording, resolving and binding to `act`.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped between intent and outcome it leaves an intent without an outcome.
    /// Callers run it in a task of its own and cancel the act from within.
    pub async fn run<R: Send, T: Target, A: Act<R, T::To>>(
        &self,
        asked: &Asked<'_>,
        judged: Result<Permit<R>, Refusal>,
        catalog: &Catalog,
        target: &T,
        act: A,
    ) -> Ended<A::Answer> {
        // Looked at last: a person may have thought about the request for two minutes.
        let judged = judged.and_then(|permit| {
            self.switch.check(&asked.caller.principal.name, target.keys().name)?;
            Ok(permit)
        });
        let permit = match judged {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(asked, refusal),
        };
        let Ok(recorded) = self.journal.intent(asked, permit.rule(), permit.approved()) else {
            return Ended { result: Err(audit_unavailable()), audit_id: None, received: 0 };
        };
        if self.journal.settled().await.is_err() {
            return Ended { result: Err(audit_unavailable()), audit_id: None, received: 0 };
        }
        let done = match self.credentials.resolve(catalog, target.keys()).await {
            Ok(credential) => {
                let bound = injection::bind(&recorded, target, credential);
                act.act(permit, bound, Trail::new(self.journal, &recorded, asked)).await
            }
            Err(error) => Done { result: Err(unavailable(&error)), facts: Facts::default() },
        };
        let code = done.result.as_ref().err().map(|refusal| refusal.code).or(done.facts.said);
        // The act is done and cannot be undone: an outcome that cannot be written turns the answer
        // into an error, so that the agent is never told of a call that the audit does not know.
        let mut written = self.journal.outcome(&recorded, asked, code, done.facts);
        if written.is_ok() {
            written = self.journal.settled().await;
        }
        let result = if written.is_ok() { done.result } else { Err(outcome_unrecorded()) };
        let received = done.facts.response_bytes;
        Ended { result, audit_id: Some(recorded.audit_id().0.clone()), received }
    }

    /// Records a refusal; where that fails, the failure is what the caller hears of.
    pub fn refuse<T>(&self, asked: &Asked<'_>, refusal: Refusal) -> Ended<T> {
        match self.journal.refusal(asked, &refusal) {
            Ok(id) => Ended { result: Err(refusal), audit_id: Some(id.0), received: 0 },
            Err(_) => Ended { result: Err(audit_unavailable()), audit_id: None, received: 0 },
        }
    }
}

/// Why a call did not go on: its record could not be written.
impl From<AuditError> for Refusal {
    fn from(_: AuditError) -> Self {
        audit_unavailable()
    }
}

fn outcome_unrecorded() -> Refusal {
    Refusal::new(
        Code::AuditUnavailable,
        "the call was made, but how it ended could not be recorded, so its answer is withheld",
    )
}

fn audit_unavailable() -> Refusal {
    Refusal::new(
        Code::AuditUnavailable,
        "the audit record could not be written, so nothing is done",
    )
}

/// The agent learns that there is no secret, not where it would have been.
fn unavailable(error: &ResolveError) -> Refusal {
    match error {
        ResolveError::Integrity { .. } => {
            Refusal::new(Code::IntegrityError, "the stored credential does not verify")
        }
        _ => Refusal::new(
            Code::SecretUnavailable,
            "the credential of this service cannot be had now",
        ),
    }
}
