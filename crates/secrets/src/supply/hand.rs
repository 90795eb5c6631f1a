//! The answers to one question, as they come together.

use std::time::Duration;

use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_model::server::Delivery;

use super::{Answer, Asked, From, Taken, is_here, slow};
use crate::cache::CacheProblem;

/// The answers so far.
pub(super) struct Hand<'a> {
    pub(super) places: Vec<Place<'a>>,
    pub(super) due: bool,
    pub(super) problem: Option<CacheProblem>,
    pub(super) asked: Vec<Asked>,
}

pub(super) struct Place<'a> {
    pub(super) reference: &'a SecretRef,
    pub(super) by: By,
    pub(super) answer: Option<Answer>,
}

/// Who answers for a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The cache, and the provider where it does not do.
    Cache,
    /// The provider, always.
    Provider,
    /// This machine.
    Here,
}

impl By {
    pub(super) fn from(self) -> From {
        if self == Self::Here { From::Local } else { From::Provider }
    }
}

impl Place<'_> {
    pub(super) fn is_open(&self, by: By) -> bool {
        self.by == by && self.answer.is_none()
    }
}

impl<'a> Hand<'a> {
    pub(super) fn new(wanted: &'a [SecretRef], delivery: Delivery) -> Self {
        let mut places: Vec<Place<'a>> = Vec::with_capacity(wanted.len());
        for reference in wanted {
            if places.iter().all(|place| place.reference != reference) {
                let by = match delivery {
                    _ if is_here(reference) => By::Here,
                    Delivery::Runtime => By::Provider,
                    Delivery::Cached | Delivery::EnvFile => By::Cache,
                };
                places.push(Place { reference, by, answer: None });
            }
        }
        Self { places, due: false, problem: None, asked: Vec::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.places.iter().any(|place| place.answer.is_none())
    }

    pub(super) fn open(&mut self, by: By) -> impl Iterator<Item = &mut Place<'a>> {
        self.places.iter_mut().filter(move |place| place.is_open(by))
    }

    pub(super) fn taken(self) -> Taken {
        Taken {
            answers: self.places.into_iter().filter_map(|place| place.answer).collect(),
            refresh_due: self.due,
            problem: self.problem,
            asked: self.asked,
        }
    }
}

impl Answer {
    pub(super) fn new(reference: &SecretRef, from: From) -> Self {
        let secret = Err(slow(reference));
        let reference = reference.clone();
        Self { reference, secret, from, age: Duration::ZERO, why: None, silent: false }
    }

    pub(super) fn failed(reference: &SecretRef, from: From, error: ResolveError) -> Self {
        Self { secret: Err(error), ..Self::new(reference, from) }
    }
}
