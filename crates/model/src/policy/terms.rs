//! What a rule demands beside the match.

use std::fmt;
use std::time::Duration;

use crate::code::{Code, Refusal};
use crate::rate::Gcra;

/// What a rule demands of a request that it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How often the rule may let a request through.
    pub rate: Option<Gcra>,
    /// The agent must say why.
    pub reason: bool,
    /// How a person is asked.
    pub method: Method,
    /// The code that the agent's client shows must be typed in the window.
    pub typed: bool,
    /// For how long a person's yes is good at the most; `None`: as long as the person says.
    pub ttl: Option<Duration>,
}

impl Terms {
    /// Refuses a request that gives no reason, where one is demanded.
    ///
    /// # Errors
    ///
    /// `policy_denied`: the same request is never let through, one with a reason is another request.
    pub fn check_reason(&self, reason: Option<&str>) -> Result<(), Refusal> {
        if self.reason && reason.is_none_or(|reason| reason.trim().is_empty()) {
            let text = "this rule wants to know why: call again and say it in `reason`";
            return Err(Refusal::new(Code::PolicyDenied, text));
        }
        Ok(())
    }

    /// The same, and what `other` demands of who asks and of a yes; each rule has a rate of its own.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.reason |= other.reason;
        self.method = self.method.max(other.method);
        self.typed |= other.typed;
        self.ttl = match (self.ttl, other.ttl) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self
    }

    /// Whether they demand at least what `other` demands.
    pub fn are_within(&self, other: &Self) -> bool {
        let rate = match (self.rate, other.rate) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => {
                ours.per_minute <= theirs.per_minute && ours.burst <= theirs.burst
            }
        };
        let ttl = match (self.ttl, other.ttl) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => ours <= theirs,
        };
        rate && ttl
            && (self.reason || !other.reason)
            && (self.method == Method::Dialog || other.method == Method::Any)
            && (self.typed || !other.typed)
    }
}

/// In plain words, each behind a comma: `, at most 10 a minute, with a reason`.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Gcra { per_minute, burst }) = self.rate {
            write!(f, ", at most {per_minute} a minute")?;
            if burst != per_minute {
                write!(f, " and {burst} at once")?;
            }
        }
        if self.reason {
            f.write_str(", with a reason")?;
        }
        if self.method == Method::Dialog {
            f.write_str(", asked outside the agent's client")?;
        }
        if self.typed {
            f.write_str(", a code typed in the window")?;
        }
        if let Some(ttl) = self.ttl {
            let seconds = ttl.as_secs();
            let units = [(3600, "h"), (60, "m"), (1, "s")];
            let exact = units.iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
            let (unit, name) = exact.copied().unwrap_or((1, "s"));
            write!(f, ", a yes good for {}{name}", seconds / unit)?;
        }
        Ok(())
    }
}

/// How a person is asked (decision 15). Ordered by strictness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// By any means, the client's own prompt included.
    #[default]
    Any,
    /// Outside the agent's channel: by the dialog, the terminal or the dashboard.
    Dialog,
}
