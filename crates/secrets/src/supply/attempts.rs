//! What went wrong lately, so that it is not tried again at once: `attempts.json`.
//!
//! No secret is in it, and it is trusted for nothing but holding back: whatever stands in it, no
//! entry is supplied, kept or taken out because of it. A file that is missing or damaged holds
//! nothing back.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::SecureDir;

use super::Fingerprint;

pub(super) const FILE: &str = "attempts.json";

const LARGEST: usize = 4 << 20;
/// For so long an answer that there is no such secret, or that we may not have it, holds.
const REFUSED: Duration = Duration::from_mins(1);
/// For so long the same token is not tried again.
const REJECTED: Duration = Duration::from_mins(5);
/// So many failures in a row, in so short a time, open the breaker.
const FAILURES: u32 = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// For so long it stays open the first time; then for twice as long, up to the longest.
const OPEN: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_mins(15);
/// For so long a probe is under way.
const PROBE: Duration = Duration::from_secs(15);
/// What is older is of no interest to anybody.
const FORGOTTEN: Duration = Duration::from_hours(30 * 24);

/// What went wrong lately.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Attempts {
    references: BTreeMap<String, Attempt>,
    schemes: BTreeMap<String, Breaker>,
}

/// The last attempt for a reference, which failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Milliseconds since 1970.
    at: u64,
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    why: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    fix: String,
    /// How often in a row the background refresh has failed.
    #[serde(default)]
    pub(super) failures: u32,
}

/// What is known about a provider as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Breaker {
    /// Failures in a row since `since`.
    failures: u32,
    since: u64,
    /// How often in a row it has opened.
    opened: u32,
    /// Nobody asks before.
    until: u64,
    /// Whether the provider itself asked to be left alone.
    limited: bool,
    /// When it did not accept its token, and which set-up that was.
    rejected: Option<(u64, String)>,
}

impl Attempts {
    /// What is written down in `dir`.
    pub(super) fn load(dir: &SecureDir) -> Self {
        let bytes = dir.read(FILE, LARGEST).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes it down. Where that fails nothing is held back, which is no reason to stop.
    pub(super) fn save(&self, dir: &SecureDir) {
        if *self != Self::load(dir) {
            let text = serde_json::to_vec_pretty(self).expect("numbers and texts are JSON");
            drop(dir.write_atomic(FILE, &text));
        }
    }

    /// Why `reference` is not to be asked for now.
    pub(super) fn held(
        &self,
        reference: &SecretRef,
        now: SystemTime,
        fingerprint: &Fingerprint,
    ) -> Option<ResolveError> {
        let now = millis(now);
        if let Some(breaker) = self.schemes.get(reference.scheme()) {
            if let Some((at, of)) = &breaker.rejected
                && within(*at, now, REJECTED)
                && *of == fingerprint(reference.scheme())
            {
                return Some(ResolveError::TokenRejected { scheme: reference.scheme().to_owned() });
            }
            if breaker.is_open(now) {
                return Some(ResolveError::Limited { scheme: reference.scheme().to_owned() });
            }
        }
        let attempt = self.references.get(reference.as_str())?;
        let refused = matches!(&*attempt.kind, "not_found" | "denied" | "unusable");
        (refused && within(attempt.at, now, REFUSED)).then(|| attempt.error(reference))
    }

    /// The same where a person asks: only what the provider itself forbids.
    pub(super) fn held_from_people(
        &self,
        reference: &SecretRef,
        now: SystemTime,
    ) -> Option<ResolveError> {
        let breaker = self.schemes.get(reference.scheme())?;
        (breaker.limited && breaker.is_open(millis(now)))
            .then(|| ResolveError::Limited { scheme: reference.scheme().to_owned() })
    }

    /// How the last attempt for `reference` failed, if it was made since `began`.
    pub(super) fn since(
        &self,
        reference: &SecretRef,
        began: SystemTime,
        now: SystemTime,
    ) -> Option<ResolveError> {
        let attempt = self.references.get(reference.as_str())?;
        let recent = (millis(began)..=millis(now)).contains(&attempt.at);
        recent.then(|| attempt.error(reference))
    }

    /// Before providers are asked: where a breaker was open until now, the question is its one probe,
    /// and until it is answered nobody else asks. Says whether there is such a one.
    pub(super) fn claim(&mut self, schemes: &[&str], now: SystemTime) -> bool {
        let now = millis(now);
        let mut claimed = false;
        for scheme in schemes {
            if let Some(breaker) = self.schemes.get_mut(*scheme)
                && breaker.opened > 0
            {
                breaker.until = now + length(PROBE);
                claimed = true;
            }
        }
        claimed
    }

    /// What a provider said to a batch.
    pub(super) fn note_batch(
        &mut self,
        scheme: &str,
        answers: &[Result<Secret, ResolveError>],
        now: SystemTime,
        fingerprint: &Fingerprint,
    ) {
        let now = millis(now);
        let is = |test: fn(&ResolveError) -> bool| {
            answers.iter().any(|answer| answer.as_ref().err().is_some_and(test))
        };
        let limited = is(|error| matches!(error, ResolveError::Limited { .. }));
        let stumbled = |answer: &Result<Secret, ResolveError>| {
            matches!(answer, Err(ResolveError::Unreachable { .. }))
        };
        let breaker = self.schemes.entry(scheme.to_owned()).or_default();
        if limited || answers.iter().all(stumbled) {
            breaker.failed(now, limited);
        } else {
            *breaker = Breaker::default();
        }
        if is(|error| matches!(error, ResolveError::TokenRejected { .. })) {
            breaker.rejected = Some((now, fingerprint(scheme)));
        }
        if *breaker == Breaker::default() {
            self.schemes.remove(scheme);
        }
    }

    /// How an attempt for `reference` ended.
    pub(super) fn note(
        &mut self,
        reference: &SecretRef,
        error: Option<&ResolveError>,
        now: SystemTime,
        background: bool,
    ) {
        let Some(error) = error else {
            self.references.remove(reference.as_str());
            return;
        };
        let (why, fix) = match error {
            ResolveError::Denied { why, .. } | ResolveError::Unreachable { why, .. } => {
                (why.clone(), String::new())
            }
            ResolveError::Absent { why, fix, .. } => (why.clone(), fix.clone()),
            _ => Default::default(),
        };
        let failures = self.failures(reference).saturating_add(u32::from(background));
        let attempt =
            Attempt { at: millis(now), kind: error.kind().to_owned(), why, fix, failures };
        self.references.insert(reference.as_str().to_owned(), attempt);
        let old = millis(now).saturating_sub(length(FORGOTTEN));
        self.references.retain(|_, attempt| attempt.at > old);
    }

    /// How often in a row the background refresh has failed for `reference`.
    pub(super) fn failures(&self, reference: &SecretRef) -> u32 {
        self.references.get(reference.as_str()).map_or(0, |attempt| attempt.failures)
    }

    /// Forgets these references.
    pub(super) fn forget(&mut self, refs: &[SecretRef]) {
        for reference in refs {
            self.references.remove(reference.as_str());
        }
    }

    /// Forgets everything about the provider of `scheme`.
    pub(super) fn forget_scheme(&mut self, scheme: &str) {
        self.schemes.remove(scheme);
        self.references.retain(|text, _| text.split("://").next() != Some(scheme));
    }

    /// Every reference that failed last time.
    pub(super) fn references(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        self.references.iter().map(|(text, attempt)| (text.as_str(), attempt))
    }

    /// Every provider that nobody asks now: until when, and whether it refuses its token.
    pub(super) fn shut(
        &self,
        now: SystemTime,
    ) -> impl Iterator<Item = (&str, Option<SystemTime>, bool)> {
        let now = millis(now);
        self.schemes.iter().filter_map(move |(scheme, breaker)| {
            let until = breaker.is_open(now).then(|| time(breaker.until));
            let rejected = breaker.rejected.is_some();
            (until.is_some() || rejected).then_some((scheme.as_str(), until, rejected))
        })
    }
}

impl Attempt {
    /// When it was.
    pub(super) fn at(&self) -> SystemTime {
        time(self.at)
    }

    /// What is to be said about it.
    pub(super) fn error(&self, reference: &SecretRef) -> ResolveError {
        let (reference, scheme) = (reference.clone(), reference.scheme().to_owned());
        let why = self.why.clone();
        match &*self.kind {
            "not_found" => ResolveError::NotFound { reference },
            "denied" => ResolveError::Denied { reference, why },
            "unusable" => {
                ResolveError::Unusable { reference, why: "it was not when it was last asked for" }
            }
            "locked" => ResolveError::Locked { scheme },
            "integrity" => ResolveError::Integrity { scheme },
            "limited" => ResolveError::Limited { scheme },
            "token_rejected" => ResolveError::TokenRejected { scheme },
            "absent" => ResolveError::Absent { scheme, why, fix: self.fix.clone() },
            "no_provider" => ResolveError::NoProvider { scheme },
            _ => ResolveError::Unreachable { scheme, why },
        }
    }
}

impl Breaker {
    /// A time that is further away than a breaker ever is comes from a clock that was wrong.
    fn is_open(&self, now: u64) -> bool {
        self.until > now && self.until - now <= length(LONGEST)
    }

    fn failed(&mut self, now: u64, limited: bool) {
        if !within(self.since, now, WINDOW) {
            (self.failures, self.since) = (0, now);
        }
        self.failures = self.failures.saturating_add(1);
        self.limited = limited;
        // A probe that fails opens it again at once, and so does a provider that asks for it.
        if self.failures >= FAILURES || self.opened > 0 || limited {
            let doubled = OPEN.saturating_mul(1 << self.opened.min(8));
            self.until = now + length(doubled.min(LONGEST));
            self.opened = self.opened.saturating_add(1);
        } else {
            self.until = 0;
        }
    }
}

fn within(at: u64, now: u64, span: Duration) -> bool {
    at <= now && now - at < length(span)
}

fn millis(time: SystemTime) -> u64 {
    length(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn length(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The time of these milliseconds, which may be anything: one that no calendar has is none.
fn time(millis: u64) -> SystemTime {
    const LAST: u64 = 253_402_300_799_000;
    let span = Some(millis).filter(|millis| *millis <= LAST).map(Duration::from_millis);
    span.and_then(|span| UNIX_EPOCH.checked_add(span)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
