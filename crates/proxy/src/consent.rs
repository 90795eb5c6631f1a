//! Between judging and acting: where a rule asks, a person is asked.
//!
//! [`Consent::settle`] is the one way from a request that a rule asks for to a permit, for `execute` and
//! for `exec`. A grant that stands is enough; else the question is opened, once, and answered at the
//! terminal, by a window or, where the rule lets it, by the agent's own client: the first answer counts.
//! Where there is neither a window nor a client that shows questions, the caller gets the question's id at
//! once, and passes when it makes the very same call again after a yes.

use std::pin::pin;
use std::time::Duration;

use strongroom_model::approval::{
    Answer, Approved, By, Matter, Opened, PATIENCE, Question, Scope, State,
};
use strongroom_model::audit::{Asked, Journal};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::pipeline::Permit;
use strongroom_model::policy::{Awaiting, Judgement, Terms};
use strongroom_model::ports::{
    Approvals, ApprovalsError, Asking, BoxFuture, Clock, Credentials, KillSwitch, Prompt, Prompted,
    Registry, Verification,
};
use tokio::time::sleep;

use crate::desk::{Desk, Told, View, answered};

/// What may be done, or may be done when a person says so.
pub(crate) enum Judged<R> {
    Allowed(Permit<R>),
    Asks(Awaiting<R>),
}

impl<R> Judged<R> {
    /// What the policy said; what it denies is the error, with the request.
    pub(crate) fn of(judgement: Judgement<R>) -> Result<Self, (Refusal, R)> {
        match judgement {
            Judgement::Allowed(permit) => Ok(Self::Allowed(permit)),
            Judgement::Asks(awaiting) => Ok(Self::Asks(awaiting)),
            Judgement::Denied(denied) => Err(*denied),
        }
    }

    pub(crate) fn request(&self) -> &R {
        match self {
            Self::Allowed(permit) => permit.request(),
            Self::Asks(awaiting) => awaiting.request(),
        }
    }

    pub(crate) fn rule(&self) -> &str {
        match self {
            Self::Allowed(permit) => permit.rule(),
            Self::Asks(awaiting) => awaiting.rule(),
        }
    }

    pub(crate) fn terms(&self) -> &Terms {
        match self {
            Self::Allowed(permit) => permit.terms(),
            Self::Asks(awaiting) => awaiting.terms(),
        }
    }
}

/// Asks people, and knows what they granted.
#[derive(Clone, Copy)]
pub(crate) struct Consent<'a> {
    pub(crate) approvals: &'a dyn Approvals,
    pub(crate) journal: Journal<'a>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) registry: &'a dyn Registry,
    pub(crate) credentials: &'a dyn Credentials,
    pub(crate) switch: &'a dyn KillSwitch,
    /// The windows, where this machine has a display.
    pub(crate) desk: Option<&'a Desk>,
    /// How long a call waits for a person where nothing shows the question.
    pub(crate) wait: Duration,
}

/// How a person can be asked, beside the terminal.
struct Ways<'a> {
    /// By the agent's own client.
    prompt: Option<&'a dyn Prompt>,
    /// Yes can be said for the session.
    session: bool,
    /// By the window that stands open.
    window: Option<View>,
}

/// What ended the waiting.
enum Waited {
    /// It is settled: by the window, at a terminal, in another process.
    Answered(State),
    /// The client says so, so long after it was asked.
    Prompted(Answer, Duration),
    /// Nobody has answered, and the caller has to come back.
    Back,
    /// The caller is gone; `others`: somebody else waits for the same.
    Gone {
        others: bool,
    },
    TooLong,
}

impl Consent<'_> {
    /// The permit for what was judged; where a rule asks, once a person has said yes to `matter`, which
    /// is what is to be done with the service of `keys`.
    ///
    /// # Errors
    ///
    /// `approval_denied` with the question's id where nobody has answered yet and the caller has to come
    /// back; without one where the answer is no. `rate_limited` where too many questions are open.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: end it by `cancel`, which takes the question back. Where that has completed, the
    /// answer is an error, and it must not be polled again.
    pub(crate) async fn settle<R>(
        &self,
        asked: &Asked<'_>,
        judged: Judged<R>,
        matter: impl FnOnce(&R) -> Matter,
        cancel: &mut BoxFuture<'_, ()>,
    ) -> Result<Permit<R>, Refusal> {
        let awaiting = match judged {
            Judged::Allowed(permit) => return Ok(permit),
            Judged::Asks(awaiting) => awaiting,
        };
        let matter = matter(awaiting.request());
        match self.obtain(asked, matter, awaiting.rule(), awaiting.terms(), cancel).await {
            Ok(approved) => Ok(awaiting.approve(approved)),
            Err(refusal) => Err(awaiting.refuse(refusal).0),
        }
    }

    async fn obtain(
        &self,
        asked: &Asked<'_>,
        matter: Matter,
        rule: &str,
        terms: &Terms,
        cancel: &mut BoxFuture<'_, ()>,
    ) -> Result<Approved, Refusal> {
        let principal = &asked.caller.principal.name;
        // Nobody is asked for what is stopped anyway.
        self.switch.check(principal, &matter.service)?;
        let scope = Scope {
            principal: principal.clone(),
            service: matter.service.clone(),
            rule: rule.to_owned(),
            class: matter.class,
            revision: matter.revision,
        };
        if let Some(approved) = self.granted(asked, &scope).await? {
            return Ok(approved);
        }
        if matter.unseen {
            return Err(refused(
                "a body of this size cannot be shown to a person: ask for a grant by request_access",
            ));
        }
        let question = self.question(asked, matter, rule, terms).await;
        self.lapse().await?;
        let id = match self.approvals.open(&question).await.map_err(unkept)? {
            Opened::TooMany => return Err(too_many()),
            Opened::Denied(_) => return Err(denied()),
            Opened::Approved(id) => return self.take(asked, &id, &question).await,
            Opened::Asked { id, new } => {
                if new
                    && let Err(error) =
                        self.record(asked, "approval.open", &id, &question, None).await
                {
                    drop(self.approvals.withdraw(&id).await);
                    return Err(error);
                }
                id
            }
        };
        self.ask(asked, &id, &question, cancel).await?;
        self.unchanged(&question)?;
        self.take(asked, &id, &question).await
    }

    /// The question, with a marker for every secret that an agent may have got hold of elsewhere.
    async fn question(
        &self,
        asked: &Asked<'_>,
        mut matter: Matter,
        rule: &str,
        terms: &Terms,
    ) -> Question {
        let catalog = self.registry.current();
        let keys = catalog.keys().find(|keys| *keys.name == matter.service);
        if let Some(keys) = keys {
            // Whether there is a credential is the pipeline's matter.
            drop(self.credentials.resolve(&catalog, keys).await);
        }
        matter.what = self.clean(&matter.what);
        matter.content_type = matter.content_type.map(|text| self.clean(&text));
        // All of it, before it is cut: half a secret is not known for one.
        matter.text = matter.text.map(|text| self.clean(&text));
        let reason = asked.reason.map(|text| self.clean(text));
        Question::new(matter, asked.caller, rule, terms, reason.as_deref())
    }

    fn clean(&self, text: &str) -> String {
        self.credentials.redactor().clean_text(text).0.into_inner()
    }

    /// The grant that covers `scope`, of the connection or a timed one.
    async fn granted(&self, asked: &Asked<'_>, scope: &Scope) -> Result<Option<Approved>, Refusal> {
        if let Some(session) = &asked.caller.channel.session
            && let Some((id, by)) = session.find(scope, self.clock.monotonic())
        {
            if self.approvals.stands(&id).await.map_err(unkept)? {
                return Ok(Some(Approved { grant: Some(id), method: by.as_str() }));
            }
            session.forget(&id);
        }
        let grant = self.approvals.granted(scope).await.map_err(unkept)?;
        Ok(grant.map(|grant| Approved { grant: Some(grant.id), method: grant.by.as_str() }))
    }

    /// Waits until somebody has said yes.
    async fn ask(
        &self,
        asked: &Asked<'_>,
        id: &str,
        question: &Question,
        cancel: &mut BoxFuture<'_, ()>,
    ) -> Result<(), Refusal> {
        let channel = &asked.caller.channel;
        let here = self.approvals.asking() == Asking::Machine;
        let by_client = here && (!question.outside || question.typed);
        let prompt = channel.prompt.as_deref().filter(|_| by_client);
        let session = channel.session.is_some();
        // A code that has to be typed must be shown by the client.
        let by_window = here && (!question.typed || prompt.is_some());
        let desk = self.desk.filter(|_| by_window);
        let window = desk.and_then(|desk| desk.show(id, question, session, prompt.is_some()));
        let prompt = prompt.filter(|_| !question.typed || window.is_some());
        let ways = Ways { prompt, session, window };
        let state = match self.wait(id, question, ways, cancel).await? {
            Waited::Answered(state) => state,
            Waited::Prompted(answer, elapsed) => {
                self.answer(asked, id, question, answer, elapsed).await?
            }
            Waited::Back => return Err(self.pending(id)),
            Waited::TooLong => {
                self.lapse().await?;
                State::Expired
            }
            Waited::Gone { others } => {
                if !others && self.approvals.withdraw(id).await.map_err(unkept)? {
                    self.record(asked, "approval.withdraw", id, question, None).await?;
                }
                State::Withdrawn
            }
        };
        match state {
            State::Approved => Ok(()),
            State::Denied => Err(denied()),
            State::Open | State::Expired => Err(refused("nobody approved this in time")),
            State::Withdrawn => Err(refused("whoever asked for this is gone")),
            State::Used => Err(used()),
        }
    }

    /// Waits for the first answer, whichever way it comes.
    async fn wait(
        &self,
        id: &str,
        question: &Question,
        ways: Ways<'_>,
        cancel: &mut BoxFuture<'_, ()>,
    ) -> Result<Waited, Refusal> {
        let Ways { prompt, session, mut window } = ways;
        let code = window.as_ref().and_then(|window| window.code.clone());
        let began = self.clock.monotonic();
        let mut prompts = prompt.is_some();
        let mut prompted = pin!(prompted(prompt, id, question, session, code.as_deref()));
        let until_back = self.wait.min(PATIENCE);
        if until_back.is_zero() && !prompts && window.is_none() {
            return Ok(Waited::Back);
        }
        let mut back = pin!(sleep(until_back));
        let mut late = pin!(sleep(PATIENCE));
        loop {
            let is_asked = prompts || window.is_some();
            tokio::select! {
                biased;
                state = answered(self.approvals, id) => {
                    return Ok(Waited::Answered(state.map_err(unkept)?));
                }
                told = told(window.as_mut()) => match told {
                    Told::Unable => window = None,
                    Told::Unrecorded => return Err(unrecorded()),
                    Told::Open | Told::Settled => {
                        let state = self.approvals.state(id).await.map_err(unkept)?;
                        return Ok(Waited::Answered(state));
                    }
                },
                said = prompted.as_mut(), if prompts => {
                    prompts = false;
                    match said {
                        Prompted::Answered(answer) => {
                            let elapsed = self.clock.monotonic().saturating_sub(began);
                            return Ok(Waited::Prompted(answer, elapsed));
                        }
                        Prompted::Brought(answer, elapsed) => {
                            return Ok(Waited::Prompted(answer, elapsed));
                        }
                        Prompted::Later => return Ok(Waited::Back),
                        // Nobody has seen the code.
                        Prompted::Unable if question.typed => {
                            self.close(id);
                            return Ok(Waited::Back);
                        }
                        Prompted::Unable if window.is_none() => return Ok(Waited::Back),
                        Prompted::Unable | Prompted::Seen => {}
                    }
                }
                () = cancel.as_mut() => {
                    let others = window.as_ref().is_some_and(View::is_shared);
                    if !others {
                        self.close(id);
                    }
                    return Ok(Waited::Gone { others });
                }
                () = back.as_mut(), if !is_asked => return Ok(Waited::Back),
                () = late.as_mut() => return Ok(Waited::TooLong),
            }
        }
    }

    fn close(&self, id: &str) {
        if let Some(desk) = self.desk {
            desk.close(id);
        }
    }

    /// Takes over what the client's prompt said. It is recorded first.
    async fn answer(
        &self,
        asked: &Asked<'_>,
        id: &str,
        question: &Question,
        answer: Answer,
        elapsed: Duration,
    ) -> Result<State, Refusal> {
        let act = if answer == Answer::Deny { "approval.deny" } else { "approval.approve" };
        let by = By::Elicitation;
        self.record(asked, act, id, question, Some((by, elapsed))).await?;
        let principal = &asked.caller.principal.name;
        self.approvals.answer(id, principal, answer, by).await.map_err(unkept)?;
        // Where somebody else was first, that is the answer.
        self.approvals.state(id).await.map_err(unkept)
    }

    /// Uses the yes.
    async fn take(
        &self,
        asked: &Asked<'_>,
        id: &str,
        question: &Question,
    ) -> Result<Approved, Refusal> {
        let session = asked.caller.channel.session.as_deref();
        let taken = self.approvals.take(id, question, session.is_some()).await.map_err(unkept)?;
        let Some(taken) = taken else { return Err(used()) };
        let method = taken.by.as_str();
        let Some(grant) = taken.grant else {
            return Ok(Approved { grant: Some(id.to_owned()), method });
        };
        if grant.is_for_session()
            && let Some(session) = session
        {
            let time = grant.lapses.duration_since(grant.created).unwrap_or_default();
            let now = self.clock.monotonic();
            session.keep(grant.id.clone(), grant.scope, grant.by, now, time);
        }
        Ok(Approved { grant: Some(grant.id), method })
    }

    /// What a person approved is what is in force now: the configuration may have changed while they
    /// thought.
    fn unchanged(&self, question: &Question) -> Result<(), Refusal> {
        let (catalog, name) = (self.registry.current(), &question.service);
        let service = catalog.services.get(name).map(|found| (found.revision, &found.principals));
        let program = catalog.commands.get(name).map(|found| (found.revision, &found.principals));
        if service.or(program).is_some_and(|(revision, principals)| {
            revision == question.revision
                && catalog.serves(&question.principal, name, principals.as_deref())
        }) {
            Ok(())
        } else {
            Err(refused("the configuration was changed while a person was asked"))
        }
    }

    /// Records the questions that nobody answered.
    async fn lapse(&self) -> Result<(), Refusal> {
        for entry in self.approvals.lapse().await.map_err(unkept)? {
            self.journal.lapsed(&entry)?;
        }
        Ok(())
    }

    /// Nobody has answered yet, and the caller has to come back.
    fn pending(&self, id: &str) -> Refusal {
        let who = match self.approvals.asking() {
            Asking::Machine => "Tell the user to run `strongroom approvals` in a terminal",
            Asking::Others => {
                "Tell the user that somebody whose key has the scope `approve` must answer it"
            }
        };
        let message = format!(
            "a person must approve this first: it waits as `{id}` for two minutes. {who}, and make \
             the very same call again after a yes"
        );
        Refusal { approval: Some(id.to_owned()), ..Refusal::new(Code::ApprovalDenied, message) }
    }

    async fn record(
        &self,
        asked: &Asked<'_>,
        act: &'static str,
        id: &str,
        question: &Question,
        by: Option<(By, Duration)>,
    ) -> Result<(), Refusal> {
        self.journal.approval(asked, act, id, question.rule.as_deref(), by)?;
        Ok(self.journal.settled().await?)
    }
}

/// What the client's prompt says; never, where there is none.
async fn prompted(
    prompt: Option<&dyn Prompt>,
    id: &str,
    question: &Question,
    session: bool,
    code: Option<&dyn Verification>,
) -> Prompted {
    match prompt {
        Some(prompt) => prompt.ask(id, question, session, code).await,
        None => std::future::pending().await,
    }
}

/// What has become of the window; never, where there is none.
async fn told(window: Option<&mut View>) -> Told {
    match window {
        Some(window) => window.told().await,
        None => std::future::pending().await,
    }
}

fn denied() -> Refusal {
    refused("a person said no to this; do not repeat it")
}

fn used() -> Refusal {
    refused("the approval of this is used up or no longer good; the same call asks again")
}

fn unrecorded() -> Refusal {
    let text = "a person's answer could not be recorded, so it does not count";
    Refusal::new(Code::AuditUnavailable, text)
}

fn refused(message: &'static str) -> Refusal {
    Refusal::new(Code::ApprovalDenied, message)
}

pub(crate) fn too_many() -> Refusal {
    let text = "too many questions of this principal wait for a person";
    Refusal { retry_after_s: Some(PATIENCE.as_secs()), ..Refusal::new(Code::RateLimited, text) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
pub(crate) fn unkept(error: ApprovalsError) -> Refusal {
    tracing::error!("questions for a person cannot be kept: {}", error.0);
    refused("a person cannot be asked now: the questions and answers cannot be kept")
}
