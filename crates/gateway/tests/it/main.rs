//! The MCP edge against a stand-in for the broker, as clients see it: bytes in, bytes out.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[cfg(unix)]
mod asks;
#[cfg(unix)]
mod behind;
mod cancel;
mod elicit;
mod far;
mod guard;
#[cfg(unix)]
mod hostile;
mod legacy;
mod messages;
mod modern;
#[cfg(unix)]
mod mounted;
#[cfg(unix)]
mod notices;
#[cfg(unix)]
mod prompts;
#[cfg(unix)]
mod resources;
mod sessions;
mod support;
#[cfg(unix)]
mod tasks;
mod tools;
