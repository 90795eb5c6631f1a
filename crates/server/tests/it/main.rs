//! The server over its socket, on a true store.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests connect to the servers that they started, and may panic"
)]

mod access;
mod admin;
mod approvals;
mod credentials;
mod forms;
mod kernels;
mod limits;
mod pages;
#[cfg(target_os = "linux")]
mod postgres;
mod registry;
mod strangers;
mod support;
mod tls;
mod tools;
