//! Moves plaintext secrets out of the configuration of MCP clients: what it would do, and what was
//! done.
//!
//! [`spec`] turns what a client declares into a server whose secrets are references; [`plan`] does so
//! for all of them and says what stays and why; [`journal`] remembers what was carried out.

pub mod journal;
pub mod plan;
pub mod spec;
