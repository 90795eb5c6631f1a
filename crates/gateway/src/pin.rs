//! Servers that stay what they were when a person looked (decision 9).
//!
//! [`command`] reads which package a command line asks for, so that what was installed can be started
//! in its place. [`held`] is what a pin remembers of the installed files: what is in them, and by what
//! a change is noticed without reading them.

pub mod command;
pub mod held;

pub use command::{Package, Source, package};
pub use held::{Broken, Held, HeldError};
