//! `Idempotency-Key`: a request that is sent again is answered again, and done once.
//!
//! Answers are kept in memory, by caller, route and key, for 24 hours and at most [`MOST`] of them
//! ([`MOST_BYTES`] in all), the oldest going first; a restart forgets them, and other nodes do not
//! know them. What a repeat can do after that is bounded by the store: names are unique, and storing a
//! credential again stores the same. Only what was done is kept; a request that was refused is judged
//! anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderName;
use http::request::Parts;
use strongroom_model::team::{KeyId, TenantId};
use zeroize::Zeroizing;

use crate::credential::single;
use crate::problem::{Problem, Reason};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(24);
/// How many are kept.
const MOST: usize = 10_000;
/// How many bytes of them.
const MOST_BYTES: usize = 16 << 20;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which request it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Which {
    pub(crate) caller: KeyId,
    pub(crate) tenant: TenantId,
    pub(crate) route: &'static str,
    pub(crate) key: String,
}

/// The header, where there is one.
pub(crate) fn key(parts: &Parts) -> Result<Option<String>, Problem> {
    match single(&parts.headers, &IDEMPOTENCY_KEY)? {
        Some(key) if key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(Problem::invalid("`Idempotency-Key` has 1 to 255 printable characters"))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

/// The answers that are kept.
#[derive(Default)]
pub(crate) struct Repeats(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<Which, Entry>,
    /// Which came when, the oldest first. Some may be gone.
    order: VecDeque<(Duration, Which)>,
    bytes: usize,
}

struct Entry {
    body: [u8; 32],
    came: Duration,
    /// `None` while it is being done.
    answer: Option<Zeroizing<Vec<u8>>>,
}

/// What is to be done with a request that has a key.
pub(crate) enum Turn {
    /// Do it, and tell the place.
    First(Place),
    /// It was done; this was the answer.
    Again(Vec<u8>),
}

/// The place of a request that is being done. Dropped, it is free again.
pub(crate) struct Place {
    repeats: Arc<Repeats>,
    which: Option<Which>,
}

impl Repeats {
    /// Asks what to do with a request.
    ///
    /// # Errors
    ///
    /// `conflict` where the same key came with another body, or is being worked on.
    pub(crate) fn turn(
        self: &Arc<Self>,
        which: Which,
        body: &[u8],
        now: Duration,
    ) -> Result<Turn, Problem> {
        let hash = strongroom_seal::sha256(body);
        let mut kept = self.lock();
        kept.forget(now);
        if let Some(entry) = kept.answers.get(&which) {
            if entry.body != hash {
                return conflict("this `Idempotency-Key` came with another body before");
            }
            return match &entry.answer {
                Some(answer) => Ok(Turn::Again(answer.to_vec())),
                None => conflict("the first request with this `Idempotency-Key` is not done yet"),
            };
        }
        kept.order.push_back((now, which.clone()));
        kept.answers.insert(which.clone(), Entry { body: hash, came: now, answer: None });
        Ok(Turn::First(Place { repeats: Arc::clone(self), which: Some(which) }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn conflict<T>(message: &'static str) -> Result<T, Problem> {
    Err(Problem::new(Reason::Conflict, message))
}

impl Place {
    /// It was done, and this is the answer.
    pub(crate) fn done(mut self, answer: &[u8]) {
        let Some(which) = self.which.take() else { return };
        let mut kept = self.repeats.lock();
        if let Some(entry) = kept.answers.get_mut(&which) {
            entry.answer = Some(Zeroizing::new(answer.to_vec()));
            kept.bytes += answer.len();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(which) = self.which.take() {
            self.repeats.lock().answers.remove(&which);
        }
    }
}

impl Kept {
    fn forget(&mut self, now: Duration) {
        while let Some((came, which)) = self.order.front() {
            let old = now.saturating_sub(*came) >= KEPT;
            if !old && self.order.len() < MOST && self.bytes < MOST_BYTES {
                return;
            }
            // The same key may have come again later: that one has its own line in the order.
            if self.answers.get(which).is_some_and(|entry| entry.came == *came)
                && let Some(entry) = self.answers.remove(which)
            {
                self.bytes -= entry.answer.map_or(0, |answer| answer.len());
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(key: &str) -> Which {
        Which {
            caller: "0123456789abcdef".parse().unwrap(),
            tenant: TenantId::from_random([7; 16]),
            route: "/register",
            key: key.to_owned(),
        }
    }

    fn first(repeats: &Arc<Repeats>, key: &str, now: Duration) -> Place {
        match repeats.turn(which(key), b"body", now) {
            Ok(Turn::First(place)) => place,
            _ => panic!("it is not the first"),
        }
    }

    fn again(repeats: &Arc<Repeats>, key: &str, now: Duration) -> Option<Vec<u8>> {
        match repeats.turn(which(key), b"body", now) {
            Ok(Turn::Again(answer)) => Some(answer),
            _ => None,
        }
    }

    #[test]
    fn the_same_request_has_the_same_answer_for_a_day() {
        let (repeats, now) = (Arc::new(Repeats::default()), Duration::from_secs(1));
        first(&repeats, "k", now).done(b"answer");
        assert_eq!(again(&repeats, "k", now).unwrap(), b"answer");
        let other = repeats.turn(which("k"), b"other", now).err().unwrap();
        assert_eq!((other.status, other.reason.as_str()), (409, "conflict"));
        let caller = "fedcba9876543210".parse().unwrap();
        let theirs = repeats.turn(Which { caller, ..which("k") }, b"other", now);
        assert!(matches!(theirs, Ok(Turn::First(_))), "another caller's key is another key");
        first(&repeats, "k", now + KEPT).done(b"new");
        assert_eq!(again(&repeats, "k", now + KEPT).unwrap(), b"new");
    }

    #[test]
    fn a_request_that_came_to_nothing_is_judged_anew_and_one_under_way_is_waited_for() {
        let (repeats, now) = (Arc::new(Repeats::default()), Duration::ZERO);
        let place = first(&repeats, "k", now);
        assert_eq!(repeats.turn(which("k"), b"body", now).err().unwrap().status, 409);
        drop(place);
        drop(first(&repeats, "k", now));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (repeats, now) = (Arc::new(Repeats::default()), Duration::ZERO);
        for n in 0..MOST + 100 {
            first(&repeats, &n.to_string(), now).done(&[0; 10]);
        }
        assert!(repeats.lock().answers.len() <= MOST);
        for n in 0..40 {
            first(&repeats, &format!("large {n}"), now).done(&vec![0; 1 << 20]);
        }
        assert!(repeats.lock().bytes <= MOST_BYTES + (1 << 20));
        assert!(again(&repeats, "large 39", now).is_some() && again(&repeats, "0", now).is_none());
    }
}
