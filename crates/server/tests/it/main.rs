//! The server over its socket, on a true store.

#![expect(clippy::disallowed_methods, reason = "a test connects to the server that it started")]

mod access;
mod admin;
mod credentials;
mod forms;
mod kernels;
mod limits;
mod pages;
mod registry;
mod support;
mod tls;
