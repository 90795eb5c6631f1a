//! The MCP edge against a stand-in for the broker, as clients see it: bytes in, bytes out.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod cancel;
mod elicit;
mod guard;
mod legacy;
mod messages;
mod modern;
#[cfg(unix)]
mod mounted;
mod sessions;
mod support;
mod tools;
