//! The window, driven as a person drives it: true windows on a screen of each test's own.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]
#![expect(clippy::disallowed_methods, reason = "a test starts what it needs and ends it itself")]

mod consent;
mod ends;
mod fields;
mod reader;
mod refused;
mod rig;
mod wine;
