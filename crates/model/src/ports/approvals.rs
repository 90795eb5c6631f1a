//! What people are asked, and what they granted.

use std::future::ready;

use super::BoxFuture;
use crate::approval::{Answer, By, Entry, Grant, Opened, Question, Scope, State, Taken};
use crate::principal::Name;

/// Questions and grants cannot be read or kept now.
#[derive(Debug, thiserror::Error)]
#[error("questions for a person and their answers cannot be kept")]
pub struct ApprovalsError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Who answers questions, and how whoever waits is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Whoever uses the machine: at a terminal, by a window, or by the agent's own client where the rule
    /// lets it.
    Machine,
    /// Others than the one who asks, each by a key of their own: the agent's client answers nothing.
    Others,
}

/// The questions that a person is asked, the answers, and the grants: the same for every process of this
/// machine, or for every node of a team.
pub trait Approvals: Send + Sync {
    /// Who answers.
    fn asking(&self) -> Asking {
        Asking::Machine
    }

    /// The timed grant that covers `scope` now.
    fn granted<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Option<Grant>, ApprovalsError>>;

    /// Whether the grant `id` for a session has not been taken back.
    fn stands<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>>;

    /// Asks `question`, or finds it asked: nothing is opened twice.
    fn open<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Opened, ApprovalsError>>;

    /// What became of the question `id`.
    fn state<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<State, ApprovalsError>>;

    /// A number that changes whenever any question or grant may have. It waits for nobody.
    fn version(&self) -> Result<u64, ApprovalsError>;

    /// Answers the question `id`, if it is open, may be answered so, and is one of `principal`'s; says
    /// whether it was.
    fn answer<'a>(
        &'a self,
        id: &'a str,
        principal: &'a Name,
        answer: Answer,
        by: By,
    ) -> BoxFuture<'a, Result<bool, ApprovalsError>>;

    /// Uses the yes to `question`, which is the question `id`. Of all who try, in all processes, one
    /// gets it. `session`: a grant for the session can be kept with the caller's connection.
    fn take<'a>(
        &'a self,
        id: &'a str,
        question: &'a Question,
        session: bool,
    ) -> BoxFuture<'a, Result<Option<Taken>, ApprovalsError>>;

    /// Takes an open question back: nobody waits any more. Says whether it was open.
    fn withdraw<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>>;

    /// Closes what has expired without an answer since this was last called, and says what that is.
    fn lapse(&self) -> BoxFuture<'_, Result<Vec<Entry>, ApprovalsError>>;

    /// The timed grants of `principal` that stand now, and those for sessions with these ids.
    fn grants<'a>(
        &'a self,
        principal: &'a Name,
        sessions: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Grant>, ApprovalsError>>;
}

/// [`Approvals`] of a place that is asked without waiting: of this machine, or of this process. Each
/// method means what its namesake means.
#[expect(missing_docs, reason = "the docs stand at the trait that this is a form of")]
#[expect(clippy::missing_errors_doc, reason = "as above")]
pub trait ApprovalsAtOnce: Send + Sync {
    fn asking(&self) -> Asking {
        Asking::Machine
    }

    fn granted(&self, scope: &Scope) -> Result<Option<Grant>, ApprovalsError>;
    fn stands(&self, id: &str) -> Result<bool, ApprovalsError>;
    fn open(&self, question: &Question) -> Result<Opened, ApprovalsError>;
    fn state(&self, id: &str) -> Result<State, ApprovalsError>;
    fn version(&self) -> Result<u64, ApprovalsError>;

    fn answer(
        &self,
        id: &str,
        principal: &Name,
        answer: Answer,
        by: By,
    ) -> Result<bool, ApprovalsError>;

    fn take(
        &self,
        id: &str,
        question: &Question,
        session: bool,
    ) -> Result<Option<Taken>, ApprovalsError>;

    fn withdraw(&self, id: &str) -> Result<bool, ApprovalsError>;
    fn lapse(&self) -> Result<Vec<Entry>, ApprovalsError>;
    fn grants(&self, principal: &Name, sessions: &[String]) -> Result<Vec<Grant>, ApprovalsError>;
}

impl<T: ApprovalsAtOnce> Approvals for T {
    fn asking(&self) -> Asking {
        ApprovalsAtOnce::asking(self)
    }

    fn granted<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Option<Grant>, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::granted(self, scope)))
    }

    fn stands<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::stands(self, id)))
    }

    fn open<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Opened, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::open(self, question)))
    }

    fn state<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<State, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::state(self, id)))
    }

    fn version(&self) -> Result<u64, ApprovalsError> {
        ApprovalsAtOnce::version(self)
    }

    fn answer<'a>(
        &'a self,
        id: &'a str,
        principal: &'a Name,
        answer: Answer,
        by: By,
    ) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::answer(self, id, principal, answer, by)))
    }

    fn take<'a>(
        &'a self,
        id: &'a str,
        question: &'a Question,
        session: bool,
    ) -> BoxFuture<'a, Result<Option<Taken>, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::take(self, id, question, session)))
    }

    fn withdraw<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::withdraw(self, id)))
    }

    fn lapse(&self) -> BoxFuture<'_, Result<Vec<Entry>, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::lapse(self)))
    }

    fn grants<'a>(
        &'a self,
        principal: &'a Name,
        sessions: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Grant>, ApprovalsError>> {
        Box::pin(ready(ApprovalsAtOnce::grants(self, principal, sessions)))
    }
}
