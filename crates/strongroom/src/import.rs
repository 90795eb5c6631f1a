//! Moves plaintext secrets out of the configuration of MCP clients.
//!
//! [`spec`] turns what a client declares into a server whose secrets are references; [`plan`] does so
//! for all of them and says what stays and why; [`apply`] carries a plan out, in an order in which
//! nothing is lost if it is killed anywhere: the vault first, then `strongroom.toml`, then the
//! clients' files; [`journal`] remembers it, and [`undo`] takes it back.

pub mod apply;
pub mod journal;
pub mod plan;
pub mod spec;
pub mod store;
pub mod undo;

#[cfg(test)]
mod tests;
