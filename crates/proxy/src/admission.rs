//! What may run at once, how often, and how much of it: per principal, service and rule.
//!
//! Only what the policy lets through is counted, and a call that one limit refuses takes nothing
//! from the others. The counters are this process's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::policy::Terms;
use strongroom_model::principal::Name;
use strongroom_model::rate::{Budget, Gcra, State};
use strongroom_model::service::{Allowance, Limits};

/// Admits calls.
pub(crate) struct Admission {
    at_once: usize,
    counters: Arc<Mutex<Counters>>,
}

#[derive(Default)]
struct Counters {
    principals: HashMap<Name, Counter>,
    services: HashMap<Name, Counter>,
}

/// What is counted of one principal, or of one service.
#[derive(Default)]
struct Counter {
    running: usize,
    calls: State,
    bytes: State,
    /// By a rule's text.
    rules: HashMap<Box<str>, State>,
}

/// What is to be admitted.
pub(crate) struct Wanted<'a> {
    pub(crate) principal: &'a Name,
    /// What the principal may do less than others.
    pub(crate) allowance: Option<&'a Allowance>,
    pub(crate) service: &'a Name,
    pub(crate) limits: &'a Limits,
    /// The rule that lets it through, and what it demands.
    pub(crate) rule: &'a str,
    pub(crate) terms: &'a Terms,
}

/// One running call; the place is free again when it is dropped.
pub(crate) struct Place {
    counters: Arc<Mutex<Counters>>,
    principal: Name,
    service: Name,
    budgets: [Option<Budget>; 2],
}

impl Admission {
    /// Admits `at_once` calls of one principal.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, counters: Arc::default() }
    }

    /// A place for a call at `now`, if none of the limits is reached: so one principal cannot take
    /// what others need (RX-05).
    pub(crate) fn enter(&self, wanted: &Wanted<'_>, now: Duration) -> Result<Place, Refusal> {
        let budgets =
            [wanted.allowance.and_then(|own| own.bytes_per_day), wanted.limits.bytes_per_day]
                .map(|bytes| bytes.map(|bytes_per_day| Budget { bytes_per_day }));
        let mut counters = lock(&self.counters);
        let Counters { principals, services } = &mut *counters;
        let principal = entry(principals, wanted.principal);
        let service = entry(services, wanted.service);

        let at_once = wanted.allowance.and_then(|own| own.calls_at_once).unwrap_or(self.at_once);
        if principal.running >= at_once {
            return Err(limited("too many calls of this principal are running", None));
        }
        if wanted.limits.calls_at_once.is_some_and(|most| service.running >= most) {
            return Err(limited("too many calls to this service are running", None));
        }
        for (budget, counter, text) in [
            (budgets[0], &*principal, "this principal has had its bytes of the day"),
            (budgets[1], &*service, "this service has had its bytes of the day"),
        ] {
            if let Some(budget) = budget {
                budget.check(&counter.bytes, now).map_err(|wait| limited(text, Some(wait)))?;
            }
        }
        count(principal, service, wanted, now)?;
        principal.running += 1;
        service.running += 1;
        Ok(Place {
            counters: Arc::clone(&self.counters),
            principal: wanted.principal.clone(),
            service: wanted.service.clone(),
            budgets,
        })
    }
}

/// Counts the call by every rate that it has, or by none of them.
fn count(
    principal: &mut Counter,
    service: &mut Counter,
    wanted: &Wanted<'_>,
    now: Duration,
) -> Result<(), Refusal> {
    let minute = |per_minute| Gcra { per_minute, burst: per_minute };
    let check = |rate: Gcra, mut state: State, text| match rate.check(&mut state, now) {
        Ok(()) => Ok(state),
        Err(wait) => Err(limited(text, Some(wait))),
    };
    let own = wanted.allowance.and_then(|own| own.calls_per_minute).map(|calls| {
        check(minute(calls), principal.calls, "this principal has had its calls of the minute")
    });
    let own = own.transpose()?;
    let rule = wanted.terms.rate.map(|rate| {
        let state = service.rules.get(wanted.rule).copied().unwrap_or_default();
        check(rate, state, "this rule has had its calls for now")
            .map_err(|r| r.by_rule(wanted.rule))
    });
    let rule = rule.transpose()?;
    let calls = minute(wanted.limits.calls_per_minute);
    service.calls = check(calls, service.calls, "this service has had its calls of the minute")?;
    if let Some(state) = own {
        principal.calls = state;
    }
    if let Some(state) = rule {
        match service.rules.get_mut(wanted.rule) {
            Some(there) => *there = state,
            None => drop(service.rules.insert(wanted.rule.into(), state)),
        }
    }
    Ok(())
}

impl Place {
    /// Takes `bytes`, sent and received, from the budgets of the call.
    pub(crate) fn charge(&self, bytes: u64, now: Duration) {
        let [own, of_service] = self.budgets;
        if own.is_none() && of_service.is_none() {
            return;
        }
        let mut counters = lock(&self.counters);
        let Counters { principals, services } = &mut *counters;
        for (budget, counter) in [
            (own, entry(principals, &self.principal)),
            (of_service, entry(services, &self.service)),
        ] {
            if let Some(budget) = budget {
                budget.charge(&mut counter.bytes, now, bytes);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counters = lock(&self.counters);
        entry(&mut counters.principals, &self.principal).running -= 1;
        entry(&mut counters.services, &self.service).running -= 1;
    }
}

fn entry<'a>(counters: &'a mut HashMap<Name, Counter>, name: &Name) -> &'a mut Counter {
    // Names are cloned once, not for each call.
    if !counters.contains_key(name) {
        counters.insert(name.clone(), Counter::default());
    }
    counters.get_mut(name).expect("it was put there")
}

fn lock(counters: &Mutex<Counters>) -> MutexGuard<'_, Counters> {
    counters.lock().unwrap_or_else(PoisonError::into_inner)
}

fn limited(text: &'static str, wait: Option<Duration>) -> Refusal {
    let seconds = |wait: Duration| wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let retry_after_s = Some(wait.map_or(1, seconds));
    Refusal { retry_after_s, ..Refusal::new(Code::RateLimited, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    struct Rig {
        admission: Admission,
        allowance: Allowance,
        limits: Limits,
        terms: Terms,
        now: Duration,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                admission: Admission::new(2),
                allowance: Allowance::default(),
                limits: Limits::default(),
                terms: Terms::default(),
                now: Duration::from_hours(48),
            }
        }

        fn enter(&self, principal: &str, rule: &str) -> Result<Place, Refusal> {
            let wanted = Wanted {
                principal: &principal.parse().unwrap(),
                allowance: Some(&self.allowance),
                service: &"acme".parse().unwrap(),
                limits: &self.limits,
                rule,
                terms: &self.terms,
            };
            self.admission.enter(&wanted, self.now)
        }
    }

    #[test]
    fn one_principal_cannot_take_the_places_of_another() {
        let rig = Rig::new();
        let first = rig.enter("a", "r").unwrap();
        let _second = rig.enter("a", "r").unwrap();
        assert_eq!(rig.enter("a", "r").err().unwrap().code, Code::RateLimited);
        assert!(rig.enter("b", "r").is_ok());
        drop(first);
        assert!(rig.enter("a", "r").is_ok());
    }

    #[test]
    fn a_service_and_a_principal_have_places_of_their_own() {
        let mut rig = Rig::new();
        rig.limits.calls_at_once = Some(1);
        let first = rig.enter("a", "r").unwrap();
        assert!(rig.enter("b", "r").is_err());
        drop(first);
        assert!(rig.enter("b", "r").is_ok());
        rig.limits.calls_at_once = None;
        rig.allowance.calls_at_once = Some(1);
        let _first = rig.enter("a", "r").unwrap();
        assert!(rig.enter("a", "r").is_err());
    }

    #[test]
    fn a_rule_has_its_own_rate_and_a_refused_call_takes_nothing_from_other_rates() {
        let mut rig = Rig::new();
        rig.limits.calls_per_minute = 3;
        rig.terms.rate = Some(Gcra { per_minute: 1, burst: 1 });
        assert!(rig.enter("a", "one").is_ok());
        for _ in 0..5 {
            let refusal = rig.enter("a", "one").err().unwrap();
            assert_eq!((refusal.rule.as_deref(), refusal.retry_after_s), (Some("one"), Some(60)));
        }
        assert!(rig.enter("a", "two").is_ok(), "another rule, and the service's calls are left");
        assert!(rig.enter("a", "three").is_ok());
        assert!(rig.enter("a", "four").err().unwrap().rule.is_none(), "the service's are used up");
    }

    #[test]
    fn a_principal_has_its_own_rate() {
        let mut rig = Rig::new();
        rig.allowance.calls_per_minute = Some(1);
        assert!(rig.enter("a", "r").is_ok());
        assert_eq!(rig.enter("a", "r").err().unwrap().retry_after_s, Some(60));
        assert!(rig.enter("b", "r").is_ok());
    }

    #[test]
    fn bytes_are_charged_afterwards_and_come_back_with_time() {
        let mut rig = Rig::new();
        rig.limits.bytes_per_day = Some(100);
        let place = rig.enter("a", "r").unwrap();
        place.charge(150, rig.now);
        drop(place);
        let refusal = rig.enter("b", "r").err().unwrap();
        assert_eq!(refusal.retry_after_s, Some(DAY.as_secs() / 2));
        rig.now += DAY / 2;
        assert!(rig.enter("b", "r").is_ok());
    }
}
