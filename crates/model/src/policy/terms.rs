//! What a rule demands beside the match.

use std::time::Duration;

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
    /// For how long a person's yes is good at the most; `None`: as long as the person says.
    pub ttl: Option<Duration>,
}

/// How a person is asked (decision 15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By any means, the client's own prompt included.
    #[default]
    Any,
    /// Outside the agent's channel: by the dialog, the terminal or the dashboard.
    Dialog,
}
