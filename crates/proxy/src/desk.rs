//! The windows that stand open: one for each question, for as long as the question is open.
//!
//! A window belongs to its question and not to a call. Whoever asks the same joins it; where the question
//! is answered elsewhere, taken back or too old, it closes. Of all ways to answer, the first counts: that
//! is decided where the answers are kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::approval::{Answer, By, PATIENCE, Question, State};
use strongroom_model::audit::{AuditError, AuditSink, Journal};
use strongroom_model::ports::{Approvals, ApprovalsError, Clock, Dialog, Shown, Verification};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// How often whoever waits looks whether another process has the answer.
const GLANCE: Duration = Duration::from_millis(150);

/// Shows windows, and takes over what people answer there.
#[derive(Clone)]
pub(crate) struct Desk {
    dialog: Arc<dyn Dialog>,
    approvals: Arc<dyn Approvals>,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    open: Arc<Mutex<HashMap<String, Open>>>,
}

/// A window, as those see it who wait for its answer.
#[derive(Clone)]
pub(crate) struct View {
    /// What the agent's client shows beside it.
    pub(crate) code: Option<Arc<dyn Verification>>,
    told: watch::Receiver<Told>,
    /// Counts who waits.
    waiters: Arc<()>,
}

struct Open {
    view: View,
    task: AbortHandle,
}

/// What has become of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It stands open, or waits for its turn.
    Open,
    /// The question is settled: look there.
    Settled,
    /// It could not be shown, or was not looked at in time.
    Unable,
    /// What was answered could not be recorded, so it does not count.
    Unrecorded,
}

impl Desk {
    pub(crate) fn new(
        dialog: Arc<dyn Dialog>,
        approvals: Arc<dyn Approvals>,
        audit: Arc<dyn AuditSink>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { dialog, approvals, audit, clock, open: Arc::default() }
    }

    /// The window with the question `id`, opened unless it stands already. `session`: yes can be said for
    /// the session too. `coded`: whoever asks has a client that can show a code.
    pub(crate) fn show(
        &self,
        id: &str,
        question: &Question,
        session: bool,
        coded: bool,
    ) -> Option<View> {
        let mut open = self.open();
        if let Some(open) = open.get(id) {
            return Some(open.view.clone());
        }
        if !self.dialog.is_there() {
            return None;
        }
        let code = coded.then(|| self.dialog.code()).flatten();
        if question.typed && code.is_none() {
            return None;
        }
        let (tell, told) = watch::channel(Told::Open);
        let view = View { code, told, waiters: Arc::default() };
        let (desk, shown, question) = (self.clone(), view.code.clone(), question.clone());
        let task = tokio::spawn({
            let id = id.to_owned();
            async move {
                let told = desk.ask(&id, &question, session, shown.as_deref()).await;
                desk.open().remove(&id);
                tell.send_replace(told);
            }
        });
        open.insert(id.to_owned(), Open { view: view.clone(), task: task.abort_handle() });
        Some(view)
    }

    /// Closes the window with the question `id`: nobody waits for it any more.
    pub(crate) fn close(&self, id: &str) {
        if let Some(open) = self.open().remove(id) {
            open.task.abort();
        }
    }

    async fn ask(
        &self,
        id: &str,
        question: &Question,
        session: bool,
        code: Option<&dyn Verification>,
    ) -> Told {
        let began = self.clock.monotonic();
        let shown = tokio::select! {
            biased;
            state = answered(&*self.approvals, id) => {
                return if state.is_ok() { Told::Settled } else { Told::Unable };
            }
            shown = self.dialog.consent(question, session, code) => shown,
            () = sleep(PATIENCE) => return Told::Unable,
        };
        let elapsed = self.clock.monotonic().saturating_sub(began);
        let answer = match shown {
            Shown::Answered(answer) => answer,
            Shown::WrongCode => {
                if self.record("approval.wrong_code", id, question, elapsed).await.is_err() {
                    return Told::Unrecorded;
                }
                Answer::Deny
            }
            Shown::Not => return Told::Unable,
        };
        let act = if answer == Answer::Deny { "approval.deny" } else { "approval.approve" };
        if self.record(act, id, question, elapsed).await.is_err() {
            return Told::Unrecorded;
        }
        match self.approvals.answer(id, &question.principal, answer, By::Dialog).await {
            Ok(_) => Told::Settled,
            Err(error) => {
                tracing::error!("an answer cannot be kept: {}", error.0);
                Told::Unable
            }
        }
    }

    async fn record(
        &self,
        act: &'static str,
        id: &str,
        question: &Question,
        elapsed: Duration,
    ) -> Result<(), AuditError> {
        let journal = Journal::new(&*self.audit);
        journal.by_dialog(question, act, id, elapsed)?;
        journal.settled().await
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Completes when something has become of the window.
    pub(crate) async fn told(&mut self) -> Told {
        match self.told.wait_for(|told| *told != Told::Open).await {
            Ok(told) => *told,
            // It was closed.
            Err(_) => Told::Settled,
        }
    }

    /// Whether others wait for it too.
    pub(crate) fn is_shared(&self) -> bool {
        // One of them is the desk's own.
        Arc::strong_count(&self.waiters) > 2
    }
}

/// What became of the question `id`, here or in another process.
pub(crate) async fn answered(approvals: &dyn Approvals, id: &str) -> Result<State, ApprovalsError> {
    let mut seen = None;
    loop {
        let version = approvals.version()?;
        if seen != Some(version) {
            seen = Some(version);
            let state = approvals.state(id).await?;
            if state != State::Open {
                return Ok(state);
            }
        }
        sleep(GLANCE).await;
    }
}
