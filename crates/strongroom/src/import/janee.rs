//! What a home of Janee means here: its services and capabilities in, services of ours out.
//!
//! [`files`] reads and opens the home, [`rules`] translates what a capability allows, [`auth`] how a key
//! is sent, `exec` what ran programs, and [`plan`] puts them together.
//!
//! Invariant: no request that Janee refused is allowed by what comes out, but for the queries that
//! [`rules`] speaks of; and whatever of the home does not come over is named, with the reason.

pub mod auth;
mod exec;
pub mod files;
pub mod plan;
pub mod rules;

use serde::Serialize;

/// Something of the home that does not come over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// What.
    pub what: String,
    /// Why, or what to do instead.
    pub why: String,
}

impl Left {
    fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}
