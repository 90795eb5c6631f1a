//! The npm package as it is built and packed, installed into a project that has nothing else: run by Node
//! against a true keychain, and asked through true clients and the true window.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "Node and its servers are started here")]

mod asked;
mod client;
mod package;
mod project;
mod values;
