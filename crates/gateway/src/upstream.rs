//! The servers behind the gateway, from its side.

pub mod far;
mod health;
pub mod hello;
pub mod peer;
pub mod pipe;
pub mod running;
pub mod server;
pub mod supervision;
