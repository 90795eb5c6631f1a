//! How often may be asked: by one key, from one address, and without a valid key.
//!
//! What others send never counts against a key: it is charged only after it was found valid, so that
//! nobody locks it by guessing (AU-09).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use strongroom_model::rate::{Gcra, State};
use strongroom_model::team::KeyId;

use crate::options::Rates;

/// How many things are counted at one time before those that are idle are forgotten.
const MANY: usize = 1 << 16;

/// The rates and what was counted.
pub(crate) struct Limiter {
    keys: Counted<KeyId>,
    sources: Counted<IpAddr>,
    refusals: Counted<IpAddr>,
    recorded: Mutex<Recorded>,
}

/// Requests without a valid key, from wherever they come: whoever reaches the port can send any number,
/// and a record for each would fill the database.
#[derive(Default)]
struct Recorded {
    state: State,
    /// How many were not recorded since the last that was.
    left_out: u64,
}

/// A burst shows whole what a person does.
const RECORDED: Gcra = Gcra { per_minute: 60, burst: 600 };

impl Limiter {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            keys: Counted::new(rates.key),
            sources: Counted::new(rates.source),
            refusals: Counted::new(rates.refusals),
            recorded: Mutex::default(),
        }
    }

    /// Counts a request of a valid key. `Err`: how long to wait.
    pub(crate) fn key(&self, key: KeyId, now: Duration) -> Result<(), Duration> {
        self.keys.check(key, now)
    }

    /// Counts a request from an address. `Err`: how long to wait.
    pub(crate) fn source(&self, source: IpAddr, now: Duration) -> Result<(), Duration> {
        self.sources.check(network(source), now)
    }

    /// Counts a request without a valid key. `Err`: how long to wait.
    pub(crate) fn refusal(&self, source: IpAddr, now: Duration) -> Result<(), Duration> {
        self.refusals.check(network(source), now)
    }

    /// Whether a request without a valid key is recorded: how many before it were not. One that was told
    /// to wait (`heard` is false) never is.
    pub(crate) fn recorded(&self, heard: bool, now: Duration) -> Option<u64> {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if heard && RECORDED.check(&mut recorded.state, now).is_ok() {
            return Some(std::mem::take(&mut recorded.left_out));
        }
        recorded.left_out += 1;
        None
    }
}

/// An address, or the /64 that it is in: whoever has one IPv6 address has all of those.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

struct Counted<K> {
    rate: Gcra,
    states: Mutex<HashMap<K, (State, Duration)>>,
}

impl<K: Eq + Hash> Counted<K> {
    fn new(rate: Gcra) -> Self {
        Self { rate, states: Mutex::default() }
    }

    fn check(&self, key: K, now: Duration) -> Result<(), Duration> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if states.len() >= MANY && !states.contains_key(&key) {
            // What was quiet for so long is as if it had never been there.
            let idle = self.recovery();
            states.retain(|_, (_, last)| now.saturating_sub(*last) < idle);
            if states.len() >= MANY {
                // All of them are busy: the newcomer waits, and memory stays bounded.
                return Err(idle);
            }
        }
        let (state, last) = states.entry(key).or_default();
        *last = now;
        self.rate.check(state, now)
    }

    /// After this long without a request a state is like a new one.
    fn recovery(&self) -> Duration {
        let minute = Duration::from_mins(1);
        let interval = minute.checked_div(self.rate.per_minute).unwrap_or(minute);
        interval.saturating_mul(self.rate.burst.max(1)).max(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_minute: u32, burst: u32) -> Rates {
        let rate = Gcra { per_minute, burst };
        Rates { key: rate, source: rate, refusals: rate }
    }

    #[test]
    fn each_key_and_each_address_has_its_own_count() {
        let limiter = Limiter::new(rates(60, 2));
        let (a, b) = ("0123456789abcdef".parse().unwrap(), "1123456789abcdef".parse().unwrap());
        let now = Duration::from_secs(100);
        assert!(limiter.key(a, now).is_ok() && limiter.key(a, now).is_ok());
        assert_eq!(limiter.key(a, now), Err(Duration::from_secs(1)));
        assert!(limiter.key(b, now).is_ok());
        assert!(limiter.key(a, now + Duration::from_secs(1)).is_ok());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        assert!(limiter.refusal(one, now).is_ok() && limiter.refusal(one, now).is_ok());
        assert!(limiter.refusal(one, now).is_err());
        assert!(limiter.refusal(other, now).is_ok() && limiter.source(one, now).is_ok());
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_address_are_one_source() {
        let limiter = Limiter::new(rates(60, 1));
        let now = Duration::ZERO;
        let source = |ip: &str| limiter.source(ip.parse().unwrap(), now);
        assert!(source("2001:db8:1:2::1").is_ok());
        assert!(source("2001:db8:1:2:ffff::9").is_err());
        assert!(source("2001:db8:1:3::1").is_ok());
        assert!(source("192.0.2.1").is_ok());
        assert!(source("::ffff:192.0.2.1").is_err());
    }

    // AU-09
    #[test]
    fn a_flood_without_a_valid_key_is_recorded_600_times_then_once_a_second_and_the_rest_is_counted()
     {
        let limiter = Limiter::new(rates(60, 1));
        let now = Duration::from_secs(9);
        assert!((0..600).all(|_| limiter.recorded(true, now) == Some(0)));
        assert!((0..7).all(|_| limiter.recorded(true, now).is_none()));
        let later = now + Duration::from_secs(1);
        assert_eq!(limiter.recorded(false, later), None, "it was told to wait");
        assert_eq!(limiter.recorded(true, later), Some(8));
        assert_eq!(limiter.recorded(true, later), None);
    }

    #[test]
    fn memory_is_bounded_and_who_was_quiet_is_forgotten_first() {
        let counted = Counted::new(Gcra { per_minute: 60, burst: 1 });
        for n in 0..MANY {
            assert!(counted.check(n, Duration::ZERO).is_ok());
        }
        assert!(counted.check(MANY, Duration::ZERO).is_err(), "no room");
        assert!(counted.check(1, Duration::ZERO).is_err(), "the old ones are still counted");
        assert!(counted.check(MANY, Duration::from_secs(2)).is_ok());
        assert_eq!(counted.states.lock().unwrap().len(), 1);
    }
}
