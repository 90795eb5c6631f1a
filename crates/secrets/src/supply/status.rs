//! What there is to say about every secret that is kept or was tried.

use std::collections::BTreeMap;
use std::time::SystemTime;

use strongroom_model::freshness::{Outcome, Use};
use strongroom_model::reference::SecretRef;

use super::attempts::{Attempt, Attempts};
use super::{Supply, is_here};
use crate::cache::{CacheProblem, Entry, Kept};

/// What there is to say.
#[derive(Debug)]
pub struct Status {
    /// Every reference that was asked about, is in the cache, or failed lately; in order.
    pub entries: Vec<EntryStatus>,
    /// Every provider that is not asked at the moment.
    pub schemes: Vec<SchemeStatus>,
    /// What is wrong with the cache.
    pub problem: Option<CacheProblem>,
}

/// What there is to say about a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryStatus {
    /// Which.
    pub reference: SecretRef,
    /// What it is good for.
    pub state: State,
    /// When it was fetched.
    pub fetched_at: Option<SystemTime>,
    /// When it expires.
    pub expires_at: Option<SystemTime>,
    /// Until when it can stand in for its provider.
    pub usable_until: Option<SystemTime>,
    /// What went wrong last, if nothing has gone well since.
    pub last_error: Option<LastError>,
    /// How often in a row the background refresh has failed.
    pub failures: u32,
}

/// What a kept secret is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is used.
    Fresh,
    /// It is used, and will be fetched anew.
    Due,
    /// It has expired, and stands in where its provider cannot be reached.
    Stale,
    /// It has expired and is not used.
    Expired,
    /// It is not in the cache.
    Missing,
    /// It is on this machine and asked for at each start.
    Here,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// [`ResolveError::kind`](strongroom_model::ports::ResolveError::kind).
    pub kind: String,
    /// What it says.
    pub text: String,
    /// What a person does next.
    pub hint: Option<String>,
    /// When.
    pub at: SystemTime,
}

/// A provider that is not asked at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeStatus {
    /// Its scheme.
    pub scheme: String,
    /// Until when it is left alone.
    pub left_alone_until: Option<SystemTime>,
    /// Whether it does not accept its token.
    pub token_rejected: bool,
}

impl State {
    /// The stable name in `--json` answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Due => "due",
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::Missing => "missing",
            Self::Here => "here",
        }
    }
}

impl Supply {
    /// What there is to say about `refs` and everything that is kept. Nobody is asked and nothing is
    /// changed.
    pub fn status(&self, refs: &[SecretRef]) -> Status {
        let mut problem = None;
        let dir = self.existing().unwrap_or_else(|error| {
            problem = Some(error);
            None
        });
        let kept = dir.as_ref().map_or_else(|| Ok(Kept::default()), |dir| self.cache.read(dir));
        let kept = kept.unwrap_or_else(|error| {
            problem = Some(error);
            Kept::default()
        });
        let attempts = dir.as_ref().map(Attempts::load).unwrap_or_default();
        let now = self.clock.now();

        let known = refs.iter().cloned();
        let inside = kept.entries().filter_map(|entry| entry.reference.parse().ok());
        let failed = attempts.references().filter_map(|(text, _)| text.parse().ok());
        let mut all: BTreeMap<SecretRef, Option<&Attempt>> =
            known.chain(inside).chain(failed).map(|reference| (reference, None)).collect();
        for (text, attempt) in attempts.references() {
            if let Ok(reference) = text.parse() {
                all.insert(reference, Some(attempt));
            }
        }
        let entry = |(reference, attempt)| self.entry_status(reference, attempt, &kept, now);
        let schemes = attempts.shut(now).map(|(scheme, until, rejected)| SchemeStatus {
            scheme: scheme.to_owned(),
            left_alone_until: until,
            token_rejected: rejected,
        });
        Status {
            entries: all.into_iter().map(entry).collect(),
            schemes: schemes.collect(),
            problem,
        }
    }

    fn entry_status(
        &self,
        reference: SecretRef,
        attempt: Option<&Attempt>,
        kept: &Kept,
        now: SystemTime,
    ) -> EntryStatus {
        let freshness = self.rules.freshness_of(&reference, None);
        let entry = kept.find(&reference);
        let state = match entry {
            _ if is_here(&reference) => State::Here,
            None => State::Missing,
            Some(_) => match kept.judge(&reference, freshness, now, Outcome::NotAsked) {
                Use::Fresh => State::Fresh,
                Use::Refresh => State::Due,
                Use::Stale => State::Stale,
                Use::Expired => {
                    match kept.judge(&reference, freshness, now, Outcome::Unreachable) {
                        Use::Stale => State::Stale,
                        Use::Fresh | Use::Refresh | Use::Expired => State::Expired,
                    }
                }
            },
        };
        let expires =
            |entry: &Entry<'_>| entry.fetched_at.checked_add(freshness.ttl.min(entry.ttl));
        let expires_at = entry.as_ref().and_then(expires);
        let last_error = attempt.map(|attempt| {
            let error = attempt.error(&reference);
            LastError {
                kind: attempt.kind.clone(),
                text: error.to_string(),
                hint: error.hint(),
                at: attempt.at(),
            }
        });
        EntryStatus {
            state,
            fetched_at: entry.as_ref().map(|entry| entry.fetched_at),
            expires_at,
            usable_until: expires_at.and_then(|at| at.checked_add(freshness.max_stale)),
            last_error,
            failures: attempt.map_or(0, |attempt| attempt.failures),
            reference,
        }
    }
}
