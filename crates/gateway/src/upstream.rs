//! The servers behind the gateway, from its side.

pub mod supervision;
