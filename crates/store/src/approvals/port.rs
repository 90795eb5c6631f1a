//! The port of brokers. Nothing here waits: the file is of this machine.

use std::future::ready;

use strongroom_model::approval::{Answer, By, Entry, Grant, Opened, Question, Scope, State, Taken};
use strongroom_model::ports::{Approvals, ApprovalsError, BoxFuture};
use strongroom_model::principal::Name;

use super::ApprovalStore;

impl Approvals for ApprovalStore {
    fn granted<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Option<Grant>, ApprovalsError>> {
        Box::pin(ready(self.granted(scope)))
    }

    fn stands<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(ready(self.stands(id)))
    }

    fn open<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Opened, ApprovalsError>> {
        Box::pin(ready(self.open(question)))
    }

    fn state<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<State, ApprovalsError>> {
        Box::pin(ready(self.state(id)))
    }

    fn version(&self) -> Result<u64, ApprovalsError> {
        self.version()
    }

    fn answer<'a>(
        &'a self,
        id: &'a str,
        principal: &'a Name,
        answer: Answer,
        by: By,
    ) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(ready(self.answer(id, principal, answer, by)))
    }

    fn take<'a>(
        &'a self,
        id: &'a str,
        question: &'a Question,
        session: bool,
    ) -> BoxFuture<'a, Result<Option<Taken>, ApprovalsError>> {
        Box::pin(ready(self.take(id, question, session)))
    }

    fn withdraw<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ApprovalsError>> {
        Box::pin(ready(self.withdraw(id)))
    }

    fn lapse(&self) -> BoxFuture<'_, Result<Vec<Entry>, ApprovalsError>> {
        Box::pin(ready(self.lapse()))
    }

    fn grants<'a>(
        &'a self,
        principal: &'a Name,
        sessions: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Grant>, ApprovalsError>> {
        Box::pin(ready(self.grants(principal, sessions)))
    }
}
