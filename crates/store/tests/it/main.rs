//! The store as its users see it: files, processes, damage.

#![expect(clippy::unwrap_used, reason = "a test that fails may say so by a panic")]

mod approvals;
mod audit;
mod checkpoints;
mod damage;
mod home;
mod local;
mod pins;
mod principals;
mod processes;
mod team;
mod vault;
