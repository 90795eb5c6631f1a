//! What stands in the seal of a question.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use strongroom_model::approval::{By, Entry, Question, State};

use super::super::database::{micros, time};
use super::{Given, SKEW};

/// A question and what became of it. Times are in microseconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) question: Question,
    pub(super) state: String,
    pub(super) answer: Option<String>,
    pub(super) by: Option<By>,
    pub(super) answered_by: Option<String>,
    pub(super) answered: Option<i64>,
    pub(super) because: Option<String>,
    pub(super) opened: i64,
    pub(super) changed: i64,
    pub(super) expires: i64,
}

impl Record {
    /// An open question.
    pub(super) fn new(question: Question, now: SystemTime, expires: SystemTime) -> Self {
        Self {
            question,
            state: State::Open.as_str().to_owned(),
            answer: None,
            by: None,
            answered_by: None,
            answered: None,
            because: None,
            opened: micros(now),
            changed: micros(now),
            expires: micros(expires),
        }
    }

    /// Closes it. What was to be sent is shown to nobody any more, and goes.
    pub(super) fn close(&mut self, state: State, now: SystemTime) {
        self.question.body = None;
        state.as_str().clone_into(&mut self.state);
        self.changed = micros(now);
    }

    /// Closes it with an answer, which is good until `expires`.
    pub(super) fn answer(
        &mut self,
        state: State,
        given: Given,
        now: SystemTime,
        expires: SystemTime,
    ) {
        self.close(state, now);
        self.answer = Some(given.answer.text());
        self.by = Some(given.by);
        self.answered_by = Some(given.who);
        self.answered = Some(micros(now));
        self.because = given.because;
        self.expires = micros(expires);
    }

    /// What became of it, as it stands at `now`. A clock that went back behind it makes it expired.
    pub(super) fn state(&self, now: SystemTime) -> Option<State> {
        Some(match State::parse(&self.state)? {
            State::Open | State::Approved if !self.is_good(now) => State::Expired,
            state => state,
        })
    }

    /// Whether it says no, and nobody is to be asked the same again.
    pub(super) fn is_no(&self, now: SystemTime) -> bool {
        self.state == State::Denied.as_str() && self.is_good(now)
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.changed <= micros(now + SKEW) && micros(now) < self.expires
    }

    /// As it is shown at `now`.
    pub(super) fn entry(&self, id: &str, now: SystemTime) -> Entry {
        let state = self.state(now).unwrap_or(State::Expired);
        let mut question = self.question.clone();
        if state != State::Open {
            question.body = None;
        }
        Entry {
            id: id.to_owned(),
            question,
            state,
            opened: time(self.opened),
            expires: time(self.expires),
            by: self.by,
        }
    }
}
