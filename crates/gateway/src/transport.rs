//! How messages come and go.

pub mod http;
mod lines;
pub mod stdio;

pub use lines::Input;
