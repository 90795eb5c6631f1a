//! The native half of the JavaScript package `mcp-secrets`: a thin layer over `strongroom-sdk`. What it
//! exports is for `lib/*.cjs` beside it, which is what authors of servers see.
//!
//! Functions that ask a person return promises and run on a runtime of their own, never on Node's
//! thread; the others wait for the keychain, as their names in the package promise. Errors come as
//! [`Outcome`](outcome::Outcome)s, so that their codes are kept on every way.

#![expect(
    clippy::needless_pass_by_value,
    clippy::trivially_copy_pass_by_ref,
    reason = "these are the forms in which napi hands arguments in"
)]

mod asker;
mod manager;
mod outcome;
mod storage;
mod surroundings;
mod window;
