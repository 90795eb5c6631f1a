//! The servers behind the gateway, from its side.

pub mod peer;
pub mod supervision;
