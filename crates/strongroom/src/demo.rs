//! `strongroom demo`: the real broker at work, with nothing configured.

pub mod client;
pub mod page;
pub mod upstream;
