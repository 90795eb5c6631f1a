//! How much at once, and how often: caps on what one principal and one service may use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::principal::Name;
use strongroom_model::rate::{Gcra, State};
use strongroom_model::service::Service;

/// Admits calls.
pub(crate) struct Admission {
    at_once: usize,
    running: Mutex<HashMap<Name, Arc<AtomicUsize>>>,
    states: Mutex<HashMap<Name, State>>,
}

/// One running call; the place is free again when it is dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Admission {
    /// Admits `at_once` calls of one principal.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, running: Mutex::default(), states: Mutex::default() }
    }

    /// A place for a call of `principal`, so that one cannot take what others need (RX-05).
    pub(crate) fn enter(&self, principal: &Name) -> Result<Place, Refusal> {
        let running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.get(principal) {
                Some(running) => Arc::clone(running),
                None => Arc::clone(running.entry(principal.clone()).or_default()),
            }
        };
        let place = Place(running);
        if place.0.fetch_add(1, Ordering::AcqRel) < self.at_once {
            Ok(place)
        } else {
            let text = "too many calls of this principal are running";
            Err(Refusal { retry_after_s: Some(1), ..Refusal::new(Code::RateLimited, text) })
        }
    }

    /// Counts a call to `service` at `now`. The calls of a minute may come all at once.
    pub(crate) fn count(&self, service: &Service, now: Duration) -> Result<(), Refusal> {
        let per_minute = service.limits.calls_per_minute;
        let rate = Gcra { per_minute, burst: per_minute };
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match states.get_mut(&service.name) {
            Some(state) => state,
            None => states.entry(service.name.clone()).or_default(),
        };
        rate.check(state, now).map_err(|wait| {
            let text = "this service has had its calls of the minute";
            let retry_after_s = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
            Refusal { retry_after_s, ..Refusal::new(Code::RateLimited, text) }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_principal_cannot_take_the_places_of_another() {
        let admission = Admission::new(2);
        let (a, b): (Name, Name) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = admission.enter(&a).unwrap();
        let _second = admission.enter(&a).unwrap();
        assert_eq!(admission.enter(&a).err().unwrap().code, Code::RateLimited);
        assert!(admission.enter(&b).is_ok());
        drop(first);
        assert!(admission.enter(&a).is_ok());
    }
}
