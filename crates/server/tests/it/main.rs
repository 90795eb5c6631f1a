//! The server over its socket, on a true store.

#![expect(clippy::disallowed_methods, reason = "a test connects to the server that it started")]

mod registry;
mod support;
