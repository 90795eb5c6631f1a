//! The executor against upstreams that behave and upstreams that do not.
//!
//! The modules are named after the groups of the attack corpus. What every refusal promises
//! (nothing sent, one record, the next call works) is asserted in one place, `Rig::denied`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod al;
mod consent;
mod dialog;
#[cfg(target_os = "linux")]
mod exec;
mod far;
mod h2;
mod handles;
mod hi;
mod mtls;
mod pb;
mod rd;
mod rig;
mod rr;
mod rx;
mod served;
mod signed;
mod ss;
mod stream;
mod tokens;
mod tools;
