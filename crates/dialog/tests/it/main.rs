//! Questions as their askers see them: with a window program that is a stand-in and speaks the true
//! protocol, at a terminal that is a pseudo-terminal, and with the real window where that was built.

#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "processes that are lost are started here")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod find;
mod line;
#[cfg(target_os = "linux")]
mod real;
mod room;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod window;
